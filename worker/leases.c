#include "worker/leases.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/log.h"
#include "worker/dispatch.h"
#include "worker/shard.h"

#define FETCHES_MAX 8 /* inputs on their way at a time */
#define UPLOADS_MAX 8

/* Room for two of the largest scoring shards even when nothing is known of the
 * speed, and for 32 however fast: 32 x ~3 MiB of text, records and ids.
 */
#define CAPACITY_RECORDS_MIN (2 * SHARD_RECORDS_MAX)
#define CAPACITY_RECORDS_MAX (32 * SHARD_RECORDS_MAX)
#define CAPACITY_COST_MIN (2 * (SHARD_BYTES_MAX / 4))
#define CAPACITY_COST_ANY (UINT64_C(1) << 40) /* fits whatever a shard costs */
#define CAPACITY_SECONDS 2                    /* of measured work */
#define RATE_MS 1000

struct leases {
    struct leases_config config;
    struct session *session;
    struct dispatch dispatch;
    struct shard *shard[HELD_MAX]; /* [n] in order of their grants */
    size_t n;
    uint32_t last_number;
    uint64_t last_xfer;
    bool draining;
    bool hungry; /* the last report offered room whatever a shard costs */

    /* Measured speed. */
    int64_t rate_ms;
    uint64_t rate_records, rate_cost; /* totals then */
    double records_per_s, cost_per_s;

    /* Room for reports. */
    Skein__Held held[HELD_MAX];
    Skein__Held *held_at[HELD_MAX];
    Skein__Device device[DEVICES_MAX];
    Skein__Device *device_at[DEVICES_MAX];
    struct ranks_device device_text[DEVICES_MAX];
};

struct leases *leases_create(const struct leases_config *config)
{
    struct leases *l = xcalloc(1, sizeof *l);

    l->config = *config;
    return l;
}

void leases_destroy(struct leases *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n; i++)
        shard_free(l->shard[i]);
    dispatch_free(&l->dispatch);
    free(l);
}

void leases_attach(struct leases *l, struct session *session)
{
    l->session = session;
}

size_t leases_count(const struct leases *l)
{
    return l->n;
}

static bool in_pool(const struct shard *s)
{
    return s->state == SHARD_PREPARING || s->state == SHARD_ASSEMBLING;
}

/* Forget a shard; one that a thread works on is freed when it comes back. */
static void drop(struct leases *l, struct shard *s)
{
    s->dropped = true;
    if (s->state == SHARD_COMPUTING && s->n_given > 0)
        ranks_cancel(l->config.ranks, s->number);
}

/* Take dropped shards out of the table. */
static void sweep(struct leases *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->dropped && !in_pool(s))
            shard_free(s);
        else
            l->shard[kept++] = s;
    }
    l->n = kept;
}

static void release(struct leases *l, struct shard *s,
                    Skein__ReleaseReason reason, const char *message)
{
    session_release(l->session, &s->token, reason, message);
    drop(l, s);
}

static struct shard *find_token(struct leases *l, const Skein__Token *token)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!l->shard[i]->dropped && token_equal(&l->shard[i]->token, token))
            return l->shard[i];
    }
    return NULL;
}

/* ---- what the coordinator says -------------------------------------------- */

void leases_grant(struct leases *l, const Skein__Grant *g)
{
    const struct leases_config *c = &l->config;
    Skein__ReleaseReason reason = SKEIN__RELEASE_REASON__RELEASE_DRAIN;
    const char *why = NULL;
    struct shard *s;

    if (find_token(l, g->token) != NULL)
        return;
    if (l->draining || l->n == HELD_MAX) {
        why = l->draining ? "the worker is draining" : "the worker is full";
    } else if (strcmp(g->model, c->model) != 0) {
        reason = SKEIN__RELEASE_REASON__RELEASE_UNSUPPORTED;
        why = "no such model here";
    } else if (g->input_hash.len != HASH_BYTES || g->input_bytes == 0
               || g->input_bytes > BLOB_BYTES_MAX) {
        reason = SKEIN__RELEASE_REASON__RELEASE_INPUT;
        why = "the grant names no usable input";
    }
    if (why != NULL) {
        session_release(l->session, g->token, reason, why);
        return;
    }
    s = shard_create(g, ++l->last_number, &c->rules);
    fetch_start(&s->fetch, ++l->last_xfer, &s->token, s->input_bytes,
                &s->input);
    l->shard[l->n++] = s;
    log_debug("granted: job=%" PRIu64 " shard=%" PRIu32 " attempt=%" PRIu32
              " records=%" PRIu32,
              s->token.job, s->token.shard, s->token.attempt, s->n_records);
}

