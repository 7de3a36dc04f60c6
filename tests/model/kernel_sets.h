/* tests/model/kernel_sets.h - the instruction sets that this host can run */
#ifndef TESTS_MODEL_KERNEL_SETS_H
#define TESTS_MODEL_KERNEL_SETS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cpu_kernels.h"

#define KERNEL_SETS_MAX 3

/* The portable one first; says which are missing. */
static inline int kernel_sets(const struct cpu_kernels *set[KERNEL_SETS_MAX])
{
    struct err err;
    int n = 0;

    for (int isa = CPU_ISA_SCALAR; isa > CPU_ISA_BEST; isa--) {
        set[n] = cpu_kernels((enum cpu_isa)isa, &err);
        if (set[n] != NULL)
            n++;
        else
            printf("SKIP %s\n", err.text);
    }
    return n;
}

/* Equal bits; any NaN equals any other. */
static inline bool same_bits(float a, float b)
{
    uint32_t x, y;

    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y || (isnan(a) && isnan(b));
}

static inline float random_float(uint64_t *state, float spread)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return spread * ((float)(*state >> 40) * 0x1p-23f - 1.0f);
}

static inline size_t random_below(uint64_t *state, size_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((*state >> 33) % n);
}

/* Zeroed memory until release_all(), which a test's teardown calls. */
static void *held[1024];
static size_t n_held;

static inline void *hold(size_t n, size_t size)
{
    if (n_held == sizeof held / sizeof *held)
        abort();
    return held[n_held++] = calloc(n, size);
}

static inline void release_all(void)
{
    while (n_held > 0)
        free(held[--n_held]);
}

static inline float *random_floats(uint64_t *state, size_t n, float spread)
{
    float *x = hold(n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = random_float(state, spread);
    return x;
}

#endif /* TESTS_MODEL_KERNEL_SETS_H */
