/* The recurrence: twin on the CPU, then prefill and decode shapes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "bench/twins.h"
#include "common/buf.h"
#include "model/tensor.h"

#define SPLIT_MAX 640 /* as cuda/engine.c */

/* One call's arrays: inputs of `rows` rows, states of `pieces` slots. */
struct job {
    struct lab *l;
    struct wkv7 a;
    int rows;
    float *up; /* [rows] factors of y */
};

static cudaError_t run(void *context)
{
    const struct job *j = context;
    cudaError_t rc = kernel_wkv7(&j->a, j->l->stream);

    if (rc != cudaSuccess || j->a.type != NARROW_FP16)
        return rc;
    return kernel_refit_spilled(j->rows, j->a.c, j->a.over, j->a.spill, j->a.y,
                                j->up, j->l->stream);
}

static const struct cuda_piece *send_pieces(struct lab *l, int pieces,
                                            int length)
{
    const size_t bytes = (size_t)pieces * sizeof(struct cuda_piece);
    struct cuda_piece *piece = xcalloc(1, bytes), *device;

    for (int i = 0; i < pieces; i++)
        piece[i] = (struct cuda_piece){i, i * length, length};
    device = lab_bytes(l, bytes);
    lab_send(l, device, piece, bytes);
    free(piece);
    return device;
}

/* `size` of the gate: with 1e6, rows beyond fp16. */
static struct job job_make(struct lab *l, int pieces, int length, int h, int n,
                           float size)
{
    const size_t c = (size_t)(h * n), rows = (size_t)(pieces * length);
    const size_t all = rows * c;

    return (struct job){
        .l = l,
        .rows = pieces * length,
        .up = lab_bytes(l, rows * sizeof(float)),
        .a = {
            .pieces = pieces,
            .c = h * n,
            .h = h,
            .n = n,
            .piece = send_pieces(l, pieces, length),
            .r = lab_floats(l, all, 0, 1.7f),
            .k = lab_floats(l, all, 0, 1.7f),
            .v = lab_floats(l, all, 0, 1.7f),
            .g = lab_floats(l, all, 0, size),
            .decay = lab_floats(l, all, 0.9f, 0.09f),
            .rate = lab_floats(l, all, 0.5f, 0.5f),
            .gate_v = lab_floats(l, all, 0.5f, 0.5f),
            .first_v = lab_floats(l, all, 0, 1.7f),
            .k_k = lab_floats(l, c, 0, 0.5f),
            .k_a = lab_floats(l, c, 0.5f, 0.5f),
            .r_k = lab_floats(l, c, 0, 0.2f),
            .weight = lab_floats(l, c, 1, 0.5f),
            .bias = lab_floats(l, c, 0, 0.5f),
            .split_max = length > 1 ? SPLIT_MAX : 0,
            .multiprocessors = l->multiprocessors,
            .state = lab_floats(l, (size_t)pieces * c * (size_t)n, 0, 1),
            .stride = c * (size_t)n,
            .type = l->type,
            .y = lab_bytes(l, all * narrow_size(l->type)),
            .spill = lab_bytes(l, all * sizeof(float)),
            .over = lab_bytes(l, rows * sizeof(uint32_t)),
        }};
}

/* ---- the twin ------------------------------------------------------------ */

/* All in host memory; y and state are what must come out. */
struct twin {
    float *r, *k, *v, *g, *decay, *rate, *gate_v, *first_v, *neg_kk, *y;
    float *k_k, *k_a, *r_k, *weight, *bias, *state;
};
#define TWIN_ROWS 10 /* of its arrays are [rows][C] */
#define TWIN_ARRAYS 16

static void twin_fetch(struct twin *t, const struct job *j)
{
    const struct wkv7 *a = &j->a;
    const size_t c = (size_t)a->c, all = (size_t)j->rows * c;
    const float *from[TWIN_ARRAYS] = {
        a->r, a->k, a->v,   a->g,   a->decay, a->rate,   a->gate_v, a->first_v,
        a->r, a->r, a->k_k, a->k_a, a->r_k,   a->weight, a->bias,   a->state};
    float **const to[TWIN_ARRAYS] = {
        &t->r,      &t->k,       &t->v,      &t->g,    &t->decay, &t->rate,
        &t->gate_v, &t->first_v, &t->neg_kk, &t->y,    &t->k_k,   &t->k_a,
        &t->r_k,    &t->weight,  &t->bias,   &t->state};

    for (int i = 0; i < TWIN_ARRAYS; i++)
        *to[i] = lab_fetch_floats(j->l, from[i],
                                  i < TWIN_ROWS ? all
                                  : i + 1 < TWIN_ARRAYS
                                      ? c
                                      : (size_t)a->pieces * a->stride);
}

static void twin_free(struct twin *t)
{
    float *const all[TWIN_ARRAYS] = {
        t->r,      t->k,       t->v,      t->g,    t->decay, t->rate,
        t->gate_v, t->first_v, t->neg_kk, t->y,    t->k_k,   t->k_a,
        t->r_k,    t->weight,  t->bias,   t->state};

    for (int i = 0; i < TWIN_ARRAYS; i++)
        free(all[i]);
}