void leases_over(struct leases *l, const Skein__Token *token, const char *how)
{
    struct shard *s = find_token(l, token);

    if (s == NULL)
        return;
    log_debug("over: job=%" PRIu64 " shard=%" PRIu32 " attempt=%" PRIu32
              " how=%s",
              token->job, token->shard, token->attempt, how);
    drop(l, s);
}

void leases_welcome(struct leases *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->state == SHARD_FETCHING)
            fetch_start(&s->fetch, ++l->last_xfer, &s->token, s->input_bytes,
                        &s->input);
        else if (s->state == SHARD_DONE)
            upload_start(&s->upload, ++l->last_xfer);
    }
}

/* The shard that a transfer belongs to, or NULL: it is over. */
static struct shard *find_xfer(struct leases *l, enum shard_state state,
                               uint64_t xfer)
{
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->dropped || s->state != state)
            continue;
        if (state == SHARD_FETCHING && s->fetch.xfer == xfer)
            return s;
        if (state == SHARD_DONE && s->upload.xfer == xfer)
            return s;
    }
    return NULL;
}

static void on_chunk(struct leases *l, const Skein__XferChunk *chunk,
                     int64_t now_ms)
{
    struct shard *s = find_xfer(l, SHARD_FETCHING, chunk->xfer);

    if (s == NULL || !fetch_chunk(&s->fetch, chunk, now_ms))
        return;
    s->state = SHARD_PREPARING;
    s->job.run = shard_prepare;
    pool_submit(l->config.pool, &s->job);
}

static void on_fetch_error(struct leases *l, struct shard *s,
                           const Skein__Error *e, int64_t now_ms)
{
    if (e->code == ERR_AGAIN) {
        fetch_again(&s->fetch, e->retry_ms, now_ms);
        return;
    }
    log_warn("input: job=%" PRIu64 " shard=%" PRIu32 " error=\"%s\"",
             s->token.job, s->token.shard, e->message);
    if (e->code == ERR_CONFLICT)
        drop(l, s); /* not leased to us any more */
    else
        release(l, s, SKEIN__RELEASE_REASON__RELEASE_INPUT, e->message);
}

/* A finished shard is only given up when sending it again cannot help; a
 * coordinator that does not know the transfer (any more) gets a new one.
 */
static void on_upload_error(struct leases *l, struct shard *s,
                            const Skein__Error *e, int64_t now_ms)
{
    switch (e->code) {
    case ERR_INVALID:
    case ERR_LIMIT:
    case ERR_DENIED:
    case ERR_CONFLICT:
        log_error("result-refused: job=%" PRIu64 " shard=%" PRIu32
                  " error=\"%s\"",
                  s->token.job, s->token.shard, e->message);
        drop(l, s);
        break;
    case ERR_NOT_FOUND:
        upload_start(&s->upload, ++l->last_xfer);
        break;
    default:
        upload_again(&s->upload, ++l->last_xfer, e->retry_ms, now_ms);
    }
}

static void on_error(struct leases *l, const Skein__Error *e, int64_t now_ms)
{
    struct shard *s;

    if (e->xfer == 0) {
        log_warn("coordinator: error=\"%s\"", e->message);
        return;
    }
    s = find_xfer(l, SHARD_FETCHING, e->xfer);
    if (s != NULL)
        on_fetch_error(l, s, e, now_ms);
    s = find_xfer(l, SHARD_DONE, e->xfer);
    if (s != NULL)
        on_upload_error(l, s, e, now_ms);
}

void leases_transfer(struct leases *l, const struct wire_msg *m, int64_t now_ms)
{
    struct shard *s;

    switch (m->type) {
    case WIRE_XFER_CHUNK:
        on_chunk(l, m->chunk, now_ms);
        break;
    case WIRE_XFER_END:
        s = find_xfer(l, SHARD_FETCHING, m->end->xfer);
        if (s != NULL)
            fetch_end(&s->fetch, now_ms);
        break;
    case WIRE_XFER_GO:
        s = find_xfer(l, SHARD_DONE, m->go->xfer);
        if (s != NULL)
            upload_go(&s->upload, m->go->offset, m->go->window);
        break;
    case WIRE_XFER_ACK:
        s = find_xfer(l, SHARD_DONE, m->ack->xfer);
        if (s != NULL)
            upload_ack(&s->upload, m->ack->offset, m->ack->window);
        break;
    case WIRE_ERROR:
        on_error(l, m->error, now_ms);
        break;
    default:
        break; /* BEGIN of a fetch repeats what the grant says */
    }
}

/* ---- what the ranks say --------------------------------------------------- */

void leases_answer(struct leases *l, const struct answer_head *head,
                   const void *payload)
{
    dispatch_answered(&l->dispatch, head->id);
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];
        struct shard_item *item;

        if (s->number != head->id >> 32 || s->state != SHARD_COMPUTING
            || s->dropped)
            continue;
        item = shard_item(s, head->id);
        if (item != NULL)
            shard_answer(s, item, head, payload);
        return;
    }
}

