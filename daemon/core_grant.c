/* Who gets which shard: by job priority, job id, shard; the workers in turn. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "daemon/core_impl.h"

static bool is_lower_hex_prefix(const char *prefix,
                                const uint8_t fingerprint[HASH_BYTES])
{
    char hex[2 * HASH_BYTES + 1];

    hash_hex(fingerprint, HASH_BYTES, hex);
    return strncmp(hex, prefix, strlen(prefix)) == 0;
}

/* The worker's model that `job` asks for ("name" or "name@prefix"), with the
 * fingerprint the job began with, if it did.
 */
static const struct core_model *match_model(const struct core_worker *w,
                                            const struct core_job *job)
{
    const char *wanted = job->spec->model;
    const char *at = strrchr(wanted, '@');
    size_t name_len = at == NULL ? strlen(wanted) : (size_t)(at - wanted);

    for (size_t i = 0; i < w->n_model; i++) {
        const struct core_model *m = &w->model[i];
        bool by_prefix = at != NULL && strlen(m->name) == name_len
                         && memcmp(m->name, wanted, name_len) == 0
                         && is_lower_hex_prefix(at + 1, m->fingerprint);

        /* A name may contain an '@' itself. */
        if (!by_prefix && strcmp(m->name, wanted) != 0)
            continue;
        if (!job->image->has_fingerprint
            || memcmp(job->image->fingerprint, m->fingerprint, HASH_BYTES) == 0)
            return m;
    }
    return NULL;
}

static bool has_refused(const struct core_worker *w, uint64_t job)
{
    for (uint32_t i = 0; i < WORKER_REFUSED_MAX; i++) {
        if (w->refused[i] == job)
            return true;
    }
    return false;
}

static bool takes_grants(const struct core *c, const struct core_worker *w)
{
    return core_worker_state(c, w) == CORE_WORKER_READY
           && w->n_leases < HELD_MAX;
}

static bool may_compute(const struct core *c, const struct core_worker *w,
                        const struct core_job *j)
{
    return takes_grants(c, w) && match_model(w, j) != NULL
           && !has_refused(w, j->image->id);
}

/* A worker that holds nothing may take any shard, so that none is too large. */
static bool fits(const struct core_worker *w, const struct shard_image *s)
{
    if (w->capacity_records == 0)
        return false;
    return w->n_leases == 0
           || (w->held_records + shard_records_left(s) <= w->capacity_records
               && w->held_cost + shard_cost_left(s) <= w->capacity_cost);
}

static bool other_may_compute(const struct core *c, const struct core_worker *w,
                              const struct core_job *j)
{
    for (uint32_t i = 0; i < c->n_worker; i++) {
        if (c->worker[i] != w && may_compute(c, c->worker[i], j))
            return true;
    }
    return false;
}

/* The first pending shard for `w`, or n_shards. The one it crashed on last is
 * left to the others if there are any.
 */
static uint32_t next_shard(struct core *c, struct core_job *j,
                           const struct core_worker *w)
{
    struct job_image *i = j->image;

    while (j->cursor < i->n_shards
           && i->shard[j->cursor].state != SHARD_PENDING)
        j->cursor++;
    for (uint32_t s = j->cursor; s < i->n_shards; s++) {
        if (i->shard[s].state != SHARD_PENDING)
            continue;
        if (j->avoid == NULL || j->avoid[s] != w->id
            || !other_may_compute(c, w, j))
            return s;
    }
    return i->n_shards;
}

static struct op *grant_op(struct core *c, struct core_job *j,
                           const struct core_worker *w)
{
    struct op *op = op_create(OP_GRANT, j->image->id);

    if (j->image->state != SKEIN__JOB_STATE__JOB_QUEUED)
        return op;
    op->grant.start = true;
    op->grant.started_unix_ms = c->unix_ms;
    memcpy(op->grant.fingerprint, match_model(w, j)->fingerprint, HASH_BYTES);
    memcpy(j->image->fingerprint, op->grant.fingerprint, HASH_BYTES);
    j->pinning = !j->image->has_fingerprint;
    j->image->has_fingerprint = true;
    j->starting = true;
    return op;
}

static void add_lease(struct core *c, struct core_job *j, uint32_t shard,
                      struct core_worker *w, struct op *op)
{
    struct shard_image *s = &j->image->shard[shard];
    struct core_lease *l = core_lease_add(c, j, shard, w);
    struct op_lease *out = op_add_lease(op);

    j->n_pending--;
    s->attempt++;
    s->epoch = c->config.epoch;
    s->nonce = c->config.nonce(c->config.nonce_arg);
    l->token.attempt = s->attempt;
    l->token.epoch = s->epoch;
    l->token.nonce = s->nonce;
    out->token = l->token;
    out->owner = core_worker_tag(w);
    snprintf(out->name, sizeof out->name, "%s", w->name);
}

