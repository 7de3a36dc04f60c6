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

finish() {
    printf '%d checks, %d failed\n' "$checks" "$failures"
    [ "$failures" -eq 0 ]
    exit
}
