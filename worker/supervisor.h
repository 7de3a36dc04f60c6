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

/* Block the signals that supervisor_run() reads from a descriptor. To be called
 * while there is one thread: the driver of a GPU starts some as soon as devices
 * are looked for, and one that lacks the mask would take a SIGCHLD away or die
 * of a SIGTERM, and the process with it. -1: ERR_OS.
 */
int supervisor_signals(struct err *err);

/* Load, connect, serve until SIGTERM. 0: ended as asked; -1. */
int supervisor_run(const struct config *config, const struct devices *devices,
                   struct err *err);

#endif /* WORKER_SUPERVISOR_H */
