#include "cuda/gemm.h"

#include <cublasLt.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cuda/cu.h"
#include "cuda/group.h"

#define WORKSPACE_BYTES ((size_t)32 << 20)
#define CANDIDATES 8
#define TILE_ROWS 1024 /* own tiles are tried up to here */
#define REPS 3
#define KINDS 3   /* of kernel_product_fill() */
#define PERIOD 61 /* rows of test data that differ */
#define REFERENCE 64

#define LT(call, err) lt_check((call), #call, __LINE__, (err))

static const int bucket_rows[] = {16,   32,   64,   128,  256,  384,  512,  768,
                                  1024, 1536, 2048, 3072, 4096, 8192, 16384};
#define BUCKETS ((int)(sizeof bucket_rows / sizeof *bucket_rows))
#define SLICE 16384 /* the last bucket: more rows are several products */

/* The library's matrices are column-major: it sees y^T [n][rows] = W x^T. */
struct layouts {
    cublasLtMatrixLayout_t w, x, y;
};

struct shape {
    int n, k;
    int rows; /* admitted up to */
    struct plan {
        enum {
            PLAN_PRODUCT,
            PLAN_TILE,
            PLAN_LIBRARY
        } kind;
        enum group_tile tile;
        cublasLtMatmulAlgo_t algo;
        struct layouts layouts;
    } plan[BUCKETS];
};

struct gemm {
    enum narrow_type type;
    cudaStream_t stream;
    struct grouper grouper;
    cudaEvent_t begin, end; /* of a trial */
    cublasLtHandle_t lt;
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulPreference_t preference;
    void *workspace;
    struct shape shape[GEMM_SHAPES_MAX];
    int n_shape;
};

static int lt_check(cublasStatus_t rc, const char *call, int line,
                    struct err *err)
{
    if (rc == CUBLAS_STATUS_SUCCESS)
        return 0;
    return err_set(err, ERR_CUDA, "%s:%d: %s: %s", __FILE__, line, call,
                   cublasLtGetStatusString(rc));
}

static int bucket_of(int rows)
{
    int i = 0;

    while (bucket_rows[i] < rows)
        i++;
    return i;
}

int gemm_capacity(int rows)
{
    int whole = rows / SLICE * SLICE;

    return rows == whole ? whole : whole + bucket_rows[bucket_of(rows - whole)];
}

static cudaDataType_t data_type(enum narrow_type t)
{
    return t == NARROW_FP16 ? CUDA_R_16F : CUDA_R_16BF;
}

static void layouts_end(struct layouts *l)
{
    if (l->w != NULL)
        (void)cublasLtMatrixLayoutDestroy(l->w);
    if (l->x != NULL)
        (void)cublasLtMatrixLayoutDestroy(l->x);
    if (l->y != NULL)
        (void)cublasLtMatrixLayoutDestroy(l->y);
}

static int begin_library(struct gemm *g, struct err *err)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    const size_t bytes = WORKSPACE_BYTES;

    if (grouper_init(&g->grouper, g->type, g->stream, err) < 0
        || CU(cudaEventCreate(&g->begin), err) < 0
        || CU(cudaEventCreate(&g->end), err) < 0
        || LT(cublasLtCreate(&g->lt), err) < 0
        || CU(cudaMalloc(&g->workspace, bytes), err) < 0
        || LT(cublasLtMatmulDescCreate(&g->desc, CUBLAS_COMPUTE_32F,
                                       CUDA_R_32F),
              err)
               < 0
        || LT(cublasLtMatmulDescSetAttribute(g->desc,
                                             CUBLASLT_MATMUL_DESC_TRANSA,
                                             &transposed, sizeof transposed),
              err)
               < 0
        || LT(cublasLtMatmulPreferenceCreate(&g->preference), err) < 0
        || LT(cublasLtMatmulPreferenceSetAttribute(
                  g->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                  &bytes, sizeof bytes),
              err)
               < 0)
        return -1;
    return LT(cublasLtMatmulPreferenceSetAttribute(
                  g->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                  &no_reduction, sizeof no_reduction),
              err);
}

struct gemm *gemm_create(enum narrow_type type, cudaStream_t stream,
                         struct err *err)
{
    struct gemm *g = calloc(1, sizeof *g);

