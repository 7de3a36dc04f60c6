#include "tests/daemon/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

/* ---- the core's surroundings --------------------------------------------- */

static void on_send(void *arg, uint64_t peer, enum wire_type type, uint64_t seq,
                    const ProtobufCMessage *msg)
{
    struct world *w = arg;
    uint8_t header[WIRE_HEADER_BYTES];
    struct buf body = BUF_INIT;
    struct wire_msg m;
    struct err err;

    if (wire_encode(type, seq, msg, header, &body, &err) < 0
        || wire_decode(header, sizeof header, body.data, body.len, &m, &err)
               < 0) {
        fprintf(stderr, "the core sent a bad %s: %s\n", wire_type_name(type),
                err.text);
        abort();
    }
    buf_free(&body);
    if (w->on_send != NULL)
        w->on_send(w, peer, &m);
    if (w->quiet) {
        wire_free(&m);
        return;
    }
    if (w->n_sent == w->cap_sent) {
        w->cap_sent = w->cap_sent == 0 ? 64 : 2 * w->cap_sent;
        w->sent = xrealloc(w->sent, w->cap_sent * sizeof *w->sent);
    }
    w->sent[w->n_sent++] = (struct sent){peer, m};
}

static void on_store(void *arg, struct op *op)
{
    struct world *w = arg;

    op->next = NULL;
    *w->last = op;
    w->last = &op->next;
}

static void on_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    if (getenv("WORLD_LOG") != NULL)
        fprintf(stderr, "<%d> %s\n", (int)level, line);
}

static uint64_t next_nonce(void *arg)
{
    struct world *w = arg;

    return ++w->nonce * UINT64_C(0x9E3779B97F4A7C15);
}

struct core_config world_config(void)
{
    return (struct core_config){
        .epoch = 1,
        .beat_ms = BEAT_MS,
        .lease_ms = LEASE_COORDINATOR_MS,
        .lease_worker_ms = LEASE_WORKER_MS,
        .lease_disconnected_ms = LEASE_DISCONNECTED_MS,
        .restart_grace_ms = RESTART_GRACE_MS,
        .probe_ms = PROBE_MS,
    };
}

void world_init(struct world *w, const struct core_config *config)
{
    *w = (struct world){
        .config = *config, .now_ms = WORLD_EPOCH_MS, .unix_ms = WORLD_EPOCH_MS};
    w->last = &w->first;
    w->act = (struct core_actions){
        .arg = w, .send = on_send, .store = on_store, .log = on_log};
    w->config.nonce = next_nonce;
    w->config.nonce_arg = w;
    w->core = core_create(&w->config);
}

static void drop_ops(struct world *w)
{
    while (w->first != NULL) {
        struct op *op = w->first;

        w->first = op->next;
        op_free(op);
    }
    w->last = &w->first;
}

void world_forget(struct world *w)
{
    for (size_t i = 0; i < w->n_sent; i++)
        wire_free(&w->sent[i].m);
    w->n_sent = 0;
}

void world_free(struct world *w)
{
    core_destroy(w->core);
    drop_ops(w);
    world_forget(w);
    free(w->sent);
    for (size_t i = 0; i < w->n_job; i++) {
        job_image_clear(&w->job[i].image);
        free(w->job[i].winner);
        free(w->job[i].commits);
        free(w->job[i].retries);
    }
}

static struct job_image *copy_image(const struct job_image *from)
{
    struct job_image *to = xcalloc(1, sizeof *to);

    *to = *from;
    to->spec = BUF_INIT;
    buf_add(&to->spec, from->spec.data, from->spec.len);
    to->shard = xcalloc(from->n_shards + 1, sizeof *to->shard);
    memcpy(to->shard, from->shard, from->n_shards * sizeof *to->shard);
    job_image_count(to);
    return to;
}

void world_restart(struct world *w)
{
    core_destroy(w->core);
    drop_ops(w);
    w->config.epoch++;
    w->core = core_create(&w->config);
    for (size_t i = 0; i < w->n_job; i++) {
        struct job_image *image;

        if (w->job[i].removed)
            continue;
        image = copy_image(&w->job[i].image);
        if (job_state_final(image->state)) { /* read from the registry */
            free(image->shard);
            image->shard = NULL;
        }
        core_load(w->core, image, w->now_ms);
    }
}

void world_step(struct world *w, const struct core_event *e)
{
    struct core_event timed = *e;

    timed.unix_ms = w->unix_ms;
    core_step(w->core, &timed, w->now_ms, &w->act);
}

void world_tick(struct world *w, int64_t ms)
{
    struct core_event e = {.kind = CORE_TICK};

    w->now_ms += ms;
    world_step(w, &e);
}

