#include "daemon/xfer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

enum xfer_state {
    XFER_FREE,
    XFER_UPLOAD,        /* bytes arrive */
    XFER_UPLOAD_STORED, /* with the store; END is only repeated */
    XFER_SUBMIT,        /* bytes arrive */
    XFER_SUBMIT_ENDED,  /* being digested and stored */
    XFER_SUBMIT_DYING,  /* given up; its threads and operations end */
};

struct xfer {
    enum xfer_state state;
    uint64_t peer;
    uint64_t id;  /* chosen by the peer */
    uint64_t seq; /* of its last message */
    int64_t heard_ms;
    uint64_t size; /* announced; 0: unknown */
    uint8_t hash[HASH_BYTES];
    bool has_hash;
    struct core_upload upload; /* XFER_UPLOAD */
    struct ingest *ingest;     /* XFER_SUBMIT... */
    uint8_t request_id[REQUEST_ID_BYTES];
    bool held; /* the job that it becomes */
    uint64_t job;
    uint64_t allowed; /* the offset the peer may send up to, as last told */
    uint64_t gap_at;  /* 1 + the offset at which a gap was told last */
};

struct xfers {
    struct xfer_config config;
    struct xfer xfer[XFERS_MAX];
    uint32_t n_reads;
};

struct xfers *xfers_create(const struct xfer_config *config)
{
    struct xfers *x = xcalloc(1, sizeof *x);

    x->config = *config;
    return x;
}

void xfers_destroy(struct xfers *x)
{
    if (x == NULL)
        return;
    for (int i = 0; i < XFERS_MAX; i++) {
        buf_free(&x->xfer[i].upload.blob);
        ingest_free(x->xfer[i].ingest);
    }
    free(x);
}

/* ---- small things -------------------------------------------------------- */

static void send(struct xfers *x, uint64_t peer, enum wire_type type,
                 uint64_t seq, const ProtobufCMessage *msg)
{
    x->config.send(x->config.arg, peer, type, seq, msg);
}

static void send_error(struct xfers *x, uint64_t peer, uint64_t seq,
                       uint64_t id, const struct err *err)
{
    Skein__Error e = SKEIN__ERROR__INIT;
    char text[ERR_TEXT_MAX];

    memcpy(text, err->text, sizeof text);
    e.code = (uint32_t)err->code;
    e.message = text;
    e.xfer = id;
    e.retry_ms = err->code == ERR_AGAIN ? CORE_RETRY_MS : 0;
    send(x, peer, WIRE_ERROR, seq, &e.base);
}

static struct xfer *find(struct xfers *x, uint64_t peer, uint64_t id)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        struct xfer *t = &x->xfer[i];

        if (t->state != XFER_FREE && t->state != XFER_SUBMIT_DYING
            && t->peer == peer && t->id == id)
            return t;
    }
    return NULL;
}

static struct xfer *find_ingest(struct xfers *x, const struct ingest *ingest)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        if (x->xfer[i].ingest == ingest)
            return &x->xfer[i];
    }
    return NULL;
}

static void free_slot(struct xfer *t)
{
    buf_free(&t->upload.blob);
    *t = (struct xfer){.state = XFER_FREE};
}

static uint64_t received(const struct xfer *t)
{
    return t->ingest != NULL ? ingest_received(t->ingest) : t->upload.blob.len;
}

static uint32_t window(const struct xfer *t)
{
    return t->ingest != NULL ? ingest_window(t->ingest) : XFER_WINDOW_BYTES;
}

static void send_go(struct xfers *x, struct xfer *t)
{
    Skein__XferGo go = SKEIN__XFER_GO__INIT;

    go.xfer = t->id;
    go.offset = received(t);
    go.window = window(t);
    t->allowed = go.offset + go.window;
    send(x, t->peer, WIRE_XFER_GO, t->seq, &go.base);
}

static void send_ack(struct xfers *x, struct xfer *t)
{
    Skein__XferAck ack = SKEIN__XFER_ACK__INIT;

    ack.xfer = t->id;
    ack.offset = received(t);
    ack.window = window(t);
    t->allowed = ack.offset + ack.window;
    send(x, t->peer, WIRE_XFER_ACK, t->seq, &ack.base);
}

