/* The model on one CPU core, all fp32: docs/model.md step by step; the numbers
 * in the comments are its steps. A worker uses one rank, and so one backend,
 * per core.
 *
 * A step's rows are taken in blocks of up to BLOCK_ROWS through all layers, so
 * that a block's activations stay in cache; a sequence cut by a block continues
 * through its state. submit() does all the work and wait() has nothing to wait
 * for.
 *
 * Bits: a row's products are chains of their own (cpu_sgemm.h), everything else
 * is computed row by row or, the recurrence, sequence by sequence. So no cut of
 * the work, here or by the caller, can show in a result.
 */
#include "model/backend.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/cpu_head.h"
#include "model/cpu_kernels.h"
#include "model/cpu_model.h"
#include "model/history.h"

/* 16 tiles of rows: the weights stream from memory once per 192 rows, and the
 * rows of a product's input (C = 768: 590 KB) stay in L2.
 */
#define BLOCK_ROWS 192
#define BLOCK_ALIGN 12

/* Consecutive rows of a block that belong to one sequence. */
struct run {
    int32_t slot;
    size_t first, n;
};

struct cpu_backend {
    struct backend base;
    const struct cpu_kernels *k;
    struct cpu_model m;
    struct cpu_head *head;
    int64_t ticket; /* last given */

    float *state; /* [S][state_floats] */
    size_t state_floats;
    int32_t *last; /* [S] sampled tokens */
    struct histories *histories;

    /* The block being computed */
    size_t rows, n_run;
    struct run run[BLOCK_ROWS];
    const float *before[BLOCK_ROWS]; /* the shifted row of each row */
    struct cpu_rows x;               /* residual stream */
    struct cpu_rows h, d;            /* normed input, and its shift minus it */
    struct cpu_rows mixed;           /* input of a product */
    struct cpu_rows r, w, k_, v, a, g, kk, y, first_v; /* [rows][C] */
    struct cpu_rows low;                               /* [rows][rank] */
    struct cpu_rows q;                                 /* [rows][F] */
    float *scratch;
    size_t scratch_floats;
};

static struct cpu_backend *cpu_of(struct backend *b)
{
    return (struct cpu_backend *)b;
}

/* A slot's state: for each layer att_shift [C], S [H][N key][N value],
 * ffn_shift [C].
 */
static float *layer_state(const struct cpu_backend *b, int32_t slot,
                          size_t layer)
{
    return b->state + (size_t)slot * b->state_floats
           + layer * (b->state_floats / b->m.L);
}

static float *wkv_state(const struct cpu_backend *b, int32_t slot, size_t layer)
{
    return layer_state(b, slot, layer) + b->m.C;
}

static float *ffn_state(const struct cpu_backend *b, int32_t slot, size_t layer)
{
    return wkv_state(b, slot, layer) + b->m.C * b->m.N;
}

/* 4, 17: d = the row before minus h; the last row becomes the state. */
static void token_shift(struct cpu_backend *b, size_t layer,
                        float *(*part)(const struct cpu_backend *, int32_t,
                                       size_t))
{
    const size_t ld = b->h.ld;

    for (size_t i = 0; i < b->n_run; i++) {
        const struct run *run = &b->run[i];

        b->before[run->first] = part(b, run->slot, layer);
        for (size_t t = 1; t < run->n; t++)
            b->before[run->first + t] = b->h.at + (run->first + t - 1) * ld;
    }
    b->k->shift(b->rows, b->m.C, b->h, b->before, b->d);
    for (size_t i = 0; i < b->n_run; i++) {
        const struct run *run = &b->run[i];

        memcpy(part(b, run->slot, layer),
               b->h.at + (run->first + run->n - 1) * ld,
               b->m.C * sizeof(float));
    }
}

static void product(const struct cpu_backend *b, const struct cpu_matrix *w,
                    struct cpu_rows x, struct cpu_rows y)
{
    b->k->sgemm(b->rows, w, 0, w->n, x, y);
}

static void mix(const struct cpu_backend *b, const float *x_c)
{
    b->k->mix(b->rows, b->m.C, b->h, b->d, x_c, b->mixed);
}