void world_message(struct world *w, uint64_t peer, enum wire_type type,
                   ProtobufCMessage *msg)
{
    struct wire_msg m = {.type = type, .seq = 7, .any = msg};
    struct core_event e = {.kind = CORE_MESSAGE, .peer = peer, .msg = &m};

    world_step(w, &e);
}

void world_gone(struct world *w, uint64_t peer)
{
    struct core_event e = {.kind = CORE_SEND_FAILED, .peer = peer};

    world_step(w, &e);
}

/* ---- the model of the store ---------------------------------------------- */

static struct world_job *find_job(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->n_job; i++) {
        if (w->job[i].image.id == id)
            return &w->job[i];
    }
    return NULL;
}

static bool row_holds(const struct shard_image *s, const struct token *t)
{
    return s->attempt == t->attempt && s->nonce == t->nonce
           && s->epoch == t->epoch;
}

static void run_grant(struct world_job *j, struct op *op)
{
    if (op->grant.start) {
        j->image.state = SKEIN__JOB_STATE__JOB_RUNNING;
        j->image.has_fingerprint = true;
        memcpy(j->image.fingerprint, op->grant.fingerprint, HASH_BYTES);
        j->image.started_unix_ms = op->grant.started_unix_ms;
    }
    for (uint32_t i = 0; i < op->grant.n; i++) {
        struct op_lease *l = &op->grant.lease[i];
        struct shard_image *s = &j->image.shard[l->token.shard];

        l->status = OP_STALE;
        if (s->state != SHARD_PENDING && s->state != SHARD_LEASED)
            continue;
        l->status = OP_OK;
        l->input_bytes = 100;
        s->state = SHARD_LEASED;
        s->attempt = l->token.attempt;
        s->nonce = l->token.nonce;
        s->epoch = l->token.epoch;
        s->owner = l->owner;
    }
}

static void run_release(struct world_job *j, struct op *op)
{
    for (uint32_t i = 0; i < op->release.n; i++) {
        const struct op_lease *l = &op->release.lease[i];
        struct shard_image *s = &j->image.shard[l->token.shard];

        if (s->state != SHARD_LEASED || !row_holds(s, &l->token))
            continue;
        s->state = SHARD_PENDING;
        s->crashes = (uint8_t)l->crashes;
    }
}

static void run_result(struct world_job *j, struct op *op)
{
    const struct token *t = &op->result.token;
    struct shard_image *s = &j->image.shard[t->shard];

    if (!row_holds(s, t)
        || (s->state != SHARD_LEASED && s->state != SHARD_DONE)) {
        op->status = OP_STALE;
        return;
    }
    if (s->state == SHARD_DONE)
        return;
    s->state = SHARD_DONE;
    s->n_errors = op->result.n_errors = s->n_errors == 0;
    s->tokens_in += op->result.tokens_in;
    s->tokens_out += op->result.tokens_out;
    j->winner[t->shard] = *t;
    j->commits[t->shard]++;
}

static void run_state(struct world_job *j, struct op *op)
{
    j->image.state = op->state.state;
    j->image.finished_unix_ms = op->state.finished_unix_ms;
    for (uint32_t i = 0; i < j->image.n_shards; i++)
        shard_end(&j->image.shard[i]);
}

static void run_change(struct world_job *j, struct op *op)
{
    switch (op->change.kind) {
    case SKEIN__ORDER_KIND__ORDER_HOLD:
        j->image.state = SKEIN__JOB_STATE__JOB_HELD;
        break;
    case SKEIN__ORDER_KIND__ORDER_RELEASE:
        j->image.state = j->image.started_unix_ms == 0
                             ? SKEIN__JOB_STATE__JOB_QUEUED
                             : SKEIN__JOB_STATE__JOB_RUNNING;
        break;
    default:
        buf_clear(&j->image.spec);
        buf_add(&j->image.spec, op->change.spec.data, op->change.spec.len);
    }
}

static void run_retry(struct world_job *j, struct op *op)
{
    struct job_image *image = &j->image;
    bool any = false, kept = false;

    for (uint32_t i = 0; i < image->n_shards; i++) {
        struct shard_image *s = &image->shard[i];
        bool again =
            op->retry.failed && s->state == SHARD_DONE && s->n_errors > 0;

        any |= again || s->state == SHARD_CANCELLED;
        kept |= s->state == SHARD_DONE && s->n_errors < s->n_records;
        j->retries[i] += again;
        if (!again && s->state != SHARD_CANCELLED)
            continue;
        s->state = SHARD_PENDING;
        s->crashes = 0;
    }
    if (!any) {
        op->status = OP_FAILED;
        err_set(&op->err, ERR_NOT_FOUND, "nothing to retry");
        return;
    }
    image->has_fingerprint = image->has_fingerprint && kept;
    image->state = SKEIN__JOB_STATE__JOB_QUEUED;
    image->started_unix_ms = image->finished_unix_ms = 0;
    op->retry.image = copy_image(image);
}

