/* worker/ring.h - a byte stream between two processes through shared memory
 *
 * One writer, one reader, no locks, no system calls. Bytes are a stream: a
 * write may be accepted in part, and messages larger than the ring pass through
 * it piece by piece. Waking the other side is bell.h's business.
 * Pure: works in any memory that both sides map.
 */
#ifndef WORKER_RING_H
#define WORKER_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The counters are on lines of their own: each is written by one side only. */
struct ring {
    _Alignas(64) _Atomic uint64_t written; /* bytes, ever */
    _Alignas(64) _Atomic uint64_t read;    /* bytes, ever */
    _Alignas(64) uint64_t size;            /* of data; a power of two */
    unsigned char data[];
};

/* Memory that a ring of `size` bytes takes, a multiple of 64. */
size_t ring_bytes(size_t size);

/* Prepare zeroed memory, aligned to 64; `size` is a power of two. */
void ring_format(struct ring *r, size_t size);

/* Accept up to `len` bytes; returns how many. Writer only. */
size_t ring_write(struct ring *r, const void *data, size_t len);

/* Take up to `max` bytes; returns how many. Reader only. */
size_t ring_read(struct ring *r, void *out, size_t max);

/* Bytes waiting for the reader. */
size_t ring_used(const struct ring *r);

#endif /* WORKER_RING_H */
