#!/bin/sh
# skein-bench on a host without a GPU: random models and log-probabilities.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bench=$BIN/skein-bench
fail() {
    echo "FAIL $*"
    exit 1
}
refuse() { # TEXT ARGUMENTS...
    text=$1
    shift
    if "$bench" "$@" >"$tmp/out" 2>&1; then fail "$* succeeds"; fi
    grep -qF -e "$text" "$tmp/out" || {
        cat "$tmp/out"
        fail "$*: no \"$text\""
    }
}

refuse 'one of 0.1B, 0.4B, 1.5B, 2.9B, 7.2B expected' make-model --shape 9B x
refuse '--shape and OUT expected' make-model --shape 0.1B
refuse '--seed x: a whole number expected' make-model --seed x
refuse '"--sede" is not understood' make-model --sede 1
refuse '--seed: a value expected' make-model --seed

"$bench" make-model --shape 0.1B "$tmp/m"
"$BIN/skein-model" inspect "$tmp/m" >"$tmp/out"
grep -q 'L 12 layers, C 768 channels, H 12 heads of N 64' "$tmp/out" || {
    cat "$tmp/out"
    fail 'not the shape of 0.1B'
}

printf '0 5 9 1 65535\n7 7\n' >"$tmp/tokens"
"$bench" logprobs --backend cpu --rows 2 "$tmp/m" "$tmp/tokens" >"$tmp/out"
[ "$(awk '{ print NF }' "$tmp/out" | tr '\n' ' ')" = '4 1 ' ] || fail "$(cat "$tmp/out")"

logprobs() {
    "$bench" logprobs --backend cpu --rows "$1" "$SRC/examples/model" "$tmp/tokens"
}
wrong() { # TEXT TOKENS
    printf %b "$2" >"$tmp/tokens"
    refuse "$1" logprobs --backend cpu "$SRC/examples/model" "$tmp/tokens"
}
printf '0 5 9 1 2303\n7 7\n' >"$tmp/tokens"
logprobs 100 >"$tmp/all"
logprobs 3 >"$tmp/cut"
cmp "$tmp/all" "$tmp/cut"
wrong 'line 2: ids from 0 to 2303 expected' '1 2\n3 2304\n'
wrong 'line 2: two ids at least expected' '1 2\n3\n'
wrong 'line 1: ids from 0 to 2303 expected' '1 x\n'
wrong 'no sequences' ''
