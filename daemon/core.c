#include "daemon/core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/core_impl.h"

_Static_assert(SKEIN__JOB_STATE__JOB_CORRUPT < CORE_JOB_STATES,
               "every state of a job has its counter");

struct core *core_create(const struct core_config *config)
{
    struct core *c = xcalloc(1, sizeof *c);

    assert(config->epoch >= 1);
    assert(config->lease_worker_ms < config->lease_ms);
    c->config = *config;
    c->last_job_id = config->last_job;
    return c;
}

void core_destroy(struct core *c)
{
    struct core_lease *l, *lease_next;
    struct core_job *j, *job_next;

    if (c == NULL)
        return;
    HASH_ITER(hh, c->lease, l, lease_next)
    {
        HASH_DEL(c->lease, l);
        free(l);
    }
    HASH_CLEAR(hh_request, c->by_request);
    HASH_ITER(hh_id, c->by_id, j, job_next)
    {
        HASH_DELETE(hh_id, c->by_id, j);
        core_job_free(j);
    }
    for (uint32_t i = 0; i < c->n_worker; i++)
        core_worker_free(c->worker[i]);
    free(c);
}

/* ---- what the parts share ------------------------------------------------ */

void core_send(struct core *c, uint64_t peer, enum wire_type type, uint64_t seq,
               const ProtobufCMessage *msg)
{
    c->act->send(c->act->arg, peer, type, seq, msg);
}

void core_send_error(struct core *c, uint64_t peer, uint64_t seq, uint64_t xfer,
                     const struct err *err)
{
    Skein__Error e = SKEIN__ERROR__INIT;
    char text[ERR_TEXT_MAX];

    snprintf(text, sizeof text, "%s", err->text);
    e.code = (uint32_t)err->code;
    e.message = text;
    e.xfer = xfer;
    e.retry_ms = err->code == ERR_AGAIN ? CORE_RETRY_MS : 0;
    core_send(c, peer, WIRE_ERROR, seq, &e.base);
}

void core_store(struct core *c, struct op *op)
{
    c->act->store(c->act->arg, op);
}

void core_log(struct core *c, enum log_level level, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    c->act->log(c->act->arg, level, line);
}

void core_wake_at(struct core *c, int64_t ms)
{
    if (ms < c->deadline_ms)
        c->deadline_ms = ms;
}

/* The store could not do something. A job whose file is corrupt is taken out of
 * service alone (of one that has ended the reader is told); anything else is
 * tried again a second later.
 */
void core_store_failed(struct core *c, struct core_job *j,
                       const struct err *err)
{
    if (j != NULL && err->code == ERR_CORRUPT) {
        if (j->live)
            core_job_end(c, j, SKEIN__JOB_STATE__JOB_CORRUPT, err->text, 0, 0);
        return;
    }
    if (c->retry_ms == 0)
        core_log(c, LOG_LEVEL_ERROR, "store-failed error=\"%s\"", err->text);
    c->health = err->code;
    c->retry_ms = c->now_ms + CORE_RETRY_MS;
    core_wake_at(c, c->retry_ms);
}

/* ---- events -------------------------------------------------------------- */

static void on_tick(struct core *c)
{
    struct core_job *j, *next;

    if (c->retry_ms != 0 && c->now_ms >= c->retry_ms) {
        c->retry_ms = 0;
        c->want_grant = true;
    }
    /* The parts below bring it nearer again. */
    c->deadline_ms = INT64_MAX;
    core_lease_tick(c);
    core_worker_tick(c);
    if (c->retry_ms != 0) {
        core_wake_at(c, c->retry_ms);
        return;
    }
    for (j = c->live; j != NULL; j = next) {
        next = j->next; /* settling may end the job at once */
        core_job_settle(c, j);
    }
}

static void on_message(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    switch (m->type) {
    case WIRE_HELLO:
        core_worker_hello(c, peer, m);
        break;
    case WIRE_BEAT:
        core_worker_beat(c, peer, m);
        break;
    case WIRE_RELEASE:
        core_worker_release(c, peer, m);
        break;
    case WIRE_JOBS_QUERY:
        core_client_jobs(c, peer, m);
        break;
    case WIRE_CANCEL:
        core_client_cancel(c, peer, m);
        break;
    case WIRE_ORDER:
        core_order(c, peer, m);
        break;
    case WIRE_WORKERS_QUERY:
        core_client_workers(c, peer, m);
        break;
    default: {
        struct err err;

        err_set(&err, ERR_PROTOCOL, "a coordinator does not take %s",
                wire_type_name(m->type));
        core_send_error(c, peer, m->seq, 0, &err);
    }
    }
}

static void on_stored(struct core *c, struct op *op)
{
    struct core_job *j;

    if (op->status == OP_OK)
        c->health = ERR_NONE;
    switch (op->kind) {
    case OP_GRANT:
        core_granted(c, op);
        break;
    case OP_RELEASE:
        /* The core's own state counts; the next grant overwrites the row. */
        if (op->status == OP_FAILED)
            core_store_failed(c, core_job_find(c, op->job), &op->err);
        break;
    case OP_RESULT:
        core_committed(c, op);
        break;
    case OP_STATE:
        core_job_ended(c, op);
        break;
    case OP_CHANGE:
    case OP_RETRY:
    case OP_REMOVE:
        core_ordered(c, op);
        break;
    case OP_ACCEPT:
        core_job_accepted(c, op);
        break;
    case OP_READ: /* failed, or it would not be shown to the core */
        j = core_job_find(c, op->job);
        if (j != NULL && op->status == OP_FAILED && op->err.code == ERR_CORRUPT)
            core_store_failed(c, j, &op->err);
        break;
    case OP_STAGE:
    case OP_RESTAGE:
        if (op->status == OP_FAILED)
            core_store_failed(c, NULL, &op->err);
        break;
    case OP_DISCARD:
    case OP_USAGE:
        break;
    }
}

