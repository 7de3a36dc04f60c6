/* tests/daemon/world.h - everything around a core: a clock, a store, a network
 *
 * The store is a model: it holds what would be on disk and runs operations with
 * the rules of daemon/store_job.c, when the test says so. What the core sends
 * is encoded and decoded as on the wire, and kept.
 */
#ifndef TESTS_DAEMON_WORLD_H
#define TESTS_DAEMON_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core.h"

#define WORLD_JOBS_MAX 16
#define WORLD_EPOCH_MS 1000000 /* where the clock starts */

struct sent {
    uint64_t peer;
    struct wire_msg m;
};

/* One job on the model's disk. */
struct world_job {
    struct job_image image;
    struct token *winner; /* [n_shards] token of the result; job 0: none */
    uint32_t *commits;    /* [n_shards] results ever stored */
    uint32_t *retries;    /* [n_shards] done, and to be done again */
    bool removed;
};

struct world {
    struct core *core;
    struct core_config config;
    struct core_actions act;
    int64_t now_ms;
    int64_t unix_ms; /* of every event */
    uint64_t nonce;
    struct sent *sent; /* [n_sent] not taken yet */
    size_t n_sent;
    size_t cap_sent;
    struct op *first; /* operations the core asked for, in order */
    struct op **last;
    struct world_job job[WORLD_JOBS_MAX]; /* [n_job] */
    size_t n_job;
    enum err_code fail; /* what happens to operations; ERR_NONE: they work */
    void (*on_send)(struct world *w, uint64_t peer, const struct wire_msg *m);
    void *arg;
    uint64_t beat_seq; /* of the next BEAT; 0: 1 */
    bool quiet;        /* sent messages go to on_send only */
};

void world_init(struct world *w, const struct core_config *config);
void world_free(struct world *w);
struct core_config world_config(void); /* the defaults of proto/limits.h */

/* The coordinator dies and starts again from the disk, in the next epoch. */
void world_restart(struct world *w);

/* A result has one error when it is the shard's first, none when its failed
 * line was tried again.
 *
 * An accepted job with shards of these record counts; cost is 10 a record. */
uint64_t world_job(struct world *w, int32_t priority, const uint32_t *records,
                   uint32_t n_shards);
uint64_t world_job_n(struct world *w, uint32_t n_shards); /* of 10 records */

void world_step(struct world *w, const struct core_event *e);
void world_tick(struct world *w, int64_t ms); /* so much later */
void world_message(struct world *w, uint64_t peer, enum wire_type type,
                   ProtobufCMessage *msg);
void world_gone(struct world *w, uint64_t peer);

/* Run the next operation, or all of them. false: there was none. */
bool world_store_one(struct world *w);
void world_store(struct world *w);
/* Run one without telling the core (a crash comes before that). */
void world_run(struct world *w, struct op *op);

/* The oldest message to `peer` of this type, taken; false: there is none. */
bool world_take(struct world *w, uint64_t peer, enum wire_type type,
                struct wire_msg *out);
size_t world_count(const struct world *w, uint64_t peer, enum wire_type type);
void world_forget(struct world *w); /* all messages */

/* ---- what workers and clients say ---------------------------------------- */

struct world_worker {
    uint64_t peer;
    uint8_t incarnation; /* all 16 bytes */
    uint32_t records;    /* capacity */
    uint8_t fingerprint; /* of its model "m", all 32 bytes */
};
void world_hello(struct world *w, const struct world_worker *who,
                 const struct token *held, size_t n_held);
void world_beat(struct world *w, const struct world_worker *who,
                const struct token *held, size_t n_held);
void world_release(struct world *w, const struct world_worker *who,
                   const struct token *t, Skein__ReleaseReason reason);
void world_upload(struct world *w, const struct world_worker *who,
                  const struct token *t);
void world_cancel(struct world *w, uint64_t peer, uint64_t job);
void world_order(struct world *w, uint64_t peer, const Skein__Order *order);

/* The token of the next GRANT to `who`; job 0 when there is none. */
struct token world_granted(struct world *w, const struct world_worker *who);

#endif /* TESTS_DAEMON_WORLD_H */
