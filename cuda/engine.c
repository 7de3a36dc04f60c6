/* The model on one GPU: docs/model.md step by step, as model/backend_cpu.c; the
 * numbers in the comments are its steps. All of a step's rows go through a layer
 * together.
 *
 * submit() does all the work and wait() has nothing to wait for, as on the CPU:
 * the token that a step samples is drawn on the host. (Issue 4: draws on the
 * device, graphs, overlap.)
 *
 * Options: device=K; compute=fp16|bf16|fp32, the type of the products' inputs.
 * With fp32 every result has the bits of the CPU backend. split=N: up to how
 * many blocks the recurrence uses the kernel for few (cuda/wkv7.cu).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "cuda/arena.h"
#include "cuda/cu.h"
#include "cuda/devices.h"
#include "cuda/gemm.h"
#include "cuda/head.h"
#include "cuda/kernels.h"
#include "cuda/model.h"
#include "cuda/plan.h"
#include "model/backend.h"

#define SPLIT_MAX 1024   /* struct wkv7 */
#define PIECES_MAX 65535 /* blocks of a grid's second dimension */

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
    LOW_V,
    LOW_G,
    LOW_RANKS
};

/* A product's result and the input it came from, whose factors it shares. */
struct product {
    float *at;
    const float *up;
};

struct cuda_backend {
    struct backend base;
    int device, split_max;
    cudaStream_t stream;
    struct cuda_model m;
    struct gemm *gemm;
    struct head *head;
    int64_t ticket; /* last given */

    float *state; /* [S][state_floats], laid out as in backend_cpu.c */
    size_t state_floats;
    int32_t *last; /* [S] sampled tokens, in host memory */

    /* The step being computed */
    int rows, pieces;
    int32_t *host;            /* what is uploaded, see `upload` */
    int32_t *token, *begins;  /* [T] */
    struct cuda_piece *piece; /* [min(S, T)] */
    float *x;                 /* residual stream */
    float *h;                 /* normed */
    float *first_v, *y;       /* [T][C] */
    struct narrow_rows mixed[MIX_MAX], q;
    struct narrow_rows low[LOW_RANKS];
    struct product r, w, k, v, a, g, mix_v; /* [T][C] */
    struct product wide;                    /* [T][max(C, F, rank)] */
    void *scratch;
};

static struct cuda_backend *cuda_of(struct backend *b)
{
    return (struct cuda_backend *)b;
}

/* Each layer: att_shift [C], S [H][N key][N value], ffn_shift [C]. */
static float *layer_state(const struct cuda_backend *b, int layer)
{
    return b->state + (size_t)layer * (b->state_floats / (size_t)b->m.L);
}

static float *wkv_state(const struct cuda_backend *b, int layer)
{
    return layer_state(b, layer) + b->m.C;
}

static float *ffn_state(const struct cuda_backend *b, int layer)
{
    return wkv_state(b, layer) + (size_t)b->m.C * (size_t)b->m.N;
}

static float *slot_state(const struct cuda_backend *b, int32_t slot)
{
    return b->state + (size_t)slot * b->state_floats;
}

/* ---- a layer --------------------------------------------------------------- */

static struct wide_rows wide_of(const struct product *p)
{
    return (struct wide_rows){p->at, p->up};
}

static int product(struct cuda_backend *b, const struct cuda_matrix *w,
                   const struct narrow_rows *x, struct product *y,
                   struct err *err)
{
    y->up = x->up;
    return gemm_run(b->gemm, w, x->at, b->rows, y->at, err);
}

/* The two products of a low-rank pair, with a function between them. */
static int low_rank(struct cuda_backend *b, const struct cuda_matrix *w1,
                    enum narrow_op op, const struct cuda_matrix *w2,
                    const struct narrow_rows *x, const struct narrow_rows *low,
                    struct product *y, struct err *err)
{
    if (product(b, w1, x, &b->wide, err) < 0
        || CU(kernel_narrow(b->rows, w1->n, wide_of(&b->wide), op, b->m.type,
                            *low, b->stream),
              err)
               < 0)
        return -1;
    return product(b, w2, low, y, err);
}

