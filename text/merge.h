/* text/merge.h - byte pair merging of one piece, by rank
 *
 * Merges are numbered by rank, best first. While any two neighbours have a
 * merge, the best one is applied, the leftmost first among equals.
 */
#ifndef TEXT_MERGE_H
#define TEXT_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

struct merges;

struct merges *merges_create(size_t n_max);
void merges_destroy(struct merges *m); /* NULL is allowed */

/* Add the merge of the next rank. -1 when the pair has one already. */
int merges_add(struct merges *m, int32_t left, int32_t right, int32_t result);

/* Memory of merge_piece(), reused from piece to piece; zero-initialise. */
struct merge_work {
    struct merge_symbol *symbol;
    uint64_t *heap;
    size_t cap;
};

void merge_work_free(struct merge_work *work);

/* Merge the symbols id[n], 1 <= n < 2^31, and append what is left to `out`.
 * Time n log n.
 */
void merge_piece(const struct merges *m, const int32_t *id, size_t n,
                 struct merge_work *work, struct ids *out);

#endif /* TEXT_MERGE_H */
