#!/usr/bin/env bash
# tests/client/usage.sh - help and mistakes; no coordinator is running
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"

# Nobody there: 69, in at most 5 s. Begun first, looked at last.
unreachable=('ls' 'show 1' 'show last' 'wait 1' 'results 1' 'errors 1'
    'cancel 1' 'hold 1' 'release 1' 'set 1 -p 2' 'retry 1' 'rm 1' watch
    'worker ls' 'server status' 'submit /dev/null -m x')
for i in "${!unreachable[@]}"; do
    (
        # shellcheck disable=SC2086 # words on purpose
        timeout 5 "$skein" ${unreachable[i]} -s "ipc://$dir/none.sock" --json \
            >"$dir/none.$i" 2>&1
        echo $? >"$dir/none.$i.rc"
    ) &
    pids+=($!)
done

# Every command there is: a new one is tested here without being named.
mapfile -t commands < <("$skein" --help | awk -F '   *' '
    /^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $2 }')
[ ${#commands[@]} -gt 10 ] || fail "only these commands: ${commands[*]}"

# Help of everything: purpose, an example, every option with its default.
for command in "${commands[@]}"; do
    # shellcheck disable=SC2086 # two words on purpose
    run "$skein" $command --help
    expect 0 "$command --help"
    says stdout "^skein $command - " "$command --help: purpose"
    says stdout '^Examples:' "$command --help: examples"
    says stdout "^  .*skein $command" "$command --help: an example of its own"
    says stdout '^  -h, --help' "$command --help: options"
    same "$command --help: nothing on stderr" "$err" ''
    # Each option with a value shows what happens without it.
    options=$(grep -cE '^ +(-., )?--[a-z-]+ [A-Z]' "$dir/stdout")
    defaults=$(grep -cE '^ +\[(default: |required\])' "$dir/stdout")
    same "$command --help: defaults" "$defaults" "$options"
done
run "$skein" help submit
expect 0 'help submit'
says stdout '^skein submit - ' 'help submit'
run "$skein" --help
expect 0 '--help'
for command in "${commands[@]}"; do
    says stdout "^  $command " "--help lists $command"
done
run "$skein"
expect 2 'no command'
says stderr '^Usage: skein COMMAND' 'no command'
run "$skein" --version
expect 0 --version
says stdout '^skein [0-9]+\.[0-9]+\.[0-9]+$' --version

# The man page has the same tables: every command with every option.
if [ -s "$BIN/../man/skein.1.scd" ]; then
    for command in "${commands[@]}"; do
        # shellcheck disable=SC2086
        for option in $("$skein" $command --help | grep -oE '^ +(-., )?--[a-z-]+' |
            grep -oE -- '--.*'); do
            awk -v head="## skein $command " -v option="*$option*" '
                /^#/ { here = index($0, head) == 1 || /^# OPTIONS OF EVERY/ }
                here && index($0, option) { found = 1 }
                END { exit !found }' "$BIN/../man/skein.1.scd" ||
                fail "skein(1) lacks $option of $command"
            checks=$((checks + 1))
        done
    done
fi

# Every option of its own that a command has is used by some script.
scripts=$(sed -e ':a' -e '/\\$/{N;s/\\\n//;ba}' "$SRC"/tests/client/*.sh "$SRC"/tests/e2e/*.sh |
    sed 's/^ *ids /is x ls /; s/\$(ids /$(is x ls /')
for command in "${commands[@]}"; do
    # shellcheck disable=SC2086
    "$skein" $command --help | sed '/ --server\| --config/,$d' |
        sed -nE 's/^ +((-.), )?--([a-z-]+).*/\2 \3/p' >"$dir/options"
    while read -r short long; do
        [ -n "$long" ] || long=$short short=
        checks=$((checks + 1))
        grep -Eq -- "(skein\"?|is [a-z-]+|about|['(]) *$command .*(--$long${short:+|$short})([ =\"')]|\$)" <<<"$scripts" ||
            fail "no script uses $command --$long"
    done <"$dir/options"
done

# The daemons have tables, too.
for program in skeind skein-worker; do
    run "$BIN/$program" --help
    expect 0 "$program --help"
    says stdout "^$program - " "$program --help"
    page=$BIN/../man/$program.8.scd
    for option in $(grep -oE '^ +(-., )?--[a-z-]+' "$dir/stdout" | grep -oE -- '--.*'); do
        [ ! -s "$page" ] || grep -q -- "^[^	]*\*$option\*" "$page" ||
            fail "$program(8) lacks $option"
        checks=$((checks + 1))
    done
    run "$BIN/$program" --confg x
    expect 2 "$program --confg"
    says stderr "did you mean --config" "$program --confg"
    says stderr "^  $program --help " "$program --confg: the way out"
    run "$BIN/$program" --log-level inf
    expect 2 "$program --log-level inf"
    says stderr "did you mean info" "$program --log-level inf"
    run "$BIN/$program" --config
    expect 2 "$program --config without a file"
    run "$BIN/$program" word
    expect 2 "$program word"
done

# So has skein-model.
if [ -s "$BIN/../man/skein-model.1.scd" ]; then
    for command in inspect tokenize detokenize logits convert verify; do
        for option in $("$BIN/skein-model" $command --help | grep -oE '^ +(-., )?--[a-z0-9-]+' |
            grep -oE -- '--.*' | grep -v -- --help); do
            awk -v head="## skein-model $command " -v option="*$option*" '
                /^#/ { here = index($0, head) == 1 }
                here && index($0, option) { found = 1 }
                END { exit !found }' "$BIN/../man/skein-model.1.scd" ||
                fail "skein-model(1) lacks $option of $command"
            checks=$((checks + 1))
        done
    done
fi

# Unknown commands name the nearest.
run "$skein" sumbit
expect 2 'sumbit'
says stderr "did you mean 'submit'" sumbit
run "$skein" worker
expect 2 worker
says stderr "did you mean 'worker ls'" worker
run "$skein" server stats
expect 2 'server stats'
says stderr "did you mean 'server status'" 'server stats'
run "$skein" frobnicate
expect 2 frobnicate
says stderr 'skein --help' frobnicate
run "$skein" --json ls
expect 2 'an option before the command'
says stderr 'come after it' 'an option before the command'

# A wrong option of every command; with and without a hint.
for command in "${commands[@]}"; do
    # shellcheck disable=SC2086
    run "$skein" $command --jsn
    expect 2 "$command --jsn"
    says stderr 'unknown option --jsn; did you mean --json\?' "$command --jsn"
    # shellcheck disable=SC2086
    run "$skein" $command -Z
    expect 2 "$command -Z"
    says stderr 'unknown option -Z' "$command -Z"
    says stderr "^  skein $command --help " "$command -Z: the way out"
    # shellcheck disable=SC2086
    run "$skein" $command --color purple
    expect 2 "$command --color purple"
    says stderr 'not one of auto, always, never' "$command --color purple"
    # shellcheck disable=SC2086
    run "$skein" $command --color alwys
    says stderr 'did you mean always\?' "$command --color alwys"
    # Each option without its value, each flag with one.
    # shellcheck disable=SC2086
    "$skein" $command --help |
        sed -nE 's/^ +(-., )?--([a-z-]+)( [A-Z=]+)?(  .*)?$/\2 \3/p' >"$dir/options"
    while read -r option value; do
        if [ -n "$value" ]; then
            # shellcheck disable=SC2086
            run "$skein" $command --$option
            says stderr "option --$option needs a value: $value" "$command --$option"
        elif [ "$option" != help ]; then
            # shellcheck disable=SC2086
            run "$skein" $command --$option=x
            says stderr "option --$option takes no value" "$command --$option=x"
        else
            continue
        fi
        expect 2 "$command --$option"
        says stderr "^  skein $command --help " "$command --$option: the way out"
    done <"$dir/options"
done
# Arguments: too few, too many.
for command in show wait results errors cancel hold release rm validate completion; do
    run "$skein" $command
    expect 2 "$command alone"
    says stderr "an argument is missing; usage: skein $command " "$command alone"
done
for command in 'submit a' 'run a' 'completion bash' version 'worker ls' \
    'server status' 'config check'; do
    # shellcheck disable=SC2086
    run "$skein" $command word -m x -o y
    expect 2 "$command word"
done
run "$skein" submit in.jsonl -m x --seed -1
expect 2 'negative seed'
run "$skein" submit in.jsonl -m x --priority 99999999999
expect 2 'priority out of range'
run "$skein" submit in.jsonl -m x --bos sometimes
expect 2 'bos'
says stderr 'always, if-empty, never' bos
run "$skein" submit in.jsonl
expect 2 'submit without a model'
says stderr '--model' 'submit without a model'
run "$skein" submit in.jsonl -m 'x@yz'
expect 2 'a fingerprint that is not hex'
says stderr "after '@' a fingerprint" 'a fingerprint that is not hex'
run "$skein" submit in.jsonl -m $'x\xff'
expect 2 'a model that is not UTF-8'
says stderr '--model' 'a model that is not UTF-8'
run "$skein" submit -m x
expect 2 'submit without a file'
run "$skein" submit a b -m x
expect 2 'submit of two files'
run "$skein" show
expect 2 'show without a job'
run "$skein" wait 0
expect 2 'job 0'
says stderr 'numbered from 1' 'job 0'
run "$skein" show 18-15
expect 2 'a range that runs backwards'
says stderr 'did you mean 15-18' 'a range that runs backwards'
run "$skein" show 12,,13
expect 2 'an empty job'
run "$skein" ls --filter state=faild
expect 2 'a state there is not'
says stderr "did you mean 'failed'" 'a state there is not'
run "$skein" ls --filter stat=failed
expect 2 'a field there is not'
says stderr "did you mean 'state'" 'a field there is not'
run "$skein" ls -f failed
expect 2 'a filter without a field'
says stderr 'KEY=VALUE' 'a filter without a field'
run "$skein" worker ls -f state=redy
expect 2 'a state of workers there is not'
says stderr "did you mean 'ready'" 'a state of workers there is not'
for command in ls 'worker ls'; do
    # shellcheck disable=SC2086
    run "$skein" $command --format frobnication
    expect 2 "$command: a column there is not"
    fields=$(sed -n 's/.*; there are //p' "$dir/stderr")
    # The help names the same fields as the error, in the same order.
    # shellcheck disable=SC2086
    same "$command: fields in the help" "$("$skein" $command --help |
        sed -n '/--format FIELDS/,/\[default/p' | tr -s ' \n' ' ' |
        sed 's/.*between: //; s/ \[default.*//')" "$fields"
    # shellcheck disable=SC2086
    run "$skein" $command --format nam
    says stderr "did you mean 'name'" "$command: a misspelt column"
    # shellcheck disable=SC2086
    run "$skein" $command --json --parsable
    expect 2 "$command: two formats"
done
run "$skein" run in.jsonl -m null
expect 2 'run without an output'
run "$skein" run - -m null -o "$dir/out"
expect 2 'run of a pipe'
run "$skein" run in.jsonl -s ipc:///x -m null -o "$dir/out"
expect 2 'run has no --server'

# Errors in JSON: on stdout, with the status; the same text on stderr.
run "$skein" ls --json --wrong
expect 2 'ls --json --wrong'
same 'JSON of a usage error' "$(jq -r .error.code "$dir/stdout")" usage
run "$skein" submit "$dir/missing.jsonl" -m x --json
expect 65 'submit of a missing file'
same 'JSON of a missing file' "$(jq -r .error.code "$dir/stdout")" invalid
says stderr "missing.jsonl" 'submit of a missing file'
run "$skein" submit "$dir" -m x
expect 65 'submit of a directory'
run "$skein" ls -s nonsense
expect 78 'a bad endpoint'

# Settings: which server was meant shows in the error about it.
mkdir -p "$dir/config/skein"
echo "server: from-file" >"$dir/config/skein/skein.yaml"
run "$skein" ls
says stderr 'from-file' 'settings file'
SKEIN_SERVER=from-env run "$skein" ls
says stderr 'from-env' 'environment beats file'
SKEIN_SERVER=from-env run "$skein" ls -s from-flag
says stderr 'from-flag' 'option beats environment'
echo "sevrer: x" >"$dir/config/skein/skein.yaml"
run "$skein" ls
expect 78 'unknown key'
says stderr 'skein.yaml:1.*server' 'unknown key'
rm "$dir/config/skein/skein.yaml"
run "$skein" ls -c "$dir/missing.yaml"
expect 78 'missing settings file'
cat >"$dir/own.yaml" <<'END'
server: ipc:///from-file
bos: never
END
SKEIN_MODEL=m run "$skein" config show -c "$dir/own.yaml" --color never
expect 0 'config show'
same 'config show: origins' "$(awk 'NR > 1 { print $1, $NF }' "$dir/stdout" | sort |
    tr '\n' ' ')" "bos $dir/own.yaml color --color devices default model SKEIN_MODEL \
priority default server $dir/own.yaml tokenizer default "
says stderr "own.yaml: read" 'config show: files'
run "$skein" config show server bos -c "$dir/own.yaml" --format value --no-header
same 'config show: values' "$out" $'ipc:///from-file\nnever'
SKEIN_SERVER=ipc:///e run "$skein" config show server -c "$dir/own.yaml" --json
same 'config show --json' "$(jq -c '[.settings[0] | .value, .origin]' "$dir/stdout")" \
    '["ipc:///e","SKEIN_SERVER"]'
run "$skein" config show sevrer
expect 2 'config show of nothing'
says stderr "did you mean 'server'" 'config show of nothing'
run "$skein" config show
says stderr "config/skein/skein.yaml: not there" 'config show: files'
mkdir -p "$dir/.config/skein"
echo 'bos: if-empty' >"$dir/.config/skein/skein.yaml"
(
    unset XDG_CONFIG_HOME
    "$skein" config show bos --format value,origin --no-header -q
) >"$dir/stdout"
same 'the file below HOME' "$(cat "$dir/stdout")" \
    "if-empty	$dir/.config/skein/skein.yaml"
run "$skein" config check -c "$dir/own.yaml"
expect 0 'config check'
echo 'bos: nevr' >"$dir/own.yaml"
run "$skein" config check -c "$dir/own.yaml"
expect 78 'config check: a wrong value'
says stderr "own.yaml: bos: .*did you mean never" 'config check: a wrong value'
SKEIN_CONFIG=$dir/own.yaml run "$skein" config check
expect 78 'SKEIN_CONFIG'
run "$skein" config check -c "$SRC/conf/skein.yaml"
expect 0 'the shipped skein.yaml'
# It mentions every key there is.
for key in $("$skein" config show --parsable); do
    grep -Eq "^(# )?$key: " "$SRC/conf/skein.yaml" || fail "conf/skein.yaml lacks $key"
done
SKEIN_BOS=maybe run "$skein" submit /dev/null -m x
expect 78 'a bad variable'
says stderr SKEIN_BOS 'a bad variable'

# A full disk is never success.
"$skein" --help >/dev/full 2>"$dir/stderr"
rc=$? out='' err=$(cat "$dir/stderr")
expect 74 'help to a full disk'

wait "${pids[@]}"
for i in "${!unreachable[@]}"; do
    rc=$(cat "$dir/none.$i.rc") out=$(cat "$dir/none.$i") err=''
    expect 69 "nobody there: ${unreachable[i]}"
    same "nobody there, JSON: ${unreachable[i]}" \
        "$(head -1 "$dir/none.$i" | jq -r .error.code)" unreachable
    says stdout 'none.sock' "nobody there: ${unreachable[i]}"
done
finish
