#include "client/order.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/interrupt.h"
#include "client/job_fields.h"
#include "client/json_out.h"

/* What an order is about: the selection without what it makes no sense for. */
static size_t choose(const struct order *order, struct cmd_jobs *jobs)
{
    size_t n = 0;

    for (size_t i = 0; i < jobs->found.n; i++) {
        const Skein__JobInfo *job = jobs->found.job[i];

        if (order->applies == NULL || order->applies(job)
            || select_names_id(&jobs->select, job->job))
            jobs->found.job[n++] = job;
    }
    jobs->found.n = n;
    return n;
}

static int show_only(const struct order_options *o, struct cmd_jobs *jobs,
                     struct err *err)
{
    struct fields columns;
    struct buf text = BUF_INIT;

    if (o->jobs.common.json)
        return json_print_jobs(&jobs->found, err);
    if (fields_choose(job_fields, JOB_FIELDS_DEFAULT, &columns, err) < 0)
        return -1;
    fields_table(&columns, (const void *const *)jobs->found.job, jobs->found.n,
                 cmd_color(&o->jobs.common), cmd_columns(), &text);
    fputs(text.data, stdout);
    buf_free(&text);
    if (!o->jobs.common.quiet)
        fputs("a dry run: nothing was done\n", stderr);
    return 0;
}

static void say(const struct order *order, uint64_t job)
{
    fprintf(stderr, "job %llu is %s", (unsigned long long)job, order->done);
    if (order->hint != NULL)
        fprintf(stderr, "; %s %llu", order->hint, (unsigned long long)job);
    fputc('\n', stderr);
}

static int give(const struct order *order, const struct order_options *o,
                struct cmd_jobs *jobs, struct err *err)
{
    json_t *list = json_array();
    int status = 0;

    for (size_t i = 0; i < jobs->found.n; i++) {
        const Skein__JobInfo *job = jobs->found.job[i];
        struct err cause = {.code = ERR_NONE};
        struct wire_msg reply = {0};
        int sent = order->send(jobs->rpc, job, o, &reply, &cause);

        if (sent < 0) {
            if (status == 0)
                *err = cause;
            else
                fprintf(stderr, "%s\n", cause.text);
            status = -1;
            if (cause.code == ERR_UNREACHABLE || cause.code == ERR_CANCELLED)
                break;
            continue;
        }
        if (sent == 0 && reply.jobs->n_job > 0)
            job = reply.jobs->job[0];
        if (o->jobs.common.json) /* one that is gone: as it was */
            json_array_append_new(list, json_job(job));
        else if (!o->jobs.common.quiet)
            say(order, job->job);
        wire_free(&reply);
    }
    if (o->jobs.common.json && json_array_size(list) > 0) {
        struct err ignored;
        json_t *out = jobs->found.one ? json_array_get(list, 0) : list;

        if (json_print(json_incref(out), status == 0 ? err : &ignored) < 0)
            status = -1;
    }
    json_decref(list);
    return status;
}

/* The selection is all that was ordered: give() had no error. */
static int wait_for(const struct order_options *o, struct cmd_jobs *jobs,
                    struct err *err)
{
    struct select_jobs ended = {.n = 0};
    uint64_t *id = xcalloc(jobs->found.n, sizeof *id);
    int status = -1;

    for (size_t i = 0; i < jobs->found.n; i++)
        id[i] = jobs->found.job[i]->job;
    if (interrupt_catch(err) == 0)
        status = cmd_wait_for(jobs->rpc, &o->jobs.common, id, jobs->found.n,
                              &ended, err);
    select_jobs_free(&ended);
    free(id);
    return status;
}

int order_run(const struct order *order, const void *options, char *const *arg,
              int n_arg, struct err *err)
{
    const struct order_options *o = options;
    struct cmd_jobs jobs;
    int status = -1;

    if (cmd_jobs_open(&o->jobs, arg, n_arg, true, &jobs, err) < 0)
        goto out;
    if (choose(order, &jobs) == 0)
        err_set(err, ERR_NOT_FOUND, "none of these jobs can be %s",
                order->done);
    else if (o->dry_run)
        status = show_only(o, &jobs, err);
    else
        status = give(order, o, &jobs, err);
    if (status == 0 && o->wait && !o->dry_run)
        status = wait_for(o, &jobs, err);
out:
    cmd_jobs_close(&jobs);
    return status;
}
