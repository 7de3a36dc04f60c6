/* model/weights_random.h - a random model of any shape
 *
 * For tests and benchmarks: it goes through weights_bind() like a file, and
 * behaves like a model (activations of order one, state that neither dies nor
 * grows, nine in ten of the squared relu's inputs negative). A function of the
 * shape and the seed alone, value by value, so a GPU can make the same model
 * (bench/random_model.h).
 */
#ifndef MODEL_WEIGHTS_RANDOM_H
#define MODEL_WEIGHTS_RANDOM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "model/weights.h"

#ifdef __CUDACC__
#define WEIGHTS_RANDOM_INLINE static __host__ __device__ inline
#else
#define WEIGHTS_RANDOM_INLINE static inline
#endif

struct weights_shape {
    int32_t L, H, N, F, V;
    int32_t rank_w, rank_a, rank_v, rank_g;
    bool ln0;  /* with a norm after the embedding */
    bool bias; /* with output.bias and head.bias */
};

/* What a tensor is filled with: mean + spread * uniform(-1, 1). */
struct weights_random_fill {
    uint64_t key; /* of the seed and the tensor */
    float mean, spread;
};

/* Element i in the order of the file; splitmix64 of a counter. The operations
 * are exact or written out as fused, so a GPU gets the same bits.
 */
WEIGHTS_RANDOM_INLINE float
weights_random_value(const struct weights_random_fill *f, uint64_t i)
{
    uint64_t x = f->key + i * 0x9e3779b97f4a7c15u;
    float uniform;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    uniform = (float)(x >> 40) * 0x1p-23f - 1.0f;
    return fmaf(f->spread, uniform, f->mean);
}

/* Who fills the memory of the tensors. */
struct weights_random_writer {
    bool matrix_bf16; /* matrices are stored as bf16, as checkpoints have them;
                       * false: everything is F32 */
    /* Elements 0..n-1 of a tensor, as bf16 or F32, to 16-byte aligned `to`. */
    int (*fill)(void *context, const struct weights_random_fill *f, int64_t n,
                bool bf16, void *to, struct err *err);
    void *context;
};

/* For weights_close(). The first is everything in F32, filled by the calling
 * thread. NULL: ERR_INVALID (not a shape of weights_bind()), ERR_NOMEM, errors
 * of `fill`.
 */
struct weights *weights_random(const struct weights_shape *shape, uint64_t seed,
                               struct err *err);
struct weights *weights_random_by(const struct weights_random_writer *by,
                                  const struct weights_shape *shape,
                                  uint64_t seed, struct err *err);

/* The `fill` of this thread; needs no context. */
int weights_random_fill_host(void *context, const struct weights_random_fill *f,
                             int64_t n, bool bf16, void *to, struct err *err);

#endif /* MODEL_WEIGHTS_RANDOM_H */
