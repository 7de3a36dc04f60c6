/* The backend of NVIDIA GPUs: slots, steps and what is allocated for them. The
 * layers: cuda/layers.h; the head: cuda/head.h.
 *
 * submit() enqueues a step on the stream and returns; wait() waits for its event
 * and writes its outputs. Sampled tokens stay on the device for the next step.
 *
 * Options: device=K; compute=fp16|bf16|fp32, the type of the products' inputs.
 * With fp32 every result has the bits of the CPU backend. split=N: up to how
 * many blocks the recurrence uses the kernel for few (cuda/wkv7.cu); graph=0:
 * small steps are launched kernel by kernel. Both change no bit.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "cuda/arena.h"
#include "cuda/cu.h"
#include "cuda/devices.h"
#include "cuda/gemm.h"
#include "cuda/graph.h"
#include "cuda/head.h"
#include "cuda/layers.h"
#include "cuda/model.h"
#include "cuda/plan.h"
#include "model/backend.h"

#define SPLIT_MAX 640    /* struct wkv7 */
#define PIECES_MAX 65535 /* blocks of a grid's second dimension */
#define GRAPH_ROWS 1024  /* larger steps outlast their launches */

/* A submitted step until it is waited for. */
struct flight {
    int64_t ticket; /* 0: free */
    struct step step;
    cudaEvent_t done;
    int32_t *host; /* its lists, packed, in pinned memory: struct lists */
};

struct cuda_backend {
    struct backend base;
    int device, split_max;
    bool graph;
    cudaStream_t stream;
    struct cuda_model m;
    struct gemm *gemm;
    struct layers *layers;
    struct graphs *graphs;
    struct head *head;
    int64_t ticket; /* last given */

    /* [S + 1][state_floats], laid out as in backend_cpu.c; the last slot is
     * that of rows which only fill a step up.
     */
    float *state;
    size_t state_floats;

    struct flight flight[HEAD_FLIGHTS];
    int32_t *list; /* those of the step in hand */
    int32_t *last; /* [S] sampled tokens */
    void *scratch;
};

static struct cuda_backend *cuda_of(struct backend *b)
{
    return (struct cuda_backend *)b;
}

static float *slot_state(const struct cuda_backend *b, int32_t slot)
{
    return b->state + (size_t)slot * b->state_floats;
}

/* ---- a step ---------------------------------------------------------------- */

/* The arrays of a step in an array of 32-bit words: token, begins, ends [rows],
 * then the pieces.
 */
struct lists {
    int32_t *token, *begins, *ends;
    struct cuda_piece *piece;
};

static struct lists lists_in(int32_t *at, int rows)
{
    return (struct lists){at, at + rows, at + 2 * (size_t)rows,
                          (struct cuda_piece *)(void *)(at + 3 * (size_t)rows)};
}

static size_t list_words(int rows, int pieces)
{
    return 3 * (size_t)rows
           + (size_t)pieces * (sizeof(struct cuda_piece) / sizeof(int32_t));
}

/* Rows beyond the step's are a token of the spare slot that nobody keeps; its
 * state is zero and stays it.
 */
static void fill_lists(const struct cuda_backend *b, const struct step *step,
                       int rows, int pieces, int32_t *host)
{
    const struct lists to = lists_in(host, rows);
    int32_t row = 0;

    for (int32_t i = 0; i < step->n_piece; i++) {
        const struct piece *p = &step->piece[i];

        to.piece[i] = (struct cuda_piece){p->slot, row, p->n};
        for (int32_t t = 0; t < p->n; t++, row++) {
            to.token[row] = p->token == NULL ? ~p->slot : p->token[t];
            to.begins[row] = t == 0 ? p->slot : -1;
            to.ends[row] = t == p->n - 1 ? p->slot : -1;
        }
    }
    for (; row < rows; row++) {
        to.token[row] = 0;
        to.begins[row] = b->base.limits.slots;
        to.ends[row] = -1;
    }
    for (int32_t i = step->n_piece; i < pieces; i++)
        to.piece[i] = (struct cuda_piece){b->base.limits.slots, 0, 0};
}

struct launch {
    struct layers *layers;
    struct layers_step step;
};

static int launch_layers(void *arg, struct err *err)
{
    struct launch *l = arg;

    return layers_run(l->layers, &l->step, err);
}

/* The layers of a step of this many rows and pieces, padded if that makes it
 * one of the sizes that are recorded.
 */