/* One shard for each worker with room, until nothing fits. */
static void grant_job(struct core *c, struct core_job *j)
{
    struct op *op = NULL;
    uint32_t idle = 0; /* workers in a row that took nothing */

    while (j->n_pending > 0 && idle < c->n_worker
           && (op == NULL || op->grant.n < OP_LEASES_MAX)) {
        struct core_worker *w = c->worker[c->turn++ % c->n_worker];
        uint32_t shard =
            may_compute(c, w, j) ? next_shard(c, j, w) : j->image->n_shards;

        idle++;
        if (shard == j->image->n_shards || !fits(w, &j->image->shard[shard]))
            continue;
        if (op == NULL)
            op = grant_op(c, j, w);
        add_lease(c, j, shard, w, op);
        idle = 0;
    }
    if (op != NULL)
        core_store(c, op);
}

void core_grant(struct core *c)
{
    struct core_job *j;
    bool room = false;

    for (uint32_t i = 0; i < c->n_worker; i++) {
        const struct core_worker *w = c->worker[i];

        room |= takes_grants(c, w) && w->capacity_records > 0
                && (w->n_leases == 0 || w->held_records < w->capacity_records);
    }
    if (!room)
        return;
    DL_FOREACH(c->live, j)
    {
        if (j->ending || j->starting || j->ordered || j->doom[0] != '\0'
            || j->image->state == SKEIN__JOB_STATE__JOB_HELD)
            continue;
        grant_job(c, j);
    }
}

/* ---- the leases are durable ---------------------------------------------- */

static void send_grant(struct core *c, const struct core_lease *l,
                       const struct op_lease *stored)
{
    const struct core_job *j = l->job;
    Skein__Grant grant = SKEIN__GRANT__INIT;
    Skein__Token token;
    char name[MODEL_NAME_BYTES_MAX + 1];
    uint8_t hash[HASH_BYTES];

    snprintf(name, sizeof name, "%s", match_model(l->worker, j)->name);
    memcpy(hash, stored->input_hash, HASH_BYTES);
    token_fill(&l->token, &token);
    grant.token = &token;
    grant.spec = j->spec;
    grant.model = name;
    grant.n_records = l->records;
    grant.cost = l->cost;
    grant.input_bytes = stored->input_bytes;
    grant.input_hash.data = hash;
    grant.input_hash.len = sizeof hash;
    core_send(c, l->worker->peer, WIRE_GRANT, 0, &grant.base);
}

/* The tokens did not get to the disk: as if they had never been. */
static void grant_failed(struct core *c, struct core_job *j, struct op *op)
{
    for (uint32_t i = 0; i < op->grant.n; i++) {
        struct core_lease *l = core_lease_find(c, &op->grant.lease[i].token);

        if (l == NULL)
            continue;
        l->granting = false;
        core_lease_end(c, l);
    }
    if (op->grant.start && j->pinning
        && j->image->state == SKEIN__JOB_STATE__JOB_QUEUED)
        j->image->has_fingerprint = false;
    core_store_failed(c, j, &op->err);
}

/* The row says the shard is not pending. That cannot be; do not insist. */
static void grant_refused(struct core *c, struct core_lease *l)
{
    struct err err;

    err_set(&err, ERR_INTERNAL,
            "job %" PRIu64 " shard %" PRIu32 " is not pending on disk",
            l->token.job, l->token.shard);
    core_lease_end(c, l);
    core_store_failed(c, NULL, &err);
}

void core_granted(struct core *c, struct op *op)
{
    struct core_job *j = core_job_find(c, op->job);

    if (j == NULL)
        return;
    if (op->grant.start) {
        j->starting = false;
        c->want_grant = true;
    }
    if (op->status == OP_FAILED) {
        grant_failed(c, j, op);
        return;
    }
    if (op->grant.start && j->live) {
        j->image->state = SKEIN__JOB_STATE__JOB_RUNNING;
        j->image->started_unix_ms = op->grant.started_unix_ms;
        if (!j->retried)
            histogram_add(&c->stats.queue_wait_s, histogram_job_s,
                          (double)(j->image->started_unix_ms
                                   - j->image->submitted_unix_ms)
                              / 1000);
    }
    for (uint32_t i = 0; i < op->grant.n; i++) {
        struct core_lease *l = core_lease_find(c, &op->grant.lease[i].token);

        if (l == NULL)
            continue; /* the job was cancelled meanwhile */
        l->granting = false;
        if (op->grant.lease[i].status != OP_OK) {
            grant_refused(c, l);
            continue;
        }
        /* A HELLO in between may have changed what the worker can do. */
        if (match_model(l->worker, j) == NULL) {
            core_lease_end(c, l);
            continue;
        }
        l->deadline_ms =
            c->now_ms
            + (l->worker->connected ? c->config.lease_ms
                                    : c->config.lease_disconnected_ms);
        core_wake_at(c, l->deadline_ms);
        if (l->worker->connected)
            send_grant(c, l, &op->grant.lease[i]);
    }
}
