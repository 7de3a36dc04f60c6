
# Ask the coordinator that the command line names; it may take a second.
_skein_ask() {
    local i server=()
    for ((i = 1; i + 1 < ${#COMP_WORDS[@]}; i++)); do
        case ${COMP_WORDS[i]} in
        -s | --server | -c | --config) server+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    timeout 1 "${COMP_WORDS[0]}" "$@" ${server[@]+"${server[@]}"} 2>/dev/null
}

# Offer what $1 says for the word $2: @files, @jobs, @models, @none or words.
_skein_offer() {
    local before='' cur=$2 words=$1
    case $1 in
    @none) return ;;
    @files)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    @jobs)
        words="last all $(_skein_ask ls --all --format id --no-header)"
        case $cur in *,*) before=${cur%,*}, cur=${cur##*,} ;; esac
        ;;
    @models) words=$(_skein_ask worker ls --format models --no-header | tr , ' ') ;;
    esac
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$words" -- "$cur")
}

_skein() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command value
    COMPREPLY=()
    command=$(_skein_command "${COMP_WORDS[1]-}" "${COMP_WORDS[2]-}")
    if [ "$COMP_CWORD" -eq 1 ]; then
        _skein_offer "$(_skein_first)" "$cur"
        return
    elif [ "$COMP_CWORD" -eq 2 ] && value=$(_skein_second "${COMP_WORDS[1]}"); then
        _skein_offer "$value" "$cur"
        return
    fi
    # --option=value arrives as three words.
    if [ "$cur" = = ]; then
        cur=''
    elif [ "$prev" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if value=$(_skein_value "$command" "$prev"); then
        _skein_offer "$value" "$cur"
    elif [[ $cur == -* ]]; then
        _skein_offer "$(_skein_options "$command")" "$cur"
    else
        _skein_offer "$(_skein_argument "$command")" "$cur"
    fi
}
complete -F _skein skein