/* 5-12: everything the recurrence needs. */
static void project(struct cpu_backend *b, const struct cpu_layer *l,
                    bool first_layer)
{
    const struct cpu_kernels *k = b->k;
    const size_t rows = b->rows, c = b->m.C;

    mix(b, l->x_r);
    product(b, &l->receptance, b->mixed, b->r);
    mix(b, l->x_w);
    product(b, &l->w1, b->mixed, b->low);
    k->tanh(rows, cpu_pad(l->w1.n), b->low);
    product(b, &l->w2, b->low, b->w);
    k->decay(rows, c, b->w, l->w0);
    mix(b, l->x_k);
    product(b, &l->key, b->mixed, b->k_);
    mix(b, l->x_v);
    product(b, &l->value, b->mixed, first_layer ? b->first_v : b->v);
    if (first_layer) {
        memcpy(b->v.at, b->first_v.at, rows * b->v.ld * sizeof(float));
    } else {
        product(b, &l->v1, b->mixed, b->low);
        product(b, &l->v2, b->low, b->y);
        k->value_residual(rows, c, b->v, b->first_v, b->y, l->v0);
    }
    mix(b, l->x_a);
    product(b, &l->a1, b->mixed, b->low);
    product(b, &l->a2, b->low, b->a);
    k->sigmoid(rows, c, b->a, l->a0);
    mix(b, l->x_g);
    product(b, &l->g1, b->mixed, b->low);
    k->sigmoid(rows, cpu_pad(l->g1.n), b->low, NULL);
    product(b, &l->g2, b->low, b->g);
    k->keys(&(struct cpu_keys){.rows = rows,
                               .heads = b->m.H,
                               .n = b->m.N,
                               .ld = b->k_.ld,
                               .k_k = l->k_k,
                               .k_a = l->k_a,
                               .k = b->k_.at,
                               .a = b->a.at,
                               .neg_kk = b->kk.at});
}

/* 13 */
static void recur(struct cpu_backend *b, size_t layer)
{
    const size_t n = b->m.N;

    for (size_t i = 0; i < b->n_run; i++) {
        const struct run *run = &b->run[i];
        float *state = wkv_state(b, run->slot, layer);

        for (size_t h = 0; h < b->m.H; h++) {
            size_t at = run->first * b->r.ld + h * n;

            b->k->wkv(&(struct cpu_wkv){.n = n,
                                        .tokens = run->n,
                                        .ld = b->r.ld,
                                        .r = b->r.at + at,
                                        .w = b->w.at + at,
                                        .k = b->k_.at + at,
                                        .v = b->v.at + at,
                                        .a = b->kk.at + at,
                                        .b = b->a.at + at,
                                        .y = b->y.at + at,
                                        .state = state + h * n * n});
        }
    }
}

/* 3-16 */
static void time_mix(struct cpu_backend *b, const struct cpu_layer *l,
                     size_t layer)
{
    b->k->layer_norm(b->rows, b->m.C, b->x, l->ln1_w, l->ln1_b, b->h);
    token_shift(b, layer, layer_state);
    project(b, l, layer == 0);
    recur(b, layer);
    b->k->mixout(&(struct cpu_mixout){.rows = b->rows,
                                      .heads = b->m.H,
                                      .n = b->m.N,
                                      .ld = b->y.ld,
                                      .r = b->r.at,
                                      .k = b->k_.at,
                                      .v = b->v.at,
                                      .g = b->g.at,
                                      .r_k = l->r_k,
                                      .weight = l->ln_x_w,
                                      .bias = l->ln_x_b,
                                      .y = b->y.at});
    product(b, &l->output, b->y, b->mixed);
    b->k->add(b->rows, b->m.C, b->x, b->mixed, l->output_bias);
}

/* 17, 18 */
static void channel_mix(struct cpu_backend *b, const struct cpu_layer *l,
                        size_t layer)
{
    b->k->layer_norm(b->rows, b->m.C, b->x, l->ln2_w, l->ln2_b, b->h);
    token_shift(b, layer, ffn_state);
    mix(b, l->ffn_x_k);
    product(b, &l->ffn_key, b->mixed, b->q);
    b->k->relu_square(b->rows, cpu_pad(b->m.F), b->q);
    product(b, &l->ffn_value, b->q, b->mixed);
    b->k->add(b->rows, b->m.C, b->x, b->mixed, NULL);
}

