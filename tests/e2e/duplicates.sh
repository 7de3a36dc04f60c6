#!/usr/bin/env bash
# tests/e2e/duplicates.sh - ids given more than once, in a large file
#
# 400,000 lines are more ids than the coordinator holds in memory: they are
# sorted in runs in the spool. The second and later lines of an id are errors
# that name the first, wherever they are; and so after kill -9 in the middle,
# and after the disk was full in the middle.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

LINES=400000

# Ids rise; lines 1000, 301000 and 400000 have that of line 5, 200000 that of
# 199999; line 300000 says 12 as line 12 does by default.
awk -v n=$LINES 'BEGIN {
    for (i = 1; i <= n; i++) {
        id = "\"r" i "\""
        if (i == 1000 || i == 301000 || i == n) id = "\"r5\""
        if (i == 200000) id = "\"r199999\""
        if (i == 300000) id = 12
        if (i == 12) printf "{\"context\":\"a\",\"target\":\" b\"}\n"
        else printf "{\"id\":%s,\"context\":\"a %d\",\"target\":\" b\"}\n", id, i
    }
}' >in.jsonl
cat >want <<'END'
1000 this id was given on line 5 already
200000 this id was given on line 199999 already
300000 this id was given on line 12 already
301000 this id was given on line 5 already
400000 this id was given on line 5 already
END

# check_job WHAT: the last job has exactly these errors
check_job() {
    expect 1 skein wait -q last
    expect 0 skein show last --json
    equal "$(jq -c '[.lines, .request_counts.total]' <<<"$OUT")" \
        "[$LINES,$LINES]" "$1: lines and requests"
    expect 0 skein errors -q last
    jq -r 'select(.error.code == "duplicate_id") |
        "\(.line) \(.error.message)"' <<<"$OUT" >got
    same want got "$1: the duplicates"
    equal "$(wc -l <<<"$OUT")" 5 "$1: the number of errors"
}

start_skeind
start_worker w1
W1=$WORKER
expect 0 skein submit -q in.jsonl -m null
check_job "an undisturbed submit"
equal "$(find spool/.staging -type f | wc -l)" 0 "files left in .staging"

# The client comes back by itself; the coordinator starts with nothing of it.
"$BIN/skein" submit -q in.jsonl -m null >id 2>submit.log &
client=$!
until_true 60 "the first sorted run" \
    sh -c "ls -l /proc/$SKEIND/fd | grep -q 'scratch-.*deleted'"
stop "$SKEIND" KILL
start_skeind
code=0
wait "$client" || code=$?
equal "$code" 0 "the exit status of a submit across kill -9"
equal "$(skein ls -a --json | jq length)" 2 "the number of jobs"
check_job "a submit across kill -9"
equal "$(find spool/.staging -type f | wc -l)" 0 "files left in .staging"
stop "$W1"
stop "$SKEIND"

# A file system of 6 MB: room for a run, not for two beside the staged lines.
if mkdir small && mount -t tmpfs -o size=6m none small 2>/dev/null; then
    MOUNTS+=("$WORK/small")
    start skeind "$BIN/skeind" --spool "$WORK/small/spool" --listen "$SOCK"
    SKEIND=$PID
    expect 75 skein submit -q in.jsonl -m null
    says "$ERR" 'No space|full'
    alive "$SKEIND" || fail "the coordinator did not survive a full disk"
    equal "$(skein ls -a --json | jq length)" 0 "the number of jobs"
    mount -o remount,size=100m small
    expect 0 skein submit -q in.jsonl -m null
    start_worker w2
    check_job "a submit after the disk had been full"
    stop "$SKEIND"
    equal "$STATUS" 0 "the exit status of skeind"
else
    say "SKIP full file system: mounting a tmpfs needs root"
fi
