#!/usr/bin/env bash
# tests/client/jobs.sh - selectors, filters, columns and orders to several jobs
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
start_cluster
lines 3 >good.jsonl
{ lines 2; echo oops; } >some.jsonl
echo oops >none.jsonl

# Six jobs: 1, 2, 3 done with more or fewer failures, 4 cancelled, 5 and 6
# waiting for a model that nobody has.
for job in 'good.jsonl -n a' 'some.jsonl -n b' 'none.jsonl -n b'; do
    # shellcheck disable=SC2086 # words on purpose
    run "$skein" submit $job -m null --wait -q
done
for name in d 12,e 18; do
    run "$skein" submit good.jsonl -m other -n "$name" --priority 7 -q
    expect 0 "submit $name"
done
run "$skein" cancel 4 -q
expect 0 'cancel 4'
ids() { # ids WORDS...: of the jobs that skein ls lists
    run "$skein" ls --parsable "$@"
    tr '\n' ' ' <<<"$out" | sed 's/ $//'
}

# ---- selectors
same 'live jobs' "$(ids)" '5 6'
same '--all' "$(ids --all)" '1 2 3 4 5 6'
same 'all' "$(ids all)" '1 2 3 4 5 6'
same 'a number' "$(ids 2)" 2
same 'ranges' "$(ids 1,3-4)" '1 3 4'
same 'twice the same' "$(ids 2,2 2)" 2
same 'several words' "$(ids 6 1-2 last)" '1 2 6'
same 'a name' "$(ids b)" '2 3'
same 'a name with a comma' "$(ids name:12,e)" 5
same 'a name that is a number' "$(ids name:18)" 6
same 'the newest' "$(ids last)" 6
run "$skein" ls 1,99
expect 5 'a number that is not there'
says stderr 'no such job: 99' 'a number that is not there'
run "$skein" ls 50-60
expect 5 'a range without a job'
says stderr 'no job from 50 to 60' 'a range without a job'
run "$skein" submit good.jsonl -m other -n lambada -q
run "$skein" show lambda
expect 5 'a name that is not there'
says stderr "no job has the name 'lambda'; did you mean 'lambada'\?" 'a name'
run "$skein" cancel lambada -q
expect 0 'cancel by name'

# ---- filters; 'last' is the newest of those that pass
same 'by state' "$(ids -a -f state=cancelled)" '4 7'
same 'by two states' "$(ids -a -f state=cancelled,queued)" '4 5 6 7'
same 'by not a state' "$(ids -a -f 'state!=done')" '4 5 6 7'
same 'two conditions' "$(ids -a -f state=done,name=b)" '2 3'
same 'two filters' "$(ids -a -f state=done --filter 'failed!=0')" '2 3'
same 'a pattern' "$(ids -a -f 'model=nu*')" '1 2 3'
same 'by user' "$(ids -a -f "user=$(id -un)")" '1 2 3 4 5 6 7'
same 'a selection and a filter' "$(ids 1-4 -f state=done)" '1 2 3'
same 'the newest that passes' "$(ids last -f name=b)" 3
same 'none passes' "$(ids -a -f name=zzz)" ''
expect 0 'an empty list'
run "$skein" show all -f name=zzz
expect 5 'show: none passes'
run "$skein" ls -a -f state=done --json
same '--json honours filters' "$(jq -c '[.[].id]' stdout)" '[1,2,3]'
run "$skein" ls -a -f name=zzz --json
same 'an empty list in JSON' "$out" '[]'

# ---- one object for one job, a list for several
for words in 2 last; do
    run "$skein" show $words --json
    same "show $words --json" "$(jq -r type stdout)" object
done
for words in 2-2 1,2 all a; do
    run "$skein" show $words --json
    same "show $words --json" "$(jq -r type stdout)" array
done
run "$skein" show 1,3
same 'show of two' "$(grep -c '^job ' stdout)" 2

# ---- columns
run "$skein" ls 1-3 --format id,name,failed
same 'columns' "$out" 'ID  NAME  FAILED
 1  a          0
 2  b          1
 3  b          1'
