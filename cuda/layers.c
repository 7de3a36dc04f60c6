#include "cuda/layers.h"

#include <math.h>
#include <stdlib.h>

#include "cuda/cu.h"
#include "cuda/group.h"
#include "cuda/kernels.h"

enum {
    MIX_R,
    MIX_W,
    MIX_K,
    MIX_V,
    MIX_A,
    MIX_G
};
enum {
    LOW_W,
    LOW_A,
    LOW_G,
    LOW_V, /* not in layer 0 */
    LOW_RANKS
};

/* What one layer launches; the pointers in it never change. */
struct tables {
    struct group in, low, ffn;
};

struct layers {
    const struct cuda_model *m;
    struct gemm *gemm;
    struct grouper grouper;
    int rows_max, split_max;
    cudaStream_t stream;
    struct tables *table; /* [L] */
    float bound;          /* of a LayerNorm's values */
    bool scaled;          /* mixes may be 2^15 or more */

    /* Device memory, [rows_max][C] unless said otherwise */
    float *x[2];    /* residual stream, before and after a shift */
    float *h;       /* of rows that end a piece */
    float *y;       /* a product that is not yet added */
    float *first_v; /* layer 0's v */
    float *r, *k, *v, *g, *decay, *rate, *gate_v;
    float *spill;                             /* fp16 */
    uint32_t *over_y, *over_q;                /* [rows_max] */
    struct narrow_rows mixed[MIX_MAX], gated; /* inputs of products */
    struct narrow_rows low[LOW_RANKS], q;     /* [rows_max][rank], [F] */
};

/* ---- creation -------------------------------------------------------------- */

struct layers *layers_create(const struct cuda_model *m, struct gemm *gemm,
                             int rows, int split_max, cudaStream_t stream,
                             struct err *err)
{
    struct layers *l = calloc(1, sizeof *l);

    if (l != NULL)
        l->table = calloc((size_t)m->L, sizeof *l->table);
    if (l == NULL || l->table == NULL) {
        err_set(err, ERR_NOMEM, "no memory for the tables of the layers");
        goto fail;
    }
    l->m = m;
    l->gemm = gemm;
    l->rows_max = rows;
    l->split_max = split_max;
    l->stream = stream;
    if (grouper_init(&l->grouper, m->type, stream, err) == 0)
        return l;
fail:
    layers_destroy(l);
    return NULL;
}

void layers_destroy(struct layers *l)
{
    if (l == NULL)
        return;
    free(l->table);
    free(l);
}

static void place_narrow(struct arena *arena, const struct layers *l, int width,
                         struct narrow_rows *to)
{
    const size_t rows = (size_t)gemm_capacity(l->rows_max);

    to->at = arena_take(arena, rows * (size_t)width * narrow_size(l->m->type));
    to->up = arena_take(arena, rows * sizeof *to->up);
}

void layers_place(struct layers *l, struct arena *arena)
{
    const size_t rows = (size_t)gemm_capacity(l->rows_max);
    const size_t wide = rows * (size_t)l->m->C * sizeof(float);
    float **const plain[] = {&l->x[0],    &l->x[1],  &l->h,    &l->y,
                             &l->first_v, &l->r,     &l->k,    &l->v,
                             &l->g,       &l->decay, &l->rate, &l->gate_v};

    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        *plain[i] = arena_take(arena, wide);
    if (l->m->type == NARROW_FP16) {
        l->spill = arena_take(arena, wide);
        l->over_y = arena_take(arena, rows * sizeof *l->over_y);
        l->over_q = arena_take(arena, rows * sizeof *l->over_q);
    }
    for (int i = 0; i < MIX_MAX; i++)
        place_narrow(arena, l, l->m->C, &l->mixed[i]);
    place_narrow(arena, l, l->m->C, &l->gated);
    for (int i = 0; i < LOW_RANKS; i++)
        place_narrow(arena, l, l->m->rank_max, &l->low[i]);
    place_narrow(arena, l, l->m->F, &l->q);
}

static struct group_item item_of(const struct cuda_matrix *w, enum group_op op,
                                 const struct narrow_rows *x)
{
    return (struct group_item){.x_at = x->at,
                               .w_at = w->at,
                               .n = w->n,
                               .k = w->k,
                               .op = op,
                               .x_up = x->up};
}

static int add_wide(struct layers *l, struct group *g,
                    const struct cuda_matrix *w, enum group_op op,
                    const struct narrow_rows *x, const float *bias, float *y,
                    struct err *err)
{
    struct group_item item = item_of(w, op, x);

    item.bias = bias;
    item.y = y;
    return grouper_add(&l->grouper, g, &item, gemm_capacity(l->rows_max), err);
}

