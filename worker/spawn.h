/* worker/spawn.h - fork and exec of a rank process */
#ifndef WORKER_SPAWN_H
#define WORKER_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

/* Run this program again as rank `rank` with its segment at `fd`; it inherits
 * that descriptor, keep[n] and the standard ones. The child is in a process
 * group of its own (Ctrl-C is the supervisor's business) and dies with this
 * thread's process. Returns its pid, or -1: ERR_OS.
 */
pid_t spawn_rank(size_t rank, int fd, const int *keep, size_t n,
                 struct err *err);

#endif /* WORKER_SPAWN_H */
