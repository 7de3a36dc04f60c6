#include "bench/lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/device.h"
#include "common/buf.h"

#define BUDGET_SECONDS 0.02

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "skein-bench: %s: %s\n", what, why);
    exit(ERR_CUDA);
}

void lab_must(struct lab *l, cudaError_t rc, const char *what)
{
    (void)l;
    if (rc != cudaSuccess)
        die(what, cudaGetErrorString(rc));
}

static cudaError_t fma_run(void *context)
{
    struct lab *l = context;

    return kernel_fma(l->array[0], l->stream);
}

void lab_init(struct lab *l, int device)
{
    struct err err = {0};

    lab_must(l, cudaSetDevice(device), "cudaSetDevice");
    lab_must(l, cudaStreamCreate(&l->stream), "cudaStreamCreate");
    lab_must(l,
             cudaDeviceGetAttribute(&l->multiprocessors,
                                    cudaDevAttrMultiProcessorCount, device),
             "cudaDeviceGetAttribute");
    l->cpu = cpu_kernels(CPU_ISA_BEST, &err);
    l->library = library_create(&err);
    if (l->library == NULL || stopwatch_init(&l->watch, l->stream, &err) < 0
        || library_copy_rate(l->library, &l->copy_rate, &err) < 0)
        die("start", err.text);
    lab_bytes(l, 256);
    l->fma_rate = FMA_FLOPS / lab_time(l, fma_run, l);
    lab_release(l);
}

void lab_finish(struct lab *l)
{
    lab_release(l);
    stopwatch_finish(&l->watch);
    library_destroy(l->library);
    (void)cudaStreamDestroy(l->stream);
}

/* ---- arrays -------------------------------------------------------------- */

static void *take(struct lab *l, size_t bytes)
{
    void *p;

    if (l->n_arrays == LAB_ARRAYS_MAX)
        die("arrays", "too many");
    lab_must(l, cudaMalloc(&p, bytes), "cudaMalloc");
    l->array[l->n_arrays++] = p;
    return p;
}

float *lab_floats(struct lab *l, size_t n, float mean, float spread)
{
    const struct fill f = {.values = {++l->key << 40, mean, spread}};
    float *p = take(l, n * sizeof *p);

    lab_must(l, kernel_fill(&f, FILL_F32, 0, (int64_t)n, p, l->stream), "fill");
    return p;
}

void *lab_narrow(struct lab *l, size_t n, float spread)
{
    static const enum fill_type types[] = {[NARROW_FP16] = FILL_F16,
                                           [NARROW_BF16] = FILL_BF16,
                                           [NARROW_FP32] = FILL_F32};
    const struct fill f = {.values = {++l->key << 40, 0, spread}};
    void *p = take(l, n * narrow_size(l->type));

    lab_must(l, kernel_fill(&f, types[l->type], 0, (int64_t)n, p, l->stream),
             "fill");
    return p;
}

void *lab_bytes(struct lab *l, size_t bytes)
{
    void *p = take(l, bytes);

    lab_must(l, cudaMemsetAsync(p, 0, bytes, l->stream), "cudaMemset");
    return p;
}

void lab_release(struct lab *l)
{
    lab_must(l, cudaStreamSynchronize(l->stream), "cudaStreamSynchronize");
    while (l->n_arrays > 0)
        (void)cudaFree(l->array[--l->n_arrays]);
}

void *lab_fetch(struct lab *l, const void *device, size_t bytes)
{
    void *p = xcalloc(1, bytes);

    lab_must(
        l, cudaMemcpyAsync(p, device, bytes, cudaMemcpyDeviceToHost, l->stream),
        "cudaMemcpy");
    lab_must(l, cudaStreamSynchronize(l->stream), "cudaStreamSynchronize");
    return p;
}

float *lab_fetch_floats(struct lab *l, const float *device, size_t n)
{
    return lab_fetch(l, device, n * sizeof(float));
}

