/* daemon/retry.h - trying a shard's failed lines again, without its good ones
 *
 * A shard that ended with errors keeps its result. What is computed again is
 * the records behind those errors; what comes back takes their places. Pure:
 * packed linesets in, packed linesets out, nothing trusted.
 */
#ifndef DAEMON_RETRY_H
#define DAEMON_RETRY_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Append to `out` the lines of `input` that `result` answers with an error.
 * ERR_CORRUPT when the two do not fit each other.
 */
int retry_input(const struct buf *input, const struct buf *result,
                struct buf *out, struct err *err);

/* Append to `out` the answers of `result`, each error replaced by the answer
 * that `again` has to the same line; *n_errors are left. ERR_INVALID unless
 * `again` answers exactly those lines, or when the whole exceeds
 * LINESET_BYTES_MAX; ERR_CORRUPT.
 */
int retry_merge(const struct buf *result, const struct buf *again,
                struct buf *out, uint32_t *n_errors, struct err *err);

#endif /* DAEMON_RETRY_H */
