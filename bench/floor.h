/* bench/floor.h - a BLAS library's sgemm, the time to compare with
 *
 * Used nowhere but in the benchmark: its results depend on the batch.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stddef.h>

/* "OpenBLAS Haswell", or NULL in a build without one. Sets it to one thread. */
const char *floor_name(void);

/* y[m][n] = x[m][k] w[n][k]^T */
void floor_sgemm(size_t m, size_t n, size_t k, const float *x, const float *w,
                 float *y);

#endif /* BENCH_FLOOR_H */
