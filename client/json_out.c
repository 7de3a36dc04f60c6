#include "client/json_out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"

const char *const job_state_names[] = {"queued",  "running",   "done",
                                       "failed",  "cancelled", "held",
                                       "corrupt", NULL};

const char *job_state_name(Skein__JobState state)
{
    size_t n = sizeof job_state_names / sizeof *job_state_names - 1;

    return (size_t)state < n ? job_state_names[state] : "unknown";
}

const char *bos_name(Skein__Bos bos)
{
    static const char *const name[] = {"always", "if-empty", "never"};

    return (size_t)bos < sizeof name / sizeof *name ? name[bos] : "unknown";
}

static void set(json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, value) < 0)
        abort(); /* only without memory */
}

json_t *json_text(const char *s)
{
    json_t *value = json_string(s);

    return value != NULL ? value : json_string("(not UTF-8)");
}

static void set_text(json_t *o, const char *key, const char *s)
{
    if (s != NULL && s[0] != '\0')
        set(o, key, json_text(s));
}

static void set_count(json_t *o, const char *key, uint64_t n)
{
    set(o, key, json_integer((json_int_t)n));
}

static void set_time(json_t *o, const char *key, int64_t unix_ms)
{
    char iso[21];

    if (unix_ms <= 0)
        return;
    clock_iso8601(unix_ms, iso);
    set(o, key, json_string(iso));
}

static void set_hex(json_t *o, const char *key, const ProtobufCBinaryData *b)
{
    char hex[2 * HASH_BYTES + 1];

    if (b->len == 0 || b->len > HASH_BYTES)
        return;
    hash_hex(b->data, b->len, hex);
    set(o, key, json_string(hex));
}

json_t *json_begin(void)
{
    json_t *o = json_object();

    if (o == NULL)
        abort();
    set(o, "schema", json_integer(JSON_SCHEMA));
    return o;
}

static json_t *request_counts(const Skein__JobInfo *job)
{
    json_t *o = json_object();

    set_count(o, "total", job->records + job->rejected);
    set_count(o, "completed", job->answered - job->failed);
    set_count(o, "failed", job->failed + job->rejected);
    return o;
}

static json_t *usage(const Skein__JobInfo *job)
{
    json_t *o = json_object();

    set_count(o, "input_tokens", job->tokens_in);
    set_count(o, "output_tokens", job->tokens_out);
    set_count(o, "total_tokens", job->tokens_in + job->tokens_out);
    return o;
}

static json_t *shards(const Skein__JobInfo *job)
{
    json_t *o = json_object();

    set_count(o, "total", job->shards);
    set_count(o, "done", job->shards_done);
    set_count(o, "leased", job->shards_leased);
    set_count(o, "finished_prefix", job->prefix);
    return o;
}

static void set_spec(json_t *o, const Skein__JobSpec *spec)
{
    if (spec == NULL)
        return;
    set_text(o, "name", spec->name);
    set_text(o, "model", spec->model);
    set_text(o, "user", spec->user);
    set(o, "bos", json_string(bos_name(spec->bos)));
    set_count(o, "seed", spec->seed);
    set(o, "priority", json_integer(spec->priority));
    set(o, "created", json_integer(spec->created_s));
}

static void set_end_time(json_t *o, const Skein__JobInfo *job)
{
    const char *key = "completed_at";

    if (job->state == SKEIN__JOB_STATE__JOB_FAILED)
        key = "failed_at";
    else if (job->state == SKEIN__JOB_STATE__JOB_CANCELLED)
        key = "cancelled_at";
    set_time(o, key, job->finished_unix_ms);
}

json_t *json_job(const Skein__JobInfo *job)
{
    json_t *o = json_begin();

    set_count(o, "id", job->job);
    set(o, "object", json_string("batch"));
    set(o, "status", json_string(job_state_name(job->state)));
    set_spec(o, job->spec);
    set_hex(o, "fingerprint", &job->fingerprint);
    set_count(o, "lines", job->lines);
    set_count(o, "records", job->records);
    set_count(o, "rejected", job->rejected);
    set(o, "request_counts", request_counts(job));
    set(o, "usage", usage(job));
    set(o, "shards", shards(job));
    set_count(o, "cost", job->cost);
    set_count(o, "cost_done", job->cost_done);
    set_count(o, "workers", job->workers);
    set_time(o, "created_at", job->submitted_unix_ms);
    set_time(o, "in_progress_at", job->started_unix_ms);
    set_end_time(o, job);
    set_text(o, "message", job->message);
    return o;
}