void leases_lost(struct leases *l, const uint64_t *suspect, size_t n)
{
    size_t given_up = dispatch_lost(&l->dispatch, l->shard, l->n, suspect, n);

    if (given_up > 0)
        log_error("poison: %zu record%s answered with worker_crash", given_up,
                  given_up > 1 ? "s" : "");
}

/* ---- reports -------------------------------------------------------------- */

static Skein__HeldState held_state(const struct shard *s)
{
    switch (s->state) {
    case SHARD_FETCHING:
    case SHARD_PREPARING:
    case SHARD_BROKEN:
        return SKEIN__HELD_STATE__HELD_FETCHING;
    case SHARD_COMPUTING:
    case SHARD_ASSEMBLING:
        return SKEIN__HELD_STATE__HELD_COMPUTING;
    default:
        return SKEIN__HELD_STATE__HELD_DONE;
    }
}

/* Records that no rank has yet. */
static uint64_t backlog(const struct leases *l)
{
    uint64_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        const struct shard *s = l->shard[i];

        if (s->dropped)
            continue;
        if (s->state == SHARD_FETCHING || s->state == SHARD_PREPARING)
            n += s->n_records;
        else if (s->state == SHARD_COMPUTING)
            n += s->n - s->n_answered - s->n_given;
    }
    return n;
}

static bool is_hungry(const struct leases *l)
{
    return backlog(l) < (uint64_t)l->config.slots * l->config.n_rank * 3 / 2;
}

static void measure(struct leases *l, int64_t now_ms)
{
    uint64_t records, cost;
    double seconds = (double)(now_ms - l->rate_ms) / 1000.0;

    if (now_ms - l->rate_ms < RATE_MS)
        return;
    ranks_totals(l->config.ranks, &records, &cost);
    if (l->rate_ms > 0 && records > l->rate_records) {
        l->records_per_s = (double)(records - l->rate_records) / seconds;
        l->cost_per_s = (double)(cost - l->rate_cost) / seconds;
    }
    l->rate_ms = now_ms;
    l->rate_records = records;
    l->rate_cost = cost;
}

static void fill_capacity(struct leases *l, Skein__Capacity *out)
{
    double records = l->records_per_s * CAPACITY_SECONDS;
    double cost = l->cost_per_s * CAPACITY_SECONDS;
    uint64_t held_records = 0, held_cost = 0;

    out->records = CAPACITY_RECORDS_MIN;
    out->cost = CAPACITY_COST_MIN;
    if (records > CAPACITY_RECORDS_MIN)
        out->records = records < CAPACITY_RECORDS_MAX ? (uint32_t)records
                                                      : CAPACITY_RECORDS_MAX;
    if (cost > CAPACITY_COST_MIN)
        out->cost = (uint64_t)cost;
    l->hungry = is_hungry(l);
    if (!l->hungry)
        return;
    /* The devices would run dry: one more shard, whatever it costs. */
    for (size_t i = 0; i < l->n; i++) {
        held_records += l->shard[i]->dropped ? 0 : l->shard[i]->n_records;
        held_cost += l->shard[i]->dropped ? 0 : l->shard[i]->cost;
    }
    if (out->records < held_records + SHARD_RECORDS_MAX
        && held_records < CAPACITY_RECORDS_MAX)
        out->records = (uint32_t)held_records + SHARD_RECORDS_MAX;
    out->cost = held_cost + CAPACITY_COST_ANY;
}

static void fill_devices(struct leases *l, int64_t now_ms)
{
    for (size_t i = 0; i < l->config.n_rank; i++) {
        struct ranks_device *text = &l->device_text[i];
        Skein__Device *d = &l->device[i];
        struct gauge gauge;

        ranks_device(l->config.ranks, i, now_ms, text);
        skein__device__init(d);
        d->name = text->name;
        d->state = (char *)text->state;
        d->tokens = text->tokens;
        d->tokens_per_s = text->tokens_per_s;
        gauges_read(l->config.gauges, i, text->pid, now_ms, &gauge);
        d->model = (char *)l->config.devices->gpu[i].name;
        d->memory_used = gauge.memory_used;
        d->memory_total = gauge.memory_total;
        d->utilisation = gauge.utilisation;
        l->device_at[i] = d;
    }
}

void leases_report(struct leases *l, int64_t now_ms, struct session_report *out)
{
    measure(l, now_ms);
    fill_devices(l, now_ms);
    fill_capacity(l, &out->capacity);
    out->device = l->device_at;
    out->n_device = l->config.n_rank;
    out->held = l->held_at;
    out->draining = l->draining;
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];
        Skein__Held *h = &l->held[out->n_held];

        if (s->dropped)
            continue;
        skein__held__init(h);
        h->token = &s->token;
        h->state = held_state(s);
        h->records_done = s->state == SHARD_PREPARING ? 0 : s->n_answered;
        h->tokens_done = s->fed + s->sampled;
        l->held_at[out->n_held++] = h;
    }
}