    if (g == NULL) {
        err_set(err, ERR_NOMEM, "no memory");
        return NULL;
    }
    g->type = type;
    g->stream = stream;
    if (type != NARROW_FP32 && begin_library(g, err) < 0) {
        gemm_destroy(g);
        return NULL;
    }
    return g;
}

void gemm_destroy(struct gemm *g)
{
    if (g == NULL)
        return;
    for (int i = 0; i < g->n_shape; i++)
        for (int b = 0; b < BUCKETS; b++)
            layouts_end(&g->shape[i].plan[b].layouts);
    if (g->begin != NULL)
        (void)cudaEventDestroy(g->begin);
    if (g->end != NULL)
        (void)cudaEventDestroy(g->end);
    if (g->preference != NULL)
        (void)cublasLtMatmulPreferenceDestroy(g->preference);
    if (g->desc != NULL)
        (void)cublasLtMatmulDescDestroy(g->desc);
    if (g->workspace != NULL)
        (void)cudaFree(g->workspace);
    if (g->lt != NULL)
        (void)cublasLtDestroy(g->lt);
    free(g);
}

static int layouts_begin(struct layouts *l, const struct gemm *g, int n, int k,
                         int rows, struct err *err)
{
    const uint64_t un = (uint64_t)n, uk = (uint64_t)k, ur = (uint64_t)rows;
    const cudaDataType_t type = data_type(g->type);

    *l = (struct layouts){0};
    if (LT(cublasLtMatrixLayoutCreate(&l->w, type, uk, un, k), err) == 0
        && LT(cublasLtMatrixLayoutCreate(&l->x, type, uk, ur, k), err) == 0
        && LT(cublasLtMatrixLayoutCreate(&l->y, CUDA_R_32F, un, ur, n), err)
               == 0)
        return 0;
    layouts_end(l);
    return -1;
}

static int multiply(const struct gemm *g, const struct plan *p,
                    const struct cuda_matrix *w, const void *x, float *y,
                    struct err *err)
{
    const float one = 1.0f, zero = 0.0f;
    const struct layouts *l = &p->layouts;

    return LT(cublasLtMatmul(g->lt, g->desc, &one, w->at, l->w, x, l->x, &zero,
                             y, l->y, y, l->y, &p->algo, g->workspace,
                             WORKSPACE_BYTES, g->stream),
              err);
}

static int multiply_tiles(const struct gemm *g, enum group_tile tile,
                          const struct cuda_matrix *w, const void *x, int rows,
                          float *y, struct err *err)
{
    const struct group_item item = {.x_at = x,
                                    .w_at = w->at,
                                    .n = w->n,
                                    .k = w->k,
                                    .op = GROUP_NATURAL,
                                    .y = y};
    struct group group = {.n_item = 0};

    if (grouper_add(&g->grouper, &group, &item, rows, err) < 0)
        return -1;
    return CU(kernel_group(g->type, &group, rows, tile,
                           g->grouper.multiprocessors, g->stream),
              err);
}

/* y = x W^T by a plan for at least so many rows. */
static int run_plan(const struct gemm *g, const struct plan *p,
                    const struct cuda_matrix *w, const void *x, int rows,
                    float *y, struct err *err)
{
    if (p->kind == PLAN_LIBRARY)
        return multiply(g, p, w, x, y, err);
    if (p->kind == PLAN_TILE)
        return multiply_tiles(g, p->tile, w, x, rows, y, err);
    return CU(kernel_product(g->type, rows, w->n, w->k, w->at, x, y, g->stream),
              err);
}

/* ---- admission ------------------------------------------------------------- */

/* Test data of one shape: KINDS of weights and rows, and what must come out. */
struct trial {
    char *memory;
    char *w[KINDS], *x[KINDS];
    float *want[KINDS];
    float *y;
    int32_t *differs;
};

static size_t round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

size_t gemm_admit_bytes(enum narrow_type type, int n, int k, int rows)
{
    const size_t each = narrow_size(type), un = (size_t)n, uk = (size_t)k;
    const size_t most = (size_t)gemm_capacity(rows < SLICE ? rows : SLICE);

    if (type == NARROW_FP32)
        return 0;
    return KINDS
               * (round_up(un * uk * each) + round_up(most * uk * each)
                  + round_up(REFERENCE * un * 4))
           + round_up(most * un * 4) + 256;
}

