/* daemon/xfer.h - blobs in and out: the coordinator's side of the transfers
 *
 * Submissions go to the ingest, uploads are collected in memory and handed to
 * the core, FETCH is answered from the store and keeps no state here. Decides
 * nothing about jobs and leases: it asks the core.
 */
#ifndef DAEMON_XFER_H
#define DAEMON_XFER_H

#include <stdint.h>

#include "daemon/core.h"
#include "daemon/ingest.h"
#include "proto/wire.h"

#define XFER_SILENCE_MS 60000 /* a transfer without news is dropped */
#define XFER_UPLOAD_BYTES_MAX \
    BLOB_BYTES_MAX /* of all uploads together, unless
                                              * there is only one */
#define XFER_SUBMITS_MAX \
    32 /* each keeps a file open: half of those there are */
#define XFER_READS_MAX \
    64 /* answers to FETCH under way, each at most
                             * XFER_WINDOW_BYTES: 120 MiB */

struct xfers;

struct xfer_config {
    struct core *core;
    struct ingest_pool *pool;
    void *arg;
    void (*send)(void *arg, uint64_t peer, enum wire_type type, uint64_t seq,
                 const ProtobufCMessage *msg);
    void (*submit)(void *arg, struct op *op);                /* to the store */
    void (*step)(void *arg, const struct core_event *event); /* the core */
};

struct xfers *xfers_create(const struct xfer_config *config);
/* Submissions must be idle: see xfers_idle(). NULL is allowed. */
void xfers_destroy(struct xfers *x);

/* XFER_BEGIN, XFER_CHUNK, XFER_END, FETCH. */
void xfers_message(struct xfers *x, uint64_t peer, const struct wire_msg *m,
                   int64_t now_ms, int64_t now_unix_ms);

/* An OP_STAGE, OP_RESTAGE, OP_READ, OP_ACCEPT or OP_RESULT came back. For the
 * last two call it after the core has seen them. */
void xfers_stored(struct xfers *x, struct op *op, int64_t now_unix_ms);

/* The ingest made progress. */
void xfers_progress(struct xfers *x, int64_t now_unix_ms);

/* `peer` is not connected any more. */
void xfers_gone(struct xfers *x, uint64_t peer);

/* Drop what has been silent for too long. */
void xfers_tick(struct xfers *x, int64_t now_ms);

/* Give everything up; then no submission uses the pool or the store once this
 * returns true. */
void xfers_abort(struct xfers *x);
bool xfers_idle(struct xfers *x);

#endif /* DAEMON_XFER_H */
