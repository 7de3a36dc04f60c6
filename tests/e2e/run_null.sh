#!/usr/bin/env bash
# tests/e2e/run_null.sh - `skein run` from end to end, with the null backend
#
# Order, exit statuses, files, resuming, --fresh, nothing left behind.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
run() { skein run -q -m null -d null "$@"; }

# One answer per line, in order, whatever the kind.
records 3000 >in.jsonl
expect 0 run in.jsonl -o out.jsonl
equal "$(wc -l <out.jsonl)" 3000 "the number of answers"
jq -r '.id // empty' in.jsonl >ids.in
jq -r 'select(.id | type == "string") | .id' out.jsonl >ids.out
same ids.in ids.out "the order of ids"
equal "$(jq -s '[to_entries[] | select((.value.id | type) == "number"
    and .value.id != .key + 1)] | length' out.jsonl)" 0 \
    "the number of lines with a wrong line number as id"
equal "$(jq -c 'keys_unsorted' out.jsonl | sort -u | tr -d '\n')" \
    '["id","logprob","greedy","tokens"]["id","logprob","tokens","bytes","words"]["id","logprobs","choice","correct"]["id","text","finish_reason","tokens"]' \
    "the set of answer keys"
gone out.skein out.errors.jsonl
nothing_runs
gone "$XDG_RUNTIME_DIR"/skein*

# The same bytes again, in other ways; the options travel through.
expect 0 run in.jsonl -o again.jsonl
same out.jsonl again.jsonl
expect 0 run in.jsonl -o step.jsonl --tokens-per-step 7
same out.jsonl step.jsonl
expect 0 run in.jsonl -o two.jsonl -d null,null
same out.jsonl two.jsonl
expect 0 run in.jsonl -o seed.jsonl --seed 5
CHECKS=$((CHECKS + 1))
cmp -s out.jsonl seed.jsonl && fail "--seed changes nothing"

# Windows line ends, a byte order mark and a missing last newline are fine.
{ printf '\xef\xbb\xbf'; sed 's/$/\r/' in.jsonl; } | head -c -2 >crlf.jsonl
expect 0 run crlf.jsonl -o crlf.out
same out.jsonl crlf.out

# Nothing to do is done.
: >empty.jsonl
expect 0 run empty.jsonl -o empty.out
equal "$(wc -c <empty.out)" 0 "the size of no answers"

# --json answers with one object on standard output.
head -n 20 in.jsonl >few.jsonl
expect 0 run few.jsonl -o few.out --json
equal "$(jq -r '.status, .request_counts.completed' <<<"$OUT" | tr '\n' ' ')" \
    "done 20 " "status and count"

# Interrupted: 130, resumable; the same command goes on to the same bytes.
run_slowly() { # OUT: in the background, about 5 s
    start run "$BIN/skein" run -q in.jsonl -m null -d null -o "$1.jsonl" \
        --tokens-per-step 64 --backend-options latency_us=2500
}
answered() { # OUT: some, and not all
    skein show -s "$(cat "$1.skein/endpoint")" last --json |
        jq -e '.request_counts | .completed > 0 and .completed < .total'
}
run_slowly int
until_true 30 "the first results" answered int
stop "$PID" INT
equal "$STATUS" 130 "the exit status after Ctrl-C"
nothing_runs
gone int.jsonl
expect 0 run in.jsonl -o int.jsonl
same out.jsonl int.jsonl "an interrupted and resumed run"
gone int.skein

# Killed without warning: nothing keeps running, and it resumes too.
run_slowly kill
until_true 30 "the first results" answered kill
stop "$PID" KILL
nothing_runs
expect 0 run in.jsonl -o kill.jsonl
same out.jsonl kill.jsonl "a killed and resumed run"
gone kill.skein
gone "$XDG_RUNTIME_DIR"/skein*

# Another input is not resumed by accident; --fresh starts over.
run_slowly fresh
until_true 30 "the spool" test -s fresh.skein/run.json
sleep 0.3
stop "$PID" INT
head -n 100 in.jsonl >other.jsonl
expect 81 run other.jsonl -o fresh.jsonl
says "$ERR" '--fresh'
expect 0 run other.jsonl -o fresh.jsonl --fresh
head -n 100 out.jsonl >want
same want fresh.jsonl

# Two runs for one output at a time: the second is told.
run_slowly busy
until_true 30 "the spool" test -s busy.skein/run.json
expect 81 run in.jsonl -o busy.jsonl
says "$ERR" 'busy'
stop "$PID" INT