void lab_send(struct lab *l, void *device, const void *host, size_t bytes)
{
    lab_must(
        l,
        cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, l->stream),
        "cudaMemcpy");
    lab_must(l, cudaStreamSynchronize(l->stream), "cudaStreamSynchronize");
}

/* ---- twins --------------------------------------------------------------- */

void lab_check(struct lab *l, const char *what, bool good)
{
    l->checks++;
    l->failed += !good;
    if (!good)
        printf("FAIL %s\n", what);
}

void lab_check_bits(struct lab *l, const char *what, const void *got,
                    const void *want, size_t bytes)
{
    const unsigned char *a = got, *b = want;
    size_t at = 0;

    while (at < bytes && a[at] == b[at])
        at++;
    lab_check(l, what, at == bytes);
    if (at < bytes)
        printf("     first difference at byte %zu of %zu\n", at, bytes);
}

void lab_check_device(struct lab *l, const char *what, const char *part,
                      const void *device, const void *want, size_t bytes)
{
    void *got = lab_fetch(l, device, bytes);
    char name[128];

    snprintf(name, sizeof name, "%s: %s", what, part);
    lab_check_bits(l, name, got, want, bytes);
    free(got);
}

/* ---- time ---------------------------------------------------------------- */

struct timed {
    cudaError_t (*enqueue)(void *);
    void *context;
};

static int run_timed(void *context, struct err *err)
{
    const struct timed *t = context;
    cudaError_t rc = t->enqueue(t->context);

    if (rc == cudaSuccess)
        return 0;
    return err_set(err, ERR_CUDA, "%s", cudaGetErrorString(rc));
}

double lab_time(struct lab *l, cudaError_t (*enqueue)(void *), void *context)
{
    struct timed t = {enqueue, context};
    struct err err = {0};
    double seconds;

    if (stopwatch_time(&l->watch, run_timed, &t, BUDGET_SECONDS, &seconds, &err)
        < 0)
        die("a kernel", err.text);
    return seconds;
}

double lab_library(struct lab *l, int rows, int n, int k)
{
    const struct library_product p = {
        .type = l->type, .rows = rows, .n = n, .k = k, .split_k = true};
    struct err err = {0};
    double seconds;

    for (int i = 0; i < l->n_library; i++)
        if (l->library_time[i].rows == rows && l->library_time[i].n == n
            && l->library_time[i].k == k)
            return l->library_time[i].seconds;
    if (library_time(l->library, &p, &seconds, &err) < 0)
        die("a library product", err.text);
    if (l->n_library == LAB_RESULTS_MAX)
        return seconds;
    l->library_time[l->n_library].rows = rows;
    l->library_time[l->n_library].n = n;
    l->library_time[l->n_library].k = k;
    l->library_time[l->n_library++].seconds = seconds;
    return seconds;
}

void lab_report(struct lab *l, const char *kernel, const char *shape,
                double seconds, double bound, double figure, const char *unit)
{
    char more[48] = "";

    printf("{\"bench\":\"kernels\",\"model\":\"%s\",\"kernel\":\"%s\","
           "\"shape\":\"%s\",\"us\":%.3f,\"bound_us\":%.3f,\"of_bound\":%.3f",
           l->shape_name, kernel, shape, seconds * 1e6, bound * 1e6,
           bound / seconds);
    if (unit != NULL) {
        printf(",\"figure\":%.3f,\"unit\":\"%s\"", figure, unit);
        snprintf(more, sizeof more, "%10.2f %s", figure, unit);
    }
    printf("}\n");
    fflush(stdout);
    if (l->n_results < LAB_RESULTS_MAX)
        snprintf(l->result[l->n_results++], sizeof *l->result,
                 "%-16s %-22s %10.2f %10.2f %5.0f %% %s", kernel, shape,
                 seconds * 1e6, bound * 1e6, 100 * bound / seconds, more);
}
