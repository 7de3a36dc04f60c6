/* bench/shapes.h - the shapes of the released RWKV-7 models */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include "common/err.h"
#include "model/weights_random.h"

struct shape {
    const char *name; /* "1.5B" */
    struct weights_shape shape;
};

extern const struct shape shapes[];
extern const int shapes_n;

/* NULL: ERR_USAGE; text lists the names. */
const struct shape *shape_find(const char *name, struct err *err);

#endif /* BENCH_SHAPES_H */
