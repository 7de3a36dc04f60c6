#!/usr/bin/env bash
# tests/e2e/kill_orders.sh - kill -9 of the coordinator around every order
#
# hold, release, set, cancel, retry and rm are each given while the coordinator
# is killed at a random moment and started again. The client, which comes back
# by itself, succeeds; the job is as it was ordered to be, now and after one
# more start; nothing is corrupt; numbers of removed jobs stay used.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-8}

restart() {
    stop "$SKEIND" KILL
    start_skeind
}

# under_kill ORDER JOB...: it must succeed although the coordinator is killed
under_kill() {
    local status=0 client
    timeout -k 5 100 "$BIN/skein" "$@" -q >order.out 2>order.log &
    client=$!
    sleep "0.0$((RANDOM % 4))$((RANDOM % 10))"
    restart
    wait "$client" || status=$?
    [ "$status" = 0 ] || cat order.log >&2
    equal "$status" 0 "the exit status of $1 with a kill"
}

# is JOB JQ WANT: now, and when the coordinator has started again
is() {
    equal "$(skein show "$1" --json | jq -r "$2")" "$3" "job $1: $2"
    restart
    equal "$(skein show "$1" --json | jq -r "$2")" "$3" "job $1 later: $2"
}

records 10 >ten.jsonl
start_skeind
last=0
for ((round = 1; round <= ROUNDS; round++)); do
    under_kill submit ten.jsonl -m nobody --hold
    job=$(cat order.out)
    is "$job" .status held
    under_kill release "$job"
    is "$job" .status queued
    [ "$job" -gt "$last" ] || fail "number $job after $last, which is removed"
    last=$job
    under_kill hold "$job"
    is "$job" .status held
    under_kill release "$job"
    is "$job" .status queued
    under_kill set "$job" --priority "$round"
    is "$job" .priority "$round"
    expect 0 skein cancel -q "$job"
    under_kill retry "$job"
    is "$job" .status queued
    expect 0 skein cancel -q "$job"
    under_kill rm "$job"
    expect 5 skein show "$job"
    restart
    expect 5 skein show "$job"
done
equal "$(skein ls -a --json)" '[]' "the list of jobs"
equal "$(find spool/jobs -type f)" "" "what is left in the spool"

# A job with failed lines is retried, and its coordinator killed while it is.
{
    records 3000 score
    echo '{"id":"p1","context_ids":[777],"target_ids":[5]}'
    records 4500 score | tail -n 1500
    echo '{"id":"p2","context_ids":[777],"target_ids":[6]}'
} >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl
start_worker w1 --backend-options poison_token=777
wait_ready 1
job=$(skein submit -q in.jsonl -m null)
expect 1 skein wait -q "$job"
expect 0 skein results -q "$job" -o before.jsonl
equal "$(wc -l <before.jsonl)" 4500 "the number of good answers"
stop "$WORKER"
# Nobody computes it: given up, every old answer and error is there again.
under_kill retry --failed "$job"
is "$job" .status queued
equal "$(skein show "$job" --json | jq -c '[.request_counts[]]')" "[4502,4500,0]" \
    "the counters of a job that is retried"
expect 0 skein cancel -q "$job"
is "$job" '[.request_counts[]] | @json' "[4502,4500,2]"
expect 0 skein results -q "$job" -o after.jsonl
same before.jsonl after.jsonl "the answers after a retry that was cancelled"
under_kill retry --failed "$job"
start_worker w2 --backend-options latency_us=20000
for ((i = 0; i < 3; i++)); do
    sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
    restart
done
expect 0 skein wait -q "$job"
expect 0 skein results -q "$job" -o got.jsonl
same want.jsonl got.jsonl "the output of a retried job"
expect 0 skein errors -q "$job"
equal "$OUT" "" "the list of failed lines"
grep -E 'corrupt=[1-9]|job-corrupt|outcome=unknown' skeind.log >&2 &&
    fail "something was corrupt"
exit 0