/* ---- giving up ----------------------------------------------------------- */

/* A submission given up is freed when nothing works for it any more. */
static void bury(struct xfers *x, struct xfer *t)
{
    if (!ingest_idle(t->ingest))
        return;
    x->config.submit(x->config.arg, op_create(OP_DISCARD, t->job));
    ingest_free(t->ingest);
    free_slot(t);
}

static void give_up(struct xfers *x, struct xfer *t)
{
    if (t->ingest == NULL) {
        free_slot(t);
        return;
    }
    ingest_abort(t->ingest);
    t->state = XFER_SUBMIT_DYING;
    bury(x, t);
}

static void fail(struct xfers *x, struct xfer *t, const struct err *err)
{
    send_error(x, t->peer, t->seq, t->id, err);
    give_up(x, t);
}

void xfers_gone(struct xfers *x, uint64_t peer)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        struct xfer *t = &x->xfer[i];

        if (t->peer == peer
            && (t->state == XFER_UPLOAD || t->state == XFER_SUBMIT))
            give_up(x, t);
    }
}

void xfers_tick(struct xfers *x, int64_t now_ms)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        struct xfer *t = &x->xfer[i];

        if ((t->state == XFER_UPLOAD || t->state == XFER_SUBMIT)
            && now_ms - t->heard_ms >= XFER_SILENCE_MS)
            give_up(x, t);
    }
}

void xfers_abort(struct xfers *x)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        struct xfer *t = &x->xfer[i];

        if (t->state == XFER_UPLOAD || t->state == XFER_SUBMIT
            || t->state == XFER_UPLOAD_STORED)
            give_up(x, t);
    }
}

bool xfers_idle(struct xfers *x)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        if (x->xfer[i].state != XFER_FREE)
            return false;
    }
    return true;
}

/* ---- BEGIN --------------------------------------------------------------- */

static struct xfer *new_slot(struct xfers *x, struct err *err)
{
    for (int i = 0; i < XFERS_MAX; i++) {
        if (x->xfer[i].state == XFER_FREE)
            return &x->xfer[i];
    }
    err_set(err, ERR_AGAIN, "there are %d transfers already", XFERS_MAX);
    return NULL;
}

static int check_upload(const struct xfers *x, const Skein__XferBegin *b,
                        struct err *err)
{
    uint64_t total = b->size;
    int n = 0;

    if (b->size > BLOB_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a result is at most %u bytes",
                       BLOB_BYTES_MAX);
    for (int i = 0; i < XFERS_MAX; i++) {
        if (x->xfer[i].state != XFER_UPLOAD)
            continue;
        total += x->xfer[i].size;
        n++;
    }
    if (n > 0 && total > XFER_UPLOAD_BYTES_MAX)
        return err_set(err, ERR_AGAIN, "there are too many uploads");
    return 0;
}

static void begin_common(struct xfer *t, uint64_t peer,
                         const struct wire_msg *m, int64_t now_ms)
{
    const Skein__XferBegin *b = m->begin;

    t->peer = peer;
    t->id = b->xfer;
    t->seq = m->seq;
    t->heard_ms = now_ms;
    t->size = b->size;
    t->has_hash = b->hash.len == HASH_BYTES;
    if (t->has_hash)
        memcpy(t->hash, b->hash.data, HASH_BYTES);
}

/* The core answers what is not leased: COMMITTED, STALE, HELLO_AGAIN. */
static void answer_upload(struct xfers *x, struct core_upload *u)
{
    struct core_event event = {.kind = CORE_UPLOADED, .upload = u};

    x->config.step(x->config.arg, &event);
}

