/* The job table: from acceptance to the end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/core_impl.h"

/* Higher priority first, then lower id. */
static int compare_jobs(const struct core_job *a, const struct core_job *b)
{
    if (a->spec->priority != b->spec->priority)
        return a->spec->priority > b->spec->priority ? -1 : 1;
    return a->image->id < b->image->id ? -1 : 1;
}

struct core_job *core_job_find(const struct core *c, uint64_t id)
{
    struct core_job *j;

    HASH_FIND(hh_id, c->by_id, &id, sizeof id, j);
    return j;
}

void core_job_free(struct core_job *j)
{
    skein__job_spec__free_unpacked(j->spec, NULL);
    job_image_free(j->image);
    op_free(j->release);
    free(j->avoid);
    free(j);
}

static Skein__JobSpec *unpack_spec(const struct job_image *image)
{
    Skein__JobSpec *spec = skein__job_spec__unpack(
        NULL, image->spec.len, (const uint8_t *)image->spec.data);

    if (spec == NULL) {
        /* Only a corrupt job gets here; it still has to be shown. */
        spec = xcalloc(1, sizeof *spec);
        skein__job_spec__init(spec);
    }
    return spec;
}

/* Among the live jobs, at its place. */
static void enlist(struct core *c, struct core_job *j)
{
    const struct job_image *i = j->image;

    j->live = true;
    j->n_pending = 0;
    for (uint32_t s = 0; s < i->n_shards; s++)
        j->n_pending += i->shard[s].state == SHARD_PENDING;
    DL_INSERT_INORDER(c->live, j, compare_jobs);
    c->want_grant = true;
}

struct core_job *core_job_add(struct core *c, struct job_image *image)
{
    struct core_job *j = xcalloc(1, sizeof *j);

    j->image = image;
    j->spec = unpack_spec(image);
    if (image->id > c->last_job_id)
        c->last_job_id = image->id;
    HASH_ADD_KEYPTR(hh_id, c->by_id, &j->image->id, sizeof j->image->id, j);
    HASH_ADD_KEYPTR(hh_request, c->by_request, j->image->request_id,
                    REQUEST_ID_BYTES, j);
    if (job_state_final(image->state)) {
        c->n_finished++;
        return j;
    }
    enlist(c, j);
    return j;
}

void core_job_revive(struct core *c, struct core_job *j,
                     struct job_image *image)
{
    job_image_clear(j->image); /* the keys of the tables stay where they are */
    *j->image = *image;
    free(image);
    j->doom[0] = '\0';
    j->retried = true;
    j->cursor = 0;
    free(j->avoid);
    j->avoid = NULL;
    c->n_finished--;
    enlist(c, j);
}

void core_job_remove(struct core *c, struct core_job *j)
{
    HASH_DELETE(hh_id, c->by_id, j);
    HASH_DELETE(hh_request, c->by_request, j);
    c->n_finished--;
    core_job_free(j);
}

void core_job_respec(struct core *c, struct core_job *j, struct buf *packed)
{
    buf_free(&j->image->spec);
    j->image->spec = *packed;
    *packed = BUF_INIT;
    skein__job_spec__free_unpacked(j->spec, NULL);
    j->spec = unpack_spec(j->image);
    if (!j->live)
        return;
    DL_DELETE(c->live, j);
    DL_INSERT_INORDER(c->live, j, compare_jobs);
    c->want_grant = true;
}

void core_load(struct core *c, struct job_image *image, int64_t now_ms)
{
    struct core_job *j = core_job_add(c, image);

    c->now_ms = now_ms;
    c->stats.jobs_found[image->state]++;
    for (uint32_t i = 0; j->live && i < image->n_shards; i++) {
        struct shard_image *s = &image->shard[i];
        struct core_lease *l;

        if (s->state != SHARD_LEASED)
            continue;
        l = core_lease_add(c, j, i, NULL);
        l->token = (struct token){s->epoch, image->id, i, s->attempt, s->nonce};
        l->owner = s->owner;
        l->granting = false;
        l->deadline_ms = now_ms + c->config.restart_grace_ms;
    }
}

static void send_submitted(struct core *c, const struct op *op,
                           const struct job_image *image)
{
    const struct warnings *w = &op->accept.warnings;
    Skein__Warning warning[WARNINGS_MAX], *list[WARNINGS_MAX];
    Skein__Submitted reply = SKEIN__SUBMITTED__INIT;

    reply.xfer = op->xfer;
    reply.job = image->id;
    reply.lines = image->lines;
    reply.records = image->records;
    reply.rejected = image->rejected;
    reply.warnings = w->n;
    for (size_t i = 0; i < w->n_kept; i++) {
        skein__warning__init(&warning[i]);
        warning[i].line = w->kept[i].line;
        warning[i].text = w->kept[i].text;
        list[i] = &warning[i];
    }
    reply.warning = list;
    reply.n_warning = w->n_kept;
    core_send(c, op->peer, WIRE_SUBMITTED, op->seq, &reply.base);
}

