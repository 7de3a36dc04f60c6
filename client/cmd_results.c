/* results and errors: what a job has produced so far, in input order */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/output.h"
#include "client/results.h"

#define STATUS_PIPE (128 + 13) /* as a program that SIGPIPE ended */

struct fetch_options {
    struct job_options jobs;
    const char *output;
    bool follow;
};

static const struct option_row rows[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .offset = offsetof(struct fetch_options, output),
     .value = "FILE",
     .help = "write there; the file appears, or is replaced, only when "
             "everything has been written",
     .offer = OFFER_FILES,
     .fallback = "standard output"},
    {.name = "follow",
     .letter = 'f',
     .type = OPTION_FLAG,
     .offset = offsetof(struct fetch_options, follow),
     .help = "print lines as they come until the jobs are over, one job after "
             "another; then the exit status is that of skein wait"},
    CMD_FILTER_ROW(0),
    {.name = NULL},
};

static int write_line(void *ctx, const struct lineset_item *item,
                      struct err *err)
{
    return output_line(ctx, item->text, item->len, err);
}

/* What is finished of one job beyond `first` shards. */
static int fetch(struct rpc *r, const Skein__JobInfo *job, uint32_t first,
                 bool errors, struct output *out, struct err *err)
{
    struct results_sink sink = {.ctx = out};

    if (errors)
        sink.error = write_line;
    else
        sink.result = write_line;
    return results_fetch(r, job, first, job->prefix, &sink, err);
}

/* A prefix of its output, while it is not over. */
static int fetch_once(struct cmd_jobs *jobs, bool errors, struct output *out,
                      struct err *err)
{
    for (size_t i = 0; i < jobs->found.n; i++) {
        if (fetch(jobs->rpc, jobs->found.job[i], 0, errors, out, err) < 0)
            return -1;
    }
    return 0;
}

/* Print what is new since *done shards. The job's exit status when it is over,
 * ERR_AGAIN while it is not, or -1.
 */
static int follow_step(struct rpc *r, uint64_t id, bool errors, uint32_t *done,
                       struct output *out, struct err *err)
{
    struct wire_msg reply;
    const Skein__JobInfo *job = jobs_get(r, id, &reply, err);
    int status = -1;

    if (job == NULL)
        return -1;
    if (job->prefix < *done)
        err_set(err, ERR_CONFLICT,
                "job %llu was retried meanwhile: begin again",
                (unsigned long long)id);
    else if (fetch(r, job, *done, errors, out, err) == 0
             && output_flush(out, err) == 0)
        status = jobs_over(job) ? jobs_exit_status(job) : ERR_AGAIN;
    *done = job->prefix;
    wire_free(&reply);
    return status;
}

static int follow_job(struct rpc *r, uint64_t id, bool errors,
                      struct output *out, struct err *err)
{
    int64_t pause_ms = JOBS_POLL_FIRST_MS;
    uint32_t done = 0;

    for (;;) {
        uint32_t before = done;
        int status = follow_step(r, id, errors, &done, out, err);

        if (status != ERR_AGAIN)
            return status;
        if (done > before)
            pause_ms = JOBS_POLL_FIRST_MS;
        if (rpc_pause(r, pause_ms, err) < 0)
            return -1;
        pause_ms += pause_ms / 2;
        if (pause_ms > JOBS_POLL_MAX_MS)
            pause_ms = JOBS_POLL_MAX_MS;
    }
}

/* The worst exit status, or -1. */
static int follow(struct cmd_jobs *jobs, bool errors, struct output *out,
                  struct err *err)
{
    const char *command = errors ? "errors -f" : "results -f";
    int worst = 0;

    rpc_set_watch(jobs->rpc, output_watch, out);
    for (size_t i = 0; i < jobs->found.n; i++) {
        uint64_t id = jobs->found.job[i]->job;
        int status = follow_job(jobs->rpc, id, errors, out, err);

        if (status < 0 && interrupt_signal() != 0)
            cmd_say_interrupted(command, &id, 1);
        if (status < 0)
            return -1;
        worst = jobs_worse_status(worst, status);
    }
    return worst;
}

static void say_prefixes(const struct cmd_jobs *jobs)
{
    for (size_t i = 0; i < jobs->found.n; i++) {
        const Skein__JobInfo *job = jobs->found.job[i];

        if (job->prefix < job->shards)
            fprintf(stderr,
                    "job %llu is %s: this is its finished beginning (%u of %u "
                    "shards)\n",
                    (unsigned long long)job->job, job_state_name(job->state),
                    job->prefix, job->shards);
    }
}

static int run_fetch(const void *options, char *const *arg, int n_arg,
                     bool errors, struct err *err)
{
    const struct fetch_options *o = options;
    struct output out = {.fd = -1};
    struct cmd_jobs jobs;
    int status = -1;

    /* Interrupts are caught so that no temporary file stays behind. */
    if (cmd_jobs_open(&o->jobs, arg, n_arg, true, &jobs, err) < 0
        || interrupt_catch(err) < 0
        || output_open(&out, o->output, false, err) < 0)
        goto out;
    status = o->follow ? follow(&jobs, errors, &out, err)
                       : fetch_once(&jobs, errors, &out, err);
    if (status >= 0 && output_commit(&out, err) < 0)
        status = -1;
    if (status >= 0 && !o->follow && !o->jobs.common.quiet)
        say_prefixes(&jobs);
out:
    if (out.broken)
        status = STATUS_PIPE;
    output_close(&out);
    cmd_jobs_close(&jobs);
    return status;
}

static int run_results(const void *options, char *const *arg, int n_arg,
                       struct err *err)
{
    return run_fetch(options, arg, n_arg, false, err);
}

static int run_errors(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    return run_fetch(options, arg, n_arg, true, err);
}

const struct command cmd_results = {
    .spec =
        {
            .command = "results",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "print a job's answers in input order",
            .about = "One JSON object per answered line; failed lines are in "
                     "skein errors JOB. While the job runs this prints its "
                     "finished beginning, and says so. The same job gives the "
                     "same bytes, whatever happened to its workers. Answers "
                     "are JSON with and without --json, which only changes how "
                     "errors of this command are told.\n" CMD_ABOUT_JOBS,
            .examples = "  skein results 12 -o out.jsonl\n"
                        "  skein results -f 12 | my-consumer\n"
                        "  skein results last | jq .logprob",
            .rows = rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct fetch_options),
    .run = run_results,
};

const struct command cmd_errors = {
    .spec =
        {
            .command = "errors",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "print a job's failed lines in input order",
            .about =
                "One JSON object per failed line, with its line number and the "
                "reason: lines refused when the job was submitted, and records "
                "that could not be computed. While the job runs these are the "
                "errors of its finished beginning.\n" CMD_ABOUT_JOBS,
            .examples = "  skein errors 12 | jq -r "
                        "'\"\\(.line): \\(.error.message)\"'",
            .rows = rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct fetch_options),
    .run = run_errors,
};
