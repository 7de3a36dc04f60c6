/* daemon/metrics.h - what /metrics says, in the text format of Prometheus
 *
 * Names and labels are an interface: skeind(8) lists them. No label has
 * more values than there are states, kinds and models. Pure.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "daemon/core.h"

struct metrics {
    const char *version;
    const char *commit; /* of the source; "unknown" */
    bool healthy;
    const struct core_stats *stats;
    struct core_counts now;
    struct histogram sync_s;
    uint64_t spool_bytes; /* of the job files, some seconds ago */
    uint64_t spool_free_bytes;
    double start_time_s; /* of the process, Unix */
    uint64_t resident_bytes;
    uint64_t open_fds;
};

void metrics_write(const struct metrics *m, struct buf *out);

#endif /* DAEMON_METRICS_H */