void core_job_accepted(struct core *c, struct op *op)
{
    struct job_image *image = op->accept.image;
    struct core_job *j;

    if (op->status == OP_FAILED) {
        core_store_failed(c, NULL, &op->err);
        if (op->peer != 0)
            core_send_error(c, op->peer, op->seq, op->xfer, &op->err);
        return;
    }
    op->accept.image = NULL;
    j = core_job_add(c, image);
    c->stats.rejected += image->rejected;
    core_log(c, LOG_LEVEL_INFO,
             "job-accepted job=%" PRIu64 " records=%" PRIu64
             " rejected=%" PRIu64 " warnings=%" PRIu64 " shards=%" PRIu32,
             image->id, image->records, image->rejected, op->accept.warnings.n,
             image->n_shards);
    if (op->peer != 0)
        send_submitted(c, op, image);
    core_job_settle(c, j);
}

/* ---- the end ------------------------------------------------------------- */

void core_job_end(struct core *c, struct core_job *j, Skein__JobState state,
                  const char *message, uint64_t peer, uint64_t seq)
{
    struct op *op = op_create(OP_STATE, j->image->id);

    op->peer = peer;
    op->seq = seq;
    op->state.state = state;
    op->state.finished_unix_ms = c->unix_ms;
    snprintf(op->state.message, sizeof op->state.message, "%s", message);
    j->ending = true;
    j->target = state;
    core_lease_drop_job(c, j, message);
    core_store(c, op);
}

void core_job_doom(struct core *c, struct core_job *j, const char *fmt, ...)
{
    va_list ap;

    if (j->doom[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(j->doom, sizeof j->doom, fmt, ap);
    va_end(ap);
    core_job_settle(c, j);
}

void core_job_settle(struct core *c, struct core_job *j)
{
    if (!j->live || j->ending)
        return;
    if (j->image->shards_done == j->image->n_shards)
        core_job_end(c, j, SKEIN__JOB_STATE__JOB_DONE, "", 0, 0);
    else if (j->doom[0] != '\0')
        core_job_end(c, j, SKEIN__JOB_STATE__JOB_FAILED, j->doom, 0, 0);
}

static void finish(struct core *c, struct core_job *j, const struct op *op)
{
    struct job_image *i = j->image;

    i->state = op->state.state;
    i->finished_unix_ms = op->state.finished_unix_ms;
    snprintf(i->message, sizeof i->message, "%s", op->state.message);
    for (uint32_t s = 0; s < i->n_shards; s++)
        shard_end(&i->shard[s]);
    job_image_count(i);
    j->n_pending = 0;
    j->live = false;
    DL_DELETE(c->live, j);
    c->n_finished++;
    c->stats.jobs_ended[i->state]++;
    if (!j->retried)
        histogram_add(&c->stats.duration_s, histogram_job_s,
                      (double)(i->finished_unix_ms - i->submitted_unix_ms)
                          / 1000);
    core_log(c, LOG_LEVEL_INFO,
             "job-ended job=%" PRIu64 " state=%s answered=%" PRIu64
             " failed=%" PRIu64 " message=\"%s\"",
             i->id,
             protobuf_c_enum_descriptor_get_value(&skein__job_state__descriptor,
                                                  (int)i->state)
                 ->name,
             i->answered, i->failed, i->message);
}

void core_job_ended(struct core *c, struct op *op)
{
    struct core_job *j = core_job_find(c, op->job);

    if (j == NULL)
        return;
    j->ending = false;
    if (op->status == OP_OK) {
        if (j->live)
            finish(c, j, op);
        if (op->peer != 0)
            core_client_job(c, j, op->peer, op->seq);
        return;
    }
    /* Still live: a cancelled job goes on, the others end at a later tick. */
    c->want_grant = true;
    core_store_failed(
        c, op->state.state == SKEIN__JOB_STATE__JOB_CORRUPT ? NULL : j,
        &op->err);
    if (op->peer != 0)
        core_send_error(c, op->peer, op->seq, 0, &op->err);
}

/* ---- for people ---------------------------------------------------------- */

/* Shards leased add what their workers say of them. */
static void add_progress(const struct core *c, const struct core_job *j,
                         Skein__JobInfo *out)
{
    const struct core_lease *l;

    for (uint32_t i = 0; i < c->n_worker && j->n_leased > 0; i++) {
        bool works = false;

        for (l = c->lease; l != NULL; l = l->hh.next) {
            if (l->job != j || l->worker != c->worker[i])
                continue;
            works = true;
            if (l->records > 0 && l->records_done <= l->records)
                out->cost_done += l->cost * l->records_done / l->records;
        }
        out->workers += works;
    }
}

void core_job_info(const struct core *c, const struct core_job *j,
                   Skein__JobInfo *out)
{
    struct job_image *i = j->image;

    skein__job_info__init(out);
    out->job = i->id;
    out->spec = j->spec;
    out->state = i->state;
    if (i->has_fingerprint) {
        out->fingerprint.data = i->fingerprint;
        out->fingerprint.len = HASH_BYTES;
    }
    out->lines = i->lines;
    out->records = i->records;
    out->rejected = i->rejected;
    out->answered = i->answered;
    out->failed = i->failed;
    out->tokens_in = i->tokens_in;
    out->tokens_out = i->tokens_out;
    out->cost = i->cost;
    out->cost_done = i->cost_done;
    out->shards = i->n_shards;
    out->shards_done = i->shards_done;
    out->shards_leased = j->n_leased;
    out->prefix = i->prefix;
    out->submitted_unix_ms = i->submitted_unix_ms;
    out->started_unix_ms = i->started_unix_ms;
    out->finished_unix_ms = i->finished_unix_ms;
    out->message = i->message;
    add_progress(c, j, out);
}
