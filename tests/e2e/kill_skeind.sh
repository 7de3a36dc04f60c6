#!/usr/bin/env bash
# tests/e2e/kill_skeind.sh - kill -9 of the coordinator at random moments
#
# A job of 20,000 lines on the null backend with some latency; the coordinator
# is killed and started again ten times: while the job is submitted, while it is
# computed, while its results are read. Nothing that was acknowledged is lost,
# nothing is done twice, and the output is that of an undisturbed run.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

LINES=${LINES_OF_JOB:-20000}
KILLS=${KILLS:-10}

pause_ms() { sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; }

restart() {
    stop "$SKEIND" KILL
    pause_ms $((RANDOM % 400))
    start_skeind
}

running() { # PID: has not ended
    kill -0 "$1" 2>/dev/null && [ "$(ps -o stat= -p "$1")" != Z ]
}

# finish PID LOG: its exit status must be 0
finish() {
    local status=0
    wait "$1" || status=$?
    equal "$status" 0 "the exit status of $2"
}

records "$LINES" >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl
start_skeind
start_worker w1 --model null=null --devices null,null --tokens-per-step 512 \
    --backend-options latency_us=20000
start_worker w2 --model null=null --devices null --tokens-per-step 512 \
    --backend-options latency_us=20000
wait_ready 2

# While it is submitted, twice. The client comes back by itself, with the same
# request id: there is one job in the end.
for i in 1 2; do
    "$BIN/skein" submit -q in.jsonl -m null >id 2>submit.log &
    client=$!
    ms=$((RANDOM % 150))
    pause_ms $ms
    restart
    say "after $ms ms of submit: kill -9"
    finish $client "submit"
    equal "$(skein ls -a --json | jq length)" "$i" "the number of jobs"
    equal "$(skein show "$(cat id)" --json | jq .lines)" "$LINES" \
        "the number of lines of the job"
    [ "$i" = 2 ] || expect 0 skein cancel -q "$(cat id)"
done

# While it is computed. `skein wait` stays through all of it.
"$BIN/skein" wait -q last >wait.out 2>wait.log &
client=$!
for ((i = 3; i <= KILLS - 2; i++)); do
    ms=$((RANDOM % 1200 + 50))
    pause_ms $ms
    running $client || fail "the job ended after $i kills: make it slower"
    restart
    say "after $ms ms: kill -9, $(skein show last --json |
        jq .request_counts.completed) answered"
done
finish $client "wait"

# While results are read: the client goes on where it was.
for ((i = KILLS - 1; i <= KILLS; i++)); do
    "$BIN/skein" results -q last -o got.jsonl 2>results.log &
    client=$!
    ms=$((RANDOM % 60))
    pause_ms $ms
    restart
    say "after $ms ms of results: kill -9"
    finish $client "results"
    same want.jsonl got.jsonl "the output of a disturbed job"
done
expect 0 skein errors -q last
equal "$OUT" "" "the list of failed lines"
expect 0 skein show last --json
equal "$(jq -c '[.request_counts[], .shards.done == .shards.total]' <<<"$OUT")" \
    "[$LINES,$LINES,0,true]" "total, completed, failed, all shards done"
equal "$(skein server status --json | jq .epoch)" $((KILLS + 1)) \
    "the number of coordinator starts"
