/* worker/work.h - what the supervisor and a rank say to each other
 *
 * Requests go down a rank's request ring, answers come up the result ring of
 * rank 0. A record is a tree of tokens: a prefix that is fed once, and branches
 * that each continue it.
 *
 *   score     prefix = context without its last token,
 *             one branch = last token of the context, target
 *   choice    the same prefix, one branch per choice
 *   rolling   no prefix, one branch = start token, text
 *   generate  prefix = prompt without its last token, one branch = that token;
 *             generation continues it
 *
 * Every token of a branch but the first is scored, given all before it; the
 * last one is therefore never fed. Pure. Both ends are ours and the memory is
 * private to them, yet lengths are checked: a broken rank must not take the
 * supervisor with it.
 */
#ifndef WORKER_WORK_H
#define WORKER_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum work_kind {
    WORK_SCORE = 1,    /* also choice and rolling */
    WORK_GENERATE = 2, /* one branch of one token */
    WORK_CANCEL = 3,   /* forget all records whose id >> 32 is that of `id` */
};

/* The beginning of a request, as it lies in the ring. */
struct work_head {
    uint32_t bytes; /* of the whole request; a multiple of 8 */
    uint32_t kind;  /* enum work_kind */
    uint64_t id;    /* shard number << 32 | record index */
    uint64_t cost;  /* tokens, roughly: for balancing ranks */
    uint64_t key;   /* random stream */
    uint32_t n_prefix;
    uint32_t n_branch;
    uint32_t n_stop;
    uint32_t stop_bytes;
    int32_t max_tokens; /* generate */
    int32_t top_k;
    float temperature;
    float top_p;
};

/* A request, taken apart; points into it. */
struct work {
    struct work_head head;
    const int32_t *branch_len; /* [n_branch] tokens */
    const int32_t *token;      /* the prefix, then the branches */
    const char *stop;          /* n_stop x { u32 length, bytes } */
};

/* Append a request: `head` gives all but `bytes`. */
void work_write(struct buf *out, const struct work_head *head,
                const int32_t *branch_len, const int32_t *token,
                const char *stop);

/* Size of the request at data[len], or 0 when it is not complete yet. */
size_t work_size(const void *data, size_t len);

/* Take a complete request apart. 0, or -1 when its lengths contradict. */
int work_read(const void *data, size_t len, struct work *out);

/* The i-th stop string. False when the table is broken. */
bool work_stop(const struct work *w, uint32_t i, const char **text,
               size_t *len);

enum answer_status {
    ANSWER_OK = 0,
    ANSWER_NON_FINITE = 1, /* a logit was inf or NaN */
    ANSWER_CANCELLED = 2,
};

enum answer_finish {
    ANSWER_STOP = 0,
    ANSWER_LENGTH = 1,
};

/* The beginning of an answer; its payload follows. */
struct answer_head {
    uint32_t bytes; /* of the whole answer; a multiple of 8 */
    uint16_t status;
    uint8_t greedy; /* every target was the argmax */
    uint8_t finish; /* generate */
    uint64_t id;
    uint64_t fed;     /* tokens */
    uint64_t sampled; /* tokens, the end token not counted */
    uint64_t
        payload_bytes; /* score: double logprob[n_branch]; generate: text */
};

void answer_write(struct buf *out, const struct answer_head *head,
                  const void *payload);

/* Size of the answer at data[len], or 0 when it is not complete yet. */
size_t answer_size(const void *data, size_t len);

/* Take a complete answer apart. 0, or -1 when its lengths contradict. */
int answer_read(const void *data, size_t len, struct answer_head *head,
                const void **payload);

#endif /* WORKER_WORK_H */
