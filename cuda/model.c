#include "cuda/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/comm.h"
#include "common/log.h"
#include "cuda/arena.h"
#include "cuda/cu.h"

#define STAGE_FLOATS ((size_t)4 << 20)
#define BUFFERS 2 /* one is filled while the other travels */

/* Rows on their way to the device. */
struct buffer {
    void *host; /* pinned */
    void *device;
    cudaEvent_t free; /* the device is done with it */
};

/* One walk over the weights counts, a second one loads. The first error stops
 * the loading; the walk goes on. With no values here (ranks above 0) the second
 * walk only takes the addresses.
 */
struct loader {
    struct arena arena;
    int c; /* C, the only size that is not padded */
    enum narrow_type type;
    bool values;
    struct buffer buffer[BUFFERS]; /* [stage_floats] each */
    int next;                      /* buffer */
    float *stage;                  /* [stage_floats] in device memory */
    size_t stage_floats;
    int32_t *overflow; /* device */
    cudaStream_t stream;
    struct err *err;
    bool failed;
};

static bool loading(const struct loader *l)
{
    return l->arena.base != NULL && l->values && !l->failed;
}

/* The next buffer, once its last load has left it. */
static struct buffer *take_buffer(struct loader *l)
{
    struct buffer *b = &l->buffer[l->next];

    l->next = (l->next + 1) % BUFFERS;
    l->failed = CU(cudaEventSynchronize(b->free), l->err) < 0;
    return b;
}

static const float *load_vector(struct loader *l, const struct weight *w)
{
    const size_t bytes = (size_t)(w->rows * w->cols) * sizeof(float);
    float *to;

    if (!weight_present(w))
        return NULL;
    to = arena_take(&l->arena, bytes);
    if (loading(l)) {
        struct buffer *b = take_buffer(l);

        weight_read(w, b->host);
        l->failed = l->failed
                    || CU(cudaMemcpyAsync(to, b->host, bytes,
                                          cudaMemcpyHostToDevice, l->stream),
                          l->err)
                           < 0
                    || CU(cudaEventRecord(b->free, l->stream), l->err) < 0;
    }
    return to;
}

/* The rows as they are stored where the device can widen them, else as fp32.
 * Returns their dtype.
 */
static enum dtype read_rows(const struct weight *w, int64_t first, int64_t n,
                            void *out)
{
    enum dtype dtype = DTYPE_F32;
    const void *stored = weight_stored_rows(w, first, n, &dtype);

    if (stored != NULL
        && (dtype == DTYPE_BF16 || dtype == DTYPE_F16 || dtype == DTYPE_F32)) {
        memcpy(out, stored, (size_t)(n * w->cols) * dtype_size(dtype));
        return dtype;
    }
    weight_read_rows(w, first, n, out);
    return DTYPE_F32;
}

/* Enqueue: n values of the buffer, of this dtype, to fp32 on the device. */
static int stage_rows(struct loader *l, const struct buffer *b,
                      enum dtype dtype, int64_t n)
{
    const size_t bytes = (size_t)n * dtype_size(dtype);
    void *to = dtype == DTYPE_F32 ? l->stage : b->device;

    if (CU(cudaMemcpyAsync(to, b->host, bytes, cudaMemcpyHostToDevice,
                           l->stream),
           l->err)
        < 0)
        return -1;
    if (dtype == DTYPE_F32)
        return 0;
    return CU(kernel_widen(n, dtype == DTYPE_F16 ? NARROW_FP16 : NARROW_BF16,
                           b->device, l->stage, l->stream),
              l->err);
}

/* Where a matrix goes: rows of `width`, in the order that `op` reads. */
struct target {
    void *at;
    int64_t width;
    enum narrow_type type;
    enum group_op op;
};

/* Rows first..first+n-1 of a weight, narrowed, with zeros up to the width. */
static void load_rows(struct loader *l, const struct weight *w, int64_t first,
                      int64_t n, const struct target *to)
{
    struct buffer *b;
    enum dtype dtype;

    if (!loading(l))
        return;
    b = take_buffer(l);
    dtype = read_rows(w, first, n, b->host);
    l->failed = l->failed || stage_rows(l, b, dtype, n * w->cols) < 0
                || CU(kernel_narrow_weights(first, n, w->cols, to->width,
                                            l->stage, to->op, to->type, to->at,
                                            l->overflow, l->stream),
                      l->err)
                       < 0
                || CU(cudaEventRecord(b->free, l->stream), l->err) < 0;
}

static void load_all_rows(struct loader *l, const struct weight *w,
                          const struct target *to)
{
    const int64_t most = (int64_t)l->stage_floats / w->cols;

    for (int64_t i = 0; i < w->rows && loading(l); i += most)
        load_rows(l, w, i, w->rows - i < most ? w->rows - i : most, to);
}

