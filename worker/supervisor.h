/* worker/supervisor.h - the worker: one loop around session, leases and ranks
 *
 * Has no device context and never blocks, so the worker's beats go on whatever
 * its ranks do.
 */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "common/err.h"
#include "worker/config.h"
#include "worker/devices.h"

/* Load, connect, serve until SIGTERM. 0: ended as asked; -1. */
int supervisor_run(const struct config *config, const struct devices *devices,
                   struct err *err);

#endif /* WORKER_SUPERVISOR_H */
