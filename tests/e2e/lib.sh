# tests/e2e/lib.sh - real programs in a directory of their own
#
# Sourced by the scripts beside it, which run with BIN (the programs) and SRC
# (the source tree) set. On any exit, all that was started is killed and the
# directory removed; if the script failed, the logs are shown first, and
# KEEP=1 keeps the directory. SEED=N repeats what a script chose at random.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
: "${BIN:?is set by ctest; else: the folder of the programs}"
SRC=${SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
NAME=$(basename "$0" .sh)
SEED=${SEED:-$((($(date +%s) * 1000 + $$) % 1000000007))}
RANDOM=$((SEED % 32768))
# Settings of whoever runs the tests must not reach them.
unset "${!SKEIN_@}" SOURCE_DATE_EPOCH
export XDG_CONFIG_HOME=/nonexistent LC_ALL=C.UTF-8

REAL_BIN=$(readlink -f "$BIN")
WORK=$(mktemp -d "${TMPDIR:-/tmp}/skein-e2e.XXXXXX")
SOCK=ipc://$WORK/s
PIDS=()   # of what this script started and did not stop
MOUNTS=() # to be unmounted at the end
CHECKS=0
PID='' STATUS='' SKEIND='' WORKER='' OUT='' ERR='' # set by functions below
export XDG_RUNTIME_DIR=$WORK/runtime
# In a sanitizer build every report of any process is a failure.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$WORK/sanitizer
export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}log_path=$WORK/sanitizer
export TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$WORK/sanitizer
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$WORK"

for program in skein skeind skein-worker; do
    if [ ! -x "$BIN/$program" ]; then
        echo "no $BIN/$program: build it first"
        exit 1
    fi
done

# Nothing here takes minutes; a hang is a failure, 124.
skein() { timeout -k 5 200 "$BIN/skein" "$@"; }
say() { printf '%s: %s\n' "$NAME" "$*"; }

fail() {
    printf '%s: FAILED (SEED=%s): %s\n' "$NAME" "$SEED" "$*" >&2
    exit 1
}

skip() {
    say "SKIP $*"
    exit 77
}

# ---- processes ----

# start NAME COMMAND...: in the background, log in NAME.log, pid in $PID
start() {
    local log=$1.log
    shift
    "$@" >>"$log" 2>&1 &
    PID=$!
    PIDS+=("$PID")
}

# stop PID [SIGNAL]: end it, wait, and set $STATUS
stop() {
    local pid=$1 kept=() p
    kill -"${2:-TERM}" "$pid" 2>/dev/null || true
    STATUS=0
    wait "$pid" 2>/dev/null || STATUS=$?
    for p in "${PIDS[@]}"; do
        [ "$p" = "$pid" ] || kept+=("$p")
    done
    PIDS=("${kept[@]:+${kept[@]}}")
}

# start_skeind [OPTION...]: pid in $SKEIND
start_skeind() {
    start skeind "$BIN/skeind" --spool "$WORK/spool" --listen "$SOCK" "$@"
    SKEIND=$PID
    export SKEIN_SERVER=$SOCK
}

# start_worker NAME [OPTION...]: pid in $WORKER. With no --model: the null one.
start_worker() {
    local name=$1 null_model=(--model null=null --devices null) option
    shift
    for option in "$@"; do
        [ "$option" = --model ] && null_model=()
    done
    start "$name" "$BIN/skein-worker" --connect "$SOCK" --name "$name" \
        "${null_model[@]:+${null_model[@]}}" "$@"
    WORKER=$PID
}

# until_true SECONDS WHAT COMMAND...: poll
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what"
        sleep 0.05
    done
}

n_workers() {
    [ "$(skein worker ls --json | jq '[.[] | select(.state == "ready")] | length')" -ge "$1" ]
}

# wait_ready N: until N workers have announced themselves
wait_ready() {
    until_true 60 "$1 workers" n_workers "$1"
}

alive() { kill -0 "$1" 2>/dev/null; }