static int add_narrow(struct layers *l, struct group *g,
                      const struct cuda_matrix *w, enum group_op op,
                      const struct narrow_rows *x, const struct narrow_rows *y,
                      struct err *err)
{
    struct group_item item = item_of(w, op, x);

    item.y = y->at;
    item.y_up = y->up;
    item.over = l->over_q;
    return grouper_add(&l->grouper, g, &item, gemm_capacity(l->rows_max), err);
}

static int bind_layer(struct layers *l, const struct cuda_layer *w, bool first,
                      struct tables *t, struct err *err)
{
    const struct narrow_rows *m = l->mixed, *low = l->low;
    float *v = first ? l->first_v : l->v;

    if (add_wide(l, &t->in, &w->receptance, GROUP_WIDE, &m[MIX_R], NULL, l->r,
                 err)
            < 0
        || add_wide(l, &t->in, &w->key, GROUP_WIDE, &m[MIX_K], NULL, l->k, err)
               < 0
        || add_wide(l, &t->in, &w->value, GROUP_WIDE, &m[MIX_V], NULL, v, err)
               < 0
        || add_narrow(l, &t->in, &w->g1, GROUP_SIGMOID, &m[MIX_G], &low[LOW_G],
                      err)
               < 0
        || add_narrow(l, &t->in, &w->w1, GROUP_TANH, &m[MIX_W], &low[LOW_W],
                      err)
               < 0
        || add_narrow(l, &t->in, &w->a1, GROUP_COPY, &m[MIX_A], &low[LOW_A],
                      err)
               < 0
        || add_wide(l, &t->low, &w->g2, GROUP_WIDE, &low[LOW_G], NULL, l->g,
                    err)
               < 0
        || add_wide(l, &t->low, &w->w2, GROUP_DECAY, &low[LOW_W], w->w0,
                    l->decay, err)
               < 0
        || add_wide(l, &t->low, &w->a2, GROUP_RATE, &low[LOW_A], w->a0, l->rate,
                    err)
               < 0
        || add_narrow(l, &t->ffn, &w->ffn_key, GROUP_RELU2, &m[0], &l->q, err)
               < 0)
        return -1;
    if (first)
        return 0;
    if (add_narrow(l, &t->in, &w->v1, GROUP_COPY, &m[MIX_V], &low[LOW_V], err)
        < 0)
        return -1;
    return add_wide(l, &t->low, &w->v2, GROUP_RATE, &low[LOW_V], w->v0,
                    l->gate_v, err);
}

int layers_bind(struct layers *l, struct err *err)
{
    for (int i = 0; i < l->m->L; i++)
        if (bind_layer(l, &l->m->layer[i], i == 0, &l->table[i], err) < 0)
            return -1;
    if (l->m->type != NARROW_FP16)
        return 0;
    /* h = d w + b with |d| <= sqrt(C); a mix is h + (before - h) x. */
    l->bound =
        sqrtf((float)l->m->C) * l->m->norm_weight_max + l->m->norm_bias_max;
    l->scaled = !(l->bound * (1.0f + 2.0f * l->m->mix_max) < 32000.0f);
    return 0;
}

float layers_bound(const struct layers *l)
{
    return l->bound;
}

void layers_expect_large(struct layers *l)
{
    l->scaled = true;
}

/* ---- products that are admitted -------------------------------------------- */

/* All layers have these two shapes. */
int layers_admit(const struct layers *l, struct err *err)
{
    if (gemm_admit(l->gemm, l->m->C, l->m->C, l->rows_max, err) < 0)
        return -1;
    return gemm_admit(l->gemm, l->m->C, l->m->F, l->rows_max, err);
}

size_t layers_admit_bytes(const struct layers *l)
{
    size_t square = gemm_admit_bytes(l->m->type, l->m->C, l->m->C, l->rows_max);
    size_t down = gemm_admit_bytes(l->m->type, l->m->C, l->m->F, l->rows_max);

    return down > square ? down : square;
}

/* ---- a step ---------------------------------------------------------------- */

/* Each layer's state: att_shift [C], S [H][N key][N value], ffn_shift [C]. */
static float *layer_state(const struct layers *l,
                          const struct layers_step *step, int layer)
{
    return step->state + (size_t)layer * (step->floats / (size_t)l->m->L);
}

/* The last product, of inputs that had these factors. Only fp16 has any. */
static struct wide_rows product(const struct layers *l, const float *up)
{
    return (struct wide_rows){l->y, l->m->type == NARROW_FP16 ? up : NULL};
}

