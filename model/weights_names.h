/* model/weights_names.h - every tensor of the model: names, shape, place
 *
 * One table for binding, hashing, listing and writing. Order: struct weights,
 * then struct weights_layer, as model/weights.h declares them.
 */
#ifndef MODEL_WEIGHTS_NAMES_H
#define MODEL_WEIGHTS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/weights.h"

enum weights_dim {
    DIM_ONE,
    DIM_V,
    DIM_C,
    DIM_H,
    DIM_N,
    DIM_F,
    DIM_RANK_W,
    DIM_RANK_A,
    DIM_RANK_V,
    DIM_RANK_G,
    DIM_COUNT,
};

enum weights_need {
    NEED_ALWAYS,
    NEED_NEVER, /* optional */
    NEED_LATER, /* in layers >= 1; layer 0 has no use for it */
};

struct weights_row {
    const char *blink; /* after "blocks.N." in a layer */
    const char *fla;   /* after "model.layers.N." in a layer */
    size_t offset;     /* of the struct weight */
    enum weights_dim rows, cols;
    enum weights_need need;
    bool lora; /* BlinkDL stores [cols, rows] */
    bool mix;  /* (1, 1, C) in both families; a row of the old x_x */
    int x_x;   /* which row of attn.x_x, when `mix` */
};

extern const struct weights_row weights_top[];
extern const size_t weights_top_n;
extern const struct weights_row weights_per_layer[];
extern const size_t weights_per_layer_n;

/* "V", "C", ..., "R_g" */
const char *weights_dim_name(enum weights_dim d);

#define WEIGHTS_NAME_MAX 64

/* Full names; `layer` -1 for the rows of weights_top. */
void weights_name_blink(const struct weights_row *row, int32_t layer,
                        char out[WEIGHTS_NAME_MAX]);
void weights_name_fla(const struct weights_row *row, int32_t layer,
                      char out[WEIGHTS_NAME_MAX]);

/* Walk over the tensors that are present, in order. Start with {0}. */
struct weights_iter {
    size_t next;
    const struct weights_row *row;
    int32_t layer; /* -1: top */
    const struct weight *weight;
};
bool weights_next(const struct weights *w, struct weights_iter *it);

/* What a checkpoint of another architecture is called, or NULL when its names
 * are those of RWKV-7. Static.
 */
const char *weights_foreign(const struct tensor_file *f);

#endif /* MODEL_WEIGHTS_NAMES_H */
