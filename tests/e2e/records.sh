#!/usr/bin/env bash
# tests/e2e/records.sh - lines of every form and kind, good and bad, on the demo
# model: the same bytes on one rank and two and in steps of any size, and forms
# that ask for the same are answered the same
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

cp "$SRC/tests/e2e/records.jsonl" in.jsonl
all() { # all NAME OPTION...
    local name=$1
    shift
    expect 1 skein run -q in.jsonl -m "$SRC/examples/model" --created 0 \
        -o "$name.out" -e "$name.err" "$@"
}
all base -d cpu
all ranks -d cpu,cpu
all steps -d cpu --tokens-per-step 5
all wide -d cpu,cpu --tokens-per-step 300
for name in ranks steps wide; do
    same base.out $name.out
    same base.err $name.err
done
equal "$(cat base.out base.err | wc -l)" "$(wc -l <in.jsonl)" \
    "the number of answers and errors"
equal "$(jq -r '.line // empty' base.out base.err | sort -n | uniq -d)" "" \
    "the list of lines that were answered twice"

# What comes out in which order, and every error.
equal "$(jq -r '.custom_id // .id' base.out | tr '\n' ' ')" \
    "$(printf 'o%d ' {1..21})n1 n2 n3 n4 n5 n6 28 p1 n7 " "the order of answers"
cat >want <<'END'
29 o22 400 unknown_key tempratur
30 o1 400 duplicate_custom_id custom_id
31 o24 404 model_not_found model
32 o25 400 unsupported_parameter ignore_eos
33 o26 400 wrong_type max_tokens
34 o27 400 token_out_of_range prompt[1][0]
35 o28 400 nothing_to_condition_on prompt
36 o29 400 too_large max_tokens
37 o30 400 invalid_value url
38 o31 400 invalid_value messages
39 o32 400 invalid_value messages
40 o33 400 invalid_value continuations
41 o-get 400 invalid_value method
42 o-none 400 missing_field body
43 null 400 invalid_json null
44 null 400 wrong_type custom_id
45 bad native unknown_key contxt
46 46 native invalid_json null
END
jq -r 'if .response then
    "\(.line) \(.custom_id) \(.response.status_code) \(.response.body.error |
        "\(.code) \(.param)")"
    else "\(.line) \(.id) native \(.error.code) \(.error.field)" end' \
    base.err >got
same want got "the errors"

# body ID FILTER: of an OpenAI answer
body() { jq -c "select(.custom_id == \"$1\") | .response.body | $2" base.out; }
native() { jq -c "select(.id == \"$1\") | $2" base.out; }

# The same text, whoever asks.
equal "$(body o1 '.choices[0].text')" "$(native n4 .text)" "the greedy text"
equal "$(body o16 '[.choices[].logprob]')" "$(native n2 .logprobs)" \
    "log-probabilities of choices"
equal "$(body o16 '.choices[0].logprob')" "$(native n1 .logprob)" \
    "the log-probability of a target"
equal "$(body o19 '[.logprob, .tokens, .words, .bytes]')" \
    "$(native n3 '[.logprob, .tokens, .words, .bytes]')" "a rolling answer"
equal "$(native n6 '[.logprob, (.token_logprobs | add)] | map(. * 1e4 | round) |
    .[0] == .[1]')" true "that a target's log-probability is its tokens'"

# Samples are streams of their own.
equal "$(body o2 '[.choices[].text] | unique | length')" 3 "distinct samples"
equal "$(body o3 '[.choices[].index]')" '[0,1,2,3,4,5]' "indices of choices"

# What lm-evaluation-harness reads: four arrays of one length, the first token
# without a score, the token's own number among the likeliest ones.
jq -c 'select(.custom_id) | .response.body.choices[]? | select(.logprobs.tokens) |
    .logprobs' base.out >logprobs
equal "$(jq -c '[.tokens, .token_logprobs, .top_logprobs, .text_offset] |
    map(length) | unique | length' logprobs | sort -u)" 1 "lengths of arrays"
equal "$(jq -c '. as $l | [range(.tokens | length)] |
    all(. as $i | $l.top_logprobs[$i] == null or
        ([$l.top_logprobs[$i][]] | index($l.token_logprobs[$i])) != null)' \
    logprobs | sort -u)" true "that the token is among the likeliest"
equal "$(jq -c 'select(.token_logprobs[0] == null) | .top_logprobs[0]' logprobs |
    sort -u)" null "the first token's alternatives"
# So does that harness: it leaves out the context and the generated token.
equal "$(body o5 '.choices[1].logprobs.token_logprobs[2:-1]')" \
    "$(native n6 .token_logprobs)" "a target's tokens, echoed"
equal "$(body o5 '[.choices[] | .logprobs.tokens | length]')" '[4,5]' \
    "tokens of prompts with one generated"
equal "$(body o13 '.choices[0].logprobs.tokens | all(startswith("token_id:"))')" \
    true "tokens as ids"

# A generated token's number is that of scoring it, to the last bit: score the
# prompt and the tokens that were drawn in o6.
ids=$(body o13 '[.choices[0].logprobs.tokens[] | ltrimstr("token_id:") |
    tonumber]')
jq -nc --argjson ids "$ids" '{id: "s", context: "x", target_ids: $ids,
    top_logprobs: 2}' >score.jsonl
expect 0 skein run -q score.jsonl -m "$SRC/examples/model" -o score.out -d cpu
equal "$(jq -c .token_logprobs score.out)" \
    "$(body o13 '.choices[0].logprobs.token_logprobs')" \
    "scores of generated tokens"

expect 0 skein run -q "$SRC/examples/batch.jsonl" -m "$SRC/examples/model" \
    -o example.out -d cpu

# A checkpoint is called by its file's name, less the suffix.
cp "$SRC/examples/model/model.safetensors" x.safetensors
sed -n 1p in.jsonl >one.jsonl
expect 3 skein run -q one.jsonl -m x.safetensors -o one.out -d cpu \
    --tokenizer "$SRC/examples/model/rwkv_vocab_demo.txt"
cp "$SRC/examples/model/model.safetensors" model.safetensors
expect 0 skein run -q one.jsonl -m model.safetensors -o one.out -d cpu \
    --tokenizer "$SRC/examples/model/rwkv_vocab_demo.txt" --fresh

# The job's seed and the time of submission are the only other influences.
all seed -d cpu --seed 1
CHECKS=$((CHECKS + 1))
cmp -s base.out seed.out && fail "--seed has no influence"
equal "$(jq -r '.response.body.created // empty' base.out | sort -u)" 0 \
    "the time of creation"
