/* daemon/restage.h - a staged shard without its duplicates
 *
 * Which ids are duplicates is known when the last line is, and by then most
 * shards are written. Those that hold duplicates are read and written again.
 * Pure.
 */
#ifndef DAEMON_RESTAGE_H
#define DAEMON_RESTAGE_H

#include "common/err.h"
#include "daemon/op.h"
#include "proto/lineset.h"

/* Fill `s` with what the shard becomes: its packed `input` without the lines
 * s->duplicate[], its packed `rejected` lines with an error for each of them,
 * and the counts. ERR_CORRUPT when the shard has no such lines.
 */
int restage(struct op_stage *s, const struct buf *input,
            const struct buf *rejected, struct err *err);

/* Pack the two linesets of a shard, and its result if there is no record. */
void restage_pack(struct lineset_writer *input, struct lineset_writer *rejected,
                  struct op_stage *s);

#endif /* DAEMON_RESTAGE_H */
