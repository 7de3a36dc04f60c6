#!/usr/bin/env bash
# tests/client/completion.sh - the completion scripts, used by their shells
# shellcheck source=tests/client/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
export PATH=$BIN:$PATH
start_cluster
lines 3 >lambada.jsonl
run "$skein" submit lambada.jsonl -m null --wait -q
for shell in bash zsh fish; do
    run "$skein" completion $shell
    expect 0 "completion $shell"
    cp stdout script.$shell
done
run "$skein" completion tcsh
expect 2 'completion tcsh'
says stderr 'not one of bash, zsh, fish' 'completion tcsh'
run "$skein" completion zhs
says stderr 'did you mean zsh\?' 'completion zhs'
run "$skein" completion
expect 2 'completion alone'
if command -v shellcheck >/dev/null; then
    run shellcheck -s bash script.bash
    expect 0 'shellcheck of the bash script'
fi

# Each: what a user has typed, and what must be offered, among others.
# With $not before a word, it must not be.
typed=('skein sub' 'skein worker ' 'skein submit --prio' 'skein submit x --bos '
    'skein run -m lamb' 'skein show ' 'skein completion f' 'skein list --al'
    'skein worker list --js' 'skein submit lam' 'skein show lamb'
    'skein results ' 'skein submit lambada.jsonl -m ')
offered=(submit ls --priority if-empty
    lambada.jsonl last fish --all
    --json lambada.jsonl '!lambada.jsonl'
    1 null)

judge() { # judge SHELL TYPED EXPECTED OFFERED
    checks=$((checks + 1))
    case $3 in
    !*) ! grep -qFx -- "${3#!}" <<<"$4" ;;
    *) grep -qFx -- "$3" <<<"$4" ;;
    esac || fail "$1: '$2' offers, expected $3: $(tr '\n' ' ' <<<"$4")"
}

bash_offers() { # as readline would: a word of its own after a final space
    bash --norc -c 'source script.bash
        read -ra COMP_WORDS <<<"$1"
        case $1 in *" ") COMP_WORDS+=("") ;; esac
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _skein 2>/dev/null
        printf "%s\n" "${COMPREPLY[@]}"' bash "$1"
}
for i in "${!typed[@]}"; do
    judge bash "${typed[i]}" "${offered[i]}" "$(bash_offers "${typed[i]}")"
done

# --option=value arrives in parts; a list of jobs is completed at its end.
bash_words() { # bash_words WORD...: what is offered for the last
    bash --norc -c 'source script.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _skein 2>/dev/null
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
judge bash '--bos=' never "$(bash_words skein submit x --bos =)"
judge bash '--bos=al' always "$(bash_words skein submit x --bos = al)"
judge bash '3,la' 3,last "$(bash_words skein show 3,la)"
judge bash '-s' 1 "$(SKEIN_SERVER=ipc:///nowhere bash_words skein show \
    -s "$SKEIN_SERVER" '')"

if command -v fish >/dev/null; then
    for i in "${!typed[@]}"; do
        # shellcheck disable=SC2016 # $argv is fish's
        judge fish "${typed[i]}" "${offered[i]}" "$(fish --no-config -c \
            'source script.fish; complete -C "$argv[1]"' "${typed[i]}" | cut -f 1)"
    done
else
    echo 'fish is not installed: its script is not tried'
fi

# zsh completes only on a terminal: type there, and note what it would offer.
if command -v zsh >/dev/null; then
    cat >drive.zsh <<'END'
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'autoload -U compinit; compinit -u -d ./dump; source script.zsh'
zpty -w z 'compadd() { local -a found; builtin compadd -O found "$@" 2>/dev/null
    print -l -- $found >>offered; builtin compadd "$@" }'
zpty -w z 'noted() { BUFFER=; touch offered; mv offered offered.$((++n)) }; zle -N noted'
zpty -w z 'LISTMAX=0; bindkey "^I" complete-word; bindkey "^X" noted; print ready'
zpty -r z line '*ready*ready*'
i=0
for typed; do
    zpty -n -w z "$typed"$'\t\x18'
    ((++i))
    for ((tries = 0; tries < 400; tries++)) { [[ -e offered.$i ]] && break; sleep 0.05 }
done
END
    timeout 60 zsh -f drive.zsh "${typed[@]}" || fail 'zsh does not answer'
    for i in "${!typed[@]}"; do
        judge zsh "${typed[i]}" "${offered[i]}" "$(cat "offered.$((i + 1))")"
    done
else
    echo 'zsh is not installed: its script is not tried'
fi
finish
