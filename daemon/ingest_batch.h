/* daemon/ingest_batch.h - a batch of input lines and what they turned out to be
 *
 * Pure: text in, items out. Part of the ingest.
 */
#ifndef DAEMON_INGEST_BATCH_H
#define DAEMON_INGEST_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/idset.h"
#include "daemon/warnings.h"
#include "proto/record.h"

struct ingest;

/* One line that is not blank. */
struct batch_item {
    uint64_t line;
    uint32_t start; /* in the batch's text; of a rejected one, in `errors` */
    uint32_t len;
    bool rejected;
    bool generates;
    uint8_t kind;    /* enum record_kind + 1 */
    uint64_t cost;   /* estimated tokens */
    uint64_t weight; /* bytes that count against a shard's */
    uint8_t id_hash[16];
};

struct batch {
    struct batch *next;
    struct ingest *ingest;
    uint64_t seq; /* 0, 1, ... within the submission */
    uint64_t first_line;
    uint64_t n_lines;
    struct buf text; /* whole lines; the very last may lack its newline */
    /* out */
    struct batch_item *item; /* [n] */
    size_t n;
    size_t cap;
    struct buf errors; /* error objects, one after another */
    struct warnings warnings;
    enum record_form form; /* of the last line that could be read */
    bool form_known;
};

struct batch *batch_create(struct ingest *ingest);
void batch_free(struct batch *b); /* NULL is allowed */

/* Parse and check every line of a job. `key` is the submission's secret for
 * id_hash. The error of a line that is no JSON object has the form of the last
 * line before it that is one, or else of the first one after it in the batch.
 */
void batch_validate(struct batch *b, const struct record_job *job,
                    const uint8_t key[16]);

/* Append the error object of a valid line whose id was given before. Returns
 * its cost, as validation found it.
 */
uint64_t duplicate_error(const char *text, size_t len,
                         const struct idset_duplicate *d, struct buf *out);

#endif /* DAEMON_INGEST_BATCH_H */
