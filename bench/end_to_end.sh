#!/usr/bin/env bash
# bench/end_to_end.sh - a scoring job through skeind and skein-worker on a GPU,
# beside the engine alone
#
# Usage: bench/end_to_end.sh [RECORDS] [SHAPE]            (default 100000 1.5B)
# Records have the lengths of bench/engine's target:mix, as token ids (so no
# tokenizer is measured), with two target tokens each. The clock runs from submit
# to the last byte of results; the model is loaded before. MODEL, DEVICES
# (cuda:0) and BIN (build-cuda/bin) may be set.
set -euo pipefail
src=$(cd "$(dirname "$0")/.." && pwd)
records=${1:-100000}
shape=${2:-1.5B}
bin=${BIN:-$src/build-cuda/bin}
devices=${DEVICES:-cuda:0}
dir=$(mktemp -d "${TMPDIR:-/tmp}/skein-bench.XXXXXX")
pids=()
stop() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap stop EXIT
now() { date +%s.%N; }

model=${MODEL:-}
if [ -z "$model" ]; then
    model=$dir/model.safetensors
    "$bin/skein-bench" make-model --shape "$shape" "$model"
fi
vocab=$("$bin/skein-model" inspect "$model" | sed -n 's/^dimensions.* V \([0-9]*\).*/\1/p')
awk -v n="$records" -v vocab="$vocab" 'BEGIN {
    srand(1); pi = atan2(0, -1)
    for (i = 1; i <= n; i++) {
        x = sqrt(-2 * log(1 - rand())) * cos(2 * pi * rand())
        len = int(exp(log(85) - 0.35 * 0.35 / 2 + 0.35 * x) + 0.5)
        len = len < 8 ? 8 : len > 512 ? 512 : len
        printf "{\"id\":\"rec-%07d\",\"context_ids\":[0", i
        for (t = 2; t < len; t++) printf ",%d", int(rand() * vocab)
        printf "],\"target_ids\":[%d,%d]}\n", int(rand() * vocab), int(rand() * vocab)
        tokens += len
    }
    print tokens >"/dev/stderr"
}' >"$dir/in.jsonl" 2>"$dir/tokens"
tokens=$(cat "$dir/tokens")
printf 'input          %d records, %d tokens fed\n' "$records" "$tokens"

# Any vocabulary will do, as ids are given: the bytes.
for ((i = 0; i < 256; i++)); do printf "%d b'\\\\x%02x' 1\n" $((i + 1)) "$i"; done >"$dir/vocab.txt"
export SKEIN_SERVER=ipc://$dir/sock
"$bin/skeind" --spool "$dir/spool" --listen "$SKEIN_SERVER" 2>"$dir/skeind.log" &
pids+=($!)
"$bin/skein-worker" --connect "$SKEIN_SERVER" --model "bench=$model" \
    --tokenizer "${TOKENIZER:-$dir/vocab.txt}" --devices "$devices" 2>"$dir/worker.log" &
pids+=($!)
until "$bin/skein" worker ls --json 2>/dev/null | grep -q '"ready"'; do
    sleep 0.2
    for pid in "${pids[@]}"; do
        kill -0 "$pid" 2>/dev/null || { cat "$dir"/*.log; exit 1; }
    done
done

t0=$(now)
job=$("$bin/skein" submit "$dir/in.jsonl" -m bench 2>/dev/null)
t1=$(now)
"$bin/skein" wait "$job" 2>/dev/null
"$bin/skein" results "$job" -o "$dir/out.jsonl" 2>/dev/null
t2=$(now)
for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
wait 2>/dev/null || true
pids=()

awk -v a="$t0" -v b="$t1" -v c="$t2" -v n="$records" -v t="$tokens" 'BEGIN {
    printf "submit         %6.2f s\n", b - a
    printf "whole          %6.2f s   %d records/s, %d tok/s\n", c - a, n / (c - a), t / (c - a)
}'
awk -F'"' -v n="$records" '$4 != sprintf("rec-%07d", NR) { bad++ }
    END { if (NR != n || bad) { printf "WRONG: %d lines, %d out of order\n", NR, bad; exit 1 } }' \
    "$dir/out.jsonl"
[[ $devices == cuda* ]] || exit 0
"$bin/skein-bench" engine --case target:mix "$model" >"$dir/engine"
sed -n 's/.*"case":"target:mix".*"tok_s":\([0-9]*\),"floor.*/\1/p' "$dir/engine" |
    awk -v a="$t0" -v c="$t2" -v t="$tokens" '{
        printf "engine alone   %d tok/s; end to end is %.1f %% of it (target 90)\n", $1, 100 * t / (c - a) / $1 }'
