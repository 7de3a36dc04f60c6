/* daemon/ingest.h - a stream of input lines becomes a job
 *
 *     bytes -> batches of whole lines -> validated by a few threads, in any
 *     order -> finished in input order: shards -> OP_STAGE
 *     ... after the last line: duplicate ids are known -> OP_RESTAGE of the
 *     shards that hold them ... and when all is staged: OP_ACCEPT
 *
 * A line that is no record, or whose id an earlier line has, becomes an error
 * line of its shard; it never fails the submission. Blank lines are counted and skipped; a byte order mark on
 * line 1, "\r\n", and a last line without "\n" are accepted.
 *
 * Memory of one submission: XFER_WINDOW_BYTES of lines under way, one shard and
 * one line being filled, `id_run` ids (common/idset.h) and 100 bytes a shard.
 *
 * Except for the pool's own threads, one thread makes all calls.
 */
#ifndef DAEMON_INGEST_H
#define DAEMON_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/job.h"
#include "daemon/op.h"

#define INGEST_BATCH_BYTES (256u << 10)
#define INGEST_THREADS_MAX 64

struct ingest_pool;
struct ingest;

struct ingest_config {
    int threads;          /* 1..INGEST_THREADS_MAX */
    uint64_t max_records; /* of one job */
    const char *scratch;  /* folder for ids that do not fit in memory */
    size_t id_run;        /* ids in memory; 0: EXTSORT_RUN_ITEMS */
    /* Takes an operation over; called by any thread. Each comes back through
     * ingest_staged(), OP_DISCARD excepted. */
    void (*submit)(void *arg, struct op *op);
    void *arg;
};

struct ingest_pool *ingest_pool_start(const struct ingest_config *config,
                                      struct err *err);
/* All its submissions must have been freed. NULL is allowed. */
void ingest_pool_stop(struct ingest_pool *p);

/* Readable when a submission made progress: see ingest_poll(). */
int ingest_pool_fd(const struct ingest_pool *p);
void ingest_pool_clear(struct ingest_pool *p); /* make it unreadable again */

/* Begin job `job`. `spec` is the packed JobSpec, copied. */
struct ingest *ingest_begin(struct ingest_pool *p, uint64_t job,
                            const uint8_t request_id[REQUEST_ID_BYTES],
                            const void *spec, size_t spec_len);

/* The next bytes, cut anywhere. */
void ingest_feed(struct ingest *i, const void *data, size_t len);

uint64_t ingest_received(const struct ingest *i); /* bytes fed so far */

/* How many more bytes may be fed now, so that memory stays bounded. */
uint32_t ingest_window(struct ingest *i);

/* All bytes were fed. ERR_PROTOCOL when they do not have this hash. */
int ingest_end(struct ingest *i, const uint8_t hash[HASH_BYTES],
               struct err *err);

/* An OP_STAGE or OP_RESTAGE of this submission came back. */
void ingest_staged(struct ingest *i, const struct op *op);

enum ingest_progress {
    INGEST_BUSY,
    INGEST_READY,  /* ended and staged: ingest_accept() it */
    INGEST_FAILED, /* err says why: abort it */
};
enum ingest_progress ingest_poll(struct ingest *i, struct err *err);

/* The OP_ACCEPT that makes the job exist; the caller submits it. Once. */
struct op *ingest_accept(struct ingest *i, int64_t now_unix_ms);

/* Stop working on it. */
void ingest_abort(struct ingest *i);

/* May it be freed: no batch with a thread, no operation with the store? */
bool ingest_idle(struct ingest *i);
void ingest_free(struct ingest *i); /* NULL is allowed; must be idle */

#endif /* DAEMON_INGEST_H */
