/* Every kernel of the CUDA engine: first its values against a twin on the CPU,
 * to the bit, then its time beside the least that its memory traffic (at the
 * rate of a copy) or its arithmetic (at the rate of fused multiply-adds) allow.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/lab.h"
#include "bench/options.h"
#include "bench/shapes.h"
#include "common/buf.h"

static const struct {
    const char *name;
    void (*run)(struct lab *l);
} parts[] = {
    {"wkv7", kernels_wkv7},
    {"rows", kernels_rows},
    {"score", kernels_score},
    {"products", kernels_products},
};

#define PARTS (sizeof parts / sizeof *parts)

static int run_parts(struct lab *l, const char *only, struct err *err)
{
    bool found = false;

    for (size_t i = 0; i < PARTS; i++) {
        if (only != NULL && strcmp(only, parts[i].name) != 0)
            continue;
        found = true;
        parts[i].run(l);
    }
    if (!found)
        return err_set(err, ERR_USAGE,
                       "--only %s: wkv7, rows, score or products expected",
                       only);
    return 0;
}

static void print_table(const struct lab *l)
{
    printf("\n%-16s %-22s %10s %10s %7s\n", "kernel", "shape", "us", "bound us",
           "of it");
    for (int i = 0; i < l->n_results; i++)
        printf("%s\n", l->result[i]);
    printf("%s: copies %.0f GB/s, fp32 %.1f Tflop/s; %d of %d checks against "
           "twins failed\n",
           l->shape_name, l->copy_rate * 1e-9, l->fma_rate * 1e-12, l->failed,
           l->checks);
}

static int read_options(int argc, char **argv, struct lab *l, const char **only,
                        int *device, struct err *err)
{
    static const char *const types[] = {"fp16", "bf16", "fp32"};
    const char *shape = "1.5B", *compute = "fp16";
    int64_t number = 0;
    const struct bench_option option[] = {
        {.key = "--shape", .word = &shape},
        {.key = "--compute", .word = &compute},
        {.key = "--only", .word = only},
        {.key = "--device", .number = &number},
        {0},
    };
    const struct shape *s;

    if (bench_options(argc, argv, option, err) < 0)
        return -1;
    s = shape_find(shape, err);
    if (s == NULL)
        return -1;
    l->shape = &s->shape;
    l->shape_name = s->name;
    *device = (int)number;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i], compute) == 0) {
            l->type = (enum narrow_type)i;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "--compute: fp16, bf16 or fp32 expected");
}

int bench_kernels(int argc, char **argv, struct err *err)
{
    struct lab *l = xcalloc(1, sizeof *l);
    const char *only = NULL;
    int device, rc;

    rc = read_options(argc, argv, l, &only, &device, err);
    if (rc == 0) {
        lab_init(l, device);
        rc = run_parts(l, only, err);
        if (rc == 0)
            print_table(l);
        if (rc == 0 && l->failed > 0)
            rc = err_set(err, ERR_INTERNAL, "%d checks failed", l->failed);
        lab_finish(l);
    }
    free(l);
    return rc;
}
