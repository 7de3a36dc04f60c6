/* model/sampler.h - from a row of logits to one token
 *
 * Pure: the token is a function of the logits and of `how`, and of the slot's
 * history where it has one. The rules, in this order, are the same for every
 * backend; model/draw.h has their arithmetic.
 *
 *   1. Each logit, with a history: the bias is added; that of a token in the
 *      prompt or generated is divided by repetition_penalty where positive,
 *      else multiplied by it; that of a token generated n > 0 times loses
 *      frequency_penalty * n, then presence_penalty.
 *   2. temperature 0: the largest logit, the lowest id among equals.
 *   3. p_v = exp((logit_v - largest) * (1 / temperature)) in fp32; the token
 *      weighs p_v * 2^39, cut to a whole number.
 *   4. The tokens are ordered by logit, largest first, lowest id first among
 *      equals. top_k keeps that many. Of these, ones with p_v below min_p weigh
 *      nothing. Then top_p keeps the shortest beginning of what is left that
 *      has top_p of its weight.
 *   5. A whole number below the weight of the kept from 64 random bits, word
 *      (key, sample, position, 0) of Philox. The token is the first, by id, at
 *      which the running weight of the kept exceeds it.
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

/* Rules 2 to 5, for logits after rule 1 (history_apply()): finite, and valid up
 * to cpu_pad(V). `largest` is the token of rule 2.
 */
int32_t sampler_draw(struct sampler *s, const struct sample_row *how,
                     const float *logits, int32_t largest);

#endif /* MODEL_SAMPLER_H */
