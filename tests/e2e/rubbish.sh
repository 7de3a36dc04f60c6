#!/usr/bin/env bash
# tests/e2e/rubbish.sh - garbage, wrong settings, full disks
#
# Whatever comes in from outside: a clear error on the spot, the right exit
# status, and programs that go on.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

records 200 >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl

# ---- garbage on the wire ----

port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
start_skeind --listen "tcp://127.0.0.1:$port"
start_worker w1
wait_ready 1

# noise N: N bytes, the same for the same SEED and N
noise() {
    python3 -c 'import random, sys
r = random.Random(int(sys.argv[1]) * 1000003 + int(sys.argv[2]))
sys.stdout.buffer.write(bytes(r.randrange(256) for _ in range(int(sys.argv[2]))))' \
        "$SEED" "$1"
}
# The greeting of ZMTP 3.0, then whatever.
greeting() {
    printf '\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL'
    head -c 48 /dev/zero
}
to_tcp() { cat >"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null
to_ipc() {
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(0.2)
s.connect(sys.argv[1])
try:
    s.sendall(sys.stdin.buffer.read())
    while s.recv(4096):
        pass
except OSError:
    pass' "$WORK/s"
}
for n in 1 10 64 100 1000 100000; do
    noise $n | to_tcp || true
    noise $n | to_ipc
    { greeting; noise $n; } | to_ipc
    { greeting; noise $n; } | to_tcp || true
done
# Connections that say nothing stay open meanwhile.
for _ in $(seq 50); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$port"
done
alive "$SKEIND" || fail "the coordinator did not survive garbage"
alive "$WORKER" || fail "the worker did not survive garbage"
expect 0 skein submit -q in.jsonl -m null --wait
expect 0 skein results -q last -o got.jsonl
same want.jsonl got.jsonl
expect 0 skein server status -s "tcp://127.0.0.1:$port"

# ---- a port or socket that is no coordinator ----

mkfifo idle
python3 -c 'import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
while True:
    s.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")' >other.port &
PIDS+=("$!")
until_true 10 "the other server" test -s other.port
expect 69 skein server status -s "tcp://127.0.0.1:$(cat other.port)"
says "$ERR" "no answer"
for endpoint in nonsense http://localhost tcp:// tcp://127.0.0.1 \
    tcp://127.0.0.1:99999 "ipc://$(printf '%0200d' 0)"; do
    expect 78 skein server status -s "$endpoint"
    says "$ERR" '.'
done

# ---- what may be bound ----

expect 78 "$BIN/skeind" --spool other --listen tcp://0.0.0.0:7447
says "$ERR" 'without keys'
expect 69 "$BIN/skeind" --spool other --listen "tcp://127.0.0.1:$port"
says "$ERR" 'in use'
expect 69 "$BIN/skeind" --spool other --listen ipc:///proc/nonexistent/socket
stop "$WORKER"
stop "$SKEIND"
equal "$STATUS" 0 "the exit status of skeind after all this"
exec {fd}<&-

# ---- settings ----

# bad_config PROGRAM PATTERN: of the YAML on standard input
bad_config() {
    cat >bad.yaml
    if [ "$1" = skein ]; then
        expect 78 skein ls -c bad.yaml
    else
        expect 78 "$BIN/$1" --config bad.yaml --check-config
    fi
    says "$ERR" "$2"
    says "$ERR" 'bad.yaml'
}
for program in skein skeind skein-worker; do
    bad_config $program 'bad.yaml:[12]:' <<<'{'
    bad_config $program 'bad.yaml:2.*unknown.*colour' <<<'
colour: red'
    printf 'a: "\xff"\n' | bad_config $program 'bad.yaml'
    printf 'a: [%0500d' 0 | tr 0 '[' | bad_config $program 'bad.yaml'
    head -c 100000 /dev/zero | tr '\0' '#' | bad_config $program 'bad.yaml'
    if [ $program = skein ]; then
        expect 78 skein ls -c missing.yaml
    else
        expect 78 "$BIN/$program" --config missing.yaml --check-config
    fi
    says "$ERR" 'missing.yaml'
done
bad_config skeind 'did you mean "?.?spool' <<<'spol: /tmp/x'
bad_config skeind 'beat_ms' <<<'spool: x
listen: ipc:///tmp/x
beat_ms: never'
bad_config skein-worker 'did you mean "?.?devices' <<<'device: cpu'
for conf in "$SRC"/conf/*.yaml; do # those we ship are right
    case $conf in
    */skeind.yaml) expect 0 "$BIN/skeind" --config "$conf" --check-config ;;
    */skein.yaml) expect 0 skein version -c "$conf" ;;
    *worker*.yaml) expect 0 "$BIN/skein-worker" --config "$conf" --check-config ;;
    esac
