#include "client/commands.h"

#include <string.h>

#include "common/buf.h"
#include "common/conf.h"

#define COMMANDS_MAX 64

/* One row for each command, in the order of the overview. */
/* clang-format off */
#define COMMANDS(ROW) \
    ROW(run) \
    ROW(submit) \
    ROW(ls) \
    ROW(show) \
    ROW(watch) \
    ROW(wait) \
    ROW(results) \
    ROW(errors) \
    ROW(cancel) \
    ROW(hold) \
    ROW(release) \
    ROW(set) \
    ROW(retry) \
    ROW(rm) \
    ROW(validate) \
    ROW(worker_ls) \
    ROW(server_status) \
    ROW(config_show) \
    ROW(config_check) \
    ROW(completion) \
    ROW(version)

#define DECLARED(name) extern const struct command cmd_##name;
#define LISTED(name) &cmd_##name,
/* clang-format on */

COMMANDS(DECLARED)

const struct command *const commands[] = {COMMANDS(LISTED) NULL};

/* Does argv begin with the words of `name`? The number of words, or 0. */
static int match_name(const char *name, int argc, char *const *argv)
{
    int words = 0;

    while (words < argc) {
        size_t len = strcspn(name, " ");

        if (strlen(argv[words]) != len || strncmp(name, argv[words], len) != 0)
            return 0;
        words++;
        if (name[len] == '\0')
            return words;
        name += len + 1;
    }
    return 0;
}

static int match(const struct command *c, int argc, char *const *argv)
{
    int words = match_name(c->spec.command, argc, argv);

    for (int i = 0; i < CMD_ALIASES_MAX && c->alias[i] != NULL; i++) {
        if (words == 0)
            words = match_name(c->alias[i], argc, argv);
    }
    return words;
}

/* "worker" alone: say what may follow. */
static int incomplete(const char *word, struct err *err)
{
    size_t len = strlen(word);
    struct buf all = BUF_INIT;

    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *name = commands[i]->spec.command;

        if (strncmp(name, word, len) == 0 && name[len] == ' ')
            buf_addf(&all, "%s'%s'", all.len > 0 ? " or " : "", name);
    }
    if (all.len == 0)
        return 0;
    err_set(err, ERR_USAGE, "'%s' is not a command; did you mean %s?", word,
            all.data);
    buf_free(&all);
    return -1;
}

static void unknown(int argc, char *const *argv, struct err *err)
{
    const char *known[COMMANDS_MAX * (1 + CMD_ALIASES_MAX) + 1] = {NULL};
    const char *nearest;
    struct buf words = BUF_INIT;
    size_t n = 0;

    for (size_t i = 0; commands[i] != NULL; i++) {
        known[n++] = commands[i]->spec.command;
        for (size_t a = 0; a < CMD_ALIASES_MAX; a++) {
            if (commands[i]->alias[a] != NULL)
                known[n++] = commands[i]->alias[a];
        }
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
    else if (incomplete(argv[0], err) == 0)
        err_set(err, ERR_USAGE,
                "'%.60s' is not a command; skein --help lists them",
                words.data);
    buf_free(&words);
}

const struct command *commands_find(int argc, char *const *argv, int *words,
                                    struct err *err)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        *words = match(commands[i], argc, argv);
        if (*words > 0)
            return commands[i];
    }
    if (argv[0][0] == '-')
        err_set(err, ERR_USAGE,
                "unknown option %.60s; options of a command come after it: "
                "skein COMMAND [OPTIONS]",
                argv[0]);
    else
        unknown(argc, argv, err);
    return NULL;
}
