#include "client/results.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"
#include "proto/limits.h"

#define IN_FLIGHT 8       /* blobs asked for at a time: 8 x 1.9 MiB windows */
#define CORRUPT_RETRIES 3 /* a blob whose bytes do not have their hash */

/* One blob on its way. Slots are a ring in the order of output, so that the
 * oldest is what the sink waits for.
 */
struct slot {
    uint32_t shard;
    Skein__BlobKind kind;
    uint64_t xfer;
    uint64_t size;
    bool sized; /* BEGIN came: size and hash are known */
    uint8_t hash[HASH_BYTES];
    struct buf data;
    uint64_t wanted; /* offset up to which bytes have been asked for */
    int64_t ask_at;  /* ask again when nothing came until then */
    int corrupt;     /* times its hash was wrong */
    bool done;
};

struct fetcher {
    struct rpc *rpc;
    uint64_t job;
    uint32_t next; /* shard to ask for next */
    uint32_t end;
    bool answers, rejects; /* which kinds are wanted */
    Skein__BlobKind next_kind;
    struct slot slot[IN_FLIGHT];
    unsigned head, count;
    int64_t give_up_at;
    const struct results_sink *sink;
    struct lineset rejected; /* of the shard whose answers come next */
    bool has_rejected;
};

int results_merge(const struct lineset *answers, const struct lineset *rejected,
                  const struct results_sink *sink, struct err *err)
{
    uint32_t n_rejected = rejected != NULL ? rejected->n : 0;
    uint32_t r = 0;

    for (uint32_t i = 0; i < answers->n; i++) {
        const struct lineset_item *item = &answers->item[i];
        results_line_fn *to = item->error ? sink->error : sink->result;

        for (; r < n_rejected && rejected->item[r].line < item->line; r++) {
            if (sink->error != NULL
                && sink->error(sink->ctx, &rejected->item[r], err) < 0)
                return -1;
        }
        if (to != NULL && to(sink->ctx, item, err) < 0)
            return -1;
    }
    for (; r < n_rejected && sink->error != NULL; r++) {
        if (sink->error(sink->ctx, &rejected->item[r], err) < 0)
            return -1;
    }
    return 0;
}

static struct slot *slot_at(struct fetcher *f, unsigned i)
{
    return &f->slot[(f->head + i) % IN_FLIGHT];
}

static int ask(struct fetcher *f, struct slot *s, int64_t now, struct err *err)
{
    Skein__BlobRef ref = SKEIN__BLOB_REF__INIT;
    Skein__Fetch m = SKEIN__FETCH__INIT;
    int ret;

    ref.job = f->job;
    ref.shard = s->shard;
    ref.kind = s->kind;
    m.xfer = s->xfer;
    m.source_case = SKEIN__FETCH__SOURCE_BLOB;
    m.blob = &ref;
    m.offset = s->data.len;
    m.window = XFER_WINDOW_BYTES;
    ret = rpc_send(f->rpc, WIRE_FETCH, &m.base, err);
    if (ret < 0)
        return -1;
    s->wanted = s->data.len + XFER_WINDOW_BYTES;
    s->ask_at = now + (ret > 0 ? 20 : RPC_REPEAT_MS);
    return 0;
}

static Skein__BlobKind first_kind(const struct fetcher *f)
{
    return f->rejects ? SKEIN__BLOB_KIND__BLOB_REJECTED
                      : SKEIN__BLOB_KIND__BLOB_RESULT;
}

/* The blob after this one in the order of output: of each shard its rejected
 * lines, then its answers.
 */
static void advance(struct fetcher *f)
{
    if (f->next_kind == SKEIN__BLOB_KIND__BLOB_REJECTED && f->answers) {
        f->next_kind = SKEIN__BLOB_KIND__BLOB_RESULT;
        return;
    }
    f->next++;
    f->next_kind = first_kind(f);
}

