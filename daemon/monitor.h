/* daemon/monitor.h - /metrics and /healthz of the running coordinator
 *
 * Asks the core and the commit threads when it is asked itself. Part of the
 * router's loop; see daemon/http.h.
 */
#ifndef DAEMON_MONITOR_H
#define DAEMON_MONITOR_H

#include "daemon/commit.h"
#include "daemon/core.h"

#define MONITOR_USAGE_MS 5000  /* between looks at the size of the spool */
#define MONITOR_STUCK_MS 60000 /* a commit thread that shows nothing */

struct monitor;

struct monitor_config {
    const char *address; /* NULL or "": nothing is served */
    const struct core *core;
    struct commit *commit;
};

/* NULL: the errors of http_start(). */
struct monitor *monitor_start(const struct monitor_config *config,
                              struct err *err);
void monitor_stop(struct monitor *m); /* NULL is allowed */

uint16_t monitor_port(const struct monitor *m); /* while it serves */
int monitor_fd(const struct monitor *m);        /* -1: nothing is served */
int64_t monitor_wait_ms(const struct monitor *m);

/* When readable, and after monitor_wait_ms() at the latest. Never waits. */
void monitor_run(struct monitor *m);

/* Is the size of the spool to be asked for (OP_USAGE)? It is a while after it
 * was shown, so what is shown is as old as the last look at /metrics.
 */
bool monitor_wants_usage(struct monitor *m, int64_t now_ms);
void monitor_usage(struct monitor *m, const struct op_usage *usage);

#endif /* DAEMON_MONITOR_H */