static void begin_upload(struct xfers *x, uint64_t peer,
                         const struct wire_msg *m, int64_t now_ms)
{
    const Skein__Upload *what = m->begin->upload;
    struct core_upload u = {
        .peer = peer,
        .seq = m->seq,
        .xfer = m->begin->xfer,
        .token = token_of(what->token),
        .tokens_in = what->tokens_in,
        .tokens_out = what->tokens_out,
    };
    struct xfer *t;
    struct err err;

    if (core_token_holder(x->config.core, peer, &u.token) != CORE_HELD) {
        answer_upload(x, &u);
        return;
    }
    t = check_upload(x, m->begin, &err) < 0 ? NULL : new_slot(x, &err);
    if (t == NULL) {
        send_error(x, peer, m->seq, m->begin->xfer, &err);
        return;
    }
    if (what->fingerprint.len == HASH_BYTES)
        memcpy(u.fingerprint, what->fingerprint.data, HASH_BYTES);
    begin_common(t, peer, m, now_ms);
    t->state = XFER_UPLOAD;
    t->upload = u;
    send_go(x, t);
}

/* The client came back on another connection while its first attempt is here:
 * a finished one is answered to the new connection, another starts again.
 * Returns true when there is nothing to begin.
 */
static bool resume_submit(struct xfers *x, uint64_t peer,
                          const struct wire_msg *m, int64_t now_ms)
{
    const uint8_t *id = m->begin->submit->request_id.data;

    for (int i = 0; i < XFERS_MAX; i++) {
        struct xfer *t = &x->xfer[i];

        if (t->ingest == NULL || t->state == XFER_SUBMIT_DYING
            || memcmp(t->request_id, id, REQUEST_ID_BYTES) != 0)
            continue;
        if (t->state == XFER_SUBMIT) {
            give_up(x, t);
            return false;
        }
        t->peer = peer;
        t->id = m->begin->xfer;
        t->seq = m->seq;
        t->heard_ms = now_ms;
        return true;
    }
    return false;
}

static int may_submit(struct xfers *x, const struct wire_msg *m, int64_t now_ms,
                      struct err *err)
{
    int n = 0;

    for (int i = 0; i < XFERS_MAX; i++)
        n += x->xfer[i].ingest != NULL;
    if (n >= XFER_SUBMITS_MAX)
        return err_set(err, ERR_AGAIN, "there are %d submissions already", n);
    if (m->begin->submit->request_id.len != REQUEST_ID_BYTES
        || m->begin->submit->spec == NULL)
        return err_set(err, ERR_PROTOCOL,
                       "a submission needs a request id of %d bytes and a spec",
                       REQUEST_ID_BYTES);
    return core_may_submit(x->config.core, now_ms, err);
}

static void send_existing(struct xfers *x, uint64_t peer,
                          const struct wire_msg *m,
                          const struct job_image *image)
{
    Skein__Submitted reply = SKEIN__SUBMITTED__INIT;

    reply.xfer = m->begin->xfer;
    reply.job = image->id;
    reply.lines = image->lines;
    reply.records = image->records;
    reply.rejected = image->rejected;
    reply.existing = true;
    send(x, peer, WIRE_SUBMITTED, m->seq, &reply.base);
}

static void start_ingest(struct xfers *x, struct xfer *t,
                         const Skein__Submit *what)
{
    size_t len = skein__job_spec__get_packed_size(what->spec);
    uint8_t *spec = xcalloc(1, len + 1);

    skein__job_spec__pack(what->spec, spec);
    memcpy(t->request_id, what->request_id.data, REQUEST_ID_BYTES);
    t->held = what->held;
    t->job = core_new_job_id(x->config.core);
    t->ingest = ingest_begin(x->config.pool, t->job, t->request_id, spec, len);
    free(spec);
}

static void begin_submit(struct xfers *x, uint64_t peer,
                         const struct wire_msg *m, int64_t now_ms)
{
    const struct job_image *known;
    struct xfer *t = NULL;
    struct err err;

    if (may_submit(x, m, now_ms, &err) < 0)
        goto refuse;
    known =
        core_find_request(x->config.core, m->begin->submit->request_id.data);
    if (known != NULL) {
        send_existing(x, peer, m, known);
        return;
    }
    if (resume_submit(x, peer, m, now_ms))
        return;
    t = new_slot(x, &err);
    if (t == NULL)
        goto refuse;
    begin_common(t, peer, m, now_ms);
    t->state = XFER_SUBMIT;
    start_ingest(x, t, m->begin->submit);
    send_go(x, t);
    return;

refuse:
    send_error(x, peer, m->seq, m->begin->xfer, &err);
}

