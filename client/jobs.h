/* client/jobs.h - jobs as commands see them: found, waited for, judged */
#ifndef CLIENT_JOBS_H
#define CLIENT_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/progress.h"
#include "client/rpc.h"
#include "common/err.h"

#define JOBS_POLL_FIRST_MS 100 /* between looks at a job; grows by half ... */
#define JOBS_POLL_MAX_MS 1000  /* ... up to this */

/* What JOB of a command line means: a number, or "last". ERR_USAGE,
 * ERR_NOT_FOUND.
 */
int jobs_find(struct rpc *r, const char *word, uint64_t *id, struct err *err);

/* Ask about one job: the answer's only entry, which `reply` owns (free it with
 * wire_free()), or NULL: ERR_NOT_FOUND and what rpc_call() says.
 */
const Skein__JobInfo *jobs_get(struct rpc *r, uint64_t id,
                               struct wire_msg *reply, struct err *err);

/* Call `each` for every job in ascending order of id; -1 of it ends the list.
 */
int jobs_list(struct rpc *r, bool finished,
              int (*each)(void *ctx, const Skein__JobInfo *job,
                          struct err *err),
              void *ctx, struct err *err);

/* Is this how a job ends? */
bool jobs_over(const Skein__JobInfo *job);

/* The exit status of a finished job: 0, ERR_LINES, ERR_JOB_FAILED (also when
 * every line failed) or ERR_CANCELLED.
 */
int jobs_exit_status(const Skein__JobInfo *job);

/* Look at a job until it is over, showing progress. Like jobs_get(). */
const Skein__JobInfo *jobs_wait(struct rpc *r, uint64_t id,
                                struct progress_screen *screen,
                                struct wire_msg *reply, struct err *err);

/* "12 'name': done, 995 of 1000 lines answered, 5 failed" and, when lines
 * failed, how to see them: on standard error.
 */
void jobs_say_end(const Skein__JobInfo *job);

#endif /* CLIENT_JOBS_H */