static int start_more(struct fetcher *f, int64_t now, struct err *err)
{
    while (f->count < IN_FLIGHT && f->next < f->end) {
        struct slot *s = slot_at(f, f->count);
        struct buf data = s->data;

        buf_clear(&data);
        *s = (struct slot){
            .shard = f->next,
            .kind = f->next_kind,
            .xfer = rpc_xfer(f->rpc),
            .data = data,
        };
        f->count++;
        if (ask(f, s, now, err) < 0)
            return -1;
        advance(f);
    }
    return 0;
}

static struct slot *slot_of(struct fetcher *f, uint64_t xfer)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct slot *s = slot_at(f, i);

        if (s->xfer == xfer && !s->done)
            return s;
    }
    return NULL;
}

/* What came of this blob is of no use: fetch it again. */
static int start_over(struct fetcher *f, struct slot *s, int64_t now,
                      struct err *err)
{
    buf_clear(&s->data);
    s->sized = false;
    s->xfer = rpc_xfer(f->rpc); /* what is still under way is not for us */
    return ask(f, s, now, err);
}

static int on_begin(struct fetcher *f, const Skein__XferBegin *m, int64_t now,
                    struct err *err)
{
    struct slot *s = slot_of(f, m->xfer);

    if (s == NULL || m->what_case != SKEIN__XFER_BEGIN__WHAT_BLOB)
        return 0;
    if (m->size > BLOB_BYTES_MAX || m->hash.len != HASH_BYTES)
        return err_set(err, ERR_PROTOCOL, "shard %u: a blob of %llu bytes",
                       s->shard, (unsigned long long)m->size);
    /* A retry of the job has replaced the shard's answers meanwhile. */
    if (s->sized && memcmp(s->hash, m->hash.data, HASH_BYTES) != 0)
        return start_over(f, s, now, err);
    s->size = m->size;
    s->sized = true;
    memcpy(s->hash, m->hash.data, HASH_BYTES);
    s->done = s->size == 0;
    return 0;
}

/* The blob is here: is it what was announced? If not, once more. */
static int complete(struct fetcher *f, struct slot *s, int64_t now,
                    struct err *err)
{
    uint8_t hash[HASH_BYTES];

    hash_bytes(s->data.data, s->data.len, hash);
    if (memcmp(hash, s->hash, HASH_BYTES) == 0) {
        s->done = true;
        return 0;
    }
    if (++s->corrupt >= CORRUPT_RETRIES)
        return err_set(err, ERR_CORRUPT,
                       "shard %u arrived with the wrong hash "
                       "%d times",
                       s->shard, s->corrupt);
    return start_over(f, s, now, err);
}

static int on_chunk(struct fetcher *f, const Skein__XferChunk *m, int64_t now,
                    struct err *err)
{
    struct slot *s = slot_of(f, m->xfer);

    /* Another offset is a repetition or follows a loss; asking again from
     * where we are heals both.
     */
    if (s == NULL || !s->sized || m->offset != s->data.len)
        return 0;
    if (m->data.len > s->size - s->data.len)
        return err_set(err, ERR_PROTOCOL, "shard %u: more bytes than announced",
                       s->shard);
    buf_add(&s->data, m->data.data, m->data.len);
    s->ask_at = now + RPC_REPEAT_MS;
    if (s->data.len == s->size)
        return complete(f, s, now, err);
    return s->data.len >= s->wanted ? ask(f, s, now, err) : 0;
}

static int on_error(struct fetcher *f, const Skein__Error *m, int64_t now,
                    struct err *err)
{
    struct slot *s = slot_of(f, m->xfer);

    if (s == NULL)
        return 0;
    if (m->code == ERR_AGAIN) {
        s->ask_at = now + (m->retry_ms > 0 ? m->retry_ms : 100);
        return 0;
    }
    rpc_error(m, err);
    return err_wrap(err, "job %llu, shard %u", (unsigned long long)f->job,
                    s->shard);
}