static void on_begin(struct xfers *x, uint64_t peer, const struct wire_msg *m,
                     int64_t now_ms)
{
    struct xfer *t = find(x, peer, m->begin->xfer);
    struct err err;

    if (t != NULL) { /* repeated until GO has arrived */
        t->heard_ms = now_ms;
        t->seq = m->seq;
        if (t->state == XFER_UPLOAD || t->state == XFER_SUBMIT)
            send_go(x, t);
        return;
    }
    switch (m->begin->what_case) {
    case SKEIN__XFER_BEGIN__WHAT_UPLOAD:
        begin_upload(x, peer, m, now_ms);
        break;
    case SKEIN__XFER_BEGIN__WHAT_SUBMIT:
        begin_submit(x, peer, m, now_ms);
        break;
    default:
        err_set(&err, ERR_PROTOCOL, "only submissions and uploads are sent");
        send_error(x, peer, m->seq, m->begin->xfer, &err);
    }
}

/* ---- CHUNK, END ---------------------------------------------------------- */

/* Chunks and ENDs of a transfer this coordinator does not know, or knows no
 * more: the sender begins again.
 */
static void unknown(struct xfers *x, uint64_t peer, uint64_t seq, uint64_t id)
{
    struct err err;

    err_set(&err, ERR_NOT_FOUND, "unknown transfer: begin again");
    send_error(x, peer, seq, id, &err);
}

static void on_chunk(struct xfers *x, uint64_t peer, const struct wire_msg *m,
                     int64_t now_ms)
{
    const Skein__XferChunk *chunk = m->chunk;
    struct xfer *t = find(x, peer, chunk->xfer);
    struct err err;

    if (t == NULL) {
        unknown(x, peer, m->seq, chunk->xfer);
        return;
    }
    t->heard_ms = now_ms;
    t->seq = m->seq;
    if (t->state != XFER_UPLOAD && t->state != XFER_SUBMIT)
        return; /* a late repetition */
    if (chunk->offset != received(t)) {
        /* A gap is told once, or each chunk behind it would make the sender
         * start over; if that is lost, a repeated END says it again. What
         * repeats known bytes is answered by the next ACK. */
        if (chunk->offset > received(t) && t->gap_at != received(t) + 1) {
            t->gap_at = received(t) + 1;
            send_go(x, t);
        }
        return;
    }
    if (t->state == XFER_SUBMIT) {
        ingest_feed(t->ingest, chunk->data.data, chunk->data.len);
    } else if (t->upload.blob.len + chunk->data.len > BLOB_BYTES_MAX
               || (t->size != 0
                   && t->upload.blob.len + chunk->data.len > t->size)) {
        err_set(&err, ERR_PROTOCOL, "more bytes than announced");
        fail(x, t, &err);
        return;
    } else {
        buf_add(&t->upload.blob, chunk->data.data, chunk->data.len);
    }
    send_ack(x, t);
}

static void end_upload(struct xfers *x, struct xfer *t)
{
    struct core_upload *u = &t->upload;
    struct core_event event = {.kind = CORE_UPLOADED, .upload = u};

    memcpy(u->hash, t->hash, HASH_BYTES);
    u->seq = t->seq;
    x->config.step(x->config.arg, &event);
    if (u->stored)
        t->state = XFER_UPLOAD_STORED;
    else
        free_slot(t);
}

static void accept_if_ready(struct xfers *x, struct xfer *t,
                            int64_t now_unix_ms)
{
    struct op *op;
    struct err err;

    switch (ingest_poll(t->ingest, &err)) {
    case INGEST_FAILED:
        fail(x, t, &err);
        break;
    case INGEST_READY:
        op = ingest_accept(t->ingest, now_unix_ms);
        if (t->held)
            op->accept.image->state = SKEIN__JOB_STATE__JOB_HELD;
        op->peer = t->peer;
        op->seq = t->seq;
        op->xfer = t->id;
        x->config.submit(x->config.arg, op);
        break;
    case INGEST_BUSY:
        break;
    }
}

