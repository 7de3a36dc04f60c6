/* daemon/idset.h - which ids a submission has had, and on which line
 *
 * Open addressing over 128-bit keyed hashes (record_id_hash): 24 bytes a slot,
 * at most 3/4 full, so 32 to 64 bytes an id. Pure.
 */
#ifndef DAEMON_IDSET_H
#define DAEMON_IDSET_H

#include <stddef.h>
#include <stdint.h>

struct idset_slot {
    uint64_t hash[2];
    uint64_t line; /* 0: empty */
};

struct idset {
    struct idset_slot *slot; /* [cap] */
    size_t cap;              /* power of two, or 0 */
    size_t n;
};

/* Add an id first seen on `line` (>= 1). Returns 0; or, when it is there
 * already, the line it was first seen on.
 */
uint64_t idset_add(struct idset *s, const uint8_t hash[16], uint64_t line);

void idset_free(struct idset *s);

#endif /* DAEMON_IDSET_H */
