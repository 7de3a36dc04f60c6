/* common/idset.h - the ids of a submission: which were given more than once
 *
 * 128-bit keyed hashes (record_id_hash), sorted with their lines when all are
 * known (common/extsort.h): equal ones meet, and whatever follows the first is
 * a duplicate. So memory does not grow with the number of ids.
 * One thread at a time uses a set.
 */
#ifndef COMMON_IDSET_H
#define COMMON_IDSET_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct idset;

struct idset_duplicate {
    uint64_t line;
    uint64_t first_line; /* where its id was given first; < line */
};

/* `dir`, kept by reference, takes what does not fit in memory: `run_items` ids.
 */
struct idset *idset_create(const char *dir, size_t run_items);
void idset_destroy(struct idset *s); /* NULL is allowed */

/* An id and its line. Lines ascend. ERR_AGAIN (disk full), ERR_IO. */
int idset_add(struct idset *s, const uint8_t hash[16], uint64_t line,
              struct err *err);

/* All ids were added: find the duplicates. `stop`, asked now and then unless
 * it is NULL, may end it early: ERR_CONFLICT. Else the errors of idset_add(),
 * and ERR_CORRUPT.
 */
int idset_finish(struct idset *s, int (*stop)(void *arg), void *arg,
                 struct err *err);

/* The next duplicate, by line: 1; 0 after the last; -1: ERR_IO, ERR_CORRUPT. */
int idset_next(struct idset *s, struct idset_duplicate *out, struct err *err);

uint64_t idset_count(const struct idset *s); /* ids added */

#endif /* COMMON_IDSET_H */
