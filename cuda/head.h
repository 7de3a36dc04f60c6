/* cuda/head.h - the output head of the CUDA backend
 *
 * Rows whose logits somebody wants are taken HEAD_ROWS at a time through ln_out
 * and the head, HEAD_COLS columns of the vocabulary at a time; their logits are
 * reduced chunk by chunk (cuda/score.cu). Only rows that are sampled at a
 * temperature, asked for raw, or asked for top-k leave the device whole, at most
 * HEAD_WHOLE of them at a time; draws and top-k happen on the host, by the
 * rules of the CPU backend (model/sampler.h).
 */
#ifndef CUDA_HEAD_H
#define CUDA_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/arena.h"
#include "cuda/gemm.h"
#include "cuda/model.h"
#include "model/backend.h"

#define HEAD_ROWS 2048
#define HEAD_COLS 8192 /* a multiple of SCORE_COLS */
#define HEAD_WHOLE 128

struct head;

/* For steps within `limits`. The model outlives the head. Takes its device
 * memory from `arena`: once to count, then through head_place(). NULL:
 * ERR_NOMEM.
 */
struct head *head_create(const struct cuda_model *m,
                         const struct backend_limits *limits, struct err *err);
void head_place(struct head *h, struct arena *arena);
void head_destroy(struct head *h); /* NULL is allowed */

/* Compute all that `step` wants of its rows x [T][C] (before ln_out), write the
 * step's outputs and the sampled tokens into last[slot]. Waits for the stream.
 * 0, or -1: ERR_CUDA.
 */
int head_run(struct head *h, const struct step *step, float *x,
             struct gemm *gemm, cudaStream_t stream, int32_t *last,
             struct err *err);

/* The shapes of the head's products. */
int head_admit(const struct cuda_model *m, const struct backend_limits *limits,
               struct gemm *gemm, struct err *err);
size_t head_admit_bytes(const struct cuda_model *m,
                        const struct backend_limits *limits);

#endif /* CUDA_HEAD_H */
