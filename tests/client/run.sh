#!/usr/bin/env bash
# tests/client/run.sh - the embedded mode with the null backend, real processes
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
work=$dir/work
mkdir "$work"
cd "$work" || exit 1

# Nothing may be left running in our folder, nor in the runtime directory.
skein_here() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null) in "$work"*) ;; *) continue ;; esac
        case $(readlink "$process/exe" 2>/dev/null) in
        "$BIN"/skein*) tr '\0' ' ' <"$process/cmdline" 2>/dev/null ;;
        esac
    done
}
none_here() { [ -z "$(skein_here)" ]; }
nothing_left() { # nothing_left WHAT
    checks=$((checks + 1))
    none_here || fail "$1: processes left: $(skein_here)"
    left=$(find "$dir" -maxdepth 1 -name 'skein-run-*')
    [ -z "$left" ] || fail "$1: left behind: $left"
}

# ---- what is wrong is told before anything starts
lines 3 >in.jsonl
run "$skein" run missing.jsonl -m null -o out.jsonl
expect 65 'missing input'
says stderr 'missing.jsonl' 'missing input'
run "$skein" run in.jsonl -m ./nowhere -o out.jsonl
expect 78 'missing model'
says stderr 'nowhere' 'missing model'
run "$skein" run in.jsonl -m null --tokenizer ./nowhere -o out.jsonl
expect 78 'missing tokenizer'
run "$skein" run in.jsonl -m in.jsonl -o out.jsonl
expect 78 'no checkpoint'
says stderr 'in.jsonl: is no checkpoint' 'no checkpoint'
mkdir model
printf 'PK not really a zip' >model/m.pth
run "$skein" run in.jsonl -m model -o out.jsonl
expect 78 'text without a tokenizer'
says stderr 'in.jsonl:1: has text.*--tokenizer' 'text without a tokenizer'
run "$skein" run in.jsonl -m null -o in.jsonl
expect 2 'output is the input'
run "$skein" run in.jsonl -m null -o out.jsonl -e out.jsonl
expect 2 'errors are the output'
run "$skein" run in.jsonl -m null -o nowhere/out.jsonl
expect 74 'no folder for the output'
run "$skein" run in.jsonl -m null -o /dev/null
expect 2 'a device as output'
rm -r model
same 'nothing was made' "$(ls -A)" in.jsonl

# ---- all lines fine
lines 300 >in.jsonl
run "$skein" run in.jsonl -m null -o out.jsonl
expect 0 'a good run'
says stderr '^300 records answered, 0 errors, .* tok/s: out.jsonl$' 'summary'
same 'stdout is empty' "$out" ''
same 'only the output is there' "$(ls -A)" "$(printf 'in.jsonl\nout.jsonl')"
same 'ids in order' "$(jq -r .id out.jsonl | md5sum)" \
    "$(seq 1 300 | sed 's/^/r/' | md5sum)"
nothing_left 'a good run'
cp out.jsonl reference

# ---- a symbolic link is followed
mkdir big
echo old >big/out.jsonl
ln -s big/out.jsonl link.jsonl
run "$skein" run in.jsonl -m null -o link.jsonl
expect 0 'a link as output'
[ -L link.jsonl ] || fail 'the link was replaced'
cmp -s big/out.jsonl reference || fail 'the output behind the link differs'
same 'nothing else is there' "$(ls -A big)" out.jsonl

# ---- errors: the files, the statuses
{ lines 2; echo oops; echo; lines 3 | tail -1; } >bad.jsonl
run "$skein" run bad.jsonl -m null -o bad-out.jsonl
expect 1 'some lines fail'
same 'line of the error' "$(jq -c .line bad-out.errors.jsonl)" 3
same 'answers' "$(jq -r .id bad-out.jsonl | tr '\n' ' ')" 'r1 r2 r3 '
run "$skein" run in.jsonl -m null -o bad-out.jsonl
expect 0 'no line fails'
same 'old errors are gone' "$(ls bad-out*)" bad-out.jsonl
run "$skein" run in.jsonl -m null -o bad-out.jsonl -e named.jsonl
expect 0 'a named error file'
same 'a named error file is written' "$(stat -c %s named.jsonl)" 0
printf 'x\ny\n' >worse.jsonl
run "$skein" run worse.jsonl -m null -o worse-out --json
expect 3 'every line fails'
same 'JSON of a run' "$(jq -c '[.status, .request_counts.failed, .errors]' "$dir/stdout")" \
    '["done",2,"worse-out.errors.jsonl"]'
