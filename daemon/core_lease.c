/* Leases: made, kept, claimed, ended. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/core_impl.h"

struct core_lease *core_lease_find(const struct core *c, const struct token *t)
{
    struct lease_key key = {t->job, t->shard};
    struct core_lease *l;

    HASH_FIND(hh, c->lease, &key, sizeof key, l);
    return l != NULL && token_same(&l->token, t) ? l : NULL;
}

void core_lease_assign(struct core_lease *l, struct core_worker *w)
{
    assert(l->worker == NULL);
    l->worker = w;
    w->n_leases++;
    w->held_records += l->records;
    w->held_cost += l->cost;
}

struct core_lease *core_lease_add(struct core *c, struct core_job *j,
                                  uint32_t shard, struct core_worker *w)
{
    struct core_lease *l = xcalloc(1, sizeof *l);
    struct shard_image *s = &j->image->shard[shard];

    l->key.job = j->image->id;
    l->key.shard = shard;
    l->token.job = j->image->id;
    l->token.shard = shard;
    l->job = j;
    l->granting = true;
    l->deadline_ms = INT64_MAX; /* until it is durable */
    l->records = shard_records_left(s);
    l->cost = shard_cost_left(s);
    if (w != NULL)
        core_lease_assign(l, w);
    s->state = SHARD_LEASED;
    j->n_leased++;
    HASH_ADD(hh, c->lease, key, sizeof l->key, l);
    return l;
}

/* Take the lease out of every table. */
static void unlink_lease(struct core *c, struct core_lease *l)
{
    if (l->worker != NULL) {
        l->worker->n_leases--;
        l->worker->held_records -= l->records;
        l->worker->held_cost -= l->cost;
    }
    l->job->n_leased--;
    HASH_DEL(c->lease, l);
    c->want_grant = true;
}

static void make_pending(struct core_job *j, uint32_t shard)
{
    j->image->shard[shard].state = SHARD_PENDING;
    j->n_pending++;
    if (shard < j->cursor)
        j->cursor = shard;
}

void core_lease_drop(struct core *c, struct core_lease *l)
{
    unlink_lease(c, l);
    free(l);
}

void core_lease_end(struct core *c, struct core_lease *l)
{
    struct core_job *j = l->job;
    struct op_lease *out;

    if (j->release != NULL && j->release->release.n == OP_LEASES_MAX) {
        core_store(c, j->release);
        j->release = NULL;
    }
    c->want_flush = true;
    if (j->release == NULL)
        j->release = op_create(OP_RELEASE, j->image->id);
    out = op_add_lease(j->release);
    out->token = l->token;
    out->crashes = j->image->shard[l->token.shard].crashes;
    c->stats.requeued += l->records;
    unlink_lease(c, l);
    make_pending(j, l->token.shard);
    free(l);
}

void core_lease_flush(struct core *c)
{
    struct core_job *j;

    if (!c->want_flush)
        return;
    c->want_flush = false;
    DL_FOREACH(c->live, j)
    {
        if (j->release != NULL)
            core_store(c, j->release);
        j->release = NULL;
    }
}

void core_lease_drop_job(struct core *c, struct core_job *j, const char *reason)
{
    struct core_lease *l, *next;
    char text[JOB_MESSAGE_MAX];

    strncpy(text, reason, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    HASH_ITER(hh, c->lease, l, next)
    {
        if (l->job != j)
            continue;
        if (l->worker != NULL && l->worker->connected && !l->granting) {
            Skein__Revoke revoke = SKEIN__REVOKE__INIT;
            Skein__Token token;

            token_fill(&l->token, &token);
            revoke.token = &token;
            revoke.reason = text;
            core_send(c, l->worker->peer, WIRE_REVOKE, 0, &revoke.base);
        }
        unlink_lease(c, l);
        make_pending(j, l->token.shard);
        free(l);
    }
}

/* The attempt ended without a result, and may have been ended by the shard. */
void core_lease_crashed(struct core *c, struct core_lease *l, const char *why)
{
    struct core_job *j = l->job;
    uint32_t shard = l->token.shard;
    uint8_t crashes = ++j->image->shard[shard].crashes;
    uint64_t worker = l->worker == NULL ? 0 : l->worker->id;

    core_log(c, LOG_LEVEL_WARN,
             "shard-crashed job=%" PRIu64 " shard=%" PRIu32
             " crashes=%u worker=%s why=\"%s\"",
             j->image->id, shard, crashes,
             l->worker == NULL ? "?" : l->worker->name, why);
    if (j->avoid == NULL)
        j->avoid = xcalloc(j->image->n_shards, sizeof *j->avoid);
    j->avoid[shard] = worker;
    core_lease_end(c, l);
    if (crashes < CORE_CRASHES_MAX)
        return;
    core_lease_flush(c); /* the count is durable before the job's end */
    core_job_doom(c, j,
                  "shard %" PRIu32 " ended %u attempts without a result, the "
                  "last one: %.120s",
                  shard, crashes, why);
}

void core_lease_tick(struct core *c)
{
    struct core_lease *l, *next;

    HASH_ITER(hh, c->lease, l, next)
    {
        if (l->committing > 0 || l->granting)
            continue; /* the store's answer decides */
        if (c->now_ms < l->deadline_ms) {
            core_wake_at(c, l->deadline_ms);
            continue;
        }
        core_log(c, LOG_LEVEL_WARN,
                 "lease-ended job=%" PRIu64 " shard=%" PRIu32
                 " attempt=%" PRIu32 " worker=%s",
                 l->token.job, l->token.shard, l->token.attempt,
                 l->worker == NULL ? "?" : l->worker->name);
        core_lease_end(c, l);
    }
}
