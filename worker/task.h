/* worker/task.h - one record on its way through a rank
 *
 * The request, how far its branches are, and the answer as it grows. Knows
 * nothing of slots and steps: rank.c moves it.
 */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "text/tokenizer.h"
#include "worker/work.h"

struct decoder;

enum task_where {
    TASK_RUNNING, /* in slots only */
    TASK_WAITING, /* in the queue of records not admitted yet */
    TASK_FORKING, /* in the queue of records with branches to start */
};

/* What is known of a branch so far. */
struct task_branch {
    double logprob;
    bool greedy;
    bool ended;              /* by the end token */
    struct decoder *decoder; /* while it generates */
    int32_t sampled;         /* tokens, without the end token */
    enum answer_finish finish;
    struct buf detail; /* struct token_logprob */
};

struct task {
    struct task *next; /* in its queue */
    enum task_where where;
    struct task *older, *newer; /* all tasks of the rank */
    struct work work;           /* points into bytes */
    const int32_t *branch_at;   /* tokens of the next branch to start */
    uint32_t n_started;         /* branches */
    uint32_t n_ended;
    int32_t n_place;     /* slots held */
    int32_t n_run;       /* sequences in slots or in steps not read yet */
    bool over;           /* answered; lives on for its runs */
    int32_t prefix_slot; /* -1: none */
    bool reserved;       /* a free slot is promised to the next branch */
    enum answer_status status;
    uint64_t fed;
    struct task_branch *branch;        /* [n_branch] */
    _Alignas(8) unsigned char bytes[]; /* the request */
};

/* A task for task_free(), or NULL: the request is malformed. `t` is needed to
 * generate text.
 */
struct task *task_create(const void *request, size_t len,
                         const struct tokenizer *t);
void task_free(struct task *t);

bool task_generates(const struct task *t);
bool task_remembers(const struct task *t); /* draws go by what came before */

/* Tokens that its first sequence has: the whole record when there is one branch,
 * else the prefix.
 */
int32_t task_first_tokens(const struct task *t);

/* Has its next branch nothing to compute? */
bool task_next_trivial(const struct task *t);

/* Start the next branch: its tokens and number. */
uint32_t task_next_branch(struct task *t, const int32_t **token, int32_t *n);

/* A branch's token was scored or sampled: note it where the answer tells it.
 * `top_id` and `top_logprob` have work.head.top_logprobs alternatives.
 */
void task_tell(struct task *t, uint32_t branch, int32_t token, float logprob,
               const int32_t *top_id, const float *top_logprob);

/* A token was sampled. Returns true when that ends the generation. */
bool task_sampled(struct task *t, uint32_t branch,
                  const struct tokenizer *tokenizer, int32_t token);

/* Append the answer; the last thing done to a task. */
void task_answer(struct task *t, struct buf *out);

#endif /* WORKER_TASK_H */