/* ---- the loop ------------------------------------------------------------- */

static void prepare_upload(struct leases *l, struct shard *s)
{
    struct upload *u = &s->upload;

    skein__upload__init(&u->what);
    u->what.token = &s->token;
    u->what.n_records = s->n;
    u->what.n_errors = s->n_errors;
    u->what.tokens_in = s->fed;
    u->what.tokens_out = s->sampled;
    u->what.fingerprint =
        (ProtobufCBinaryData){HASH_BYTES, (uint8_t *)l->config.fingerprint};
    u->data = s->result.data;
    u->size = s->result.len;
    u->hash = s->result_hash;
    upload_start(u, ++l->last_xfer);
}

/* Shards that a thread has finished with. */
static void take_back(struct leases *l)
{
    struct pool_job *job;

    while ((job = pool_done(l->config.pool)) != NULL) {
        struct shard *s = (struct shard *)job;

        s->state = s->after;
        if (s->dropped)
            continue; /* sweep() frees it: no thread has it now */
        if (s->state == SHARD_DONE) {
            prepare_upload(l, s);
        } else if (s->state == SHARD_BROKEN) {
            log_error("input: job=%" PRIu64 " shard=%" PRIu32 " error=\"%s\"",
                      s->token.job, s->token.shard, s->err.text);
            release(l, s, SKEIN__RELEASE_REASON__RELEASE_INPUT, s->err.text);
        }
    }
}

void leases_expire(struct leases *l, int64_t now_ms)
{
    size_t n = 0;

    if (l->n == 0 || now_ms < session_lease_end(l->session))
        return;
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->dropped || s->state == SHARD_ASSEMBLING
            || s->state == SHARD_DONE)
            continue;
        drop(l, s);
        n++;
    }
    if (n > 0)
        log_warn("leases-lost: shards=%zu kept=%zu", n, l->n - n);
}

static void step_transfers(struct leases *l, int64_t now_ms)
{
    const struct sender *to = session_sender(l->session);
    int fetches = 0, uploads = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->dropped)
            continue;
        if (s->state == SHARD_FETCHING && fetches++ < FETCHES_MAX)
            fetch_step(&s->fetch, to, now_ms);
        else if (s->state == SHARD_DONE && uploads++ < UPLOADS_MAX)
            upload_step(&s->upload, to, now_ms);
    }
}

void leases_step(struct leases *l, int64_t now_ms)
{
    take_back(l);
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (s->dropped || s->state != SHARD_COMPUTING || !shard_complete(s))
            continue;
        s->state = SHARD_ASSEMBLING;
        s->job.run = shard_assemble;
        pool_submit(l->config.pool, &s->job);
    }
    if (session_live(l->session))
        step_transfers(l, now_ms);
    sweep(l);
    dispatch_run(&l->dispatch, l->shard, l->n, l->config.ranks);
    if (!l->draining && !l->hungry && is_hungry(l)) {
        l->hungry = true;
        session_beat_soon(l->session);
    }
}

int64_t leases_deadline(const struct leases *l, int64_t now_ms)
{
    int64_t at = INT64_MAX;
    int fetches = 0, uploads = 0;

    if (dispatch_ready(&l->dispatch, l->shard, l->n, l->config.ranks))
        return now_ms;
    if (l->n == 0)
        return at;
    at = session_lease_end(l->session);
    if (at <= now_ms)
        at = INT64_MAX; /* what is left is finished and waits for WELCOME */
    for (size_t i = 0; i < l->n && session_live(l->session); i++) {
        const struct shard *s = l->shard[i];
        int64_t due = INT64_MAX;

        if (s->state == SHARD_FETCHING && fetches++ < FETCHES_MAX)
            due = s->fetch.due_ms;
        else if (s->state == SHARD_DONE && uploads++ < UPLOADS_MAX)
            due = s->upload.due_ms;
        at = due < at ? due : at;
    }
    return at;
}

void leases_drain(struct leases *l)
{
    l->draining = true;
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];
        bool begun =
            s->state == SHARD_ASSEMBLING || s->state == SHARD_DONE
            || (s->state == SHARD_COMPUTING && s->n_given + s->n_answered > 0);

        if (!s->dropped && !begun)
            release(l, s, SKEIN__RELEASE_REASON__RELEASE_DRAIN, "draining");
    }
}

void leases_give_back(struct leases *l)
{
    l->draining = true;
    for (size_t i = 0; i < l->n; i++) {
        struct shard *s = l->shard[i];

        if (!s->dropped)
            release(l, s, SKEIN__RELEASE_REASON__RELEASE_DRAIN, "stopping");
    }
}