/* 3-5 or 17, with the sum of the block before. */
static int shift(struct layers *l, const struct layers_step *step,
                 struct shift a, float *state, struct err *err)
{
    a.rows = step->rows;
    a.c = l->m->C;
    a.begins = step->begins;
    a.ends = step->ends;
    a.state = state;
    a.stride = step->floats;
    a.h = l->h;
    a.type = l->m->type;
    a.scaled = l->scaled;
    for (int i = 0; i < a.n; i++)
        a.out[i] = l->mixed[i];
    if (CU(kernel_shift(&a, l->stream), err) < 0)
        return -1;
    if (!step->long_pieces)
        return 0;
    return CU(kernel_keep_shift(step->pieces, a.c, step->piece, l->h, state,
                                a.stride, l->stream),
              err);
}

/* 10-16, but for the product */
static int recur(struct layers *l, const struct layers_step *step, int layer,
                 struct err *err)
{
    const struct cuda_layer *w = &l->m->layer[layer];
    const struct wkv7 a = {
        .pieces = step->pieces,
        .c = l->m->C,
        .h = l->m->H,
        .n = l->m->N,
        .piece = step->piece,
        .r = l->r,
        .k = l->k,
        .v = layer == 0 ? l->first_v : l->v,
        .g = l->g,
        .decay = l->decay,
        .rate = l->rate,
        .gate_v = layer == 0 ? NULL : l->gate_v,
        .first_v = l->first_v,
        .k_k = w->k_k,
        .k_a = w->k_a,
        .r_k = w->r_k,
        .weight = w->ln_x_w,
        .bias = w->ln_x_b,
        .split_max = step->long_pieces ? l->split_max : 0,
        .multiprocessors = l->grouper.multiprocessors,
        .state = layer_state(l, step, layer) + l->m->C,
        .stride = step->floats,
        .type = l->m->type,
        .y = l->gated.at,
        .spill = l->spill,
        .over = l->over_y,
    };

    if (CU(kernel_wkv7(&a, l->stream), err) < 0)
        return -1;
    if (l->m->type != NARROW_FP16)
        return 0;
    return CU(kernel_refit_spilled(step->rows, l->m->C, l->over_y, l->spill,
                                   l->gated.at, l->gated.up, l->stream),
              err);
}

static int time_mix(struct layers *l, const struct layers_step *step, int layer,
                    struct err *err)
{
    const struct cuda_layer *w = &l->m->layer[layer];
    const struct shift a = {
        .n = MIX_MAX,
        .x = l->x[0],
        .y = layer > 0 ? product(l, l->q.up) : (struct wide_rows){0},
        .x_out = l->x[1],
        .weight = w->ln1_w,
        .bias = w->ln1_b,
        .mix = {w->x_r, w->x_w, w->x_k, w->x_v, w->x_a, w->x_g},
        .clear = {l->over_y, l->over_q}};

    if (shift(l, step, a, layer_state(l, step, layer), err) < 0
        || grouper_run(&l->grouper, &l->table[layer].in, step->rows, err) < 0
        || grouper_run(&l->grouper, &l->table[layer].low, step->rows, err) < 0
        || recur(l, step, layer, err) < 0)
        return -1;
    return gemm_run(l->gemm, &w->output, l->gated.at, step->rows, l->y, err);
}

static int channel_mix(struct layers *l, const struct layers_step *step,
                       int layer, struct err *err)
{
    const struct cuda_layer *w = &l->m->layer[layer];
    const struct shift a = {.n = 1,
                            .x = l->x[1],
                            .y = product(l, l->gated.up),
                            .y_bias = w->output_bias,
                            .x_out = l->x[0],
                            .weight = w->ln2_w,
                            .bias = w->ln2_b,
                            .mix = {w->ffn_x_k}};
    float *state =
        layer_state(l, step, layer) + (size_t)l->m->C * (1 + (size_t)l->m->N);

    if (shift(l, step, a, state, err) < 0
        || grouper_run(&l->grouper, &l->table[layer].ffn, step->rows, err) < 0)
        return -1;
    return gemm_run(l->gemm, &w->ffn_value, l->q.at, step->rows, l->y, err);
}

float *layers_output(const struct layers *l)
{
    return l->x[0];
}

int layers_run(struct layers *l, const struct layers_step *step,
               struct err *err)
{
    const struct add_norm last = {.rows = step->rows,
                                  .c = l->m->C,
                                  .x = l->x[0],
                                  .y = product(l, l->q.up)};

    if (CU(kernel_embed(step->rows, l->m->C, step->token, step->last, l->m->emb,
                        l->x[0], l->stream),
           err)
        < 0)
        return -1;
    for (int i = 0; i < l->m->L; i++)
        if (time_mix(l, step, i, err) < 0 || channel_mix(l, step, i, err) < 0)
            return -1;
    return CU(kernel_add_norm(&last, l->stream), err);
}
