/* cuda/gemm.h - matrix products whose bits do not depend on the batch
 *
 * y[rows][n] = x[rows][k] W[n][k]^T, x and W narrow, y fp32.
 *
 * fp32: a kernel of our own, the CPU's bits (no TF32 anywhere).
 * fp16, bf16: plans of cublasLt and our own tiles (cuda/group.h). Rows are padded
 * to buckets; for every shape and bucket a plan is admitted only after all its
 * rows, on three kinds of data, had the bits of kernel_product(): one fp32
 * accumulator per output, k ascending. Plans that split k (whatever they call
 * it) fail that. The fastest of those admitted runs, kernel_product() itself
 * where none was. So a row has the same bits at any position in any number of
 * rows, and which plan won is a matter of speed alone.
 */
#ifndef CUDA_GEMM_H
#define CUDA_GEMM_H

#include <stddef.h>

#include "common/err.h"
#include "cuda/kernels.h"

struct gemm;

/* A weight; n and k are multiples of 16, `at` is 256-byte aligned. */
struct cuda_matrix {
    const void *at; /* [n][k] */
    int n, k;
};

/* For products on `stream`. NULL: ERR_CUDA, ERR_NOMEM. */
struct gemm *gemm_create(enum narrow_type type, cudaStream_t stream,
                         struct err *err);
void gemm_destroy(struct gemm *g); /* NULL is allowed */

/* Rows that buffers of x and y need room for when `rows` are computed. */
int gemm_capacity(int rows);

/* Find plans for products of this shape with up to `rows` rows, unless it is
 * known already. The first time takes milliseconds, and device memory of
 * gemm_admit_bytes() until it returns. At most GEMM_SHAPES_MAX shapes.
 */
#define GEMM_SHAPES_MAX 64
int gemm_admit(struct gemm *g, int n, int k, int rows, struct err *err);
size_t gemm_admit_bytes(enum narrow_type type, int n, int k, int rows);

/* How many (shape, bucket) pairs the library computes, and how many we do. */
void gemm_count(const struct gemm *g, int *library, int *own);

/* Enqueue one product of an admitted shape. x and y have room for
 * gemm_capacity(rows) rows; those beyond `rows` become anything. 0, or -1:
 * ERR_CUDA.
 */
int gemm_run(struct gemm *g, const struct cuda_matrix *w, const void *x,
             int rows, float *y, struct err *err);

#endif /* CUDA_GEMM_H */
