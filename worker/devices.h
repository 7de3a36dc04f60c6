/* worker/devices.h - from the list of devices asked for to one engine per rank
 */
#ifndef WORKER_DEVICES_H
#define WORKER_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "cuda/devices.h"
#include "worker/config.h"
#include "worker/ranks.h"

struct devices {
    const char *engine[64];     /* [n] "cpu", "null", "cuda:0"; DEVICES_MAX */
    struct cuda_device gpu[64]; /* [n] zeros where it is none */
    size_t n;
    int32_t tokens_per_step;
    int32_t slots;
    int64_t stall_ms;
    enum ranks_comm comm;
};

/* Resolve `auto`, refuse what does not exist, and choose what the configuration
 * leaves to the device. -1: ERR_CONFIG.
 */
int devices_resolve(const struct config *c, struct devices *out,
                    struct err *err);

#endif /* WORKER_DEVICES_H */
