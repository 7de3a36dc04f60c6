/* daemon/core.h - the coordinator's logic as a state machine without I/O
 *
 * Everything that is decided is decided here: sessions, leases, grants, job
 * states (docs/protocol.md). Events go in, one at a time, with the time;
 * decisions come out through core_actions. No clock, threads, sockets or files:
 * the daemon, the simulator and the fuzzer run the same code.
 *
 * Nothing is told to anyone before it is durable: the core asks for a store
 * operation and answers when that has come back.
 */
#ifndef DAEMON_CORE_H
#define DAEMON_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "daemon/core_stats.h"
#include "daemon/job.h"
#include "daemon/op.h"
#include "proto/wire.h"

#define CORE_WORKERS_MAX 1024
#define CORE_JOBS_MAX 100000 /* about 1 KiB each, finished ones included */
#define CORE_CRASHES_MAX \
    5                        /* attempts of one shard that may end by a crash or
                              * bad input before the job fails */
#define CORE_RETRY_MS 1000   /* after the store refused something */
#define CORE_FORGET_MS 60000 /* a worker without news and without leases */

struct core;

struct core_config {
    uint64_t epoch;
    uint64_t last_job; /* no job is given this number or a lower one */
    int64_t beat_ms;
    int64_t lease_ms;              /* after receipt of a beat */
    int64_t lease_worker_ms;       /* told to the workers; < lease_ms */
    int64_t lease_disconnected_ms; /* after the peer is known to be gone */
    int64_t restart_grace_ms;      /* leases found at start */
    int64_t probe_ms;
    uint64_t (*nonce)(void *arg); /* unpredictable; tests own it */
    void *nonce_arg;
};

/* Where decisions go. Called from within core_step(); must not call it. */
struct core_actions {
    void *arg;
    /* The message belongs to the core and is valid during the call. */
    void (*send)(void *arg, uint64_t peer, enum wire_type type, uint64_t seq,
                 const ProtobufCMessage *msg);
    /* Takes `op` over; it comes back in a CORE_STORED event. */
    void (*store)(void *arg, struct op *op);
    void (*log)(void *arg, enum log_level level, const char *line);
};

/* An upload that has arrived in full. */
struct core_upload {
    uint64_t peer;
    uint64_t seq;
    uint64_t xfer;
    struct token token;
    struct buf blob; /* moved into the core */
    uint8_t hash[HASH_BYTES];
    uint8_t fingerprint[HASH_BYTES];
    uint64_t tokens_in;
    uint64_t tokens_out;
    bool stored; /* out: an OP_RESULT with its peer and xfer is under way;
                  * otherwise it has been answered */
};

enum core_event_kind {
    CORE_TICK,        /* time has passed: see core_deadline() */
    CORE_MESSAGE,     /* any message that is no part of a transfer */
    CORE_SEND_FAILED, /* `peer` is not connected any more */
    CORE_UPLOADED,
    CORE_STORED, /* an operation came back; freed by the caller */
};

struct core_event {
    enum core_event_kind kind;
    uint64_t peer;
    const struct wire_msg *msg;
    struct core_upload *upload;
    struct op *op;
    int64_t unix_ms; /* for people to read; never compared */
};

struct core *core_create(const struct core_config *config);
void core_destroy(struct core *c); /* NULL is allowed */

/* Before the first step: a job found in the store. Takes `image` over. Leases
 * in it are kept until restart_grace_ms after `now_ms`.
 */
void core_load(struct core *c, struct job_image *image, int64_t now_ms);

/* `now_ms` never goes back. */
void core_step(struct core *c, const struct core_event *e, int64_t now_ms,
               const struct core_actions *act);

/* When the next CORE_TICK is due at the latest. */
int64_t core_deadline(const struct core *c);

/* ---- questions, for the transfers; they change nothing ------------------- */

enum core_holder {
    CORE_NO_SESSION, /* say HELLO first */
    CORE_HELD,       /* leased to this peer */
    CORE_WON,        /* this token's result is stored */
    CORE_LOST,       /* stale */
};
enum core_holder core_token_holder(const struct core *c, uint64_t peer,
                                   const struct token *t);

/* May this blob be read? ERR_NOT_FOUND, ERR_AGAIN (not there yet), ERR_CORRUPT,
 * ERR_DENIED (inputs are for the workers that hold them).
 */
int core_may_read(const struct core *c, uint64_t job, uint32_t shard,
                  Skein__BlobKind kind, struct err *err);

/* The job accepted for this request id, or NULL. Valid until the next step. */
const struct job_image *core_find_request(const struct core *c,
                                          const uint8_t *request_id);

/* May a job be submitted? ERR_AGAIN. */
int core_may_submit(const struct core *c, int64_t now_ms, struct err *err);

/* An id above every id seen. */
uint64_t core_new_job_id(struct core *c);

/* "ok", "full", "degraded". Static. */
const char *core_health(const struct core *c);

enum core_worker_state {
    CORE_WORKER_READY,
    CORE_WORKER_SUSPECT,
    CORE_WORKER_DRAINING,
    CORE_WORKER_DISCONNECTED,
    CORE_WORKER_STATES,
};
char *core_worker_state_name(enum core_worker_state state); /* static */

/* How things are now; asking takes a look at every job. */
struct core_counts {
    uint32_t jobs_queued; /* or held */
    uint32_t jobs_running;
    uint32_t jobs_finished;
    uint32_t workers;
    uint32_t shards_pending;
    uint32_t shards_leased;
    uint64_t records_leased;
    uint32_t jobs[CORE_JOB_STATES];
    uint32_t workers_by_state[CORE_WORKER_STATES];
};
void core_count(const struct core *c, struct core_counts *out);

/* What has happened since the start. Valid until the core is destroyed. */
const struct core_stats *core_stats(const struct core *c);

#endif /* DAEMON_CORE_H */
