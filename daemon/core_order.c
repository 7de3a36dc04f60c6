/* ORDERs of clients: hold, release, priority, retry, remove. The table of what
 * may be ordered of which job is in docs/protocol.md.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core_impl.h"

/* ---- asked --------------------------------------------------------------- */

static struct op *change_op(const struct core_job *j, const Skein__Order *q)
{
    struct op *op = op_create(OP_CHANGE, j->image->id);
    struct buf *spec = &op->change.spec;
    Skein__JobSpec changed = *j->spec; /* borrows */
    size_t len;

    op->change.kind = q->kind;
    if (q->kind != SKEIN__ORDER_KIND__ORDER_PRIORITY)
        return op;
    changed.priority = q->priority;
    len = skein__job_spec__get_packed_size(&changed);
    skein__job_spec__pack(&changed, (uint8_t *)buf_reserve(spec, len));
    spec->len = len;
    return op;
}

static struct op *retry_op(const struct core_job *j, const Skein__Order *q)
{
    struct op *op = op_create(OP_RETRY, j->image->id);

    op->retry.failed = q->failed;
    return op;
}

static struct op *remove_op(const struct core_job *j, const Skein__Order *q)
{
    (void)q;
    return op_create(OP_REMOVE, j->image->id);
}

static const struct order_row {
    bool live;    /* of a live job; else of one that has ended */
    bool corrupt; /* even if it is */
    struct op *(*op)(const struct core_job *j, const Skein__Order *q);
    const char *refusal; /* "job 5 is running: ..." */
} rows[] = {
    [SKEIN__ORDER_KIND__ORDER_HOLD] = {true, false, change_op,
                                       "it cannot be held"},
    [SKEIN__ORDER_KIND__ORDER_RELEASE] = {true, false, change_op,
                                          "it cannot be released"},
    [SKEIN__ORDER_KIND__ORDER_PRIORITY] = {true, false, change_op,
                                           "its priority means nothing"},
    [SKEIN__ORDER_KIND__ORDER_RETRY] = {false, false, retry_op,
                                        "it cannot be retried"},
    [SKEIN__ORDER_KIND__ORDER_REMOVE] = {false, true, remove_op,
                                         "cancel it first"},
};

static int check_order(const struct core_job *j, const struct order_row *row,
                       struct err *err)
{
    bool corrupt = j->image->state == SKEIN__JOB_STATE__JOB_CORRUPT;

    if (j->ordered || j->ending)
        return err_set(err, ERR_AGAIN,
                       "job %" PRIu64 " is being changed already",
                       j->image->id);
    if (j->live != row->live || (corrupt && !row->corrupt))
        return err_set(err, ERR_CONFLICT, "job %" PRIu64 " is %s: %s",
                       j->image->id, job_state_name(j->image->state),
                       row->refusal);
    return 0;
}

/* A repeated RETRY: the end that it undoes is undone. */
static bool is_repeat(const struct core_job *j, const Skein__Order *q)
{
    return q->kind == SKEIN__ORDER_KIND__ORDER_RETRY && !j->ordered
           && q->finished_unix_ms != 0
           && q->finished_unix_ms != j->image->finished_unix_ms;
}

void core_order(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    const Skein__Order *q = m->order;
    const struct order_row *row = &rows[q->kind];
    struct core_job *j = core_job_find(c, q->job);
    struct op *op;
    struct err err;

    if (j == NULL) {
        err_set(&err, ERR_NOT_FOUND, "there is no job %" PRIu64, q->job);
        core_send_error(c, peer, m->seq, 0, &err);
    } else if (is_repeat(j, q)) {
        core_client_job(c, j, peer, m->seq);
    } else if (check_order(j, row, &err) < 0) {
        core_send_error(c, peer, m->seq, 0, &err);
    } else {
        op = row->op(j, q);
        op->peer = peer;
        op->seq = m->seq;
        j->ordered = true;
        core_store(c, op);
    }
}

/* ---- stored -------------------------------------------------------------- */

static void changed(struct core *c, struct core_job *j, struct op *op)
{
    struct job_image *i = j->image;

    switch (op->change.kind) {
    case SKEIN__ORDER_KIND__ORDER_HOLD:
        i->state = SKEIN__JOB_STATE__JOB_HELD;
        break;
    case SKEIN__ORDER_KIND__ORDER_RELEASE:
        i->state = i->started_unix_ms == 0 ? SKEIN__JOB_STATE__JOB_QUEUED
                                           : SKEIN__JOB_STATE__JOB_RUNNING;
        break;
    default:
        core_job_respec(c, j, &op->change.spec);
    }
    core_log(c, LOG_LEVEL_INFO,
             "job-changed job=%" PRIu64 " state=%s priority=%" PRId32, i->id,
             job_state_name(j->image->state), j->spec->priority);
}

/* What the store did, in memory; the job, or NULL if it is no more. */
static struct core_job *carry_out(struct core *c, struct core_job *j,
                                  struct op *op)
{
    switch (op->kind) {
    case OP_CHANGE:
        changed(c, j, op);
        return j;
    case OP_RETRY:
        core_job_revive(c, j, op->retry.image);
        op->retry.image = NULL;
        core_log(c, LOG_LEVEL_INFO,
                 "job-retried job=%" PRIu64 " pending=%" PRIu32, op->job,
                 j->n_pending);
        return j;
    default:
        core_job_remove(c, j);
        core_log(c, LOG_LEVEL_INFO, "job-removed job=%" PRIu64, op->job);
        return NULL;
    }
}

void core_ordered(struct core *c, struct op *op)
{
    struct core_job *j = core_job_find(c, op->job);

    if (j == NULL)
        return;
    j->ordered = false;
    c->want_grant = true;
    if (op->status == OP_OK) {
        core_client_job(c, carry_out(c, j, op), op->peer, op->seq);
        return;
    }
    if (op->err.code != ERR_NOT_FOUND) /* there was nothing to retry */
        core_store_failed(c, j, &op->err);
    core_send_error(c, op->peer, op->seq, 0, &op->err);
}
