/* The recurrence: twin on the CPU, then prefill and decode shapes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "common/buf.h"

/* One call's arrays: inputs of `rows` rows, states of `pieces` slots. */
struct job {
    struct lab *l;
    struct wkv7 a;
    int rows;
};

static cudaError_t run(void *context)
{
    const struct job *j = context;

    return kernel_wkv7(&j->a, j->l->stream);
}

static struct wide_rows product(struct lab *l, size_t n)
{
    return (struct wide_rows){lab_floats(l, n, 0, 1.7f), NULL};
}

static struct job job_make(struct lab *l, int pieces, int length, int h, int n)
{
    const size_t c = (size_t)(h * n), rows = (size_t)(pieces * length);
    struct cuda_piece *piece = xcalloc((size_t)pieces, sizeof *piece);
    struct job j = {.l = l, .rows = pieces * length};
    void *pieces_at = lab_bytes(l, (size_t)pieces * sizeof *piece);

    for (int i = 0; i < pieces; i++)
        piece[i] = (struct cuda_piece){i, i * length, length};
    lab_send(l, pieces_at, piece, (size_t)pieces * sizeof *piece);
    free(piece);
    j.a = (struct wkv7){
        .pieces = pieces,
        .c = h * n,
        .h = h,
        .n = n,
        .piece = pieces_at,
        .r = product(l, rows * c),
        .w = product(l, rows * c),
        .k = product(l, rows * c),
        .v = product(l, rows * c),
        .a = product(l, rows * c),
        .g = product(l, rows * c),
        .mix_v = product(l, rows * c),
        .first_v = lab_floats(l, rows * c, 0, 1.7f),
        .w0 = lab_floats(l, c, -2, 0.5f),
        .a0 = lab_floats(l, c, 0, 0.5f),
        .v0 = lab_floats(l, c, 0, 0.5f),
        .k_k = lab_floats(l, c, 0, 0.5f),
        .k_a = lab_floats(l, c, 0.5f, 0.5f),
        .r_k = lab_floats(l, c, 0, 0.2f),
        .weight = lab_floats(l, c, 1, 0.5f),
        .bias = lab_floats(l, c, 0, 0.5f),
        .split_max = 1024,
        .state = lab_floats(l, (size_t)pieces * c * (size_t)n, 0, 1),
        .stride = c * (size_t)n,
        .y = lab_bytes(l, rows * c * sizeof(float)),
    };
    return j;
}

/* ---- the twin -------------------------------------------------------------- */

/* Everything in host memory; y and state are what must come out. */
struct twin {
    struct cpu_rows r, w, k, v, a, g, mix_v, first_v, b, y;
    float *w0, *a0, *v0, *k_k, *k_a, *r_k, *weight, *bias, *state;
};

static void twin_fetch(struct twin *t, const struct job *j)
{
    const size_t c = (size_t)j->a.c, all = (size_t)j->rows * c;
    struct lab *l = j->l;
    const struct {
        struct cpu_rows *to;
        const float *from;
    } rows[] = {{&t->r, j->a.r.at},
                {&t->w, j->a.w.at},
                {&t->k, j->a.k.at},
                {&t->v, j->a.v.at},
                {&t->a, j->a.a.at},
                {&t->g, j->a.g.at},
                {&t->mix_v, j->a.mix_v.at},
                {&t->first_v, j->a.first_v},
                {&t->b, j->a.y},
                {&t->y, j->a.y}};
    const struct {
        float **to;
        const float *from;
    } vectors[] = {{&t->w0, j->a.w0},         {&t->a0, j->a.a0},
                   {&t->v0, j->a.v0},         {&t->k_k, j->a.k_k},
                   {&t->k_a, j->a.k_a},       {&t->r_k, j->a.r_k},
                   {&t->weight, j->a.weight}, {&t->bias, j->a.bias}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i].to =
            (struct cpu_rows){lab_fetch_floats(l, rows[i].from, all), c};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        *vectors[i].to = lab_fetch_floats(l, vectors[i].from, c);
    t->state =
        lab_fetch_floats(l, j->a.state, (size_t)j->a.pieces * j->a.stride);
}

