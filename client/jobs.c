#include "client/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json_out.h"
#include "client/table.h"
#include "common/clock.h"

static int no_such_job(uint64_t id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "no such job: %llu",
                   (unsigned long long)id);
}

const Skein__JobInfo *jobs_get(struct rpc *r, uint64_t id,
                               struct wire_msg *reply, struct err *err)
{
    Skein__JobsQuery q = SKEIN__JOBS_QUERY__INIT;
    struct err cause = {.code = ERR_NONE};

    q.n_job = 1;
    q.job = &id;
    q.finished = true;
    if (rpc_call(r, WIRE_JOBS_QUERY, &q.base, WIRE_JOBS, reply, &cause) < 0) {
        if (cause.code == ERR_NOT_FOUND)
            no_such_job(id, err);
        else
            err_set(err, cause.code, "%s", cause.text);
        return NULL;
    }
    for (size_t i = 0; i < reply->jobs->n_job; i++) {
        if (reply->jobs->job[i]->job == id)
            return reply->jobs->job[i];
    }
    wire_free(reply);
    no_such_job(id, err);
    return NULL;
}

bool jobs_over(const Skein__JobInfo *job)
{
    switch (job->state) {
    case SKEIN__JOB_STATE__JOB_DONE:
    case SKEIN__JOB_STATE__JOB_FAILED:
    case SKEIN__JOB_STATE__JOB_CANCELLED:
    case SKEIN__JOB_STATE__JOB_CORRUPT:
        return true;
    default:
        return false;
    }
}

int jobs_exit_status(const Skein__JobInfo *job)
{
    uint64_t failed = job->failed + job->rejected;

    if (job->state == SKEIN__JOB_STATE__JOB_CANCELLED)
        return ERR_CANCELLED;
    if (job->state != SKEIN__JOB_STATE__JOB_DONE)
        return ERR_JOB_FAILED;
    if (failed == 0)
        return ERR_NONE;
    return failed == job->records + job->rejected ? ERR_JOB_FAILED : ERR_LINES;
}

int jobs_worse_status(int a, int b)
{
    static const int order[] = {ERR_JOB_FAILED, ERR_CANCELLED, ERR_LINES};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return ERR_NONE;
}

void jobs_sum(const struct select_jobs *jobs, char name[JOBS_NAME_MAX],
              Skein__JobSpec *spec, Skein__JobInfo *sum)
{
    skein__job_spec__init(spec);
    skein__job_info__init(sum);
    snprintf(name, JOBS_NAME_MAX, "%zu jobs", jobs->n);
    spec->name = name;
    sum->spec = spec;
    sum->state = SKEIN__JOB_STATE__JOB_RUNNING;
    for (size_t i = 0; i < jobs->n; i++) {
        const Skein__JobInfo *job = jobs->job[i];
        uint64_t cost = job->cost > 0 ? job->cost : job->records;
        bool over = jobs_over(job);

        sum->records += job->records;
        sum->rejected += job->rejected;
        sum->failed += job->failed;
        sum->tokens_in += job->tokens_in;
        sum->tokens_out += job->tokens_out;
        sum->cost += cost;
        /* What was cancelled or has failed will not be done any more. */
        sum->cost_done += over ? cost : job->cost_done;
        sum->answered += over ? job->records : job->answered;
    }
}

/* For a worker with its model and room, or to be released. */
static bool waits(const Skein__JobInfo *job)
{
    return job->state == SKEIN__JOB_STATE__JOB_QUEUED
           || job->state == SKEIN__JOB_STATE__JOB_HELD;
}

static void show_all(struct progress_screen *screen,
                     const struct select_jobs *jobs)
{
    char name[JOBS_NAME_MAX], note[64];
    Skein__JobSpec spec;
    Skein__JobInfo sum;

    if (jobs->n == 1 && waits(jobs->job[0]) && screen->terminal) {
        snprintf(note, sizeof note, "job %llu is %s ...",
                 (unsigned long long)jobs->job[0]->job,
                 job_state_name(jobs->job[0]->state));
        progress_note(screen, note);
        return;
    }
    if (jobs->n == 1) {
        progress_show(screen, jobs->job[0], clock_now_ms());
        return;
    }
    jobs_sum(jobs, name, &spec, &sum);
    progress_show(screen, &sum, clock_now_ms());
}

/* Tell of those that have ended since the last look; returns how many of all
 * are over.
 */
static size_t tell_ended(const struct select_jobs *jobs, bool *told,
                         struct progress_screen *screen, jobs_ended_fn *ended,
                         void *ctx)
{
    size_t over = 0;

    for (size_t i = 0; i < jobs->n; i++) {
        if (!jobs_over(jobs->job[i]))
            continue;
        over++;
        if (told[i] || ended == NULL)
            continue;
        told[i] = true;
        progress_clear(screen);
        ended(ctx, jobs->job[i]);
    }
    return over;
}

int jobs_wait(struct rpc *r, const uint64_t *id, size_t n,
              struct progress_screen *screen, jobs_ended_fn *ended, void *ctx,
              struct select_jobs *out, struct err *err)
{
    bool *told = xcalloc(n > 0 ? n : 1, sizeof *told);
    int64_t pause = JOBS_POLL_FIRST_MS;
    int ret;

    for (;;) {
        ret = select_fetch_ids(r, id, n, out, err);
        if (ret < 0 || tell_ended(out, told, screen, ended, ctx) == n)
            break;
        show_all(screen, out);
        ret = rpc_pause(r, pause, err);
        if (ret < 0)
            break;
        select_jobs_free(out);
        pause += pause / 8;
        if (pause > JOBS_POLL_MAX_MS)
            pause = JOBS_POLL_MAX_MS;
    }
    free(told);
    progress_clear(screen);
    return ret;
}

void jobs_say_end(const Skein__JobInfo *job)
{
    unsigned long long id = job->job, total = job->records + job->rejected;
    unsigned long long failed = job->failed + job->rejected;
    struct buf name = BUF_INIT, why = BUF_INIT;

    buf_adds(&name, "");
    buf_adds(&why, "");
    table_clean(job->spec != NULL ? job->spec->name : "", &name);
    if (job->message[0] != '\0') {
        buf_adds(&why, ": ");
        table_clean(job->message, &why);
    }
    fprintf(stderr,
            "job %llu (%s) %s%s: %llu of %llu lines answered, %llu "
            "failed\n",
            id, name.data, job_state_name(job->state), why.data,
            (unsigned long long)(job->answered - job->failed), total, failed);
    if (failed > 0)
        fprintf(stderr, "  skein errors %llu    shows the failed lines\n", id);
    buf_free(&name);
    buf_free(&why);
}
