#!/usr/bin/env bash
# tests/e2e/clean.sh - after everything: no process, shared memory or directory
#
# Runs after the other scripts. What other builds on this machine are doing at
# the same time does not count: only programs of this build, and what nobody
# uses any more.
set -euo pipefail
: "${BIN:?is set by ctest}"
bin=$(readlink -f "$BIN")
bad=0

for p in /proc/[0-9]*; do
    case $(readlink "$p/exe" 2>/dev/null || true) in
    "$bin"/skein | "$bin"/skeind | "$bin"/skein-worker)
        printf 'still running: %s %s\n' "${p#/proc/}" \
            "$({ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null)"
        bad=1
        ;;
    esac
done

# Shared memory of workers is anonymous (memfd): nothing by that name.
for shm in /dev/shm/*skein*; do
    [ -e "$shm" ] || continue
    echo "left in shared memory: $shm"
    bad=1
done

in_use() { # DIR: some process works in it or names it
    local p
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/cwd" 2>/dev/null)" = "$1" ] && return
        { tr '\0' '\n' <"$p/cmdline"; } 2>/dev/null | grep -qF "$1" && return
    done
    return 1
}

for dir in "${TMPDIR:-/tmp}"/skein-e2e.* "${TMPDIR:-/tmp}"/skein-run-*; do
    [ -e "$dir" ] || continue
    in_use "$dir" && continue
    # Only what is ours to judge: made since this build was.
    [ "$dir" -nt "$bin/skein" ] || continue
    echo "left behind: $dir"
    bad=1
done
[ $bad = 0 ] && echo "clean: nothing is left"
exit $bad
