#!/usr/bin/env bash
# tests/e2e/kill_worker.sh - kill -9 of workers and ranks at random moments
#
# A job of 20,000 lines on the null backend with some latency, two workers of
# two ranks, ten kills while it runs; then a smaller one on the cpu backend. The
# output must be that of an undisturbed run. SEED=N repeats the choices, though
# not the scheduling.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

LINES=${LINES_OF_JOB:-20000}
KILLS=${KILLS:-10}
declare -A pid_of

# worker_options as an array: what each worker is started with
launch() { # NAME
    start_worker "$1" "${worker_options[@]}"
    pid_of[$1]=$WORKER
}

completed() { skein show last --json | jq .request_counts.completed; }
over() { skein show last --json | jq -e '.status | test("done|failed|cancelled")'; }

# kill_one: a worker or one of its ranks, at a random choice
kill_one() {
    local name=w$((RANDOM % 2 + 1)) pid ranks
    pid=${pid_of[$name]}
    mapfile -t ranks < <(pgrep -P "$pid" || true)
    if [ $((RANDOM % 3)) = 0 ] && [ ${#ranks[@]} -gt 0 ]; then
        kill -KILL "${ranks[RANDOM % ${#ranks[@]}]}" 2>/dev/null || true
        what="a rank of $name"
    else
        stop "$pid" KILL
        launch "$name"
        what=$name
    fi
}

# disturbed INPUT MODEL KILLS PAUSE-MS WANT: the job with kills; pauses are
# random up to PAUSE-MS
disturbed() {
    local input=$1 model=$2 kills=$3 pause=$4 want=$5 done_kills=0 ms what
    wait_ready 2
    expect 0 skein submit -q "$input" -m "$model"
    while [ $done_kills -lt "$kills" ]; do
        ms=$((RANDOM % pause + 50))
        sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
        over >/dev/null && fail "the job ended after $done_kills kills: make it slower"
        kill_one
        done_kills=$((done_kills + 1))
        say "after $ms ms: kill -9 of $what, $(completed) answered"
    done
    expect 0 timeout 200 "$BIN/skein" wait -q last
    expect 0 skein results -q last -o got.jsonl
    same "$want" got.jsonl "the output of a disturbed job"
    expect 0 skein errors -q last
    equal "$OUT" "" "the list of failed lines"
}

records "$LINES" >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl
start_skeind
# A step of 512 rows takes 20 ms: a rank does about 600 lines a second.
worker_options=(--model null=null --devices "null,null" --tokens-per-step 512
    --backend-options latency_us=20000)
launch w1
launch w2
disturbed in.jsonl null "$KILLS" 1500 want.jsonl
stop "${pid_of[w1]}"
stop "${pid_of[w2]}"

model=$SRC/examples/model
if [ ! -e "$model/model.safetensors" ]; then
    say "SKIP cpu backend: $model is not there"
    exit 0
fi
for i in $(seq 6); do
    jq -c --arg i "$i-" '.id = $i + .id' "$SRC/examples/shuffle_pairs.jsonl"
done >cpu.jsonl
expect 0 skein run -q cpu.jsonl -m "$model" -d cpu -o cpu.want
worker_options=(--model "m=$model" --devices "cpu,cpu" --tokens-per-step 16)
launch w1
launch w2
disturbed cpu.jsonl m 3 800 cpu.want
