
_skein_jobs() {
    local -a ids
    ids=(last all ${(f)"$(_call_program jobs timeout 1 skein ls --all --format id --no-header 2>/dev/null)"})
    compset -P '*,'
    compadd -- $ids
}

_skein_models() {
    local -a names
    names=(${(s:,:)${(j:,:)${(f)"$(_call_program models timeout 1 skein worker ls --format models --no-header 2>/dev/null)"}}})
    compadd -- $names
}

_skein() {
    if (( CURRENT == 2 )); then
        _skein_first
        return
    fi
    if (( CURRENT == 3 )) && _skein_second $words[2]; then
        return
    fi
    _skein_arguments "$words[2] ${words[3]-}"
}

if [ "$funcstack[1]" = _skein ]; then
    _skein "$@"
else
    compdef _skein skein
fi
