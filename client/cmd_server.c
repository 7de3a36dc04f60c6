/* worker ls, server status, version */
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/json_out.h"
#include "client/progress.h"
#include "client/rpc.h"
#include "client/settings.h"
#include "client/table.h"

static const struct table_column worker_columns[] = {
    {"NAME", false},   {"STATE", false}, {"DEVICES", false},
    {"MODELS", false}, {"SHARDS", true}, {"RECORDS", true},
    {"TOK/S", true},   {"BEAT", true},   {NULL, false},
};

static void add_devices(const Skein__WorkerInfo *w, struct table *t)
{
    struct buf b = BUF_INIT;

    buf_adds(&b, "");
    for (size_t i = 0; i < w->n_device; i++)
        buf_addf(&b, "%s%s:%s", i > 0 ? "," : "", w->device[i]->name,
                 w->device[i]->state);
    table_add(t, "%s", b.data);
    buf_free(&b);
}

static void add_models(const Skein__WorkerInfo *w, struct table *t)
{
    struct buf b = BUF_INIT;

    buf_adds(&b, "");
    for (size_t i = 0; i < w->n_model; i++)
        buf_addf(&b, "%s%s", i > 0 ? "," : "", w->model[i]->name);
    table_add(t, "%s", b.data);
    buf_free(&b);
}

static void add_worker(const Skein__WorkerInfo *w, struct table *t)
{
    double rate = 0;
    char text[16];

    for (size_t i = 0; i < w->n_device; i++)
        rate += w->device[i]->tokens_per_s;
    progress_count(rate, text);
    table_add(t, "%s", w->name);
    table_add(t, "%s", w->state);
    add_devices(w, t);
    add_models(w, t);
    table_add(t, "%u", w->shards);
    table_add(t, "%llu", (unsigned long long)w->records_done);
    table_add(t, "%s", text);
    table_add(t, "%.1fs", w->last_beat_ms / 1000.0);
}

static int print_workers(const Skein__Workers *workers,
                         const struct common_options *o, struct err *err)
{
    struct buf text = BUF_INIT;
    struct table t;

    if (o->json) {
        json_t *list = json_array();

        for (size_t i = 0; i < workers->n_worker; i++)
            json_array_append_new(list, json_worker(workers->worker[i]));
        return json_print(list, err);
    }
    if (workers->n_worker == 0) {
        if (!o->quiet)
            fprintf(stderr, "no workers; start one with: skein-worker "
                            "--connect ENDPOINT --model NAME=PATH\n");
        return 0;
    }
    table_init(&t, worker_columns);
    for (size_t i = 0; i < workers->n_worker; i++)
        add_worker(workers->worker[i], &t);
    table_write(&t, &text);
    fputs(text.data, stdout);
    buf_free(&text);
    table_free(&t);
    return 0;
}

static int run_worker_ls(const void *options, char *const *arg, int n_arg,
                         struct err *err)
{
    const struct common_options *o = options;
    Skein__WorkersQuery q = SKEIN__WORKERS_QUERY__INIT;
    struct rpc *r = rpc_open(o->server ? o->server : SETTINGS_SERVER, err);
    struct wire_msg reply;
    int ret = -1;

    (void)arg;
    (void)n_arg;
    if (r != NULL
        && rpc_call(r, WIRE_WORKERS_QUERY, &q.base, WIRE_WORKERS, &reply, err)
               == 0) {
        ret = print_workers(reply.workers, o, err);
        wire_free(&reply);
    }
    rpc_close(r);
    return ret;
}

const struct command cmd_worker_ls = {
    .alias = {"worker list"},
    .spec =
        {
            .command = "worker ls",
            .synopsis = "[OPTIONS]",
            .purpose = "list the workers and what they are doing",
            .about = "MODELS are the names jobs may ask for (skein submit -m). "
                     "BEAT is the time since a worker was last heard; after 10 "
                     "s its work is given to others.",
            .examples = "  skein worker ls\n"
                        "  skein worker ls --json | jq '.[].models[].name'",
            .common = common_rows,
        },
    .options_size = sizeof(struct common_options),
    .run = run_worker_ls,
};

/* ---- server status ---------------------------------------------------------- */

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
    printf("%-12s %u pending, %u leased to %u workers\n", "shards",
           s->shards_pending, s->shards_leased, s->workers);
    printf("%-12s %s: %s bytes used, %s free\n", "spool", s->spool, used,
           free_bytes);
}

static int run_server_status(const void *options, char *const *arg, int n_arg,
                             struct err *err)
{
    const struct common_options *o = options;
    Skein__ServerQuery q = SKEIN__SERVER_QUERY__INIT;
    const char *server = o->server ? o->server : SETTINGS_SERVER;
    struct rpc *r = rpc_open(server, err);
    struct wire_msg reply;
    int ret = -1;

    (void)arg;
    (void)n_arg;
    if (r != NULL
        && rpc_call(r, WIRE_SERVER_QUERY, &q.base, WIRE_SERVER, &reply, err)
               == 0) {
        ret = 0;
        if (o->json)
            ret = json_print(json_server(reply.server, server), err);
        else
            print_server(reply.server, server);
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

/* ---- version ------------------------------------------------------------------ */

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
