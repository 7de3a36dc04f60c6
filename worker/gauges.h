/* worker/gauges.h - memory and utilisation of each device, for people
 *
 * GPUs are asked by a thread of their own, since a sick driver does not answer;
 * cpu ranks are looked at in /proc when read. Reading never blocks.
 */
#ifndef WORKER_GAUGES_H
#define WORKER_GAUGES_H

#include <stdint.h>
#include <sys/types.h>

#include "worker/devices.h"

struct gauges;

struct gauge {
    uint64_t memory_used;  /* bytes: of the GPU, or resident; 0: not known */
    uint64_t memory_total; /* of the GPU, else 0 */
    uint32_t utilisation;  /* percent: of the GPU, or of one core */
};

/* `d` stays. Always succeeds: what cannot be read is not known. */
struct gauges *gauges_open(const struct devices *d);
void gauges_close(struct gauges *g); /* NULL is allowed */

/* Device i, whose rank is process `pid` (0: none). */
void gauges_read(struct gauges *g, size_t i, pid_t pid, int64_t now_ms,
                 struct gauge *out);

#endif /* WORKER_GAUGES_H */
