/* daemon/core_impl.h - the core's tables; for core*.c only
 *
 *     shard  pending --grant--> leased --result--> done
 *               ^                  |                |
 *               +---ended, released+                |
 *               +----------RETRY of its errors------+
 *
 * A lease exists exactly while its shard is SHARD_LEASED in memory. Its token
 * is durable once `granting` is false. A lease without a worker was found at
 * start and waits for its worker to come back.
 */
#ifndef DAEMON_CORE_IMPL_H
#define DAEMON_CORE_IMPL_H

#include <uthash.h>

#include "daemon/core.h"
#include "proto/limits.h"

#define WORKER_REFUSED_MAX 16 /* jobs a worker found it cannot compute */

struct core_job;

struct core_model {
    char *name;
    uint8_t fingerprint[HASH_BYTES];
    int32_t vocab;
};

struct core_device {
    char *name;
    char *state;
    char *model;
    uint64_t tokens;
    double tokens_per_s;
    uint64_t memory_used, memory_total;
    uint32_t utilisation;
};

struct core_worker {
    uint64_t id; /* 1, 2, ... */
    uint8_t incarnation[16];
    uint64_t peer;
    bool connected;
    bool draining;
    char *name;
    char *host;
    char *version;
    uint32_t pid;
    struct core_model *model; /* [n_model] */
    size_t n_model;
    struct core_device *device; /* [n_device] */
    size_t n_device;
    uint32_t capacity_records;
    uint64_t capacity_cost;
    int64_t heard_ms; /* last HELLO or BEAT */
    uint32_t n_leases;
    uint64_t held_records;
    uint64_t held_cost;
    uint64_t records_done;
    uint64_t tokens_done;
    uint64_t refused[WORKER_REFUSED_MAX]; /* ring of job ids */
    uint32_t n_refused;
};

struct lease_key {
    uint64_t job;
    uint64_t shard;
};

struct core_lease {
    UT_hash_handle hh;
    struct lease_key key;
    struct token token;
    struct core_job *job;
    struct core_worker *worker; /* NULL: found at start, not claimed yet */
    uint64_t owner;             /* of one found at start: whose it was */
    int64_t deadline_ms;        /* over when now >= deadline */
    bool granting;              /* the token is not durable yet */
    uint32_t records;           /* shard_records_left() when it was made */
    uint64_t cost;
    uint32_t committing;   /* results of it that are with the store */
    uint32_t records_done; /* as reported */
};

struct core_job {
    UT_hash_handle hh_id;
    UT_hash_handle hh_request;
    struct job_image *image;
    Skein__JobSpec *spec;
    struct core_job *prev, *next; /* live jobs by priority, then id */
    bool live;
    bool starting;              /* its first grant is with the store */
    bool pinning;               /* ... and records the fingerprint */
    bool ordered;               /* an ORDER of it is with the store */
    bool retried;               /* its waits and times were counted before */
    bool ending;                /* OP_STATE is with the store */
    Skein__JobState target;     /* of that operation */
    char doom[JOB_MESSAGE_MAX]; /* why it must fail; "" if it need not */
    uint32_t cursor;            /* no pending shard below */
    uint32_t n_pending;
    uint32_t n_leased;
    uint64_t *avoid;    /* [n_shards] worker that crashed on it last; NULL: none
                      * crashed yet */
    struct op *release; /* OP_RELEASE being collected in this step */
};

struct core {
    struct core_config config;
    struct core_job *by_id;
    struct core_job *by_request;
    struct core_job *live; /* utlist */
    uint64_t last_job_id;
    uint32_t n_finished;
    uint64_t shards_leased;

    struct core_worker *worker[CORE_WORKERS_MAX]; /* [n_worker] */
    uint32_t n_worker;
    uint64_t last_worker_id;
    uint32_t turn; /* the worker whose turn it is to be granted first */

    struct core_lease *lease;

    bool want_flush; /* a job has releases to make durable */
    bool want_grant; /* something changed that may allow a grant */
    int64_t
        retry_ms; /* no store operations of our own before; 0: none failed */
    enum err_code health;
    int64_t probe_ms;    /* next */
    int64_t deadline_ms; /* next tick */
    struct core_stats stats;

    /* of the current step */
    int64_t now_ms;
    int64_t unix_ms;
    const struct core_actions *act;
};

