/* Results: an upload becomes a store operation, its outcome an answer. */
#include <inttypes.h>
#include <string.h>

#include "daemon/core_impl.h"

static void send_committed(struct core *c, uint64_t peer, uint64_t seq,
                           const struct token *t)
{
    Skein__Committed reply = SKEIN__COMMITTED__INIT;
    Skein__Token token;

    token_fill(t, &token);
    reply.token = &token;
    core_send(c, peer, WIRE_COMMITTED, seq, &reply.base);
}

static void send_stale(struct core *c, uint64_t peer, uint64_t seq,
                       const struct token *t)
{
    Skein__Stale reply = SKEIN__STALE__INIT;
    Skein__Token token;

    token_fill(t, &token);
    reply.token = &token;
    core_send(c, peer, WIRE_STALE, seq, &reply.base);
}

static void store_result(struct core *c, struct core_upload *u,
                         struct core_lease *l)
{
    struct op *op = op_create(OP_RESULT, u->token.job);

    op->peer = u->peer;
    op->seq = u->seq;
    op->xfer = u->xfer;
    op->result.token = u->token;
    op->result.blob = u->blob;
    u->blob = BUF_INIT;
    memcpy(op->result.hash, u->hash, HASH_BYTES);
    op->result.tokens_in = u->tokens_in;
    op->result.tokens_out = u->tokens_out;
    l->committing++;
    u->stored = true;
    core_store(c, op);
}

void core_uploaded(struct core *c, struct core_upload *u)
{
    struct core_lease *l;
    struct err err;

    switch (core_token_holder(c, u->peer, &u->token)) {
    case CORE_NO_SESSION:
        core_hello_again(c, u->peer, u->seq);
        break;
    case CORE_WON:
        send_committed(c, u->peer, u->seq, &u->token);
        break;
    case CORE_LOST:
        c->stats.results_stale++;
        send_stale(c, u->peer, u->seq, &u->token);
        break;
    case CORE_HELD:
        l = core_lease_find(c, &u->token);
        if (memcmp(u->fingerprint, l->job->image->fingerprint, HASH_BYTES)
            == 0) {
            store_result(c, u, l);
            break;
        }
        err_set(&err, ERR_INVALID,
                "the result was computed with another fingerprint than the "
                "job's");
        if (l->committing == 0) /* else the other result of it decides */
            core_lease_crashed(c, l, err.text);
        core_send_error(c, u->peer, u->seq, u->xfer, &err);
        break;
    }
    buf_free(&u->blob);
}

static void count_answers(struct core *c, const struct core_job *j,
                          const struct op *op)
{
    struct core_model_stats *m = core_stats_model(&c->stats, j->spec->model);

    m->tokens_in += op->result.tokens_in;
    m->tokens_out += op->result.tokens_out;
    for (unsigned kind = 0; kind <= LINESET_KIND_MAX; kind++) {
        c->stats.answers[kind][0] += op->result.answers[kind][0];
        c->stats.answers[kind][1] += op->result.answers[kind][1];
    }
}

/* The store says so, whatever has become of the lease meanwhile. */
static void mark_done(struct core *c, struct core_job *j, const struct op *op)
{
    struct job_image *i = j->image;
    uint32_t shard = op->result.token.shard;
    struct shard_image *s = &i->shard[shard];
    struct core_lease *l = core_lease_find(c, &op->result.token);

    if (s->state == SHARD_DONE)
        return; /* a repeated upload */
    i->answered += shard_records_left(s);
    i->cost_done += shard_cost_left(s);
    if (l != NULL) {
        if (l->worker != NULL) {
            l->worker->records_done += l->records;
            l->worker->tokens_done +=
                op->result.tokens_in + op->result.tokens_out;
        }
        core_lease_drop(c, l);
    } else if (s->state == SHARD_PENDING) {
        j->n_pending--;
    }
    count_answers(c, j, op);
    s->state = SHARD_DONE;
    s->n_errors = op->result.n_errors;
    s->tokens_in += op->result.tokens_in;
    s->tokens_out += op->result.tokens_out;
    i->failed += s->n_errors;
    i->tokens_in += op->result.tokens_in;
    i->tokens_out += op->result.tokens_out;
    i->shards_done++;
    while (i->prefix < i->n_shards && i->shard[i->prefix].state == SHARD_DONE)
        i->prefix++;
}

static void result_failed(struct core *c, struct core_job *j, struct op *op)
{
    struct core_lease *l = core_lease_find(c, &op->result.token);

    if (op->err.code == ERR_INVALID) {
        if (l != NULL && l->committing == 0)
            core_lease_crashed(c, l, op->err.text);
    } else if (op->err.code != ERR_PROTOCOL) {
        core_store_failed(c, j, &op->err);
    }
    core_send_error(c, op->peer, op->seq, op->xfer, &op->err);
}

void core_committed(struct core *c, struct op *op)
{
    struct core_job *j = core_job_find(c, op->job);
    struct core_lease *l = core_lease_find(c, &op->result.token);

    if (j == NULL)
        return;
    if (l != NULL)
        l->committing--;
    switch (op->status) {
    case OP_OK:
        mark_done(c, j, op);
        send_committed(c, op->peer, op->seq, &op->result.token);
        core_job_settle(c, j);
        break;
    case OP_STALE:
        c->stats.results_stale++;
        if (l != NULL && l->committing == 0)
            core_lease_end(c, l);
        send_stale(c, op->peer, op->seq, &op->result.token);
        break;
    default:
        result_failed(c, j, op);
    }
    c->want_grant = true;
}
