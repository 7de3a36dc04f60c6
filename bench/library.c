#include "bench/library.h"

#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>

#include "bench/device.h"
#include "bench/stopwatch.h"
#include "cuda/cu.h"

#define WORKSPACE_BYTES ((size_t)64 << 20)
#define CANDIDATES 16
#define WEIGHT_BYTES ((size_t)256 << 20) /* more than any cache */
#define COPY_BYTES ((size_t)1 << 30)

#define LT(call, err) lt_check((call), #call, __LINE__, (err))

struct library {
    cublasLtHandle_t lt;
    cudaStream_t stream;
    void *workspace;
    struct stopwatch watch;
};

/* One product on its way. */
struct job {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulPreference_t preference;
    char *w_at; /* `copies` of it */
    void *x_at, *y_at;
    size_t w_bytes;
    int copies;
};

static int lt_check(cublasStatus_t rc, const char *call, int line,
                    struct err *err)
{
    if (rc == CUBLAS_STATUS_SUCCESS)
        return 0;
    return err_set(err, ERR_CUDA, "%s:%d: %s: %s", __FILE__, line, call,
                   cublasLtGetStatusString(rc));
}

struct library *library_create(struct err *err)
{
    struct library *l = calloc(1, sizeof *l);

    if (l == NULL) {
        err_set(err, ERR_NOMEM, "no memory");
        return NULL;
    }
    if (LT(cublasLtCreate(&l->lt), err) == 0
        && CU(cudaStreamCreate(&l->stream), err) == 0
        && CU(cudaMalloc(&l->workspace, WORKSPACE_BYTES), err) == 0
        && stopwatch_init(&l->watch, l->stream, err) == 0)
        return l;
    library_destroy(l);
    return NULL;
}

void library_destroy(struct library *l)
{
    if (l == NULL)
        return;
    stopwatch_finish(&l->watch);
    (void)cudaFree(l->workspace);
    if (l->stream != NULL)
        (void)cudaStreamDestroy(l->stream);
    if (l->lt != NULL)
        (void)cublasLtDestroy(l->lt);
    free(l);
}

/* ---- a product ----------------------------------------------------------- */

static cudaDataType_t data_type(enum narrow_type t)
{
    return t == NARROW_FP16   ? CUDA_R_16F
           : t == NARROW_BF16 ? CUDA_R_16BF
                              : CUDA_R_32F;
}

static enum fill_type fill_type(enum narrow_type t)
{
    return t == NARROW_FP16   ? FILL_F16
           : t == NARROW_BF16 ? FILL_BF16
                              : FILL_F32;
}

static int describe(struct job *j, const struct library_product *p,
                    struct err *err)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const uint32_t schemes = p->split_k ? CUBLASLT_REDUCTION_SCHEME_MASK
                                        : CUBLASLT_REDUCTION_SCHEME_NONE;
    const size_t workspace = WORKSPACE_BYTES;
    const uint64_t n = (uint64_t)p->n, k = (uint64_t)p->k;
    const cudaDataType_t in = data_type(p->type);

    if (LT(cublasLtMatmulDescCreate(&j->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
           err)
            < 0
        || LT(cublasLtMatmulDescSetAttribute(j->desc,
                                             CUBLASLT_MATMUL_DESC_TRANSA,
                                             &transposed, sizeof transposed),
              err)
               < 0
        || LT(cublasLtMatrixLayoutCreate(&j->w, in, k, n, p->k), err) < 0
        || LT(cublasLtMatrixLayoutCreate(&j->x, in, k, (uint64_t)p->rows, p->k),
              err)
               < 0
        || LT(cublasLtMatrixLayoutCreate(&j->y, p->narrow_out ? in : CUDA_R_32F,
                                         n, (uint64_t)p->rows, p->n),
              err)
               < 0
        || LT(cublasLtMatmulPreferenceCreate(&j->preference), err) < 0
        || LT(cublasLtMatmulPreferenceSetAttribute(
                  j->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                  &workspace, sizeof workspace),
              err)
               < 0)
        return -1;
    return LT(cublasLtMatmulPreferenceSetAttribute(
                  j->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                  &schemes, sizeof schemes),
              err);
}

static int fill(struct library *l, struct job *j,
                const struct library_product *p, struct err *err)
{
    const size_t each = narrow_size(p->type);
    const int64_t w = (int64_t)p->n * p->k, x = (int64_t)p->rows * p->k;
    void *w_at;
    const struct fill weights = {.values = {1, 0, 1.7f / sqrtf((float)p->k)}};
    struct fill input = {.values = {2, 0, 1}};

    if (p->sparse_input)
        input = (struct fill){.values = {2, -0.8f, 1}, .relu = true};
    /* Weights come from memory, as in a model whose layers differ. */
    j->w_bytes = (size_t)w * each;
    j->copies = 1 + (int)(WEIGHT_BYTES / j->w_bytes);
    if (CU(cudaMalloc(&w_at, (size_t)j->copies * j->w_bytes), err) < 0)
        return -1;
    j->w_at = w_at;
    if (CU(cudaMalloc(&j->x_at, (size_t)x * each), err) < 0
        || CU(cudaMalloc(&j->y_at, (size_t)p->rows * (size_t)p->n
                                       * (p->narrow_out ? each : 4)),
              err)
               < 0
        || CU(kernel_fill(&weights, fill_type(p->type), 0, j->copies * w,
                          j->w_at, l->stream),
              err)
               < 0)
        return -1;
    return CU(kernel_fill(&input, fill_type(p->type), 0, x, j->x_at, l->stream),
              err);
}

