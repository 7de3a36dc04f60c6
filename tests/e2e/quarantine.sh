#!/usr/bin/env bash
# tests/e2e/quarantine.sh - one device of three hangs again and again
#
# Its rank is stopped whenever it comes up: the third time it is left out, and
# the others do the job, with the bytes of an undisturbed run.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

rank_pid() { # RANK: its process, or nothing
    pgrep -P "$WORKER" -f -- "--rank $1 " || true
}
times() { grep -c "$1" w1.log || true; }
lost() { [ "$(times group-lost:)" -ge "$1" ]; }
ready() { [ "$(times ready:)" -ge "$1" ] && [ -n "$(rank_pid 1)" ]; }

records 6000 >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl
start_skeind
echo 'stall_s: 1' >worker.yaml
start_worker w1 --config worker.yaml --model null=null \
    --devices null,null,null --tokens-per-step 64 \
    --backend-options latency_us=20000
wait_ready 1
expect 0 skein submit -q in.jsonl -m null
for i in 1 2 3; do
    until_true 30 "group $i" ready "$i"
    kill -STOP "$(rank_pid 1)"
    until_true 60 "the end of group $i" lost "$i"
done
until_true 30 "a quarantine" grep -q 'quarantined: device=null rank=1' w1.log
expect 0 timeout 200 "$BIN/skein" wait -q last
equal "$(pgrep -c -P "$WORKER")" 2 "the number of ranks"
expect 0 skein worker ls --json
says "$OUT" '"quarantined"'
expect 0 skein results -q last -o got.jsonl
same want.jsonl got.jsonl "the output without one device"
expect 0 skein errors -q last
equal "$OUT" "" "the list of failed lines"
