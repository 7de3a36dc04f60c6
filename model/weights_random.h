/* model/weights_random.h - a random model of any shape, in memory
 *
 * For tests and benchmarks: it goes through weights_bind() like a file, and
 * behaves like a model (activations of order one, state that neither dies nor
 * grows). A function of the shape and the seed alone.
 */
#ifndef MODEL_WEIGHTS_RANDOM_H
#define MODEL_WEIGHTS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "model/weights.h"

struct weights_shape {
    int32_t L, H, N, F, V;
    int32_t rank_w, rank_a, rank_v, rank_g;
    bool ln0;  /* with a norm after the embedding */
    bool bias; /* with output.bias and head.bias */
};

/* For weights_close(). NULL: ERR_INVALID (not a shape of weights_bind()),
 * ERR_NOMEM.
 */
struct weights *weights_random(const struct weights_shape *shape, uint64_t seed,
                               struct err *err);

#endif /* MODEL_WEIGHTS_RANDOM_H */
