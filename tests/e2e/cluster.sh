#!/usr/bin/env bash
# tests/e2e/cluster.sh - a coordinator, two workers and every client command
#
# What they print, with and without --json, and their exit statuses.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# json FILTER WANT WHAT: of the last output, which must be one JSON value
json() {
    equal "$(jq -cs 'if length == 1 then .[0] | '"$1"' else "no single value" end' \
        <<<"$OUT")" "$2" "$3"
}

# failed_json CODE: the last command said so in JSON, and in words
failed_json() {
    json .error.code "\"$1\"" "the code in the JSON error"
    json '.error.message | length > 0' true "a message in the JSON error"
    equal "$(wc -l <<<"$ERR")" 1 "the number of lines of the message"
}

# Nobody there yet.
export SKEIN_SERVER=$SOCK
expect 69 skein ls --json
failed_json unreachable
says "$ERR" "$SOCK"
says "$ERR" 'is skeind running'

start_skeind
expect 0 skein ls --json
equal "$OUT" '[]' "the list of no jobs"
expect 0 skein worker ls --json
equal "$OUT" '[]' "the list of no workers"

# Submitted before there is a worker: queued, then taken.
records 2500 >in.jsonl
records 40 >few.jsonl
printf '{"text":"good"}\n{"text":5}\n' >mixed.jsonl
expect 0 skein submit in.jsonl -m null
equal "$OUT" 1 "what submit prints: the job's id"
says "$ERR" '2500 records'
expect 0 skein show 1 --json
json .status '"queued"' "the status of a job without a worker"
start_worker w1 --backend-options latency_us=2000
start_worker w2 --backend-options latency_us=2000
wait_ready 2
expect 0 skein wait 1
says "$ERR" '2500 of 2500'
equal "$OUT" "" "what wait prints on standard output"
expect 0 skein results 1 -q
equal "$(wc -l <<<"$OUT")" 2500 "the number of answers"
printf '%s\n' "$OUT" >stdout.jsonl
expect 0 skein results last -q -o out.jsonl
same out.jsonl stdout.jsonl "results into a file and on standard output"
expect 0 skein run -q in.jsonl -m null -d null -o run.jsonl
same run.jsonl out.jsonl "skein run and the cluster"
expect 0 skein errors -q 1
equal "$OUT" "" "the list of failed lines"

# From a pipe; --json; a name; the id alone on standard output.
expect 0 skein submit -q - -m null -n piped --json <few.jsonl
json '[.id, .lines, .records, .rejected]' '[2,40,40,0]' "what was submitted"
expect 0 skein wait --json 2
json '[.id, .status, .name]' '[2,"done","piped"]' "what wait says of the job"

# Some lines fail: 1. All lines fail: 3.
expect 0 skein submit -q mixed.jsonl -m null
expect 1 skein wait -q 3
expect 1 skein wait -q 3 --json
json .request_counts '{"total":2,"completed":1,"failed":1}' "the counts"
expect 0 skein errors -q 3
json '[.line, .error.code, .error.field]' '[2,"wrong_type","text"]' "the error"
tail -n 1 mixed.jsonl >wrong.jsonl
expect 3 skein submit -q wrong.jsonl -m null --wait
equal "$OUT" 4 "the id printed by submit --wait"
: >empty.jsonl
expect 0 skein submit -q empty.jsonl -m null --wait

# Lists: live jobs, all jobs; nothing is forgotten.
expect 0 skein submit -q few.jsonl -m nobody-has-this
equal "$OUT" 6 "the id"
expect 0 skein ls
equal "$(wc -l <<<"$OUT")" 2 "the lines of ls: a heading and the live job"
says "$OUT" '6 .*queued .*nobody-has-this'
expect 0 skein ls --json
json 'map(.id)' '[6]' "the live jobs"
expect 0 skein ls -a --json
json 'map([.id, .status])' \
    '[[1,"done"],[2,"done"],[3,"done"],[4,"done"],[5,"done"],[6,"queued"]]' \
    "all jobs"
expect 0 skein show 1
says "$OUT" '(^|[[:space:]])2500( |,|$)'
expect 0 skein show last --json
json '[.schema, .id, .records]' '[1,6,40]' "the newest job"

# Cancel: 4 from then on; a second time is a conflict.
expect 0 skein cancel 6 --reason 'no such model'
expect 4 skein wait 6
says "$ERR" 'no such model'
expect 81 skein cancel 6 --json
failed_json conflict
expect 81 skein cancel 1
expect 0 skein show 6 --json
json .status '"cancelled"' "the status of a cancelled job"

# Cancelling a job that runs stops it.
records 20000 score >long.jsonl
expect 0 skein submit -q long.jsonl -m null
running() { skein show 7 --json | jq -e '.status == "running"'; }
until_true 30 "job 7 to run" running
expect 0 skein cancel -q 7
expect 4 skein wait -q 7
idle() { skein worker ls --json | jq -e 'map(.shards) | add == 0'; }
until_true 30 "the workers to let go of it" idle
expect 0 skein submit -q few.jsonl -m null --wait # they still work
head -n 0 long.jsonl >part.jsonl
expect 0 skein results -q 7 -o part.jsonl

# No such job: 5.
for command in show wait results errors cancel; do
    expect 5 skein $command 99 --json
    failed_json not_found
done

# Workers, server, version.
expect 0 skein worker ls --json
json 'map([.name, .state, .models[0].name]) | sort' \
    '[["w1","ready","null"],["w2","ready","null"]]' "the workers"
json 'map(.records_done) | add >= 2500' true "what the workers did"
expect 0 skein worker ls
equal "$(wc -l <<<"$OUT")" 3 "the lines of worker ls"
expect 0 skein server status --json
json '[.health, .jobs_finished, .jobs_running, .workers, .epoch, .pid]' \
    "[\"ok\",8,0,2,1,$SKEIND]" "the server"
expect 0 skein server status
says "$OUT" 'health +ok'
expect 0 skein version --json
json '.version | test("^[0-9]+[.][0-9]+")' true "a version"
expect 0 skein --version
for program in skeind skein-worker; do
    expect 0 "$BIN/$program" --version
    says "$OUT" '[0-9]+[.][0-9]+'
done

# A worker that drains hands back what it holds; the other one finishes.
expect 0 skein submit -q in.jsonl -m null
stop "$WORKER" TERM
equal "$STATUS" 0 "the exit status of a drained worker"
expect 0 skein wait -q 9
expect 0 skein results -q 9 -o drained.jsonl
same out.jsonl drained.jsonl "the output after a drain"

# A second coordinator for one spool is refused; a restart forgets nothing.
expect 75 "$BIN/skeind" --spool spool --listen "ipc://$WORK/other"
stop "$SKEIND" TERM
equal "$STATUS" 0 "the exit status of a stopped coordinator"
start_skeind
expect 0 skein ls -a --json
json 'map(.status) | group_by(.) | map([.[0], length])' \
    '[["cancelled",2],["done",7]]' "all jobs after a restart"
expect 0 skein results -q 1 -o after.jsonl
same out.jsonl after.jsonl "results after a restart"