static json_t *models(const Skein__WorkerInfo *worker)
{
    json_t *list = json_array();

    for (size_t i = 0; i < worker->n_model; i++) {
        json_t *o = json_object();

        set_text(o, "name", worker->model[i]->name);
        set_hex(o, "fingerprint", &worker->model[i]->fingerprint);
        set(o, "vocab", json_integer(worker->model[i]->vocab));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *devices(const Skein__WorkerInfo *worker)
{
    json_t *list = json_array();

    for (size_t i = 0; i < worker->n_device; i++) {
        json_t *o = json_object();

        set_text(o, "name", worker->device[i]->name);
        set_text(o, "model", worker->device[i]->model);
        set_text(o, "state", worker->device[i]->state);
        set_count(o, "tokens", worker->device[i]->tokens);
        set(o, "tokens_per_s", json_real(worker->device[i]->tokens_per_s));
        set_count(o, "memory_used", worker->device[i]->memory_used);
        set_count(o, "memory_total", worker->device[i]->memory_total);
        set_count(o, "utilisation", worker->device[i]->utilisation);
        json_array_append_new(list, o);
    }
    return list;
}

json_t *json_worker(const Skein__WorkerInfo *worker)
{
    json_t *o = json_begin();

    set_text(o, "name", worker->name);
    set_text(o, "host", worker->host);
    set_count(o, "pid", worker->pid);
    set_text(o, "version", worker->version);
    set_text(o, "state", worker->state);
    set(o, "models", models(worker));
    set(o, "devices", devices(worker));
    set_count(o, "shards", worker->shards);
    set_count(o, "records_done", worker->records_done);
    set_count(o, "tokens_done", worker->tokens_done);
    set(o, "last_beat_s", json_real(worker->last_beat_ms / 1000.0));
    return o;
}

json_t *json_server(const Skein__ServerInfo *server, const char *endpoint)
{
    json_t *o = json_begin();

    set_text(o, "endpoint", endpoint);
    set_text(o, "version", server->version);
    set_text(o, "health", server->health);
    set_count(o, "pid", server->pid);
    set_count(o, "epoch", server->epoch);
    set(o, "uptime_s", json_real((double)server->uptime_ms / 1000.0));
    set_count(o, "jobs_queued", server->jobs_queued);
    set_count(o, "jobs_running", server->jobs_running);
    set_count(o, "jobs_finished", server->jobs_finished);
    set_count(o, "workers", server->workers);
    set_count(o, "shards_pending", server->shards_pending);
    set_count(o, "shards_leased", server->shards_leased);
    set_text(o, "spool", server->spool);
    set_count(o, "spool_bytes", server->spool_bytes);
    set_count(o, "spool_free_bytes", server->spool_free_bytes);
    return o;
}

json_t *json_error_of(const struct err *err)
{
    json_t *o = json_object(), *inner = json_object();

    set(inner, "code", json_string(err_name(err->code)));
    set(inner, "message", json_text(err->text));
    set(o, "error", inner);
    return o;
}

int json_print_jobs(const struct select_jobs *jobs, struct err *err)
{
    json_t *list;

    if (jobs->one && jobs->n == 1)
        return json_print(json_job(jobs->job[0]), err);
    list = json_array();
    for (size_t i = 0; i < jobs->n; i++)
        json_array_append_new(list, json_job(jobs->job[i]));
    return json_print(list, err);
}

int json_print(json_t *value, struct err *err)
{
    int ret = json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));

    json_decref(value);
    if (ret < 0 || putchar('\n') == EOF || fflush(stdout) == EOF)
        return err_set(err, ERR_IO, "standard output: cannot write: %s",
                       strerror(errno));
    return 0;
}