static void end_submit(struct xfers *x, struct xfer *t, int64_t now_unix_ms)
{
    struct err err;

    if (ingest_end(t->ingest, t->hash, &err) < 0) {
        fail(x, t, &err);
        return;
    }
    t->state = XFER_SUBMIT_ENDED;
    accept_if_ready(x, t, now_unix_ms);
}

static void on_end(struct xfers *x, uint64_t peer, const struct wire_msg *m,
                   int64_t now_ms, int64_t now_unix_ms)
{
    const Skein__XferEnd *end = m->end;
    struct xfer *t = find(x, peer, end->xfer);
    struct err err;

    if (t == NULL) {
        unknown(x, peer, m->seq, end->xfer);
        return;
    }
    t->heard_ms = now_ms;
    t->seq = m->seq;
    if (t->state == XFER_SUBMIT_ENDED)
        send_ack(x, t); /* work on a large one takes longer than patience */
    if (t->state != XFER_UPLOAD && t->state != XFER_SUBMIT)
        return; /* it will be answered */
    if (end->size > received(t)) {
        send_go(x, t);
        return;
    }
    if (end->hash.len == HASH_BYTES) {
        memcpy(t->hash, end->hash.data, HASH_BYTES);
        t->has_hash = true;
    }
    if (end->size < received(t) || !t->has_hash) {
        err_set(&err, ERR_PROTOCOL,
                "the transfer ends with a wrong size or "
                "without a hash");
        fail(x, t, &err);
    } else if (t->state == XFER_UPLOAD) {
        end_upload(x, t);
    } else {
        end_submit(x, t, now_unix_ms);
    }
}

/* ---- FETCH --------------------------------------------------------------- */

/* What the FETCH names, or -1. */
static int fetch_source(struct xfers *x, uint64_t peer, const Skein__Fetch *f,
                        uint64_t *job, struct op_read *out, struct err *err)
{
    struct token t;

    if (f->source_case == SKEIN__FETCH__SOURCE_BLOB) {
        *job = f->blob->job;
        out->shard = f->blob->shard;
        out->kind = f->blob->kind;
        return core_may_read(x->config.core, *job, out->shard, out->kind, err);
    }
    if (f->source_case != SKEIN__FETCH__SOURCE_INPUT)
        return err_set(err, ERR_PROTOCOL, "a FETCH names a token or a blob");
    t = token_of(f->input);
    *job = t.job;
    out->shard = t.shard;
    out->kind = SKEIN__BLOB_KIND__BLOB_INPUT;
    if (core_token_holder(x->config.core, peer, &t) != CORE_HELD)
        return err_set(err, ERR_CONFLICT, "this token is not leased to you");
    return 0;
}

static void on_fetch(struct xfers *x, uint64_t peer, const struct wire_msg *m)
{
    const Skein__Fetch *f = m->fetch;
    struct op_read read = {.offset = f->offset};
    uint64_t job = 0;
    struct op *op;
    struct err err;

    if (fetch_source(x, peer, f, &job, &read, &err) < 0) {
        send_error(x, peer, m->seq, f->xfer, &err);
        return;
    }
    if (x->n_reads == XFER_READS_MAX) {
        err_set(&err, ERR_AGAIN, "too many reads at a time");
        send_error(x, peer, m->seq, f->xfer, &err);
        return;
    }
    read.window = f->window == 0 || f->window > XFER_WINDOW_BYTES
                      ? XFER_WINDOW_BYTES
                      : f->window;
    op = op_create(OP_READ, job);
    op->peer = peer;
    op->seq = m->seq;
    op->xfer = f->xfer;
    op->read = read;
    x->n_reads++;
    x->config.submit(x->config.arg, op);
}

