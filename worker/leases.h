/* worker/leases.h - all shards this worker holds, and what happens to them
 *
 * Joins the parts: the session brings grants and takes results, the pool
 * prepares and assembles, the ranks compute. Runs in the supervisor's loop.
 * Lease rule: a shard whose lease the coordinator has not confirmed in time is
 * abandoned, unless it is finished: results are kept until COMMITTED or STALE.
 */
#ifndef WORKER_LEASES_H
#define WORKER_LEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/encode.h"
#include "worker/pool.h"
#include "worker/gauges.h"
#include "worker/ranks.h"
#include "worker/session.h"

struct leases;

struct leases_config {
    const char *model;          /* name that jobs ask for */
    const uint8_t *fingerprint; /* [HASH_BYTES] */
    struct encode_rules rules;  /* tokenizer and vocab */
    struct ranks *ranks;
    struct gauges *gauges;
    const struct devices *devices;
    struct pool *pool;
    size_t n_rank;
    int32_t slots; /* of a rank */
};

struct leases *leases_create(const struct leases_config *config);
void leases_destroy(struct leases *l); /* after the pool; NULL is allowed */

/* Messages go there from now on; before everything below. */
void leases_attach(struct leases *l, struct session *session);

/* For the session's handler. */
void leases_report(struct leases *l, int64_t now_ms,
                   struct session_report *out);
void leases_welcome(struct leases *l);
void leases_grant(struct leases *l, const Skein__Grant *grant);
void leases_over(struct leases *l, const Skein__Token *token, const char *how);
void leases_transfer(struct leases *l, const struct wire_msg *msg,
                     int64_t now_ms);

/* For the ranks' handler. */
void leases_answer(struct leases *l, const struct answer_head *head,
                   const void *payload);
void leases_lost(struct leases *l, const uint64_t *suspect, size_t n);

/* Abandon what the coordinator may have given to somebody else by now; before
 * session_step(), which may say HELLO with what is held.
 */
void leases_expire(struct leases *l, int64_t now_ms);

/* Move everything that can move. */
void leases_step(struct leases *l, int64_t now_ms);

/* When something is due; not after `now_ms` when something is already. */
int64_t leases_deadline(const struct leases *l, int64_t now_ms);

/* Take nothing more; give back what no rank works on. */
void leases_drain(struct leases *l);

/* Give back everything that is not finished. */
void leases_give_back(struct leases *l);

size_t leases_count(const struct leases *l); /* shards held */

#endif /* WORKER_LEASES_H */