static int trial_begin(struct trial *t, const struct gemm *g, int n, int k,
                       int rows, struct err *err)
{
    const size_t each = narrow_size(g->type), un = (size_t)n, uk = (size_t)k;
    const size_t most = (size_t)gemm_capacity(rows);
    void *memory;
    char *at;

    if (CU(cudaMalloc(&memory, gemm_admit_bytes(g->type, n, k, rows)), err) < 0)
        return -1;
    at = t->memory = memory;
    for (int i = 0; i < KINDS; i++) {
        t->w[i] = at;
        t->x[i] = at += round_up(un * uk * each);
        at += round_up(most * uk * each);
        t->want[i] = (float *)(void *)at;
        at += round_up(REFERENCE * un * 4);
        if (CU(kernel_product_fill(g->type, n, k, n, 1, i, t->w[i], g->stream),
               err)
                < 0
            || CU(kernel_product_fill(g->type, (int64_t)most, k, PERIOD, 2, i,
                                      t->x[i], g->stream),
                  err)
                   < 0
            || CU(kernel_product(g->type, PERIOD, n, k, t->w[i], t->x[i],
                                 t->want[i], g->stream),
                  err)
                   < 0)
            return -1;
    }
    t->y = (float *)(void *)at;
    at += round_up(most * un * 4);
    t->differs = (int32_t *)(void *)at;
    return CU(cudaMemsetAsync(t->differs, 0, 4, g->stream), err);
}

/* Are all rows of all kinds right? 1, 0, or -1. A plan that does not run is
 * merely not admitted.
 */
static int try_plan(const struct gemm *g, const struct trial *t,
                    const struct plan *p, int n, int k, int rows,
                    struct err *err)
{
    const size_t bytes = (size_t)rows * (size_t)n * 4;
    int32_t differs = 0;
    struct err refused;

    for (int i = 0; i < KINDS; i++) {
        const struct cuda_matrix w = {t->w[i], n, k};

        if (CU(cudaMemsetAsync(t->y, 0xff, bytes, g->stream), err) < 0)
            return -1;
        if (run_plan(g, p, &w, t->x[i], rows, t->y, &refused) < 0) {
            (void)cudaGetLastError();
            return 0;
        }
        if (CU(kernel_product_compare(rows, n, PERIOD, t->y, t->want[i],
                                      t->differs, g->stream),
               err)
            < 0)
            return -1;
    }
    if (CU(cudaMemcpyAsync(&differs, t->differs, 4, cudaMemcpyDeviceToHost,
                           g->stream),
           err)
            < 0
        || CU(cudaStreamSynchronize(g->stream), err) < 0
        || CU(cudaMemsetAsync(t->differs, 0, 4, g->stream), err) < 0)
        return -1;
    return differs == 0;
}

/* Milliseconds of a plan that was admitted, the least of some runs. */
static int time_plan(const struct gemm *g, const struct trial *t,
                     const struct plan *p, int n, int k, int rows, float *ms,
                     struct err *err)
{
    const struct cuda_matrix w = {t->w[0], n, k};

    for (int i = 0; i < REPS; i++) {
        float now;

        if (CU(cudaEventRecord(g->begin, g->stream), err) < 0
            || run_plan(g, p, &w, t->x[0], rows, t->y, err) < 0
            || CU(cudaEventRecord(g->end, g->stream), err) < 0
            || CU(cudaEventSynchronize(g->end), err) < 0
            || CU(cudaEventElapsedTime(&now, g->begin, g->end), err) < 0)
            return -1;
        *ms = i == 0 || now < *ms ? now : *ms;
    }
    return 0;
}

/* `p` becomes *best when its bits are right and it is the fastest yet. */
static int compete(const struct gemm *g, const struct trial *t,
                   const struct plan *p, int n, int k, int rows, float *least,
                   struct plan *best, struct err *err)
{
    int admitted = try_plan(g, t, p, n, k, rows, err);
    float ms;

    if (admitted <= 0)
        return admitted;
    if (time_plan(g, t, p, n, k, rows, &ms, err) < 0)
        return -1;
    if (ms < *least) {
        *least = ms;
        *best = *p;
    }
    return 0;
}

