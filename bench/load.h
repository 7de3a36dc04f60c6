/* bench/load.h - a batch of sequences as steps of a backend, ready to run
 *
 * Sequences are fed in order, each step filled to its last row, as the worker's
 * packer does for a full queue; one that does not fit goes on in the next step.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

#include "model/backend.h"

struct load_sequence {
    int32_t n;            /* tokens fed, >= 1 */
    const int32_t *token; /* [n + 1]: the last one is only a target */
};

struct load {
    struct step *step; /* [n] */
    int n;
    const int32_t **reset; /* [n] slots that begin a sequence in this step */
    int32_t *n_reset;      /* [n] */
    int64_t rows, scored;  /* of all steps */
    struct score_out *out; /* [scored] in the order of sequences and rows */

    /* What the steps point into */
    struct piece *piece;
    struct score_row *score;
    int32_t *slots;
};

/* Score the last `tail` rows of each sequence (0: all). The tokens are
 * borrowed. Sequence i uses slot i % slots.
 */
void load_init(struct load *l, const struct load_sequence *s, int32_t n,
               int32_t tail, int32_t rows_per_step, int32_t slots);
void load_finish(struct load *l);

/* Run all steps `times` over, two in flight, and wait for the last. -1: errors
 * of the backend.
 */
int load_run(const struct load *l, struct backend *b, int times,
             struct err *err);

/* `n` sequences of `length` tokens, or with lengths of a natural mix: a
 * log-normal distribution of mean LOAD_MIX_MEAN and sigma LOAD_MIX_SIGMA, cut
 * to 8..LOAD_MIX_MAX, like the contexts of lambada. All of a seed; for free().
 */
#define LOAD_MIX_MEAN 85.0
#define LOAD_MIX_SIGMA 0.35
#define LOAD_MIX_MAX 512
struct load_sequence *load_equal(int32_t n, int32_t length, int32_t vocab,
                                 uint64_t seed);
struct load_sequence *load_mix(int32_t n, int32_t vocab, uint64_t seed);

#endif /* BENCH_LOAD_H */
