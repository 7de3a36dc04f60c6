#!/bin/bash
# skein-model's command line: what it prints, writes and refuses.
set -u
golden=$SRC/tests/golden
model=$SRC/examples/model
data=$SRC/../shared/rwkv7/data
tool=$BIN/skein-model
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# expect STATUS PATTERN COMMAND...: exit status, and a regular expression that
# the output, standard error included, matches.
expect() {
    local want=$1 pattern=$2 got
    shift 2
    "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    [ $got -eq "$want" ] || fail "$*: exit status $got, expected $want"
    [ -z "$pattern" ] || grep -qE -- "$pattern" "$dir/out" \
        || fail "$*: no /$pattern/ in: $(head -c 400 "$dir/out")"
}

# Usage.
expect 2 Usage: "$tool"
expect 0 'inspect +what' "$tool" --help
expect 0 '^skein-model [0-9]' "$tool" --version
expect 2 'no command "dance"' "$tool" dance
expect 2 'did you mean inspect' "$tool" inspct
expect 2 '--tokens IDS is required' "$tool" logits x
expect 2 'did you mean fp32' "$tool" convert a b --format fla --dtype fp3
for command in inspect tokenize detokenize logits convert verify; do
    expect 0 "Usage: skein-model $command" "$tool" $command --help
    expect 0 "^skein-model $command - " "$tool" $command --help
    expect 2 "^  skein-model $command --help" "$tool" $command --nonsense x y
    expect 2 "^  skein-model $command --help" "$tool" $command
    expect 2 'did you mean --help' "$tool" $command --hlp
done
expect 5 'no such|No such' "$tool" logits "$dir/none" --tokens 1
expect 5 'No such' "$tool" inspect "$dir/none"

# inspect
expect 0 'architecture  RWKV-7 \(x070\), names of BlinkDL' \
    "$tool" inspect "$golden/small16.pth"
expect 0 '^unused +blocks\.0\.att\.v1' "$tool" inspect "$golden/small16.pth"
expect 0 '^blocks\.2\.att\.key\.weight +BF16 +\[48, 48\]' \
    "$tool" inspect "$golden/small16.pth" --tensors
expect 0 'rwkv_vocab_demo.txt, world, 2304 ids' "$tool" inspect "$model"
expect 0 '"runnable":true.*"L":3,"C":48,"H":3,"N":16,"F":80,"V":101' \
    "$tool" inspect --json "$golden/small16-fla-sharded"
print() {
    "$tool" inspect "$1" | grep -E '^(weights|fingerprint)'
}
[ "$(print "$golden/small16.pth")" = "$(print "$golden/small16-fla-sharded")" ] \
    || fail "one model in two formats has two fingerprints"

# logits
expect 65 'token id 101 is outside 0..100' \
    "$tool" logits "$golden/small16.pth" --tokens 0,101
expect 2 'not a list of token ids' \
    "$tool" logits "$golden/small16.pth" --tokens 0,,1
expect 2 'only cpu' \
    "$tool" logits "$golden/small16.pth" --tokens 0 --backend tpu
long=$(seq -s, 0 100),$(seq -s, 100 -1 0)
for isa in portable avx2 avx512; do
    if ! "$tool" logits "$model" --tokens 0 --backend cpu:isa=$isa \
        >"$dir/$isa" 2>/dev/null; then
        echo "SKIP cpu:isa=$isa: not on this CPU"
        continue
    fi
    "$tool" logits "$model" --tokens "$long" --all --backend cpu:isa=$isa \
        >"$dir/$isa"
    cmp "$dir/portable" "$dir/$isa" || fail "$isa gives other logits"
done

# convert and verify
for from in small16.pth small16-xx-fla.safetensors \
    small32-noln0-bias-blink.safetensors; do
    "$tool" convert "$golden/$from" "$dir/fla" --format fla 2>"$dir/err" \
        || fail "convert $from: $(cat "$dir/err")"
    "$tool" convert "$dir/fla" "$dir/back.safetensors" --format blink \
        2>"$dir/err" || fail "convert back: $(cat "$dir/err")"
    expect 0 ' 0 rounded, 0 different, 0 in one' \
        "$tool" verify "$golden/$from" "$dir/back.safetensors"
    expect 0 'max \|delta\| 0, mean' "$tool" verify "$golden/$from" "$dir/fla"
    rm -r "$dir/fla"
done
expect 0 'left out, not used: blocks\.0\.att\.v2' \
    "$tool" convert "$golden/small16.pth" "$dir/fla" --format fla
grep -q '"num_heads": 3,' "$dir/fla/config.json" \
    || fail "config.json: $(cat "$dir/fla/config.json")"
expect 0 '"bos_token_id": 0' cat "$dir/fla/config.json"

expect 0 '' "$tool" convert "$model" "$dir/bf16" --format fla --dtype bf16
expect 0 'BF16 x 84' "$tool" inspect "$dir/bf16" --no-hash
expect 0 '' "$tool" convert "$model" "$dir/fp16" --format fla --dtype fp16
expect 0 'equal within dtype tolerance' "$tool" verify "$model" "$dir/fp16"
expect 0 'WARNING' "$tool" convert "$model" "$dir/all" --format fla --all-bf16
expect 0 'tensors +201: BF16 x 201' "$tool" inspect "$dir/all" --no-hash
expect 0 '[1-9][0-9]* rounded, 0 different' "$tool" verify "$model" "$dir/all"
expect 0 '"logits_max_delta":[0-9]' \
    "$tool" verify --json "$golden/small16.pth" "$golden/small16-fla-sharded"
expect 1 'NOT equal' "$tool" verify "$golden/small16.pth" \
    "$golden/small32-noln0-bias-blink.safetensors"
