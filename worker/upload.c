#include "worker/upload.h"

#include "proto/limits.h"

void upload_start(struct upload *u, uint64_t xfer)
{
    u->xfer = xfer;
    u->going = false;
    u->sent = 0;
    u->window_end = 0;
    u->due_ms = 0;
}

static void begin(struct upload *u, const struct sender *to)
{
    Skein__XferBegin msg = SKEIN__XFER_BEGIN__INIT;

    msg.xfer = u->xfer;
    msg.size = u->size;
    msg.hash = (ProtobufCBinaryData){HASH_BYTES, (uint8_t *)u->hash};
    msg.what_case = SKEIN__XFER_BEGIN__WHAT_UPLOAD;
    msg.upload = &u->what;
    sender_put(to, WIRE_XFER_BEGIN, &msg.base);
}

static void end(struct upload *u, const struct sender *to)
{
    Skein__XferEnd msg = SKEIN__XFER_END__INIT;

    msg.xfer = u->xfer;
    msg.size = u->size;
    msg.hash = (ProtobufCBinaryData){HASH_BYTES, (uint8_t *)u->hash};
    sender_put(to, WIRE_XFER_END, &msg.base);
}

/* Send the next chunk. False: not now. */
static bool chunk(struct upload *u, const struct sender *to)
{
    Skein__XferChunk msg = SKEIN__XFER_CHUNK__INIT;
    uint64_t stop = u->window_end < u->size ? u->window_end : u->size;
    uint64_t n = stop - u->sent;

    if (u->sent >= stop)
        return false;
    if (n > CHUNK_BYTES_MAX)
        n = CHUNK_BYTES_MAX;
    msg.xfer = u->xfer;
    msg.offset = u->sent;
    msg.data = (ProtobufCBinaryData){(size_t)n, (uint8_t *)u->data + u->sent};
    if (!sender_put(to, WIRE_XFER_CHUNK, &msg.base))
        return false;
    u->sent += n;
    return true;
}

void upload_step(struct upload *u, const struct sender *to, int64_t now_ms)
{
    if (!u->going && now_ms >= u->due_ms) {
        begin(u, to);
        u->due_ms = now_ms + UPLOAD_RETRY_MS;
    }
    if (!u->going)
        return;
    for (int i = 0; i < UPLOAD_BURST; i++) {
        if (!chunk(u, to))
            break;
        u->due_ms = u->sent == u->size ? now_ms : now_ms + UPLOAD_RETRY_MS;
    }
    if (now_ms < u->due_ms)
        return;
    /* All is sent: END, until answered. Or nothing moved for a while: END with
     * bytes missing makes the coordinator say GO from where it is.
     */
    end(u, to);
    u->due_ms = now_ms + UPLOAD_RETRY_MS;
}

void upload_go(struct upload *u, uint64_t offset, uint32_t window)
{
    if (offset > u->size)
        return;
    u->going = true;
    u->sent = offset;
    u->window_end = offset + window;
    u->due_ms = 0;
}

void upload_ack(struct upload *u, uint64_t offset, uint32_t window)
{
    if (u->going && offset + window > u->window_end)
        u->window_end = offset + window;
}

void upload_again(struct upload *u, uint64_t xfer, uint32_t retry_ms,
                  int64_t now_ms)
{
    upload_start(u, xfer);
    u->due_ms = now_ms + (retry_ms > 0 ? retry_ms : UPLOAD_RETRY_MS);
}
