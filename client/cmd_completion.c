/* completion: scripts that teach shells this command line */
#include <stdio.h>

#include "client/commands.h"
#include "client/completion.h"

static int run_completion(const void *options, char *const *arg, int n_arg,
                          struct err *err)
{
    struct buf script = BUF_INIT;

    (void)options;
    (void)n_arg;
    (void)err;
    completion_script(arg[0], commands, &script);
    fputs(script.data, stdout); /* main() checks that it arrived */
    buf_free(&script);
    return 0;
}

const struct command cmd_completion = {
    .spec =
        {
            .command = "completion",
            .synopsis = "[OPTIONS] bash|zsh|fish",
            .purpose = "print a completion script for a shell",
            .about =
                "The script completes commands, options, files, job ids and "
                "model names; the last two are asked of the coordinator. "
                "Installed packages bring it along.",
            .examples = "  source <(skein completion bash)\n"
                        "  skein completion fish > "
                        "~/.config/fish/completions/skein.fish\n"
                        "  skein completion zsh > ~/.zfunc/_skein",
            .common = cmd_local_rows,
            .args_min = 1,
            .args_max = 1,
            .choice = completion_shells,
        },
    .options_size = sizeof(struct common_options),
    .run = run_completion,
};
