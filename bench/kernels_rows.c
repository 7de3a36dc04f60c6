/* Kernels that take rows one by one: sums and norms, mixes, narrowing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "bench/twins.h"
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

/* ---- x += y, h = LN(x) --------------------------------------------------- */

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

/* x becomes x + y up + bias, h its norm; all in host memory. */
static void norm_twin(struct lab *l, const struct add_norm *a, float *x,
                      float *h)
{
    const size_t rows = (size_t)a->rows, c = (size_t)a->c, n = rows * c;
    float *y = lab_fetch_floats(l, a->y.at, n);
    float *up = lab_fetch_floats(l, a->y.up, rows);
    float *more = lab_fetch_floats(l, a->y_bias, c);
    float *weight = lab_fetch_floats(l, a->weight, c);
    float *bias = lab_fetch_floats(l, a->bias, c);

    for (size_t i = 0; i < n; i++)
        y[i] *= up[i / c];
    l->cpu->add(rows, c, (struct cpu_rows){x, c}, (struct cpu_rows){y, c},
                more);
    l->cpu->layer_norm(rows, c, (struct cpu_rows){x, c}, weight, bias,
                       (struct cpu_rows){h, c});
    free(y);
    free(up);
    free(more);
    free(weight);
    free(bias);
}

static void norm_check(struct lab *l)
{
    const size_t n = (size_t)CHECK_ROWS * CHECK_C;
    struct norm_job j = norm_make(l, CHECK_ROWS, CHECK_C);
    float *x = lab_fetch_floats(l, j.a.x, n), *h = xcalloc(n, sizeof *h);

    norm_twin(l, &j.a, x, h);
    lab_must(l, norm_run(&j), "add_norm");
    lab_check_device(l, "add_norm", "x", j.a.x, x, n * 4);
    lab_check_device(l, "add_norm", "h", j.a.h, h, n * 4);
    free(x);
    free(h);
    lab_release(l);
}

/* ---- the same, token shift and mixes ------------------------------------- */

#define PIECE 8 /* rows of a sequence; sequence i has slot i */

struct shift_job {
    struct lab *l;
    struct shift a;
    struct add_norm norm; /* its first part */
};

static cudaError_t shift_run(void *context)
{
    const struct shift_job *j = context;

    return kernel_shift(&j->a, j->l->stream);
}

/* begins[row] and ends[row]; a piece may be a single row at the end. */
static int32_t *shift_edges(struct lab *l, int rows, bool ends)
{
    const size_t bytes = (size_t)rows * sizeof(int32_t);
    int32_t *edge = xcalloc(1, bytes), *device = lab_bytes(l, bytes);

    for (int i = 0; i < rows; i++)
        edge[i] =
            (ends ? i % PIECE == PIECE - 1 || i == rows - 1 : i % PIECE == 0)
                ? i / PIECE
                : -1;
    lab_send(l, device, edge, bytes);
    free(edge);
    return device;
}

static struct shift_job shift_make(struct lab *l, int rows, int c, int n,
                                   float spread)
{
    const size_t r = (size_t)rows, uc = (size_t)c;
    struct shift_job j = {.l = l, .norm = norm_make(l, rows, c).a};

    j.norm.weight = lab_floats(l, uc, spread, spread / 2);
    j.a = (struct shift){
        .rows = rows,
        .c = c,
        .n = n,
        .x = j.norm.x,
        .y = j.norm.y,
        .y_bias = j.norm.y_bias,
        .x_out = lab_bytes(l, r * uc * sizeof(float)),
        .weight = j.norm.weight,
        .bias = j.norm.bias,
        .begins = shift_edges(l, rows, false),
        .ends = shift_edges(l, rows, true),
        .state = lab_floats(l, (r / PIECE + 1) * uc, 0, spread),
        .stride = uc,
        .h = lab_bytes(l, r * uc * sizeof(float)),
        .type = l->type,
        .scaled = spread > 1000,
    };
    for (int i = 0; i < n; i++) {
        j.a.mix[i] = lab_floats(l, uc, 0.5f, 0.5f);
        j.a.out[i] =
            (struct narrow_rows){lab_bytes(l, r * uc * narrow_size(l->type)),
                                 lab_bytes(l, r * sizeof(float))};
    }
    return j;
}

/* One of the mixes, from h and the states before. */
static void shift_check_mix(const struct shift_job *j, int index, float *h,
                            const float *state)
{
    const size_t c = (size_t)j->a.c, rows = (size_t)j->a.rows;
    const size_t each = narrow_size(j->a.type);
    struct lab *l = j->l;
    float *mix = lab_fetch_floats(l, j->a.mix[index], c);
    float *d = xcalloc(c, sizeof *d), *y = xcalloc(c, sizeof *y);
    float *up = xcalloc(rows, sizeof *up);
    char *want = xcalloc(rows * c, each);

    for (size_t i = 0; i < rows; i++) {
        const float *before =
            i % PIECE == 0 ? state + i / PIECE * c : h + (i - 1) * c;
        struct cpu_rows now = {h + i * c, c};

        l->cpu->shift(1, c, now, &before, (struct cpu_rows){d, c});
        l->cpu->mix(1, c, now, (struct cpu_rows){d, c}, mix,
                    (struct cpu_rows){y, c});
        up[i] = twin_narrow(j->a.type, y, c, want + i * c * each);
    }
    lab_check_device(l, "shift", "a mix", j->a.out[index].at, want,
                     rows * c * each);
    lab_check_device(l, "shift", "its factors", j->a.out[index].up, up,
                     rows * sizeof *up);
    free(mix);
    free(d);
    free(y);
    free(up);
    free(want);
}

