/* Matrix products as the engine runs them, one by one (cuda/gemm.h) and in
 * groups with what follows them (cuda/group.h), beside the library's fastest
 * plans for the bare products, whatever their bits: the price of invariance.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "bench/twins.h"
#include "common/buf.h"
#include "cuda/gemm.h"
#include "cuda/group.h"
#include "cuda/head.h"
#include "model/tensor.h"

#define WEIGHT_BYTES ((size_t)256 << 20) /* more than any cache */

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "skein-bench: %s\n", err->text);
    exit((int)err->code);
}

/* ---- one product --------------------------------------------------------- */

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

static struct job make(struct lab *l, struct gemm *g, int rows, int n, int k,
                       bool copies)
{
    const size_t room = (size_t)gemm_capacity(rows);
    const size_t un = (size_t)n, uk = (size_t)k;
    const size_t bytes = un * uk * narrow_size(l->type);
    struct job j = {.l = l, .g = g, .rows = rows, .n = n, .k = k, .copies = 1};
    struct err err = {0};

    if (copies)
        j.copies += (int)(WEIGHT_BYTES / bytes);
    j.w = lab_narrow(l, (size_t)j.copies * un * uk, 1.7f / sqrtf((float)k));
    j.x = lab_narrow(l, room * uk, 1);
    j.y = lab_bytes(l, room * un * sizeof(float));
    must(gemm_admit(g, n, k, rows, &err), &err);
    return j;
}

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

/* ---- groups -------------------------------------------------------------- */

struct part {
    enum group_op op;
    int n, k;
};

struct group_job {
    struct grouper grouper;
    struct group *group; /* [copies], with other weights each */
    int copies, calls, rows;
};

static cudaError_t group_run(void *context)
{
    struct group_job *j = context;
    struct err err = {0};

    return grouper_run(&j->grouper, &j->group[j->calls++ % j->copies], j->rows,
                       &err)
                   < 0
               ? cudaErrorUnknown
               : cudaSuccess;
}

static bool is_narrow(enum group_op op)
{
    return op >= GROUP_COPY;
}

/* Its input, weights and results; the weights are in the order of the op. */
static struct group_item item_make(struct lab *l, const struct part *p,
                                   int rows, int copies)
{
    const size_t room = (size_t)gemm_capacity(rows), n = (size_t)p->n;
    const size_t k = (size_t)p->k;

    return (struct group_item){
        .x_at = lab_narrow(l, room * k, 1),
        .w_at = lab_narrow(l, (size_t)copies * n * k, 1.7f / sqrtf((float)k)),
        .n = p->n,
        .k = p->k,
        .op = p->op,
        .x_up = lab_floats(l, room, 1, 0),
        .bias = lab_floats(l, n, -2, 0.5f),
        .y = lab_bytes(
            l, room * n
                   * (is_narrow(p->op) ? narrow_size(l->type) : sizeof(float))),
        .y_up = lab_bytes(l, room * sizeof(float)),
        .over = lab_bytes(l, room * sizeof(uint32_t)),
    };
}

static struct group_job group_make(struct lab *l, const struct part *p, int n,
                                   int rows)
{
    const size_t each = narrow_size(l->type);
    struct group_job j = {.copies = 1, .rows = rows};
    size_t bytes = 0;
    struct err err = {0};

    for (int i = 0; i < n; i++) {
        bytes += (size_t)p[i].n * (size_t)p[i].k * each;
    }
    j.copies += (int)(WEIGHT_BYTES / bytes);
    j.group = xcalloc((size_t)j.copies, sizeof *j.group);
    must(grouper_init(&j.grouper, l->type, l->stream, &err), &err);
    for (int i = 0; i < n; i++) {
        struct group_item item = item_make(l, &p[i], rows, j.copies);

        for (int c = 0; c < j.copies; c++) {
            must(grouper_add(&j.grouper, &j.group[c], &item,
                             gemm_capacity(rows), &err),
                 &err);
            item.w_at = (const char *)item.w_at
                        + (size_t)p[i].n * (size_t)p[i].k * each;
        }
    }
    return j;
}

/* Products of kernel_product(), whose values check() holds to fp64, then
 * kernel_function(). `spread` is of the weights.
 */
static void group_check(struct lab *l, const struct part *p, int rows,
                        float spread)
{
    const size_t n = (size_t)p->n, k = (size_t)p->k,
                 each = narrow_size(l->type);
    const size_t out = is_narrow(p->op) ? each : sizeof(float);
    struct group_job j = group_make(l, p, 1, rows);
    const struct group_item *item = &j.group[0].item[0];
    float *w = lab_floats(l, n * k, 0, spread);
    void *natural = lab_bytes(l, n * k * each);
    float *z = lab_bytes(l, (size_t)rows * n * sizeof *z);
    int32_t *overflow = lab_bytes(l, sizeof *overflow);
    float *up = xcalloc((size_t)rows, sizeof *up), *row;
    char *want = xcalloc((size_t)rows * n, out), what[64];

    lab_must(l,
             kernel_narrow_weights(0, p->n, p->k, p->k, w, GROUP_NATURAL,
                                   l->type, natural, overflow, l->stream),
             "weights");
    lab_must(l,
             kernel_narrow_weights(0, p->n, p->k, p->k, w, p->op, l->type,
                                   (void *)(uintptr_t)item->w_at, overflow,
                                   l->stream),
             "weights");
    lab_must(l,
             kernel_product(l->type, rows, p->n, p->k, natural, item->x_at, z,
                            l->stream),
             "product");
    lab_must(
        l,
        kernel_function(l->type, rows, p->n, p->op, item->bias, z, l->stream),
        "function");
    lab_must(l, group_run(&j), "group");
    row = lab_fetch_floats(l, z, (size_t)rows * n);
    for (size_t i = 0; i < (size_t)rows; i++) {
        if (is_narrow(p->op))
            up[i] = twin_narrow(l->type, row + i * n, n, want + i * n * out);
        else
            memcpy(want + i * n * out, row + i * n, n * out);
    }
    snprintf(what, sizeof what, "group op %d, %d x %d x %d", p->op, rows, p->n,
             p->k);
    lab_check_device(l, what, "values", item->y, want, (size_t)rows * n * out);
    if (is_narrow(p->op) && l->type == NARROW_FP16)
        lab_check_device(l, what, "factors", item->y_up, up,
                         (size_t)rows * sizeof *up);
    free(up);
    free(row);
    free(want);
    free(j.group);
    lab_release(l);
}

