/* bench/random_model.h - a random model, made where that is fast
 *
 * weights_random_by() with matrices in bf16: the values are made by the GPU
 * `device` and copied to host memory, or made by this thread where there is no
 * GPU (and for device -1). The bits are the same.
 */
#ifndef BENCH_RANDOM_MODEL_H
#define BENCH_RANDOM_MODEL_H

#include <stdint.h>

#include "model/weights_random.h"

#define RANDOM_MODEL_SEED 1

struct weights *random_model(const struct weights_shape *shape, uint64_t seed,
                             int device, struct err *err);

#endif /* BENCH_RANDOM_MODEL_H */
