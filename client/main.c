#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/json_out.h"
#include "client/settings.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/hash.h"

static const struct command *const commands[] = {
    &cmd_run,       &cmd_submit,        &cmd_ls,      &cmd_show,
    &cmd_wait,      &cmd_results,       &cmd_errors,  &cmd_cancel,
    &cmd_worker_ls, &cmd_server_status, &cmd_version, NULL,
};
#define N_COMMANDS (sizeof commands / sizeof *commands - 1)

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
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-15s %s\n", commands[i]->name,
                commands[i]->spec.purpose);
    fputs("\nskein COMMAND --help explains a command; data go to standard "
          "output, everything\nelse to standard error. Exit status: 0 done, 1 "
          "some lines failed, 2 usage,\n3 job failed, 4 cancelled, 5 no such "
          "job, 65 and up: see skein(1).\n",
          to);
}

/* Does argv begin with the words of `name`? The number of words, or 0. */
static int match_name(const char *name, int argc, char **argv)
{
    const char *space = name != NULL ? strchr(name, ' ') : NULL;
    size_t len;

    if (name == NULL)
        return 0;
    if (space == NULL)
        return strcmp(name, argv[0]) == 0;
    len = (size_t)(space - name);
    return argc > 1 && strlen(argv[0]) == len
                   && strncmp(name, argv[0], len) == 0
                   && strcmp(space + 1, argv[1]) == 0
               ? 2
               : 0;
}

static const struct command *find_command(int argc, char **argv, int *words)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        *words = match_name(commands[i]->name, argc, argv);
        if (*words == 0)
            *words = match_name(commands[i]->alias, argc, argv);
        if (*words > 0)
            return commands[i];
    }
    return NULL;
}

static int unknown_command(int argc, char **argv, struct err *err)
{
    const char *known[N_COMMANDS + 1] = {NULL};
    size_t len = strlen(argv[0]);
    const char *nearest;
    struct buf words = BUF_INIT;

    for (size_t i = 0; i < N_COMMANDS; i++) {
        const char *name = commands[i]->name;

        known[i] = name;
        if (strncmp(name, argv[0], len) == 0 && name[len] == ' ' && argc < 2)
            return err_set(err, ERR_USAGE,
                           "'%s' is not a command; did you mean "
                           "'%s'?",
                           argv[0], name);
    }
    buf_adds(&words, argv[0]);
    nearest = conf_nearest(words.data, known);
    if (nearest == NULL && argc > 1 && argv[1][0] != '-') {
        buf_addf(&words, " %s", argv[1]);
        nearest = conf_nearest(words.data, known);
    }
    if (nearest != NULL)
        err_set(err, ERR_USAGE, "'%.60s' is not a command; did you mean '%s'?",
                words.data, nearest);
    else
        err_set(err, ERR_USAGE,
                "'%.60s' is not a command; skein --help lists "
                "them",
                words.data);
    buf_free(&words);
    return -1;
}

static void print_help(const struct command *command)
{
    struct buf text = BUF_INIT;

    options_help(&command->spec, &text);
    fputs(text.data, stdout);
    buf_free(&text);
}

static int with_settings(const struct command *command, void *options,
                         char *const *arg, int n_arg, struct err *err)
{
    const struct common_options *common = options;
    struct settings settings = {0};
    int status = -1;

    if (settings_load_all(common->config, &settings, err) == 0
        && settings_fill(&command->spec, &settings, options, err) == 0)
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
        print_help(command);
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

static int report(const char *command, const struct err *err, bool json)
{
    if (json) {
        struct err ignored;

        json_print(json_error_of(err), &ignored);
    }
    fprintf(stderr, "skein%s%s: %s\n", command ? " " : "",
            command ? command : "", err->text);
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
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_overview(stdout);
        return check_stdout(0);
    }
    if (strcmp(argv[1], "help") == 0) { /* "help submit" = "submit --help" */
        command = find_command(argc - 2, argv + 2, &words);
        if (command == NULL && unknown_command(argc - 2, argv + 2, &err) < 0)
            return report(NULL, &err, json);
        print_help(command);
        return check_stdout(0);
    }
    command = find_command(argc - 1, argv + 1, &words);
    if (command == NULL && unknown_command(argc - 1, argv + 1, &err) < 0)
        return report(NULL, &err, json);
    status = run_command(command, argc - words, argv + words, &err);
    if (interrupt_signal() != 0)
        return 128 + interrupt_signal();
    if (status < 0)
        return report(command->name, &err, json);
    return check_stdout(status);
}