run "$skein" ls 1,4 --no-header --format state,model,fingerprint,id
same 'for scripts' "$(sed -n 2p stdout)" $'cancelled\tother\t\t4'
run "$skein" worker ls --format name,models,host --no-header
same 'worker columns' "$out" "w	null	$(uname -n)"
run "$skein" worker ls --parsable
same 'worker names' "$out" w
run "$skein" worker ls -f state=draining
same 'no such worker' "$out" ''
says stderr 'no worker passes' 'no such worker'
run "$skein" worker ls -f 'name=w*' --json
same 'worker filter, JSON' "$(jq -c '[.[].name]' stdout)" '["w"]'

# ---- wait: several jobs, the worst status
run "$skein" wait 1
expect 0 'wait 1'
run "$skein" wait 2
expect 1 'wait 2'
run "$skein" wait 2 --ignore-failed-lines
expect 0 '--ignore-failed-lines'
run "$skein" wait 1,2
expect 1 'wait 1,2'
same 'a line for each' "$(grep -c '^job ' stderr)" 2
run "$skein" wait 1-4
expect 3 'wait 1-4'
run "$skein" wait 1-4 --ignore-failed-lines
expect 3 'wait 1-4, failed lines ignored'
run "$skein" wait 4 1 --json
expect 4 'wait 4 1'
same 'wait --json' "$(jq -c '[.[].status]' stdout)" '["done","cancelled"]'
(
    trap - INT
    exec "$skein" wait 1,5-6
) >stdout 2>stderr &
pid=$!
pids+=("$pid")
until_true 10 grep -q '^job 1 ' stderr || fail 'wait says nothing of job 1'
python3 -c "import os, signal; os.kill($pid, signal.SIGINT)"
wait "$pid"
rc=$? out='' err=$(cat stderr)
expect 130 'wait interrupted'
says stderr '^interrupted; the jobs go on. Come back with: skein wait 1,5,6$' \
    'wait interrupted'

# ---- results of several: one after the other
run "$skein" results 1-3 -o out
expect 0 'results of several'
same 'their answers' "$(jq -r .id out | tr '\n' ' ')" 'r1 r2 r3 r1 r2 '
run "$skein" errors all --filter state=done
same 'their errors' "$(jq -c .line stdout | tr '\n' ' ')" '3 1 '

# ---- orders: shown first, then given; finished jobs are passed over
run "$skein" cancel all --dry-run
expect 0 'cancel --dry-run'
same 'what it is about' "$(awk 'NR > 1 { print $1 }' stdout | tr '\n' ' ')" '5 6 '
says stderr 'nothing was done' 'cancel --dry-run'
run "$skein" cancel all --dry-run --json
same 'in JSON' "$(jq -c '[.[].id]' stdout)" '[5,6]'
same 'nothing was done' "$(ids)" '5 6'
run "$skein" cancel 1,5 --json
expect 81 'one of two is over'
same 'and told, then the error' "$(jq -c 'if type == "array" then .[0].id else .error.code end' stdout | tr '\n' ' ')" \
    '5 "conflict" '
same 'the other was cancelled' "$(ids)" 6
run "$skein" cancel all
expect 0 'cancel all'
says stderr '^job 6 is cancelled; .*: skein results 6$' 'cancel all'
run "$skein" cancel all
expect 5 'nothing is left to cancel'
# ---- submit: the input by name, a dry run, the id alone
run "$skein" submit --input some.jsonl -m null --dry-run
expect 65 'a dry run of a file with a bad line'
same 'a dry run prints no id' "$out" ''
says stderr '^2 records, 1 rejected, 3 lines$' 'submit --dry-run'
says stderr '^1 worker with the model null$' 'submit --dry-run: workers'
run "$skein" submit good.jsonl -m other@00 --dry-run --json
expect 0 'a dry run of a good file'
same 'a dry run, JSON' "$(jq -c '[.dry_run,.records,.rejected,.workers]' stdout)" \
    '[true,3,0,0]'
