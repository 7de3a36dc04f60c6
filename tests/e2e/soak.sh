#!/usr/bin/env bash
# tests/e2e/soak.sh - a file of many lines: memory flat, order right
#
# Usage: tests/e2e/soak.sh [LINES]     (10,000,000: some minutes, 5 GB in TMPDIR)
# One job of all lines and ten jobs of a tenth each, on the null backend. The
# outputs must be equal byte for byte, every line answered once and in order;
# no process may use more than 256 MiB, nor much more for the whole than for a
# tenth. Then an id that is given again in every tenth.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

LINES=${1:-10000000}
PART=$((LINES / 10))
MEMORY_MIB=256
GROWTH_MIB=96 # a shard takes 100 bytes; the queues of a busy worker fill up

skein() { "$BIN/skein" "$@"; } # longer than the others' time limit
seconds() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

# part K: its lines; ids are unique in the whole file
part() {
    awk -v from=$((PART * ($1 - 1) + 1)) -v n=$PART 'BEGIN {
        for (i = from; i < from + n; i++)
            printf "{\"id\":\"r%08d\",\"context\":\"%s %d %s\",\"target\":\" %s\"}\n",
                i, "In a village by the river lived a miller with", i * 7919 % 100003,
                "geese, who flew south each autumn", "word" i % 977
    }'
}

# peak PID: MiB
peak() { awk '/VmHWM/ { printf "%d", $2 / 1024 }' "/proc/$1/status"; }
# peaks: of skeind, the worker and its ranks
peaks() {
    local rank
    echo "skeind $(peak "$SKEIND")"
    echo "worker $(peak "$WORKER")"
    for rank in $(pgrep -P "$WORKER"); do echo "rank $(peak "$rank")"; done
}

# job INPUT OUTPUT: through the system; the client's peaks in client.rss
job() {
    local id
    id=$(command time -f 'submit %M' -o submit.rss "$BIN/skein" submit -q "$1" -m null)
    skein wait -q "$id"
    command time -f 'results %M' -o results.rss "$BIN/skein" results -q "$id" -o "$2"
    awk '{ printf "%s %d\n", $1, $2 / 1024 }' submit.rss results.rss >client.rss
    skein rm -q "$id" 2>/dev/null || true
}

# within LIMIT FILE WHAT: every number of the file
within() {
    local name mib
    while read -r name mib; do
        CHECKS=$((CHECKS + 1))
        [ "$mib" -le "$1" ] || fail "$name used $mib MiB, more than $1: $3"
    done <"$2"
}

start_skeind
start_worker w1
wait_ready 1

for k in $(seq 10); do
    part "$k" >part.jsonl
    cat part.jsonl >>whole.jsonl
    start=$(date +%s.%N)
    job part.jsonl out.jsonl
    say "part $k of 10: $(seconds "$start") s"
    cat out.jsonl >>parts.out
    if [ "$k" = 1 ]; then
        peaks >first.mib
        cat client.rss >>first.mib
    fi
done
rm part.jsonl out.jsonl

say "the whole: $(wc -l <whole.jsonl) lines, $(stat -c %s whole.jsonl) bytes"
start=$(date +%s.%N)
job whole.jsonl whole.out
took=$(seconds "$start")
say "submit to last byte of results: $took s, $(awk -v n="$LINES" -v s="$took" \
    'BEGIN { printf "%d", n / s }') lines/s"
peaks >whole.mib
cat client.rss >>whole.mib
paste first.mib whole.mib | awk '{ printf "peak of %-8s %4d MiB after a tenth, %4d MiB after all\n", $1, $2, $4 }'
within $MEMORY_MIB whole.mib "the bound"
paste first.mib whole.mib | awk '{ print $1, $4 - $2 }' >growth.mib
within $GROWTH_MIB growth.mib "growth from a tenth to the whole"

equal "$(sha256sum <whole.out)" "$(sha256sum <parts.out)" \
    "the hash of the whole's output"
equal "$(awk -F'"' '$4 != sprintf("r%08d", NR) { bad++ } END { print NR, bad + 0 }' \
    whole.out)" "$LINES 0" "the number of answers, and of those out of order"
rm parts.out

# A line in each further tenth has the id of line 5.
awk -v part=$PART 'NR % part == 5 && NR > part {
        sub(/r[0-9]*/, "r00000005")
    } { print }' whole.jsonl >twice.jsonl
rm whole.jsonl
expect 1 skein submit -q twice.jsonl -m null --wait
expect 0 skein errors -q last
equal "$(jq -r '"\(.line) \(.error.message)"' <<<"$OUT")" \
    "$(for k in $(seq 9); do
        echo "$((k * PART + 5)) this id was given on line 5 already"
    done)" "the duplicates"
peaks >twice.mib
within $MEMORY_MIB twice.mib "the bound, with duplicates"