/* x += the last product; h = LN(x). */
static int add_norm(struct cuda_backend *b, const struct product *y,
                    const float *y_bias, const float *weight, const float *bias,
                    struct err *err)
{
    const struct add_norm a = {
        .rows = b->rows,
        .c = b->m.C,
        .x = b->x,
        .y = y != NULL ? wide_of(y) : (struct wide_rows){NULL, NULL},
        .y_bias = y_bias,
        .weight = weight,
        .bias = bias,
        .h = weight != NULL ? b->h : NULL,
    };

    return CU(kernel_add_norm(&a, b->stream), err);
}

/* 4, 5, 17: the mixes, then the last rows become the state. */
static int token_shift(struct cuda_backend *b, float *state,
                       const float *const *x, int n, struct err *err)
{
    struct mix a = {.rows = b->rows,
                    .c = b->m.C,
                    .n = n,
                    .h = b->h,
                    .begins = b->begins,
                    .state = state,
                    .stride = b->state_floats,
                    .type = b->m.type};

    for (int i = 0; i < n; i++) {
        a.x[i] = x[i];
        a.out[i] = b->mixed[i];
    }
    if (CU(kernel_mix(&a, b->stream), err) < 0)
        return -1;
    return CU(kernel_keep_shift(b->pieces, b->m.C, b->piece, b->h, state,
                                b->state_floats, b->stream),
              err);
}

/* 6-10: the products in front of the recurrence. */
static int project(struct cuda_backend *b, const struct cuda_layer *l,
                   bool first_layer, struct err *err)
{
    const struct narrow_rows *m = b->mixed, *low = b->low;

    if (product(b, &l->receptance, &m[MIX_R], &b->r, err) < 0
        || low_rank(b, &l->w1, NARROW_TANH, &l->w2, &m[MIX_W], &low[LOW_W],
                    &b->w, err)
               < 0
        || product(b, &l->key, &m[MIX_K], &b->k, err) < 0
        || product(b, &l->value, &m[MIX_V], &b->v, err) < 0
        || low_rank(b, &l->a1, NARROW_COPY, &l->a2, &m[MIX_A], &low[LOW_A],
                    &b->a, err)
               < 0
        || low_rank(b, &l->g1, NARROW_SIGMOID, &l->g2, &m[MIX_G], &low[LOW_G],
                    &b->g, err)
               < 0)
        return -1;
    if (first_layer)
        return 0;
    return low_rank(b, &l->v1, NARROW_COPY, &l->v2, &m[MIX_V], &low[LOW_V],
                    &b->mix_v, err);
}

/* 7-16, but for the products */
static int recur(struct cuda_backend *b, const struct cuda_layer *l, int layer,
                 struct err *err)
{
    const struct wkv7 a = {
        .pieces = b->pieces,
        .c = b->m.C,
        .h = b->m.H,
        .n = b->m.N,
        .piece = b->piece,
        .r = wide_of(&b->r),
        .w = wide_of(&b->w),
        .k = wide_of(&b->k),
        .v = wide_of(&b->v),
        .a = wide_of(&b->a),
        .g = wide_of(&b->g),
        .mix_v =
            layer > 0 ? wide_of(&b->mix_v) : (struct wide_rows){NULL, NULL},
        .first_v = b->first_v,
        .w0 = l->w0,
        .a0 = l->a0,
        .v0 = l->v0,
        .k_k = l->k_k,
        .k_a = l->k_a,
        .r_k = l->r_k,
        .weight = l->ln_x_w,
        .bias = l->ln_x_b,
        .split_max = b->split_max,
        .state = wkv_state(b, layer),
        .stride = b->state_floats,
        .y = b->y,
    };

    return CU(kernel_wkv7(&a, b->stream), err);
}

