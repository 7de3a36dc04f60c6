/* model/sampler.h - from a row of logits to one token
 *
 * Pure: the token is a function of the logits and of `how`. The rules, in this
 * order, are the same for every backend:
 *
 *   1. temperature 0: the largest logit, the lowest id among equals.
 *   2. p_v = exp((logit_v - largest) * (1 / temperature)) in fp32; sums of p
 *      are fp64.
 *   3. With top_k (1..V-1) or top_p (below 1) the tokens are ordered by logit,
 *      largest first, lowest id first among equals. top_k keeps that many. Then
 *      top_p keeps the shortest beginning of what is left whose sum is at least
 *      top_p times the sum of all that is left.
 *   4. u in [0, 1) by philox_uniform(key, sample, position, 0). The token is
 *      the first, in that order (by id where nothing was cut), at which the
 *      running sum of p exceeds u times the sum of the kept.
 */
#ifndef MODEL_SAMPLER_H
#define MODEL_SAMPLER_H

#include <stdint.h>

#include "common/err.h"
#include "model/backend.h"
#include "model/cpu_kernels.h"

struct sampler; /* scratch memory for one draw at a time */

/* For V = vocab; sampler_destroy() it. NULL: ERR_NOMEM. */
struct sampler *sampler_create(int32_t vocab, const struct cpu_kernels *k,
                               struct err *err);
void sampler_destroy(struct sampler *s); /* NULL is allowed */

/* The logits are finite and valid up to cpu_pad(V). `largest` is the token of
 * rule 1.
 */
int32_t sampler_draw(struct sampler *s, const struct sample_row *how,
                     const float *logits, int32_t largest);

#endif /* MODEL_SAMPLER_H */
