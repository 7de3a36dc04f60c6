#!/usr/bin/env bash
# tests/client/server.sh - every command against a real skeind and worker
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
export SKEIN_SERVER=ipc://$dir/sock

"$BIN/skeind" --spool spool --listen "$SKEIN_SERVER" 2>skeind.log &
pids+=($!)

# ---- without a worker: jobs queue
run "$skein" server status --json
expect 0 'server status'
same 'health' "$(jq -r '.health' stdout)" ok
same 'endpoint' "$(jq -r '.endpoint' stdout)" "$SKEIN_SERVER"
run "$skein" server status
says stdout '^jobs +0 queued, 0 running' 'server status'
run "$skein" worker ls
expect 0 'no workers'
says stderr 'no workers' 'no workers'
run "$skein" worker ls --json
same 'no workers, JSON' "$out" '[]'
run "$skein" ls
expect 0 'no jobs'
says stderr 'no live jobs' 'no jobs'
run "$skein" ls --json
same 'no jobs, JSON' "$out" '[]'
for command in show wait results errors cancel; do
    run "$skein" $command 99 --json
    expect 5 "$command of a job that is not there"
    same "$command, JSON" "$(jq -r .error.code stdout)" not_found
    run "$skein" $command last
    expect 5 "$command last without a job"
done
{ lines 3; echo '{"id":1}'; } >in.jsonl
run "$skein" submit in.jsonl -m null --name 'my job' --priority -2 --bos never --seed 9
expect 0 submit
same 'the id alone on stdout' "$out" 1
says stderr '^3 records, 1 rejected, 4 lines' submit
says stderr 'skein wait 1 ' 'submit says what is next'
run "$skein" show 1 --json
same 'what was asked for' "$(jq -c '[.id,.status,.name,.model,.bos,.seed,.priority,.lines,.records,.rejected,.schema]' stdout)" \
    '[1,"queued","my job","null","never",9,-2,4,3,1,1]'
run "$skein" show last
says stdout '^name +my job$' 'show'
run "$skein" ls
says stdout '^ID +STATE' 'ls'
says stdout '^ *1 +queued .* my job$' 'ls'
run "$skein" errors 1
expect 0 'errors of a queued job'
run "$skein" results 1
expect 0 'results of a queued job'
same 'nothing yet' "$out" ''
says stderr 'finished beginning' 'nothing yet'
run "$skein" cancel 1 --reason 'not needed'
expect 0 cancel
run "$skein" cancel 1 --json
expect 81 'cancel twice'
same 'cancel twice, JSON' "$(jq -r .error.code stdout)" conflict
run "$skein" wait 1
expect 4 'wait of a cancelled job'
run "$skein" show 1 --json
same 'the reason' "$(jq -c '[.status,.message]' stdout)" '["cancelled","not needed"]'
run "$skein" ls --all --json
same 'ls --all' "$(jq -c '[.[].id]' stdout)" '[1]'

# ---- with a worker
start_worker ''
ready() { "$skein" worker ls --json | jq -e '.[0].state == "ready"' >/dev/null; }
until_true 20 ready || fail 'the worker is not ready after 20 s'
run "$skein" worker ls --json
same 'worker' "$(jq -c '[.[0].name, .[0].models[0].name]' stdout)" '["w","null"]'
run "$skein" worker ls
says stdout '^w +ready +null:0:' 'worker ls'

run "$skein" submit - -m null --wait --json </dev/null
expect 0 'an empty job'
lines 2500 | sed '1200s/.*/nonsense/' >big.jsonl
# shellcheck disable=SC2002 # a pipe is the point
id=$(cat big.jsonl | "$skein" submit - -m null -q)
same 'submit of a pipe' "$id" 3
run "$skein" wait "$id"
expect 1 'wait: a line failed'
says stderr '2499 of 2500 lines answered, 1 failed' 'wait'
run "$skein" results "$id" -o results
expect 0 results
same 'all results in order' "$(jq -r .id results | md5sum)" \
    "$(seq 1 2500 | grep -vx 1200 | sed 's/^/r/' | md5sum)"
"$skein" results last | cmp -s - results || fail 'results on stdout differ'
run "$skein" errors "$id"
same 'the failed line' "$(jq -c '[.line, .error.code]' stdout)" '[1200,"invalid_json"]'
run "$skein" submit big.jsonl -m null --wait -q
expect 1 'submit --wait'
run "$skein" results "$out" -o again
cmp -s again results || fail 'the same job twice gave two results'
run "$skein" ls -a --json
same 'states' "$(jq -c '[.[].status]' stdout)" '["cancelled","done","done","done"]'

# ---- outputs
"$skein" results "$id" 2>/dev/null | head -1 >first
same 'a closed pipe is no failure of the reader' "$(wc -l <first)" 1
"$skein" results "$id" >/dev/full 2>stderr
rc=$? out='' err=$(cat stderr)
expect 74 'results to a full disk'
ln -s /dev/null null
run "$skein" results "$id" -o null
expect 0 'results to a device'
[ -L null ] && [ -c /dev/null ] || fail '-o replaced a device'
mkdir closed
echo precious >closed/out
chmod 500 closed
if [ "$(id -u)" -ne 0 ]; then
    run "$skein" results "$id" -o closed/out
    expect 74 'an output that cannot be written'
fi
same 'the old output stays' "$(cat closed/out)" precious
run "$skein" results "$id" -o "$dir"
expect 65 'a directory as output'

# ---- interrupted while waiting
kill "$worker"
wait "$worker"
start_worker 'latency_us=200000'
id=$("$skein" submit big.jsonl -m null -q)
for signal in INT TERM; do
    (
        trap - INT
        exec "$skein" wait "$id"
    ) >stdout 2>stderr &
    pid=$!
    sleep 0.5
    python3 -c "import os, signal; os.kill($pid, signal.SIG$signal)"
    wait "$pid"
    rc=$? out='' err=$(cat stderr)
    case $signal in INT) expect 130 'wait, SIGINT' ;; TERM) expect 143 'wait, SIGTERM' ;; esac
    says stderr "the job goes on.*skein wait $id\$" "wait, $signal"
done
run "$skein" cancel "$id"
expect 0 'cancel of a running job'
run "$skein" wait "$id"
expect 4 'wait of it'
finish
