#include "worker/ring.h"

#include <assert.h>
#include <string.h>

size_t ring_bytes(size_t size)
{
    return (sizeof(struct ring) + size + 63) / 64 * 64;
}

void ring_format(struct ring *r, size_t size)
{
    assert(size > 0);
    assert((size & (size - 1)) == 0);
    r->size = size;
}

size_t ring_used(const struct ring *r)
{
    uint64_t read = atomic_load_explicit(&r->read, memory_order_acquire);
    uint64_t written = atomic_load_explicit(&r->written, memory_order_acquire);

    return (size_t)(written - read);
}

size_t ring_write(struct ring *r, const void *data, size_t len)
{
    uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&r->read, memory_order_acquire);
    size_t at = written & (r->size - 1);
    size_t room = r->size - (size_t)(written - read);
    size_t n = len < room ? len : room;
    size_t first = n < r->size - at ? n : r->size - at;

    if (n == 0)
        return 0;
    memcpy(r->data + at, data, first);
    memcpy(r->data, (const unsigned char *)data + first, n - first);
    atomic_store_explicit(&r->written, written + n, memory_order_release);
    return n;
}

size_t ring_read(struct ring *r, void *out, size_t max)
{
    uint64_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    uint64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    size_t at = read & (r->size - 1);
    size_t used = (size_t)(written - read);
    size_t n = max < used ? max : used;
    size_t first = n < r->size - at ? n : r->size - at;

    if (n == 0)
        return 0;
    memcpy(out, r->data + at, first);
    memcpy((unsigned char *)out + first, r->data, n - first);
    atomic_store_explicit(&r->read, read + n, memory_order_release);
    return n;
}