static void twin_recur(struct twin *t, const struct job *j)
{
    const size_t c = (size_t)j->a.c, n = (size_t)j->a.n, h = (size_t)j->a.h;
    const size_t length = (size_t)(j->rows / j->a.pieces);

    for (size_t p = 0; p < (size_t)j->a.pieces; p++) {
        for (size_t i = 0; i < h; i++) {
            const size_t at = p * length * c + i * n;

            j->l->cpu->wkv(&(struct cpu_wkv){
                .n = n,
                .tokens = length,
                .ld = c,
                .r = t->r + at,
                .w = t->decay + at,
                .k = t->k + at,
                .v = t->v + at,
                .a = t->neg_kk + at,
                .b = t->rate + at,
                .y = t->y + at,
                .state = t->state + p * j->a.stride + i * n * n,
            });
        }
    }
}

static void twin_run(struct twin *t, const struct job *j)
{
    const struct cpu_kernels *cpu = j->l->cpu;
    const size_t c = (size_t)j->a.c, rows = (size_t)j->rows;
    const size_t n = (size_t)j->a.n, h = (size_t)j->a.h;

    for (size_t i = 0; i < rows * c; i++)
        t->v[i] = fmaf(t->first_v[i] - t->v[i], t->gate_v[i], t->v[i]);
    /* The rate becomes kk * a. */
    cpu->keys(&(struct cpu_keys){rows, h, n, c, t->k_k, t->k_a, t->k, t->rate,
                                 t->neg_kk});
    twin_recur(t, j);
    cpu->mixout(&(struct cpu_mixout){rows, h, n, c, t->r, t->k, t->v, t->g,
                                     t->r_k, t->weight, t->bias, t->y});
}

/* y narrowed: in fp16, a head that does not fit waits in fp32 for the row's
 * factor, one that fits is fp16 before it is scaled.
 */
static void twin_output(const struct twin *t, const struct job *j, char *y,
                        float *up)
{
    const size_t c = (size_t)j->a.c, n = (size_t)j->a.n;
    const size_t each = narrow_size(j->a.type);
    float *row = xcalloc(c, sizeof *row);

    for (size_t i = 0; i < (size_t)j->rows; i++) {
        memcpy(row, t->y + i * c, c * sizeof *row);
        up[i] = twin_narrow(j->a.type, row, c, y + i * c * each);
        if (up[i] <= 1)
            continue;
        for (size_t h = 0; h < c; h += n) {
            uint16_t half[128];

            if (twin_narrow(j->a.type, row + h, n, half) > 1)
                continue;
            for (size_t k = 0; k < n; k++)
                row[h + k] = f16_to_f32(half[k]);
        }
        twin_narrow(j->a.type, row, c, y + i * c * each);
    }
    free(row);
}

static void check(struct lab *l, int pieces, int length, int h, int n,
                  float size)
{
    struct job j = job_make(l, pieces, length, h, n, size);
    const size_t y = (size_t)j.rows * (size_t)j.a.c * narrow_size(l->type);
    const size_t state = (size_t)pieces * j.a.stride * sizeof(float);
    const size_t factors = (size_t)j.rows * sizeof(float);
    char *want = xcalloc(1, y), what[80];
    float *up = xcalloc(1, factors);
    struct twin t;

    twin_fetch(&t, &j);
    twin_run(&t, &j);
    twin_output(&t, &j, want, up);
    lab_must(l, run(&j), "wkv7");
    snprintf(what, sizeof what, "wkv7 %dx%dx%d N %d", pieces, length, h, n);
    lab_check_device(l, what, "y", j.a.y, want, y);
    lab_check_device(l, what, "state", j.a.state, t.state, state);
    if (l->type == NARROW_FP16)
        lab_check_device(l, what, "factors", j.up, up, factors);
    free(want);
    free(up);
    twin_free(&t);
    lab_release(l);
}

/* ---- times --------------------------------------------------------------- */

/* Memory: eight inputs and y by channel, the state in and out. Arithmetic: 5
 * multiply-adds per element of the state and token.
 */
static void measure(struct lab *l, int pieces, int length)
{
    const int h = l->shape->H, n = l->shape->N;
    struct job j = job_make(l, pieces, length, h, n, 1.7f);
    const double tokens = (double)j.rows, state = 2.0 * 4 * n * n * h * pieces;
    const double each = (double)narrow_size(l->type);
    const double bytes = state + tokens * h * n * (8 * 4 + each);
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

    check(l, 5, 37, 3, 64, 1);
    check(l, 5, 37, 3, 64, 1e6f);
    check(l, 40, 1, 3, 64, 1);
    check(l, 40, 1, 3, 64, 1e6f);
    check(l, 400, 9, 3, 64, 1); /* many blocks */
    check(l, 3, 20, 2, 16, 1);
    check(l, 3, 20, 2, 32, 1);
    check(l, 3, 20, 2, 128, 1);
    for (size_t i = 0; i < sizeof prefill / sizeof *prefill; i++)
        measure(l, prefill[i][0], prefill[i][1]);
    for (size_t i = 0; i < sizeof decode / sizeof *decode; i++)
        measure(l, decode[i], 1);
}
