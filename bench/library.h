/* bench/library.h - cublasLt and plain copies, to compare with
 *
 * Used nowhere but in the benchmark. Plans are free to do what the engine's may
 * not: every candidate of the library is tried and the fastest one counts, with
 * k split or not, so its bits depend on the number of rows.
 */
#ifndef BENCH_LIBRARY_H
#define BENCH_LIBRARY_H

#include <stdbool.h>

#include "common/err.h"
#include "cuda/kernels.h"

struct library;

/* On the current device. NULL: ERR_CUDA, ERR_NOMEM. */
struct library *library_create(struct err *err);
void library_destroy(struct library *l); /* NULL is allowed */

struct library_product {
    enum narrow_type type;
    int rows, n, k;
    bool narrow_out;   /* the result in 16 bit too */
    bool split_k;      /* false: only plans that do not reduce afterwards */
    bool sparse_input; /* nine in ten inputs are 0 (they cost less power) */
};

/* Seconds of y[rows][n] = x[rows][k] W[n][k]^T by the fastest plan. 0, or -1:
 * ERR_CUDA, ERR_NOMEM, ERR_INVALID (the library has no plan).
 */
int library_time(struct library *l, const struct library_product *p,
                 double *seconds, struct err *err);

/* Bytes read and written per second by the faster of two copies within the
 * device: the driver's and a kernel.
 */
int library_copy_rate(struct library *l, double *rate, struct err *err);

#endif /* BENCH_LIBRARY_H */
