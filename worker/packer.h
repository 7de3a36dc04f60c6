/* worker/packer.h - which sequences, how many tokens each, in the next step
 *
 * Pure. A step has room for `rows` tokens. Generating sequences come first, one
 * token each: their latency is a step. What is left is shared evenly among the
 * sequences still reading their text, in pieces of at least PACKER_PIECE tokens
 * where there are that many, so that a long document neither waits for the
 * short ones nor makes them wait. Places are visited round robin from where the
 * last step ran out of room: of n sequences nobody waits longer than n steps.
 *
 * The plan affects speed only: results do not depend on it (DESIGN 8.4).
 */
#ifndef WORKER_PACKER_H
#define WORKER_PACKER_H

#include <stdbool.h>
#include <stdint.h>

#define PACKER_PIECE 32 /* shorter pieces cost more per token than they gain */

struct packer {
    int32_t decode_at; /* place to begin with */
    int32_t read_at;
};

/* What place i (a state slot) has to feed. */
struct packer_place {
    int32_t left;  /* tokens; 0: the place is empty or has nothing to feed */
    bool decoding; /* its one token is sampled by the step before */
};

/* Decide how many tokens of each place to feed: take[n], sum <= rows. Returns
 * the sum, 0 only when nobody has anything to feed.
 */
int32_t packer_plan(struct packer *p, const struct packer_place *place,
                    int32_t n, int32_t rows, int32_t *take);

#endif /* WORKER_PACKER_H */