static void run_remove(struct world *w, struct world_job *j)
{
    j->removed = true;
    if (j->image.id > w->config.last_job)
        w->config.last_job = j->image.id;
}

static void run_accept(struct world *w, struct op *op)
{
    struct job_image *image = copy_image(op->accept.image);
    struct world_job *j = &w->job[w->n_job++];

    assert(w->n_job <= WORLD_JOBS_MAX);
    *j = (struct world_job){.image = *image};
    j->winner = xcalloc(image->n_shards + 1, sizeof *j->winner);
    j->commits = xcalloc(image->n_shards + 1, sizeof *j->commits);
    j->retries = xcalloc(image->n_shards + 1, sizeof *j->retries);
    free(image);
}

void world_run(struct world *w, struct op *op)
{
    struct world_job *j = find_job(w, op->job);

    if (w->fail != ERR_NONE) {
        op->status = OP_FAILED;
        err_set(&op->err, w->fail, "the disk said %s", err_name(w->fail));
        return;
    }
    op->status = OP_OK;
    switch (op->kind) {
    case OP_GRANT:
        run_grant(j, op);
        break;
    case OP_RELEASE:
        run_release(j, op);
        break;
    case OP_RESULT:
        run_result(j, op);
        break;
    case OP_STATE:
        run_state(j, op);
        break;
    case OP_CHANGE:
        run_change(j, op);
        break;
    case OP_RETRY:
        run_retry(j, op);
        break;
    case OP_REMOVE:
        run_remove(w, j);
        break;
    case OP_ACCEPT:
        run_accept(w, op);
        break;
    default:
        assert(false && "not an operation of the core");
    }
}

bool world_store_one(struct world *w)
{
    struct op *op = w->first;
    struct core_event e = {.kind = CORE_STORED, .op = op};

    if (op == NULL)
        return false;
    w->first = op->next;
    if (w->first == NULL)
        w->last = &w->first;
    world_run(w, op);
    world_step(w, &e);
    op_free(op);
    return true;
}

void world_store(struct world *w)
{
    while (world_store_one(w))
        continue;
}

uint64_t world_job(struct world *w, int32_t priority, const uint32_t *records,
                   uint32_t n_shards)
{
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    struct job_image *image = xcalloc(1, sizeof *image);
    struct op *op;
    char name[] = "job", model[] = "m";
    uint8_t packed[64];

    spec.name = name;
    spec.model = model;
    spec.priority = priority;
    image->id = core_new_job_id(w->core);
    memset(image->request_id, (int)image->id, sizeof image->request_id);
    assert(skein__job_spec__get_packed_size(&spec) <= sizeof packed);
    buf_add(&image->spec, packed, skein__job_spec__pack(&spec, packed));
    image->n_shards = n_shards;
    image->shard = xcalloc(n_shards + 1, sizeof *image->shard);
    for (uint32_t i = 0; i < n_shards; i++) {
        image->shard[i].n_records = records[i];
        image->shard[i].cost = 10 * (uint64_t)records[i];
        image->shard[i].state = records[i] == 0 ? SHARD_DONE : SHARD_PENDING;
        image->records += records[i];
        image->cost += image->shard[i].cost;
    }
    image->lines = image->records;
    job_image_count(image);
    op = op_create(OP_ACCEPT, image->id);
    op->peer = 99;
    op->xfer = 1;
    op->accept.image = image;
    on_store(w, op);
    world_store(w);
    return w->job[w->n_job - 1].image.id;
}

uint64_t world_job_n(struct world *w, uint32_t n_shards)
{
    uint32_t *records = xcalloc(n_shards, sizeof *records);
    uint64_t id;

    for (uint32_t i = 0; i < n_shards; i++)
        records[i] = 10;
    id = world_job(w, 0, records, n_shards);
    free(records);
    return id;
}

/* ---- messages ------------------------------------------------------------ */

bool world_take(struct world *w, uint64_t peer, enum wire_type type,
                struct wire_msg *out)
{
    for (size_t i = 0; i < w->n_sent; i++) {
        if (w->sent[i].peer != peer || w->sent[i].m.type != type)
            continue;
        *out = w->sent[i].m;
        memmove(&w->sent[i], &w->sent[i + 1],
                (w->n_sent - i - 1) * sizeof *w->sent);
        w->n_sent--;
        return true;
    }
    return false;
}