static void send_chunks(struct xfers *x, const struct op *op)
{
    const struct op_read *r = &op->read;

    for (size_t at = 0; at < r->data.len; at += CHUNK_BYTES_MAX) {
        Skein__XferChunk chunk = SKEIN__XFER_CHUNK__INIT;
        size_t left = r->data.len - at;

        chunk.xfer = op->xfer;
        chunk.offset = r->offset + at;
        chunk.data.data = (uint8_t *)r->data.data + at;
        chunk.data.len = left < CHUNK_BYTES_MAX ? left : CHUNK_BYTES_MAX;
        send(x, op->peer, WIRE_XFER_CHUNK, op->seq, &chunk.base);
    }
}

static void answer_fetch(struct xfers *x, struct op *op)
{
    struct op_read *r = &op->read;
    Skein__XferBegin begin = SKEIN__XFER_BEGIN__INIT;
    Skein__XferEnd end = SKEIN__XFER_END__INIT;

    x->n_reads--;
    if (op->status == OP_FAILED) {
        send_error(x, op->peer, op->seq, op->xfer, &op->err);
        return;
    }
    begin.xfer = end.xfer = op->xfer;
    begin.size = end.size = r->size;
    begin.hash.data = end.hash.data = r->hash;
    begin.hash.len = end.hash.len = HASH_BYTES;
    begin.what_case = SKEIN__XFER_BEGIN__WHAT_BLOB;
    begin.blob = r->kind;
    send(x, op->peer, WIRE_XFER_BEGIN, op->seq, &begin.base);
    send_chunks(x, op);
    if (r->offset + r->data.len >= r->size)
        send(x, op->peer, WIRE_XFER_END, op->seq, &end.base);
}

/* ---- dispatch ------------------------------------------------------------ */

void xfers_message(struct xfers *x, uint64_t peer, const struct wire_msg *m,
                   int64_t now_ms, int64_t now_unix_ms)
{
    switch (m->type) {
    case WIRE_XFER_BEGIN:
        on_begin(x, peer, m, now_ms);
        break;
    case WIRE_XFER_CHUNK:
        on_chunk(x, peer, m, now_ms);
        break;
    case WIRE_XFER_END:
        on_end(x, peer, m, now_ms, now_unix_ms);
        break;
    case WIRE_FETCH:
        on_fetch(x, peer, m);
        break;
    default:
        break; /* ACKs and GOs: FETCH is answered without asking */
    }
}

/* The window opens as the ingest digests; tell the sender, crumbs excepted. */
static void reopen(struct xfers *x, struct xfer *t)
{
    uint64_t now_allowed = received(t) + window(t);

    if (now_allowed >= t->allowed + 2 * CHUNK_BYTES_MAX
        || (received(t) >= t->allowed && now_allowed > t->allowed))
        send_ack(x, t);
}

static void advance(struct xfers *x, struct xfer *t, int64_t now_unix_ms)
{
    switch (t->state) {
    case XFER_SUBMIT:
        reopen(x, t);
        accept_if_ready(x, t, now_unix_ms); /* or fail early */
        break;
    case XFER_SUBMIT_ENDED:
        accept_if_ready(x, t, now_unix_ms);
        break;
    case XFER_SUBMIT_DYING:
        bury(x, t);
        break;
    default:
        break;
    }
}

void xfers_progress(struct xfers *x, int64_t now_unix_ms)
{
    for (int i = 0; i < XFERS_MAX; i++)
        advance(x, &x->xfer[i], now_unix_ms);
}

void xfers_stored(struct xfers *x, struct op *op, int64_t now_unix_ms)
{
    struct xfer *t;

    switch (op->kind) {
    case OP_STAGE:
    case OP_RESTAGE:
        ingest_staged(op->stage.ingest, op);
        t = find_ingest(x, op->stage.ingest);
        assert(t != NULL);
        advance(x, t, now_unix_ms);
        break;
    case OP_ACCEPT:
        t = find_ingest(x, op->accept.ingest);
        assert(t != NULL);
        ingest_free(t->ingest);
        free_slot(t);
        break;
    case OP_RESULT:
        t = find(x, op->peer, op->xfer);
        if (t != NULL && t->state == XFER_UPLOAD_STORED)
            free_slot(t);
        break;
    case OP_READ:
        answer_fetch(x, op);
        break;
    default:
        assert(false && "an operation of the core alone");
    }
}
