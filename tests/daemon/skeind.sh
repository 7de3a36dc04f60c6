#!/bin/sh
# skeind from outside: options, configuration, the spool's lock, signals
set -u
dir=$(mktemp -d /tmp/skeind-test.XXXXXX)
pid=
cleanup() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    rm -rf "$dir"
}
trap cleanup EXIT
failed=0

# expect STATUS PATTERN COMMAND...: its exit status, and a line of its output
expect() {
    status=$1 pattern=$2
    shift 2
    timeout 20 "$@" >"$dir/out" 2>&1
    got=$?
    if [ "$got" != "$status" ] || ! grep -q -e "$pattern" "$dir/out"; then
        echo "FAIL: $* : exit $got, expected $status and '$pattern':"
        cat "$dir/out"
        failed=1
    fi
}
# start: a coordinator in the background; returns when it is ready
start() {
    : >"$dir/log"
    "$BIN/skeind" --spool "$dir/s" --listen "ipc://$dir/a" 2>>"$dir/log" &
    pid=$!
    for _ in $(seq 100); do
        grep -q ready "$dir/log" && return
        sleep 0.1
    done
    echo "FAIL: no coordinator within 10 s:"
    cat "$dir/log"
    exit 1
}

expect 0 '^Usage: skeind' "$BIN/skeind" --help
expect 0 '^skeind [0-9]' "$BIN/skeind" --version
expect 2 'did you mean --listen' "$BIN/skeind" --lisen x
expect 2 'needs a value' "$BIN/skeind" --spool
expect 2 'unexpected argument' "$BIN/skeind" spool
expect 78 'no spool' "$BIN/skeind" --listen ipc:///nowhere
expect 78 'nothing to listen on' "$BIN/skeind" --spool "$dir/s"
expect 78 'nothing.yaml' "$BIN/skeind" --config "$dir/nothing.yaml"
expect 2 'log-level.*not one of' "$BIN/skeind" --spool x --listen ipc:///x \
    --log-level loud --check-config
echo 'log_level: loud' >"$dir/loud.yaml"
expect 78 'log_level' "$BIN/skeind" --spool x --listen ipc:///x \
    --config "$dir/loud.yaml"
expect 0 'fine' "$BIN/skeind" --config "$SRC/conf/skeind.yaml" --check-config
echo 'spol: /x' >"$dir/bad.yaml"
expect 78 'bad.yaml:1.*spool' "$BIN/skeind" --config "$dir/bad.yaml" \
    --check-config
printf 'spool: %s/s\nlisten: ipc://%s/a\nlease_ms: 5000\n' "$dir" "$dir" \
    >"$dir/order.yaml"
expect 78 'lease_worker_ms' "$BIN/skeind" --config "$dir/order.yaml" \
    --check-config

# every key of the settings is explained in the file, at its default
for key in spool listen log_level ingest_threads max_records http beat_ms lease_ms \
    lease_worker_ms lease_disconnected_ms restart_grace_ms; do
    grep -q "^$key:" "$SRC/conf/skeind.yaml" ||
        { echo "FAIL: conf/skeind.yaml lacks $key"; failed=1; }
done

# without keys only the loopback and ipc
expect 78 'loopback\|127.0.0.1' "$BIN/skeind" --spool "$dir/n" \
    --listen tcp://0.0.0.0:17447

# one coordinator per spool, told within a second
start
expect 75 'another coordinator' timeout 1 "$BIN/skeind" --spool "$dir/s" \
    --listen "ipc://$dir/b"
# nor may another one take its socket away
expect 69 'another process listens' timeout 5 "$BIN/skeind" --spool "$dir/u" \
    --listen "ipc://$dir/a"
# ... by a relative path, while the first one is stopped
kill -STOP "$pid"
(cd "$dir" && expect 69 'another process listens' timeout 5 "$BIN/skeind" \
    --spool "$dir/u" --listen ipc://a; exit $failed) || failed=1
kill -CONT "$pid"
echo keep >"$dir/file"
expect 69 'no socket' timeout 5 "$BIN/skeind" --spool "$dir/u" \
    --listen "ipc://$dir/file"
grep -q keep "$dir/file" || { echo "FAIL: a file was overwritten"; failed=1; }
expect 74 'proc' timeout 5 "$BIN/skeind" --spool /proc/nothing \
    --listen "ipc://$dir/b"
kill -HUP "$pid"
sleep 0.2
kill -0 "$pid" || { echo "FAIL: SIGHUP ended it"; failed=1; }
kill -TERM "$pid"
wait "$pid"
status=$?
pid=
[ "$status" = 0 ] || { echo "FAIL: SIGTERM: exit $status"; failed=1; }
[ ! -e "$dir/a" ] || { echo "FAIL: the socket was left behind"; failed=1; }

# the lock goes with the process, however it ends
start
grep -q 'epoch=2' "$dir/log" || { echo "FAIL: epoch:"; cat "$dir/log"; failed=1; }
kill -9 "$pid"
wait "$pid" 2>/dev/null
start

# --die-with-parent: the shell that started it ends, and so does it
sh -c '"$1" --die-with-parent --spool "$2/t" --listen "ipc://$2/c" 2>"$2/child" &
       echo $! >"$2/child.pid"
       while ! grep -q ready "$2/child" 2>"$2/grep"; do sleep 0.1; done' sh "$BIN/skeind" "$dir"
child=$(cat "$dir/child.pid")
for _ in $(seq 50); do
    kill -0 "$child" 2>/dev/null || break
    sleep 0.1
done
if kill -0 "$child" 2>/dev/null; then
    echo "FAIL: --die-with-parent: still there"
    kill -9 "$child"
    failed=1
fi
exit $failed
