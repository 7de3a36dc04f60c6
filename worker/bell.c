#include "worker/bell.h"

#include <sys/eventfd.h>

void bell_arm(struct bell *b)
{
    atomic_store(&b->armed, 1);
    atomic_thread_fence(memory_order_seq_cst);
}

void bell_disarm(struct bell *b, int fd)
{
    eventfd_t count;

    atomic_store(&b->armed, 0);
    (void)eventfd_read(fd, &count); /* EAGAIN: nobody rang */
}

void bell_ring(struct bell *b, int fd)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&b->armed) != 0 && atomic_exchange(&b->armed, 0) != 0)
        (void)eventfd_write(fd, 1);
}