/* 4-16, from h = LN(x; ln1); ends with h = LN(x; ln2). */
static int time_mix(struct cuda_backend *b, const struct cuda_layer *l,
                    int layer, struct err *err)
{
    const float *const x[MIX_MAX] = {l->x_r, l->x_w, l->x_k,
                                     l->x_v, l->x_a, l->x_g};

    if (token_shift(b, layer_state(b, layer), x, MIX_MAX, err) < 0
        || project(b, l, layer == 0, err) < 0 || recur(b, l, layer, err) < 0
        || CU(kernel_narrow(b->rows, b->m.C, (struct wide_rows){b->y, NULL},
                            NARROW_COPY, b->m.type, b->mixed[0], b->stream),
              err)
               < 0
        || product(b, &l->output, &b->mixed[0], &b->wide, err) < 0)
        return -1;
    return add_norm(b, &b->wide, l->output_bias, l->ln2_w, l->ln2_b, err);
}

/* 17, 18; ends with the next layer's h. */
static int channel_mix(struct cuda_backend *b, const struct cuda_layer *l,
                       const struct cuda_layer *next, int layer,
                       struct err *err)
{
    if (token_shift(b, ffn_state(b, layer), &l->ffn_x_k, 1, err) < 0
        || product(b, &l->ffn_key, &b->mixed[0], &b->wide, err) < 0
        || CU(kernel_narrow(b->rows, b->m.F, wide_of(&b->wide), NARROW_RELU2,
                            b->m.type, b->q, b->stream),
              err)
               < 0
        || product(b, &l->ffn_value, &b->q, &b->wide, err) < 0)
        return -1;
    return add_norm(b, &b->wide, NULL, next != NULL ? next->ln1_w : NULL,
                    next != NULL ? next->ln1_b : NULL, err);
}

/* ---- a step ---------------------------------------------------------------- */

/* What a step brings to the device: token [T], begins [T], piece [P], packed in
 * this order for one copy.
 */
static int upload(struct cuda_backend *b, const struct step *step,
                  struct err *err)
{
    const size_t most = (size_t)b->base.limits.tokens_per_step;
    int32_t *token = b->host, *begins = token + most, row = 0;
    struct cuda_piece *piece = (struct cuda_piece *)(void *)(begins + most);

    for (int32_t i = 0; i < step->n_piece; i++) {
        const struct piece *p = &step->piece[i];

        piece[i] = (struct cuda_piece){p->slot, row, p->n};
        for (int32_t t = 0; t < p->n; t++, row++) {
            token[row] = p->token == NULL ? b->last[p->slot] : p->token[t];
            begins[row] = t == 0 ? p->slot : -1;
        }
    }
    b->rows = row;
    b->pieces = step->n_piece;
    return CU(cudaMemcpyAsync(b->token, b->host,
                              2 * most * sizeof(int32_t)
                                  + (size_t)b->pieces * sizeof *piece,
                              cudaMemcpyHostToDevice, b->stream),
              err);
}

static int64_t cuda_submit(struct backend *base, const struct step *step,
                           struct err *err)
{
    struct cuda_backend *b = cuda_of(base);
    const struct cuda_layer *l = b->m.layer;

    if (CU(cudaSetDevice(b->device), err) < 0 || upload(b, step, err) < 0
        || CU(kernel_embed(b->rows, b->m.C, b->token, b->m.emb, b->x,
                           b->stream),
              err)
               < 0
        || add_norm(b, NULL, NULL, l->ln1_w, l->ln1_b, err) < 0)
        return -1;
    for (int i = 0; i < b->m.L; i++, l++)
        if (time_mix(b, l, i, err) < 0
            || channel_mix(b, l, i + 1 < b->m.L ? l + 1 : NULL, i, err) < 0)
            return -1;
    if (head_run(b->head, step, b->x, b->gemm, b->stream, b->last, err) < 0
        || CU(cudaStreamSynchronize(b->stream), err) < 0)
        return -1;
    return ++b->ticket;
}

