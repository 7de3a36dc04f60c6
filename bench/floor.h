/* bench/floor.h - OpenBLAS's sgemm, the CPU's time to compare with
 *
 * Used nowhere but in the benchmark: its results depend on the batch. Loaded
 * when it is first asked for, so that no build needs it.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stddef.h>

/* "OpenBLAS Haswell", or NULL on a host without it. Sets it to one thread. */
const char *floor_name(void);

/* y[m][n] = x[m][k] w[n][k]^T. Only where floor_name() is not NULL. */
void floor_sgemm(size_t m, size_t n, size_t k, const float *x, const float *w,
                 float *y);

#endif /* BENCH_FLOOR_H */
