/* Products of the CUDA engine: a row has the same bits at any place in any
 * number of rows, at every bucket's edge, and plans with other bits would be
 * seen. Needs a GPU.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"
#include "cuda/gemm.h"
#include "tests/gpu/suite.h"

#define ROWS_MAX 4097
#define PERIOD 61

static const struct {
    int n, k;
} shapes[] = {{2048, 2048}, {512, 2048}, {2048, 512}, {96, 768}, {48, 1008}};

static const int edges[] = {1,    7,    15,   16,   17,   31,   33,
                            63,   64,   65,   127,  128,  129,  255,
                            257,  385,  511,  513,  769,  1023, 1025,
                            1537, 2047, 2049, 3073, 4095, 4096, 4097};

static struct err err;

#define DO(call) ck_assert_msg(CU(call, &err) == 0, "%s", err.text)

static void *device_memory(size_t bytes)
{
    void *p;

    DO(cudaMalloc(&p, bytes));
    return p;
}

static int32_t differs(int rows, int n, const float *y, const float *want,
                       int32_t *flag, cudaStream_t s)
{
    int32_t out = 0;

    DO(cudaMemsetAsync(flag, 0, sizeof out, s));
    DO(kernel_product_compare(rows, n, PERIOD, y, want, flag, s));
    DO(cudaMemcpyAsync(&out, flag, sizeof out, cudaMemcpyDeviceToHost, s));
    DO(cudaStreamSynchronize(s));
    return out;
}

static void check_shape(enum narrow_type type, int n, int k, cudaStream_t s)
{
    const size_t each = narrow_size(type), un = (size_t)n, uk = (size_t)k;
    const size_t rows = (size_t)gemm_capacity(ROWS_MAX);
    struct gemm *g = gemm_create(type, s, &err);
    void *w = device_memory(un * uk * each),
         *x = device_memory(rows * uk * each);
    float *y = device_memory(rows * un * 4), *want = device_memory(64 * un * 4);
    int32_t *flag = device_memory(4);
    int library, own;

    ck_assert_msg(g != NULL, "%s", err.text);
    DO(kernel_product_fill(type, n, k, n, 77, 1, w, s));
    DO(kernel_product_fill(type, (int64_t)rows, k, PERIOD, 78, 1, x, s));
    DO(kernel_product(type, PERIOD, n, k, w, x, want, s));
    ck_assert_msg(gemm_admit(g, n, k, ROWS_MAX, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        DO(cudaMemsetAsync(y, 0xff, rows * un * 4, s));
        ck_assert_msg(
            gemm_run(g, &(struct cuda_matrix){w, n, k}, x, edges[i], y, &err)
                == 0,
            "%s", err.text);
        ck_assert_msg(differs(edges[i], n, y, want, flag, s) == 0,
                      "%d x %d: %d rows have other bits", n, k, edges[i]);
    }
    /* One bit in one value of the last row is noticed. */
    DO(cudaMemsetAsync((char *)(y + (size_t)ROWS_MAX * un - 1), 0x55, 1, s));
    ck_assert_int_eq(differs(ROWS_MAX, n, y, want, flag, s), 1);
    gemm_count(g, &library, &own);
    printf("  %s %d x %d: %d library plans, %d of our own\n",
           type == NARROW_FP16   ? "fp16"
           : type == NARROW_BF16 ? "bf16"
                                 : "fp32",
           n, k, library, own);
    gemm_destroy(g);
    DO(cudaFree(w));
    DO(cudaFree(x));
    DO(cudaFree(y));
    DO(cudaFree(want));
    DO(cudaFree(flag));
}

START_TEST(rows_have_the_same_bits_in_any_bucket)
{
    cudaStream_t s;

    DO(cudaStreamCreate(&s));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape((enum narrow_type)_i, shapes[i].n, shapes[i].k, s);
    DO(cudaStreamDestroy(s));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gemm");
    TCase *c = tcase_create("products");

    if (suite_without_gpu())
        return SUITE_SKIPPED;
    tcase_set_timeout(c, 300);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, rows_have_the_same_bits_in_any_bucket, NARROW_FP16,
                        NARROW_FP32 + 1);
    return suite_run(s);
}