static int run_layers(struct cuda_backend *b, const struct step *step, int rows,
                      int32_t *host, struct err *err)
{
    const bool graph = b->graph && rows <= GRAPH_ROWS;
    const int padded = graph ? gemm_capacity(rows) : rows;
    const int most = gemm_capacity(step->n_piece);
    const int pieces = !graph ? step->n_piece : most < padded ? most : padded;
    const struct lists list = lists_in(b->list, padded);
    struct launch l = {b->layers,
                       {.rows = padded,
                        .pieces = pieces,
                        .long_pieces = rows > step->n_piece,
                        .token = list.token,
                        .last = b->last,
                        .begins = list.begins,
                        .ends = list.ends,
                        .piece = list.piece,
                        .state = b->state,
                        .floats = b->state_floats}};
    const struct graph_key key = {padded, pieces, l.step.long_pieces};

    fill_lists(b, step, padded, pieces, host);
    if (CU(cudaMemcpyAsync(b->list, host,
                           list_words(padded, pieces) * sizeof(int32_t),
                           cudaMemcpyHostToDevice, b->stream),
           err)
        < 0)
        return -1;
    if (!graph)
        return launch_layers(&l, err);
    return graphs_run(b->graphs, &key, launch_layers, &l, err);
}

static struct flight *find_flight(struct cuda_backend *b, int64_t ticket)
{
    struct flight *f = b->flight;

    while (f->ticket != ticket)
        f++;
    return f;
}

static int64_t cuda_submit(struct backend *base, const struct step *step,
                           struct err *err)
{
    struct cuda_backend *b = cuda_of(base);
    struct flight *f = find_flight(b, 0);
    int rows = 0;

    for (int32_t i = 0; i < step->n_piece; i++)
        rows += step->piece[i].n;
    if (CU(cudaSetDevice(b->device), err) < 0
        || run_layers(b, step, rows, f->host, err) < 0
        || head_begin(b->head, (int)(f - b->flight), step, base->history,
                      layers_output(b->layers), b->gemm, b->stream, b->last,
                      err)
               < 0
        || CU(cudaEventRecord(f->done, b->stream), err) < 0)
        return -1;
    f->step = *step;
    f->ticket = ++b->ticket;
    return f->ticket;
}

static int cuda_wait(struct backend *base, int64_t ticket, struct err *err)
{
    struct cuda_backend *b = cuda_of(base);
    struct flight *f = find_flight(b, ticket);

    f->ticket = 0;
    if (CU(cudaSetDevice(b->device), err) < 0
        || CU(cudaEventSynchronize(f->done), err) < 0)
        return -1;
    head_end(b->head, (int)(f - b->flight), &f->step);
    return 0;
}

/* ---- slots ----------------------------------------------------------------- */

static int forget_last(struct cuda_backend *b, int32_t slot, struct err *err)
{
    if (CU(cudaSetDevice(b->device), err) < 0)
        return -1;
    return CU(cudaMemsetAsync(b->last + slot, 0, sizeof *b->last, b->stream),
              err);
}

static int cuda_reset(struct backend *base, int32_t slot, struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    if (forget_last(b, slot, err) < 0)
        return -1;
    return CU(
        cudaMemsetAsync(slot_state(b, slot), 0, base->state_bytes, b->stream),
        err);
}

static int cuda_copy(struct backend *base, int32_t dst, int32_t src,
                     struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    if (CU(cudaSetDevice(b->device), err) < 0
        || CU(cudaMemcpyAsync(b->last + dst, b->last + src, sizeof *b->last,
                              cudaMemcpyDeviceToDevice, b->stream),
              err)
               < 0
        || (base->history[dst] >= 0
            && head_copy_history(b->head, base->history[dst],
                                 base->history[src], b->stream, err)
                   < 0))
        return -1;
    return CU(cudaMemcpyAsync(slot_state(b, dst), slot_state(b, src),
                              base->state_bytes, cudaMemcpyDeviceToDevice,
                              b->stream),
              err);
}

