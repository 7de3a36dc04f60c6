/* common/extsort.h - sort more items than memory should hold
 *
 * Items collect in memory; a full memory is sorted and written as a run to a
 * file without a name in `dir`, so nothing is left behind however the process
 * ends. EXTSORT_FAN runs of one level are merged into one of the next: any
 * number of items needs the memory of `run_items` and of EXTSORT_FAN blocks a
 * level. What fits in memory never touches the disk.
 *
 * Written blocks carry an XXH3 that is compared when they are read back.
 * One thread at a time uses a sorter.
 */
#ifndef COMMON_EXTSORT_H
#define COMMON_EXTSORT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* 3 MiB of items, and as much again while they are sorted. */
#define EXTSORT_RUN_ITEMS (1u << 17)
/* 128 x 2^17 = 16.8 million items before anything is written twice; their
 * blocks are 3 MiB when they are merged. Three levels hold 2^38 items.
 */
#define EXTSORT_FAN 128u
#define EXTSORT_BLOCK_ITEMS 1024u /* 24 KiB */

/* Ordered by key[0], then key[1], then key[2]. */
struct extsort_item {
    uint64_t key[3];
};

struct extsort_config {
    const char *dir;  /* for the runs; must outlive the sorter */
    size_t run_items; /* >= 1 */
    unsigned fan;     /* >= 2 */
};

struct extsort;

struct extsort *extsort_create(const struct extsort_config *config);
void extsort_destroy(struct extsort *s); /* NULL is allowed */

/* Add an item. ERR_AGAIN (disk full), ERR_IO: the sorter is of no more use. */
int extsort_add(struct extsort *s, const struct extsort_item *item,
                struct err *err);

/* All items have been added; from here on extsort_next(). Errors as above. */
int extsort_finish(struct extsort *s, struct err *err);

/* The next item in order: 1; 0 after the last; -1: ERR_IO, ERR_CORRUPT. */
int extsort_next(struct extsort *s, struct extsort_item *item, struct err *err);

/* Items added so far. */
uint64_t extsort_count(const struct extsort *s);

#endif /* COMMON_EXTSORT_H */