: >empty.jsonl
run "$skein" run empty.jsonl -m null -o empty-out.jsonl
expect 0 'an empty file'
same 'its output is empty' "$(stat -c %s empty-out.jsonl)" 0
run "$skein" run in.jsonl -m null -o kept.jsonl --keep -q
expect 0 '--keep'
same 'quiet' "$err" ''
[ -s kept.skein/run.json ] || fail '--keep kept nothing'
run "$skein" run in.jsonl -m null -o kept.jsonl --json
expect 0 'a kept run again'
cmp -s kept.jsonl reference || fail 'a kept run differs'
[ ! -e kept.skein ] || fail 'a kept run is not removed by the next'
nothing_left 'errors'

# ---- interrupted and resumed, with every signal
lines 12000 >long.jsonl
run "$skein" run long.jsonl -m null -o long-reference.jsonl
expect 0 'reference of the long run'
slow='latency_us=20000'
answered() { # answered NAME: has the run NAME.skein some answers, but not all?
    "$skein" show last --json -s "$(cat "$1.skein/endpoint" 2>/dev/null)" \
        2>/dev/null | jq -e '.request_counts | .completed > 0 and .completed < .total' \
        >/dev/null
}
for signal in INT TERM; do
    # Background jobs of a script ignore SIGINT; setsid and bash -c undo it.
    (
        trap - INT
        exec "$skein" run long.jsonl -m null -o long.jsonl.out \
            --backend-options "$slow" --tokens-per-step 512
    ) >"$dir/stdout" 2>"$dir/stderr" &
    pid=$!
    pids=("$pid")
    until_true 20 answered long.jsonl.out || fail "$signal: no result after 20 s"
    python3 -c "import os, signal; os.kill($pid, signal.SIG$signal)"
    wait "$pid"
    rc=$? out='' err=$(cat "$dir/stderr")
    pids=()
    case $signal in INT) expect 130 SIGINT ;; TERM) expect 143 SIGTERM ;; esac
    same "$signal: last line" "$(tail -1 "$dir/stderr" | grep -c 'the same command resumes')" 1
    [ ! -e long.jsonl.out ] || fail "$signal: there is an output already"
    [ -d long.jsonl.out.skein/spool ] || fail "$signal: the spool is gone"
    nothing_left "$signal"
done

# Other settings are refused by name; the same command resumes.
run "$skein" run long.jsonl -m null -o long.jsonl.out --seed 7 --bos never
expect 81 'other settings'
says stderr '--bos, --seed.*--fresh' 'other settings'
run "$skein" run in.jsonl -m null -o long.jsonl.out
expect 81 'another input'
says stderr 'content of the input' 'another input'
run "$skein" run long.jsonl -m null -o long.jsonl.out
expect 0 'resumed'
says stderr '^resuming' 'resumed'
cmp -s long.jsonl.out long-reference.jsonl || fail 'the resumed output differs'
[ ! -e long.jsonl.out.skein ] || fail 'the spool stayed'
nothing_left 'resumed'

# ---- the parent is killed: the children go too; the next run cleans up
"$skein" run long.jsonl -m null -o killed.jsonl --backend-options "$slow" \
    --tokens-per-step 512 2>/dev/null &
pid=$!
pids=("$pid")
until_true 20 answered killed || fail 'kill -9: no result after 20 s'
run "$skein" run long.jsonl -m null -o killed.jsonl
expect 81 'two at a time'
says stderr 'another skein run' 'two at a time'
endpoint=$(cat killed.skein/endpoint)
run "$skein" ls -s "$endpoint" --json
same 'a run can be looked at' "$(jq -r '.[0].status' "$dir/stdout")" running
kill -9 "$pid"
wait "$pid" 2>/dev/null
pids=()
until_true 10 none_here || fail 'kill -9: the processes stayed'
start=$SECONDS
run "$skein" run long.jsonl -m null -o killed.jsonl
expect 0 'after kill -9'
[ $((SECONDS - start)) -le 20 ] || fail "resuming took $((SECONDS - start)) s"
cmp -s killed.jsonl long-reference.jsonl || fail 'the output after kill -9 differs'
nothing_left 'kill -9'

