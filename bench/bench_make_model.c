/* A random model as a checkpoint. */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/options.h"
#include "bench/random_model.h"
#include "bench/shapes.h"
#include "model/export.h"

int bench_make_model(int argc, char **argv, struct err *err)
{
    static const struct export_options as_made = {.format = EXPORT_BLINK,
                                                  .keep_dtype = true};
    const char *name = NULL, *path = NULL;
    int64_t seed = RANDOM_MODEL_SEED, device = 0;
    const struct bench_option option[] = {
        {.key = "--shape", .word = &name},
        {.key = "--seed", .number = &seed},
        {.key = "--device", .number = &device},
        {.word = &path},
        {0},
    };
    const struct shape *shape;
    struct weights *w;
    int rc;

    if (bench_options(argc, argv, option, err) < 0)
        return -1;
    if (name == NULL || path == NULL)
        return err_set(err, ERR_USAGE, "make-model: --shape and OUT expected");
    shape = shape_find(name, err);
    if (shape == NULL)
        return -1;
    w = random_model(&shape->shape, (uint64_t)seed, (int)device, err);
    if (w == NULL)
        return -1;
    rc = export_write(w, path, &as_made, err);
    weights_close(w);
    return rc;
}
