/* model/cpu_model.h - a checkpoint as the CPU backend computes with it
 *
 * Everything fp32, in one allocation: matrices packed for sgemm, vectors as
 * they are, and the embedding after ln0 (a LayerNorm of single rows, so doing
 * it once changes no bit).
 */
#ifndef MODEL_CPU_MODEL_H
#define MODEL_CPU_MODEL_H

#include <stddef.h>

#include "common/err.h"
#include "model/cpu_kernels.h"
#include "model/weights.h"

struct cpu_layer {
    const float *ln1_w, *ln1_b, *ln2_w, *ln2_b;       /* [C] */
    const float *x_r, *x_w, *x_k, *x_v, *x_a, *x_g;   /* [C] */
    const float *w0, *a0, *v0;                        /* [C]; v0: layer >= 1 */
    const float *k_k, *k_a, *r_k;                     /* [C] */
    const float *ln_x_w, *ln_x_b;                     /* [C] */
    const float *output_bias;                         /* [C] or NULL */
    const float *ffn_x_k;                             /* [C] */
    struct cpu_matrix w1, a1, v1, g1;                 /* [R][C] */
    struct cpu_matrix w2, a2, v2, g2;                 /* [C][R] */
    struct cpu_matrix receptance, key, value, output; /* [C][C] */
    struct cpu_matrix ffn_key;                        /* [F][C] */
    struct cpu_matrix ffn_value;                      /* [C][F] */
};

struct cpu_model {
    size_t L, C, H, N, F, V, rank_max;
    const float *emb;                 /* [V][C] */
    const float *ln_out_w, *ln_out_b; /* [C] */
    struct cpu_matrix head;           /* [V][C] */
    const float *head_bias;           /* [cpu_pad(V)] or NULL */
    struct cpu_layer *layer;          /* [L] */

    float *memory; /* cpu_alloc() of `floats` */
    size_t floats;
};

/* Returns 0, or -1 with *m empty: ERR_INVALID (a shape these kernels cannot
 * compute), ERR_NOMEM. `w` is not needed afterwards.
 */
int cpu_model_init(struct cpu_model *m, const struct weights *w,
                   const struct cpu_kernels *k, struct err *err);
void cpu_model_finish(struct cpu_model *m);

/* Zeroed floats, 64-byte aligned, in huge pages where the host gives them.
 * NULL: ERR_NOMEM, with the bytes needed and available, before the host starts
 * to swap or to kill. `what` names them in the error.
 */
float *cpu_alloc(size_t floats, const char *what, struct err *err);
void cpu_free(float *p, size_t floats); /* NULL is allowed */

#endif /* MODEL_CPU_MODEL_H */
