/* Kernels that take rows one by one: sums and norms, mixes, narrowing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "common/buf.h"

#define CHECK_ROWS 37
#define CHECK_C 208

static const int timed_rows[] = {64, 512, 16384};

static void report(struct lab *l, const char *name, int rows, int width,
                   cudaError_t (*run)(void *), void *job, double bytes)
{
    char shape[32];

    snprintf(shape, sizeof shape, "%dx%d", rows, width);
    lab_report(l, name, shape, lab_time(l, run, job), lab_bytes_bound(l, bytes),
               0, NULL);
    lab_release(l);
}

/* ---- x += y, h = LN(x) ----------------------------------------------------- */

struct norm_job {
    struct lab *l;
    struct add_norm a;
};

static cudaError_t norm_run(void *context)
{
    const struct norm_job *j = context;

    return kernel_add_norm(&j->a, j->l->stream);
}

static struct norm_job norm_make(struct lab *l, int rows, int c)
{
    const size_t n = (size_t)rows * (size_t)c;

    return (struct norm_job){
        l,
        {.rows = rows,
         .c = c,
         .x = lab_floats(l, n, 0.2f, 2),
         .y = {lab_floats(l, n, 0, 1), lab_floats(l, (size_t)rows, 1, 0.5f)},
         .y_bias = lab_floats(l, (size_t)c, 0, 0.5f),
         .weight = lab_floats(l, (size_t)c, 1, 0.5f),
         .bias = lab_floats(l, (size_t)c, 0, 0.5f),
         .h = lab_bytes(l, n * sizeof(float))}};
}

static void norm_check(struct lab *l)
{
    const size_t rows = CHECK_ROWS, c = CHECK_C, n = rows * c;
    struct norm_job j = norm_make(l, CHECK_ROWS, CHECK_C);
    float *x = lab_fetch_floats(l, j.a.x, n), *y, *up, *bias[3], *h, *got;

    y = lab_fetch_floats(l, j.a.y.at, n);
    up = lab_fetch_floats(l, j.a.y.up, rows);
    bias[0] = lab_fetch_floats(l, j.a.y_bias, c);
    bias[1] = lab_fetch_floats(l, j.a.weight, c);
    bias[2] = lab_fetch_floats(l, j.a.bias, c);
    h = xcalloc(n, sizeof *h);
    for (size_t i = 0; i < n; i++)
        y[i] *= up[i / c];
    l->cpu->add(rows, c, (struct cpu_rows){x, c}, (struct cpu_rows){y, c},
                bias[0]);
    l->cpu->layer_norm(rows, c, (struct cpu_rows){x, c}, bias[1], bias[2],
                       (struct cpu_rows){h, c});
    lab_must(l, norm_run(&j), "add_norm");
    got = lab_fetch_floats(l, j.a.x, n);
    lab_check_bits(l, "add_norm: x", got, x, n * 4);
    free(got);
    got = lab_fetch_floats(l, j.a.h, n);
    lab_check_bits(l, "add_norm: h", got, h, n * 4);
    free(got);
    free(x);
    free(y);
    free(up);
    free(h);
    for (int i = 0; i < 3; i++)
        free(bias[i]);
    lab_release(l);
}

/* ---- mixes ----------------------------------------------------------------- */

struct mix_job {
    struct lab *l;
    struct mix a;
};

static cudaError_t mix_run(void *context)
{
    const struct mix_job *j = context;

    return kernel_mix(&j->a, j->l->stream);
}

