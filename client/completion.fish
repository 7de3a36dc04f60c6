
# These questions go to the coordinator of the environment or skein.yaml; they
# may take a second.
function __skein_jobs
    printf '%s\n' last all
    timeout 1 skein ls --all --format id --no-header 2>/dev/null
end

function __skein_models
    timeout 1 skein worker ls --format models --no-header 2>/dev/null | string split ,
end

# Is the command line at its word number $argv[1], after the words that follow?
function __skein_words
    set -l words (commandline -opc)
    test (count $words) -eq $argv[1]
    and test "$words[2..]" = "$argv[2..]"
end

# Has one of these commands been typed?
function __skein_is
    set -l words (commandline -opc)
    for command in $argv
        set -l last (math 1 + (count (string split ' ' -- $command)))
        test (count $words) -ge $last; and test "$words[2..$last]" = "$command"
        and return 0
    end
    return 1
end
