/* ls and show: what is queued, and everything about one job */
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/settings.h"
#include "client/table.h"
#include "common/clock.h"
#include "common/hash.h"

struct ls_options {
    struct common_options common;
    bool all;
};

static const struct option_row ls_rows[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     .offset = offsetof(struct ls_options, all),
     .help = "finished jobs too"},
    {.name = NULL},
};

static const struct table_column ls_columns[] = {
    {"ID", true},     {"STATE", false}, {"DONE", true},  {"LINES", true},
    {"FAILED", true}, {"MODEL", false}, {"NAME", false}, {NULL, false},
};

struct listing {
    struct table table;
    json_t *array; /* NULL: a table is wanted */
};

static double percent_done(const Skein__JobInfo *job)
{
    uint64_t total = job->records + job->rejected;
    double share = 1;

    if (job->answered + job->rejected < total)
        share = job->cost > 0
                    ? (double)job->cost_done / (double)job->cost
                    : (double)(job->answered + job->rejected) / (double)total;
    return share > 1 ? 100 : share * 100;
}

static int list_one(void *ctx, const Skein__JobInfo *job, struct err *err)
{
    struct listing *l = ctx;

    (void)err;
    if (l->array != NULL) {
        json_array_append_new(l->array, json_job(job));
        return 0;
    }
    table_add(&l->table, "%llu", (unsigned long long)job->job);
    table_add(&l->table, "%s", job_state_name(job->state));
    table_add(&l->table, "%.1f%%", percent_done(job));
    table_add(&l->table, "%llu", (unsigned long long)job->lines);
    table_add(&l->table, "%llu",
              (unsigned long long)(job->failed + job->rejected));
    table_add(&l->table, "%s", job->spec != NULL ? job->spec->model : "");
    table_add(&l->table, "%s", job->spec != NULL ? job->spec->name : "");
    return 0;
}

static int run_ls(const void *options, char *const *arg, int n_arg,
                  struct err *err)
{
    const struct ls_options *o = options;
    const char *server = o->common.server ? o->common.server : SETTINGS_SERVER;
    struct listing list = {.array = o->common.json ? json_array() : NULL};
    struct rpc *r = rpc_open(server, err);
    struct buf text = BUF_INIT;
    int ret = -1;

    (void)arg;
    (void)n_arg;
    table_init(&list.table, ls_columns);
    if (r == NULL || jobs_list(r, o->all, list_one, &list, err) < 0)
        goto out;
    ret = 0;
    if (list.array != NULL) {
        ret = json_print(json_incref(list.array), err);
    } else if (list.table.n > 0) {
        table_write(&list.table, &text);
        fputs(text.data, stdout);
    } else if (!o->common.quiet) {
        fprintf(stderr, "no %sjobs%s\n", o->all ? "" : "live ",
                o->all ? "" : " (skein ls --all lists finished ones)");
    }
out:
    json_decref(list.array);
    table_free(&list.table);
    buf_free(&text);
    rpc_close(r);
    return ret;
}

const struct command cmd_ls = {
    .alias = {"list"},
    .spec =
        {
            .command = "ls",
            .synopsis = "[OPTIONS]",
            .purpose = "list jobs",
            .about = "DONE is the share of the estimated tokens, since a line "
                     "may be a word or a book. FAILED counts lines that ended "
                     "as an error. A job whose state is 'done' may have failed "
                     "lines: skein errors JOB shows them.",
            .examples = "  skein ls\n  skein ls --all --json | jq '.[].status'",
            .rows = ls_rows,
            .common = common_rows,
        },
    .options_size = sizeof(struct ls_options),
    .run = run_ls,
};

/* ---- show ---------------------------------------------------------------- */

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
    printf("%-12s %.1f%%\n", "done", percent_done(job));
    printf("%-12s %u, of them %u done, %u leased to %u workers\n", "shards",
           job->shards, job->shards_done, job->shards_leased, job->workers);
    show_time("submitted", job->submitted_unix_ms);
    show_time("started", job->started_unix_ms);
    show_time("finished", job->finished_unix_ms);
}

static int run_show(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    const struct common_options *o = options;
    struct rpc *r = rpc_open(o->server ? o->server : SETTINGS_SERVER, err);
    const Skein__JobInfo *job;
    struct wire_msg reply;
    uint64_t id;
    int ret = -1;

    (void)n_arg;
    if (r == NULL || jobs_find(r, arg[0], &id, err) < 0)
        goto out;
    job = jobs_get(r, id, &reply, err);
    if (job == NULL)
        goto out;
    ret = 0;
    if (o->json)
        ret = json_print(json_job(job), err);
    else
        show_job(job);
    wire_free(&reply);
out:
    rpc_close(r);
    return ret;
}

const struct command cmd_show = {
    .alias = {"info", "status"},
    .spec =
        {
            .command = "show",
            .synopsis = "[OPTIONS] JOB",
            .purpose = "show everything about a job",
            .about = CMD_ABOUT_JOB,
            .examples = "  skein show 12\n"
                        "  skein show last --json | jq .request_counts",
            .common = common_rows,
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct common_options),
    .run = run_show,
};