/* core.c */
void core_send(struct core *c, uint64_t peer, enum wire_type type, uint64_t seq,
               const ProtobufCMessage *msg);
void core_send_error(struct core *c, uint64_t peer, uint64_t seq, uint64_t xfer,
                     const struct err *err);
void core_store(struct core *c, struct op *op);
void core_log(struct core *c, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void core_wake_at(struct core *c, int64_t ms);
void core_store_failed(struct core *c, struct core_job *j,
                       const struct err *err);

/* core_job.c */
struct core_job *core_job_add(struct core *c, struct job_image *image);
struct core_job *core_job_find(const struct core *c, uint64_t id);
void core_job_free(struct core_job *j);
/* A job that had ended lives again, as `image`, which is taken over. */
void core_job_revive(struct core *c, struct core_job *j,
                     struct job_image *image);
void core_job_remove(struct core *c, struct core_job *j); /* has ended */
/* Its spec is now `packed`, taken over: find its place by priority. */
void core_job_respec(struct core *c, struct core_job *j, struct buf *packed);
/* Let it end if it must: every shard done, or doomed, and nothing under way. */
void core_job_settle(struct core *c, struct core_job *j);
/* Ask for the job's end; `peer` (0: nobody) is answered with JOBS. */
void core_job_end(struct core *c, struct core_job *j, Skein__JobState state,
                  const char *message, uint64_t peer, uint64_t seq);
void core_job_doom(struct core *c, struct core_job *j, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void core_job_ended(struct core *c, struct op *op); /* OP_STATE came back */
void core_job_accepted(struct core *c, struct op *op);
void core_job_info(const struct core *c, const struct core_job *j,
                   Skein__JobInfo *out); /* borrows from j */

/* core_lease.c */
struct core_lease *core_lease_find(const struct core *c, const struct token *t);
struct core_lease *core_lease_add(struct core *c, struct core_job *j,
                                  uint32_t shard, struct core_worker *w);
/* The lease is over, its shard pending again, and that will be made durable. */
void core_lease_end(struct core *c, struct core_lease *l);
/* The lease is over; what became of the shard is known otherwise. */
void core_lease_drop(struct core *c, struct core_lease *l);
void core_lease_drop_job(struct core *c, struct core_job *j,
                         const char *reason);
void core_lease_assign(struct core_lease *l, struct core_worker *w);
void core_lease_crashed(struct core *c, struct core_lease *l, const char *why);
void core_lease_tick(struct core *c);
void core_lease_flush(struct core *c); /* emit the collected OP_RELEASEs */

/* core_worker.c */
struct core_worker *core_worker_of(const struct core *c, uint64_t peer);
enum core_worker_state core_worker_state(const struct core *c,
                                         const struct core_worker *w);
void core_worker_hello(struct core *c, uint64_t peer, const struct wire_msg *m);
void core_worker_beat(struct core *c, uint64_t peer, const struct wire_msg *m);
void core_worker_release(struct core *c, uint64_t peer,
                         const struct wire_msg *m);
void core_worker_gone(struct core *c, uint64_t peer);
void core_worker_tick(struct core *c);
void core_worker_free(struct core_worker *w);
uint64_t core_worker_tag(const struct core_worker *w); /* see op_lease.owner */
void core_hello_again(struct core *c, uint64_t peer, uint64_t seq);

/* core_grant.c */
void core_grant(struct core *c);
void core_granted(struct core *c, struct op *op); /* OP_GRANT came back */

/* core_commit.c */
void core_uploaded(struct core *c, struct core_upload *u);
void core_committed(struct core *c, struct op *op); /* OP_RESULT came back */

/* core_order.c */
void core_order(struct core *c, uint64_t peer, const struct wire_msg *m);
void core_ordered(struct core *c, struct op *op); /* CHANGE, RETRY, REMOVE */

/* core_client.c */
void core_client_jobs(struct core *c, uint64_t peer, const struct wire_msg *m);
void core_client_cancel(struct core *c, uint64_t peer,
                        const struct wire_msg *m);
void core_client_workers(struct core *c, uint64_t peer,
                         const struct wire_msg *m);
void core_client_job(struct core *c, const struct core_job *j, uint64_t peer,
                     uint64_t seq); /* answer with JOBS of one, or none */

#endif /* DAEMON_CORE_IMPL_H */