/* Where a walk over the pieces of a step stands. */
struct cursor {
    int32_t piece;
    int32_t token; /* of the piece */
};

/* 1, 2: the next `rows` rows of the step become the block. */
static void load_block(struct cpu_backend *b, const struct step *step,
                       struct cursor *at, size_t rows)
{
    b->rows = rows;
    b->n_run = 0;
    for (size_t row = 0; row < rows;) {
        const struct piece *p = &step->piece[at->piece];
        struct run *run = &b->run[b->n_run++];
        size_t left = (size_t)(p->n - at->token);

        run->slot = p->slot;
        run->first = row;
        run->n = left < rows - row ? left : rows - row;
        for (size_t i = 0; i < run->n; i++, row++) {
            int32_t token =
                p->token == NULL ? b->last[p->slot] : p->token[at->token++];

            memcpy(b->x.at + row * b->x.ld, b->m.emb + (size_t)token * b->m.C,
                   b->m.C * sizeof(float));
        }
        if (run->n == left) {
            at->piece++;
            at->token = 0;
        }
    }
}

static int64_t cpu_submit(struct backend *base, const struct step *step,
                          struct err *err)
{
    struct cpu_backend *b = cpu_of(base);
    struct cursor at = {0};
    size_t rows = 0, blocks, size;

    (void)err;
    for (int32_t i = 0; i < step->n_piece; i++)
        rows += (size_t)step->piece[i].n;
    blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    size = (rows + blocks - 1) / blocks;
    size = (size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    cpu_head_begin(b->head, step, base->history);
    for (size_t done = 0; done < rows; done += b->rows) {
        load_block(b, step, &at, rows - done < size ? rows - done : size);
        for (size_t i = 0; i < b->m.L; i++) {
            time_mix(b, &b->m.layer[i], i);
            channel_mix(b, &b->m.layer[i], i);
        }
        cpu_head_take(b->head, (int32_t)done, b->rows, b->x);
    }
    cpu_head_end(b->head);
    return ++b->ticket;
}

static int cpu_wait(struct backend *base, int64_t ticket, struct err *err)
{
    (void)base;
    (void)ticket;
    (void)err;
    return 0;
}

static int cpu_reset(struct backend *base, int32_t slot, struct err *err)
{
    struct cpu_backend *b = cpu_of(base);

    (void)err;
    memset(layer_state(b, slot, 0), 0, base->state_bytes);
    b->last[slot] = 0;
    return 0;
}

static int cpu_copy(struct backend *base, int32_t dst, int32_t src,
                    struct err *err)
{
    struct cpu_backend *b = cpu_of(base);

    (void)err;
    memcpy(layer_state(b, dst, 0), layer_state(b, src, 0), base->state_bytes);
    b->last[dst] = b->last[src];
    if (base->history[dst] >= 0)
        history_copy(b->histories, base->history[dst], base->history[src]);
    return 0;
}

/* The public layout has each head's S as [N value][N key]. */
static void transpose_heads(const struct cpu_backend *b, const float *from,
                            float *to)
{
    const size_t n = b->m.N, c = b->m.C;

    for (size_t layer = 0; layer < b->m.L; layer++) {
        memcpy(to, from, c * sizeof *to);
        from += c;
        to += c;
        for (size_t h = 0; h < b->m.H; h++, from += n * n, to += n * n)
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++)
                    to[i * n + j] = from[j * n + i];
        memcpy(to, from, c * sizeof *to);
        from += c;
        to += c;
    }
}

static int cpu_save(struct backend *base, int32_t slot, float *state,
                    struct err *err)
{
    (void)err;
    transpose_heads(cpu_of(base), layer_state(cpu_of(base), slot, 0), state);
    return 0;
}

static int cpu_load(struct backend *base, int32_t slot, const float *state,
                    struct err *err)
{
    (void)err;
    transpose_heads(cpu_of(base), state, layer_state(cpu_of(base), slot, 0));
    cpu_of(base)->last[slot] = 0;
    return 0;
}

