#include "cuda/gemm.h"

#include <cublasLt.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cuda/cu.h"

#define WORKSPACE_BYTES ((size_t)32 << 20)
#define CANDIDATES 8
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
    struct {
        bool library;
        cublasLtMatmulAlgo_t algo;
        struct layouts layouts;
    } plan[BUCKETS];
};

struct gemm {
    enum narrow_type type;
    cudaStream_t stream;
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

    if (LT(cublasLtCreate(&g->lt), err) < 0
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

static cublasStatus_t multiply(const struct gemm *g, const struct layouts *l,
                               const void *w, const void *x, float *y,
                               const cublasLtMatmulAlgo_t *algo)
{
    const float one = 1.0f, zero = 0.0f;

    return cublasLtMatmul(g->lt, g->desc, &one, w, l->w, x, l->x, &zero, y,
                          l->y, y, l->y, algo, g->workspace, WORKSPACE_BYTES,
                          g->stream);
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
                    const struct layouts *l, int n, int rows,
                    const cublasLtMatmulAlgo_t *algo, struct err *err)
{
    const size_t bytes = (size_t)rows * (size_t)n * 4;
    int32_t differs = 0;

    for (int i = 0; i < KINDS; i++) {
        if (CU(cudaMemsetAsync(t->y, 0xff, bytes, g->stream), err) < 0)
            return -1;
        if (multiply(g, l, t->w[i], t->x[i], t->y, algo)
            != CUBLAS_STATUS_SUCCESS) {
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

static int find_plan(const struct gemm *g, const struct trial *t,
                     struct shape *s, int bucket, struct err *err)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    const int rows = bucket_rows[bucket];
    int n_found = 0, admitted = 0;
    struct layouts *l = &s->plan[bucket].layouts;

    if (layouts_begin(l, g, s->n, s->k, rows, err) < 0)
        return -1;
    /* No candidate at all is an error status, and no reason to stop. */
    if (cublasLtMatmulAlgoGetHeuristic(g->lt, g->desc, l->w, l->x, l->y, l->y,
                                       g->preference, CANDIDATES, found,
                                       &n_found)
        != CUBLAS_STATUS_SUCCESS)
        n_found = 0;
    for (int i = 0; i < n_found && admitted == 0; i++) {
        admitted = try_plan(g, t, l, s->n, rows, &found[i].algo, err);
        if (admitted == 1) {
            s->plan[bucket].library = true;
            s->plan[bucket].algo = found[i].algo;
        }
    }
    return admitted < 0 ? -1 : 0;
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
            *library += g->shape[i].plan[b].library;
            *own += !g->shape[i].plan[b].library;
        }
    }
}

/* ---- products -------------------------------------------------------------- */

static int run_slice(struct gemm *g, const struct cuda_matrix *w, const void *x,
                     int rows, float *y, struct err *err)
{
    const struct shape *s = find_shape(g, w->n, w->k);
    const int bucket = bucket_of(rows);

    if (s == NULL || !s->plan[bucket].library)
        return CU(
            kernel_product(g->type, rows, w->n, w->k, w->at, x, y, g->stream),
            err);
    return LT(multiply(g, &s->plan[bucket].layouts, w->at, x, y,
                       &s->plan[bucket].algo),
              err);
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
