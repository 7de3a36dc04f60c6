/* worker/bell.h - wake a process that sleeps on an eventfd, only when it sleeps
 *
 * The flag lives in shared memory. Waiter: arm, look once more whether there is
 * something to do, poll the descriptor, disarm. Ringer: publish, then ring. The
 * two fences make sure that at least one side sees the other.
 */
#ifndef WORKER_BELL_H
#define WORKER_BELL_H

#include <stdatomic.h>
#include <stdint.h>

struct bell {
    _Alignas(64) _Atomic uint32_t armed;
};

void bell_arm(struct bell *b);

/* Forget rings that came; `fd` is the non-blocking eventfd. */
void bell_disarm(struct bell *b, int fd);

/* Costs a system call only when the waiter has armed the bell. */
void bell_ring(struct bell *b, int fd);

#endif /* WORKER_BELL_H */
