/* worker/dispatch.h - which record goes to the ranks next
 *
 * Oldest shard first, in line order, as long as a rank has room. After a crash
 * the records that were on the device are suspects: each runs alone, nothing
 * beside it, before anything else. One that crashes the group twice that way is
 * answered with the error `worker_crash`; the others are proven innocent by
 * their answers. So a poison record costs a few restarts and no neighbour.
 */
#ifndef WORKER_DISPATCH_H
#define WORKER_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/ranks.h"
#include "worker/shard.h"

#define DISPATCH_CRASHES_MAX 2 /* alone */

struct dispatch {
    uint64_t *suspect; /* [n_suspect] record ids; the first runs or is next */
    size_t n_suspect;
    bool alone; /* the first one is with the ranks */
};

void dispatch_free(struct dispatch *d);

/* Give what there is room for. */
void dispatch_run(struct dispatch *d, struct shard *const *shard, size_t n,
                  struct ranks *ranks);

/* Would dispatch_run() give something now? */
bool dispatch_ready(const struct dispatch *d, struct shard *const *shard,
                    size_t n, const struct ranks *ranks);

/* The ranks answered this record. */
void dispatch_answered(struct dispatch *d, uint64_t id);

/* The group is lost; suspect[n] were on the device. Returns how many records
 * got the error worker_crash.
 */
size_t dispatch_lost(struct dispatch *d, struct shard *const *shard, size_t n,
                     const uint64_t *suspect, size_t n_suspect);

#endif /* WORKER_DISPATCH_H */
