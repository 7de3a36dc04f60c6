#!/usr/bin/env bash
# tests/e2e/invariance.sh - the same bits, whatever the cluster does
#
# Every way to compute a file must give the same bytes: again, on two ranks, in
# another order, in steps of any size, through a coordinator with two workers.
# First the demo model with all kinds of records, then, when ../shared is there,
# 500 lambada lines as token ids with the `tiny` model, whose log-probabilities
# must also be within 1e-4 of float64 (lambada_tiny.jsonl).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# sorted FILE: its lines in the order of their ids
sorted() { jq -r '"\(.id)\t\(tojson)"' "$1" | sort | cut -f 2-; }

# shuffled FILE: by $SEED
shuffled() {
    shuf --random-source=<(yes "$SEED") "$1"
}

# all_ways NAME MODEL-OPTION...: NAME.jsonl in every way; NAME.base is the first
all_ways() {
    local name=$1
    shift
    expect 0 skein run -q "$name.jsonl" "$@" -d cpu -o "$name.base"
    equal "$(wc -l <"$name.base")" "$(wc -l <"$name.jsonl")" \
        "the number of answers to $name"

    expect 0 skein run -q "$name.jsonl" "$@" -d cpu -o "$name.again"
    same "$name.base" "$name.again"

    expect 0 skein run -q "$name.jsonl" "$@" -d cpu,cpu -o "$name.ranks"
    same "$name.base" "$name.ranks"

    for n in 7 4096; do
        expect 0 skein run -q "$name.jsonl" "$@" -d cpu -o "$name.step$n" \
            --tokens-per-step $n
        same "$name.base" "$name.step$n"
    done

    shuffled "$name.jsonl" >"$name.shuffled.jsonl"
    expect 0 skein run -q "$name.shuffled.jsonl" "$@" -d cpu -o "$name.shuffled"
    CHECKS=$((CHECKS + 1))
    cmp -s "$name.base" "$name.shuffled" && fail "$name was not shuffled"
    same <(sorted "$name.base") <(sorted "$name.shuffled") \
        "$name and its shuffle, sorted again"
    say "$name: same bytes in 6 ways"
}

# through_cluster NAME MODEL-PATH: three times the records, so that there are
# shards for both workers. Copies differ in their ids only.
through_cluster() {
    local name=$1 copy
    for copy in a b c; do
        jq -c --arg c "$copy" '.id += $c' "$name.jsonl"
    done >"$name.copies.jsonl"
    start_skeind
    start_worker w1 --model "m=$2" --devices cpu --tokens-per-step 512
    local w1=$WORKER
    start_worker w2 --model "m=$2" --devices cpu,cpu --tokens-per-step 100
    local w2=$WORKER
    wait_ready 2
    expect 0 skein submit -q "$name.copies.jsonl" -m m
    expect 0 skein wait -q last
    expect 0 skein results -q last -o "$name.copies"
    for copy in a b c; do
        same <(grep -E "^\{\"id\":\"[^\"]*$copy\"" "$name.copies" |
            sed -E "s/^(\{\"id\":\"[^\"]*)$copy\"/\1\"/") "$name.cluster" \
            "copy $copy of $name through a coordinator"
    done
    skein worker ls --json >workers
    equal "$(jq '[.[] | select(.records_done > 0)] | length' workers)" 2 \
        "the number of workers that did something"
    stop "$w1"
    equal "$STATUS" 0 "the exit status of worker w1"
    stop "$w2"
    stop "$SKEIND"
    equal "$STATUS" 0 "the exit status of skeind"
    rm -rf spool
    say "$name: same bytes from 2 workers"
}

# ---- the demo model: every kind of record, text and ids ----