# ---- a worker or coordinator that dies is started again
for victim in skein-worker skeind; do
    "$skein" run long.jsonl -m null -o "$victim.jsonl" --backend-options "$slow" \
        --tokens-per-step 512 2>"$dir/stderr" &
    pid=$!
    pids=("$pid")
    until_true 20 answered "$victim" || fail "$victim: no result after 20 s"
    pkill -9 -P "$pid" -x "$victim" || fail "$victim is not there"
    wait "$pid"
    rc=$? out='' err=$(cat "$dir/stderr")
    pids=()
    expect 0 "kill -9 of $victim"
    cmp -s "$victim.jsonl" long-reference.jsonl || fail "$victim: the output differs"
done
nothing_left 'kill -9 of children'

# ---- a store that cannot be read is said at once, and no bug of ours
run "$skein" run in.jsonl -m null -o torn.jsonl --keep
expect 0 'a run whose store is kept'
printf 'this is no database, and never was one' >torn.skein/spool/registry.db
run "$skein" run in.jsonl -m null -o torn.jsonl
expect 83 'a corrupt registry'
says stderr 'skeind ended with status 83; see torn.skein' 'a corrupt registry'
same 'one attempt' "$(grep -c fatal torn.skein/skeind.log)" 1
run "$skein" run in.jsonl -m null -o torn.jsonl --fresh
expect 0 'a corrupt registry, --fresh'
cmp -s torn.jsonl reference || fail 'the fresh run differs'
nothing_left 'a corrupt registry'

# ---- --lenient: unknown keys are warnings, the first ten are shown
for i in $(seq 12); do
    printf '{"txt":%d,"text":"a","Gold":1}\n' "$i"
done >odd.jsonl
run "$skein" run odd.jsonl -m null -o odd.out.jsonl
expect 3 'unknown keys'
run "$skein" run odd.jsonl -m null -o odd.out.jsonl --lenient --fresh
expect 0 'unknown keys, --lenient'
says stderr 'odd.jsonl:10: warning: unknown key "txt"; did you mean "text"' \
    'the tenth warning'
same 'warnings shown' "$(grep -c ': warning: ' <<<"$err")" 10
says stderr '24 warnings in all' 'the number of warnings'
same 'answers' "$(wc -l <odd.out.jsonl)" 12
run "$skein" run -q odd.jsonl -m null -o quiet.jsonl --lenient
expect 0 '--quiet'
same 'nothing is said' "$err" ''
rm odd.jsonl odd.out.jsonl quiet.jsonl

# ---- --fresh starts over
"$skein" run long.jsonl -m null -o fresh.jsonl --backend-options "$slow" \
    --tokens-per-step 512 2>/dev/null &
pid=$!
pids=("$pid")
until_true 20 answered fresh || fail 'fresh: no result after 20 s'
kill -TERM "$pid"
wait "$pid"
pids=()
run "$skein" run in.jsonl -m null -o fresh.jsonl --fresh
expect 0 '--fresh'
cmp -s fresh.jsonl reference || fail 'the fresh output differs'

# ---- hopeless: the worker cannot start, its log is shown
run timeout 30 "$skein" run in.jsonl -m null -o hopeless.jsonl \
    --backend-options no_such_option=1
[ "$rc" -ge 64 ] && [ "$rc" -lt 124 ] || fail "hopeless: exit status $rc: $err"
says stderr 'last lines of hopeless.skein/worker.log' 'hopeless'
says stderr 'no_such_option' 'hopeless names the cause'
run "$skein" run in.jsonl -m null -o hopeless.jsonl
expect 0 'the next try needs no --fresh'
nothing_left 'hopeless'
finish
