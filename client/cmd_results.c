/* results and errors: what a job has produced so far, in input order */
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/output.h"
#include "client/results.h"
#include "client/settings.h"

#define STATUS_PIPE (128 + 13) /* as a program that SIGPIPE ended */

struct fetch_options {
    struct common_options common;
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
    {.name = NULL},
};

static int write_line(void *ctx, const struct lineset_item *item,
                      struct err *err)
{
    return output_line(ctx, item->text, item->len, err);
}

/* Fetch what is finished. A job that is not over is a prefix of its output. */
static int fetch(struct rpc *r, const Skein__JobInfo *job, bool errors,
                 struct output *out, struct err *err)
{
    struct results_sink sink = {.ctx = out};

    if (errors)
        sink.error = write_line;
    else
        sink.result = write_line;
    if (results_fetch(r, job, 0, job->prefix, &sink, err) < 0)
        return -1;
    return output_commit(out, err);
}

static void say_prefix(const Skein__JobInfo *job)
{
    fprintf(stderr,
            "job %llu is %s: this is its finished beginning (%u of %u "
            "shards)\n",
            (unsigned long long)job->job, job_state_name(job->state),
            job->prefix, job->shards);
}

static int run_fetch(const void *options, const char *word, bool errors,
                     struct err *err)
{
    const struct fetch_options *o = options;
    const char *server = o->common.server ? o->common.server : SETTINGS_SERVER;
    struct output out = {.fd = -1};
    struct rpc *r = rpc_open(server, err);
    const Skein__JobInfo *job;
    struct wire_msg reply;
    int status = -1;
    uint64_t id;

    /* Interrupts are caught so that no temporary file stays behind. */
    if (r == NULL || interrupt_catch(err) < 0
        || jobs_find(r, word, &id, err) < 0)
        goto out;
    job = jobs_get(r, id, &reply, err);
    if (job == NULL)
        goto out;
    if (output_open(&out, o->output, false, err) == 0
        && fetch(r, job, errors, &out, err) == 0)
        status = 0;
    if (status == 0 && !o->common.quiet && job->prefix < job->shards)
        say_prefix(job);
    wire_free(&reply);
    if (out.broken)
        status = STATUS_PIPE;
out:
    output_close(&out);
    rpc_close(r);
    return status;
}

static int run_results(const void *options, char *const *arg, int n_arg,
                       struct err *err)
{
    (void)n_arg;
    return run_fetch(options, arg[0], false, err);
}

static int run_errors(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    (void)n_arg;
    return run_fetch(options, arg[0], true, err);
}

const struct command cmd_results = {
    .spec =
        {
            .command = "results",
            .synopsis = "[OPTIONS] JOB",
            .purpose = "print a job's answers in input order",
            .about = "One JSON object per answered line; failed lines are in "
                     "skein errors JOB. While the job runs this prints its "
                     "finished beginning, and says so. The same job gives the "
                     "same bytes, whatever happened to its workers. Answers "
                     "are JSON with and without --json, which only changes how "
                     "errors of this command are told.\n" CMD_ABOUT_JOB,
            .examples = "  skein results 12 -o out.jsonl\n"
                        "  skein results last | jq .logprob",
            .rows = rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct fetch_options),
    .run = run_results,
};

const struct command cmd_errors = {
    .spec =
        {
            .command = "errors",
            .synopsis = "[OPTIONS] JOB",
            .purpose = "print a job's failed lines in input order",
            .about =
                "One JSON object per failed line, with its line number and the "
                "reason: lines refused when the job was submitted, and records "
                "that could not be computed. While the job runs these are the "
                "errors of its finished beginning.\n" CMD_ABOUT_JOB,
            .examples = "  skein errors 12 | jq -r "
                        "'\"\\(.line): \\(.error.message)\"'",
            .rows = rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct fetch_options),
    .run = run_errors,
};