expect 2 'exclude each other' "$tool" convert "$model" "$dir/x" --format fla \
    --dtype bf16 --all-bf16
expect 2 'not one of fla, blink' "$tool" convert "$model" "$dir/x" --format gguf
expect 65 'is a directory' "$tool" convert "$model" "$dir" --format blink
expect 74 'nonexistent' "$tool" convert "$model" /nonexistent/x --format blink
for file in "$dir"/*.??????; do # names of mkstemp()
    [ ! -e "$file" ] || fail "left behind: $file"
done

# One changed bit in one tensor is found and named.
cp "$golden/small16-blink.safetensors" "$dir/changed.safetensors"
size=$(stat -c %s "$dir/changed.safetensors")
printf '\x01\x7b' | dd of="$dir/changed.safetensors" bs=1 \
    seek=$((size - 2000)) conv=notrunc status=none
expect 1 '^different +head\.weight +max' \
    "$tool" verify "$golden/small16.pth" "$dir/changed.safetensors"

# tokenize and detokenize
lines() { # EXPECTED COMMAND: standard input through it
    local want=$1 got
    shift
    got=$("$@" 2>"$dir/err")
    [ "$got" = "$want" ] || fail "$*: got $got, expected $want"
}
vocab=$model/rwkv_vocab_demo.txt
printf '{"text":"Tom has"}\n\n{"base64":"/wA="}\n{"text":""}\n' \
    | "$tool" tokenize "$model" >"$dir/ids" || fail "tokenize"
"$tool" detokenize --tokenizer "$vocab" <"$dir/ids" >"$dir/texts" \
    || fail "detokenize"
printf '{"text":"Tom has"}\n{"base64":"/wA="}\n{"text":""}\n' \
    | cmp - "$dir/texts" || fail "round trip: $(cat "$dir/texts")"
lines '{"ids":[256,1]}' "$tool" tokenize --tokenizer "$vocab" \
    <<<'{"base64":"/wA="}'
lines '{"text":"\u0000A"}' "$tool" detokenize "$model" <<<'{"ids":[1,66]}'
{
    echo '{"text":"A"}'
    echo 'nonsense'
    echo '{"text":"A","more":1}'
    echo '{"base64":"/wA"}'
    echo '{"text":7}'
    echo '{"text":"B"}'
} | "$tool" tokenize "$model" >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ] || fail "bad lines: exit status"
[ "$(grep -c error "$dir/out") $(wc -l <"$dir/out")" = "4 6" ] \
    || fail "bad lines: $(cat "$dir/out")"
grep -q 'line 2: ' "$dir/err" || fail "bad lines: $(cat "$dir/err")"
grep -q 'line 4: not base64' "$dir/err" || fail "bad lines: $(cat "$dir/err")"
expect 65 'ids\[1\] is not a token id 0\.\.2303' \
    bash -c "echo '{\"ids\":[1,2304]}' | '$tool' detokenize '$model'; exit 65"

head -c 6000 /dev/urandom | split -b 60 - "$dir/random."
for file in "$dir"/random.*; do
    printf '{"base64":"%s"}\n' "$(base64 -w0 "$file")"
done >"$dir/bytes.jsonl"
"$tool" tokenize "$model" <"$dir/bytes.jsonl" | "$tool" detokenize "$model" \
    | cmp - "$dir/bytes.jsonl" || fail "random bytes changed on the way"

# The original of reverse-l2: other names, the same bytes.
if [ ! -d "$data" ]; then
    echo "SKIP the original reverse-l2 checkpoint: no ../shared/rwkv7/data"
    exit $failed
fi
original=$data/external/260123_reverse_L2_only_rwkv7.pth
expect 0 'not a plain RWKV-7 language model' "$tool" inspect "$original"
expect 65 'not a plain RWKV-7' "$tool" logits "$original" --tokens 1
[ "$("$tool" inspect --tensors "$original" | grep -c '  F32   \[')" = 99 ] \
    || fail "not all 99 tensors are listed"
hashes() { # FILE: lines "name shape blake2b"
    "$tool" inspect --no-hash --tensors --json "$1" \
        | grep -oE '"name":"[^"]*","dtype":"[^"]*","shape":\[[^]]*\],"used":[a-z]*,"blake2b":"[^"]*"' \
        | sed -E 's/"name":"([^"]*)","dtype":"([^"]*)","shape":\[([^]]*)\],.*"blake2b":"([^"]*)"/\1 \2 \3 \4/' \
        | tr -d ',' | sort
}
# Renamed; of the ROSA branch (rosaN.*, its norm lnNc) only rosaN.o.bias is left.
hashes "$original" | grep -vE '^rosa[12]\.(x_|q|k|v|rosa|o\.weight)|^ln[12]c' \
    >"$dir/original"
hashes "$data/reverse-l2/reverse-blink.safetensors" >"$dir/blink"
sed -E -e 's/^e\./emb./' -e 's/^lno\./ln_out./' -e 's/^o\./head./' \
    -e 's/^rosa1\.o\./blocks.0.att.output./' \
    -e 's/^rosa2\.o\./blocks.1.att.output./' \
    -e 's/^rwkv1\./blocks.0.att./' -e 's/^rwkv2\./blocks.1.att./' \
    -e 's/^ffn1\./blocks.0.ffn./' -e 's/^ffn2\./blocks.1.ffn./' \
    -e 's/^ln1a\./blocks.0.ln1./' -e 's/^ln2a\./blocks.1.ln1./' \
    -e 's/^ln1b\./blocks.0.ln2./' -e 's/^ln2b\./blocks.1.ln2./' \
    "$dir/original" | sort >"$dir/renamed"
diff "$dir/renamed" "$dir/blink" || fail "the two checkpoints differ"
exit $failed
