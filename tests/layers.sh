#!/bin/sh
# tests/layers.sh - the dependency order of docs/architecture.md, checked
#
# Usage: tests/layers.sh [ROOT]
# Prints every #include that breaks a rule below; exits 1 if there is one.
set -eu
cd "${1:-.}"

# folder: folders whose headers it may include, besides its own
layers='
common:
proto:   common
text:    common
model:   common proto text
cuda:    common proto text model
worker:  common proto text model cuda
daemon:  common proto
client:  common proto text
gateway: common proto text
man:     common model client
bench:   common proto text model cuda worker
tests:   common proto text model cuda worker daemon client gateway bench
'

# header: the only files that may include it
owners='
sqlite3.h:     daemon/db.h
yaml.h:        common/conf.c
zmq.h:         proto/sock.c
microhttpd.h:  daemon/http.c
nccl.h:        cuda/comm_nccl.c
cublasLt.h:    cuda/gemm.c bench/library.c
zlib.h:        common/source.c
sodium.h:      common/hash.c common/keys.c
cuda/engine.h: cuda/engine.c worker/rank_main.c model/tool_main.c
'

find . \( -path './build*' -o -path './.*/*' \) -prune -o -name '*.[ch]' -print \
    -o -name '*.cu' -print -o -name '*.cuh' -print | sed 's|^\./||' | sort |
xargs grep -Hn '^ *# *include' /dev/null |
awk -v layers="$layers" -v owners="$owners" '
BEGIN {
    n = split(layers, line, "\n")
    for (i = 1; i <= n; i++) {
        m = split(line[i], word, /[: ]+/)
        folder[word[1]] = 1
        for (j = 2; j <= m; j++) may[word[1], word[j]] = 1
    }
    n = split(owners, line, "\n")
    for (i = 1; i <= n; i++) {
        m = split(line[i], word, /[: ]+/)
        owned[word[1]] = 1
        for (j = 2; j <= m; j++) owner[word[1], word[j]] = 1
    }
}
{
    split($0, part, ":")
    file = part[1]
    if (!match($0, /[<"][^>"]*[>"]/)) next
    header = substr($0, RSTART + 1, RLENGTH - 2)
    from = file; sub(/\/.*/, "", from)
    to = header; sub(/\/.*/, "", to)
    if (to in folder && header ~ /\// && from != to && !((from, to) in may))
        bad(from " may not include " to)
    if (header in owned && !((header, file) in owner) && from != "tests")
        bad(header " belongs to another file")
}
function bad(why) { print file ":" part[2] ": " header ": " why; failed = 1 }
END { exit failed }'
