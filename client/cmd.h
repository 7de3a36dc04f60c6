/* client/cmd.h - what a subcommand is
 *
 * Each cmd_*.c exports its commands. A new one takes a row in
 * client/commands.c and a file: parsing, help, man
 * page, completion and hints follow from its table. Its struct of options
 * begins with struct common_options.
 */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "client/rpc.h"
#include "client/select.h"
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

/* Those of commands that take jobs: first in their struct. */
struct job_options {
    struct common_options common;
    struct option_list filter;
};

/* Their row; `short_name` is 'f', or 0 where that means something else. */
#define CMD_FILTER_ROW(short_name)                                             \
    {                                                                          \
        .name = "filter", .letter = (short_name), .type = OPTION_LIST,         \
        .offset = offsetof(struct job_options, filter), .value = "KEY=VALUE",  \
        .help = "of these jobs, only those that match: KEY is a field of "     \
                "skein ls --format, VALUE a pattern; KEY!=VALUE, KEY=A,B and " \
                "several conditions are allowed",                              \
        .fallback = "all of them"                                              \
    }

/* That row alone: of commands that take jobs and have no options of their own.
 */
extern const struct option_row cmd_filter_rows[];

/* Options of commands that print a table: within their struct. */
struct list_options {
    const char *format;
    bool no_header;
    bool parsable;
};

/* Their rows: `member` of `owner` is a struct list_options; `names` are
 * all fields, `usual` the default columns, `key` the one for --parsable.
 */
#define CMD_LIST_ROWS(owner, member, names, usual, key)                  \
    {.name = "format",                                                   \
     .type = OPTION_TEXT,                                                \
     .offset = offsetof(owner, member.format),                           \
     .value = "FIELDS",                                                  \
     .help = "columns, with commas between: " names,                     \
     .fallback = usual},                                                 \
        {.name = "no-header",                                            \
         .type = OPTION_FLAG,                                            \
         .offset = offsetof(owner, member.no_header),                    \
         .help = "for scripts: no titles, and one tab between columns"}, \
    {                                                                    \
        .name = "parsable", .type = OPTION_FLAG,                         \
        .offset = offsetof(owner, member.parsable),                      \
        .help = "only the " key "s, one a line"                          \
    }

#define CMD_ALIASES_MAX 3

struct command {
    struct option_spec spec;
    const char *alias[CMD_ALIASES_MAX]; /* other names; NULL fills the rest */
    size_t options_size;
    bool reads_settings; /* itself: options are only what the line says */
    /* `options` is the command's struct. Returns the exit status, or -1 with
     * *err.
     */
    int (*run)(const void *options, char *const *arg, int n_arg,
               struct err *err);
};

/* What JOBS of a synopsis may be, for `about`. */
#define CMD_ABOUT_JOBS                                                     \
    "JOBS are numbers and ranges (12 or 12,15-18), 'last' (the newest), "  \
    "'all', or names of jobs; name:X is the job named X whatever X looks " \
    "like."

/* The forms of a record, for `about`. */
#define CMD_ABOUT_RECORDS                                 \
    "  {\"id\",\"context\",\"target\"}                "   \
    "log-probability of target\n"                         \
    "  {\"id\",\"context\",\"choices\":[..],\"gold\"}   " \
    "which choice is likeliest\n"                         \
    "  {\"id\",\"text\"}                            "     \
    "log-probability of a text\n"                         \
    "  {\"id\",\"prompt\",\"max_tokens\",..}          "   \
    "generate text\n"                                     \
    "  {\"custom_id\",\"method\",\"url\",\"body\"}      " \
    "line of an OpenAI batch\n"

/* Choices and rows that several commands share. */
extern const char *const cmd_bos_choices[];

/* "always" -> BOS_ALWAYS and so on; NULL is always. */
int cmd_bos(const char *word);

/* The "created" second of a job: what was given, else SOURCE_DATE_EPOCH, else
 * now. ERR_CONFIG when that variable is not a number.
 */
int cmd_created(const struct option_int *given, int64_t *out, struct err *err);

/* Connect to the coordinator that the options name, or to the default one. */
struct rpc *cmd_connect(const struct common_options *o, struct err *err);

/* The jobs a command line is about. */
struct cmd_jobs {
    struct select select;
    struct rpc *rpc;
    struct select_jobs found;
};

/* Read the words, connect and ask; `finished` as in select_fetch(). Close in
 * any case.
 */
int cmd_jobs_open(const struct job_options *o, char *const *arg, int n_arg,
                  bool finished, struct cmd_jobs *out, struct err *err);
void cmd_jobs_close(struct cmd_jobs *jobs);

/* The input file of a command: its argument, or --input. ERR_USAGE. */
int cmd_input(const char *option, char *const *arg, int n_arg, const char **out,
              struct err *err);

/* The row of that option, in `owner`. */
#define CMD_INPUT_ROW(owner)                                               \
    {                                                                      \
        .name = "input", .letter = 'i', .type = OPTION_TEXT,               \
        .offset = offsetof(owner, input), .value = "FILE",                 \
        .help = "the same as FILE without an option", .offer = OFFER_FILES \
    }

/* Are colours wanted on standard output? */
bool cmd_color(const struct common_options *o);

/* The width of the terminal that standard output is; 0: it is none. */
size_t cmd_columns(void);

/* The columns that were asked for. ERR_USAGE. */
int cmd_list_columns(const struct list_options *o,
                     const struct common_options *common,
                     const struct field *known, const char *usual,
                     const char *key, struct fields *out, struct err *err);

/* Print `n` things as a table, or `nothing` on standard error if there are
 * none.
 */
void cmd_list_print(const struct list_options *o,
                    const struct common_options *common,
                    const struct fields *columns, const void *const *item,
                    size_t n, const char *nothing);

/* Wait for jobs as skein wait does: progress, a line as each ends, and when it
 * is interrupted how to come back. The exit status, or -1. Free `out` in any
 * case.
 */
int cmd_wait_for(struct rpc *r, const struct common_options *o,
                 const uint64_t *id, size_t n, struct select_jobs *out,
                 struct err *err);

/* Say on standard error that an interrupted wait can be taken up again:
 * "skein wait 12,15-18".
 */
void cmd_say_interrupted(const char *command, const uint64_t *id, size_t n);

/* The last path component, malloc'ed. */
char *cmd_basename(const char *path);

/* A name for a job from a path, malloc'ed: its last component as valid UTF-8 of
 * at most JOB_NAME_BYTES_MAX bytes, cut between characters.
 */
char *cmd_job_name(const char *path);

#endif /* CLIENT_CMD_H */
