/* Matrix products as the engine runs them (cuda/gemm.h), beside the fastest
 * plan of the library, whatever its bits: the price of invariance.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "bench/products.h"
#include "common/buf.h"
#include "cuda/gemm.h"
#include "cuda/head.h"
#include "model/tensor.h"

#define WEIGHT_BYTES ((size_t)256 << 20) /* more than any cache */

struct job {
    struct lab *l;
    struct gemm *g;
    const char *w;
    void *x;
    float *y;
    int rows, n, k, copies, calls;
};

static cudaError_t run(void *context)
{
    struct job *j = context;
    const size_t bytes = (size_t)j->n * (size_t)j->k * narrow_size(j->l->type);
    const struct cuda_matrix w = {
        j->w + (size_t)(j->calls++ % j->copies) * bytes, j->n, j->k};
    struct err err = {0};

    return gemm_run(j->g, &w, j->x, j->rows, j->y, &err) < 0 ? cudaErrorUnknown
                                                             : cudaSuccess;
}

static void admit(struct gemm *g, int n, int k, int rows)
{
    struct err err = {0};

    if (gemm_admit(g, n, k, rows, &err) == 0)
        return;
    fprintf(stderr, "skein-bench: %s\n", err.text);
    exit((int)err.code);
}

static struct job make(struct lab *l, struct gemm *g, int rows, int n, int k,
                       bool copies)
{
    const size_t room = (size_t)gemm_capacity(rows);
    const size_t un = (size_t)n, uk = (size_t)k;
    const size_t bytes = un * uk * narrow_size(l->type);
    struct job j = {.l = l, .g = g, .rows = rows, .n = n, .k = k, .copies = 1};

    if (copies)
        j.copies += (int)(WEIGHT_BYTES / bytes);
    j.w = lab_narrow(l, (size_t)j.copies * un * uk, 1.7f / sqrtf((float)k));
    j.x = lab_narrow(l, room * uk, 1);
    j.y = lab_bytes(l, room * un * sizeof(float));
    return j;
}

/* ---- the twin -------------------------------------------------------------- */

static double value_at(enum narrow_type type, const void *at, size_t i)
{
    if (type == NARROW_FP32)
        return (double)((const float *)at)[i];
    if (type == NARROW_FP16)
        return (double)f16_to_f32(((const uint16_t *)at)[i]);
    return (double)bf16_to_f32(((const uint16_t *)at)[i]);
}

/* One output in fp64; a chain of k fp32 additions may be off by k/2 ulp. */
static bool output_is_right(const struct job *j, const void *x, const void *w,
                            float got, int row, int col)
{
    double sum = 0, size = 0;

    for (size_t i = 0; i < (size_t)j->k; i++) {
        double p = value_at(j->l->type, x, (size_t)row * (size_t)j->k + i)
                   * value_at(j->l->type, w, (size_t)col * (size_t)j->k + i);

        sum += p;
        size += fabs(p);
    }
    return fabs((double)got - sum) <= size * j->k * 0x1p-24;
}

static void check(struct lab *l, struct gemm *g, int rows, int n, int k)
{
    const size_t each = narrow_size(l->type);
    struct job j = make(l, g, rows, n, k, false);
    void *x = lab_fetch(l, j.x, (size_t)(rows * k) * each);
    void *w = lab_fetch(l, j.w, (size_t)(n * k) * each);
    char what[64];
    float *got;
    bool good = true;

    admit(g, n, k, rows);
    lab_must(l, run(&j), "product");
    got = lab_fetch_floats(l, j.y, (size_t)(rows * n));
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < n; c++)
            good = good
                   && output_is_right(&j, x, w, got[(size_t)(i * n + c)], i, c);
    snprintf(what, sizeof what, "product %dx%dx%d", rows, n, k);
    lab_check(l, what, good);
    free(x);
    free(w);
    free(got);
    lab_release(l);
}

/* ---- times ----------------------------------------------------------------- */

/* Seconds of one product: the engine's, and the library's best. */
struct times {
    double ours, library;
};

static struct times measure(struct lab *l, struct gemm *g,
                            const struct product *p, int rows)
{
    const int n = (int)p->n, k = (int)p->k;
    const struct library_product product = {
        .type = l->type, .rows = rows, .n = n, .k = k, .split_k = true};
    const double weights = (double)n * k * (double)narrow_size(l->type);
    const double flops = 2.0 * rows * n * k;
    struct job j = make(l, g, rows, n, k, true);
    struct times t = {.ours = lab_time(l, run, &j)};
    struct err err = {0};
    char shape[32];

    lab_release(l);
    if (library_time(l->library, &product, &t.library, &err) < 0)
        t.library = NAN;
    snprintf(shape, sizeof shape, "%dx%dx%d", rows, n, k);
    if (rows <= 256)
        lab_report(l, p->name, shape, t.ours, t.library,
                   weights / t.ours * 1e-9, "GB/s of weights");
    else
        lab_report(l, p->name, shape, t.ours, t.library, flops / t.ours * 1e-12,
                   "Tflop/s");
    return t;
}

/* All products of the model for `rows` rows; equal ones are timed once. */
static void measure_model(struct lab *l, struct gemm *g, int rows)
{
    struct product p[PRODUCTS_MAX];
    struct times t[PRODUCTS_MAX], sum = {0};
    const size_t n = products_of(l->shape, p);
    char shape[32];

    for (size_t i = 0; i < n; i++) {
        const bool head = i + 1 == n;
        const size_t pieces = head ? p[i].n / HEAD_COLS : 1;
        size_t same = 0;

        p[i].n /= pieces;
        while (same < i && (p[same].n != p[i].n || p[same].k != p[i].k))
            same++;
        if (same == i) {
            admit(g, (int)p[i].n, (int)p[i].k, rows);
            t[i] = measure(l, g, &p[i], rows);
        } else {
            t[i] = t[same];
        }
        sum.ours += t[i].ours * (double)(p[i].times * pieces);
        sum.library += t[i].library * (double)(p[i].times * pieces);
    }
    snprintf(shape, sizeof shape, "%d rows", rows);
    lab_report(l, "all products", shape, sum.ours, sum.library,
               100 * (sum.ours / sum.library - 1), "% for invariance");
}

void kernels_products(struct lab *l)
{
    static const int rows[] = {1, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384};
    struct err err = {0};
    struct gemm *g = gemm_create(l->type, l->stream, &err);

    if (g == NULL) {
        fprintf(stderr, "skein-bench: %s\n", err.text);
        exit((int)err.code);
    }
    check(l, g, 33, 96, 208);
    check(l, g, 7, 64, 1024);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        measure_model(l, g, rows[r]);
    gemm_destroy(g);
}
