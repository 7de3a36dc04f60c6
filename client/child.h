/* client/child.h - a program started beside us, and what became of it
 *
 * Found beside our own binary, else along PATH. Its output goes to a log file.
 * It gets its own process group, so that Ctrl-C reaches only us and we decide
 * in which order things stop.
 */
#ifndef CLIENT_CHILD_H
#define CLIENT_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

#define CHILD_ARGS_MAX 32
#define CHILD_RESTARTS_MAX 5 /* in all; then its log is shown instead */

struct child {
    const char *program;       /* "skeind" */
    char *arg[CHILD_ARGS_MAX]; /* argv, malloc'ed, NULL-terminated */
    int n_arg;
    char *log;         /* path, malloc'ed */
    int64_t log_start; /* its size when this child was made */
    pid_t pid;         /* 0: not running */
    int restarts;
    int64_t restart_at_ms; /* when not running */
};

/* Begin a command line; child_arg() adds to it. */
void child_init(struct child *c, const char *program, const char *log);
void child_arg(struct child *c, const char *arg);
void child_free(struct child *c);

/* Start it. ERR_CONFIG when the program is not there. */
int child_start(struct child *c, struct err *err);

/* Look after it: notice an end, start it again after a pause. -1 when it is
 * hopeless: an exit status that says so (configuration, bad input), or too many
 * ends; the error names the last lines of its log.
 */
int child_watch(struct child *c, int64_t now_ms, struct err *err);

/* SIGTERM, another one after half of `grace_ms` (ours take it as "at once"),
 * SIGKILL after all of it; then it is gone.
 */
void child_stop(struct child *c, int64_t grace_ms);

/* Append the last `lines` lines that were written to a log after offset `start`,
 * each after two spaces.
 */
void child_log_tail(const char *path, int64_t start, int lines,
                    struct buf *out);

#endif /* CLIENT_CHILD_H */
