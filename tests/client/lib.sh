# tests/client/lib.sh - sourced by the scripts beside it
#
# Gives $dir (a fresh directory, removed at the end), the programs in $BIN, and
# checks that print what was expected and what came.
# shellcheck shell=bash
set -uo pipefail
: "${BIN:?the folder of the programs}"
BIN=$(cd "$BIN" && pwd -P)
skein=$BIN/skein
dir=$(mktemp -d /tmp/skein-client.XXXXXX)
failures=0
checks=0
pids=()
# Nothing of the user who runs the tests may change them.
export HOME=$dir XDG_CONFIG_HOME=$dir/config XDG_RUNTIME_DIR=$dir
unset SKEIN_SERVER SKEIN_MODEL SKEIN_CONFIG SKEIN_BOS SKEIN_DEVICES \
    SKEIN_TOKENIZER SKEIN_COLOR SOURCE_DATE_EPOCH NO_COLOR FORCE_COLOR \
    CLICOLOR_FORCE

clean_up() {
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    rm -rf "$dir"
}
trap clean_up EXIT

fail() { # fail TEXT...: count and say it
    failures=$((failures + 1))
    printf 'FAILED %s\n' "$*"
}

# run COMMAND...: keeps $rc, $out and $err.
run() {
    "$@" >"$dir/stdout" 2>"$dir/stderr" </dev/null
    rc=$?
    out=$(cat "$dir/stdout")
    err=$(cat "$dir/stderr")
}

# expect STATUS WHAT: the last run ended so.
expect() {
    checks=$((checks + 1))
    [ "$rc" -eq "$1" ] ||
        fail "$2: exit status $rc, expected $1; stdout: $out; stderr: $err"
}

# says FD PATTERN WHAT: stdout or stderr of the last run matches an extended
# regular expression.
says() {
    local text=$out
    checks=$((checks + 1))
    [ "$1" = stderr ] && text=$err
    grep -Eq -- "$2" <<<"$text" ||
        fail "$3: $1 does not match /$2/: $text"
}

same() { # same WHAT GOT EXPECTED
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}

# until_true SECONDS COMMAND...: wait for it.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# A coordinator and one null worker named w, which serves the model "null".
# SKEIN_SERVER names it from then on.
start_cluster() { # start_cluster [BACKEND-OPTIONS]
    export SKEIN_SERVER=ipc://$dir/sock
    "$BIN/skeind" --spool "$dir/spool" --listen "$SKEIN_SERVER" \
        2>"$dir/skeind.log" &
    pids+=($!)
    start_worker "${1-}"
    until_true 20 worker_ready || fail 'the worker is not ready after 20 s'
}
start_worker() { # start_worker [BACKEND-OPTIONS]: its process is $worker
    "$BIN/skein-worker" --connect "$SKEIN_SERVER" --name w --model null=null \
        --devices null ${1:+--backend-options "$1"} --tokens-per-step 512 \
        2>>"$dir/worker.log" &
    worker=$!
    pids+=("$worker")
}
worker_ready() {
    "$skein" worker ls --format state --no-header 2>/dev/null | grep -qx ready
}

# lines N: N scoring records.
lines() {
    awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++)
        printf "{\"id\":\"r%d\",\"context\":\"a\",\"target\":\" b\"}\n", i }'
}

finish() {
    printf '%d checks, %d failed\n' "$checks" "$failures"
    [ "$failures" -eq 0 ]
    exit
}
