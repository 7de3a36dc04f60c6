/* skein-model: looks into checkpoints, converts and compares them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/hash.h"
#include "model/tool.h"

static const struct {
    const struct option_spec *spec;
    size_t options_size;
    tool_run_fn *run;
} commands[] = {
    {&tool_inspect_spec, sizeof(struct tool_inspect_options), tool_inspect},
    {&tool_tokenize_spec, sizeof(struct tool_tokenize_options), tool_tokenize},
    {&tool_detokenize_spec, sizeof(struct tool_tokenize_options),
     tool_detokenize},
    {&tool_logits_spec, sizeof(struct tool_logits_options), tool_logits},
    {&tool_convert_spec, sizeof(struct tool_convert_options), tool_convert},
    {&tool_verify_spec, sizeof(struct tool_verify_options), tool_verify},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static const struct option_spec program = {.program = "skein-model"};

static void print_overview(FILE *out)
{
    fputs("Usage: skein-model COMMAND [OPTIONS] ...\n"
          "\n"
          "Looks into RWKV-7 checkpoints (safetensors with FLA or BlinkDL "
          "names, torch\n"
          ".pth), converts and compares them.\n"
          "\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s%s\n", commands[i].spec->command,
                commands[i].spec->purpose);
    fputs("\n"
          "  skein-model COMMAND --help     explains one of them\n"
          "  skein-model --version\n"
          "\n"
          "Exit status: 0 success, 2 usage, 5 file not found, 65 bad file or "
          "input, 74 I/O.\n",
          out);
}

static int unknown_command(const char *word, struct err *err)
{
    const char *known[N_COMMANDS + 1] = {NULL};
    const char *nearest;

    for (size_t i = 0; i < N_COMMANDS; i++)
        known[i] = commands[i].spec->command;
    nearest = conf_nearest(word, known);
    if (nearest != NULL)
        return err_set(err, ERR_USAGE,
                       "there is no command \"%.60s\"; did you mean %s?", word,
                       nearest);
    return err_set(err, ERR_USAGE, "there is no command \"%.60s\"", word);
}

static int run_command(size_t i, int argc, char **argv, struct err *err)
{
    void *options = xcalloc(1, commands[i].options_size);
    const struct tool_common *common = options;
    int first, rc = -1;

    if (options_parse(commands[i].spec, argc, argv, options, &first, err) < 0)
        goto out;
    if (common->help) {
        options_print_help(commands[i].spec);
        rc = 0;
    } else if (options_complete(commands[i].spec, options, err) == 0
               && hash_init(err) == 0) {
        rc = commands[i].run(options, argv + first, argc - first, err);
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = err_set(err, ERR_IO, "cannot write to stdout");
out:
    free(options);
    return rc;
}

static int report(const struct option_spec *spec, const struct err *err)
{
    options_report(spec, err);
    return (int)err->code;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    size_t i = 0;
    int rc;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? ERR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("skein-model " SKEIN_VERSION);
        return 0;
    }
    while (i < N_COMMANDS && strcmp(argv[1], commands[i].spec->command) != 0)
        i++;
    if (i == N_COMMANDS) {
        unknown_command(argv[1], &err);
        return report(&program, &err);
    }
    rc = run_command(i, argc - 1, argv + 1, &err);
    return rc < 0 ? report(commands[i].spec, &err) : rc;
}