/* Sequences of 8 rows, and the last of what is left. */
static struct mix_job mix_make(struct lab *l, int rows, int c, int n,
                               float spread)
{
    const size_t r = (size_t)rows, uc = (size_t)c;
    int32_t *begins = xcalloc(r, sizeof *begins);
    struct mix_job j = {l, {.rows = rows, .c = c, .n = n, .type = l->type}};
    void *begins_at = lab_bytes(l, r * sizeof *begins);

    for (int i = 0; i < rows; i++)
        begins[i] = i % 8 == 0 ? i / 8 : -1;
    lab_send(l, begins_at, begins, r * sizeof *begins);
    free(begins);
    j.a.begins = begins_at;
    j.a.h = lab_floats(l, r * uc, 0, spread);
    j.a.stride = uc;
    j.a.state = lab_floats(l, (r / 8 + 1) * uc, 0, spread);
    for (int i = 0; i < n; i++) {
        j.a.x[i] = lab_floats(l, uc, 0.5f, 0.5f);
        j.a.out[i] =
            (struct narrow_rows){lab_bytes(l, r * uc * narrow_size(l->type)),
                                 lab_bytes(l, r * sizeof(float))};
    }
    return j;
}

static void mix_check_one(struct mix_job *j, int index, const float *h,
                          const float *state, const int32_t *begins)
{
    const size_t c = (size_t)j->a.c, rows = (size_t)j->a.rows;
    const size_t each = narrow_size(j->a.type);
    struct lab *l = j->l;
    float *x = lab_fetch_floats(l, j->a.x[index], c);
    float *d = xcalloc(c, sizeof *d), *y = xcalloc(c, sizeof *y);
    float *up = xcalloc(rows, sizeof *up);
    char *want = xcalloc(rows * c, each);
    void *got;

    for (size_t i = 0; i < rows; i++) {
        const float *before =
            begins[i] >= 0 ? state + (size_t)begins[i] * c : h + (i - 1) * c;
        struct cpu_rows now = {(float *)(uintptr_t)(h + i * c), c};

        l->cpu->shift(1, c, now, &before, (struct cpu_rows){d, c});
        l->cpu->mix(1, c, now, (struct cpu_rows){d, c}, x,
                    (struct cpu_rows){y, c});
        up[i] = lab_narrow_row(j->a.type, y, c, want + i * c * each);
    }
    got = lab_fetch(l, j->a.out[index].at, rows * c * each);
    lab_check_bits(l, "mix: values", got, want, rows * c * each);
    free(got);
    got = lab_fetch(l, j->a.out[index].up, rows * sizeof *up);
    lab_check_bits(l, "mix: factors", got, up, rows * sizeof *up);
    free(got);
    free(x);
    free(d);
    free(y);
    free(up);
    free(want);
}

static void mix_check(struct lab *l, int n, float spread)
{
    struct mix_job j = mix_make(l, CHECK_ROWS, CHECK_C, n, spread);
    const size_t all = (size_t)CHECK_ROWS * CHECK_C;
    float *h = lab_fetch_floats(l, j.a.h, all);
    float *state =
        lab_fetch_floats(l, j.a.state, (CHECK_ROWS / 8 + 1) * (size_t)CHECK_C);
    int32_t *begins = lab_fetch(l, j.a.begins, CHECK_ROWS * sizeof *begins);

    lab_must(l, mix_run(&j), "mix");
    for (int i = 0; i < n; i++)
        mix_check_one(&j, i, h, state, begins);
    free(h);
    free(state);
    free(begins);
    lab_release(l);
}

/* ---- narrowing ------------------------------------------------------------- */

struct narrow_job {
    struct lab *l;
    int rows, width;
    struct wide_rows in;
    enum narrow_op op;
    struct narrow_rows out;
};

static cudaError_t narrow_run(void *context)
{
    const struct narrow_job *j = context;

    return kernel_narrow(j->rows, j->width, j->in, j->op, j->l->type, j->out,
                         j->l->stream);
}

static struct narrow_job narrow_make(struct lab *l, int rows, int width,
                                     enum narrow_op op, float spread)
{
    const size_t n = (size_t)rows * (size_t)width;

    return (struct narrow_job){
        .l = l,
        .rows = rows,
        .width = width,
        .op = op,
        .in = {lab_floats(l, n, 0, spread), NULL},
        .out = {lab_bytes(l, n * narrow_size(l->type)),
                lab_bytes(l, (size_t)rows * sizeof(float))},
    };
}

