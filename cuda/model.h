/* cuda/model.h - a checkpoint as the CUDA backend computes with it
 *
 * In device memory, one allocation: matrices in the type of the products,
 * padded with zeros to multiples of 32, their rows in the order that their
 * products read (cuda/group.h); vectors in fp32; the embedding in fp32,
 * after ln0 (a LayerNorm of single rows, so doing it once changes no bit).
 */
#ifndef CUDA_MODEL_H
#define CUDA_MODEL_H

#include "common/err.h"
#include "cuda/gemm.h"
#include "cuda/group.h"
#include "cuda/kernels.h"
#include "model/weights.h"

struct cuda_layer {
    const float *ln1_w, *ln1_b, *ln2_w, *ln2_b;        /* [C] */
    const float *x_r, *x_w, *x_k, *x_v, *x_a, *x_g;    /* [C] */
    const float *w0, *a0, *v0;                         /* [C]; v0: layer >= 1 */
    const float *k_k, *k_a, *r_k;                      /* [C] */
    const float *ln_x_w, *ln_x_b;                      /* [C] */
    const float *output_bias;                          /* [C] or NULL */
    const float *ffn_x_k;                              /* [C] */
    struct cuda_matrix w1, a1, v1, g1;                 /* [R][C] */
    struct cuda_matrix w2, a2, v2, g2;                 /* [C][R] */
    struct cuda_matrix receptance, key, value, output; /* [C][C] */
    struct cuda_matrix ffn_key;                        /* [F][C] */
    struct cuda_matrix ffn_value;                      /* [C][F] */
};

struct cuda_model {
    int L, C, H, N, F, V; /* F padded; V as in the checkpoint */
    int rank_max;         /* padded */
    enum narrow_type type;
    float *emb;                       /* [V][C] */
    const float *ln_out_w, *ln_out_b; /* [C] */
    struct cuda_matrix head;          /* [padded V][C] */
    const float *head_bias;           /* [V] or NULL */
    struct cuda_layer *layer;         /* [L], in host memory */
    /* The largest magnitudes of ln1 and ln2 and of the mixes' factors. */
    float norm_weight_max, norm_bias_max, mix_max;

    void *memory;
    size_t bytes;
};

static inline int cuda_pad(int64_t n)
{
    return (int)((n + 31) / 32 * 32);
}

/* Shapes and sizes, and the bytes that loading will take, from `w`: no device
 * memory yet. -1 with *m empty: ERR_INVALID (a shape these kernels cannot
 * compute), ERR_NOMEM.
 */
int cuda_model_plan(struct cuda_model *m, const struct weights *w,
                    enum narrow_type type, struct err *err);

/* Fill it: from the files, or, where the weights have a communicator, on rank 0
 * from the files and then everywhere from rank 0's device. As stored the values
 * travel to the device and are converted there. -1: as comm_broadcast(), ERR_CUDA, ERR_NOMEM, ERR_INVALID (weights beyond fp16). */
int cuda_model_load(struct cuda_model *m, const struct weights *w,
                    cudaStream_t stream, struct err *err);

void cuda_model_finish(struct cuda_model *m);

#endif /* CUDA_MODEL_H */