static int pad(const struct loader *l, int64_t n)
{
    return n == l->c ? l->c : cuda_pad(n);
}

/* For products of this kind. Padded rows stay as the memory was cleared: zero.
 */
static struct cuda_matrix load_matrix(struct loader *l, const struct weight *w,
                                      enum group_op op)
{
    struct cuda_matrix m = {.n = pad(l, w->rows), .k = pad(l, w->cols)};
    struct target to = {.width = m.k, .type = l->type, .op = op};

    to.at = arena_take(&l->arena, (size_t)cuda_pad(m.n) * (size_t)m.k
                                      * narrow_size(l->type));
    m.at = to.at;
    load_all_rows(l, w, &to);
    return m;
}

static void load_embedding(struct loader *l, struct cuda_model *m,
                           const struct weights *w)
{
    const float *ln0_w = load_vector(l, &w->ln0_w);
    const float *ln0_b = load_vector(l, &w->ln0_b);

    m->emb = arena_take(&l->arena, (size_t)m->V * (size_t)m->C * sizeof(float));
    load_all_rows(l, &w->emb,
                  &(struct target){m->emb, m->C, NARROW_FP32, GROUP_NATURAL});
    if (loading(l) && ln0_w != NULL)
        l->failed = CU(kernel_add_norm(&(struct add_norm){.rows = m->V,
                                                          .c = m->C,
                                                          .x = m->emb,
                                                          .weight = ln0_w,
                                                          .bias = ln0_b,
                                                          .h = m->emb},
                                       l->stream),
                       l->err)
                    < 0;
}

static void load_layer(struct loader *l, struct cuda_layer *to,
                       const struct weights_layer *w, bool first)
{
    *to = (struct cuda_layer){
        .ln1_w = load_vector(l, &w->ln1_w),
        .ln1_b = load_vector(l, &w->ln1_b),
        .ln2_w = load_vector(l, &w->ln2_w),
        .ln2_b = load_vector(l, &w->ln2_b),
        .x_r = load_vector(l, &w->x_r),
        .x_w = load_vector(l, &w->x_w),
        .x_k = load_vector(l, &w->x_k),
        .x_v = load_vector(l, &w->x_v),
        .x_a = load_vector(l, &w->x_a),
        .x_g = load_vector(l, &w->x_g),
        .w0 = load_vector(l, &w->w0),
        .a0 = load_vector(l, &w->a0),
        .k_k = load_vector(l, &w->k_k),
        .k_a = load_vector(l, &w->k_a),
        .r_k = load_vector(l, &w->r_k),
        .ln_x_w = load_vector(l, &w->ln_x_w),
        .ln_x_b = load_vector(l, &w->ln_x_b),
        .output_bias = load_vector(l, &w->output_bias),
        .ffn_x_k = load_vector(l, &w->ffn_x_k),
        .w1 = load_matrix(l, &w->w1, GROUP_TANH),
        .w2 = load_matrix(l, &w->w2, GROUP_DECAY),
        .a1 = load_matrix(l, &w->a1, GROUP_COPY),
        .a2 = load_matrix(l, &w->a2, GROUP_RATE),
        .g1 = load_matrix(l, &w->g1, GROUP_SIGMOID),
        .g2 = load_matrix(l, &w->g2, GROUP_WIDE),
        .receptance = load_matrix(l, &w->receptance, GROUP_WIDE),
        .key = load_matrix(l, &w->key, GROUP_WIDE),
        .value = load_matrix(l, &w->value, GROUP_WIDE),
        .output = load_matrix(l, &w->output, GROUP_NATURAL),
        .ffn_key = load_matrix(l, &w->ffn_key, GROUP_RELU2),
        .ffn_value = load_matrix(l, &w->ffn_value, GROUP_NATURAL),
    };
    if (first) /* layer 0 has no value residual, whatever the file holds */
        return;
    to->v0 = load_vector(l, &w->v0);
    to->v1 = load_matrix(l, &w->v1, GROUP_COPY);
    to->v2 = load_matrix(l, &w->v2, GROUP_RATE);
}

static void load_all(struct loader *l, struct cuda_model *m,
                     const struct weights *w)
{
    load_embedding(l, m, w);
    for (int i = 0; i < m->L; i++)
        load_layer(l, &m->layer[i], &w->layer[i], i == 0);
    m->ln_out_w = load_vector(l, &w->ln_out_w);
    m->ln_out_b = load_vector(l, &w->ln_out_b);
    m->head = load_matrix(l, &w->head, GROUP_NATURAL);
    m->head_bias = load_vector(l, &w->head_bias);
}

