/* bench/bench.h - parts of skein-bench */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "common/err.h"

/* Each prints a table and returns 0, or -1. */
int bench_cpu(int argc, char **argv, struct err *err);
int bench_engine(int argc, char **argv, struct err *err);
int bench_kernels(int argc, char **argv, struct err *err);
int bench_logprobs(int argc, char **argv, struct err *err);
int bench_make_model(int argc, char **argv, struct err *err);
int bench_null(int argc, char **argv, struct err *err);

/* CPU time of this thread in seconds: what others on the host use does not
 * count, apart from shared caches and clock.
 */
double bench_seconds(void);

double bench_now(void); /* wall clock, in seconds */

/* Sorts. n >= 1. */
double bench_median(double *x, int n);

#endif /* BENCH_BENCH_H */
