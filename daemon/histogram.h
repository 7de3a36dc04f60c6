/* daemon/histogram.h - how often something took how long
 *
 * Counts per range of seconds, as Prometheus wants them. Plain data; pure.
 */
#ifndef DAEMON_HISTOGRAM_H
#define DAEMON_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 12

struct histogram {
    /* [i]: above bound i - 1 and at most bound i; the last: above all */
    uint64_t count[HISTOGRAM_BOUNDS + 1];
    double sum_s;
};

/* Upper bounds in seconds, ascending. */
extern const double histogram_sync_s[HISTOGRAM_BOUNDS]; /* writes to a disk */
extern const double histogram_job_s[HISTOGRAM_BOUNDS]; /* jobs: 0.1 s..1 week */

/* Negative and NaN count as 0. */
void histogram_add(struct histogram *h, const double *bound_s, double seconds);

/* Add all of `from`, which has the same bounds. */
void histogram_merge(struct histogram *h, const struct histogram *from);

#endif /* DAEMON_HISTOGRAM_H */