static int rank_max(const struct weights *w)
{
    const int32_t rank[] = {w->rank_w, w->rank_a, w->rank_v, w->rank_g};
    int32_t max = 1;

    for (size_t i = 0; i < sizeof rank / sizeof *rank; i++)
        max = rank[i] > max ? rank[i] : max;
    return max;
}

static int check_shape(const struct weights *w, enum narrow_type type,
                       struct err *err)
{
    if (!kernel_wkv7_has(w->N) || w->C != w->H * w->N)
        return err_set(err, ERR_INVALID,
                       "head size %" PRId32 " (C %" PRId32 ", H %" PRId32
                       "); 16, 32, 64 or 128 with C = H * N expected",
                       w->N, w->C, w->H);
    if (w->C % 32 != 0 && (w->F == w->C || rank_max(w) == w->C))
        return err_set(err, ERR_INVALID,
                       "C %" PRId32 " is no multiple of 32 and also the width"
                       " of the channel mix or a rank",
                       w->C);
    if (type == NARROW_FP16
        && (w->rank_a > GROUP_COPY_MAX || w->rank_v > GROUP_COPY_MAX))
        return err_set(err, ERR_INVALID,
                       "ranks of a and v %" PRId32 " and %" PRId32
                       "; with fp16 at most %d expected, so use compute=bf16"
                       " or compute=fp32",
                       w->rank_a, w->rank_v, GROUP_COPY_MAX);
    if (w->C > ADD_NORM_C_MAX)
        return err_set(err, ERR_LIMIT,
                       "%" PRId32 " channels; at most %d expected", w->C,
                       ADD_NORM_C_MAX);
    return 0;
}

int cuda_model_plan(struct cuda_model *m, const struct weights *w,
                    enum narrow_type type, struct err *err)
{
    struct loader count = {
        .c = w->C, .type = type, .stage_floats = STAGE_FLOATS};

    *m = (struct cuda_model){0};
    if (check_shape(w, type, err) < 0)
        return -1;
    m->L = w->L;
    m->C = w->C;
    m->H = w->H;
    m->N = w->N;
    m->V = w->V;
    m->F = w->F == w->C ? w->F : cuda_pad(w->F);
    m->rank_max = cuda_pad(rank_max(w));
    m->type = type;
    m->layer = calloc((size_t)m->L, sizeof *m->layer);
    if (m->layer == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the table of layers");
    load_all(&count, m, w);
    m->bytes = count.arena.used;
    return 0;
}

static int check_overflow(const struct loader *l, struct err *err)
{
    int32_t overflow = 0;

    if (CU(cudaMemcpy(&overflow, l->overflow, sizeof overflow,
                      cudaMemcpyDeviceToHost),
           err)
        < 0)
        return -1;
    if (overflow != 0)
        return err_set(err, ERR_INVALID,
                       "a weight of this model is beyond fp16 (65504); use"
                       " compute=bf16 or compute=fp32");
    return 0;
}

/* Rows of the widest matrix must fit the stage, and any vector the host's. */
static size_t stage_floats(const struct cuda_model *m)
{
    size_t widest = (size_t)(m->F > m->C ? m->F : m->C);

    widest = (size_t)m->V > widest ? (size_t)m->V : widest;
    return widest > STAGE_FLOATS ? widest : STAGE_FLOATS;
}

/* Memory that loading needs besides the model's. */
static int open_loader(struct loader *l, struct err *err)
{
    const size_t bytes = l->stage_floats * sizeof(float);
    void *stage, *overflow;

    if (CU(cudaMalloc(&stage, bytes), err) < 0)
        return -1;
    l->stage = stage;
    if (CU(cudaMalloc(&overflow, sizeof(int32_t)), err) < 0)
        return -1;
    l->overflow = overflow;
    for (int i = 0; i < BUFFERS; i++) {
        struct buffer *b = &l->buffer[i];

        if (CU(cudaHostAlloc(&b->host, bytes, cudaHostAllocDefault), err) < 0
            || CU(cudaMalloc(&b->device, bytes), err) < 0
            || CU(cudaEventCreateWithFlags(&b->free, cudaEventDisableTiming),
                  err)
                   < 0)
            return -1;
    }
    return CU(cudaMemset(l->overflow, 0, sizeof(int32_t)), err);
}

static void close_loader(struct loader *l)
{
    for (int i = 0; i < BUFFERS; i++) {
        (void)cudaFreeHost(l->buffer[i].host);
        (void)cudaFree(l->buffer[i].device);
        if (l->buffer[i].free != NULL)
            (void)cudaEventDestroy(l->buffer[i].free);
    }
    (void)cudaFree(l->overflow);
    (void)cudaFree(l->stage);
}

static int read_values(struct loader *l, struct cuda_model *m,
                       const struct weights *w, struct err *err)
{
    if (l->values && open_loader(l, err) < 0)
        return -1;
    /* What cleared the memory was enqueued elsewhere. */
    if (CU(cudaDeviceSynchronize(), err) < 0)
        return -1;
    l->arena.base = m->memory;
    load_all(l, m, w);
    if (!l->values)
        return 0;
    if (l->failed || CU(cudaStreamSynchronize(l->stream), err) < 0)
        return -1;
    return check_overflow(l, err);
}

/* Through host memory, for communicators that know no other. */
static int share_staged(const struct cuda_model *m, const struct weights *w,
                        struct err *err)
{
    const size_t most = STAGE_FLOATS * sizeof(float);
    const bool root = w->comm->rank == 0;
    char *host = malloc(most), *at = m->memory;
    int rc = 0;

