/* model/backend.h - what a device does for the worker
 *
 * A backend holds a model's weights, a fixed pool of recurrent state slots and
 * the scratch memory of one step, all allocated by backend_create(). RWKV-7
 * needs no cache that grows with the text: a sequence is one slot, from its
 * first token to its last. So the packer hands out slots, never memory.
 *
 * The contract is asynchronous: submit a step, get a ticket, wait for it later.
 * Tokens sampled by a step feed the next one on the device (piece.token NULL),
 * so the host may submit step n+1 before it has read what step n sampled.
 * One thread uses a backend at a time.
 *
 *   T  rows (tokens) in a step      L  layers       C  channels, C = H * N
 *   S  state slots                  V  vocabulary   H  heads, N  head size
 *
 * Arrays are dense, row-major, in host memory.
 *
 * Numerics (DESIGN section 8): a row's result depends on its own sequence
 * alone, bit for bit: not on its neighbours, its place in the step, how the
 * sequence was cut into pieces, nor the number of threads or ranks.
 *
 * Source of the model: docs/model.md.
 */
#ifndef MODEL_BACKEND_H
#define MODEL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct backend;
struct weights; /* model/weights.h */

#define BACKEND_TOPK_MAX 20   /* OpenAI's limit for top_logprobs */
#define BACKEND_BIAS_MAX 1024 /* biased tokens of a slot */

/* Sizes fixed for the life of a backend. Each costs device memory. */
struct backend_limits {
    int32_t slots;           /* S >= 1 */
    int32_t tokens_per_step; /* largest T >= 1 */
    int32_t score_rows;      /* most score rows in a step, 1..T; 0 means T */
    int32_t histories;       /* most slots with a history at a time, 0..S;
                              * each takes 4 V bytes */
};

/* A run of consecutive tokens of one sequence. */
struct piece {
    int32_t slot;         /* 0..S-1; no two pieces of a step share one */
    int32_t n;            /* >= 1; pieces take rows 0.. in the order listed */
    const int32_t *token; /* [n] each 0..V-1; NULL: the token last sampled for
                           * this slot, and then n = 1. backend_copy() copies
                           * that token; backend_reset() and backend_load()
                           * forget it */
};

struct logit_bias {
    int32_t token; /* 0..V-1 */
    float bias;    /* finite */
};

/* What the penalties of a slot's draws go by. */
struct history {
    const int32_t *prompt; /* [n_prompt], each 0..V-1, in any order */
    int32_t n_prompt;
    const int32_t *generated; /* [n_generated] sampled so far, as above */
    int32_t n_generated;
    const struct logit_bias *bias; /* [n_bias], tokens strictly ascending */
    int32_t n_bias;                /* 0..BACKEND_BIAS_MAX */
};

/* Ask for log P(target | everything up to and including row). */
struct score_row {
    int32_t row;    /* 0..T-1, strictly ascending within a step */
    int32_t target; /* 0..V-1 */
    int32_t topk;   /* 0..min(V, BACKEND_TOPK_MAX) most likely tokens, too */
};

struct score_out {
    float logprob; /* nats; log-softmax in fp32, fixed reduction order */
    bool argmax;   /* target is the most likely token (lowest id wins ties) */
    bool finite;   /* false: a logit of this row was inf or NaN */
};

/* Draw a token for a slot from the distribution after `row`; at most one per
 * piece. The rules of the draw: model/sampler.h. Penalties need a history
 * (backend_remember()); a slot with one counts every token sampled for it, and
 * applies its bias.
 */
struct sample_row {
    int32_t row;              /* 0..T-1, the last row of a piece */
    int32_t slot;             /* the piece's slot */
    float temperature;        /* 0: argmax, lowest id wins ties */
    float top_p;              /* (0, 1]; 1 is off */
    int32_t top_k;            /* 0 is off */
    uint64_t key;             /* random stream of the record, DESIGN 8.5 */
    uint32_t sample;          /* which of n samples of the record */
    uint32_t position;        /* generated tokens before this one */
    float min_p;              /* 0..1; 0 is off */
    float presence_penalty;   /* of generated tokens; 0 is off */
    float frequency_penalty;  /* of generated tokens, each time; 0 is off */
    float repetition_penalty; /* of prompt and generated tokens, above 0; 1 is
                               * off, and 0 means 1 */
};

struct sample_out {
    int32_t token;
    float logprob; /* of the raw distribution: before bias, penalties,
                    * temperature and cuts */
    bool finite;   /* false: a logit of this row was inf or NaN; token is 0 */
};

/* One step. Arrays are borrowed until backend_wait() of its ticket returns. */
struct step {
    const struct piece *piece;
    int32_t n_piece; /* >= 1 */
    const struct score_row *score;
    int32_t n_score;
    const struct sample_row *sample;
    int32_t n_sample;
    const int32_t *logit_row; /* rows whose raw logits are wanted (tools);
                               * strictly ascending */
    int32_t n_logit;

    /* Written before backend_wait() returns. NULL where the count is 0. */
    struct score_out *score_out;   /* [n_score] */
    int32_t *topk_id;              /* [n_score][BACKEND_TOPK_MAX] or NULL */
    float *topk_logprob;           /* the same shape, descending, lowest id
                                    * first among equals; NULL if no score row
                                    * asks for top-k. A row that is not finite
                                    * has ids 0, 1, .. and NaN */
    struct sample_out *sample_out; /* [n_sample] */
    float *logits;                 /* [n_logit][V], before softmax */
};

