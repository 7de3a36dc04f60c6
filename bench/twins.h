/* bench/twins.h - what the CPU makes of the values that a GPU kernel gets
 *
 * In host memory. Used by skein-bench kernels and by tests/gpu.
 */
#ifndef BENCH_TWINS_H
#define BENCH_TWINS_H

#include <stddef.h>

#include "cuda/group.h"
#include "cuda/kernels.h"
#include "model/cpu_kernels.h"

/* What a row is narrowed to, by the rule of cuda/narrow.cuh, into `out` [n] of
 * the type; returns its factor.
 */
float twin_narrow(enum narrow_type type, const float *x, size_t n, void *out);

/* A row of products z [n] becomes what a group makes of it before it is
 * narrowed. n is a multiple of 16.
 */
void twin_group(const struct cpu_kernels *cpu, enum group_op op,
                const float *bias, float *z, size_t n);

#endif /* BENCH_TWINS_H */