model=$SRC/examples/model
if [ -e "$model/model.safetensors" ]; then
    {
        head -n 40 "$SRC/examples/choices.jsonl"
        head -n 40 "$SRC/examples/cloze.jsonl"
        head -n 60 "$SRC/examples/sentences.jsonl"
        head -n 10 "$SRC/examples/stories.jsonl"
        cat "$SRC/examples/prompts.jsonl"
        # Sampled, with seeds that come from ids.
        jq -c '.id = "s" + .id | .temperature = 0.9 | .top_p = 0.95
            | .max_tokens = 24 | del(.seed)' "$SRC/examples/prompts.jsonl"
        # A document far longer than a step.
        jq -cs '{id: "long", text: (map(.text) | join("\n\n"))}' \
            <(head -n 12 "$SRC/examples/stories.jsonl")
    } | jq -c . >demo.jsonl
    all_ways demo -m "$model"
    cp demo.base demo.cluster
    # Sampling depends on the id: copies have other ids, so only the rest.
    jq -c 'select(.prompt == null or (.temperature // 0) == 0)' demo.jsonl \
        >greedy.jsonl
    jq -r .id greedy.jsonl >greedy.ids
    grep -E -f <(sed 's/.*/^\\{"id":"&"/' greedy.ids) demo.base >greedy.cluster
    for i in $(seq 8); do # enough for several shards
        jq -c --arg i "$i-" '.id = $i + .id' greedy.jsonl
    done >many.jsonl
    for i in $(seq 8); do
        sed -E "s/^\{\"id\":\"/&$i-/" greedy.cluster
    done >many.cluster
    through_cluster many "$model"

    # float64, when the goldens have these records
    golden=$SRC/tests/golden/demo-scores.jsonl
    if [ -e "$golden" ]; then
        worst=$(jq -n --slurpfile got demo.base --slurpfile want "$golden" '
            ($want | map({key: .id, value: .}) | from_entries) as $w
            | [$got[] | select($w[.id]) | . as $g | $w[.id] as $e
                | if $g.logprobs then [$g.logprobs, $e.logprobs] | transpose[]
                  elif $g.logprob then [$g.logprob, $e.logprob]
                  else empty end
                | (.[0] - .[1]) | fabs] | [length, max]' -c)
        say "demo: [numbers compared, largest distance from float64] = $worst"
        equal "$(jq '.[0] > 200 and .[1] < 1e-3' <<<"$worst")" true \
            "demo model close to float64"
    fi
else
    say "SKIP demo model: $model is not there"
fi

# ---- lambada and the tiny model ----

data=$SRC/../shared/rwkv7/data
if [ ! -e "$data/external/lambada_test.jsonl" ]; then
    say "SKIP lambada: $data is not there"
    exit 0
fi
# Bytes as token ids; the last word, with its space, is the target.
head -n 500 "$data/external/lambada_test.jsonl" | jq -c '
    def utf8: map(
        if . < 128 then .
        elif . < 2048 then 192 + (. / 64 | floor), 128 + . % 64
        elif . < 65536 then 224 + (. / 4096 | floor),
            128 + (. / 64 | floor) % 64, 128 + . % 64
        else 240 + (. / 262144 | floor), 128 + (. / 4096 | floor) % 64,
            128 + (. / 64 | floor) % 64, 128 + . % 64 end);
    (.text | explode) as $c | ($c | indices(32) | last) as $at
    | {id: "l\(1000 + input_line_number | tostring | .[1:])",
       context_ids: $c[:$at] | utf8, target_ids: $c[$at:] | utf8}
' >lambada.jsonl
all_ways lambada -m "$data/tiny/fla"
worst=$(jq -n -c --slurpfile got lambada.base --slurpfile want \
    "$SRC/tests/e2e/lambada_tiny.jsonl" '
    if ($got | map([.id, .greedy, .tokens])) != ($want | map([.id, .greedy, .tokens]))
    then "other ids, greedy flags or token counts"
    else [$got, $want] | transpose | map((.[0].logprob - .[1].logprob) | fabs)
        | max end')
say "lambada: largest distance from float64: $worst"
equal "$(jq '. < 1e-4' <<<"$worst")" true "lambada within 1e-4 of float64"
expect 0 skein run -q lambada.jsonl -m "$data/tiny/tiny-blink.safetensors" \
    -d cpu -o lambada.blink
same lambada.base lambada.blink "the same weights in BlinkDL layout"
cp lambada.base lambada.cluster
through_cluster lambada "$data/tiny/fla"
