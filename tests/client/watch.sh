#!/usr/bin/env bash
# tests/client/watch.sh - skein watch and progress, on a terminal and without;
# colours
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
start_cluster
lines 3 >good.jsonl
{ lines 2; echo oops; } >some.jsonl
for job in 'good.jsonl -m null' 'some.jsonl -m null'; do
    # shellcheck disable=SC2086 # words on purpose
    run "$skein" submit $job --wait -q
done
run "$skein" submit good.jsonl -m other -n waiting -q

# on_terminal COLUMNS COMMAND...: run it on a pseudo-terminal, 12 lines high;
# $out is what the terminal got.
on_terminal() {
    local columns=$1
    shift
    python3 - "$columns" "$@" >stdout <<'END'
import fcntl, os, pty, struct, sys, termios
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("4H", 12, int(sys.argv[1]), 0, 0))
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
    rc=$? out=$(tr -d '\r' <stdout) err=''
}
escape=$'\033'
plain() { sed "s/$escape\[[0-9;]*[A-Za-z]//g" <<<"$out"; }

# ---- without a terminal: a line for each state, then the status of wait
run "$skein" watch 1
expect 0 'watch 1'
says stdout '^job 1 done \| good.jsonl: 100.0% \| 3/3 req \| .* failed 0$' 'watch 1'
run "$skein" watch 1,2
expect 1 'watch 1,2'
same 'a line for each job' "$(wc -l <stdout)" 2
run "$skein" watch all -f state=done --json
expect 1 'watch --json'
same 'watch --json' "$(jq -c '[.[].id]' stdout)" '[1,2]'
run "$skein" watch 99
expect 5 'watch 99'
run "$skein" watch --interval soon
expect 2 'watch --interval soon'
says stderr 'is not a duration' 'watch --interval soon'
run "$skein" watch --interval 1ms
expect 2 'watch --interval 1ms'
says stderr 'not within 0.1' 'watch --interval 1ms'
: >watched
# Progress of a running job, as often as it was asked for; new jobs join, and
# Ctrl-C says how to come back.
(
    trap - INT
    exec "$skein" watch --interval 200ms
) >watched 2>stderr &
pid=$!
pids+=("$pid")
until_true 20 grep -q '^job 3 queued' watched || fail 'watch does not show job 3'
kill "$worker"
wait "$worker"
start_worker latency_us=200000
until_true 20 worker_ready || fail 'the slow worker is not ready'
lines 20000 >long.jsonl
run "$skein" submit long.jsonl -m null -q
until_true 30 grep -Eq '^job 4 long.jsonl: [0-9.]+% \| [0-9]+/20000 req \| .* tok/s \| elapsed .* \| eta ' watched ||
    fail "no progress of job 4: $(cat watched)"
python3 -c "import os, signal; os.kill($pid, signal.SIGINT)"
wait "$pid"
rc=$? out='' err=$(cat stderr)
expect 130 'watch interrupted'
says stderr '^interrupted; the jobs go on. Come back with: skein watch$' 'watch interrupted'
same 'job 4 joined' "$(grep -c '^job 4 running' watched)" 1

# ---- a page on a terminal, rewritten, never wider than it
on_terminal 80 "$skein" watch 1,2
expect 1 'watch on a terminal'
says stdout 'running, .* queued \| [12] workers? \|' 'the headline'
same 'the titles' "$(plain | grep -c '^ID  STATE  *DONE  *LINES')" 1
same 'both jobs' "$(plain | grep -cE '^ *[12]  done  *100.0%')" 2
on_terminal 120 "$skein" watch 1,2
says stdout 'PROGRESS' 'a wide terminal has bars'
on_terminal 30 "$skein" watch all -f state=done
[ "$(plain | awk 'length > m { m = length } END { print m }')" -le 29 ] ||
    fail "wider than the terminal: $(plain)"
on_terminal 80 "$skein" watch 2
says stdout '  requests  3 of 3' 'one job in detail'
on_terminal 80 timeout --foreground --preserve-status -s INT 2 "$skein" watch 4 -i 100ms
expect 130 'watch interrupted on a terminal'
same 'rewritten' "$([ "$(grep -c "$escape\[[0-9]*A" <<<"$out")" -gt 3 ] && echo yes)" yes
says stdout '#*-+.*%' 'a bar'
says stdout 'Come back with: skein watch 4$' 'how to come back'
on_terminal 80 timeout --foreground --preserve-status -s INT 3 "$skein" wait 4
expect 130 'wait on a terminal'
says stdout '%  [0-9]+/20000  .* tok  .* tok/s  eta ' 'the progress line of wait'
run "$skein" cancel 4 -q

# ---- colours: on a terminal, unless NO_COLOR; --color beats both
coloured() { grep -q "$escape\[[0-9;]*m" <<<"$out"; }
colour() { # colour WANTED WHAT
    checks=$((checks + 1))
    if coloured; then same "$2" yes "$1"; else same "$2" no "$1"; fi
}
run "$skein" ls -a
colour no 'ls in a pipe'
run "$skein" ls -a --color always
colour yes 'ls --color always'
says stdout 'done' 'the state is a word, too'
FORCE_COLOR=1 run "$skein" ls -a
colour yes FORCE_COLOR
CLICOLOR_FORCE=1 run "$skein" ls -a
colour yes CLICOLOR_FORCE
FORCE_COLOR=1 NO_COLOR=1 run "$skein" ls -a
colour no 'NO_COLOR beats FORCE_COLOR'
SKEIN_COLOR=always run "$skein" ls -a
colour yes SKEIN_COLOR
SKEIN_COLOR=always run "$skein" ls -a --no-header
colour no '--no-header has no colours'
NO_COLOR=1 run "$skein" ls -a --color always
colour yes '--color beats NO_COLOR'
on_terminal 80 "$skein" ls -a
colour yes 'ls on a terminal'
on_terminal 80 "$skein" ls -a --color never
colour no 'ls --color never'
NO_COLOR=1 on_terminal 80 "$skein" ls -a
colour no 'NO_COLOR on a terminal'
NO_COLOR='' on_terminal 80 "$skein" ls -a
colour yes 'an empty NO_COLOR'
finish
