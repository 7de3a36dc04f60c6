/* common/comm.h - collectives between the rank processes of one worker
 *
 * A communicator joins `size` ranks, numbered from 0. It moves bytes and never
 * computes on them, so results do not depend on it. All ranks make the same
 * calls in the same order. Every wait has a deadline; after any failure the
 * communicator is broken for good and the supervisor restarts the group.
 *
 * Implementations: common/comm_local.c (shared memory, any device kind) and
 * cuda/comm_nccl.c (one GPU per rank).
 */
#ifndef COMMON_COMM_H
#define COMMON_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct comm;

/* For authors: arguments are checked, one call is open at a time, and a broken
 * communicator is called no more, but for destroy.
 */
struct comm_ops {
    const char *name;
    int (*broadcast)(struct comm *c, void *data, size_t len, int root,
                     int64_t timeout_ms, struct err *err);
    int (*gather)(struct comm *c, const void *send, const size_t *sizes,
                  void *recv, int root, int64_t timeout_ms, struct err *err);
    int (*poll)(struct comm *c, int64_t wait_ms, struct err *err);
    void (*destroy)(struct comm *c);
};

struct comm {
    const struct comm_ops *ops;
    int rank;
    int size;
    bool device;    /* broadcast takes memory of this rank's device, too */
    bool gathering; /* of comm.c */
    bool broken;    /* of comm.c */
};

/* Bytes of shared memory comm_local needs for `size` ranks. */
size_t comm_local_bytes(int size);

/* Prepare zeroed shared memory (MAP_SHARED; aligned to 64 bytes), once, before
 * any rank joins.
 */
void comm_local_format(void *shared, int size);

/* Join as `rank`, from any process or thread; one caller per rank. `shared`
 * stays mapped until comm_destroy(). NULL: ERR_INTERNAL when the memory was not
 * formatted for `size` ranks.
 */
struct comm *comm_local_join(void *shared, int rank, int size, struct err *err);

/* Copy data[len] of `root` to everyone. `timeout_ms` bounds the whole call.
 * Returning says that this rank's part is done, not that all peers came: a
 * collective is no barrier. 0, or -1: ERR_TIMEOUT (a peer is late, dead or gave
 * up), ERR_INTERNAL (ranks disagree about the call), ERR_NCCL.
 */
int comm_broadcast(struct comm *c, void *data, size_t len, int root,
                   int64_t timeout_ms, struct err *err);

/* Begin to bring everyone's bytes to `root`, one after another in order of rank,
 * and return. comm_poll() ends it; no other call before that.
 *
 * send   this rank's bytes, sizes[rank] of them; host memory, as recv
 * sizes  [size], the same on every rank; copied
 * recv   on root, room for the sum of sizes; ignored elsewhere
 *
 * send and recv are borrowed until the end. timeout_ms counts from here.
 */
int comm_gather_begin(struct comm *c, const void *send, const size_t *sizes,
                      void *recv, int root, int64_t timeout_ms,
                      struct err *err);

/* Bring the gather on, waiting for peers `wait_ms` at most. 1: done, 0: not yet,
 * -1 as for comm_broadcast().
 */
int comm_poll(struct comm *c, int64_t wait_ms, struct err *err);

/* Both at once. */
int comm_gather(struct comm *c, const void *send, const size_t *sizes,
                void *recv, int root, int64_t timeout_ms, struct err *err);

/* NULL is allowed. */
void comm_destroy(struct comm *c);

#endif /* COMMON_COMM_H */