    if (host == NULL)
        return err_set(err, ERR_NOMEM, "no memory to pass weights on");
    for (size_t left = m->bytes, n; left > 0 && rc == 0; at += n, left -= n) {
        n = left < most ? left : most;
        if (root)
            rc = CU(cudaMemcpy(host, at, n, cudaMemcpyDeviceToHost), err);
        if (rc == 0)
            rc = comm_broadcast(w->comm, host, n, 0, w->comm_timeout_ms, err);
        if (rc == 0 && !root)
            rc = CU(cudaMemcpy(at, host, n, cudaMemcpyHostToDevice), err);
    }
    free(host);
    return rc;
}

/* The model as it lies on rank 0's device, to everyone's. */
static int share(const struct cuda_model *m, const struct weights *w,
                 struct err *err)
{
    if (w->comm == NULL)
        return 0;
    if (w->comm->device)
        return comm_broadcast(w->comm, m->memory, m->bytes, 0,
                              w->comm_timeout_ms, err);
    return w->comm->size > 1 ? share_staged(m, w, err) : 0;
}

/* *max becomes the largest magnitude of vector [C] where that is more. */
static int raise_max(const float *vector, int c, float *host, float *max,
                     struct err *err)
{
    if (CU(cudaMemcpy(host, vector, (size_t)c * sizeof *host,
                      cudaMemcpyDeviceToHost),
           err)
        < 0)
        return -1;
    for (int i = 0; i < c; i++)
        if (!(fabsf(host[i]) <= *max)) /* NaN becomes the largest */
            *max = fabsf(host[i]);
    return 0;
}

/* From the device, as not every rank has read the values. */
static int measure(struct cuda_model *m, struct err *err)
{
    float *host = calloc((size_t)m->C, sizeof *host);
    int rc =
        host == NULL ? err_set(err, ERR_NOMEM, "no memory for a vector") : 0;

    for (int i = 0; i < m->L && rc == 0; i++) {
        const struct cuda_layer *l = &m->layer[i];
        const struct {
            const float *vector;
            float *max;
        } of[] = {
            {l->ln1_w, &m->norm_weight_max}, {l->ln2_w, &m->norm_weight_max},
            {l->ln1_b, &m->norm_bias_max},   {l->ln2_b, &m->norm_bias_max},
            {l->x_r, &m->mix_max},           {l->x_w, &m->mix_max},
            {l->x_k, &m->mix_max},           {l->x_v, &m->mix_max},
            {l->x_a, &m->mix_max},           {l->x_g, &m->mix_max},
            {l->ffn_x_k, &m->mix_max}};

        for (size_t k = 0; k < sizeof of / sizeof *of && rc == 0; k++)
            rc = raise_max(of[k].vector, m->C, host, of[k].max, err);
    }
    free(host);
    return rc;
}

int cuda_model_load(struct cuda_model *m, const struct weights *w,
                    cudaStream_t stream, struct err *err)
{
    struct loader l = {.c = m->C,
                       .type = m->type,
                       .values = w->comm == NULL || w->comm->rank == 0,
                       .stage_floats = stage_floats(m),
                       .stream = stream,
                       .err = err};
    int64_t start = clock_now_us(), read;
    int rc = -1;

    if (CU(cudaMalloc(&m->memory, m->bytes), err) == 0
        && CU(cudaMemset(m->memory, 0, m->bytes), err) == 0)
        rc = read_values(&l, m, w, err);
    close_loader(&l);
    read = clock_now_us();
    if (rc == 0)
        rc = share(m, w, err);
    if (rc == 0)
        rc = measure(m, err);
    log_debug("weights: %zu MiB on the device, %" PRId64 " ms to read, %" PRId64
              " ms to pass on",
              m->bytes >> 20, (read - start) / 1000,
              (clock_now_us() - read) / 1000);
    return rc;
}

void cuda_model_finish(struct cuda_model *m)
{
    if (m->memory != NULL)
        (void)cudaFree(m->memory);
    free(m->layer);
    *m = (struct cuda_model){0};
}
