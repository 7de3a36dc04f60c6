#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/weights_names.h"

#define HASH_ELEMENTS 65536 /* converted at a time, or one row */

static void hash_values(const struct weight *w, uint8_t out[HASH_BYTES])
{
    struct hash_ctx *ctx = hash_begin();
    int64_t step = w->cols > HASH_ELEMENTS ? 1 : HASH_ELEMENTS / w->cols;
    float *block = xcalloc((size_t)(step * w->cols), sizeof *block);

    for (int64_t r = 0; r < w->rows; r += step) {
        int64_t n = w->rows - r < step ? w->rows - r : step;

        weight_read_rows(w, r, n, block);
        hash_update(ctx, block, (size_t)(n * w->cols) * sizeof *block);
    }
    free(block);
    hash_end(ctx, out);
}

int weights_hash(const struct weights *w, uint8_t out[HASH_BYTES],
                 struct err *err)
{
    struct hash_ctx *ctx = hash_begin();
    struct weights_iter it = {0};

    (void)err; /* reading mapped memory cannot fail in a way that returns */
    while (weights_next(w, &it)) {
        char name[WEIGHTS_NAME_MAX];
        uint8_t values[HASH_BYTES];
        int64_t shape[2] = {it.weight->rows, it.weight->cols};

        weights_name_blink(it.row, it.layer, name);
        hash_values(it.weight, values);
        hash_update(ctx, name, strlen(name) + 1);
        hash_update(ctx, shape, sizeof shape);
        hash_update(ctx, values, sizeof values);
    }
    hash_end(ctx, out);
    return 0;
}