static int cuda_wait(struct backend *base, int64_t ticket, struct err *err)
{
    (void)base;
    (void)ticket;
    (void)err;
    return 0;
}

/* ---- slots ----------------------------------------------------------------- */

static int cuda_reset(struct backend *base, int32_t slot, struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    b->last[slot] = 0;
    if (CU(cudaSetDevice(b->device), err) < 0)
        return -1;
    return CU(
        cudaMemsetAsync(slot_state(b, slot), 0, base->state_bytes, b->stream),
        err);
}

static int cuda_copy(struct backend *base, int32_t dst, int32_t src,
                     struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    b->last[dst] = b->last[src];
    if (dst == src)
        return 0;
    if (CU(cudaSetDevice(b->device), err) < 0)
        return -1;
    return CU(cudaMemcpyAsync(slot_state(b, dst), slot_state(b, src),
                              base->state_bytes, cudaMemcpyDeviceToDevice,
                              b->stream),
              err);
}

/* The public layout has each head's S as [N value][N key]. In place. */
static void transpose_heads(const struct cuda_backend *b, float *state)
{
    const int n = b->m.N;

    for (int layer = 0; layer < b->m.L; layer++) {
        state += b->m.C;
        for (int h = 0; h < b->m.H; h++, state += n * n)
            for (int i = 0; i < n; i++)
                for (int j = 0; j < i; j++) {
                    float x = state[i * n + j];

                    state[i * n + j] = state[j * n + i];
                    state[j * n + i] = x;
                }
        state += b->m.C;
    }
}

static int cuda_save(struct backend *base, int32_t slot, float *state,
                     struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    if (CU(cudaSetDevice(b->device), err) < 0
        || CU(cudaMemcpyAsync(state, slot_state(b, slot), base->state_bytes,
                              cudaMemcpyDeviceToHost, b->stream),
              err)
               < 0
        || CU(cudaStreamSynchronize(b->stream), err) < 0)
        return -1;
    transpose_heads(b, state);
    return 0;
}

static int cuda_load(struct backend *base, int32_t slot, const float *state,
                     struct err *err)
{
    struct cuda_backend *b = cuda_of(base);
    float *copy = malloc(base->state_bytes);
    int rc = -1;

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a state");
    memcpy(copy, state, base->state_bytes);
    transpose_heads(b, copy);
    b->last[slot] = 0;
    if (CU(cudaSetDevice(b->device), err) == 0
        && CU(cudaMemcpyAsync(slot_state(b, slot), copy, base->state_bytes,
                              cudaMemcpyHostToDevice, b->stream),
              err)
               == 0)
        rc = CU(cudaStreamSynchronize(b->stream), err);
    free(copy);
    return rc;
}

/* ---- creation -------------------------------------------------------------- */

static void cuda_destroy(struct backend *base)
{
    struct cuda_backend *b = cuda_of(base);

    (void)cudaSetDevice(b->device);
    if (b->stream != NULL)
        (void)cudaStreamSynchronize(b->stream);
    head_destroy(b->head);
    gemm_destroy(b->gemm);
    cuda_model_finish(&b->m);
    (void)cudaFree(b->state);
    (void)cudaFree(b->scratch);
    if (b->stream != NULL)
        (void)cudaStreamDestroy(b->stream);
    free(b->host);
    free(b->last);
    free(b);
}

static int most_pieces(const struct cuda_backend *b)
{
    const struct backend_limits *l = &b->base.limits;

    return l->slots < l->tokens_per_step ? l->slots : l->tokens_per_step;
}

static void place_narrow(struct arena *arena, const struct cuda_backend *b,
                         int width, struct narrow_rows *to)
{
    const size_t rows = (size_t)gemm_capacity(b->base.limits.tokens_per_step);

    to->at = arena_take(arena, rows * (size_t)width * narrow_size(b->m.type));
    to->up = arena_take(arena, rows * sizeof *to->up);
}

