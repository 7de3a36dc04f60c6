#!/usr/bin/env bash
# tests/e2e/http.sh - /metrics and /healthz of a coordinator at work
#
# What is counted, judged by promtool where there is one; rubbish and slow
# requests while a job runs; a full disk in /healthz.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

get() { curl -s --max-time 10 "http://127.0.0.1:$port$1"; }
# The port the last skeind took, from its log.
find_port() { port=$(sed -n 's/.*http-listening .* port=//p' skeind.log | tail -n 1); [ -n "$port" ]; }
# metric LINE: its value, whatever it is
metric() { get /metrics | awk -v name="$1" '$1 == name { print $2 }'; }

start_skeind --http 127.0.0.1:0
until_true 10 "the port" find_port
equal "$(get /healthz)" ok "the health"
equal "$(metric 'skein_jobs{state="done"}')" 0 "jobs at the start"
start_worker w1
wait_ready 1
records 400 >in.jsonl
printf 'rubbish\n{"id":"r000001","text":"again"}\n' >>in.jsonl
expect 1 skein submit -q in.jsonl -m null --wait
sleep 0.3 # what /metrics says may be that old
equal "$(metric 'skein_jobs{state="done"}')" 1 "jobs done"
equal "$(metric 'skein_jobs_finished_total{result="done"}')" 1 "jobs finished"
for kind in score choice rolling generate; do
    equal "$(metric "skein_requests_total{kind=\"$kind\",result=\"ok\"}")" \
        100 "$kind lines"
done
equal "$(metric 'skein_requests_total{kind="unknown",result="rejected"}')" 2 \
    "rejected lines"
equal "$(metric 'skein_workers{state="ready"}')" 1 "workers"
equal "$(metric skein_job_duration_seconds_count)" 1 "durations"
equal "$(metric skein_job_queue_wait_seconds_count)" 1 "queue waits"
[ "$(metric skein_journal_sync_seconds_count)" -gt 2 ] || fail "no syncs"
[ "$(metric 'skein_prompt_tokens_total{model="null"}')" -gt 400 ] ||
    fail "no tokens"
spool_seen() { [ "$(metric skein_spool_bytes)" -gt 10000 ]; }
until_true 20 "the size of the spool" spool_seen
[ "$(metric process_resident_memory_bytes)" -gt 1000000 ] || fail "no memory"
equal "$(curl -s -o /dev/null -w '%{http_code} %{content_type}' \
    "http://127.0.0.1:$port/metrics")" \
    "200 text/plain; version=0.0.4; charset=utf-8" "the content type"
equal "$(curl -s -o /dev/null -w '%{http_code}' -X POST -d x \
    "http://127.0.0.1:$port/metrics")" 405 "the status of a POST"
equal "$(curl -s -o /dev/null -w '%{http_code}' \
    "http://127.0.0.1:$port/favicon.ico")" 404 "the status of another path"

if command -v promtool >/dev/null; then
    get /metrics >metrics.txt
    expect 0 promtool check metrics <metrics.txt
    equal "$OUT$ERR" "" "what promtool says"
else
    say "SKIP promtool: not installed (Debian: prometheus)"
fi

# ---- peers that send rubbish, nothing, or a byte now and then ----

records 20000 score >in.jsonl
expect 0 skein run -q in.jsonl -m null -d null -o want.jsonl
python3 - "$port" "$SEED" <<'END' &
import random, socket, sys, time
port, r = int(sys.argv[1]), random.Random(int(sys.argv[2]))
mute = []
end = time.time() + 4
while time.time() < end:
    s = socket.create_connection(("127.0.0.1", port), 1)
    s.settimeout(0.05)
    kind = r.randrange(4)
    try:
        if kind == 0:
            s.sendall(bytes(r.randrange(256) for _ in range(300)))
        elif kind == 1:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" +
                      b"X: y\r\n" * r.randrange(5000))
        elif kind == 2:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        else:
            s.sendall(b"GET /met")
        if len(mute) < 10:
            mute.append(s) # and never read, never close
        else:
            s.close()
    except OSError:
        s.close()
END
PIDS+=("$!")
flood=$!
for _ in 1 2 3; do
    expect 0 skein submit -q in.jsonl -m null --wait
    expect 0 skein results -q last -o got.jsonl
    same want.jsonl got.jsonl "results beside rubbish over HTTP"
done
wait "$flood" || fail "the rubbish could not be sent"
alive "$SKEIND" || fail "the coordinator did not survive"
equal "$(get /healthz)" ok "the health after rubbish"

# ---- what may be bound ----

for address in 0.0.0.0:7448 7448 '[::]:7448' example.com:80; do
    expect 78 "$BIN/skeind" --spool other --listen "$SOCK-2" --http "$address"
    says "$ERR" 'loopback'
done
expect 69 "$BIN/skeind" --spool other --listen "$SOCK-2" \
    --http "127.0.0.1:$port"
says "$ERR" 'in use'

# A worker that is killed is counted, and what it held.
stop "$WORKER" KILL
lost() { [ "$(metric skein_worker_lost_total)" = 1 ]; }
until_true 20 "the lost worker" lost
stop "$SKEIND"
equal "$STATUS" 0 "the exit status of skeind"

# ---- a coordinator that cannot write ----

start_skeind --http 127.0.0.1:0
find_other() { old=$port; find_port && [ "$port" != "$old" ]; }
until_true 10 "the other port" find_other
equal "$(metric 'skein_startup_recovered_jobs_total{action="kept"}')" 4 \
    "jobs found at the start"
stop "$SKEIND"
if mkdir small && mount -t tmpfs -o size=1200k none small 2>/dev/null; then
    MOUNTS+=("$WORK/small")
    start skeind "$BIN/skeind" --spool "$WORK/small/spool" --listen "$SOCK" \
        --http 127.0.0.1:0
    SKEIND=$PID
    until_true 10 "the other port" find_other
    records 100000 score >big.jsonl
    "$BIN/skein" submit -q big.jsonl -m null >/dev/null 2>&1 &
    client=$!
    full() { [ "$(get /healthz)" = full ]; }
    until_true 30 "/healthz to say that the disk is full" full
    equal "$(curl -s -o /dev/null -w '%{http_code}' \
        "http://127.0.0.1:$port/healthz")" 503 "the status of /healthz"
    sleep 0.3
    equal "$(metric skein_healthy)" 0 "skein_healthy"
    mount -o remount,size=100m small
    code=0
    wait "$client" || code=$?
    equal "$code" 0 "the exit status of submit"
    equal "$(get /healthz)" ok "the health when there is room again"
else
    say "SKIP full file system: mounting a tmpfs needs root"
fi
