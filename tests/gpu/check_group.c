/* Products in groups: every tile, function and number of rows gives the bits of
 * kernel_product() and kernel_function(), and nothing beyond the buffer is
 * touched; the functions are the CPU's but for FUNCTION_ERROR.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/twins.h"
#include "cuda/cu.h"
#include "cuda/gemm.h"
#include "cuda/group.h"
#include "tests/gpu/suite.h"

#define ROWS 600
#define UNTOUCHED 0xa5
#define FUNCTION_ERROR 2e-6 /* relative, or absolute below 1 */

static const int rows_of[] = {1, 63, 64, 65, 127, 128, 129, ROWS};
static const int tile_width[GROUP_TILES] = {
    [GROUP_128X256] = 256, [GROUP_128X128] = 128, [GROUP_128X64] = 64,
    [GROUP_64X256] = 256,  [GROUP_64X128] = 128,  [GROUP_64X64] = 64,
};

/* kind: of kernel_product_fill(); with `large`, rows that fp16 cannot hold. */
static const struct {
    int n, k, kind;
    float large;
} shapes[] = {{96, 208, 0, 1}, {224, 1024, 1, 1}, {1056, 96, 0, 4000}};

static struct err err;
static const struct cpu_kernels *cpu;
static cudaStream_t stream;

#define DO(call) ck_assert_msg(CU(call, &err) == 0, "%s", err.text)

static void *device_memory(size_t bytes)
{
    void *p;

    DO(cudaMalloc(&p, bytes));
    DO(cudaMemsetAsync(p, 0, bytes, stream));
    return p;
}

static void *fetch(const void *device, size_t bytes)
{
    void *p = malloc(bytes);

    DO(cudaMemcpyAsync(p, device, bytes, cudaMemcpyDeviceToHost, stream));
    DO(cudaStreamSynchronize(stream));
    return p;
}

/* One product, its inputs, and what must come out of ROWS rows. */
struct trial {
    enum narrow_type type;
    size_t n, each; /* outputs of a row, bytes of one */
    bool narrow;
    float *w, *bias, *x_up;
    void *natural, *placed, *x;
    struct grouper grouper;
    struct group group;
    char *want;
    float *want_up;
};

/* Factors of rows, as scaled ones have. */
static float factor_of(size_t row)
{
    return row % 3 == 0 ? 1.0f : row % 3 == 1 ? 4.0f : 0.25f;
}

static void fill(struct trial *t, int n, int k, int kind, float large)
{
    const size_t un = (size_t)n, uk = (size_t)k;
    const size_t room = (size_t)gemm_capacity(ROWS);
    float *w, *up = calloc(room, sizeof *up);

    t->w = device_memory(un * uk * sizeof *t->w);
    t->bias = device_memory(un * sizeof *t->bias);
    t->natural = device_memory(un * uk * narrow_size(t->type));
    t->placed = device_memory(un * uk * narrow_size(t->type));
    t->x = device_memory(room * uk * narrow_size(t->type));
    DO(kernel_product_fill(NARROW_FP32, n, k, n, 7, kind, t->w, stream));
    DO(kernel_product_fill(NARROW_FP32, 1, n, 1, 8, 0, t->bias, stream));
    DO(kernel_product_fill(t->type, (int64_t)room, k, (int64_t)room, 9, kind,
                           t->x, stream));
    w = fetch(t->w, un * uk * sizeof *w);
    for (size_t i = 0; i < un * uk; i++)
        w[i] *= large;
    DO(cudaMemcpy(t->w, w, un * uk * sizeof *w, cudaMemcpyHostToDevice));
    free(w);
    t->x_up = device_memory(room * sizeof *up);
    for (size_t i = 0; i < room; i++)
        up[i] = factor_of(i);
    DO(cudaMemcpy(t->x_up, up, room * sizeof *up, cudaMemcpyHostToDevice));
    free(up);
}

static void place_weights(struct trial *t, enum group_op op, int n, int k)
{
    int32_t *overflow = device_memory(sizeof *overflow);

    DO(kernel_narrow_weights(0, n, k, k, t->w, GROUP_NATURAL, t->type,
                             t->natural, overflow, stream));
    DO(kernel_narrow_weights(0, n, k, k, t->w, op, t->type, t->placed, overflow,
                             stream));
    DO(cudaStreamSynchronize(stream));
    DO(cudaFree(overflow));
}

/* The functions of 16-bit groups, beside the CPU's, which become `exact`. */
static void compare_functions(enum group_op op, const float *bias, float *exact,
                              const float *got, size_t n)
{
    twin_group(cpu, op, bias, exact, n);
    for (size_t i = 0; i < n; i++) {
        double far = fabs((double)got[i] - (double)exact[i]);
        double size = fabs((double)exact[i]);

        if (!(far <= FUNCTION_ERROR * (size > 1 ? size : 1)))
            ck_abort_msg("op %d: %a, on the CPU %a", op, (double)got[i],
                         (double)exact[i]);
    }
}

