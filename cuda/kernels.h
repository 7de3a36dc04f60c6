/* cuda/kernels.h - what the .cu files compute, as C sees it
 *
 * Every launcher enqueues on a stream and returns cudaGetLastError() of its
 * launch. Pointers are device memory unless said otherwise. Matrices of rows
 * are row-major and dense; C, and every K and N of a product, are multiples of
 * 16 (padded with zeros where the model's are not).
 *
 * Arithmetic is fp32 in the CPU backend's order (cuda/math.cuh); only the inputs
 * of products are narrower (enum narrow_type), and what ends such a product
 * (cuda/approx.cuh) is approximated to 2^-22. An fp16 row whose largest value
 * is 2^15 or more is scaled by a power of two that brings it below; its factor
 * `up` undoes that, exactly, where the product is read. So a row never
 * overflows by being narrowed, and depends on nothing but itself.
 *
 *   T rows of the step   P pieces   C channels   H heads of N   V vocabulary
 */
#ifndef CUDA_KERNELS_H
#define CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/draw.h"

#ifdef __cplusplus
extern "C" {
#endif

enum narrow_type {
    NARROW_FP16,
    NARROW_BF16,
    NARROW_FP32,
};

static inline size_t narrow_size(enum narrow_type t)
{
    return t == NARROW_FP32 ? 4 : 2;
}

/* Input of a product: rows, and the factor of each row's results. */
struct narrow_rows {
    void *at;  /* [T][width] of the type */
    float *up; /* [T] */
};

/* Result of a product, to be read as at[row][c] * up[row]. */
struct wide_rows {
    const float *at;
    const float *up; /* NULL: 1 */
};

struct cuda_piece {
    int32_t slot, first, n; /* first row, rows */
};

/* ---- embed.cu ---- */

/* x[T][C] = emb[token[T]]; a token below zero stands for last[~token]. */
cudaError_t kernel_embed(int rows, int c, const int32_t *token,
                         const int32_t *last, const float *emb, float *x,
                         cudaStream_t s);

/* x += y (+ bias), unless y.at is NULL; then, unless h is NULL,
 * h = LN(x; weight, bias). h may be x.
 */
struct add_norm {
    int rows, c;
    float *x;              /* [rows][C] */
    struct wide_rows y;    /* [rows][C] */
    const float *y_bias;   /* [C] or NULL */
    const float *weight;   /* [C] */
    const float *bias;     /* [C] */
    const int32_t *gather; /* h[i] = LN(x[gather[i]]), x unchanged; or NULL */
    float *h;              /* [rows][C] */
};
cudaError_t kernel_add_norm(const struct add_norm *a, cudaStream_t s);
#define ADD_NORM_C_MAX 12288 /* a row must fit shared memory */

/* ---- shift.cu ---- */

#define MIX_MAX 6
#define SHIFT_CLEAR 2

/* Steps 3-5 and 17, after the residual sum of the block before: x_out = x + y
 * (+ bias); h = LN(x_out; weight, bias); out[i] = h + (before - h) * mix[i],
 * where `before` is h of the row above, or the shift state of the slot that
 * begins here. The last h of a piece of one row becomes the slot's shift state;
 * that of a longer piece goes to h, for kernel_keep_shift().
 */
struct shift {
    int rows, c, n;        /* n of the MIX_MAX are used: 1 or all */
    const float *x;        /* [T][C] */
    struct wide_rows y;    /* [T][C]; at NULL: nothing to add */
    const float *y_bias;   /* [C] or NULL */
    float *x_out;          /* [T][C], not x */
    const float *weight;   /* [C] */
    const float *bias;     /* [C] */
    const int32_t *begins; /* [T] slot of the piece that begins here or -1 */
    const int32_t *ends;   /* [T] slot of the piece that ends here or -1 */
    float *state;          /* slot 0's shift row */
    size_t stride;         /* floats from slot to slot */
    float *h;              /* [T][C], only rows that end a piece */
    const float *mix[MIX_MAX]; /* [C] each */
    struct narrow_rows out[MIX_MAX];
    enum narrow_type type;
    bool scaled; /* fp16: results may be 2^15 or more; else they may not */
    uint32_t *clear[SHIFT_CLEAR]; /* [T] each, or NULL: set to zero */
};
cudaError_t kernel_shift(const struct shift *a, cudaStream_t s);

/* h of the last row of every piece of more than one becomes its slot's shift
 * state.
 */
cudaError_t kernel_keep_shift(int pieces, int c, const struct cuda_piece *piece,
                              const float *h, float *state, size_t stride,
                              cudaStream_t s);

/* ---- narrow.cu ---- */

/* out = in, narrowed; width a multiple of 16. */
cudaError_t kernel_narrow(int rows, int width, struct wide_rows in,
                          enum narrow_type type, struct narrow_rows out,
                          cudaStream_t s);

/* Rows of y [rows][C], fp16, with over[row] not zero, the largest magnitude's
 * bits: scaled, infinities taken from `spill` first. y_up of every row.
 */
cudaError_t kernel_refit_spilled(int rows, int c, const uint32_t *over,
                                 const float *spill, void *y, float *y_up,
                                 cudaStream_t s);

/* ---- load.cu ---- */

/* out[n] = in[n], fp16 or bf16 (`type`), exactly. */
cudaError_t kernel_widen(int64_t n, enum narrow_type type, const void *in,
                         float *out, cudaStream_t s);

/* ---- wkv7.cu ---- */

/* Steps 10-15 and the gate of 16, for all heads of all pieces. A value channel
 * belongs to one thread, which walks the keys in order, for one token as for
 * thousands: prefill and decode have the same bits.
 */
struct wkv7 {
    int pieces, c, h, n;
    const struct cuda_piece *piece; /* [P]; one without rows is skipped */
    const float *r, *k, *v, *g;     /* [T][C] products */
    const float *decay, *rate;      /* [T][C] steps 7 and 8 */
    const float *gate_v;            /* [T][C] of step 10; layer 0: NULL */
    const float *first_v;           /* [T][C] layer 0's v */
    const float *k_k, *k_a, *r_k, *weight, *bias; /* [C] */
    int split_max; /* with at most so many blocks staging has threads of its
                    * own (N = 64); a matter of speed alone */
    int multiprocessors;
    float *state;  /* slot 0's S of the layer: [H][N key][N value] */
    size_t stride; /* floats from slot to slot */
    enum narrow_type type;
    void *y;        /* [T][C] of the type; fp16: see kernel_refit_spilled() */
    float *spill;   /* [T][C] fp16 */
    uint32_t *over; /* [T] fp16; zero before */
};
cudaError_t kernel_wkv7(const struct wkv7 *a, cudaStream_t s);
bool kernel_wkv7_has(int n); /* is there a kernel for this head size? */

/* ---- score.cu ---- */

#define SCORE_COLS 512 /* columns reduced at a time, as HEAD_COLS of the CPU */

struct score_part {
    float max, sum; /* sum of exp(logit - max) */
    int32_t best;   /* lowest id of max */
    int32_t finite;
};

struct score_result {
    float max, log_sum;
    float target; /* logit of the target */
    int32_t best;
    int32_t finite;
};

/* Columns first..first+cols-1 of the logits of `rows` rows; ld is even. */
struct score {
    int rows, cols, ld, first;
    int n_part, vocab;
    struct wide_rows logits; /* [rows][ld] */
    const float *bias;       /* [V] or NULL */
    const int32_t *target;   /* [rows], -1: none */
    const int32_t *whole;    /* [rows] row of `copy`, -1: none */
    float *copy;             /* [..][copy_ld] */
    int copy_ld;
    struct score_part *part;  /* [rows][n_part] */
    struct score_result *out; /* [rows]; here only .target is written */
};
cudaError_t kernel_score(const struct score *a, cudaStream_t s);
/* After all columns: joins the parts of each row in ascending order. */
cudaError_t kernel_score_join(int rows, int n_part,
                              const struct score_part *part,
                              struct score_result *out, cudaStream_t s);

/* ---- sample.cu ---- */

/* One draw. The rules: model/sampler.h; every field is of struct sample_row or
 * follows from it.
 */
struct draw_row {
    int32_t row;     /* of the score parts and results; -1: nothing to draw */
    int32_t whole;   /* row of the logits; -1: the largest is drawn */
    int32_t slot;    /* whose last token it becomes */
    int32_t history; /* of the slot, to count the token; -1: none */
    bool penalized;  /* penalties or a bias apply: whole >= 0 */
    int32_t top_k;   /* 0: off */
    float scale;     /* draw_scale(); 0: the largest */
    float top_p, min_p;
    struct draw_penalty penalty;
    uint64_t random; /* philox_bits() */
};

struct draw_bias {
    int32_t n;
    struct logit_bias at[BACKEND_BIAS_MAX];
};

/* The k most likely tokens of a scored row. */
struct top_row {
    int32_t row, whole; /* as above; -1: nothing */
    int32_t k;          /* 1..BACKEND_TOPK_MAX */
};

struct sampling {
    int vocab, ld, n_part;
    const float *logits;              /* [..][ld] whole rows */
    const struct score_part *part;    /* [..][n_part] */
    const struct score_result *score; /* [..] */
    uint32_t *seen;                   /* [histories][V] */
    const struct draw_bias *bias;     /* [histories] */
};

/* Sampled tokens go to out[i], to last[slot], and into the slot's history. */
cudaError_t kernel_draw(const struct sampling *a, int n,
                        const struct draw_row *how, int32_t *last,
                        struct sample_out *out, cudaStream_t s);

/* id and logprob [n][BACKEND_TOPK_MAX], as struct step has them. */
cudaError_t kernel_top(const struct sampling *a, int n,
                       const struct top_row *top, int32_t *id, float *logprob,
                       cudaStream_t s);

/* Into seen[V] of a history: flag (DRAW_IN_PROMPT, DRAW_HAS_BIAS) for each of
 * token[n], or with flag 0 once more generated.
 */
cudaError_t kernel_remember(int n, const int32_t *token, uint32_t flag,
                            uint32_t *seen, cudaStream_t s);

/* ---- product.cu ---- */

/* y[m][n] = x[m][k] W[n][k]^T. fp32: one chain of fused multiply-adds, k
 * ascending, the CPU's bits. fp16, bf16: one fp32 accumulator per output, k
 * ascending in tensor-core steps of 16: the class that cuda/gemm.h holds
 * library plans to.
 */
cudaError_t kernel_product(enum narrow_type type, int m, int n, int k,
                           const void *w, const void *x, float *y,
                           cudaStream_t s);

/* Test data: row r has the values of row r % period. kind 0: uniform, 1: wide
 * exponents, 2: cancelling.
 */
cudaError_t kernel_product_fill(enum narrow_type type, int64_t rows,
                                int64_t width, int64_t period, uint32_t seed,
                                int kind, void *out, cudaStream_t s);

/* *differs becomes 1 unless y[r] has the bits of want[r % period] for all r. */
cudaError_t kernel_product_compare(int64_t rows, int64_t width, int64_t period,
                                   const float *y, const float *want,
                                   int32_t *differs, cudaStream_t s);

#ifdef __cplusplus
}
#endif

#endif /* CUDA_KERNELS_H */