static int cuda_remember(struct backend *base, int32_t slot,
                         const struct history *h, struct err *err)
{
    struct cuda_backend *b = cuda_of(base);

    if (CU(cudaSetDevice(b->device), err) < 0)
        return -1;
    return head_remember(b->head, base->history[slot], h, b->stream, err);
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

/* Shift states that no LayerNorm of this model has made? */
static bool is_foreign(const struct cuda_backend *b, const float *state)
{
    const size_t layer = b->state_floats / (size_t)b->m.L;
    const float bound = layers_bound(b->layers);

    for (int i = 0; i < b->m.L; i++)
        for (int c = 0; c < b->m.C; c++) {
            const float *att = state + (size_t)i * layer + c;

            if (fabsf(att[0]) > bound
                || fabsf(att[layer - (size_t)b->m.C]) > bound)
                return true;
        }
    return false;
}

static int cuda_load(struct backend *base, int32_t slot, const float *state,
                     struct err *err)
{
    struct cuda_backend *b = cuda_of(base);
    float *copy = malloc(base->state_bytes);
    int rc = -1;

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a state");
    if (is_foreign(b, state)) {
        layers_expect_large(b->layers);
        graphs_clear(b->graphs);
    }
    memcpy(copy, state, base->state_bytes);
    transpose_heads(b, copy);
    if (forget_last(b, slot, err) == 0
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
    graphs_destroy(b->graphs);
    head_destroy(b->head);
    layers_destroy(b->layers);
    gemm_destroy(b->gemm);
    cuda_model_finish(&b->m);
    (void)cudaFree(b->state);
    (void)cudaFree(b->scratch);
    if (b->stream != NULL)
        (void)cudaStreamDestroy(b->stream);
    for (int i = 0; i < HEAD_FLIGHTS; i++) {
        (void)cudaFreeHost(b->flight[i].host);
        if (b->flight[i].done != NULL)
            (void)cudaEventDestroy(b->flight[i].done);
    }
    free(b);
}

static int most_pieces(const struct cuda_backend *b)
{
    const struct backend_limits *l = &b->base.limits;

    return l->slots < l->tokens_per_step ? l->slots : l->tokens_per_step;
}

/* Rows that lists and layers have room for. */
static int most_rows(const struct cuda_backend *b)
{
    return gemm_capacity(b->base.limits.tokens_per_step);
}

static size_t list_bytes(const struct cuda_backend *b)
{
    return list_words(most_rows(b), gemm_capacity(most_pieces(b)))
           * sizeof(int32_t);
}

/* The scratch memory of a step: counted first, then filled. */
static void place(struct cuda_backend *b, struct arena *arena)
{
    b->list = arena_take(arena, list_bytes(b));
    b->last = arena_take(arena, (size_t)b->base.limits.slots * sizeof *b->last);
    layers_place(b->layers, arena);
    head_place(b->head, arena);
}

static int allocate(struct cuda_backend *b, const struct weights *w,
                    const struct plan *plan, struct err *err)
{
    struct arena arena = {0};
    void *state, *scratch;

    if (layers_admit(b->layers, err) < 0
        || head_admit(&b->m, &b->base.limits, b->gemm, err) < 0
        || cuda_model_load(&b->m, w, b->stream, err) < 0
        || CU(cudaMalloc(&state, plan->state), err) < 0)
        return -1;
    b->state = state;
    if (CU(cudaMemset(state, 0, plan->state), err) < 0
        || CU(cudaMalloc(&scratch, plan->scratch), err) < 0)
        return -1;
    b->scratch = arena.base = scratch;
    place(b, &arena);
    /* Rows that only fill a step up must be numbers, whatever they are. */
    if (CU(cudaMemset(scratch, 0, plan->scratch), err) < 0)
        return -1;
    return layers_bind(b->layers, err);
}

static size_t admit_bytes(const struct cuda_backend *b)
{
    size_t layers = layers_admit_bytes(b->layers);
    size_t head = head_admit_bytes(&b->m, &b->base.limits);

    return head > layers ? head : layers;
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
        .state = b->base.state_bytes * ((size_t)l->slots + 1),
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
    int64_t graph = 1;
    const struct backend_option option[] = {
        {.key = "device", .value = &device, .max = 1023},
        {.key = "compute", .value = &compute, .word = compute_words},
        {.key = "split", .value = &split, .max = 1 << 20},
        {.key = "graph", .value = &graph, .max = 1},
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
    b->graph = graph != 0;
    *type = (enum narrow_type)compute;
    b->base.compute = compute_words[compute];
    return CU(cudaSetDevice(b->device), err);
}

static int make_flights(struct cuda_backend *b, struct err *err)
{
    for (int i = 0; i < HEAD_FLIGHTS; i++) {
        struct flight *f = &b->flight[i];

        if (CU(cudaMallocHost((void **)&f->host, list_bytes(b)), err) < 0
            || CU(cudaEventCreateWithFlags(
                      &f->done, cudaEventDisableTiming | cudaEventBlockingSync),
                  err)
                   < 0)
            return -1;
    }
    return 0;
}

static int fill(struct cuda_backend *b, const struct weights *w,
                const char *options, struct err *err)
{
    const struct backend_limits *l = &b->base.limits;
    enum narrow_type type = NARROW_FP16;
    struct plan plan;
    int library, own;

    if (read_options(b, options, &type, err) < 0
        || CU(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), err)
               < 0
        || cuda_model_plan(&b->m, w, type, err) < 0)
        return -1;
    b->base.vocab = w->V;
    b->state_floats = (size_t)b->m.L * (size_t)b->m.C * (2 + (size_t)b->m.N);
    b->base.state_bytes = b->state_floats * sizeof(float);
    if (make_flights(b, err) < 0
        || (b->head = head_create(&b->m, l, err)) == NULL
        || (b->gemm = gemm_create(type, b->stream, err)) == NULL
        || (b->graphs = graphs_create(b->stream, err)) == NULL)
        return -1;
    b->layers = layers_create(&b->m, b->gemm, l->tokens_per_step, b->split_max,
                              b->stream, err);
    if (b->layers == NULL || check_memory(b, &plan, err) < 0
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
    b->base.async = true;
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
    .remember = cuda_remember,
};