static void expect(struct trial *t, enum group_op op, int n, int k)
{
    const size_t un = (size_t)n;
    float *z = device_memory(ROWS * un * sizeof *z), *row, *bias, *exact;

    DO(kernel_product(t->type, ROWS, n, k, t->natural, t->x, z, stream));
    exact = fetch(z, ROWS * un * sizeof *exact);
    for (size_t i = 0; i < ROWS * un; i++)
        exact[i] *= factor_of(i / un);
    DO(cudaMemcpyAsync(z, exact, ROWS * un * sizeof *exact,
                       cudaMemcpyHostToDevice, stream));
    DO(kernel_function(t->type, ROWS, n, op, t->bias, z, stream));
    row = fetch(z, ROWS * un * sizeof *row);
    bias = fetch(t->bias, un * sizeof *bias);
    t->want = calloc(ROWS * un, t->each);
    t->want_up = calloc(ROWS, sizeof *t->want_up);
    for (size_t i = 0; i < ROWS; i++) {
        char *to = t->want + i * un * t->each;

        compare_functions(op, bias, exact + i * un, row + i * un, un);
        if (t->narrow)
            t->want_up[i] = twin_narrow(t->type, row + i * un, un, to);
        else
            memcpy(to, row + i * un, un * t->each);
    }
    free(row);
    free(exact);
    free(bias);
    DO(cudaFree(z));
}

static void trial_begin(struct trial *t, enum narrow_type type,
                        enum group_op op, size_t shape)
{
    const int n = shapes[shape].n, k = shapes[shape].k;
    const size_t room = (size_t)gemm_capacity(ROWS);

    *t = (struct trial){.type = type,
                        .n = (size_t)n,
                        .narrow = op >= GROUP_COPY,
                        .each = op >= GROUP_COPY ? narrow_size(type) : 4};
    fill(t, n, k, shapes[shape].kind, shapes[shape].large);
    place_weights(t, op, n, k);
    expect(t, op, n, k);
    ck_assert_msg(grouper_init(&t->grouper, type, stream, &err) == 0, "%s",
                  err.text);
    ck_assert_msg(
        grouper_add(&t->grouper, &t->group,
                    &(struct group_item){
                        .x_at = t->x,
                        .w_at = t->placed,
                        .n = n,
                        .k = k,
                        .op = op,
                        .x_up = t->x_up,
                        .bias = t->bias,
                        .y = device_memory((room + 1) * t->n * t->each),
                        .y_up = device_memory(room * sizeof(float)),
                        .over = device_memory(room * sizeof(uint32_t)),
                    },
                    (int)room, &err)
            == 0,
        "%s", err.text);
}

static void trial_end(struct trial *t)
{
    const struct group_item *p = &t->group.item[0];

    DO(cudaFree(t->w));
    DO(cudaFree(t->bias));
    DO(cudaFree(t->x_up));
    DO(cudaFree(t->natural));
    DO(cudaFree(t->placed));
    DO(cudaFree(t->x));
    DO(cudaFree(p->y));
    DO(cudaFree(p->y_up));
    DO(cudaFree(p->over));
    free(t->want);
    free(t->want_up);
}

static void check_rows(const struct trial *t, enum group_tile tile, int rows)
{
    const struct group_item *p = &t->group.item[0];
    const size_t room = (size_t)gemm_capacity(ROWS), row = t->n * t->each;
    const size_t done = (size_t)rows * row;
    unsigned char *y;
    char what[96];

    snprintf(what, sizeof what, "type %d, op %d, tile %d, %d x %d x %d",
             t->type, p->op, tile, rows, p->n, p->k);
    DO(cudaMemsetAsync(p->y, UNTOUCHED, (room + 1) * row, stream));
    DO(cudaMemsetAsync(p->over, 0, room * sizeof(uint32_t), stream));
    DO(kernel_group(t->type, &t->group, rows, tile, t->grouper.multiprocessors,
                    stream));
    if (p->op == GROUP_RELU2 && t->type == NARROW_FP16)
        DO(kernel_refit_relu2(p, rows, stream));
    y = fetch(p->y, (room + 1) * row);
    ck_assert_msg(memcmp(y, t->want, done) == 0, "%s: other values", what);
    for (size_t i = room * row; i < (room + 1) * row; i++)
        if (y[i] != UNTOUCHED)
            ck_abort_msg("%s: memory behind the rows is touched", what);
    free(y);
    /* Only fp16 has factors other than 1; bf16's are nobody's to read. */
    if (t->narrow && t->type == NARROW_FP16) {
        float *up = fetch(p->y_up, (size_t)rows * sizeof *up);

        ck_assert_msg(memcmp(up, t->want_up, (size_t)rows * sizeof *up) == 0,
                      "%s: other factors", what);
        free(up);
    }
}

START_TEST(every_tile_has_the_bits_of_plain_products)
{
    const enum narrow_type type = (enum narrow_type)_i;
    int done = 0;

    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int op = GROUP_WIDE; op <= GROUP_RELU2; op++) {
            struct trial t;

            if (op == GROUP_COPY && shapes[s].n > 256)
                continue;
            trial_begin(&t, type, (enum group_op)op, s);
            for (int tile = 0; tile < GROUP_TILES; tile++) {
                if (op == GROUP_COPY && shapes[s].n > tile_width[tile])
                    continue;
                for (size_t r = 0; r < sizeof rows_of / sizeof *rows_of; r++) {
                    check_rows(&t, (enum group_tile)tile, rows_of[r]);
                    done++;
                }
            }
            trial_end(&t);
        }
    }
    printf("  %s: %d launches of groups\n",
           type == NARROW_FP16 ? "fp16" : "bf16", done);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("group");
    TCase *c = tcase_create("products");

    if (suite_without_gpu())
        return SUITE_SKIPPED;
    cpu = cpu_kernels(CPU_ISA_BEST, &err);
    if (cudaStreamCreate(&stream) != cudaSuccess)
        return 1;
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, every_tile_has_the_bits_of_plain_products,
                        NARROW_FP16, NARROW_BF16 + 1);
    return suite_run(s);
}