/* The best of the library's plans and of our own tiles. */
static int find_plan(const struct gemm *g, const struct trial *t,
                     struct shape *s, int bucket, struct err *err)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    const int rows = bucket_rows[bucket];
    struct plan *best = &s->plan[bucket], p = {.kind = PLAN_LIBRARY};
    float least = INFINITY;
    int n_found = 0;

    if (layouts_begin(&p.layouts, g, s->n, s->k, rows, err) < 0)
        return -1;
    best->layouts = p.layouts; /* owned by the table, whatever wins */
    /* No candidate at all is an error status, and no reason to stop. */
    if (cublasLtMatmulAlgoGetHeuristic(g->lt, g->desc, p.layouts.w, p.layouts.x,
                                       p.layouts.y, p.layouts.y, g->preference,
                                       CANDIDATES, found, &n_found)
        != CUBLAS_STATUS_SUCCESS)
        n_found = 0;
    for (int i = 0; i < n_found; i++) {
        p.algo = found[i].algo;
        if (compete(g, t, &p, s->n, s->k, rows, &least, best, err) < 0)
            return -1;
    }
    p.kind = PLAN_TILE;
    for (int i = 0; i < GROUP_TILES && rows <= TILE_ROWS; i++) {
        p.tile = (enum group_tile)i;
        if (compete(g, t, &p, s->n, s->k, rows, &least, best, err) < 0)
            return -1;
    }
    return 0;
}

static struct shape *find_shape(struct gemm *g, int n, int k)
{
    for (int i = 0; i < g->n_shape; i++)
        if (g->shape[i].n == n && g->shape[i].k == k)
            return &g->shape[i];
    return NULL;
}

int gemm_admit(struct gemm *g, int n, int k, int rows, struct err *err)
{
    struct shape *s = find_shape(g, n, k);
    struct trial t = {0};
    int rc;

    rows = bucket_rows[bucket_of(rows < SLICE ? rows : SLICE)];
    if (g->type == NARROW_FP32 || (s != NULL && s->rows >= rows))
        return 0;
    if (s == NULL) {
        if (g->n_shape == GEMM_SHAPES_MAX)
            return err_set(err, ERR_LIMIT,
                           "matrices of more than %d different shapes",
                           GEMM_SHAPES_MAX);
        s = &g->shape[g->n_shape++];
        *s = (struct shape){.n = n, .k = k};
    }
    rc = trial_begin(&t, g, n, k, rows, err);
    for (int b = 0; rc == 0 && b <= bucket_of(rows); b++)
        if (bucket_rows[b] > s->rows)
            rc = find_plan(g, &t, s, b, err);
    s->rows = rows;
    if (t.memory != NULL)
        (void)cudaFree(t.memory);
    return rc;
}

void gemm_count(const struct gemm *g, int *library, int *own)
{
    *library = *own = 0;
    for (int i = 0; i < g->n_shape; i++) {
        for (int b = 0; b <= bucket_of(g->shape[i].rows); b++) {
            *library += g->shape[i].plan[b].kind == PLAN_LIBRARY;
            *own += g->shape[i].plan[b].kind != PLAN_LIBRARY;
        }
    }
}

/* ---- products -------------------------------------------------------------- */

static int run_slice(struct gemm *g, const struct cuda_matrix *w, const void *x,
                     int rows, float *y, struct err *err)
{
    static const struct plan plain = {.kind = PLAN_PRODUCT};
    const struct shape *s = find_shape(g, w->n, w->k);

    return run_plan(g, s != NULL ? &s->plan[bucket_of(rows)] : &plain, w, x,
                    rows, y, err);
}

int gemm_run(struct gemm *g, const struct cuda_matrix *w, const void *x,
             int rows, float *y, struct err *err)
{
    const char *from = x;

    while (rows > 0) {
        int now = rows < SLICE ? rows : SLICE;

        if (run_slice(g, w, from, now, y, err) < 0)
            return -1;
        from += (size_t)now * (size_t)w->k * narrow_size(g->type);
        y += (size_t)now * (size_t)w->n;
        rows -= now;
    }
    return 0;
}