/* What a backend is, for authors of backends. Callers use the functions below.
 * backend.c checks every argument first: `create` gets good limits, `submit` a
 * good step and at most two of them unwaited, `wait` an unwaited ticket, `load`
 * finite values, `remember` a slot that has a history. `submit` may do all its
 * work before it returns. `copy` copies the history when dst has one. What
 * `step->sample` says of penalties is off where the slot has no history.
 */
struct backend_ops {
    const char *name; /* "cpu", "null", "cuda" */
    struct backend *(*create)(const struct weights *w,
                              const struct backend_limits *limits,
                              const char *options, struct err *err);
    void (*destroy)(struct backend *b);
    int64_t (*submit)(struct backend *b, const struct step *step,
                      struct err *err);
    int (*wait)(struct backend *b, int64_t ticket, struct err *err);
    int (*reset)(struct backend *b, int32_t slot, struct err *err);
    int (*copy)(struct backend *b, int32_t dst, int32_t src, struct err *err);
    int (*save)(struct backend *b, int32_t slot, float *state, struct err *err);
    int (*load)(struct backend *b, int32_t slot, const float *state,
                struct err *err);
    int (*remember)(struct backend *b, int32_t slot, const struct history *h,
                    struct err *err);
};

/* Every backend struct begins with this. */
struct backend {
    const struct backend_ops *ops;
    struct backend_limits limits;
    int32_t vocab;       /* V */
    size_t state_bytes;  /* of backend_save() */
    const char *compute; /* "fp32", "fp16", "bf16" or "null"; static */
    bool async;          /* submit() returns before the step is computed: it
                          * pays to have two of them unwaited */

    /* Of backend.c; create leaves them NULL. */
    struct backend_guard *guard;
    int32_t *history; /* [S] 0..histories-1: the slot's history, -1: none */
};

/* One key that a backend's `options` may hold: a whole number min..max, or,
 * with `word`, one of a NULL-ended list, given as its index.
 */
struct backend_option {
    const char *key;
    int64_t *value; /* untouched when the key is not given */
    int64_t min, max;
    const char *const *word;
};

/* Read "key=value,key=value" (NULL or empty: nothing). 0, or -1: ERR_INVALID;
 * text names the key and what it takes.
 */
int backend_options(const char *options, const struct backend_option *option,
                    size_t n, struct err *err);

extern const struct backend_ops backend_cpu;  /* fp32, oracle of CUDA tests */
extern const struct backend_ops backend_null; /* no model: whole-system tests */
/* In cuda/: create refuses (ERR_INVALID) in a program built without CUDA. */
extern const struct backend_ops backend_cuda;

/* Build a backend, upload the weights, zero every slot.
 *
 * weights  borrowed until backend_destroy(); NULL for "null"
 * options  backend-specific, "key=value,key=value" or NULL:
 *            null: model/backend_null.c lists its triggers
 *            cpu:  isa=auto|avx512|avx2|portable; the bits are the same
 *            cuda: device=0.., compute=fp16|bf16|fp32; fp32 has cpu's bits
 *
 * Returns a backend for backend_destroy(), or NULL: ERR_INVALID (limits,
 * options), ERR_NOMEM (text gives needed and available bytes), ERR_CUDA.
 */
struct backend *backend_create(const struct backend_ops *ops,
                               const struct weights *weights,
                               const struct backend_limits *limits,
                               const char *options, struct err *err);

void backend_destroy(struct backend *b); /* NULL is allowed */

/* Start a step. Returns a ticket > 0, or -1: ERR_INVALID (a bad step: text says
 * which field; nothing has changed), ERR_CUDA. At most two steps may be
 * unwaited.
 */
int64_t backend_submit(struct backend *b, const struct step *step,
                       struct err *err);

/* Wait until the outputs of `ticket` are written. 0, or -1: ERR_INVALID (not an
 * unwaited ticket), ERR_CUDA.
 */
int backend_wait(struct backend *b, int64_t ticket, struct err *err);

/* Ordered with the steps around them. 0, or -1: ERR_INVALID (no such slot),
 * ERR_CUDA.
 */
int backend_reset(struct backend *b, int32_t slot, struct err *err);
int backend_copy(struct backend *b, int32_t dst, int32_t src, struct err *err);

/* Copy a slot's state out to, or in from, state_bytes of host memory: fp32, for
 * each layer att_shift [C], S [H][N value][N key], ffn_shift [C]. The layout is
 * the same for every backend. load refuses non-finite values (ERR_INVALID) and
 * then changes nothing.
 */
int backend_save(struct backend *b, int32_t slot, float *state,
                 struct err *err);
int backend_load(struct backend *b, int32_t slot, const float *state,
                 struct err *err);

/* Give the slot a history, in place of one that it has. backend_copy() gives
 * dst a copy of src's; backend_reset() and backend_load() take it away, and so
 * a saved sequence goes on with the tokens that its owner kept. Ordered with
 * the steps around it. 0, or -1: ERR_INVALID (text says which field), ERR_LIMIT
 * (all histories are in use; nothing has changed), ERR_CUDA. backend_copy() may
 * fail with ERR_LIMIT, too.
 */
int backend_remember(struct backend *b, int32_t slot, const struct history *h,
                     struct err *err);

#ifdef __cplusplus
}
#endif

#endif /* MODEL_BACKEND_H */
