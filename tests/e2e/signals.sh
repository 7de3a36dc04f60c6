#!/usr/bin/env bash
# tests/e2e/signals.sh - signals reach the worker's loop, whoever has threads
#
# With EARLY_THREAD (a library to preload) there is a thread in the supervisor
# before its loop begins, as with a GPU's driver. A rank that is killed is
# noticed at once and SIGTERM drains, all the same.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

model=$SRC/examples/model
[ -e "$model/model.safetensors" ] || skip "$model is not there"
[ -e "${EARLY_THREAD:-}" ] || skip "no EARLY_THREAD"
export ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0

threads() { ls "/proc/$WORKER/task" | wc -l; }
lost() { grep -q 'group-lost:.*killed by signal 9' w1.log; }
ready() { [ "$(grep -c 'worker: ready:' w1.log)" -ge "$1" ]; }

start_skeind
echo 'stall_s: 3600' >worker.yaml
LD_PRELOAD=$EARLY_THREAD start_worker w1 --config worker.yaml \
    --model "m=$model" --devices auto
until_true 60 "the ranks" ready 1
kill -KILL "$(pgrep -P "$WORKER" | head -n 1)"
until_true 20 "the end of the group" lost
until_true 60 "another group" ready 2
wait_ready 1
expect 0 skein submit -q -w "$SRC/examples/cloze.jsonl" -m m
stop "$WORKER"
equal "$STATUS" 0 "the worker's exit status after SIGTERM"
says "$(tail -n 1 w1.log)" 'exit: done'
