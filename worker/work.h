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
 *   generate  prefix = prompt without its last token, n branches = that token;
 *             generation continues each of them. Several prompts, or a prompt
 *             that is scored itself: no prefix, a branch = the whole prompt
 *
 * Of a branch that is scored, every token but the first is, given all before
 * it; when nothing is generated the last one is therefore never fed. Pure. Both
 * ends are ours and the memory is private to them, yet lengths are checked: a
 * broken rank must not take the supervisor with it.
 */
#ifndef WORKER_WORK_H
#define WORKER_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "model/backend.h"
#include "proto/record.h"

enum work_kind {
    WORK_RECORD = 1,
    WORK_CANCEL = 2, /* forget all records whose id >> 32 is that of `id` */
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
    int32_t max_tokens; /* to generate behind each branch; 0: none */
    int32_t top_k;
    float temperature;
    float top_p;
    uint16_t scored;       /* the branches are */
    uint16_t detail;       /* the answer tells every token scored or drawn, */
    uint32_t top_logprobs; /* each with so many likeliest ones */
    float min_p;
    float presence_penalty;
    float frequency_penalty;
    float repetition_penalty;
    uint32_t n_bias;
    uint32_t unused;
};

/* A request, taken apart; points into it. */
struct work {
    struct work_head head;
    const int32_t *branch_len;     /* [n_branch] tokens */
    const int32_t *token;          /* the prefix, then the branches */
    const struct logit_bias *bias; /* [n_bias], tokens ascending */
    const char *stop;              /* n_stop x { u32 length, bytes } */
};

/* Append a request: `head` gives all but `bytes`. */
void work_write(struct buf *out, const struct work_head *head,
                const int32_t *branch_len, const int32_t *token,
                const struct logit_bias *bias, const char *stop);

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
    uint32_t status;
    uint64_t id;
    uint64_t fed;           /* tokens */
    uint64_t sampled;       /* tokens, end tokens not counted */
    uint64_t payload_bytes; /* status OK: every branch, in their order */
};

/* A branch in the payload. Behind it come its tokens, as in struct
 * record_detail, and its text, both padded to a multiple of 8 bytes.
 */
struct answer_branch {
    double logprob;      /* of all scored tokens */
    uint32_t n_detail;   /* tokens told: the scored, then the drawn ones */
    uint32_t text_bytes; /* generated */
    uint32_t sampled;    /* tokens generated, the end token not counted */
    uint8_t greedy;      /* every scored token was the argmax */
    uint8_t finish;      /* generated: enum answer_finish */
    uint8_t ended;       /* by the end token, which is among those told */
    uint8_t unused;
};

/* The same, taken apart; points into the payload. */
struct answer_view {
    struct answer_branch branch;
    struct record_detail detail;
    const char *text;
};

void answer_write(struct buf *out, const struct answer_head *head,
                  const void *payload);

/* Append a branch to a payload; tokens of `detail` have k alternatives. */
void answer_add_branch(struct buf *out, const struct answer_branch *branch,
                       const struct token_logprob *detail, uint32_t k,
                       const char *text);

/* Take the branch at *at of a payload, aligned to 8 bytes, apart and go
 * on to the next one. 0, or -1: there is none.
 */
int answer_next_branch(const void *payload, size_t len, size_t *at, uint32_t k,
                       struct answer_view *out);

/* Size of the answer at data[len], or 0 when it is not complete yet. */
size_t answer_size(const void *data, size_t len);

/* Take a complete answer apart. 0, or -1 when its lengths contradict. */
int answer_read(const void *data, size_t len, struct answer_head *head,
                const void **payload);

#endif /* WORKER_WORK_H */
