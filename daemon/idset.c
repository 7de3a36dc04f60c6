#include "daemon/idset.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define CAP_MIN 1024

/* The slot that holds `hash`, or the empty one where it belongs. */
static struct idset_slot *find(struct idset_slot *slot, size_t cap,
                               const uint64_t hash[2])
{
    size_t i = (size_t)hash[0] & (cap - 1);

    while (slot[i].line != 0
           && (slot[i].hash[0] != hash[0] || slot[i].hash[1] != hash[1]))
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

static void grow(struct idset *s)
{
    size_t cap = s->cap == 0 ? CAP_MIN : 2 * s->cap;
    struct idset_slot *slot = xcalloc(cap, sizeof *slot);

    for (size_t i = 0; i < s->cap; i++) {
        if (s->slot[i].line != 0)
            *find(slot, cap, s->slot[i].hash) = s->slot[i];
    }
    free(s->slot);
    s->slot = slot;
    s->cap = cap;
}

uint64_t idset_add(struct idset *s, const uint8_t hash[16], uint64_t line)
{
    struct idset_slot *slot;
    uint64_t key[2];

    if (4 * (s->n + 1) > 3 * s->cap)
        grow(s);
    memcpy(key, hash, sizeof key);
    slot = find(s->slot, s->cap, key);
    if (slot->line != 0)
        return slot->line;
    slot->hash[0] = key[0];
    slot->hash[1] = key[1];
    slot->line = line;
    s->n++;
    return 0;
}

void idset_free(struct idset *s)
{
    free(s->slot);
    *s = (struct idset){0};
}
