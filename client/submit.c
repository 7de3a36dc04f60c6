#include "client/submit.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"
#include "proto/limits.h"

#define BUSY_MS 30000 /* of refusals before they are the answer */

enum phase {
    PHASE_BEGIN, /* BEGIN is repeated until GO says where to start */
    PHASE_SEND,
    PHASE_END, /* END is repeated until the job is durable */
};

struct sender {
    struct rpc *rpc;
    struct input *in;
    Skein__Submit *submit;
    uint64_t xfer;
    enum phase phase;
    uint64_t next;      /* offset of the next chunk */
    uint64_t limit;     /* of what the coordinator takes now */
    uint64_t hashed;    /* everything before this was sent, and is in `hash` */
    uint64_t moved_seq; /* what was sent up to here is answered by the last
                         * GO that moved `next` */
    struct hash_ctx *hash;
    uint8_t digest[HASH_BYTES];
    uint64_t begin_seq; /* of the last BEGIN */
    int64_t repeat_at;  /* when to say BEGIN or END again */
    int64_t give_up_at;
    uint64_t best;      /* the farthest the coordinator ever got */
    int64_t busy_since; /* of refusals without getting farther; 0: none */
    uint8_t *chunk;     /* [CHUNK_BYTES_MAX] */
};

/* Everything before `end` goes into the hash exactly once, however often it is
 * sent; chunk holds the bytes from `start`.
 */
static void hash_chunk(struct sender *s, uint64_t start, size_t len)
{
    size_t skip;

    if (s->hashed < start || s->hashed >= start + len)
        return;
    skip = (size_t)(s->hashed - start);
    hash_update(s->hash, s->chunk + skip, len - skip);
    s->hashed = start + len;
}

static int send_begin(struct sender *s, struct err *err)
{
    Skein__XferBegin m = SKEIN__XFER_BEGIN__INIT;
    int ret;

    m.xfer = s->xfer;
    m.size = s->in->size == INPUT_SIZE_UNKNOWN ? 0 : s->in->size;
    m.what_case = SKEIN__XFER_BEGIN__WHAT_SUBMIT;
    m.submit = s->submit;
    ret = rpc_send(s->rpc, WIRE_XFER_BEGIN, &m.base, err);
    s->begin_seq = rpc_seq(s->rpc);
    return ret;
}

static int send_end(struct sender *s, struct err *err)
{
    Skein__XferEnd m = SKEIN__XFER_END__INIT;

    m.xfer = s->xfer;
    m.size = s->in->size;
    m.hash = (ProtobufCBinaryData){.len = HASH_BYTES, .data = s->digest};
    return rpc_send(s->rpc, WIRE_XFER_END, &m.base, err);
}

/* Send what the window allows. 0, or -1. A send that is refused now is left to
 * the repetition of BEGIN, whose answer says where to go on.
 */
static int send_chunks(struct sender *s, struct err *err)
{
    while (s->next < s->limit && s->next < s->in->size) {
        Skein__XferChunk m = SKEIN__XFER_CHUNK__INIT;
        size_t len = CHUNK_BYTES_MAX;
        int64_t got;
        int ret;

        if (s->limit - s->next < len)
            len = (size_t)(s->limit - s->next);
        got = input_read_at(s->in, s->next, s->chunk, len, err);
        if (got <= 0)
            return (int)got;
        len = (size_t)got;
        m.xfer = s->xfer;
        m.offset = s->next;
        m.data = (ProtobufCBinaryData){.len = len, .data = s->chunk};
        ret = rpc_send(s->rpc, WIRE_XFER_CHUNK, &m.base, err);
        if (ret != 0)
            return ret < 0 ? -1 : 0;
        hash_chunk(s, s->next, len);
        s->next += len;
    }
    return 0;
}

/* All of it was sent, and the coordinator has it: say so, with the hash. */
static int finish_sending(struct sender *s, int64_t now, struct err *err)
{
    if (s->hash != NULL) {
        assert(s->hashed == s->in->size);
        hash_end(s->hash, s->digest);
        s->hash = NULL;
    }
    s->phase = PHASE_END;
    s->repeat_at = now + RPC_REPEAT_MS;
    return send_end(s, err) < 0 ? -1 : 0;
}

/* Send what may be sent; where the end is may be learned by that. */
static int send_on(struct sender *s, uint64_t arrived, int64_t now,
                   struct err *err)
{
    if (send_chunks(s, err) < 0)
        return -1;
    return arrived == s->in->size ? finish_sending(s, now, err) : 0;
}

/* GO: the coordinator has everything before `offset` and wants the rest. After
 * a gap it says so for every chunk still under way; only the first of these
 * moves us, or each would make us send the window again.
 */
static int on_go(struct sender *s, uint64_t seq, const Skein__XferGo *go,
                 int64_t now, struct err *err)
{
    if (go->xfer != s->xfer || (seq != 0 && seq <= s->moved_seq))
        return 0;
    if (go->offset > s->hashed)
        return err_set(err, ERR_PROTOCOL,
                       "the coordinator asks for byte %llu, "
                       "of which only %llu were sent",
                       (unsigned long long)go->offset,
                       (unsigned long long)s->hashed);
    s->moved_seq = rpc_seq(s->rpc);
    if (go->offset == s->in->size && s->phase == PHASE_END)
        return 0;
    s->phase = PHASE_SEND;
    s->next = go->offset;
    s->limit = go->offset + go->window;
    return send_on(s, go->offset, now, err);
}

