/* cuda/arena.h - many arrays in one device allocation
 *
 * A layout is a function that takes its arrays from an arena. Run without
 * memory it only counts; run again with `base` of that size it fills the
 * pointers. So a plan and what is allocated cannot differ.
 */
#ifndef CUDA_ARENA_H
#define CUDA_ARENA_H

#include <stddef.h>

#define ARENA_ALIGN 256 /* what library plans are chosen for */

struct arena {
    char *base; /* device memory, or NULL: count */
    size_t used;
};

static inline void *arena_take(struct arena *a, size_t bytes)
{
    size_t at = a->used;

    a->used += (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    return a->base == NULL ? NULL : a->base + at;
}

#endif /* CUDA_ARENA_H */
