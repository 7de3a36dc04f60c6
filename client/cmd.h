/* client/cmd.h - what a subcommand is
 *
 * Each cmd_*.c exports its commands. A new one takes a row in
 * client/commands.c, its `extern` there, and a file here: parsing, help, man
 * page, completion and hints follow from its table. Its struct of options
 * begins with struct common_options.
 */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/options.h"

/* Options every command has. */
struct common_options {
    const char *server;
    const char *config;
    const char *color;
    bool json;
    bool quiet;
    bool help;
};

extern const struct option_row common_rows[];
/* The same without --server: for commands that talk to none. */
#define cmd_local_rows (common_rows + 1)

#define CMD_ALIASES_MAX 3

struct command {
    struct option_spec spec;
    const char *alias[CMD_ALIASES_MAX]; /* other names; NULL fills the rest */
    size_t options_size;
    /* `options` is the command's struct. Returns the exit status, or -1 with
     * *err.
     */
    int (*run)(const void *options, char *const *arg, int n_arg,
               struct err *err);
};

/* What JOB of a synopsis may be, for `about`. */
#define CMD_ABOUT_JOB "JOB is a number, or 'last': the newest job."

/* The forms of a record, for `about`. */
#define CMD_ABOUT_RECORDS                                 \
    "  {\"id\",\"context\",\"target\"}                "   \
    "log-probability of target\n"                         \
    "  {\"id\",\"context\",\"choices\":[..],\"gold\"}   " \
    "which choice is likeliest\n"                         \
    "  {\"id\",\"text\"}                            "     \
    "log-probability of a text\n"                         \
    "  {\"id\",\"prompt\",\"max_tokens\",..}          "   \
    "generate text\n"

/* Choices and rows that several commands share. */
extern const char *const cmd_bos_choices[];

/* "always" -> BOS_ALWAYS and so on; NULL is always. */
int cmd_bos(const char *word);

/* The "created" second of a job: what was given, else SOURCE_DATE_EPOCH, else
 * now. ERR_CONFIG when that variable is not a number.
 */
int cmd_created(const struct option_int *given, int64_t *out, struct err *err);

/* The last path component, malloc'ed. */
char *cmd_basename(const char *path);

/* A name for a job from a path, malloc'ed: its last component as valid UTF-8 of
 * at most JOB_NAME_BYTES_MAX bytes, cut between characters.
 */
char *cmd_job_name(const char *path);

#endif /* CLIENT_CMD_H */