static int on_ack(struct sender *s, const Skein__XferAck *ack, int64_t now,
                  struct err *err)
{
    if (ack->xfer != s->xfer || s->phase != PHASE_SEND)
        return 0;
    if (ack->offset > s->best) {
        s->best = ack->offset;
        s->busy_since = 0;
    }
    if (ack->offset + ack->window > s->limit)
        s->limit = ack->offset + ack->window;
    return send_on(s, ack->offset, now, err);
}

/* ERR_AGAIN: the coordinator is busy, or its disk is full: at once, or where
 * the last attempt ended. ERR_NOT_FOUND: it does not know this transfer (it
 * restarted), which it says for every chunk still under way. Both mean to begin
 * again; anything else is the end.
 */
static int on_error(struct sender *s, uint64_t seq, const Skein__Error *e,
                    int64_t now, struct err *err)
{
    if (e->xfer != s->xfer)
        return 0;
    if (e->code == ERR_NOT_FOUND && seq != 0 && seq < s->begin_seq)
        return 0;
    if (e->code != ERR_AGAIN && e->code != ERR_NOT_FOUND)
        return rpc_error(e, err);
    if (e->code == ERR_AGAIN && s->busy_since == 0)
        s->busy_since = now;
    if (e->code == ERR_AGAIN && now - s->busy_since >= BUSY_MS)
        return rpc_error(e, err);
    s->phase = PHASE_BEGIN;
    s->repeat_at = now + e->retry_ms;
    return 0;
}

static void take_submitted(const Skein__Submitted *m, struct submit_result *out)
{
    *out = (struct submit_result){
        .job = m->job,
        .lines = m->lines,
        .records = m->records,
        .rejected = m->rejected,
        .existing = m->existing,
        .warnings = m->warnings,
        .n_warning = m->n_warning, /* <= WARNINGS_MAX: validate.c */
    };
    for (size_t i = 0; i < m->n_warning; i++) {
        struct submit_warning *w = &out->warning[i];

        w->line = m->warning[i]->line;
        snprintf(w->text, sizeof w->text, "%s", m->warning[i]->text);
    }
}

/* 1: the job exists, *out; 0: go on; -1. */
static int on_message(struct sender *s, const struct wire_msg *m, int64_t now,
                      struct submit_result *out, struct err *err)
{
    switch (m->type) {
    case WIRE_XFER_GO:
        return on_go(s, m->seq, m->go, now, err);
    case WIRE_XFER_ACK:
        return on_ack(s, m->ack, now, err);
    case WIRE_SUBMITTED:
        if (m->submitted->xfer != s->xfer)
            return 0;
        take_submitted(m->submitted, out);
        return 1;
    case WIRE_ERROR:
        return on_error(s, m->seq, m->error, now, err);
    default:
        return 0;
    }
}

/* BEGIN and END are said again when nothing came for a while; so is BEGIN in
 * the middle, which asks where the coordinator is.
 */
static int repeat(struct sender *s, int64_t now, struct err *err)
{
    int ret;

    if (now < s->repeat_at)
        return 0;
    if (now >= s->give_up_at)
        return rpc_unreachable(s->rpc, err);
    ret = s->phase == PHASE_END ? send_end(s, err) : send_begin(s, err);
    if (ret < 0)
        return -1;
    s->repeat_at = now + (ret > 0 ? 20 : RPC_REPEAT_MS);
    return 0;
}

static int converse(struct sender *s, submit_progress_fn *progress, void *ctx,
                    struct submit_result *out, struct err *err)
{
    s->give_up_at = clock_now_ms() + rpc_patience_ms(s->rpc);
    for (;;) {
        int64_t now = clock_now_ms();
        struct wire_msg m;
        int got;

        if (repeat(s, now, err) < 0)
            return -1;
        got = rpc_receive(s->rpc, s->repeat_at > now ? s->repeat_at - now : 0,
                          &m, err);
        if (got < 0)
            return -1;
        if (got == 0)
            continue;
        now = clock_now_ms();
        s->repeat_at = now + RPC_REPEAT_MS;
        s->give_up_at = now + rpc_patience_ms(s->rpc);
        got = on_message(s, &m, now, out, err);
        wire_free(&m);
        if (got != 0)
            return got < 0 ? -1 : 0;
        if (progress != NULL)
            progress(ctx, s->next, s->in->size);
    }
}

int submit_send(struct rpc *r, struct input *in, Skein__Submit *what,
                submit_progress_fn *progress, void *ctx,
                struct submit_result *out, struct err *err)
{
    struct sender s = {.rpc = r, .in = in, .submit = what, .xfer = rpc_xfer(r)};
    int ret;

    s.hash = hash_begin();
    s.chunk = xcalloc(1, CHUNK_BYTES_MAX);
    ret = converse(&s, progress, ctx, out, err);
    if (s.hash != NULL)
        hash_end(s.hash, NULL);
    free(s.chunk);
    return ret;
}

void submit_say_warnings(const char *path, const struct submit_result *s)
{
    for (size_t i = 0; i < s->n_warning; i++)
        fprintf(stderr, "%s:%llu: warning: %s\n", path,
                (unsigned long long)s->warning[i].line, s->warning[i].text);
    if (s->warnings > s->n_warning)
        fprintf(stderr, "%llu warnings in all\n",
                (unsigned long long)s->warnings);
}