static const char *const op_names[] = {
    [NARROW_COPY] = "narrow",
    [NARROW_TANH] = "narrow tanh",
    [NARROW_SIGMOID] = "narrow sigmoid",
    [NARROW_RELU2] = "narrow relu2",
};

static void apply(const struct cpu_kernels *cpu, enum narrow_op op, float *x,
                  size_t n)
{
    struct cpu_rows rows = {x, n};

    if (op == NARROW_TANH)
        cpu->tanh(1, n, rows);
    else if (op == NARROW_SIGMOID)
        cpu->sigmoid(1, n, rows, NULL);
    else if (op == NARROW_RELU2)
        cpu->relu_square(1, n, rows);
}

static void narrow_check(struct lab *l, enum narrow_op op, float spread)
{
    const size_t c = CHECK_C, rows = CHECK_ROWS, each = narrow_size(l->type);
    struct narrow_job j = narrow_make(l, CHECK_ROWS, CHECK_C, op, spread);
    float *x = lab_fetch_floats(l, j.in.at, rows * c);
    float *up = xcalloc(rows, sizeof *up);
    char *want = xcalloc(rows * c, each), *got;

    for (size_t i = 0; i < rows; i++) {
        apply(l->cpu, op, x + i * c, c);
        up[i] = lab_narrow_row(l->type, x + i * c, c, want + i * c * each);
    }
    lab_must(l, narrow_run(&j), "narrow");
    got = lab_fetch(l, j.out.at, rows * c * each);
    lab_check_bits(l, op_names[op], got, want, rows * c * each);
    free(got);
    got = lab_fetch(l, j.out.up, rows * sizeof *up);
    lab_check_bits(l, op_names[op], got, up, rows * sizeof *up);
    free(got);
    free(x);
    free(up);
    free(want);
    lab_release(l);
}

/* ---- all ------------------------------------------------------------------- */

static void measure(struct lab *l, int rows)
{
    const int c = l->shape->H * l->shape->N, f = l->shape->F;
    const double each = (double)narrow_size(l->type);
    const double rc = (double)rows * c, rf = (double)rows * f;
    struct norm_job norm = norm_make(l, rows, c);
    struct mix_job mix;
    struct narrow_job narrow;

    report(l, "add_norm", rows, c, norm_run, &norm, rc * 4 * 4);
    mix = mix_make(l, rows, c, MIX_MAX, 1);
    report(l, "mix 6", rows, c, mix_run, &mix, rc * (4 + 6 * each));
    mix = mix_make(l, rows, c, 1, 1);
    report(l, "mix 1", rows, c, mix_run, &mix, rc * (4 + each));
    narrow = narrow_make(l, rows, c, NARROW_COPY, 1);
    report(l, "narrow", rows, c, narrow_run, &narrow, rc * (4 + each));
    narrow = narrow_make(l, rows, f, NARROW_RELU2, 1);
    report(l, "narrow relu2", rows, f, narrow_run, &narrow, rf * (4 + each));
    narrow = narrow_make(l, rows, 128, NARROW_SIGMOID, 1);
    report(l, "narrow sigmoid", rows, 128, narrow_run, &narrow,
           rows * 128 * (4 + each));
}

void kernels_rows(struct lab *l)
{
    norm_check(l);
    for (float spread = 1; spread < 1e7f; spread *= 1e3f) { /* beyond fp16 */
        mix_check(l, MIX_MAX, spread);
        mix_check(l, 1, spread);
        narrow_check(l, NARROW_COPY, spread);
        narrow_check(l, NARROW_RELU2, spread);
    }
    narrow_check(l, NARROW_TANH, 3);
    narrow_check(l, NARROW_SIGMOID, 3);
    for (size_t i = 0; i < sizeof timed_rows / sizeof *timed_rows; i++)
        measure(l, timed_rows[i]);
}
