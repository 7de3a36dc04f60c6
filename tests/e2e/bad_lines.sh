#!/usr/bin/env bash
# tests/e2e/bad_lines.sh - one of each kind of bad line between good ones
#
# Every line ends as exactly one answer or one error that names it; the good
# answers are those of the good lines alone.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# line number, code, field of every bad line
: >want.errors
: >in.jsonl
: >good.jsonl
n=0
# Good lines have ids, as line numbers differ in the file without bad ones.
good() {
    n=$((n + 1))
    printf '{"id":"g%d","context":"line %d","target":" ok"}\n' $n $n |
        tee -a good.jsonl >>in.jsonl
}
bad() { # bad CODE FIELD LINE
    n=$((n + 1))
    printf '%d %s %s\n' $n "$1" "$2" >>want.errors
    printf "%b\n" "$3" >>in.jsonl
    good
}
good
bad invalid_json "" '{"id":"b","context":"a","target":'
bad invalid_json "" 'no JSON at all'
bad not_utf8 "" '{"id":"b","context":"a\xff","target":" b"}'
bad wrong_type "" '[1,2,3]'
bad missing_field target '{"id":"b1","context":"a"}'
bad missing_field context '{"id":"b2","target":"a"}'
bad wrong_type context '{"id":"b3","context":5,"target":"a"}'
bad wrong_type max_tokens '{"id":"b4","prompt":"a","max_tokens":"5"}'
bad unknown_key contxt '{"id":"b5","contxt":"a","target":"b"}'
bad unknown_key gold '{"id":"b6","text":"a","gold":0}'
bad duplicate_key id '{"id":"b7","id":"b7","text":"a"}'
bad invalid_value gold '{"id":"b8","context":"a","choices":["b"],"gold":1}'
bad invalid_value top_p '{"id":"b9","prompt":"a","top_p":1.5}'
bad token_out_of_range 'text_ids[1]' '{"id":"b10","text_ids":[1,65536]}'
bad token_out_of_range 'target_ids[0]' '{"id":"b11","context_ids":[1],"target_ids":[99999999]}'
bad duplicate_id id '{"id":"g1","text":"a"}'
bad duplicate_id id '{"id":1,"text":"a"}'
bad nothing_to_condition_on context '{"id":"b12","context_ids":[],"target_ids":[5]}'
bad too_large id "{\"id\":\"$(printf '%0513d' 0)\",\"text\":\"a\"}"
printf '\n   \n\t\r\n' >>in.jsonl # blank lines count as lines
n=$((n + 3))
good
# Line 1 has the id "g1"; the integer 1 is free until it is used. So take it:
sed -i '1s/.*/{"context":"line 1","target":" ok"}/' in.jsonl good.jsonl
sed -i 's/^{"id":"g1","text":"a"}$/{"id":"g3","text":"a"}/' in.jsonl

expect 1 skein run -q in.jsonl -m null -d null -o out.jsonl
equal "$(wc -l <out.jsonl)" "$(wc -l <good.jsonl)" "the number of answers"
jq -r '"\(.line) \(.error.code) \(.error.field // "")"' out.errors.jsonl >errors
same want.errors errors "lines, codes and fields of the errors"
expect 0 skein run -q good.jsonl -m null -d null -o alone.jsonl
same alone.jsonl out.jsonl "answers with and without bad lines between them"
equal "$(jq -r 'select(.error.message == "") | .line' out.errors.jsonl)" "" \
    "the list of errors without a message"
# The id of a bad line, if it could be read; else its number.
equal "$(jq -c 'select(.line == 14) | .id' out.errors.jsonl)" '"b3"' \
    "the id of a bad line"
equal "$(jq -c 'select(.line == 2) | .id' out.errors.jsonl)" 2 \
    "the id of an unreadable line"
says "$(jq -r 'select(.error.code == "unknown_key") | .error.message' \
    out.errors.jsonl | head -n 1)" 'did you mean "context"'
says "$(jq -r 'select(.error.code == "duplicate_id") | .error.message' \
    out.errors.jsonl | head -n 1)" 'line 3'

# -e names the error file; it is written even when there are no errors.
expect 1 skein run -q in.jsonl -m null -d null -o out2.jsonl -e err2.jsonl
same out.errors.jsonl err2.jsonl
same out.jsonl out2.jsonl
gone out2.errors.jsonl
expect 0 skein run -q good.jsonl -m null -d null -o out2.jsonl -e err2.jsonl
equal "$(wc -c <err2.jsonl)" 0 "the size of no errors"

# Errors of an earlier run do not stay beside good output.
expect 0 skein run -q good.jsonl -m null -d null -o out.jsonl
gone out.errors.jsonl

# When every line is bad the job is done, but the status is 3.
printf 'x\ny\n' >bad.jsonl
expect 3 skein run -q bad.jsonl -m null -d null -o bad.out
equal "$(wc -c <bad.out) $(wc -l <bad.out.errors.jsonl)" "0 2" \
    "answers and errors"

# A line that ends the process computing it, or makes it overflow, is one bad
# line too: the others are answered, with the same bits.
records 300 rolling >around.jsonl
expect 0 skein run -q around.jsonl -m null -d null -o around.want
{
    head -n 100 around.jsonl
    echo '{"id":"poison","text_ids":[5,60001,6]}'
    tail -n 200 around.jsonl
} >poison.jsonl
# Lines behind the poison have other numbers.
jq -c 'if (.id | type) == "number" and .id > 100 then .id += 1 else . end' \
    around.want >poison.want
for option in crash_token worker_crash exit_token worker_crash \
    poison_token non_finite; do
    case $option in *_token) trigger=$option; continue ;; esac
    expect 1 skein run -q poison.jsonl -m null -d "null,null" -o poison.out \
        --backend-options "$trigger=60001"
    equal "$(jq -c '[.id, .line, .error.code]' poison.out.errors.jsonl)" \
        "[\"poison\",101,\"$option\"]" "the error after $trigger"
    same <(jq -c . poison.want) <(jq -c . poison.out) "answers around $trigger"
done

# In OpenAI's form, with several choices of which one is to blame.
head -n 20 around.jsonl >openai.jsonl
echo '{"custom_id":"poison","method":"POST","url":"/v1/completions","body":' \
    '{"model":"null","prompt":[[5,6],[60001,7]],"n":2}}' >>openai.jsonl
for option in crash_token worker_lost poison_token nan_logits; do
    case $option in *_token) trigger=$option; continue ;; esac
    expect 1 skein run -q openai.jsonl -m null -d null -o openai.out \
        --backend-options "$trigger=60001"
    equal "$(jq -c '[.custom_id, .line, .response.status_code,
        .response.body.error.code, .response.body.error.type]' \
        openai.out.errors.jsonl)" "[\"poison\",21,500,\"$option\",\"server_error\"]" \
        "the OpenAI error after $trigger"
    equal "$(wc -l <openai.out)" 20 "answers beside the OpenAI error"
done

# The same through a coordinator: results, errors, wait.
start_skeind
start_worker w1
wait_ready 1
expect 0 skein submit -q in.jsonl -m null
expect 1 skein wait -q "$OUT"
expect 0 skein results -q last -o via.jsonl
same out2.jsonl via.jsonl
expect 0 skein errors -q last -o via.errors
jq -r '"\(.line) \(.error.code) \(.error.field // "")"' via.errors >errors
same want.errors errors
