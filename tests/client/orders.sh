#!/usr/bin/env bash
# tests/client/orders.sh - hold, release, set, retry, rm, results -f
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
start_cluster
lines 5 >five.jsonl
state() { "$skein" show "$1" --json | jq -r .status; }
stop_worker() {
    kill "$worker" 2>/dev/null
    wait "$worker" 2>/dev/null
}
back() { "$skein" worker ls --format state --no-header | grep -qx ready; }
gone() { ! back; }
restart_worker() { # restart_worker [BACKEND-OPTIONS]
    stop_worker
    until_true 20 gone || fail 'the worker is not gone'
    start_worker "${1-}"
    until_true 20 back || fail 'the worker is not back'
}

# ---- hold and release
id=$("$skein" submit five.jsonl -m nobody -q)
run "$skein" hold "$id"
expect 0 hold
says stderr "^job $id is held; it goes on after: skein release $id\$" hold
same 'a held job' "$(state "$id")" held
run "$skein" hold "$id" --json
expect 0 'hold twice'
same 'hold, JSON' "$(jq -c '[.id,.status]' stdout)" "[$id,\"held\"]"
run "$skein" ls -f state=held --parsable
same 'ls of held jobs' "$out" "$id"
run "$skein" release all --dry-run
expect 0 'release --dry-run'
says stdout "^ *$id +held" 'release --dry-run'
same 'a dry run' "$(state "$id")" held
run "$skein" release last
expect 0 release
says stderr "^job $id is released\$" release
same 'a released job' "$(state "$id")" queued
run "$skein" release all
expect 5 'release of nothing'
says stderr 'none of these jobs can be released' 'release of nothing'

# A held job is not computed; a released one is.
stop_worker
held=$("$skein" submit five.jsonl -m null -n held -q)
run "$skein" hold held -q
expect 0 'hold by name'
same 'quiet' "$err" ''
restart_worker
run "$skein" submit five.jsonl -m null --wait -q
expect 0 'a job behind the held one'
same 'the held one is not computed' "$(state "$held")" held
run "$skein" release held -q
run "$skein" wait "$held" -q
expect 0 'it is computed when it is released'

# A job may be held from the beginning.
held=$("$skein" submit five.jsonl -m null --hold -q)
run "$skein" submit five.jsonl -m null --wait -q
same 'submit --hold' "$(state "$held")" held
"$skein" wait "$held" 2>wait.err &
pid=$!
said() { grep -q "job $held is held; .*skein release $held\$" wait.err; }
until_true 20 said || fail "wait does not say that the job is held: $(cat wait.err)"
"$skein" release "$held" -q
wait "$pid"
rc=$? out='' err=$(cat wait.err)
expect 0 'wait of a held job that is released'

# ---- set
run "$skein" set "$id" --priority 7
expect 0 set
says stderr "^job $id is at priority 7\$" set
same 'the priority' "$("$skein" show "$id" --json | jq .priority)" 7
run "$skein" set "$id" -p -3 --json
same 'set, JSON' "$(jq .priority stdout)" -3
run "$skein" set "$id"
expect 2 'set of nothing'
says stderr '--priority' 'set of nothing'
run "$skein" set "$id" -p 99999999999
expect 2 'a priority out of range'

# ---- rm
run "$skein" rm "$id"
expect 81 'rm of a live job'
says stderr "job $id is queued: cancel it first: skein cancel $id\$" 'rm of a live job'
"$skein" cancel "$id" -q
run "$skein" rm "$id" --dry-run
expect 0 'rm --dry-run'
run "$skein" rm "$id"
expect 0 rm
says stderr "^job $id is removed\$" rm
run "$skein" show "$id"
expect 5 'show of a removed job'
run "$skein" rm "$id"
expect 5 'rm twice'
run "$skein" rm all --json
expect 0 'rm all'
same 'rm, JSON: the jobs as they were' "$(jq -c '[.[].status] | unique' stdout)" '["done"]'
run "$skein" ls -a --json
same 'nothing is left' "$out" '[]'
same 'nor in the spool' "$(ls spool/jobs)" ''
id=$("$skein" submit five.jsonl -m null --wait -q)
[ "$id" -gt "$held" ] || fail "the number $id of a removed job was given again"
for order in hold release 'set -p 1'; do
    # shellcheck disable=SC2086 # words on purpose
    run "$skein" $order "$id"
    expect 81 "$order of a finished job"
    says stderr "job $id is done: " "$order of a finished job"
done
for order in hold release 'set -p 1' retry 'retry --failed' rm; do
    # shellcheck disable=SC2086
    run "$skein" $order 99
    expect 5 "$order of no job"
    # shellcheck disable=SC2086
    run "$skein" $order
    expect 2 "$order without a job"