size_t world_count(const struct world *w, uint64_t peer, enum wire_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_sent; i++)
        n += w->sent[i].peer == peer && w->sent[i].m.type == type;
    return n;
}

struct held_list {
    Skein__Held held[HELD_MAX];
    Skein__Token token[HELD_MAX];
    Skein__Held *ptr[HELD_MAX];
};

static void fill_held(struct held_list *l, const struct token *held, size_t n)
{
    assert(n <= HELD_MAX);
    for (size_t i = 0; i < n; i++) {
        skein__held__init(&l->held[i]);
        token_fill(&held[i], &l->token[i]);
        l->held[i].token = &l->token[i];
        l->held[i].state = SKEIN__HELD_STATE__HELD_COMPUTING;
        l->ptr[i] = &l->held[i];
    }
}

void world_hello(struct world *w, const struct world_worker *who,
                 const struct token *held, size_t n_held)
{
    Skein__Hello hello = SKEIN__HELLO__INIT;
    Skein__Model model = SKEIN__MODEL__INIT;
    Skein__Model *models[] = {&model};
    Skein__Capacity capacity = SKEIN__CAPACITY__INIT;
    uint8_t incarnation[16], fingerprint[HASH_BYTES];
    char name[] = "worker", model_name[] = "m", host[] = "here", v[] = "1";
    struct held_list list;

    memset(incarnation, who->incarnation, sizeof incarnation);
    memset(fingerprint, who->fingerprint, sizeof fingerprint);
    fill_held(&list, held, n_held);
    hello.incarnation.data = incarnation;
    hello.incarnation.len = sizeof incarnation;
    hello.name = name;
    hello.host = host;
    hello.version = v;
    model.name = model_name;
    model.vocab = 256;
    model.fingerprint.data = fingerprint;
    model.fingerprint.len = sizeof fingerprint;
    hello.model = models;
    hello.n_model = 1;
    hello.held = list.ptr;
    hello.n_held = n_held;
    capacity.records = who->records;
    capacity.cost = 10 * (uint64_t)who->records;
    hello.capacity = &capacity;
    world_message(w, who->peer, WIRE_HELLO, &hello.base);
}

void world_beat(struct world *w, const struct world_worker *who,
                const struct token *held, size_t n_held)
{
    Skein__Beat beat = SKEIN__BEAT__INIT;
    Skein__Capacity capacity = SKEIN__CAPACITY__INIT;
    struct held_list list;

    fill_held(&list, held, n_held);
    beat.epoch = w->config.epoch;
    beat.seq = w->beat_seq == 0 ? 1 : w->beat_seq;
    beat.held = list.ptr;
    beat.n_held = n_held;
    capacity.records = who->records;
    capacity.cost = 10 * (uint64_t)who->records;
    beat.capacity = &capacity;
    world_message(w, who->peer, WIRE_BEAT, &beat.base);
}

void world_release(struct world *w, const struct world_worker *who,
                   const struct token *t, Skein__ReleaseReason reason)
{
    Skein__Release release = SKEIN__RELEASE__INIT;
    Skein__Token token;
    char why[] = "why";

    token_fill(t, &token);
    release.token = &token;
    release.reason = reason;
    release.message = why;
    world_message(w, who->peer, WIRE_RELEASE, &release.base);
}

void world_upload(struct world *w, const struct world_worker *who,
                  const struct token *t)
{
    struct core_upload u = {
        .peer = who->peer, .seq = 5, .xfer = 3, .token = *t, .tokens_in = 2};
    struct core_event e = {.kind = CORE_UPLOADED, .upload = &u};

    buf_adds(&u.blob, "result");
    memset(u.fingerprint, who->fingerprint, sizeof u.fingerprint);
    world_step(w, &e);
}

void world_cancel(struct world *w, uint64_t peer, uint64_t job)
{
    Skein__Cancel cancel = SKEIN__CANCEL__INIT;
    char reason[] = "changed my mind";

    cancel.job = job;
    cancel.reason = reason;
    world_message(w, peer, WIRE_CANCEL, &cancel.base);
}

void world_order(struct world *w, uint64_t peer, const Skein__Order *order)
{
    Skein__Order copy = *order;

    world_message(w, peer, WIRE_ORDER, &copy.base);
}

struct token world_granted(struct world *w, const struct world_worker *who)
{
    struct token t = {0};
    struct wire_msg m;

    if (world_take(w, who->peer, WIRE_GRANT, &m)) {
        t = token_of(m.grant->token);
        wire_free(&m);
    }
    return t;
}
