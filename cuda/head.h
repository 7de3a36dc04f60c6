/* cuda/head.h - the output head of the CUDA backend
 *
 * Rows whose logits somebody wants are taken HEAD_ROWS at a time through ln_out
 * and the head, some columns of the vocabulary at a time, so that a block of
 * logits stays in the second-level cache until it is reduced (cuda/score.cu).
 * Rows that are sampled at a temperature or with penalties, asked for top-k, or
 * for raw logits are kept whole, at most HEAD_WHOLE of them at a time: draws and
 * top-k lists are made on the device (cuda/sample.cu), by the rules of the CPU
 * backend. Only raw logits ever leave it.
 */
#ifndef CUDA_HEAD_H
#define CUDA_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/arena.h"
#include "cuda/gemm.h"
#include "cuda/history.h"
#include "cuda/model.h"
#include "model/backend.h"

#define HEAD_ROWS 2048
#define HEAD_WHOLE 1024
#define HEAD_FLIGHTS 2 /* steps between head_begin() and head_end() */

struct head;

/* For steps within `limits`. The model outlives the head. Takes its device
 * memory from `arena`: once to count, then through head_place(). NULL:
 * ERR_NOMEM, ERR_CUDA.
 */
struct head *head_create(const struct cuda_model *m,
                         const struct backend_limits *limits, struct err *err);
void head_place(struct head *h, struct arena *arena);
void head_destroy(struct head *h); /* NULL is allowed */

/* Enqueue on `stream` all that `step` wants of its rows x [T][C] (before
 * ln_out). Draws go to last[slot] [S] in device memory and into the slots'
 * histories. `history` [S] is that of struct backend. Raw logits go to the step
 * at once and are waited for; nothing else is. 0, or -1: ERR_CUDA.
 */
int head_begin(struct head *h, int flight, const struct step *step,
               const int32_t *history, float *x, struct gemm *gemm,
               cudaStream_t stream, int32_t *last, struct err *err);

/* The stream has done what head_begin() enqueued: write the step's outputs. */
void head_end(struct head *h, int flight, const struct step *step);

/* Give a slot's history another content, or a copy of another one's. Enqueued
 * on `stream`. 0, or -1: ERR_CUDA.
 */
int head_remember(struct head *h, int32_t index, const struct history *to,
                  cudaStream_t stream, struct err *err);
int head_copy_history(struct head *h, int32_t dst, int32_t src,
                      cudaStream_t stream, struct err *err);

/* Columns of one product of a head with n outputs, for so many rows. */
int head_cols(int n, int rows);

/* The shapes of the head's products. */
int head_admit(const struct cuda_model *m, const struct backend_limits *limits,
               struct gemm *gemm, struct err *err);
size_t head_admit_bytes(const struct cuda_model *m,
                        const struct backend_limits *limits);

#endif /* CUDA_HEAD_H */
