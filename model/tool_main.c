/* skein-model: looks into checkpoints, converts and compares them. */
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "model/tool.h"

static const struct {
    const char *name;
    const char *summary;
    tool_run_fn *run;
} commands[] = {
    {"inspect", "what a checkpoint holds: sizes, dtypes, fingerprint",
     tool_inspect},
    {"tokenize", "JSON lines of text to token ids", tool_tokenize},
    {"detokenize", "JSON lines of token ids to text", tool_detokenize},
    {"logits", "logits after a list of tokens", tool_logits},
    {"convert", "write a checkpoint in another format", tool_convert},
    {"verify", "compare two checkpoints, tensor by tensor and by logits",
     tool_verify},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fputs("Usage: skein-model COMMAND [OPTIONS] ...\n"
          "\n"
          "Looks into RWKV-7 checkpoints (safetensors with FLA or BlinkDL "
          "names, torch\n"
          ".pth), converts and compares them.\n"
          "\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fputs("\n"
          "  skein-model COMMAND --help     explains one of them\n"
          "  skein-model --version\n"
          "\n"
          "Exit status: 0 success, 2 usage, 5 file not found, 65 bad file or "
          "input, 74 I/O.\n",
          out);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    int rc;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? ERR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("skein-model " SKEIN_VERSION);
        return 0;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        rc = hash_init(&err);
        if (rc == 0)
            rc = commands[i].run(argc - 1, argv + 1, &err);
        if (rc == 0 && fflush(stdout) != 0)
            rc = err_set(&err, ERR_IO, "cannot write to stdout");
        if (rc < 0) {
            fprintf(stderr, "skein-model %s: %s\n", argv[1], err.text);
            return (int)err.code;
        }
        return rc;
    }
    fprintf(stderr,
            "skein-model: there is no command \"%s\"; see skein-model --help\n",
            argv[1]);
    return ERR_USAGE;
}