done

# ---- command lines: 2, and a hint ----

usage() { # PATTERN COMMAND...
    local pattern=$1
    shift
    expect 2 "$@"
    says "$ERR" "$pattern"
    equal "$OUT" "" "standard output of a usage error"
}
usage 'did you mean .?submit' skein sumbit
usage 'COMMAND' skein
usage 'did you mean .?--model' skein submit in.jsonl --modle null
usage '--model' skein submit in.jsonl
usage '--output' skein run in.jsonl -m null
usage 'JOB' skein show
usage 'number' skein show 0
usage 'backwards' skein wait 3-1
usage 'always' skein run in.jsonl -m null -o o --bos sometimes
usage 'tokens-per-step' skein run in.jsonl -m null -o o --tokens-per-step 0
usage 'seed' skein run in.jsonl -m null -o o --seed 1e3
usage 'bogus' "$BIN/skeind" --bogus
usage 'bogus' "$BIN/skein-worker" --bogus
expect 78 "$BIN/skeind" # nothing said at all: the settings lack something
says "$ERR" '--spool'
expect 78 "$BIN/skein-worker"
says "$ERR" '--model'
expect 0 skein --help
says "$OUT" 'Usage'
for command in run submit ls show wait results errors cancel 'worker ls' \
    'server status' version; do
    # shellcheck disable=SC2086 # two words
    expect 0 skein $command --help
    says "$OUT" 'Usage: skein'
done

# ---- files ----

expect 65 skein run -q missing.jsonl -m null -d null -o out.jsonl
says "$ERR" 'missing.jsonl'
gone out.jsonl out.skein
expect 78 skein run -q in.jsonl -m missing.safetensors -o out.jsonl
says "$ERR" 'missing.safetensors'
mkdir -p directory.jsonl
expect 65 skein run -q directory.jsonl -m null -d null -o out.jsonl
says "$ERR" 'directory.jsonl'
printf 'not a model' >bad.safetensors
expect 78 skein run -q in.jsonl -m bad.safetensors -d cpu -o out.jsonl \
    --tokenizer "$SRC/examples/model/rwkv_vocab_demo.txt"
says "$ERR" 'bad.safetensors'
nothing_runs
rm -rf out.skein
expect 74 skein run -q in.jsonl -m null -d null -o nowhere/out.jsonl
says "$ERR" 'nowhere'
if [ "$(id -u)" != 0 ]; then
    mkdir -m 500 readonly
    expect 74 skein run -q in.jsonl -m null -d null -o readonly/out.jsonl
    says "$ERR" 'readonly'
else
    say "SKIP read-only directory: root may write everywhere"
fi
nothing_runs

# ---- full disks ----

# Standard output that cannot be written.
start_skeind
start_worker w1
wait_ready 1
expect 0 skein submit -q in.jsonl -m null --wait
expect 74 sh -c "'$BIN/skein' results -q last >/dev/full"
says "$ERR" 'standard output|No space'
expect 74 sh -c "'$BIN/skein' show last >/dev/full"
expect 74 sh -c "'$BIN/skein' submit -q in.jsonl -m null >/dev/full"
# A reader that goes away is no reason to hang.
skein results -q last | head -n 1 >/dev/null || true
stop "$WORKER"
stop "$SKEIND"

# A file system of 1.2 MB fills up during a job. The coordinator stays and says
# so; when there is room again everything goes on.
if mkdir small && mount -t tmpfs -o size=1200k none small 2>/dev/null; then
    MOUNTS+=("$WORK/small")
    records 30000 rolling >big.jsonl
    expect 0 skein run -q big.jsonl -m null -d null -o big.want
    start run "$BIN/skein" run -q big.jsonl -m null -d null -o small/out.jsonl
    full() {
        skein server status -s "$(cat small/out.skein/endpoint)" --json |
            jq -e '.health == "full"'
    }
    until_true 60 "the coordinator to say that the disk is full" full
    gone small/out.jsonl
    alive "$PID" || fail "skein run ended"
    mount -o remount,size=100m small
    code=0
    wait "$PID" || code=$?
    equal "$code" 0 "the exit status of a run whose disk was full for a while"
    same big.want small/out.jsonl "the output after the disk had been full"
else
    say "SKIP full file system: mounting a tmpfs needs root"
fi
