#include "bench/random_model.h"

struct weights *random_model(const struct weights_shape *shape, uint64_t seed,
                             int device, struct err *err)
{
    const struct weights_random_writer by = {
        .matrix_bf16 = true,
        .fill = weights_random_fill_host,
    };

    (void)device;
    return weights_random_by(&by, shape, seed, err);
}