static void check_groups(struct lab *l)
{
    static const int rows[] = {1, 64, 129, 300};

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int op = GROUP_WIDE; op <= GROUP_RELU2; op++) {
            const struct part p = {(enum group_op)op, 96, 208};

            group_check(l, &p, rows[r], 0.2f);
        }
        group_check(l, &(struct part){GROUP_RELU2, 1024, 256}, rows[r], 0.1f);
        group_check(l, &(struct part){GROUP_RELU2, 1024, 256}, rows[r], 1e3f);
        group_check(l, &(struct part){GROUP_COPY, 256, 256}, rows[r], 1e4f);
    }
}

/* ---- times --------------------------------------------------------------- */

/* Seconds of the engine, and of the library's bare products. */
struct times {
    double ours, library;
};

static void report(struct lab *l, const char *name, const char *shape, int rows,
                   double weights, struct times t)
{
    if (rows <= 256)
        lab_report(l, name, shape, t.ours, t.library,
                   weights * (double)narrow_size(l->type) / t.ours * 1e-9,
                   "GB/s of weights");
    else
        lab_report(l, name, shape, t.ours, t.library,
                   2.0 * rows * weights / t.ours * 1e-12, "Tflop/s");
}

static struct times measure(struct lab *l, struct gemm *g, const char *name,
                            int rows, int n, int k)
{
    struct job j = make(l, g, rows, n, k, true);
    struct times t = {.ours = lab_time(l, run, &j)};
    char shape[32];

    lab_release(l);
    t.library = lab_library(l, rows, n, k);
    snprintf(shape, sizeof shape, "%dx%dx%d", rows, n, k);
    report(l, name, shape, rows, (double)n * k, t);
    return t;
}

static struct times measure_group(struct lab *l, const char *name,
                                  const struct part *p, int n, int rows)
{
    struct group_job j = group_make(l, p, n, rows);
    struct times t = {.ours = lab_time(l, group_run, &j)};
    double weights = 0;
    char shape[32];

    free(j.group);
    lab_release(l);
    for (int i = 0; i < n; i++) {
        t.library += lab_library(l, rows, p[i].n, p[i].k);
        weights += (double)p[i].n * p[i].k;
    }
    snprintf(shape, sizeof shape, "%d rows, %d products", rows, n);
    report(l, name, shape, rows, weights, t);
    return t;
}

static void add(struct times *sum, struct times t, int times)
{
    sum->ours += t.ours * times;
    sum->library += t.library * times;
}

/* All products of the model, as cuda/layers.c launches them. */
static void measure_model(struct lab *l, struct gemm *g, int rows)
{
    const struct weights_shape *s = l->shape;
    const int c = s->H * s->N;
    const struct part in[] = {
        {GROUP_WIDE, c, c},         {GROUP_WIDE, c, c},
        {GROUP_WIDE, c, c},         {GROUP_SIGMOID, s->rank_g, c},
        {GROUP_TANH, s->rank_w, c}, {GROUP_COPY, s->rank_a, c},
        {GROUP_COPY, s->rank_v, c},
    };
    const struct part low[] = {
        {GROUP_WIDE, c, s->rank_g},
        {GROUP_DECAY, c, s->rank_w},
        {GROUP_RATE, c, s->rank_a},
        {GROUP_RATE, c, s->rank_v},
    };
    const struct part up = {GROUP_RELU2, s->F, c};
    struct times sum = {0};
    char shape[32];

    add(&sum, measure_group(l, "time mix in", in, 7, rows), s->L);
    add(&sum, measure_group(l, "low rank out", low, 4, rows), s->L);
    add(&sum, measure(l, g, "output", rows, c, c), s->L);
    add(&sum, measure_group(l, "ffn up", &up, 1, rows), s->L);
    add(&sum, measure(l, g, "ffn down", rows, c, s->F), s->L);
    add(&sum, measure(l, g, "head", rows, head_cols(s->V, rows), c),
        s->V / head_cols(s->V, rows));
    snprintf(shape, sizeof shape, "%d rows", rows);
    lab_report(l, "all products", shape, sum.ours, sum.library,
               100 * (sum.ours / sum.library - 1), "% over bare products");
}

void kernels_products(struct lab *l)
{
    static const int rows[] = {1, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384};
    struct err err = {0};
    struct gemm *g = gemm_create(l->type, l->stream, &err);

    must(g == NULL ? -1 : 0, &err);
    check(l, g, 33, 96, 208);
    check(l, g, 7, 64, 1024);
    check_groups(l);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        measure_model(l, g, rows[r]);
    gemm_destroy(g);
}
