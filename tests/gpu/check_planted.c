/* Library plans that split k are planted among those that the engine may
 * choose from: it must notice, and its products keep their bits.
 *
 * The library's heuristic is wrapped by the linker (--wrap): what it offers is
 * turned into the same plans with k in parts, summed afterwards.
 */
#include <check.h>
#include <cublasLt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"
#include "cuda/gemm.h"
#include "tests/gpu/suite.h"

#define PARTS 4
#define PERIOD 61
#define ROWS 257
#define N 512
#define K 2048

static struct err err;
static bool planting; /* else the wrapped function is the real one */
static int planted, used;

#define DO(call) ck_assert_msg(CU(call, &err) == 0, "%s", err.text)

cublasStatus_t __real_cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
    cublasLtMatmulHeuristicResult_t found[], int *n);
cublasStatus_t __wrap_cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
    cublasLtMatmulHeuristicResult_t found[], int *n);
cublasStatus_t __real_cublasLtMatmul(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, const void *alpha,
    const void *a, cublasLtMatrixLayout_t a_at, const void *b,
    cublasLtMatrixLayout_t b_at, const void *beta, const void *c,
    cublasLtMatrixLayout_t c_at, void *d, cublasLtMatrixLayout_t d_at,
    const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
    cudaStream_t stream);
cublasStatus_t __wrap_cublasLtMatmul(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, const void *alpha,
    const void *a, cublasLtMatrixLayout_t a_at, const void *b,
    cublasLtMatrixLayout_t b_at, const void *beta, const void *c,
    cublasLtMatrixLayout_t c_at, void *d, cublasLtMatrixLayout_t d_at,
    const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
    cudaStream_t stream);

static int parts_of(const cublasLtMatmulAlgo_t *algo)
{
    int32_t parts = 1;
    size_t written;

    (void)cublasLtMatmulAlgoConfigGetAttribute(
        algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts, &written);
    return parts;
}

/* The same plan in parts, if the library can run that. */
static bool plant(cublasLtHandle_t lt, cublasLtMatmulDesc_t desc,
                  cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                  cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                  cublasLtMatmulHeuristicResult_t *found)
{
    const int32_t parts = PARTS;
    const uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    cublasLtMatmulHeuristicResult_t checked;
    cublasLtMatmulAlgo_t algo = found->algo;

    if (cublasLtMatmulAlgoConfigSetAttribute(
            &algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts)
            != CUBLAS_STATUS_SUCCESS
        || cublasLtMatmulAlgoConfigSetAttribute(
               &algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
               sizeof scheme)
               != CUBLAS_STATUS_SUCCESS
        || cublasLtMatmulAlgoCheck(lt, desc, a, b, c, d, &algo, &checked)
               != CUBLAS_STATUS_SUCCESS
        || checked.workspaceSize > (size_t)16 << 20)
        return false;
    found->algo = algo;
    return true;
}

cublasStatus_t __wrap_cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,
    cublasLtMatmulHeuristicResult_t found[], int *n)
{
    cublasStatus_t rc = __real_cublasLtMatmulAlgoGetHeuristic(
        lt, desc, a, b, c, d, preference, wanted, found, n);

    for (int i = 0; rc == CUBLAS_STATUS_SUCCESS && planting && i < *n; i++)
        planted += plant(lt, desc, a, b, c, d, &found[i]);
    return rc;
}

cublasStatus_t __wrap_cublasLtMatmul(
    cublasLtHandle_t lt, cublasLtMatmulDesc_t desc, const void *alpha,
    const void *a, cublasLtMatrixLayout_t a_at, const void *b,
    cublasLtMatrixLayout_t b_at, const void *beta, const void *c,
    cublasLtMatrixLayout_t c_at, void *d, cublasLtMatrixLayout_t d_at,
    const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
    cudaStream_t stream)
{
    used += algo != NULL && parts_of(algo) > 1;
    return __real_cublasLtMatmul(lt, desc, alpha, a, a_at, b, b_at, beta, c,
                                 c_at, d, d_at, algo, workspace, bytes, stream);
}

/* ---- the test ------------------------------------------------------------ */

static void *device_memory(size_t bytes)
{
    void *p;

    DO(cudaMalloc(&p, bytes));
    return p;
}

/* Products of `rows` rows have the bits of kernel_product(). */
static void check_rows(struct gemm *g, enum narrow_type type, int rows,
                       cudaStream_t s)
{
    const size_t each = narrow_size(type);
    const size_t room = (size_t)gemm_capacity(rows);
    void *w = device_memory((size_t)N * K * each);
    void *x = device_memory(room * K * each);
    float *y = device_memory(room * N * 4), *want = device_memory(64 * N * 4);
    int32_t *flag = device_memory(4), differs = 1;

    DO(kernel_product_fill(type, N, K, N, 77, 1, w, s));
    DO(kernel_product_fill(type, (int64_t)room, K, PERIOD, 78, 1, x, s));
    DO(kernel_product(type, PERIOD, N, K, w, x, want, s));
    ck_assert_msg(gemm_run(g, &(struct cuda_matrix){w, N, K}, x, rows, y, &err)
                      == 0,
                  "%s", err.text);
    DO(cudaMemsetAsync(flag, 0, 4, s));
    DO(kernel_product_compare(rows, N, PERIOD, y, want, flag, s));
    DO(cudaMemcpyAsync(&differs, flag, 4, cudaMemcpyDeviceToHost, s));
    DO(cudaStreamSynchronize(s));
    ck_assert_msg(differs == 0, "%d rows have other bits", rows);
    DO(cudaFree(w));
    DO(cudaFree(x));
    DO(cudaFree(y));
    DO(cudaFree(want));
    DO(cudaFree(flag));
}

START_TEST(plans_that_split_k_are_never_used)
{
    static const int rows[] = {1, 16, 17, 64, 128, 129, ROWS};
    const enum narrow_type type = (enum narrow_type)_i;
    int library, own;
    cudaStream_t s;
    struct gemm *g;

    DO(cudaStreamCreate(&s));
    planting = true;
    planted = used = 0;
    g = gemm_create(type, s, &err);
    ck_assert_msg(g != NULL, "%s", err.text);
    ck_assert_msg(gemm_admit(g, N, K, ROWS, &err) == 0, "%s", err.text);
    planting = false;
    gemm_count(g, &library, &own);
    printf("  %s: %d plans planted, tried %d times; %d library plans, %d of our"
           " own\n",
           type == NARROW_FP16 ? "fp16" : "bf16", planted, used, library, own);
    ck_assert_int_gt(planted, 0);
    ck_assert_int_gt(used, 0); /* they were tried, and they run */
    used = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_rows(g, type, rows[i], s);
    ck_assert_int_eq(used, 0);
    gemm_destroy(g);
    DO(cudaStreamDestroy(s));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("planted");
    TCase *c = tcase_create("plans");

    if (suite_without_gpu())
        return SUITE_SKIPPED;
    tcase_set_timeout(c, 300);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, plans_that_split_k_are_never_used, NARROW_FP16,
                        NARROW_BF16 + 1);
    return suite_run(s);
}