# Every program of ours that works in this directory or was told of it.
mine() {
    local p
    for p in /proc/[0-9]*; do
        p=${p#/proc/}
        [ "$p" = $$ ] || [ "$p" = "$BASHPID" ] && continue
        case $(readlink "/proc/$p/exe" 2>/dev/null) in
        "$REAL_BIN"/*) ;;
        *) continue ;;
        esac
        if { tr '\0' '\n' <"/proc/$p/cmdline"; } 2>/dev/null |
            grep -qF "$WORK" ||
            [ "$(readlink "/proc/$p/cwd" 2>/dev/null)" = "$WORK" ]; then
            echo "$p"
        fi
    done
}

show_logs() {
    local log
    for log in "$WORK"/*.log "$WORK"/*.skein/*.log; do
        [ -s "$log" ] || continue
        printf -- '---- the end of %s\n' "${log#"$WORK"/}"
        tail -n 25 "$log"
    done >&2
}

cleanup() {
    local status=$? pid mount log
    trap - EXIT INT TERM
    set +e
    for pid in "${PIDS[@]:+${PIDS[@]}}"; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in "${PIDS[@]:+${PIDS[@]}}"; do
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    for _ in $(seq 60); do # ranks end with their supervisor
        [ -z "$(mine)" ] && break
        sleep 0.05
    done
    for pid in $(mine); do
        printf '%s: left running: %s\n' "$NAME" \
            "$(tr '\0' ' ' <"/proc/$pid/cmdline")" >&2
        kill -KILL "$pid" 2>/dev/null
        [ "$status" = 0 ] && status=1
    done
    for log in "$WORK"/sanitizer.*; do
        [ -s "$log" ] || continue
        head -n 40 "$log" >&2
        status=1
    done
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        show_logs
    fi
    cd /
    for mount in "${MOUNTS[@]:+${MOUNTS[@]}}"; do
        umount -l "$mount"
    done
    if [ "${KEEP:-}" = 1 ]; then
        echo "kept: $WORK" >&2
    else
        rm -rf "$WORK"
    fi
    [ "$status" = 0 ] && printf '%s: ok, %d checks, SEED=%s\n' "$NAME" \
        "$CHECKS" "$SEED"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- assertions ----

# expect STATUS COMMAND...: its exit status; output in $OUT, messages in $ERR
expect() {
    local want=$1 got=0
    shift
    "$@" >"$WORK/.out" 2>"$WORK/.err" || got=$?
    OUT=$(cat "$WORK/.out")
    ERR=$(cat "$WORK/.err")
    CHECKS=$((CHECKS + 1))
    [ "$got" = "$want" ] && return
    printf -- '---- stdout\n%s\n---- stderr\n%s\n' "$OUT" "$ERR" | tail -n 40 >&2
    fail "exit status $got instead of $want: $*"
}

# same A B [WHAT]: byte for byte; else the first differences
same() {
    CHECKS=$((CHECKS + 1))
    cmp -s "$1" "$2" && return
    diff -u --label "$1" --label "$2" "$1" "$2" | cut -c 1-200 | head -n 20 >&2
    fail "${3:-$1 and $2} differ ($(wc -l <"$1") and $(wc -l <"$2") lines)"
}

# equal GOT WANT WHAT
equal() {
    CHECKS=$((CHECKS + 1))
    [ "$1" = "$2" ] && return
    fail "$3 is '$1' instead of '$2'"
}

# says TEXT PATTERN: an extended regular expression
says() {
    CHECKS=$((CHECKS + 1))
    grep -Eq -- "$2" <<<"$1" && return
    fail "'$1' does not say /$2/"
}

# gone PATH...: nothing there
gone() {
    local path
    for path in "$@"; do
        CHECKS=$((CHECKS + 1))
        [ ! -e "$path" ] || fail "$path is still there"
    done
}

# nothing_runs: no process of ours is left
nothing_runs() {
    local end=$((SECONDS + 10))
    CHECKS=$((CHECKS + 1))
    while [ -n "$(mine)" ]; do
        [ "$SECONDS" -lt "$end" ] || fail "still running: $(mine)"
        sleep 0.05
    done
}

# ---- input ----

# records N [KIND]: N lines, the same for the same SEED; KIND: score, choice,
# rolling, generate or (default) all of them in turn
records() {
    awk -v n="$1" -v kind="${2:-all}" -v seed="$SEED" '
    function word() { return w[int(rand() * nw) + 1] }
    function text(k,   s) {
        for (s = ""; k > 0; k--) s = s (s == "" ? "" : " ") word()
        return s
    }
    BEGIN {
        srand(seed)
        nw = split("a the of river stone lamp walks under green slowly " \
            "never two hundred geese over Zürich naïve 雁 is not here", w, " ")
        split("score choice rolling generate", kinds, " ")
        for (i = 1; i <= n; i++) {
            k = kind == "all" ? kinds[(i - 1) % 4 + 1] : kind
            id = i % 3 == 0 ? "" : sprintf("\"id\":\"r%06d\",", i)
            if (k == "score")
                printf "{%s\"context\":\"%s\",\"target\":\" %s\"}\n", id,
                    text(2 + rand() * 20), text(1 + rand() * 3)
            else if (k == "choice")
                printf "{%s\"context\":\"%s\",\"choices\":[\" %s\",\" %s\"," \
                    "\" %s\"],\"gold\":%d}\n", id, text(5), text(1), text(2),
                    text(1), int(rand() * 3)
            else if (k == "rolling")
                printf "{%s\"text\":\"%s\"}\n", id, text(3 + rand() * 30)
            else
                printf "{%s\"prompt\":\"%s\",\"max_tokens\":%d," \
                    "\"temperature\":%s}\n", id, text(4), 1 + int(rand() * 12),
                    rand() < 0.5 ? "0" : "0.8"
        }
    }'
}
