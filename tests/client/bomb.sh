#!/usr/bin/env bash
# tests/client/bomb.sh - files that are much larger than they look
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1

# As one line and as very many; small memory in the client, and for the blank
# lines in the coordinator, too.
for byte in x '\n'; do
    head -c 256M /dev/zero | tr '\0' "$byte" | gzip -1 >bomb.gz
    /usr/bin/time -f %M -o kib "$skein" validate bomb.gz --json >stdout 2>stderr
    checks=$((checks + 1))
    [ "$(tail -n 1 kib)" -lt 65536 ] || fail "validate of a bomb of $byte took $(cat kib) KiB"
    case $byte in
    x) same 'a line of 256 MiB' "$(jq -c '[.lines,.errors[0].code]' stdout)" '[1,"too_large"]' ;;
    *) same '256 Mi lines' "$(jq -c '[.lines,.blank]' stdout)" '[268435456,268435456]' ;;
    esac
done

# Submitted: the client unpacks as the coordinator takes it.
start_cluster
head -c 256M /dev/zero | tr '\0' '\n' | zstd -q >blank.zst
[ "$(stat -c %s blank.zst)" -lt 100000 ] || fail 'the bomb is no bomb'
/usr/bin/time -f %M -o kib "$skein" submit blank.zst -m null -q >stdout
checks=$((checks + 1))
[ "$(tail -n 1 kib)" -lt 65536 ] || fail "submit of a bomb took $(cat kib) KiB"
same 'blank lines are counted' "$("$skein" show last --json | jq -c '[.lines,.records]')" '[268435456,0]'
kib=$(awk '/VmHWM/ { print $2 }' "/proc/${pids[0]}/status")
checks=$((checks + 1))
[ "$kib" -lt 131072 ] || fail "skeind took $kib KiB for a bomb"
finish
