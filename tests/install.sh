#!/bin/sh
# tests/install.sh - what `cmake --install` leaves, and that it runs from there
#
# Usage: tests/install.sh BUILD-DIR
set -eu
build=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cmake --install "$build" --prefix "$root/usr" >/dev/null
missing=0
for file in bin/skein bin/skeind bin/skein-worker bin/skein-model \
    share/man/man1/skein.1 share/man/man8/skeind.8 \
    share/man/man8/skein-worker.8 share/man/man1/skein-model.1 \
    share/man/man5/skein.yaml.5 share/man/man5/skein-batch.5 \
    share/bash-completion/completions/skein \
    share/zsh/vendor-completions/_skein \
    share/fish/vendor_completions.d/skein.fish \
    lib/systemd/system/skeind.service \
    lib/systemd/system/skein-worker.service \
    lib/sysusers.d/skein.conf lib/tmpfiles.d/skein.conf \
    share/doc/skein/conf/skeind.yaml share/doc/skein/conf/skein-worker.yaml \
    share/doc/skein/conf/skein.yaml share/doc/skein/schema/job.json; do
    if [ ! -s "$root/usr/$file" ] && [ ! -s "$root/usr/$file.gz" ]; then
        echo "not installed: $file"
        missing=1
    fi
done
for program in skein skeind skein-worker skein-model; do
    "$root/usr/bin/$program" --version >/dev/null ||
        { echo "$program --version fails"; missing=1; }
done
"$root/usr/bin/skeind" --check-config --config "$root/usr/share/doc/skein/conf/skeind.yaml"
exit $missing