void core_step(struct core *c, const struct core_event *e, int64_t now_ms,
               const struct core_actions *act)
{
    assert(now_ms >= c->now_ms);
    c->now_ms = now_ms;
    c->unix_ms = e->unix_ms;
    c->act = act;
    switch (e->kind) {
    case CORE_TICK:
        on_tick(c);
        break;
    case CORE_MESSAGE:
        on_message(c, e->peer, e->msg);
        break;
    case CORE_SEND_FAILED:
        core_worker_gone(c, e->peer);
        break;
    case CORE_UPLOADED:
        core_uploaded(c, e->upload);
        break;
    case CORE_STORED:
        on_stored(c, e->op);
        break;
    }
    core_lease_flush(c);
    if (c->want_grant && c->retry_ms == 0) {
        c->want_grant = false;
        core_grant(c);
    }
    c->act = NULL;
}

int64_t core_deadline(const struct core *c)
{
    return c->deadline_ms;
}

/* ---- questions ----------------------------------------------------------- */

enum core_holder core_token_holder(const struct core *c, uint64_t peer,
                                   const struct token *t)
{
    const struct core_worker *w = core_worker_of(c, peer);
    const struct core_lease *l = core_lease_find(c, t);
    const struct core_job *j = core_job_find(c, t->job);
    const struct shard_image *s;

    if (w == NULL)
        return CORE_NO_SESSION;
    if (l != NULL && l->worker == w && !l->granting)
        return CORE_HELD;
    if (j == NULL || j->image->shard == NULL || t->shard >= j->image->n_shards)
        return CORE_LOST;
    s = &j->image->shard[t->shard];
    return s->state == SHARD_DONE && s->attempt == t->attempt
                   && s->nonce == t->nonce && s->epoch == t->epoch
               ? CORE_WON
               : CORE_LOST;
}

int core_may_read(const struct core *c, uint64_t job, uint32_t shard,
                  Skein__BlobKind kind, struct err *err)
{
    const struct core_job *j = core_job_find(c, job);
    const struct job_image *i;

    if (j == NULL)
        return err_set(err, ERR_NOT_FOUND, "there is no job %llu",
                       (unsigned long long)job);
    i = j->image;
    if (kind != SKEIN__BLOB_KIND__BLOB_RESULT
        && kind != SKEIN__BLOB_KIND__BLOB_REJECTED)
        return err_set(err, ERR_DENIED,
                       "an input is read with the token of its lease");
    if (i->state == SKEIN__JOB_STATE__JOB_CORRUPT)
        return err_set(err, ERR_CORRUPT, "job %llu is corrupt: %s",
                       (unsigned long long)job, i->message);
    if (shard >= i->n_shards)
        return err_set(err, ERR_NOT_FOUND, "job %llu has %u shards",
                       (unsigned long long)job, i->n_shards);
    if (kind == SKEIN__BLOB_KIND__BLOB_RESULT && i->shard != NULL
        && i->shard[shard].state != SHARD_DONE)
        return job_state_final(i->state)
                   ? err_set(err, ERR_NOT_FOUND, "shard %u has no result",
                             shard)
                   : err_set(err, ERR_AGAIN, "shard %u is not done yet", shard);
    return 0;
}

const struct job_image *core_find_request(const struct core *c,
                                          const uint8_t *request_id)
{
    struct core_job *j;

    HASH_FIND(hh_request, c->by_request, request_id, REQUEST_ID_BYTES, j);
    return j == NULL ? NULL : j->image;
}

int core_may_submit(const struct core *c, int64_t now_ms, struct err *err)
{
    if (HASH_CNT(hh_id, c->by_id) >= CORE_JOBS_MAX)
        return err_set(err, ERR_AGAIN, "there are %d jobs: remove some first",
                       CORE_JOBS_MAX);
    if (c->retry_ms != 0 && now_ms < c->retry_ms)
        return err_set(err, ERR_AGAIN, "the spool cannot be written: %s",
                       core_health(c));
    return 0;
}

uint64_t core_new_job_id(struct core *c)
{
    return ++c->last_job_id;
}

const char *core_health(const struct core *c)
{
    if (c->health == ERR_NONE)
        return "ok";
    return c->health == ERR_AGAIN ? "full" : "degraded";
}

void core_count(const struct core *c, struct core_counts *out)
{
    const struct core_lease *l;
    const struct core_job *j;

    *out = (struct core_counts){
        .jobs_finished = c->n_finished,
        .workers = c->n_worker,
    };
    DL_FOREACH(c->live, j)
    {
        if (j->image->state == SKEIN__JOB_STATE__JOB_RUNNING)
            out->jobs_running++;
        else
            out->jobs_queued++;
        out->shards_pending += j->n_pending;
        out->shards_leased += j->n_leased;
    }
    for (j = c->by_id; j != NULL; j = j->hh_id.next)
        out->jobs[j->image->state]++;
    for (uint32_t i = 0; i < c->n_worker; i++)
        out->workers_by_state[core_worker_state(c, c->worker[i])]++;
    for (l = c->lease; l != NULL; l = l->hh.next)
        out->records_leased += l->records;
}

const struct core_stats *core_stats(const struct core *c)
{
    return &c->stats;
}
