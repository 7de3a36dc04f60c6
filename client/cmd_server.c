/* worker ls, server status, version */
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/json_out.h"
#include "client/progress.h"
#include "client/rpc.h"
#include "client/fields.h"

struct worker_options {
    struct common_options common;
    struct list_options list;
    struct option_list filter;
};

static void devices_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;

    for (size_t i = 0; i < w->n_device; i++)
        buf_addf(out, "%s%s:%s", i > 0 ? "," : "", w->device[i]->name,
                 w->device[i]->state);
}

static void models_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;

    for (size_t i = 0; i < w->n_model; i++)
        buf_addf(out, "%s%s", i > 0 ? "," : "", w->model[i]->name);
}

static void rate_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;
    double rate = 0;
    char text[16];

    for (size_t i = 0; i < w->n_device; i++)
        rate += w->device[i]->tokens_per_s;
    progress_count(rate, text);
    buf_adds(out, text);
}

/* All devices together: "61.2G/80.0G", or what is used where there is no total.
 */
static void memory_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;
    uint64_t used = 0, total = 0;
    char text[16];

    for (size_t i = 0; i < w->n_device; i++) {
        used += w->device[i]->memory_used;
        total += w->device[i]->memory_total;
    }
    if (used == 0)
        return;
    progress_count((double)used, text);
    buf_adds(out, text);
    if (total == 0)
        return;
    progress_count((double)total, text);
    buf_addf(out, "/%s", text);
}

/* The mean of the devices. */
static void utilisation_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;
    uint64_t sum = 0, used = 0;

    for (size_t i = 0; i < w->n_device; i++) {
        sum += w->device[i]->utilisation;
        used += w->device[i]->memory_used;
    }
    if (used > 0)
        buf_addf(out, "%llu%%",
                 (unsigned long long)((sum + w->n_device / 2) / w->n_device));
}

static void beat_text(const void *item, struct buf *out)
{
    const Skein__WorkerInfo *w = item;

    buf_addf(out, "%.1fs", w->last_beat_ms / 1000.0);
}

static const char *const worker_states[] = {"ready", "suspect", "draining",
                                            "disconnected", NULL};

#define TEXT(name, title, key)                                       \
    {                                                                \
        name, title, FIELD_STRING, offsetof(Skein__WorkerInfo, key), \
            .right = false                                           \
    }
#define NUMBER(name, title, type, key)                                     \
    {                                                                      \
        name, title, type, offsetof(Skein__WorkerInfo, key), .right = true \
    }
#define WORKER_FIELDS_DEFAULT \
    "name,state,devices,models,shards,records,memory,rate,util,beat"

static const struct field worker_fields[] = {
    TEXT("name", "NAME", name),
    {"state", "STATE", FIELD_STRING, offsetof(Skein__WorkerInfo, state),
     .values = worker_states},
    {"devices", "DEVICES", .text = devices_text},
    {"models", "MODELS", .text = models_text},
    NUMBER("shards", "SHARDS", FIELD_U32, shards),
    NUMBER("records", "RECORDS", FIELD_U64, records_done),
    {"memory", "MEMORY", .text = memory_text, .right = true},
    {"rate", "TOK/S", .text = rate_text, .right = true},
    {"util", "UTIL", .text = utilisation_text, .right = true},
    {"beat", "BEAT", .text = beat_text, .right = true},
    NUMBER("tokens", "TOKENS", FIELD_U64, tokens_done),
    TEXT("host", "HOST", host),
    NUMBER("pid", "PID", FIELD_U32, pid),
    TEXT("version", "VERSION", version),
    {.name = NULL},
};

static const struct option_row worker_rows[] = {
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .offset = offsetof(struct worker_options, filter),
     .value = "KEY=VALUE",
     .help = "only those that match: KEY is one of the fields below, VALUE a "
             "pattern; as in skein ls",
     .fallback = "all of them"},
    CMD_LIST_ROWS(struct worker_options, list,
                  "name, state, devices, models, shards, records, memory, "
                  "rate, util, beat, tokens, host, pid, version",
                  "the first ten", "name"),
    {.name = NULL},
};

static int print_workers(const Skein__Workers *workers,
                         const struct worker_options *o,
                         const struct fields *columns,
                         const struct fields_filter *filter, struct err *err)
{
    const void **found = xcalloc(workers->n_worker + 1, sizeof *found);
    size_t n = 0;
    int ret = 0;

    for (size_t i = 0; i < workers->n_worker; i++) {
        if (fields_filter_match(filter, workers->worker[i]))
            found[n++] = workers->worker[i];
    }
    if (o->common.json) {
        json_t *list = json_array();

        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, json_worker(found[i]));
        ret = json_print(list, err);
    } else {
        cmd_list_print(&o->list, &o->common, columns, found, n,
                       filter->n > 0
                           ? "no worker passes the filter"
                           : "no workers; start one with: skein-worker "
                             "--connect ENDPOINT --model NAME=PATH");
    }
    free(found);
    return ret;
}

