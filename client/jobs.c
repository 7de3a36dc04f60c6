#include "client/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/json_out.h"
#include "client/table.h"
#include "common/clock.h"

static int keep_last(void *ctx, const Skein__JobInfo *job, struct err *err)
{
    (void)err;
    *(uint64_t *)ctx = job->job;
    return 0;
}

int jobs_find(struct rpc *r, const char *word, uint64_t *id, struct err *err)
{
    unsigned long long n;
    uint64_t last = 0;
    char *end;

    if (strcmp(word, "last") == 0) {
        if (jobs_list(r, true, keep_last, &last, err) < 0)
            return -1;
        if (last == 0)
            return err_set(err, ERR_NOT_FOUND, "there is no job yet");
        *id = last;
        return 0;
    }
    errno = 0;
    n = strtoull(word, &end, 10);
    if (word[0] < '0' || word[0] > '9' || *end != '\0' || errno != 0 || n == 0)
        return err_set(err, ERR_USAGE,
                       "'%.60s' is not a job: expected a number "
                       "or 'last'",
                       word);
    *id = n;
    return 0;
}

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

int jobs_list(struct rpc *r, bool finished,
              int (*each)(void *ctx, const Skein__JobInfo *job,
                          struct err *err),
              void *ctx, struct err *err)
{
    Skein__JobsQuery q = SKEIN__JOBS_QUERY__INIT;
    bool more = true;

    q.finished = finished;
    while (more) {
        struct wire_msg m;
        int ret = 0;

        if (rpc_call(r, WIRE_JOBS_QUERY, &q.base, WIRE_JOBS, &m, err) < 0)
            return -1;
        more = m.jobs->more && m.jobs->n_job > 0;
        for (size_t i = 0; i < m.jobs->n_job && ret == 0; i++) {
            const Skein__JobInfo *job = m.jobs->job[i];

            /* Pages that do not advance would never end. */
            if (job->job <= q.after)
                ret = err_set(err, ERR_PROTOCOL, "jobs are not in order");
            else
                ret = each(ctx, job, err);
            q.after = job->job;
        }
        wire_free(&m);
        if (ret < 0)
            return -1;
    }
    return 0;
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

const Skein__JobInfo *jobs_wait(struct rpc *r, uint64_t id,
                                struct progress_screen *screen,
                                struct wire_msg *reply, struct err *err)
{
    int64_t pause = JOBS_POLL_FIRST_MS;

    for (;;) {
        const Skein__JobInfo *job = jobs_get(r, id, reply, err);

        if (job == NULL)
            return NULL;
        if (jobs_over(job))
            return job;
        progress_show(screen, job, clock_now_ms());
        wire_free(reply);
        if (rpc_pause(r, pause, err) < 0)
            return NULL;
        pause += pause / 2;
        if (pause > JOBS_POLL_MAX_MS)
            pause = JOBS_POLL_MAX_MS;
    }
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
