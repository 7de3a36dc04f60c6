/* cuda/plan.h - what a backend will take of a device's memory
 *
 * Pure. Checked before the first allocation, so a model that does not fit is
 * refused at once, with what would make it fit.
 */
#ifndef CUDA_PLAN_H
#define CUDA_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct plan {
    size_t weights;
    size_t state;   /* of all slots */
    size_t scratch; /* of one step, the head's included */
    size_t admit;   /* while library plans are checked; before the rest */
};

/* The most that is allocated at one time. */
size_t plan_bytes(const struct plan *p);

/* 0, or -1: ERR_NOMEM, text "needs ..., has ...; lower tokens_per_step or
 * slots".
 */
int plan_check(const struct plan *p, size_t available, int32_t slots,
               int32_t tokens_per_step, struct err *err);

#endif /* CUDA_PLAN_H */