static int run_worker_ls(const void *options, char *const *arg, int n_arg,
                         struct err *err)
{
    const struct worker_options *o = options;
    Skein__WorkersQuery q = SKEIN__WORKERS_QUERY__INIT;
    struct fields_filter filter;
    struct fields columns;
    struct wire_msg reply;
    struct rpc *r = NULL;
    int ret = -1;

    (void)arg;
    (void)n_arg;
    if (fields_filter_parse(worker_fields, &o->filter, &filter, err) < 0
        || cmd_list_columns(&o->list, &o->common, worker_fields,
                            WORKER_FIELDS_DEFAULT, "name", &columns, err)
               < 0)
        goto out;
    r = cmd_connect(&o->common, err);
    if (r != NULL
        && rpc_call(r, WIRE_WORKERS_QUERY, &q.base, WIRE_WORKERS, &reply, err)
               == 0) {
        ret = print_workers(reply.workers, o, &columns, &filter, err);
        wire_free(&reply);
    }
out:
    rpc_close(r);
    fields_filter_free(&filter);
    return ret;
}

const struct command cmd_worker_ls = {
    .alias = {"worker list"},
    .spec =
        {
            .command = "worker ls",
            .synopsis = "[OPTIONS]",
            .purpose = "list the workers and what they are doing",
            .about =
                "MODELS are the names jobs may ask for (skein submit -m). "
                "MEMORY and UTIL are those of the GPUs, or of the processes "
                "where devices are cpus; --json has them for each device. "
                "BEAT is the time since a worker was last heard; after 10 "
                "s its work is given to others.",
            .examples = "  skein worker ls\n"
                        "  skein worker ls --json | jq '.[].models[].name'",
            .rows = worker_rows,
            .common = common_rows,
        },
    .options_size = sizeof(struct worker_options),
    .run = run_worker_ls,
};

/* ---- server status ------------------------------------------------------ */

static void print_server(const Skein__ServerInfo *s, const char *endpoint)
{
    char uptime[24], used[16], free_bytes[16];

    progress_duration((int64_t)s->uptime_ms, uptime);
    progress_count((double)s->spool_bytes, used);
    progress_count((double)s->spool_free_bytes, free_bytes);
    printf("%-12s %s\n", "endpoint", endpoint);
    printf("%-12s %s\n", "health", s->health);
    printf("%-12s %s (pid %u, up %s, epoch %llu)\n", "version", s->version,
           s->pid, uptime, (unsigned long long)s->epoch);
    printf("%-12s %u queued, %u running, %u finished\n", "jobs", s->jobs_queued,
           s->jobs_running, s->jobs_finished);
    printf("%-12s %u pending, %u leased to %u worker%s\n", "shards",
           s->shards_pending, s->shards_leased, s->workers,
           s->workers == 1 ? "" : "s");
    printf("%-12s %s: %s bytes used, %s free\n", "spool", s->spool, used,
           free_bytes);
}

static int run_server_status(const void *options, char *const *arg, int n_arg,
                             struct err *err)
{
    const struct common_options *o = options;
    Skein__ServerQuery q = SKEIN__SERVER_QUERY__INIT;
    struct rpc *r = cmd_connect(o, err);
    struct wire_msg reply;
    int ret = -1;

    (void)arg;
    (void)n_arg;
    if (r != NULL
        && rpc_call(r, WIRE_SERVER_QUERY, &q.base, WIRE_SERVER, &reply, err)
               == 0) {
        ret = 0;
        if (o->json)
            ret = json_print(json_server(reply.server, rpc_endpoint(r)), err);
        else
            print_server(reply.server, rpc_endpoint(r));
        wire_free(&reply);
    }
    rpc_close(r);
    return ret;
}

const struct command cmd_server_status = {
    .spec =
        {
            .command = "server status",
            .synopsis = "[OPTIONS]",
            .purpose = "show the coordinator's health, jobs and disk use",
            .about = "Exit status 69 when no coordinator answers within 4 s.",
            .examples = "  skein server status\n"
                        "  skein server status -s tcp://127.0.0.1:7447 --json",
            .common = common_rows,
        },
    .options_size = sizeof(struct common_options),
    .run = run_server_status,
};

/* ---- version ------------------------------------------------------------ */

static int run_version(const void *options, char *const *arg, int n_arg,
                       struct err *err)
{
    const struct common_options *o = options;
    json_t *object;

    (void)arg;
    (void)n_arg;
    if (!o->json) {
        printf("skein %s\n", SKEIN_VERSION);
        return 0;
    }
    object = json_begin();
    json_object_set_new(object, "version", json_string(SKEIN_VERSION));
    json_object_set_new(object, "protocol", json_integer(WIRE_VERSION));
    return json_print(object, err);
}

const struct command cmd_version = {
    .spec =
        {
            .command = "version",
            .synopsis = "[OPTIONS]",
            .purpose = "print the version of this client",
            .examples =
                "  skein version\n  skein version --json | jq -r .version",
            .common = cmd_local_rows,
        },
    .options_size = sizeof(struct common_options),
    .run = run_version,
};