done

# ---- retry: what failed is run again, what is good stays
{
    lines 3000
    echo '{"id":"p1","context_ids":[777],"target_ids":[5]}'
    lines 4000 | tail -n 1000
    echo nonsense
    echo '{"id":"p2","context_ids":[777],"target_ids":[6]}'
} >poisoned.jsonl
sed '/nonsense/d' poisoned.jsonl >good.jsonl
"$skein" run -q good.jsonl -m null -o want.jsonl
restart_worker poison_token=777
id=$("$skein" submit poisoned.jsonl -m null -q)
run "$skein" wait "$id" -q
expect 1 'two poisoned lines'
run "$skein" errors "$id"
same 'the failed lines' "$(jq -c .line stdout | tr '\n' ' ')" '3001 4002 4003 '
run "$skein" retry "$id"
expect 5 'retry of answered lines'
says stderr "every record was answered; .* 2 failed lines again: skein retry --failed $id\$" 'retry'
run "$skein" retry --failed "$id" -q
expect 0 'retry --failed'
run "$skein" wait "$id" -q
expect 1 'they fail again'
restart_worker
run "$skein" retry --failed "$id"
expect 0 'retry --failed'
says stderr "^job $id is queued again; skein wait $id\$" 'retry --failed'
run "$skein" wait "$id" -q
expect 1 'the refused line stays'
run "$skein" results "$id" -o got.jsonl
cmp -s want.jsonl got.jsonl || fail 'a retried job has another output than a good one'
run "$skein" errors "$id"
same 'the refused line' "$(jq -c .line stdout)" 4002
run "$skein" show "$id" --json
same 'counters' "$(jq -c '[.records,.rejected,.request_counts.failed]' stdout)" '[4002,1,1]'
run "$skein" retry --failed "$id"
expect 5 'retry of nothing'
run "$skein" retry --failed all
expect 5 'retry of nothing, all'

# A cancelled job goes on where it was.
restart_worker latency_us=100000
id=$("$skein" submit good.jsonl -m null -q)
run "$skein" retry "$id"
expect 81 'retry of a live job'
says stderr "is (queued|running): it cannot be retried" 'retry of a live job'
some() { [ "$("$skein" show "$id" --json | jq .shards.done)" -gt 0 ]; }
until_true 60 some || fail 'no shard is ever done'
run "$skein" cancel "$id" -q
run "$skein" retry "$id" -q
expect 0 'retry of a cancelled job'
restart_worker
run "$skein" wait "$id" -q
expect 0 'wait for it'
run "$skein" results "$id" -o got.jsonl
cmp -s want.jsonl got.jsonl || fail 'cancelled and retried: another output'

# ---- results -f: lines as they come
restart_worker latency_us=50000
id=$("$skein" submit good.jsonl -m null -q)
"$skein" results -f "$id" >follow 2>follow.err &
pid=$!
early() { [ -s follow ]; }
until_true 60 early || fail 'no line comes'
run "$skein" show "$id" --json
same 'lines came while it ran' "$(jq -r .status stdout)" running
wait "$pid"
rc=$? out='' err=$(cat follow.err)
expect 0 'results -f'
cmp -s want.jsonl follow || fail 'results -f: another output'
run "$skein" results --follow "$id" -o follow2
expect 0 'results -f of a finished job, to a file'
cmp -s want.jsonl follow2 || fail 'results -f -o: another output'
restart_worker poison_token=777
id=$("$skein" submit poisoned.jsonl -m null -q)
run "$skein" errors -f "$id"
expect 1 'errors -f'
same 'errors -f' "$(jq -c .line stdout | tr '\n' ' ')" '3001 4002 4003 '
id=$("$skein" submit good.jsonl -m nobody -q)
(
    trap - INT
    exec "$skein" results -f "$id"
) >stdout 2>stderr &
pid=$!
sleep 0.5
kill -INT "$pid"
wait "$pid"
rc=$? out='' err=$(cat stderr)
expect 130 'results -f, Ctrl-C'
says stderr "the job goes on.*skein results -f $id\$" 'results -f, Ctrl-C'
timeout 20 "$skein" results -f "$id" 2>stderr | true
rc=${PIPESTATUS[0]} out='' err=$(cat stderr)
expect 141 'results -f ends when nobody reads'
"$skein" results -f "$id" >stdout 2>stderr &
pid=$!
"$skein" cancel "$id" -q
wait "$pid"
rc=$? out=$(cat stdout) err=$(cat stderr)
expect 4 'results -f of a job that is cancelled'
finish
