/* worker/fetch.h - one shard input on its way here
 *
 * The receiving side of docs/protocol.md, "Fetching". Asks for windows, asks
 * again from where it is when nothing comes for FETCH_RETRY_MS. No I/O of its
 * own and no clock: messages and times come in, messages go to a sender.
 */
#ifndef WORKER_FETCH_H
#define WORKER_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/limits.h"
#include "worker/sender.h"

#define FETCH_RETRY_MS 2000

struct fetch {
    uint64_t xfer;
    Skein__Token token;
    uint64_t size;      /* promised by the grant */
    struct buf *data;   /* what has come so far; of the shard */
    uint64_t asked_end; /* the window asked for ends here */
    int64_t due_ms;     /* ask (again) then */
};

void fetch_start(struct fetch *f, uint64_t xfer, const Skein__Token *token,
                 uint64_t size, struct buf *data);

/* Ask when it is time to. */
void fetch_step(struct fetch *f, const struct sender *to, int64_t now_ms);

/* A chunk of this transfer came. Returns whether the input is complete. Chunks
 * at another offset than the next are ignored: repeats, or there is a gap and
 * what is missing will be asked for.
 */
bool fetch_chunk(struct fetch *f, const Skein__XferChunk *chunk,
                 int64_t now_ms);

/* The coordinator has sent its last byte: what is missing was lost. */
void fetch_end(struct fetch *f, int64_t now_ms);

/* The coordinator wants to be asked later. */
void fetch_again(struct fetch *f, uint32_t retry_ms, int64_t now_ms);

#endif /* WORKER_FETCH_H */
