#include "cuda/plan.h"

#include <inttypes.h>

#define MIB(bytes) (((bytes) + (1u << 20) - 1) >> 20)

size_t plan_bytes(const struct plan *p)
{
    size_t all = p->weights + p->state + p->scratch;

    return all > p->admit ? all : p->admit;
}

int plan_check(const struct plan *p, size_t available, int32_t slots,
               int32_t tokens_per_step, struct err *err)
{
    if (plan_bytes(p) <= available)
        return 0;
    return err_set(err, ERR_NOMEM,
                   "needs %zu MiB of device memory (weights %zu, %" PRId32
                   " slots %zu, a step of %" PRId32
                   " tokens %zu), has %zu MiB; lower tokens_per_step or slots",
                   MIB(plan_bytes(p)), MIB(p->weights), slots, MIB(p->state),
                   tokens_per_step, MIB(p->scratch), available >> 20);
}
