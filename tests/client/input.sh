#!/usr/bin/env bash
# tests/client/input.sh - packed files and pipes as input; validate
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1

awk 'BEGIN { for (i = 1; i <= 3000; i++)
    printf "{\"id\":\"r%d\",\"context\":\"a%d\",\"target\":\" b\"}\n", i, i * i }' >in.jsonl
gzip -k in.jsonl
zstd -q in.jsonl
{ head -n 1000 in.jsonl | gzip && tail -n +1001 in.jsonl | gzip; } >two.jsonl.gz
cp in.jsonl.zst no-suffix
run "$skein" run -q in.jsonl -m null -o want
expect 0 'run of a plain file'

# ---- the same bytes from every form
for file in in.jsonl.gz in.jsonl.zst two.jsonl.gz no-suffix; do
    run "$skein" run -q $file -m null -o got
    expect 0 "run of $file"
    cmp -s want got || fail "run of $file: another output"
    run "$skein" validate $file --json
    expect 0 "validate of $file"
    same "validate of $file" "$(jq -c '[.file,.records,.lines,.bad]' stdout)" \
        "[\"$file\",3000,3000,0]"
done
for file in in.jsonl in.jsonl.gz in.jsonl.zst; do
    # shellcheck disable=SC2002 # a pipe is the point
    same "validate of $file as a pipe" \
        "$(cat $file | "$skein" validate - --json -q | jq .records)" 3000
    same "validate of $file as standard input" \
        "$("$skein" validate - --json -q <$file | jq .records)" 3000
done
# Another form of the same input goes on where the first stopped.
run "$skein" run -q in.jsonl.gz -m null -o kept --keep
run "$skein" run -q in.jsonl.zst -m null -o kept --keep
expect 0 'run resumed with the input packed otherwise'

# ---- cut off, damaged, not what the name says: one error, nothing done
head -c 9000 in.jsonl.gz >cut.jsonl.gz
head -c 9000 in.jsonl.zst >cut.jsonl.zst
{ head -c 9000 in.jsonl.gz && printf 'rubbish' && tail -c +9008 in.jsonl.gz; } >bad.jsonl.gz
{ cat in.jsonl.zst && echo rubbish; } >tail.jsonl.zst
cp in.jsonl plain.jsonl.gz
: >empty.jsonl.zst
for file in cut.jsonl.gz cut.jsonl.zst bad.jsonl.gz tail.jsonl.zst; do
    for command in "run -m null -o none" validate; do
        # shellcheck disable=SC2086 # words on purpose
        run "$skein" $command $file
        expect 65 "$command of $file"
        says stderr "^skein [a-z]+: $file: .* at byte [0-9]+, in line [0-9]+: " "$command of $file"
        same "$command of $file: one line" "$(wc -l <stderr)" 1
    done
done
[ ! -e none ] && [ ! -e none.skein ] || fail 'an output of a damaged input'
run "$skein" validate plain.jsonl.gz
expect 65 'plain.jsonl.gz'
says stderr 'plain.jsonl.gz: is something else, not gzip data' 'plain.jsonl.gz'
run "$skein" validate empty.jsonl.zst
expect 65 'empty.jsonl.zst'
says stderr 'empty' 'empty.jsonl.zst'
run "$skein" validate in.jsonl cut.jsonl.gz
expect 65 'a good file and a bad one'
says stderr '^in.jsonl: 3000 records' 'a good file and a bad one'

# ---- validate: what it finds
{
    head -n 3 in.jsonl
    echo nonsense
    echo '{"id":"r2","text":"x"}'
    echo '{"id":"u","text":"x","max_tokns":1}'
    echo
    printf '{"text":"\xff"}\n'
} >bad.jsonl
run "$skein" validate bad.jsonl
expect 65 validate
says stdout '^bad.jsonl:4: .*value is expected' 'no JSON'
says stdout '^bad.jsonl:5: this id was given on line 2 already$' 'an id given twice'
says stdout '^bad.jsonl:6: id "u": unknown key "max_tokns"' 'an unknown key'
says stdout '^bad.jsonl:8: ' 'not UTF-8'
says stderr '^bad.jsonl: 3 records in 8 lines, 4 bad$' 'the counts'
run "$skein" validate bad.jsonl -q
same 'quiet: findings only' "$(wc -l <stdout) $err" '4 '
run "$skein" validate bad.jsonl --json
expect 65 'validate --json'
same 'findings in JSON' "$(jq -c '[.schema,.bad,.blank,[.errors[].line]]' stdout)" \
    '[1,4,1,[4,5,6,8]]'
run "$skein" validate bad.jsonl --lenient
expect 65 'validate --lenient'
says stdout '^bad.jsonl:6: id "u": warning: .*max_tokns' 'a warning'
says stderr '4 records in 8 lines, 3 bad, 1 with warnings$' 'warnings are counted'
echo '{"custom_id":"c","method":"POST","url":"/v1/completions","body":{"model":"m","promt":"x"}}' >openai.jsonl
run "$skein" validate openai.jsonl
says stdout '^openai.jsonl:1: custom_id "c": ' 'a line of an OpenAI batch'
run "$skein" validate bad.jsonl in.jsonl --json
same 'two files: a list' "$(jq -c '[.[].bad]' stdout)" '[4,0]'
yes nonsense | head -n 1000 >many.jsonl
run "$skein" validate many.jsonl
expect 65 'many bad lines'
same 'ten are shown' "$(wc -l <stdout)" 10
says stderr '1000 bad \(the first 10 are shown\)$' 'and counted'
run "$skein" validate many.jsonl --max-errors 0
same 'none is shown' "$out" ''
run "$skein" validate many.jsonl --max-errors 70
same 'seventy are shown' "$(wc -l <stdout)" 70
run "$skein" validate many.jsonl --max-errors -1
expect 2 '--max-errors -1'
run "$skein" validate
expect 2 'validate of nothing'
says stderr 'skein validate --help' 'validate of nothing'
run "$skein" validate -s ipc:///x in.jsonl
expect 2 'validate has no --server'

# With a tokenizer: tokens.
run "$skein" validate in.jsonl --tokenizer "$SRC/tests/text/none"
expect 78 'a tokenizer that is not there'
run "$skein" validate in.jsonl -m "$dir"
expect 78 'a model without a tokenizer'
echo '{"text":"The quick brown fox."}' >one.jsonl
run "$skein" validate one.jsonl -m "$SRC/examples/model" --json
expect 0 'validate -m'
tokens=$(jq .tokens stdout)
same 'tokens as skein-model counts them' "$tokens" \
    "$("$BIN/skein-model" tokenize "$SRC/examples/model" <one.jsonl | jq '.ids | length')"
SKEIN_TOKENIZER=$SRC/examples/model/rwkv_vocab_demo.txt run "$skein" validate one.jsonl
says stderr "; $tokens tokens, at most $tokens in line 1" 'SKEIN_TOKENIZER'
finish
