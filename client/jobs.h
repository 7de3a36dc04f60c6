/* client/jobs.h - jobs as commands see them: found, waited for, judged */
#ifndef CLIENT_JOBS_H
#define CLIENT_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/progress.h"
#include "client/rpc.h"
#include "client/select.h"
#include "common/err.h"

/* Between looks at a job; grows by an eighth each time, so that a wait is told
 * within a tenth of how long it took, and within a second.
 */
#define JOBS_POLL_FIRST_MS 100
#define JOBS_POLL_MAX_MS 1000

/* Ask about one job: the answer's only entry, which `reply` owns (free it with
 * wire_free()), or NULL: ERR_NOT_FOUND and what rpc_call() says.
 */
const Skein__JobInfo *jobs_get(struct rpc *r, uint64_t id,
                               struct wire_msg *reply, struct err *err);

/* Is this how a job ends? */
bool jobs_over(const Skein__JobInfo *job);

/* The exit status of a finished job: 0, ERR_LINES, ERR_JOB_FAILED (also when
 * every line failed) or ERR_CANCELLED.
 */
int jobs_exit_status(const Skein__JobInfo *job);

/* The worst of two exit statuses: 3 (failed) before 4 (cancelled) before 1
 * (some lines failed).
 */
int jobs_worse_status(int a, int b);

/* Look at jobs until all of them are over, showing the progress of all
 * together, and calling `ended` (if not NULL) for each as it ends. `out` is
 * what they were at last; free it in any case. -1: ERR_NOT_FOUND when one is
 * removed meanwhile, ERR_CANCELLED, what rpc_call() says.
 */
typedef void jobs_ended_fn(void *ctx, const Skein__JobInfo *job);
int jobs_wait(struct rpc *r, const uint64_t *id, size_t n,
              struct progress_screen *screen, jobs_ended_fn *ended, void *ctx,
              struct select_jobs *out, struct err *err);

/* All jobs as if they were one, for a progress line. `name` is filled. */
#define JOBS_NAME_MAX 40
void jobs_sum(const struct select_jobs *jobs, char name[JOBS_NAME_MAX],
              Skein__JobSpec *spec, Skein__JobInfo *sum);

/* "12 'name': done, 995 of 1000 lines answered, 5 failed" and, when lines
 * failed, how to see them: on standard error.
 */
void jobs_say_end(const Skein__JobInfo *job);

#endif /* CLIENT_JOBS_H */
