/* daemon/job.h - what is known of a job: the plain data that travels between
 * the store, the ingest and the core
 *
 * A job_image is the whole durable state of a job except its blobs. The store
 * reads it at start, the ingest makes it for a new job, the core lives on it.
 */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/hash.h"
#include "proto/skein.pb-c.h"

#define REQUEST_ID_BYTES 16
#define JOB_MESSAGE_MAX 256 /* bytes of "why failed", with the final NUL */

/* Stored as numbers: never renumbered. JOB states are those of skein.proto. */
enum shard_state {
    SHARD_PENDING = 0,
    SHARD_LEASED = 1,
    SHARD_DONE = 2,
    SHARD_CANCELLED = 3,
};

/* Names one attempt at one shard; the same fields as skein.proto's Token. */
struct token {
    uint64_t epoch;
    uint64_t job;
    uint32_t shard;
    uint32_t attempt;
    uint64_t nonce;
};

/* The durable row of one shard. One that is not done and yet has errors keeps
 * the result of an earlier attempt: only those lines are to be tried again.
 */
struct shard_image {
    uint64_t nonce; /* of the last attempt */
    uint64_t epoch;
    uint64_t owner; /* first 8 bytes of the incarnation it was leased to */
    uint64_t cost;  /* estimated tokens */
    uint64_t tokens_in;
    uint64_t tokens_out;
    uint32_t attempt; /* 0: never leased */
    uint32_t n_records;
    uint32_t n_errors; /* of the result there is */
    uint8_t state;     /* enum shard_state */
    uint8_t crashes;
};

struct job_image {
    uint64_t id;
    uint8_t request_id[REQUEST_ID_BYTES];
    struct buf spec; /* packed Skein__JobSpec */
    Skein__JobState state;
    bool has_fingerprint;
    uint8_t fingerprint[HASH_BYTES];
    uint64_t lines;
    uint64_t records;
    uint64_t rejected;
    uint64_t cost;
    int64_t submitted_unix_ms;
    int64_t started_unix_ms;  /* 0: not yet */
    int64_t finished_unix_ms; /* 0: not yet */
    char message[JOB_MESSAGE_MAX];
    uint32_t n_shards;

    /* Counters. Of a live job they follow from its shards. */
    uint64_t answered;
    uint64_t failed;
    uint64_t tokens_in;
    uint64_t tokens_out;
    uint64_t cost_done;
    uint32_t shards_done;
    uint32_t prefix; /* shards 0..prefix-1 are done */

    struct shard_image *shard; /* [n_shards], or NULL of a finished job that
                                * was read from the registry */
};

/* Done, failed, cancelled, corrupt: nothing will happen to it any more. */
bool job_state_final(Skein__JobState state);

/* What the next attempt at a shard computes: records, and their estimated
 * tokens. Of a done one: nothing.
 */
uint32_t shard_records_left(const struct shard_image *s);
uint64_t shard_cost_left(const struct shard_image *s);

/* The job has ended: a shard that is not done is cancelled, or done as it was
 * before it was tried again; then no token is that of its result any more.
 */
void shard_end(struct shard_image *s);

/* "queued", "running", ... Static. */
const char *job_state_name(Skein__JobState state);

/* Recompute the counters from the shards. */
void job_image_count(struct job_image *image);

void job_image_clear(struct job_image *image); /* frees what it owns */
void job_image_free(struct job_image *image);  /* NULL is allowed */

bool token_same(const struct token *a, const struct token *b);
struct token token_of(const Skein__Token *t); /* NULL: all zero */
/* `out` is initialised and filled; it owns nothing. */
void token_fill(const struct token *t, Skein__Token *out);

#endif /* DAEMON_JOB_H */
