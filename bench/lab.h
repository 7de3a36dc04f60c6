/* bench/lab.h - what skein-bench kernels has for every kernel: device arrays of
 * random values, comparison with a twin on the CPU, time beside a bound
 *
 * A CUDA error ends the program: a benchmark has nothing to save.
 */
#ifndef BENCH_LAB_H
#define BENCH_LAB_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/library.h"
#include "bench/stopwatch.h"
#include "cuda/kernels.h"
#include "model/cpu_kernels.h"
#include "model/weights_random.h"

#define LAB_ARRAYS_MAX 64
#define LAB_RESULTS_MAX 512

struct lab {
    cudaStream_t stream;
    struct stopwatch watch;
    struct library *library;
    const struct cpu_kernels *cpu;
    const struct weights_shape *shape; /* whose sizes are timed */
    const char *shape_name;
    enum narrow_type type;
    int multiprocessors;
    double copy_rate; /* bytes per second, read and written */
    double fma_rate;  /* flops per second */

    void *array[LAB_ARRAYS_MAX];
    int n_arrays;
    uint64_t key;
    char result[LAB_RESULTS_MAX][112]; /* lines of the table */
    int n_results, checks, failed;
    struct {
        int rows, n, k;
        double seconds;
    } library_time[LAB_RESULTS_MAX];
    int n_library;
};

void lab_init(struct lab *l, int device);
void lab_finish(struct lab *l);

/* Device arrays, valid until lab_release(). */
float *lab_floats(struct lab *l, size_t n, float mean, float spread);
void *lab_narrow(struct lab *l, size_t n, float spread); /* of the type */
void *lab_bytes(struct lab *l, size_t bytes);            /* zero */
void lab_release(struct lab *l);

/* Copies in host memory, for free(). */
void *lab_fetch(struct lab *l, const void *device, size_t bytes);
float *lab_fetch_floats(struct lab *l, const float *device, size_t n);
void lab_send(struct lab *l, void *device, const void *host, size_t bytes);

void lab_must(struct lab *l, cudaError_t rc, const char *what);

/* Are all bytes equal? Prints a line, and counts. */
void lab_check_bits(struct lab *l, const char *what, const void *got,
                    const void *want, size_t bytes);
/* The same for device memory; frees nothing. */
void lab_check_device(struct lab *l, const char *what, const char *part,
                      const void *device, const void *want, size_t bytes);
void lab_check(struct lab *l, const char *what, bool good);

/* Seconds of one call; `enqueue` returns a launcher's status. */
double lab_time(struct lab *l, cudaError_t (*enqueue)(void *), void *context);

/* One JSON line and one of the table: the kernel, its shape, its seconds and
 * the least seconds that its bytes or flops allow; `unit`, or NULL, is one more
 * figure by which people know it.
 */
void lab_report(struct lab *l, const char *kernel, const char *shape,
                double seconds, double bound, double figure, const char *unit);

static inline double lab_bytes_bound(const struct lab *l, double bytes)
{
    return bytes / l->copy_rate;
}

/* Seconds of y[rows][n] = x[rows][k] W^T by the library's fastest plan,
 * whatever its bits, fp32 results; each product is timed once.
 */
double lab_library(struct lab *l, int rows, int n, int k);

/* The parts of skein-bench kernels. */
void kernels_products(struct lab *l);
void kernels_rows(struct lab *l);
void kernels_score(struct lab *l);
void kernels_wkv7(struct lab *l);

#endif /* BENCH_LAB_H */
