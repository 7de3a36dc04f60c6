/* worker/upload.h - one shard result on its way to the coordinator
 *
 * The sending side of docs/protocol.md, "Sending". Says BEGIN until GO, sends
 * what the window allows, says END until the end of the token is said. No I/O
 * of its own and no clock.
 */
#ifndef WORKER_UPLOAD_H
#define WORKER_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/hash.h"
#include "worker/sender.h"

#define UPLOAD_RETRY_MS 2000
#define UPLOAD_BURST 8 /* chunks per step: the loop has other things to do */

struct upload {
    uint64_t xfer;
    Skein__Upload what; /* its token and fingerprint are borrowed */
    const char *data;   /* borrowed */
    uint64_t size;
    const uint8_t *hash; /* [HASH_BYTES], borrowed */
    bool going;          /* GO came */
    uint64_t sent;       /* bytes */
    uint64_t window_end; /* may be sent */
    int64_t due_ms;      /* repeat BEGIN or END then */
};

/* Begin, or begin again after a lost connection, with a new `xfer`. */
void upload_start(struct upload *u, uint64_t xfer);

void upload_step(struct upload *u, const struct sender *to, int64_t now_ms);

/* GO: everything before `offset` has arrived; continue there. */
void upload_go(struct upload *u, uint64_t offset, uint32_t window);

/* ACK: moves the window. */
void upload_ack(struct upload *u, uint64_t offset, uint32_t window);

/* The coordinator wants to be asked later: BEGIN again then. */
void upload_again(struct upload *u, uint64_t xfer, uint32_t retry_ms,
                  int64_t now_ms);

#endif /* WORKER_UPLOAD_H */
