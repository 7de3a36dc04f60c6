/* cuda/history.h - the histories of the CUDA backend's slots
 *
 * In device memory, laid out as on the CPU (model/draw.h): draws read and count
 * there (cuda/sample.cu), so a step never waits for the tokens of the one before
 * it. What is set travels through pinned memory and waits for nothing unless
 * very much is set at once.
 */
#ifndef CUDA_HISTORY_H
#define CUDA_HISTORY_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/arena.h"
#include "cuda/kernels.h"
#include "model/backend.h"

struct cuda_histories {
    int vocab, n;
    int32_t *n_bias;        /* [n], in host memory */
    uint32_t *seen;         /* [n][V] */
    struct draw_bias *bias; /* [n] */
    struct history_stage *stage;
};

/* n of them, for V = vocab. Takes its device memory from `arena`: once to count,
 * then through cuda_histories_place(). 0, or -1: ERR_NOMEM, ERR_CUDA.
 */
int cuda_histories_init(struct cuda_histories *h, int vocab, int n,
                        struct err *err);
void cuda_histories_place(struct cuda_histories *h, struct arena *arena);
void cuda_histories_finish(struct cuda_histories *h);

/* Enqueued. 0, or -1: ERR_CUDA. */
int cuda_history_set(struct cuda_histories *h, int32_t index,
                     const struct history *to, cudaStream_t s, struct err *err);
int cuda_history_copy(struct cuda_histories *h, int32_t dst, int32_t src,
                      cudaStream_t s, struct err *err);

/* Does a draw like `how` change any logit? Never where index is -1. */
bool cuda_history_matters(const struct cuda_histories *h, int32_t index,
                          const struct sample_row *how);

#endif /* CUDA_HISTORY_H */
