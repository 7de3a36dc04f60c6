/* cuda/group.h - several products in one launch, with what follows them
 *
 * y[rows][n] = op(x[rows][k] W[n][k]^T) for up to GROUP_MAX products of fp16 or
 * bf16 inputs: the tiles of all of them are one list that a persistent grid
 * works off, so small products fill the tail of large ones.
 *
 * Every output is one fp32 accumulator, k ascending in tensor-core steps of 16:
 * the bits of kernel_product(), at any row of any number of rows and with any
 * tile. Tiles therefore are a matter of speed alone: a table of costs chooses.
 */
#ifndef CUDA_GROUP_H
#define CUDA_GROUP_H

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __CUDACC__
#define GROUP_BOTH static __host__ __device__ inline
#else
#define GROUP_BOTH static inline
#endif

#define GROUP_MAX 7
#define GROUP_BOX 64       /* rows and columns of a copy */
#define GROUP_COPY_MAX 256 /* n of GROUP_COPY with fp16: the widest tile */

/* With z = the product, its row's factor applied: */
enum group_op {
    GROUP_WIDE,    /* fp32 z */
    GROUP_NATURAL, /* the same, of a W whose rows are in their own order */
    GROUP_DECAY,   /* fp32 exp(-exp(-1/2) sigmoid(bias + z)) */
    GROUP_RATE,    /* fp32 sigmoid(bias + z) */
    GROUP_COPY,    /* narrow z; fp16: n <= the tile's width, see below */
    GROUP_TANH,    /* narrow tanh(z) */
    GROUP_SIGMOID, /* narrow sigmoid(z) */
    GROUP_RELU2    /* narrow max(z, 0)^2; fp16: the magnitude of a row that
                    * does not fit goes to over[row], its values are void */
};

/* Where row `row` of a W lies in device memory: of every 32, in the order in
 * which the eight outputs that a thread gets of a row are neighbours. So a W
 * has a multiple of 32 rows there, zeros at its end. Only GROUP_NATURAL has W in
 * its own order.
 */
GROUP_BOTH int64_t group_place(enum group_op op, int64_t row)
{
    const int64_t in = row % 32, lane = in / 8, j = in % 8;

    return op == GROUP_NATURAL ? row : row - in + j / 2 * 8 + lane * 2 + j % 2;
}

/* The row that lies at `place`. */
GROUP_BOTH int64_t group_row(enum group_op op, int64_t place)
{
    const int64_t in = place % 32;

    return op == GROUP_NATURAL
               ? place
               : place - in + in % 8 / 2 * 8 + in / 8 * 2 + in % 2;
}

/* Narrow results have a factor each row: 1 for TANH and SIGMOID; chosen here
 * for COPY, which needs the whole row in one tile; RELU2 leaves it to
 * kernel_refit().
 */
struct group_item {
    CUtensorMap x, w; /* [rows][k], [n][k]: boxes of GROUP_BOX squared */
    CUtensorMap out;  /* y: boxes of GROUP_BOX rows, 128 bytes of each */
    const void *x_at, *w_at;
    int32_t n, k;
    enum group_op op;
    const float *x_up; /* [rows] or NULL: 1 */
    const float *bias; /* [n] or NULL */
    void *y;           /* [rows][n] fp32 or narrow */
    float *y_up;       /* [rows], narrow results */
    uint32_t *over;    /* [rows], zero where all is well; RELU2 */
};

struct group {
    struct group_item item[GROUP_MAX];
    int32_t n_item;
};

/* Tiles: 64 or 128 rows by 64, 128 or 256 outputs. Two blocks share the copies
 * of what their tiles have in common: the weights (along rows) or x.
 */
enum group_tile {
    GROUP_128X256,
    GROUP_128X128,
    GROUP_128X64,
    GROUP_64X256,
    GROUP_64X128,
    GROUP_64X64,
    GROUP_TILES
};

/* ---- group.cu ---- */

/* Once for each device and process: what the kernels need of it. */
cudaError_t kernel_group_prepare(void);

/* All products for rows 0..rows-1; results beyond them become anything. `type`
 * is fp16 or bf16.
 */
cudaError_t kernel_group(enum narrow_type type, const struct group *g, int rows,
                         enum group_tile tile, int multiprocessors,
                         cudaStream_t s);

/* Rows first..first+rows-1 of a W [..][cols], in[rows][cols], to their places
 * in out[..][width], zero beyond cols. *overflow becomes 1 when a finite weight
 * does not fit fp16. fp32 weights keep their order.
 */
cudaError_t kernel_narrow_weights(int64_t first, int64_t rows, int64_t cols,
                                  int64_t width, const float *in,
                                  enum group_op order, enum narrow_type type,
                                  void *out, int32_t *overflow, cudaStream_t s);

/* What the group does to a product of this type, before it is narrowed, to
 * x[rows][width] in place: exactly the CPU's for fp32; for the others the
 * kernels' own (cuda/approx.cuh).
 */
cudaError_t kernel_function(enum narrow_type type, int rows, int width,
                            enum group_op op, const float *bias, float *x,
                            cudaStream_t s);

/* For a RELU2 product of fp16 that has been computed: y_up of every row, and
 * rows that are too large for fp16 once more, scaled.
 */
cudaError_t kernel_refit_relu2(const struct group_item *p, int rows,
                               cudaStream_t s);

/* ---- group.c ---- */

/* What launches need to know. */
struct grouper {
    enum narrow_type type;
    int multiprocessors;
    cudaStream_t stream;
    PFN_cuTensorMapEncodeTiled_v12000 encode; /* NULL with fp32 */
};

/* On the current device. 0, or -1: ERR_CUDA (a driver without tensor maps). */
int grouper_init(struct grouper *g, enum narrow_type type, cudaStream_t stream,
                 struct err *err);

/* Add the product of w (n x k at w_at) with x, of which `rows` rows exist. The
 * rest of `item` is taken as it is. 0, or -1: ERR_CUDA.
 */
int grouper_add(const struct grouper *g, struct group *group,
                const struct group_item *item, int rows, struct err *err);

/* Enqueue the group for rows 0..rows-1, and, after RELU2, what follows it. */
int grouper_run(const struct grouper *g, const struct group *group, int rows,
                struct err *err);

#ifdef __cplusplus
}
#endif

#endif /* CUDA_GROUP_H */
