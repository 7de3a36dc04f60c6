/* worker/ranks.h - the group of rank processes, seen from the supervisor
 *
 * Starts them, watches them, hands them records, collects their answers. A
 * group lives and dies together: when one rank dies, fails or makes no progress
 * while it has work, all are killed with SIGKILL and a new group is started
 * after a pause. Never blocks.
 *
 *   DOWN --start--> LOADING --all ready--> READY
 *     ^                |                     |
 *     +----- DYING <---+------ a death ------+
 *
 * Answers come through rank 0: when enough are pending, or some have waited
 * long enough, or nobody has anything else to do, a tick makes all ranks gather
 * (segment.h).
 */
#ifndef WORKER_RANKS_H
#define WORKER_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/hash.h"
#include "worker/work.h"

struct ranks;

/* What carries bytes between the ranks. */
enum ranks_comm {
    RANKS_LOCAL,         /* shared memory */
    RANKS_NCCL_IF_FOUND, /* NCCL, or shared memory on a host without it */
    RANKS_NCCL,
};

struct ranks_config {
    const char *const *engine; /* [n] "cpu", "null": one rank each */
    size_t n;                  /* 1..DEVICES_MAX */
    const char *model;         /* checkpoint path; "" for null */
    const char *tokenizer;     /* path or "" */
    const char *options;       /* of the backend, or "" */
    enum ranks_comm comm;
    int32_t tokens_per_step;
    int32_t slots;
    int64_t stall_ms;  /* without progress while there is work: hung */
    int64_t start_ms;  /* longest loading time */
    int64_t gather_ms; /* answers wait at most about that long */
    int log_level;
};

/* What ranks_poll() calls. */
struct ranks_handler {
    void *arg;
    /* The group is ready for the first time or again. */
    void (*ready)(void *arg, const uint8_t fingerprint[HASH_BYTES],
                  int32_t vocab);
    void (*answer)(void *arg, const struct answer_head *head,
                   const void *payload);
    /* All ranks are gone: what was given and not answered must be given again.
     * suspect[n] were on the device of the rank at fault.
     */
    void (*lost)(void *arg, const uint64_t *suspect, size_t n);
};

struct ranks *ranks_create(const struct ranks_config *config,
                           const struct ranks_handler *handler);

/* Kill whoever is left and wait for them a moment. NULL is allowed. */
void ranks_destroy(struct ranks *r);

/* The eventfd that says: call ranks_poll(). */
int ranks_fd(const struct ranks *r);

/* Look at everything and go on: start, restart, gather, kill. `child_died`: a
 * SIGCHLD came. -1: the worker cannot go on (the group fails to start again and
 * again, ranks disagree about the fingerprint, ...).
 */
int ranks_poll(struct ranks *r, bool child_died, int64_t now_ms,
               struct err *err);

/* When to call ranks_poll() again if nothing happens, and arm the eventfd.
 * Returns a time not after `now_ms` when there is something to do already.
 */
int64_t ranks_deadline(struct ranks *r, int64_t now_ms);

bool ranks_ready(const struct ranks *r);

/* Are all records that were given answered? */
bool ranks_idle(const struct ranks *r);

/* The rank that should take the next record, or -1: all have enough for now. */
int ranks_room(const struct ranks *r);

/* Give a request to a rank. Sent by the next ranks_flush(). */
void ranks_give(struct ranks *r, int rank, const void *request, size_t len,
                uint64_t cost);

/* Forget all records of the shard with that number; they are answered as
 * cancelled.
 */
void ranks_cancel(struct ranks *r, uint32_t shard);

void ranks_flush(struct ranks *r);

struct ranks_device {
    char name[32]; /* "cpu:0" */
    const char *state;
    pid_t pid;       /* of its rank; 0: none */
    uint64_t tokens; /* fed since the worker started */
    double tokens_per_s;
};

/* State of rank i, for people. The rate is over the time since the last call
 * that was at least a second before.
 */
void ranks_device(struct ranks *r, size_t i, int64_t now_ms,
                  struct ranks_device *out);

/* Records and cost answered since the start, all ranks together. */
void ranks_totals(const struct ranks *r, uint64_t *records, uint64_t *cost);

#endif /* WORKER_RANKS_H */