static int cpu_remember(struct backend *base, int32_t slot,
                        const struct history *h, struct err *err)
{
    (void)err;
    history_set(cpu_of(base)->histories, base->history[slot], h);
    return 0;
}

static void cpu_destroy(struct backend *base)
{
    struct cpu_backend *b = cpu_of(base);

    cpu_head_destroy(b->head);
    histories_destroy(b->histories);
    cpu_model_finish(&b->m);
    cpu_free(b->state, b->state_floats * (size_t)base->limits.slots);
    cpu_free(b->scratch, b->scratch_floats);
    free(b->last);
    free(b);
}

/* Rows are CPU_LANES longer than they need be: with a stride that is a power of
 * two the rows of a tile would fall on the same lines of L1.
 */
static int allocate_scratch(struct cpu_backend *b, struct err *err)
{
    struct cpu_rows *const wide[] = {
        &b->x, &b->h, &b->d, &b->mixed, &b->r, &b->w,      &b->k_,
        &b->v, &b->a, &b->g, &b->kk,    &b->y, &b->first_v};
    const size_t n_wide = sizeof wide / sizeof *wide;
    float *at;

    for (size_t i = 0; i < n_wide; i++)
        wide[i]->ld = b->m.C + CPU_LANES;
    b->low.ld = cpu_pad(b->m.rank_max) + CPU_LANES;
    b->q.ld = cpu_pad(b->m.F) + CPU_LANES;
    b->scratch_floats = BLOCK_ROWS * (n_wide * b->x.ld + b->low.ld + b->q.ld);
    at = b->scratch = cpu_alloc(b->scratch_floats, "scratch memory", err);
    if (at == NULL)
        return -1;
    for (size_t i = 0; i < n_wide; i++) {
        wide[i]->at = at;
        at += BLOCK_ROWS * wide[i]->ld;
    }
    b->low.at = at;
    b->q.at = at + BLOCK_ROWS * b->low.ld;
    return 0;
}

static int fill(struct cpu_backend *b, const struct weights *w,
                const char *options, struct err *err)
{
    const size_t slots = (size_t)b->base.limits.slots;
    int64_t isa = CPU_ISA_BEST;
    const struct backend_option option[] = {
        {.key = "isa", .value = &isa, .word = cpu_isa_words},
    };

    if (backend_options(options, option, 1, err) < 0)
        return -1;
    b->k = cpu_kernels((enum cpu_isa)isa, err);
    if (b->k == NULL || cpu_model_init(&b->m, w, b->k, err) < 0)
        return -1;
    b->base.vocab = w->V;
    b->state_floats = b->m.L * b->m.C * (2 + b->m.N);
    b->base.state_bytes = b->state_floats * sizeof(float);
    b->state = cpu_alloc(b->state_floats * slots, "state slots", err);
    if (b->state == NULL || allocate_scratch(b, err) < 0)
        return -1;
    b->last = calloc(slots, sizeof *b->last);
    if (b->last == NULL)
        return err_set(err, ERR_NOMEM, "no memory for %zu slots", slots);
    b->histories = histories_create(w->V, b->base.limits.histories, err);
    if (b->histories == NULL)
        return -1;
    b->head = cpu_head_create(&b->m, b->k, &b->base.limits, b->last,
                              b->histories, err);
    return b->head == NULL ? -1 : 0;
}

static struct backend *cpu_create(const struct weights *w,
                                  const struct backend_limits *limits,
                                  const char *options, struct err *err)
{
    struct cpu_backend *b;

    if (w == NULL) {
        err_set(err, ERR_INVALID, "a model is needed");
        return NULL;
    }
    b = calloc(1, sizeof *b);
    if (b == NULL) {
        err_set(err, ERR_NOMEM, "no memory");
        return NULL;
    }
    b->base.ops = &backend_cpu;
    b->base.limits = *limits;
    b->base.compute = "fp32";
    if (fill(b, w, options, err) < 0) {
        cpu_destroy(&b->base);
        return NULL;
    }
    return &b->base;
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .create = cpu_create,
    .destroy = cpu_destroy,
    .submit = cpu_submit,
    .wait = cpu_wait,
    .reset = cpu_reset,
    .copy = cpu_copy,
    .save = cpu_save,
    .load = cpu_load,
    .remember = cpu_remember,
};
