/* results and errors: what a job has produced so far, in input order */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/json_out.h"
#include "client/output.h"
#include "client/results.h"

#define STATUS_PIPE (128 + 13) /* as a program that SIGPIPE ended */

struct fetch_options {
    struct job_options jobs;
    const char *output;
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
    CMD_FILTER_ROW(0),
    {.name = NULL},
};

static int write_line(void *ctx, const struct lineset_item *item,
                      struct err *err)
{
    return output_line(ctx, item->text, item->len, err);
}

/* What is finished of one job: a prefix of its output, while it is not over. */
static int fetch(struct rpc *r, const Skein__JobInfo *job, bool errors,
                 struct output *out, struct err *err)
{
    struct results_sink sink = {.ctx = out};

    if (errors)
        sink.error = write_line;
    else
        sink.result = write_line;
    return results_fetch(r, job, 0, job->prefix, &sink, err);
}

static void say_prefix(const Skein__JobInfo *job)
{
    fprintf(stderr,
            "job %llu is %s: this is its finished beginning (%u of %u "
            "shards)\n",
            (unsigned long long)job->job, job_state_name(job->state),
            job->prefix, job->shards);
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
    for (size_t i = 0; i < jobs.found.n; i++) {
        if (fetch(jobs.rpc, jobs.found.job[i], errors, &out, err) < 0)
            goto out;
    }
    if (output_commit(&out, err) < 0)
        goto out;
    status = 0;
    for (size_t i = 0; i < jobs.found.n && !o->jobs.common.quiet; i++) {
        if (jobs.found.job[i]->prefix < jobs.found.job[i]->shards)
            say_prefix(jobs.found.job[i]);
    }
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
