#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/interrupt.h"
#include "client/json_out.h"
#include "client/settings.h"
#include "common/buf.h"
#include "common/hash.h"

static void print_overview(FILE *to)
{
    fputs("skein - score datasets and generate text with RWKV-7 models\n\n"
          "Usage: skein COMMAND [OPTIONS] [ARGUMENTS]\n\n"
          "On this machine, without a server:\n"
          "  skein run in.jsonl -m MODEL -o out.jsonl\n\n"
          "With a coordinator (skeind) and workers (skein-worker):\n"
          "  id=$(skein submit in.jsonl -m NAME)\n"
          "  skein wait $id && skein results $id -o out.jsonl\n\n"
          "Commands:\n",
          to);
    for (size_t i = 0; commands[i] != NULL; i++)
        fprintf(to, "  %-15s %s\n", commands[i]->spec.command,
                commands[i]->spec.purpose);
    fputs("\nskein COMMAND --help explains a command; data go to standard "
          "output, everything\nelse to standard error. Exit status: 0 done, 1 "
          "some lines failed, 2 usage,\n3 job failed, 4 cancelled, 5 no such "
          "job, 65 and up: see skein(1).\n",
          to);
}

static int with_settings(const struct command *command, void *options,
                         char *const *arg, int n_arg, struct err *err)
{
    const struct common_options *common = options;
    struct settings settings;
    int status = -1;

    if (command->reads_settings)
        return command->run(options, arg, n_arg, err);
    if (settings_load_all(common->config, &settings, err) == 0
        && settings_fill(&command->spec, &settings, options, err) == 0
        && options_complete(&command->spec, options, err) == 0)
        status = command->run(options, arg, n_arg, err);
    settings_free(&settings);
    return status;
}

static int run_command(const struct command *command, int argc, char **argv,
                       struct err *err)
{
    void *options = xcalloc(1, command->options_size);
    const struct common_options *common = options;
    int status = -1;
    int first;

    if (options_parse(&command->spec, argc, argv, options, &first, err) < 0)
        goto out;
    if (common->help) {
        options_print_help(&command->spec);
        status = 0;
        goto out;
    }
    status = with_settings(command, options, argv + first, argc - first, err);
out:
    free(options);
    return status;
}

/* Was --json asked for? Looked up by hand, since the command line may be what
 * is wrong.
 */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

/* A mistake on the command line gets the way out in the next line. */
static int report(const struct command *command, const struct err *err,
                  bool json)
{
    static const struct option_spec program = {.program = "skein"};

    if (json) {
        struct err ignored;

        json_print(json_error_of(err), &ignored);
    }
    options_report(command != NULL ? &command->spec : &program, err);
    return (int)err->code;
}

/* Everything printed must have arrived: a full disk is not success. */
static int check_stdout(int status)
{
    struct err err;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    err_set(&err, ERR_IO, "standard output: a write failed");
    return report(NULL, &err, false);
}

/* "skein help submit" is "skein submit --help". */
static int help_about(int argc, char **argv, bool json)
{
    const struct command *command;
    struct err err;
    int words;

    if (argc == 0) {
        print_overview(stdout);
        return check_stdout(0);
    }
    command = commands_find(argc, argv, &words, &err);
    if (command == NULL)
        return report(NULL, &err, json);
    options_print_help(&command->spec);
    return check_stdout(0);
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct err err = {.code = ERR_NONE};
    bool json = wants_json(argc, argv);
    char version[] = "version";
    int status, words;

    signal(SIGPIPE, SIG_IGN); /* failed writes are seen where they happen */
    if (hash_init(&err) < 0)
        return report(NULL, &err, json);
    if (argc < 2) {
        print_overview(stderr);
        return ERR_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_about(0, NULL, json);
    if (strcmp(argv[1], "help") == 0)
        return help_about(argc - 2, argv + 2, json);
    command = commands_find(argc - 1, argv + 1, &words, &err);
    if (command == NULL)
        return report(NULL, &err, json);
    status = run_command(command, argc - words, argv + words, &err);
    if (interrupt_signal() != 0)
        return 128 + interrupt_signal();
    if (status < 0)
        return report(command, &err, json);
    return check_stdout(status);
}
