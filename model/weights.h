/* model/weights.h - a checkpoint's tensors, found, checked and named
 *
 * Opens safetensors (one file, or a directory with an index; FLA or BlinkDL
 * names, old x_x files too) and torch .pth, memory-mapped. Dimensions come from
 * tensor shapes, never from config files or formulas. Other architectures are
 * refused by name. Source: docs/model.md, "Tensors".
 *
 * All names here are BlinkDL's; matrices are given in the orientation that the
 * engine uses, [out, in], and `transposed` says that the stored bytes are
 * [in, out] (w1, w2, ... of BlinkDL files).
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"
#include "model/tensor.h"

#define WEIGHTS_LAYERS_MAX 256

/* A tensor of the model. tensor NULL: absent, where the comment allows it. */
struct weight {
    const struct tensor *tensor; /* as stored */
    int64_t rows, cols; /* [rows = out, cols = in]; vectors: rows = 1 */
    bool transposed;    /* stored as [cols, rows] */
    int64_t offset;     /* first element, into the stored tensor (rows
                                  * of an old x_x) */
};

struct weights_layer {
    struct weight ln1_w, ln1_b, ln2_w, ln2_b;     /* [C] */
    struct weight x_r, x_w, x_k, x_v, x_a, x_g;   /* [C] */
    struct weight w0, a0, v0;                     /* [C]; v0: n >= 1 */
    struct weight w1, a1, v1, g1;                 /* [R, C]; v1: n >= 1 */
    struct weight w2, a2, v2, g2;                 /* [C, R]; v2: n >= 1 */
    struct weight k_k, k_a;                       /* [C] */
    struct weight r_k;                            /* [H, N] */
    struct weight receptance, key, value, output; /* [C, C] */
    struct weight output_bias;                    /* [C], usually absent */
    struct weight ln_x_w, ln_x_b;                 /* [C] */
    struct weight ffn_x_k;                        /* [C] */
    struct weight ffn_key;                        /* [F, C] */
    struct weight ffn_value;                      /* [C, F] */
};

struct comm; /* common/comm.h */

struct weights {
    int32_t L, C, H, N, F, V;
    int32_t rank_w, rank_a, rank_v, rank_g; /* the largest over the layers */
    struct weight emb;                      /* [V, C] */
    struct weight ln0_w, ln0_b;             /* [C], absent without ln0 */
    struct weight ln_out_w, ln_out_b;       /* [C] */
    struct weight head;                     /* [V, C] */
    struct weight head_bias;                /* [V], usually absent */
    struct weights_layer *layer;            /* [L] */

    bool fla;                 /* FLA's names, else BlinkDL's */
    struct tensor_file *file; /* owns the mapping and the tensor list */
    const char **unused;      /* [n_unused] stored names nothing reads */
    size_t n_unused;

    /* The ranks that load the model together, or NULL: alone. Borrowed. Ranks
     * above 0 have weights_hear()'s weights and no values.
     */
    struct comm *comm;
    int64_t comm_timeout_ms; /* for rank 0 to have read them */
};

/* Open and check. Returns weights for weights_close(), or NULL: ERR_NOT_FOUND,
 * ERR_INVALID (text names file and tensor, what was found and expected),
 * ERR_LIMIT, ERR_IO.
 */
struct weights *weights_open(const char *path, struct err *err);

/* The same for tensors in memory; `f` belongs to the weights from now on, or is
 * closed on failure.
 */
struct weights *weights_bind(struct tensor_file *f, struct err *err);

void weights_close(struct weights *w); /* NULL is allowed */

/* Row-major fp32 [rows, cols] of a weight into out[rows * cols]: exact for
 * bf16, fp16, fp32; F64 rounds to nearest. The transposition is undone.
 */
void weight_read(const struct weight *w, float *out);

/* The same for rows first..first+n-1. */
void weight_read_rows(const struct weight *w, int64_t first, int64_t n,
                      float *out);

/* The same as fp64: exact for every dtype. */
void weight_read_rows_f64(const struct weight *w, int64_t first, int64_t n,
                          double *out);

/* The same rows as the file has them, one after another, and their dtype; or
 * NULL: they are stored in another order.
 */
const void *weight_stored_rows(const struct weight *w, int64_t first, int64_t n,
                               enum dtype *dtype);

bool weight_present(const struct weight *w);

/* BLAKE2b-256 over what a backend sees: for every used tensor, in the order of
 * the structs above, its BlinkDL name, shape and BLAKE2b-256 of its fp32 values.
 * Equal for equal models in different containers, names and dtypes.
 */
int weights_hash(const struct weights *w, uint8_t out[HASH_BYTES],
                 struct err *err);

#endif /* MODEL_WEIGHTS_H */