static int on_message(struct fetcher *f, const struct wire_msg *m, int64_t now,
                      struct err *err)
{
    switch (m->type) {
    case WIRE_XFER_BEGIN:
        return on_begin(f, m->begin, now, err);
    case WIRE_XFER_CHUNK:
        return on_chunk(f, m->chunk, now, err);
    case WIRE_ERROR:
        return on_error(f, m->error, now, err);
    default:
        return 0;
    }
}

/* Unpack a blob. Nothing at all is an empty set. */
static int unpack(const struct slot *s, struct lineset *out, struct err *err)
{
    *out = (struct lineset){.n = 0};
    if (s->size == 0)
        return 0;
    if (lineset_unpack(s->data.data, s->data.len, out, err) == 0)
        return 0;
    return err_wrap(err, "shard %u", s->shard);
}

static int hand_out(struct fetcher *f, struct slot *s, struct err *err)
{
    struct lineset answers = {.n = 0};
    int ret;

    if (s->kind == SKEIN__BLOB_KIND__BLOB_REJECTED) {
        if (unpack(s, &f->rejected, err) < 0)
            return -1;
        f->has_rejected = true;
        if (f->answers)
            return 0;
    } else if (unpack(s, &answers, err) < 0) {
        return -1;
    }
    ret = results_merge(&answers, f->has_rejected ? &f->rejected : NULL,
                        f->sink, err);
    lineset_free(&answers);
    if (f->has_rejected)
        lineset_free(&f->rejected);
    f->has_rejected = false;
    return ret;
}

/* Hand out what is complete at the head of the ring. */
static int drain(struct fetcher *f, struct err *err)
{
    while (f->count > 0 && f->slot[f->head].done) {
        if (hand_out(f, &f->slot[f->head], err) < 0)
            return -1;
        f->head = (f->head + 1) % IN_FLIGHT;
        f->count--;
    }
    return 0;
}

/* Ask again for what has not moved; when the next look is due goes to *due. */
static int repeat(struct fetcher *f, int64_t now, int64_t *due, struct err *err)
{
    *due = now + RPC_REPEAT_MS;
    for (unsigned i = 0; i < f->count; i++) {
        struct slot *s = slot_at(f, i);

        if (s->done)
            continue;
        if (now >= s->ask_at && ask(f, s, now, err) < 0)
            return -1;
        if (s->ask_at < *due)
            *due = s->ask_at;
    }
    return 0;
}

static int run(struct fetcher *f, struct err *err)
{
    f->give_up_at = clock_now_ms() + rpc_patience_ms(f->rpc);
    for (;;) {
        int64_t now = clock_now_ms(), due;
        struct wire_msg m;
        int got;

        if (drain(f, err) < 0 || start_more(f, now, err) < 0)
            return -1;
        if (f->count == 0)
            return 0;
        if (repeat(f, now, &due, err) < 0)
            return -1;
        got = rpc_receive(f->rpc, due > now ? due - now : 0, &m, err);
        if (got < 0)
            return -1;
        now = clock_now_ms();
        if (got == 0 && now >= f->give_up_at)
            return rpc_unreachable(f->rpc, err);
        if (got == 0)
            continue;
        f->give_up_at = now + rpc_patience_ms(f->rpc);
        got = on_message(f, &m, now, err);
        wire_free(&m);
        if (got < 0)
            return -1;
    }
}

int results_fetch(struct rpc *r, const Skein__JobInfo *job, uint32_t first,
                  uint32_t end, const struct results_sink *sink,
                  struct err *err)
{
    struct fetcher *f = xcalloc(1, sizeof *f);
    int ret = 0;

    f->rpc = r;
    f->job = job->job;
    f->next = first;
    f->end = end;
    f->rejects = sink->error != NULL && job->rejected > 0;
    f->answers = sink->result != NULL || job->failed > 0;
    f->next_kind = first_kind(f);
    f->sink = sink;
    if (f->rejects || f->answers)
        ret = run(f, err);
    if (f->has_rejected)
        lineset_free(&f->rejected);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        buf_free(&f->slot[i].data);
    free(f);
    return ret;
}
