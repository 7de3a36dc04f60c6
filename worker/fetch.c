#include "worker/fetch.h"

void fetch_start(struct fetch *f, uint64_t xfer, const Skein__Token *token,
                 uint64_t size, struct buf *data)
{
    *f = (struct fetch){
        .xfer = xfer, .token = *token, .size = size, .data = data};
}

void fetch_step(struct fetch *f, const struct sender *to, int64_t now_ms)
{
    Skein__Fetch msg = SKEIN__FETCH__INIT;

    if (now_ms < f->due_ms)
        return;
    msg.xfer = f->xfer;
    msg.source_case = SKEIN__FETCH__SOURCE_INPUT;
    msg.input = &f->token;
    msg.offset = f->data->len;
    msg.window = XFER_WINDOW_BYTES;
    sender_put(to, WIRE_FETCH, &msg.base);
    f->asked_end = msg.offset + msg.window;
    f->due_ms = now_ms + FETCH_RETRY_MS;
}

bool fetch_chunk(struct fetch *f, const Skein__XferChunk *chunk, int64_t now_ms)
{
    uint64_t have = f->data->len;

    if (chunk->offset != have || chunk->data.len > f->size - have)
        return false;
    buf_add(f->data, chunk->data.data, chunk->data.len);
    have += chunk->data.len;
    f->due_ms = have >= f->asked_end ? now_ms : now_ms + FETCH_RETRY_MS;
    return have == f->size;
}

void fetch_end(struct fetch *f, int64_t now_ms)
{
    f->due_ms = now_ms;
}

void fetch_again(struct fetch *f, uint32_t retry_ms, int64_t now_ms)
{
    f->due_ms = now_ms + (retry_ms > 0 ? retry_ms : FETCH_RETRY_MS);
}