static void job_end(struct job *j)
{
    if (j->preference != NULL)
        (void)cublasLtMatmulPreferenceDestroy(j->preference);
    if (j->y != NULL)
        (void)cublasLtMatrixLayoutDestroy(j->y);
    if (j->x != NULL)
        (void)cublasLtMatrixLayoutDestroy(j->x);
    if (j->w != NULL)
        (void)cublasLtMatrixLayoutDestroy(j->w);
    if (j->desc != NULL)
        (void)cublasLtMatmulDescDestroy(j->desc);
    (void)cudaFree(j->w_at);
    (void)cudaFree(j->x_at);
    (void)cudaFree(j->y_at);
}

/* What the stopwatch times. */
struct call {
    struct library *l;
    const struct job *j;
    const cublasLtMatmulAlgo_t *algo;
    int calls;
};

static int multiply(void *context, struct err *err)
{
    struct call *c = context;
    const float one = 1, zero = 0;
    const char *w =
        c->j->w_at + (size_t)(c->calls++ % c->j->copies) * c->j->w_bytes;

    return LT(cublasLtMatmul(c->l->lt, c->j->desc, &one, w, c->j->w, c->j->x_at,
                             c->j->x, &zero, c->j->y_at, c->j->y, c->j->y_at,
                             c->j->y, c->algo, c->l->workspace, WORKSPACE_BYTES,
                             c->l->stream),
              err);
}

static int best_of(struct library *l, const struct job *j, double *seconds,
                   struct err *err)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    struct err ignored = {0};
    struct call best = {.l = l, .j = j};
    double least = INFINITY;
    int n = 0;

    (void)cublasLtMatmulAlgoGetHeuristic(l->lt, j->desc, j->w, j->x, j->y, j->y,
                                         j->preference, CANDIDATES, found, &n);
    for (int i = 0; i < n; i++) {
        struct call c = {.l = l, .j = j, .algo = &found[i].algo};
        double now;

        if (stopwatch_time(&l->watch, multiply, &c, 0.0005, &now, &ignored)
            < 0) {
            (void)cudaGetLastError(); /* a plan that does not run */
            continue;
        }
        if (now < least) {
            least = now;
            best.algo = c.algo;
        }
    }
    if (best.algo == NULL)
        return err_set(err, ERR_INVALID, "cublasLt has no plan for a product");
    return stopwatch_time(&l->watch, multiply, &best, 0.02, seconds, err);
}

int library_time(struct library *l, const struct library_product *p,
                 double *seconds, struct err *err)
{
    struct job j = {0};
    int rc = -1;

    if (describe(&j, p, err) == 0 && fill(l, &j, p, err) == 0)
        rc = best_of(l, &j, seconds, err);
    (void)cudaStreamSynchronize(l->stream);
    job_end(&j);
    return rc;
}

/* ---- copies -------------------------------------------------------------- */

struct copy {
    char *from, *to;
    cudaStream_t stream;
};

static int copy_by_driver(void *context, struct err *err)
{
    const struct copy *c = context;

    return CU(cudaMemcpyAsync(c->to, c->from, COPY_BYTES,
                              cudaMemcpyDeviceToDevice, c->stream),
              err);
}

static int copy_by_kernel(void *context, struct err *err)
{
    const struct copy *c = context;

    return CU(kernel_copy(COPY_BYTES, c->from, c->to, c->stream), err);
}

int library_copy_rate(struct library *l, double *rate, struct err *err)
{
    struct copy c = {.stream = l->stream};
    void *both;
    double driver, kernel;
    int rc;

    if (CU(cudaMalloc(&both, 2 * COPY_BYTES), err) < 0)
        return -1;
    c.from = both;
    c.to = c.from + COPY_BYTES;
    rc = CU(cudaMemsetAsync(both, 0x3c, 2 * COPY_BYTES, l->stream), err);
    if (rc == 0)
        rc = stopwatch_time(&l->watch, copy_by_driver, &c, 0.02, &driver, err);
    if (rc == 0)
        rc = stopwatch_time(&l->watch, copy_by_kernel, &c, 0.02, &kernel, err);
    if (rc == 0)
        *rate = 2.0 * (double)COPY_BYTES / (kernel < driver ? kernel : driver);
    (void)cudaFree(both);
    return rc;
}
