/* ls and show: what is queued, and everything about one job */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/job_fields.h"
#include "client/progress.h"
#include "client/json_out.h"
#include "client/table.h"
#include "common/clock.h"
#include "common/hash.h"

struct ls_options {
    struct job_options jobs;
    struct list_options list;
    bool all;
};

static const struct option_row ls_rows[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     .offset = offsetof(struct ls_options, all),
     .help = "finished jobs too; those that JOBS name are always listed"},
    CMD_FILTER_ROW('f'),
    CMD_LIST_ROWS(struct ls_options, list, JOB_FIELDS_NAMES, JOB_FIELDS_DEFAULT,
                  "id"),
    {.name = NULL},
};

static int run_ls(const void *options, char *const *arg, int n_arg,
                  struct err *err)
{
    const struct ls_options *o = options;
    const struct common_options *common = &o->jobs.common;
    struct fields columns;
    struct cmd_jobs jobs;
    int ret = -1;

    if (cmd_list_columns(&o->list, common, job_fields, JOB_FIELDS_DEFAULT, "id",
                         &columns, err)
        < 0)
        return -1;
    if (cmd_jobs_open(&o->jobs, arg, n_arg, o->all, &jobs, err) < 0)
        goto out;
    ret = 0;
    if (common->json)
        ret = json_print_jobs(&jobs.found, err);
    else
        cmd_list_print(&o->list, common, &columns,
                       (const void *const *)jobs.found.job, jobs.found.n,
                       o->all ? "no jobs"
                              : "no live jobs (skein ls --all lists finished "
                                "ones)");
out:
    cmd_jobs_close(&jobs);
    return ret;
}

const struct command cmd_ls = {
    .alias = {"list"},
    .spec =
        {
            .command = "ls",
            .synopsis = "[OPTIONS] [JOBS]",
            .purpose = "list jobs",
            .about = "DONE is the share of the estimated tokens, since a line "
                     "may be a word or a book. FAILED counts lines that ended "
                     "as an error. A job whose state is 'done' may have failed "
                     "lines: skein errors JOB shows them.\n" CMD_ABOUT_JOBS,
            .examples =
                "  skein ls\n"
                "  skein ls --all --filter state=failed,cancelled,model=rwkv*\n"
                "  skein ls --all --json | jq '.[].status'",
            .rows = ls_rows,
            .common = common_rows,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct ls_options),
    .run = run_ls,
};

/* ---- show --------------------------------------------------------------- */

static void show_time(const char *what, int64_t unix_ms)
{
    char iso[21];

    if (unix_ms <= 0)
        return;
    clock_iso8601(unix_ms, iso);
    printf("%-12s %s\n", what, iso);
}

static void show_clean(const char *what, const char *text)
{
    struct buf clean = BUF_INIT;

    if (text[0] == '\0')
        return;
    table_clean(text, &clean);
    printf("%-12s %s\n", what, clean.data);
    buf_free(&clean);
}

static void show_spec(const Skein__JobSpec *spec)
{
    if (spec == NULL)
        return;
    show_clean("name", spec->name);
    show_clean("model", spec->model);
    show_clean("user", spec->user);
    printf("%-12s %s\n", "bos", bos_name(spec->bos));
    printf("%-12s %llu\n", "seed", (unsigned long long)spec->seed);
    printf("%-12s %d\n", "priority", (int)spec->priority);
}

static void show_job(const Skein__JobInfo *job)
{
    char in[16], out[16], hex[2 * HASH_BYTES + 1];

    progress_count((double)job->tokens_in, in);
    progress_count((double)job->tokens_out, out);
    printf("%-12s %llu\n", "job", (unsigned long long)job->job);
    printf("%-12s %s\n", "state", job_state_name(job->state));
    show_clean("message", job->message);
    show_spec(job->spec);
    if (job->fingerprint.len > 0 && job->fingerprint.len <= HASH_BYTES) {
        hash_hex(job->fingerprint.data, job->fingerprint.len, hex);
        printf("%-12s %s\n", "fingerprint", hex);
    }
    printf("%-12s %llu, of them %llu records, %llu rejected\n", "lines",
           (unsigned long long)job->lines, (unsigned long long)job->records,
           (unsigned long long)job->rejected);
    printf("%-12s %llu, of them %llu failed\n", "answered",
           (unsigned long long)job->answered, (unsigned long long)job->failed);
    printf("%-12s %s fed, %s generated\n", "tokens", in, out);
    printf("%-12s %.1f%%\n", "done", 100 * job_share(job));
    printf("%-12s %u, of them %u done, %u leased to %u worker%s\n", "shards",
           job->shards, job->shards_done, job->shards_leased, job->workers,
           job->workers == 1 ? "" : "s");
    show_time("submitted", job->submitted_unix_ms);
    show_time("started", job->started_unix_ms);
    show_time("finished", job->finished_unix_ms);
}

static int run_show(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    const struct job_options *o = options;
    struct cmd_jobs jobs;
    int ret = -1;

    if (cmd_jobs_open(o, arg, n_arg, true, &jobs, err) < 0)
        goto out;
    ret = 0;
    if (o->common.json)
        ret = json_print_jobs(&jobs.found, err);
    for (size_t i = 0; i < jobs.found.n && !o->common.json; i++) {
        if (i > 0)
            putchar('\n');
        show_job(jobs.found.job[i]);
    }
out:
    cmd_jobs_close(&jobs);
    return ret;
}

const struct command cmd_show = {
    .alias = {"info", "status"},
    .spec =
        {
            .command = "show",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "show everything about a job",
            .about = CMD_ABOUT_JOBS,
            .examples = "  skein show 12\n"
                        "  skein show last --json | jq .request_counts",
            .rows = cmd_filter_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct job_options),
    .run = run_show,
};
