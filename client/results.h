/* client/results.h - fetch the finished shards of a job, as lines in order
 *
 * Several blobs are on their way at a time; each is checked against its hash,
 * unpacked, and handed on shard by shard, line by line, which is input order.
 * A shard's errors are its rejected lines and the error items among its
 * answers, merged by line number.
 */
#ifndef CLIENT_RESULTS_H
#define CLIENT_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/rpc.h"
#include "common/err.h"
#include "proto/lineset.h"

/* Takes one line; 0, or -1 with *err to stop everything. */
typedef int results_line_fn(void *ctx, const struct lineset_item *item,
                            struct err *err);

struct results_sink {
    results_line_fn *result; /* NULL: not wanted */
    results_line_fn *error;  /* NULL: not wanted */
    void *ctx;
};

/* Hand out one shard: answers to sink->result, and the merger of its rejected
 * lines and its error items to sink->error, each in ascending line order.
 * `rejected` may be NULL. Pure but for the sink.
 */
int results_merge(const struct lineset *answers, const struct lineset *rejected,
                  const struct results_sink *sink, struct err *err);

/* Fetch shards [first, end) of `job`; all of them must be below job->prefix.
 * Blobs that cannot matter are not fetched: rejected lines of a job without
 * any, answers when only errors are wanted and none failed. On success
 * everything has gone through the sink.
 */
int results_fetch(struct rpc *r, const Skein__JobInfo *job, uint32_t first,
                  uint32_t end, const struct results_sink *sink,
                  struct err *err);

#endif /* CLIENT_RESULTS_H */