/* The last h of each piece: in the state where the piece is one row, else in
 * a.h.
 */
static void shift_check_last(const struct shift_job *j, const float *h,
                             float *state)
{
    const size_t c = (size_t)j->a.c, rows = (size_t)j->a.rows;
    const size_t slots = rows / PIECE + 1;
    const size_t last = rows - 1;

    for (size_t i = PIECE - 1; i < rows; i += PIECE)
        lab_check_device(j->l, "shift", "last row of a piece", j->a.h + i * c,
                         h + i * c, c * sizeof *h);
    if (last % PIECE == 0)
        memcpy(state + last / PIECE * c, h + last * c, c * sizeof *h);
    lab_check_device(j->l, "shift", "states", j->a.state, state,
                     slots * c * sizeof *state);
}

static void shift_check(struct lab *l, int n, float spread)
{
    struct shift_job j = shift_make(l, CHECK_ROWS, CHECK_C, n, spread);
    const size_t all = (size_t)CHECK_ROWS * CHECK_C;
    float *x = lab_fetch_floats(l, j.a.x, all), *h = xcalloc(all, sizeof *h);
    float *state = lab_fetch_floats(l, j.a.state,
                                    (CHECK_ROWS / PIECE + 1) * (size_t)CHECK_C);

    lab_must(l, shift_run(&j), "shift");
    norm_twin(l, &j.norm, x, h);
    lab_check_device(l, "shift", "x", j.a.x_out, x, all * sizeof *x);
    for (int i = 0; i < n; i++)
        shift_check_mix(&j, i, h, state);
    shift_check_last(&j, h, state);
    free(x);
    free(h);
    free(state);
    lab_release(l);
}

/* ---- narrowing ----------------------------------------------------------- */

struct narrow_job {
    struct lab *l;
    int rows, width;
    struct wide_rows in;
    struct narrow_rows out;
};

static cudaError_t narrow_run(void *context)
{
    const struct narrow_job *j = context;

    return kernel_narrow(j->rows, j->width, j->in, j->l->type, j->out,
                         j->l->stream);
}

static struct narrow_job narrow_make(struct lab *l, int rows, int width,
                                     float spread)
{
    const size_t n = (size_t)rows * (size_t)width;

    return (struct narrow_job){
        .l = l,
        .rows = rows,
        .width = width,
        .in = {lab_floats(l, n, 0, spread), NULL},
        .out = {lab_bytes(l, n * narrow_size(l->type)),
                lab_bytes(l, (size_t)rows * sizeof(float))},
    };
}

static void narrow_check(struct lab *l, float spread)
{
    const size_t c = CHECK_C, rows = CHECK_ROWS, each = narrow_size(l->type);
    struct narrow_job j = narrow_make(l, CHECK_ROWS, CHECK_C, spread);
    float *x = lab_fetch_floats(l, j.in.at, rows * c);
    float *up = xcalloc(rows, sizeof *up);
    char *want = xcalloc(rows * c, each);

    for (size_t i = 0; i < rows; i++)
        up[i] = twin_narrow(l->type, x + i * c, c, want + i * c * each);
    lab_must(l, narrow_run(&j), "narrow");
    lab_check_device(l, "narrow", "values", j.out.at, want, rows * c * each);
    lab_check_device(l, "narrow", "factors", j.out.up, up, rows * sizeof *up);
    free(x);
    free(up);
    free(want);
    lab_release(l);
}

/* ---- all ----------------------------------------------------------------- */

static void measure(struct lab *l, int rows)
{
    const int c = l->shape->H * l->shape->N;
    const double each = (double)narrow_size(l->type), rc = (double)rows * c;
    struct norm_job norm = norm_make(l, rows, c);
    struct shift_job shift;
    struct narrow_job narrow;

    report(l, "add_norm", rows, c, norm_run, &norm, rc * 4 * 4);
    shift = shift_make(l, rows, c, MIX_MAX, 1);
    report(l, "shift, 6 mixes", rows, c, shift_run, &shift,
           rc * (3 * 4 + 6 * each));
    shift = shift_make(l, rows, c, 1, 1);
    report(l, "shift, 1 mix", rows, c, shift_run, &shift, rc * (3 * 4 + each));
    narrow = narrow_make(l, rows, c, 1);
    report(l, "narrow", rows, c, narrow_run, &narrow, rc * (4 + each));
}

void kernels_rows(struct lab *l)
{
    norm_check(l);
    for (float spread = 1; spread < 1e7f; spread *= 1e3f) { /* beyond fp16 */
        shift_check(l, MIX_MAX, spread);
        shift_check(l, 1, spread);
        narrow_check(l, spread);
    }
    for (size_t i = 0; i < sizeof timed_rows / sizeof *timed_rows; i++)
        measure(l, timed_rows[i]);
}