static void twin_free(struct twin *t)
{
    float *all[] = {t->r.at, t->w.at,     t->k.at,       t->v.at, t->a.at,
                    t->g.at, t->mix_v.at, t->first_v.at, t->b.at, t->y.at,
                    t->w0,   t->a0,       t->v0,         t->k_k,  t->k_a,
                    t->r_k,  t->weight,   t->bias,       t->state};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void twin_run(struct twin *t, const struct job *j)
{
    const struct cpu_kernels *cpu = j->l->cpu;
    const size_t c = (size_t)j->a.c, rows = (size_t)j->rows;
    const size_t n = (size_t)j->a.n, h = (size_t)j->a.h;
    const size_t length = rows / (size_t)j->a.pieces;

    cpu->decay(rows, c, t->w, t->w0);
    cpu->sigmoid(rows, c, t->a, t->a0);
    cpu->value_residual(rows, c, t->v, t->first_v, t->mix_v, t->v0);
    /* a becomes kk * a, b becomes -kk. */
    cpu->keys(&(struct cpu_keys){rows, h, n, c, t->k_k, t->k_a, t->k.at,
                                 t->a.at, t->b.at});
    for (size_t p = 0; p < (size_t)j->a.pieces; p++) {
        for (size_t i = 0; i < h; i++) {
            const size_t at = p * length * c + i * n;

            cpu->wkv(&(struct cpu_wkv){
                .n = n,
                .tokens = length,
                .ld = c,
                .r = t->r.at + at,
                .w = t->w.at + at,
                .k = t->k.at + at,
                .v = t->v.at + at,
                .a = t->b.at + at,
                .b = t->a.at + at,
                .y = t->y.at + at,
                .state = t->state + p * j->a.stride + i * n * n,
            });
        }
    }
    cpu->mixout(&(struct cpu_mixout){rows, h, n, c, t->r.at, t->k.at, t->v.at,
                                     t->g.at, t->r_k, t->weight, t->bias,
                                     t->y.at});
}

static void check(struct lab *l, int pieces, int length, int h, int n)
{
    struct job j = job_make(l, pieces, length, h, n);
    const size_t y = (size_t)j.rows * (size_t)j.a.c * sizeof(float);
    const size_t state = (size_t)pieces * j.a.stride * sizeof(float);
    struct twin t;
    char what[64];
    void *got;

    twin_fetch(&t, &j);
    twin_run(&t, &j);
    lab_must(l, run(&j), "wkv7");
    snprintf(what, sizeof what, "wkv7 %dx%dx%d N %d: y", pieces, length, h, n);
    got = lab_fetch(l, j.a.y, y);
    lab_check_bits(l, what, got, t.y.at, y);
    free(got);
    snprintf(what, sizeof what, "wkv7 %dx%dx%d N %d: state", pieces, length, h,
             n);
    got = lab_fetch(l, j.a.state, state);
    lab_check_bits(l, what, got, t.state, state);
    free(got);
    twin_free(&t);
    lab_release(l);
}

/* ---- times ----------------------------------------------------------------- */

/* Memory: six products, first_v and y by channel, the state in and out.
 * Arithmetic: 5 multiply-adds per element of the state and token.
 */
static void measure(struct lab *l, int pieces, int length)
{
    const int h = l->shape->H, n = l->shape->N;
    struct job j = job_make(l, pieces, length, h, n);
    const double tokens = (double)j.rows, state = 2.0 * 4 * n * n * h * pieces;
    const double bytes = state + tokens * h * n * 9 * 4;
    const double flops = tokens * h * n * n * 2 * 5;
    double memory = lab_bytes_bound(l, bytes), compute = flops / l->fma_rate;
    double seconds = lab_time(l, run, &j);
    char shape[48];

    snprintf(shape, sizeof shape, "%dx%dx%d", pieces, length, h);
    if (length > 1)
        lab_report(l, "wkv7", shape, seconds,
                   memory > compute ? memory : compute,
                   seconds * 1e9 / tokens / h, "ns/token/head");
    else
        lab_report(l, "wkv7", shape, seconds, memory, state / seconds * 1e-9,
                   "GB/s of state");
    lab_release(l);
}

void kernels_wkv7(struct lab *l)
{
    static const int prefill[][2] = {
        {64, 512}, {256, 64}, {32, 512}, {8, 2048}, {1, 16384}};
    static const int decode[] = {64, 128, 256, 512, 1024};

    check(l, 5, 37, 3, 64);
    check(l, 40, 1, 3, 64);
    check(l, 400, 9, 3, 64); /* many blocks */
    check(l, 3, 20, 2, 16);
    check(l, 3, 20, 2, 32);
    check(l, 3, 20, 2, 128);
    for (size_t i = 0; i < sizeof prefill / sizeof *prefill; i++)
        measure(l, prefill[i][0], prefill[i][1]);
    for (size_t i = 0; i < sizeof decode / sizeof *decode; i++)
        measure(l, decode[i], 1);
}
