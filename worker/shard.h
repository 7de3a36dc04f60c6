/* worker/shard.h - one leased shard: from its packed input to its packed result
 *
 *   FETCHING -> PREPARING -> COMPUTING -> ASSEMBLING -> DONE
 *
 * PREPARING and ASSEMBLING run on a pool thread, which then owns all but token,
 * number, state, dropped and what the grant promised; the other states belong
 * to the supervisor's loop. A shard dropped meanwhile is freed when the thread
 * gives it back.
 */
#ifndef WORKER_SHARD_H
#define WORKER_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"
#include "proto/record.h"
#include "proto/wire.h"
#include "worker/encode.h"
#include "worker/fetch.h"
#include "worker/pool.h"
#include "worker/upload.h"
#include "worker/work.h"

enum shard_state {
    SHARD_FETCHING,
    SHARD_PREPARING,
    SHARD_COMPUTING,
    SHARD_ASSEMBLING,
    SHARD_DONE,
    SHARD_BROKEN, /* the input is not what was promised: err says */
};

enum shard_item_state {
    ITEM_WAITING,
    ITEM_GIVEN,    /* to the ranks */
    ITEM_ANSWERED, /* or an error: of encoding, or since */
};

/* One line. */
struct shard_item {
    uint64_t line;
    struct record *record; /* NULL: it did not parse */
    enum shard_item_state state;
    bool suspect;    /* was on the device at a crash: runs alone */
    uint8_t crashes; /* alone */
    bool is_error;   /* the text is an error object */
    uint32_t request_len;
    size_t request_at; /* in shard.requests */
    struct encoded encoded;
    size_t answer_at; /* in shard.answers: payload, or the error's text */
    size_t answer_len;
};

struct shard {
    struct pool_job job; /* first: the pool gives the shard back by it */
    Skein__Token token;
    uint32_t number;        /* of this worker: names it to the ranks */
    enum shard_state state; /* set by the loop only */
    enum shard_state after; /* state when the thread has finished */
    bool dropped;           /* nobody wants it any more */
    struct err err;
    struct fetch fetch;   /* FETCHING */
    struct upload upload; /* DONE */

    struct encode_rules rules;
    char *model; /* of rules.job */
    uint8_t input_hash[HASH_BYTES];
    uint64_t input_bytes;
    uint32_t n_records; /* promised by the grant */
    uint64_t cost;      /* promised by the grant */
    struct buf input;   /* packed; freed after PREPARING */

    struct shard_item *item; /* [n] */
    uint32_t n;
    uint32_t n_answered;
    uint32_t n_given;
    uint32_t cursor; /* no item before it is WAITING and not suspect */
    struct buf requests;
    struct buf answers;
    uint64_t fed, sampled; /* tokens; the threads leave them alone */

    struct buf result; /* packed; DONE */
    uint8_t result_hash[HASH_BYTES];
    uint32_t n_errors;
};

struct shard *shard_create(const Skein__Grant *grant, uint32_t number,
                           const struct encode_rules *rules);
void shard_free(struct shard *s); /* NULL is allowed */

/* The input has arrived: check, unpack, parse, encode. On a pool thread; then
 * COMPUTING, or BROKEN.
 */
void shard_prepare(struct pool_job *job);

/* Write all answers, pack and hash them. On a pool thread; then DONE. */
void shard_assemble(struct pool_job *job);

bool shard_complete(const struct shard *s); /* every item answered */

/* The next item that may be given, or NULL. */
struct shard_item *shard_next(struct shard *s);

/* The item of a rank's record id, or NULL. */
struct shard_item *shard_item(struct shard *s, uint64_t id);
uint64_t shard_id(const struct shard *s, const struct shard_item *item);

void shard_given(struct shard *s, struct shard_item *item);

/* All ranks are gone: what was given waits again. */
void shard_lost(struct shard *s);

/* A rank answered. */
void shard_answer(struct shard *s, struct shard_item *item,
                  const struct answer_head *head, const void *payload);

/* The item's answer is an error. `e` says which. */
void shard_fail(struct shard *s, struct shard_item *item,
                const struct record_error *e);

#endif /* WORKER_SHARD_H */
