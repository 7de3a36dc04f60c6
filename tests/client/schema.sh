#!/usr/bin/env bash
# tests/client/schema.sh - every --json output against docs/schema, judged by
# python3-jsonschema
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
judge=$(cd "$(dirname "$0")" && pwd)/schema.py
schemas=$SRC/docs/schema
if ! python3 -c 'import jsonschema' 2>/dev/null; then
    echo 'skipped: python3-jsonschema is not installed'
    exit 77
fi
cd "$dir" || exit 1
start_cluster
mkdir json
n=0
# is KIND COMMAND...: keep what it prints.
is() {
    local kind=$1
    shift
    n=$((n + 1))
    checks=$((checks + 1))
    "$skein" "$@" --json >"json/$kind.$n.json" 2>stderr </dev/null
    case $kind:$? in
    error:0) fail "$*: no error" ;;
    error:*) ;;
    *:[0-5] | validated*:65 | submitted:65) ;;
    *) fail "$*: $(cat stderr)" ;;
    esac
    printf '%s\n' "$*" >"json/$kind.$n.command"
}
lines 3 >good.jsonl
{ lines 2; echo oops; } >some.jsonl
printf 'one\ntwo\n' >none.jsonl

is submitted submit good.jsonl -m null --name $'\xc3\xa9' --seed 3
is submitted submit some.jsonl -m null --wait
is submitted submit none.jsonl -m null --wait
is submitted submit good.jsonl -m other --bos never --priority -5
is submitted submit good.jsonl -m other
is job wait 1
is job wait 2
is job-list wait 1-3
is job cancel 4 --reason 'not needed'
is job show last
is job show 4
is job-list show all
is job-list ls
is job-list ls --all
is job-list ls -a -f state=cancelled
is job-list cancel all --dry-run
is job-list watch 1-3
is submitted submit some.jsonl -m null --dry-run
is job hold 5
is job release 5
is job set 5 --priority 9
is job-list cancel all
is job retry 5
is job-list retry all --dry-run
is job-list cancel 5-5
is job rm 5
is job-list rm all --dry-run
is validated validate some.jsonl
is validated validate good.jsonl --lenient
is validated-list validate good.jsonl some.jsonl
is worker-list worker ls
is server server status
is version version
is config config show
is config config check
is config config show bos -c "$SRC/conf/skein.yaml"
is run run some.jsonl -m null -o out.jsonl
is run run good.jsonl -m null -o out.jsonl -q
is error show 99
is error ls --wrong
is error cancel 1
is error ls -s nonsense
is error submit missing.jsonl -m x
is error wait 0
is error config show nothing
is error run missing.jsonl -m null -o out.jsonl
SKEIN_BOS=perhaps is error submit good.jsonl -m null

if ! python3 "$judge" "$schemas" json/*.json >wrong; then
    while read -r line; do
        fail "$line; from: skein $(cat "json/${line%%.json:*}.command")"
    done <wrong
fi

# The judge does judge: another key, a missing one, another type.
mkdir spoilt
jq -c '. + {"surprise":1}' json/job.10.json >spoilt/job.1.json
jq -c 'del(.status)' json/job.10.json >spoilt/job.2.json
jq -c '.lines = "3"' json/job.10.json >spoilt/job.3.json
jq -c '.schema = 2' json/job.10.json >spoilt/job.4.json
python3 "$judge" "$schemas" spoilt/*.json >spoilt/said
same 'what is wrong is found' "$?:$(wc -l <spoilt/said)" 4:4
finish
