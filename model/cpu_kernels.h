/* model/cpu_kernels.h - the arithmetic of the CPU backend, one table per
 * instruction set
 *
 * Every table computes the same bits: the kernels are written once, over
 * sixteen lanes (cpu_vec.h), and compiled three times. A row's result depends
 * on that row alone, so rows may be cut and grouped in any way.
 *
 * Matrices of rows are row-major with a stride `ld` in floats. Columns are
 * whole groups of 16 lanes; where a size is not a multiple of 16 the caller's
 * buffers and weights are padded (cpu_pad). Pointers need no alignment.
 *
 *   M rows   C channels   H heads of N values, C = H * N, N multiple of 16
 */
#ifndef MODEL_CPU_KERNELS_H
#define MODEL_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define CPU_LANES 16

enum cpu_isa {
    CPU_ISA_BEST, /* the widest that this host has */
    CPU_ISA_512,
    CPU_ISA_256,
    CPU_ISA_SCALAR,
};

/* Rows of activations. */
struct cpu_rows {
    float *at;
    size_t ld; /* floats from one row to the next */
};

/* A weight matrix W[n][k], packed for sgemm: panels of 16 outputs, each
 * [k][16], the last one padded with zero outputs.
 */
struct cpu_matrix {
    const float *panel;
    size_t n, k;
};

/* Step 13 of the model for one head: T tokens of one sequence. The vectors hold
 * the head's N values of the first token; the next token is ld floats on.
 */
struct cpu_wkv {
    size_t n, tokens, ld;
    const float *r, *w, *k, *v;
    const float *a; /* -kk */
    const float *b; /* kk * (in-context learning rate) */
    float *y;
    float *state; /* [N key][N value]: the transpose of the public layout */
};

/* Steps 11 and 12: k becomes the updated key, a becomes kk * a. */
struct cpu_keys {
    size_t rows, heads, n, ld;
    const float *k_k, *k_a; /* [C] */
    float *k, *a;
    float *neg_kk; /* out */
};

/* Steps 14, 15 and the gate of 16: y becomes (GN(y) + beta v) g. */
struct cpu_mixout {
    size_t rows, heads, n, ld;
    const float *r, *k, *v, *g;
    const float *r_k, *weight, *bias; /* [C] */
    float *y;
};

struct cpu_softmax {
    float max, sum; /* sum of exp(x - max) */
    bool finite;    /* all x are */
};

struct cpu_kernels {
    const char *name; /* "avx512", "avx2", "portable" */

    /* y[m][pad16(count)] = x[m][k] W^T for outputs first..first+count-1 of W;
     * first is a multiple of 16. One FMA chain per output, k ascending from 0.
     */
    void (*sgemm)(size_t m, const struct cpu_matrix *w, size_t first,
                  size_t count, struct cpu_rows x, struct cpu_rows y);

    /* y = (x - mean) / sqrt(var + 1e-5) * weight + bias; y may be x. */
    void (*layer_norm)(size_t m, size_t c, struct cpu_rows x,
                       const float *weight, const float *bias,
                       struct cpu_rows y);

    /* d = *before[i] - h for row i. */
    void (*shift)(size_t m, size_t c, struct cpu_rows h,
                  const float *const *before, struct cpu_rows d);
    /* y = h + d * mix */
    void (*mix)(size_t m, size_t c, struct cpu_rows h, struct cpu_rows d,
                const float *mix, struct cpu_rows y);
    /* x += y (+ bias, unless NULL) */
    void (*add)(size_t m, size_t c, struct cpu_rows x, struct cpu_rows y,
                const float *bias);
    void (*tanh)(size_t m, size_t c, struct cpu_rows x);
    void (*sigmoid)(size_t m, size_t c, struct cpu_rows x, const float *bias);
    /* x = exp(-exp(-1/2) sigmoid(bias + x)) */
    void (*decay)(size_t m, size_t c, struct cpu_rows x, const float *bias);
    void (*relu_square)(size_t m, size_t c, struct cpu_rows x);
    /* v += (first - v) * sigmoid(bias + x) */
    void (*value_residual)(size_t m, size_t c, struct cpu_rows v,
                           struct cpu_rows first, struct cpu_rows x,
                           const float *bias);

    void (*keys)(const struct cpu_keys *a);
    void (*wkv)(const struct cpu_wkv *a);
    void (*mixout)(const struct cpu_mixout *a);

    /* Of x[n], n a multiple of 16. */
    struct cpu_softmax (*softmax)(size_t n, const float *x);
    /* y = exp(scale * (x - shift)), 16 lanes at a time; y may be x. */
    void (*exp)(size_t n, const float *x, float shift, float scale, float *y);
    float (*log)(float x);
};

static inline size_t cpu_pad(size_t n)
{
    return (n + CPU_LANES - 1) / CPU_LANES * CPU_LANES;
}

/* The table of an instruction set, or NULL: ERR_INVALID when this host or this
 * build does not have it. CPU_ISA_BEST and CPU_ISA_SCALAR never fail.
 */
const struct cpu_kernels *cpu_kernels(enum cpu_isa isa, struct err *err);

/* Words for backend_option, in the order of the enum. */
extern const char *const cpu_isa_words[];

/* Floats of a packed [n][k] matrix, and the packing of rows first..first+15
 * (those below n) into its panel. `row` holds them row-major, [..][k].
 */
size_t cpu_matrix_floats(size_t n, size_t k);
void cpu_pack_panel(size_t n, size_t k, size_t first, const float *row,
                    float *panel);

#endif /* MODEL_CPU_KERNELS_H */
