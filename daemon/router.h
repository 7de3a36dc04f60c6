/* daemon/router.h - the coordinator's loop
 *
 * One thread: messages in, the core's decisions out, deadlines in between. It
 * never waits for a disk; that is what daemon/commit.h is for.
 */
#ifndef DAEMON_ROUTER_H
#define DAEMON_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct router_config {
    const char *spool;
    const char *const *listen; /* [n_listen] */
    size_t n_listen;
    int ingest_threads;
    uint64_t max_records;
    const char *http; /* address of /metrics, or NULL */
    int64_t beat_ms;
    int64_t lease_ms;
    int64_t lease_worker_ms;
    int64_t lease_disconnected_ms;
    int64_t restart_grace_ms;
};

/* Take over the spool, serve until SIGTERM or SIGINT (which must be blocked in
 * the calling thread), and close it cleanly. Leases stay as they are: workers
 * claim them from the next coordinator.
 * Returns 0, or -1: ERR_AGAIN when another coordinator has the spool; the
 * errors of spool_open(), store_open(), store_recover(), sock_router().
 */
int router_run(const struct router_config *config, struct err *err);

#endif /* DAEMON_ROUTER_H */