run "$skein" submit good.jsonl -m other --dry-run
says stderr 'no worker has the model other' 'a dry run without a worker'
run "$skein" submit good.jsonl -i good.jsonl -m null
expect 2 'two inputs'
run "$skein" submit -m null
expect 2 'no input'
run "$skein" submit good.jsonl -m null --dry-run --wait
expect 2 '--dry-run and --wait'
run "$skein" submit -i some.jsonl -m null --parsable --wait
expect 1 'submit --parsable --wait'
same 'nothing but the id' "$out$err" 8
run "$skein" cancel 8
expect 81 'cancel of a finished job'


# ---- every order and every command that takes jobs has the filter
about() { # about COMMAND...: the ids of a dry run
    run "$skein" "$@" --json
    jq -c 'if type == "array" then [.[].id] else .error.code end' stdout
}
run "$skein" submit good.jsonl -m other -n x -q
run "$skein" submit good.jsonl -m other -n y -q
run "$skein" hold y -q
same 'cancel' "$(about cancel all --filter name=x --dry-run)" '[9]'
same 'hold' "$(about hold all --filter 'name!=y' --dry-run)" '[9]'
same 'release' "$(about release all --filter model=other --dry-run)" '[10]'
same 'set' "$(about set all -p 3 --filter state=held,queued --dry-run)" '[9,10]'
same 'retry' "$(about retry all --filter state=cancelled,id=4,7 --dry-run)" '[4,7]'
same 'rm' "$(about rm all --filter state=done,name=b --dry-run)" '[2,3]'
same 'nothing passes' "$(about rm all --filter name=zzz --dry-run)" '"not_found"'
run "$skein" wait all --filter state=done,name=a
expect 0 'wait --filter'
run "$skein" results all --filter id=2 -o out
same 'results --filter' "$(wc -l <out)" 2
run "$skein" hold x --dry-run -q
run "$skein" release y --dry-run -q
run "$skein" set x --priority 5 --dry-run
says stderr 'nothing was done' 'set --dry-run'
run "$skein" show x,y --json
same 'dry runs did nothing' "$(jq -c '[.[] | .status, .priority]' stdout)" \
    '["queued",0,"held",0]'

# ---- release and retry may wait for what they have set going: here, for a
# model that nobody has, until they are interrupted
run "$skein" cancel x -q
for order in 'release y --wait' 'retry x --wait'; do
    # shellcheck disable=SC2086
    run timeout --preserve-status -s INT 2 "$skein" $order
    expect 130 "$order"
    says stderr 'interrupted; the job goes on. Come back with: skein wait [0-9]+$' \
        "$order"
done
run "$skein" show x,y --json
same 'they are live again' "$(jq -c '[.[].status]' stdout)" '["queued","queued"]'

# ---- what a job is told with
echo '{"context":"a","target":" b","colour":1}' >odd.jsonl
run "$skein" submit odd.jsonl -m null --created 1700000000 --seed 7 --bos if-empty
says stderr '^0 records, 1 rejected' 'an unknown key'
run "$skein" show last --json
same 'recorded' "$(jq -c '[.created,.seed,.bos]' stdout)" '[1700000000,7,"if-empty"]'
run "$skein" submit odd.jsonl -m null --lenient
says stderr '^odd.jsonl:1: warning: .*colour' '--lenient'
says stderr '^1 records, 0 rejected' '--lenient'
run "$skein" run --input good.jsonl -m null -o ran.jsonl
expect 0 'run --input'
same 'run --input' "$(wc -l <ran.jsonl)" 3

# ---- what docs/cli.md shows is what is said, but for the numbers
masked() { sed 's/[0-9][0-9]*/N/g; s/some.jsonl/pairs.jsonl/' "$@"; }
run "$skein" submit some.jsonl -m null
cp stderr said
run "$skein" wait last
cat stderr >>said
masked "$SRC/docs/cli.md" >page
masked said | while read -r line; do
    grep -qF -- "$line" page || echo "$line"
done >unsaid
same 'lines that docs/cli.md lacks' "$(cat unsaid)" ''
finish
