/* wait and cancel: a job's end, awaited or brought about */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/order.h"

struct wait_options {
    struct job_options jobs;
    bool ignore_failed_lines;
};

static const struct option_row wait_rows[] = {
    CMD_FILTER_ROW('f'),
    {.name = "ignore-failed-lines",
     .type = OPTION_FLAG,
     .offset = offsetof(struct wait_options, ignore_failed_lines),
     .help = "exit status 0, not 1, when only some lines failed"},
    {.name = NULL},
};

static void say_end(void *ctx, const Skein__JobInfo *job)
{
    const struct common_options *o = ctx;

    if (!o->quiet)
        jobs_say_end(job);
}

int cmd_wait_for(struct rpc *r, const struct common_options *o,
                 const uint64_t *id, size_t n, struct select_jobs *out,
                 struct err *err)
{
    struct progress_screen screen;
    int status = 0;

    progress_open(&screen, o->quiet, o->color);
    if (jobs_wait(r, id, n, &screen, say_end, (void *)(uintptr_t)o, out, err)
        < 0) {
        if (interrupt_signal() != 0)
            cmd_say_interrupted("wait", id, n);
        return -1;
    }
    for (size_t i = 0; i < out->n; i++)
        status = jobs_worse_status(status, jobs_exit_status(out->job[i]));
    return status;
}

static int run_wait(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    const struct wait_options *o = options;
    const struct common_options *common = &o->jobs.common;
    struct select_jobs ended = {.n = 0};
    struct cmd_jobs jobs;
    uint64_t *id = NULL;
    int status = -1;

    if (cmd_jobs_open(&o->jobs, arg, n_arg, true, &jobs, err) < 0
        || interrupt_catch(err) < 0)
        goto out;
    id = xcalloc(jobs.found.n, sizeof *id);
    for (size_t i = 0; i < jobs.found.n; i++) {
        id[i] = jobs.found.job[i]->job;
        if (jobs.found.job[i]->state == SKEIN__JOB_STATE__JOB_HELD
            && !common->quiet)
            fprintf(stderr,
                    "job %llu is held; it goes on after: skein release "
                    "%llu\n",
                    (unsigned long long)id[i], (unsigned long long)id[i]);
    }
    status = cmd_wait_for(jobs.rpc, common, id, jobs.found.n, &ended, err);
    ended.one = jobs.found.one;
    if (status == ERR_LINES && o->ignore_failed_lines)
        status = ERR_NONE;
    if (status >= 0 && common->json && json_print_jobs(&ended, err) < 0)
        status = -1;
out:
    free(id);
    select_jobs_free(&ended);
    cmd_jobs_close(&jobs);
    return status;
}

const struct command cmd_wait = {
    .spec =
        {
            .command = "wait",
            .synopsis = "[OPTIONS] JOBS",
            .purpose =
                "wait until jobs are over; the exit status tells how it went",
            .about = "Exit status: 0 every line was answered, 1 some lines "
                     "failed, 3 the job failed or every line did, 4 it was "
                     "cancelled, 5 no such job. Statuses of 64 and more mean "
                     "that the waiting failed: the job may go on. Ctrl-C ends "
                     "only the waiting.\n" CMD_ABOUT_JOBS,
            .examples = "  skein wait 12 && skein results 12 -o out.jsonl\n"
                        "  skein wait last --json | jq .usage",
            .rows = wait_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct wait_options),
    .run = run_wait,
};

/* ---- cancel ------------------------------------------------------------- */

struct cancel_options {
    struct order_options order;
    const char *reason;
};

static const struct option_row cancel_rows[] = {
    ORDER_ROWS,
    {.name = "reason",
     .type = OPTION_TEXT,
     .offset = offsetof(struct cancel_options, reason),
     .value = "TEXT",
     .help = "why, for skein show (at most 200 bytes)"},
    {.name = NULL},
};

static bool is_live(const Skein__JobInfo *job)
{
    return !jobs_over(job);
}

static int send_cancel(struct rpc *r, const Skein__JobInfo *job,
                       const void *options, struct wire_msg *reply,
                       struct err *err)
{
    const struct cancel_options *o = options;
    Skein__Cancel m = SKEIN__CANCEL__INIT;

    m.job = job->job;
    m.reason = (char *)(uintptr_t)(o->reason != NULL ? o->reason : "");
    return rpc_call(r, WIRE_CANCEL, &m.base, WIRE_JOBS, reply, err);
}

static int run_cancel(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    static const struct order cancel = {
        .done = "cancelled",
        .hint = "what it had finished stays: skein results",
        .applies = is_live,
        .send = send_cancel,
    };
    const struct cancel_options *o = options;

    if (o->reason != NULL && strlen(o->reason) > 200)
        return err_set(err, ERR_USAGE, "option --reason: at most 200 bytes");
    return order_run(&cancel, o, arg, n_arg, err);
}

const struct command cmd_cancel = {
    .spec =
        {
            .command = "cancel",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "cancel jobs that are not over yet",
            .about = "Workers stop computing them. Results that are there "
                     "already stay readable. Cancelling a finished job is an "
                     "error (status 81).\n" CMD_ABOUT_JOBS,
            .examples =
                "  skein cancel 12 --reason 'wrong checkpoint'\n"
                "  skein cancel all --filter state=queued,user=$USER --dry-run",
            .rows = cancel_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct cancel_options),
    .run = run_cancel,
};
