/* worker/output.h - an item's answer as its output line. Pure. */
#ifndef WORKER_OUTPUT_H
#define WORKER_OUTPUT_H

#include "common/buf.h"
#include "worker/shard.h"

/* Append the line (no newline) of an item answered without error. `payload` is
 * what the rank sent (answer_head).
 */
void output_write(const struct shard_item *item, const char *payload,
                  struct buf *out);

#endif /* WORKER_OUTPUT_H */
