/* model/history.h - the histories of the CPU backend's slots
 *
 * One number per token of the vocabulary, as model/draw.h packs it. Memory is
 * touched when a history is first used, not before.
 */
#ifndef MODEL_HISTORY_H
#define MODEL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/backend.h"

struct histories;

/* n of them, for V = vocab. histories_destroy() it. NULL: ERR_NOMEM. */
struct histories *histories_create(int32_t vocab, int32_t n, struct err *err);
void histories_destroy(struct histories *h); /* NULL is allowed */

void history_set(struct histories *h, int32_t index, const struct history *to);
void history_copy(struct histories *h, int32_t dst, int32_t src);
void history_count(struct histories *h, int32_t index, int32_t token);

/* Does a draw like `how` change any logit? Never where index is -1. */
bool history_matters(const struct histories *h, int32_t index,
                     const struct sample_row *how);

/* to[V] = from[V] after bias and penalties, rule 1 of model/sampler.h. Returns
 * the token of the largest, the lowest id among equals.
 */
int32_t history_apply(const struct histories *h, int32_t index,
                      const struct sample_row *how, const float *from,
                      float *to);

#endif /* MODEL_HISTORY_H */
