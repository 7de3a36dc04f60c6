/* wait and cancel: a job's end, awaited or brought about */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/settings.h"

static int run_wait(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    const struct common_options *o = options;
    struct rpc *r = rpc_open(o->server ? o->server : SETTINGS_SERVER, err);
    struct progress_screen screen;
    const Skein__JobInfo *job;
    struct wire_msg reply;
    int status = -1;
    uint64_t id = 0;

    (void)n_arg;
    if (r == NULL || interrupt_catch(err) < 0
        || jobs_find(r, arg[0], &id, err) < 0)
        goto out;
    progress_open(&screen, o->quiet, o->color);
    job = jobs_wait(r, id, &screen, &reply, err);
    progress_clear(&screen);
    if (job == NULL) {
        if (interrupt_signal() != 0)
            fprintf(stderr,
                    "interrupted; the job goes on. Come back with: "
                    "skein wait %llu\n",
                    (unsigned long long)id);
        goto out;
    }
    status = jobs_exit_status(job);
    if (!o->quiet)
        jobs_say_end(job);
    if (o->json && json_print(json_job(job), err) < 0)
        status = -1;
    wire_free(&reply);
out:
    rpc_close(r);
    return status;
}

const struct command cmd_wait = {
    .spec =
        {
            .command = "wait",
            .synopsis = "[OPTIONS] JOB",
            .purpose =
                "wait until a job is over; the exit status tells how it went",
            .about = "Exit status: 0 every line was answered, 1 some lines "
                     "failed, 3 the job failed or every line did, 4 it was "
                     "cancelled, 5 no such job. Statuses of 64 and more mean "
                     "that the waiting failed: the job may go on. Ctrl-C ends "
                     "only the waiting.\n" CMD_ABOUT_JOB,
            .examples = "  skein wait 12 && skein results 12 -o out.jsonl\n"
                        "  skein wait last --json | jq .usage",
            .common = common_rows,
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct common_options),
    .run = run_wait,
};

/* ---- cancel ---------------------------------------------------------------- */

struct cancel_options {
    struct common_options common;
    const char *reason;
};

static const struct option_row cancel_rows[] = {
    {.name = "reason",
     .type = OPTION_TEXT,
     .offset = offsetof(struct cancel_options, reason),
     .value = "TEXT",
     .help = "why, for skein show (at most 200 bytes)"},
    {.name = NULL},
};

static int run_cancel(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    const struct cancel_options *o = options;
    const char *server = o->common.server ? o->common.server : SETTINGS_SERVER;
    Skein__Cancel m = SKEIN__CANCEL__INIT;
    struct rpc *r = NULL;
    struct wire_msg reply;
    int ret = -1;

    (void)n_arg;
    if (o->reason != NULL && strlen(o->reason) > 200)
        return err_set(err, ERR_USAGE, "option --reason: at most 200 bytes");
    r = rpc_open(server, err);
    if (r == NULL || jobs_find(r, arg[0], &m.job, err) < 0)
        goto out;
    m.reason = (char *)(uintptr_t)(o->reason ? o->reason : "");
    if (rpc_call(r, WIRE_CANCEL, &m.base, WIRE_JOBS, &reply, err) < 0)
        goto out;
    ret = 0;
    if (o->common.json && reply.jobs->n_job > 0)
        ret = json_print(json_job(reply.jobs->job[0]), err);
    else if (!o->common.quiet)
        fprintf(stderr,
                "job %llu is cancelled; what it had finished stays: "
                "skein results %llu\n",
                (unsigned long long)m.job, (unsigned long long)m.job);
    wire_free(&reply);
out:
    rpc_close(r);
    return ret;
}

const struct command cmd_cancel = {
    .spec =
        {
            .command = "cancel",
            .synopsis = "[OPTIONS] JOB",
            .purpose = "cancel a job that is not over yet",
            .about = "Workers stop computing it. Results that are there "
                     "already stay readable. Cancelling a finished job is an "
                     "error (status 81).\n" CMD_ABOUT_JOB,
            .examples = "  skein cancel 12 --reason 'wrong checkpoint'",
            .rows = cancel_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct cancel_options),
    .run = run_cancel,
};
