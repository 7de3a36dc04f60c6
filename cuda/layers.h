/* cuda/layers.h - the layers of a model on a device: steps 1 to 18
 *
 * Straight through docs/model.md, all rows of a step together. Per layer:
 *
 *   shift      x += y; LN; token shift; six mixes, narrowed
 *   group      r, k, v and the first low-rank factors with their functions
 *   group      the second low-rank factors: decay, rate, gate of v, g
 *   wkv7       recurrence, GroupNorm, bonus, gate; y narrowed
 *   product    output
 *   shift      x += y; LN; token shift; one mix
 *   group      FFN key, relu^2, narrowed
 *   product    FFN value
 *
 * A product's result is added to x by the next shift, and by layers_run() after
 * the last layer. Owns the scratch memory of these and the tables of what each
 * layer launches.
 */
#ifndef CUDA_LAYERS_H
#define CUDA_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/arena.h"
#include "cuda/gemm.h"
#include "cuda/model.h"

struct layers;

/* A step as the device sees it; all pointers are device memory. */
struct layers_step {
    int rows, pieces;
    bool long_pieces;      /* some have more than one row */
    const int32_t *token;  /* [rows]; below zero: last[~token] */
    const int32_t *last;   /* [S] */
    const int32_t *begins; /* [rows] slot whose piece begins here, or -1 */
    const int32_t *ends;   /* [rows] slot whose piece ends here, or -1 */
    const struct cuda_piece *piece; /* [pieces] */
    float *state;                   /* [S][floats] */
    size_t floats;                  /* of a slot */
};

/* For steps of up to `rows` rows. split_max: struct wkv7. The model and the
 * products outlive it. Memory comes through layers_place(): once to count, once
 * to place; then layers_bind() makes the tables. NULL: ERR_NOMEM, ERR_CUDA.
 */
struct layers *layers_create(const struct cuda_model *m, struct gemm *gemm,
                             int rows, int split_max, cudaStream_t stream,
                             struct err *err);
void layers_place(struct layers *l, struct arena *arena);
int layers_bind(struct layers *l, struct err *err);
void layers_destroy(struct layers *l); /* NULL is allowed */

/* The shapes of its ordinary products; see gemm.h. */
int layers_admit(const struct layers *l, struct err *err);
size_t layers_admit_bytes(const struct layers *l);

/* From now on expect mixes that are too large for fp16: a state was loaded that
 * no LayerNorm made.
 */
void layers_expect_large(struct layers *l);
/* No value of a LayerNorm in front of a mix is larger. */
float layers_bound(const struct layers *l);

/* Enqueue the step. Its result is layers_output(): [rows][C], the input of the
 * head. 0, or -1: ERR_CUDA.
 */
int layers_run(struct layers *l, const struct layers_step *step,
               struct err *err);
float *layers_output(const struct layers *l);

#endif /* CUDA_LAYERS_H */
