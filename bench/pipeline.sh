#!/usr/bin/env bash
# bench/pipeline.sh - the queue's speed: submit to last byte of results
#
# Usage: bench/pipeline.sh [RECORDS] [BUILD-DIR]      (default 1000000 build)
# One skeind, one skein-worker with the null backend, scoring records of about
# 200 bytes. Prints wall times, records/s and the peak resident memory of every
# process, and checks that the output has every id once and in order.
set -euo pipefail
cd "$(dirname "$0")/.."
records=${1:-1000000}
bin=${2:-build}/bin
dir=$(mktemp -d /tmp/skein-bench.XXXXXX)
pids=()
stop() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap stop EXIT

awk -v n="$records" 'BEGIN {
    for (i = 1; i <= n; i++)
        printf "{\"id\":\"rec-%07d\",\"context\":\"%s %d %s\",\"target\":\" %s\"}\n", i,
            "In a village by the river lived a miller with three daughters and", i * 7919 % 100003,
            "geese, who flew south each autumn and came back each spring", "word" i % 977
}' >"$dir/in.jsonl"
printf 'input          %d records, %d bytes\n' "$records" "$(stat -c %s "$dir/in.jsonl")"

export SKEIN_SERVER=ipc://$dir/sock
"$bin/skeind" --spool "$dir/spool" --listen "$SKEIN_SERVER" 2>"$dir/skeind.log" &
pids+=($!)
"$bin/skein-worker" --connect "$SKEIN_SERVER" --model null=null --devices null \
    2>"$dir/worker.log" &
pids+=($!)
until "$bin/skein" worker ls --json 2>/dev/null | grep -q '"ready"'; do
    sleep 0.1
    for pid in "${pids[@]}"; do kill -0 "$pid" || { cat "$dir"/*.log; exit 1; }; done
done

now() { date +%s.%N; }
t0=$(now)
job=$(/usr/bin/env time -f '%M' -o "$dir/submit.rss" "$bin/skein" submit "$dir/in.jsonl" -m null 2>/dev/null)
t1=$(now)
"$bin/skein" wait "$job" 2>/dev/null
t2=$(now)
/usr/bin/env time -f '%M' -o "$dir/results.rss" "$bin/skein" results "$job" -o "$dir/out.jsonl" 2>/dev/null
t3=$(now)

awk -v a="$t0" -v b="$t1" -v c="$t2" -v d="$t3" -v n="$records" 'BEGIN {
    printf "submit         %6.2f s\n", b - a
    printf "rest of job    %6.2f s\n", c - b
    printf "results        %6.2f s\n", d - c
    printf "whole          %6.2f s   %d records/s (target 100000)\n", d - a, n / (d - a)
}'
peak() { awk '/VmHWM/ { printf "%d MiB", $2 / 1024 }' "/proc/$1/status"; }
printf 'peak resident  skeind %s, worker supervisor %s' "$(peak "${pids[0]}")" "$(peak "${pids[1]}")"
for rank in $(pgrep -P "${pids[1]}"); do printf ', rank %s' "$(peak "$rank")"; done
printf ', submit %d MiB, results %d MiB (target 256)\n' \
    $(($(cat "$dir/submit.rss") / 1024)) $(($(cat "$dir/results.rss") / 1024))

awk -F'"' -v n="$records" '$4 != sprintf("rec-%07d", NR) { bad++ }
    END { if (NR != n || bad) { printf "WRONG: %d lines, %d out of order\n", NR, bad; exit 1 } }' \
    "$dir/out.jsonl"
echo 'output         every id once, in order'
