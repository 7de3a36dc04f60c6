/* client/cmd.h - what a subcommand is
 *
 * Each cmd_*.c exports its commands; main.c holds the table of all. A command's
 * struct of options begins with struct common_options.
 */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "client/options.h"
#include "common/err.h"

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

struct command {
    const char *name;  /* "submit"; "worker ls" is two words */
    const char *alias; /* another name, or NULL */
    struct option_spec spec;
    size_t options_size;
    /* `options` is the command's struct. Returns the exit status, or -1 with
     * *err.
     */
    int (*run)(const void *options, char *const *arg, int n_arg,
               struct err *err);
};

extern const struct command cmd_run;
extern const struct command cmd_submit;
extern const struct command cmd_ls;
extern const struct command cmd_show;
extern const struct command cmd_wait;
extern const struct command cmd_results;
extern const struct command cmd_errors;
extern const struct command cmd_cancel;
extern const struct command cmd_worker_ls;
extern const struct command cmd_server_status;
extern const struct command cmd_version;

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