/* The scratch memory of a step: counted first, then filled. */
static void place(struct cuda_backend *b, struct arena *arena)
{
    const size_t most = (size_t)b->base.limits.tokens_per_step;
    const size_t rows = (size_t)gemm_capacity((int)most);
    const size_t wide = rows * (size_t)b->m.C * sizeof(float);
    struct product *const product[] = {&b->r, &b->w, &b->k,    &b->v,
                                       &b->a, &b->g, &b->mix_v};
    float **const plain[] = {&b->x, &b->h, &b->first_v, &b->y};
    int widest = b->m.F > b->m.C ? b->m.F : b->m.C;

    widest = b->m.rank_max > widest ? b->m.rank_max : widest;
    /* One array, see upload(). */
    b->token =
        arena_take(arena, 2 * most * sizeof(int32_t)
                              + (size_t)most_pieces(b) * sizeof *b->piece);
    if (b->token != NULL) {
        b->begins = b->token + most;
        b->piece = (struct cuda_piece *)(void *)(b->begins + most);
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        *plain[i] = arena_take(arena, wide);
    for (size_t i = 0; i < sizeof product / sizeof *product; i++)
        product[i]->at = arena_take(arena, wide);
    b->wide.at = arena_take(arena, rows * (size_t)widest * sizeof(float));
    for (int i = 0; i < MIX_MAX; i++)
        place_narrow(arena, b, b->m.C, &b->mixed[i]);
    for (int i = 0; i < LOW_RANKS; i++)
        place_narrow(arena, b, b->m.rank_max, &b->low[i]);
    place_narrow(arena, b, b->m.F, &b->q);
    head_place(b->head, arena);
}

/* Every shape that layers have; ranks may differ between them. */
static int admit(struct cuda_backend *b, struct err *err)
{
    const int rows = b->base.limits.tokens_per_step;

    for (int i = 0; i < b->m.L; i++) {
        const struct cuda_layer *l = &b->m.layer[i];
        const struct cuda_matrix *const w[] = {
            &l->receptance, &l->ffn_key, &l->ffn_value, &l->w1, &l->w2, &l->a1,
            &l->a2,         &l->g1,      &l->g2,        &l->v1, &l->v2};

        for (size_t k = 0; k < sizeof w / sizeof *w; k++)
            if (w[k]->n > 0
                && gemm_admit(b->gemm, w[k]->n, w[k]->k, rows, err) < 0)
                return -1;
    }
    return head_admit(&b->m, &b->base.limits, b->gemm, err);
}

static size_t admit_bytes(const struct cuda_backend *b)
{
    const int rows = b->base.limits.tokens_per_step;
    size_t up = gemm_admit_bytes(b->m.type, b->m.F, b->m.C, rows);
    size_t down = gemm_admit_bytes(b->m.type, b->m.C, b->m.F, rows);
    size_t head = head_admit_bytes(&b->m, &b->base.limits);

    up = down > up ? down : up;
    return head > up ? head : up;
}

static int allocate(struct cuda_backend *b, const struct weights *w,
                    const struct plan *plan, struct err *err)
{
    struct arena arena = {0};
    void *state, *scratch;

    if (admit(b, err) < 0 || cuda_model_load(&b->m, w, b->stream, err) < 0
        || CU(cudaMalloc(&state, plan->state), err) < 0)
        return -1;
    b->state = state;
    if (CU(cudaMemset(state, 0, plan->state), err) < 0
        || CU(cudaMalloc(&scratch, plan->scratch), err) < 0)
        return -1;
    b->scratch = arena.base = scratch;
    place(b, &arena);
    return 0;
}

static int check_memory(struct cuda_backend *b, struct plan *plan,
                        struct err *err)
{
    const struct backend_limits *l = &b->base.limits;
    struct arena count = {0};
    size_t available, total;

    place(b, &count);
    *plan = (struct plan){
        .weights = b->m.bytes,
        .state = b->base.state_bytes * (size_t)l->slots,
        .scratch = count.used,
        .admit = admit_bytes(b),
    };
    if (CU(cudaMemGetInfo(&available, &total), err) < 0)
        return -1;
    return plan_check(plan, available, l->slots, l->tokens_per_step, err);
}

static const char *const compute_words[] = {"fp16", "bf16", "fp32", NULL};

static int read_options(struct cuda_backend *b, const char *options,
                        enum narrow_type *type, struct err *err)
{
    int64_t device = 0, compute = NARROW_FP16, split = SPLIT_MAX;
    const struct backend_option option[] = {
        {.key = "device", .value = &device, .max = 1023},
        {.key = "compute", .value = &compute, .word = compute_words},
        {.key = "split", .value = &split, .max = 1 << 20},
    };
    struct cuda_device found[1];
    int count;

    if (backend_options(options, option, sizeof option / sizeof *option, err)
        < 0)
        return -1;
    count = cuda_devices(found, 1, err);
    if (count < 0)
        return -1;
    if (device >= count)
        return err_set(err, ERR_INVALID,
                       "no device %" PRId64 ": this host has %d GPUs (or no"
                       " driver for them)",
                       device, count);
    if (most_pieces(b) > PIECES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d slots in a step",
                       PIECES_MAX);
    b->device = (int)device;
    b->split_max = (int)split;
    *type = (enum narrow_type)compute;
    b->base.compute = compute_words[compute];
    return CU(cudaSetDevice(b->device), err);
}

static int fill(struct cuda_backend *b, const struct weights *w,
                const char *options, struct err *err)
{
    const struct backend_limits *l = &b->base.limits;
    enum narrow_type type = NARROW_FP16;
    struct plan plan;
    int library, own;

    if (read_options(b, options, &type, err) < 0
        || CU(cudaStreamCreate(&b->stream), err) < 0
        || cuda_model_plan(&b->m, w, type, err) < 0)
        return -1;
    b->base.vocab = w->V;
    b->state_floats = (size_t)b->m.L * (size_t)b->m.C * (2 + (size_t)b->m.N);
    b->base.state_bytes = b->state_floats * sizeof(float);
    b->last = calloc((size_t)l->slots, sizeof *b->last);
    b->host =
        calloc(2 * (size_t)l->tokens_per_step + 3 * (size_t)most_pieces(b),
               sizeof *b->host);
    if (b->last == NULL || b->host == NULL)
        return err_set(err, ERR_NOMEM, "no memory for %" PRId32 " slots",
                       l->slots);
    b->head = head_create(&b->m, l, err);
    b->gemm = b->head == NULL ? NULL : gemm_create(type, b->stream, err);
    if (b->gemm == NULL || check_memory(b, &plan, err) < 0
        || allocate(b, w, &plan, err) < 0)
        return -1;
    gemm_count(b->gemm, &library, &own);
    log_debug("cuda:%d %s: %zu MiB, %d library plans, %d of our own", b->device,
              b->base.compute, plan_bytes(&plan) >> 20, library, own);
    return 0;
}

static struct backend *cuda_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *options, struct err *err)
{
    struct cuda_backend *b;

    if (w == NULL) {
        err_set(err, ERR_INVALID, "a model is needed");
        return NULL;
    }
    b = calloc(1, sizeof *b);
    if (b == NULL) {
        err_set(err, ERR_NOMEM, "no memory");
        return NULL;
    }
    b->base.ops = &backend_cuda;
    b->base.limits = *limits;
    if (fill(b, w, options, err) < 0) {
        cuda_destroy(&b->base);
        return NULL;
    }
    return &b->base;
}

const struct backend_ops backend_cuda = {
    .name = "cuda",
    .create = cuda_create,
    .destroy = cuda_destroy,
    .submit = cuda_submit,
    .wait = cuda_wait,
    .reset = cuda_reset,
    .copy = cuda_copy,
    .save = cuda_save,
    .load = cuda_load,
};
