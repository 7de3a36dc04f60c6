/* daemon/core_stats.h - what the core has counted since it was created
 *
 * Plain data, for /metrics. Decides nothing.
 */
#ifndef DAEMON_CORE_STATS_H
#define DAEMON_CORE_STATS_H

#include <stdint.h>

#include "daemon/histogram.h"
#include "proto/limits.h"
#include "proto/lineset.h"

#define CORE_JOB_STATES 7       /* JobState of skein.proto: 0..6 */
#define CORE_MODEL_STATS_MAX 64 /* further models are counted together */

struct core_model_stats {
    char name[MODEL_NAME_BYTES_MAX + 1];
    uint64_t tokens_in;
    uint64_t tokens_out;
};

struct core_stats {
    uint64_t jobs_found[CORE_JOB_STATES]; /* in the spool at start */
    uint64_t jobs_ended[CORE_JOB_STATES];
    struct histogram queue_wait_s; /* submitted to first lease */
    struct histogram duration_s;   /* submitted to end */
    /* Records answered, by kind of record + 1 and whether with an error. */
    uint64_t answers[LINESET_KIND_MAX + 1][2];
    uint64_t rejected; /* lines that were no record */
    uint64_t requeued; /* records whose lease ended without a result */
    uint64_t results_stale;
    uint64_t workers_lost; /* gone without having drained */
    struct core_model_stats model[CORE_MODEL_STATS_MAX + 1];
    uint32_t n_model; /* the last of CORE_MODEL_STATS_MAX + 1 is "other" */
};

/* Where to count the tokens of `model`. */
struct core_model_stats *core_stats_model(struct core_stats *s,
                                          const char *model);

#endif /* DAEMON_CORE_STATS_H */
