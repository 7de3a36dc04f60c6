/* Collectives through one shared region.
 *
 * The region carries one totally ordered stream of chunks, numbered from 0 for
 * the life of the communicator. Since all ranks make the same calls, each knows
 * of every chunk who writes it and who reads it. Chunk k lives in slot k mod
 * SLOTS:
 *
 *   writer   waits until every rank is past chunk k - SLOTS, copies its bytes
 *            in, publishes the slot by storing k + 1 in it
 *   reader   waits for that number, copies the bytes out, moves its `past` on
 *   others   move their `past` on at once
 *
 * Only the writer of k writes its slot and `past` only grows, so a chunk is
 * never overwritten while somebody still reads it. A killed rank publishes
 * nothing half-written: its peers run into their deadline.
 */
#include "common/comm.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"

#define REGION_MAGIC 0x736b636du
#define SLOTS 8u
#define CHUNK_BYTES ((size_t)64 << 10) /* 8 x 64 KiB stay in a core's L2 */
#define SPINS 200                      /* loads before the first futex wait */
#define NAP_MS 100 /* longest single wait, against a lost wake-up */

struct slot {
    _Alignas(64) _Atomic uint64_t ready; /* number of its chunk + 1 */
    size_t len;
    unsigned char data[CHUNK_BYTES];
};

struct progress {
    _Alignas(64) _Atomic uint64_t past; /* chunks this rank is done with */
};

struct region {
    uint32_t magic;
    int32_t size;
    _Alignas(64) _Atomic uint32_t events; /* futex: counts every change */
    _Atomic uint32_t waiters;
    _Atomic uint32_t broken; /* rank + 1 of the first that gave up */
    struct slot slot[SLOTS];
    struct progress rank[];
};

struct comm_local {
    struct comm base;
    struct region *region;
    uint64_t chunk; /* next chunk of the stream */
    bool broken;
};

/* One call: what it is, for error texts, and when it must be over. */
struct call {
    struct comm_local *c;
    const char *name;
    int64_t timeout_ms;
    int64_t deadline_ms;
    struct err *err;
};

size_t comm_local_bytes(int size)
{
    assert(size >= 1);
    return sizeof(struct region) + (size_t)size * sizeof(struct progress);
}

void comm_local_format(void *shared, int size)
{
    struct region *r = shared;

    assert(size >= 1);
    assert((uintptr_t)shared % _Alignof(struct region) == 0);
    r->size = size;
    r->magic = REGION_MAGIC;
}

/* Tell everyone who waits that something changed. */
static void notify(struct region *r)
{
    atomic_fetch_add(&r->events, 1u);
    if (atomic_load(&r->waiters) > 0)
        syscall(SYS_futex, &r->events, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool slot_ready(const struct comm_local *c, uint64_t chunk)
{
    return atomic_load_explicit(&c->region->slot[chunk % SLOTS].ready,
                                memory_order_acquire)
           == chunk + 1;
}

/* The first rank that still needs the slot `chunk` will reuse, or -1. */
static int slot_holder(const struct comm_local *c, uint64_t chunk)
{
    for (int i = 0; i < c->base.size; i++) {
        uint64_t past = atomic_load_explicit(&c->region->rank[i].past,
                                             memory_order_acquire);

        if (past + SLOTS <= chunk)
            return i;
    }
    return -1;
}

static bool slot_free(const struct comm_local *c, uint64_t chunk)
{
    return slot_holder(c, chunk) < 0;
}

/* Sleep until the event count leaves `seen`, `ms` at most. */
static void nap(struct region *r, uint32_t seen, int64_t ms)
{
    struct timespec t;

    if (ms > NAP_MS)
        ms = NAP_MS;
    t = (struct timespec){.tv_nsec = ms * 1000000};
    syscall(SYS_futex, &r->events, FUTEX_WAIT, seen, &t, NULL, 0);
}

/* Wait for `ready`. False: the deadline passed or a peer gave up. The waiter
 * count is raised before the condition is looked at again and notify() counts
 * the event before it looks at the waiters, so no change can slip between.
 */
static bool wait_for(const struct call *call, uint64_t chunk,
                     bool (*ready)(const struct comm_local *, uint64_t))
{
    struct region *r = call->c->region;
    bool done = false;

    for (int i = 0; i < SPINS; i++) {
        if (ready(call->c, chunk))
            return true;
    }
    atomic_fetch_add(&r->waiters, 1u);
    for (;;) {
        uint32_t seen = atomic_load(&r->events);
        int64_t left = call->deadline_ms - clock_now_ms();

        done = ready(call->c, chunk);
        if (done || left <= 0 || atomic_load(&r->broken) != 0)
            break;
        nap(r, seen, left);
    }
    atomic_fetch_sub(&r->waiters, 1u);
    return done;
}

/* The communicator is lost: say it to the peers, so that they need not wait
 * for their own deadlines. `rank` is who did not come, or -1.
 */
static int give_up(const struct call *call, int rank)
{
    struct comm_local *c = call->c;
    uint32_t none = 0;

    c->broken = true;
    if (!atomic_compare_exchange_strong(&c->region->broken, &none,
                                        (uint32_t)c->base.rank + 1)
        && none != (uint32_t)c->base.rank + 1)
        return err_set(call->err, ERR_TIMEOUT, "comm %s: rank %u gave up",
                       call->name, none - 1);
    notify(c->region);
    if (rank < 0)
        return err_set(call->err, ERR_TIMEOUT, "comm %s: not done in %lld ms",
                       call->name, (long long)call->timeout_ms);
    return err_set(call->err, ERR_TIMEOUT,
                   "comm %s: rank %d did nothing within %lld ms", call->name,
                   rank, (long long)call->timeout_ms);
}

/* Be done with the next `n` chunks. */
static void pass(struct comm_local *c, uint64_t n)
{
    c->chunk += n;
    atomic_store_explicit(&c->region->rank[c->base.rank].past, c->chunk,
                          memory_order_release);
    notify(c->region);
}

static uint64_t chunks_of(size_t len)
{
    return len / CHUNK_BYTES + (len % CHUNK_BYTES != 0);
}

/* Write `len` bytes as the next chunks of the stream. */
static int stream_write(const struct call *call, const unsigned char *data,
                        size_t len)
{
    struct comm_local *c = call->c;

    while (len > 0) {
        size_t n = len < CHUNK_BYTES ? len : CHUNK_BYTES;
        struct slot *slot = &c->region->slot[c->chunk % SLOTS];

        if (!wait_for(call, c->chunk, slot_free))
            return give_up(call, slot_holder(c, c->chunk));
        memcpy(slot->data, data, n);
        slot->len = n;
        atomic_store_explicit(&slot->ready, c->chunk + 1, memory_order_release);
        pass(c, 1);
        data += n;
        len -= n;
    }
    return 0;
}

/* Read the next chunks, which `writer` writes, into data[len]. */
static int stream_read(const struct call *call, unsigned char *data, size_t len,
                       int writer)
{
    struct comm_local *c = call->c;

    while (len > 0) {
        size_t n = len < CHUNK_BYTES ? len : CHUNK_BYTES;
        const struct slot *slot = &c->region->slot[c->chunk % SLOTS];

        if (!wait_for(call, c->chunk, slot_ready))
            return give_up(call, writer);
        if (slot->len != n) {
            give_up(call, writer);
            return err_set(call->err, ERR_INTERNAL,
                           "comm %s: rank %d sent %zu bytes, expected %zu",
                           call->name, writer, slot->len, n);
        }
        memcpy(data, slot->data, n);
        pass(c, 1);
        data += n;
        len -= n;
    }
    return 0;
}

static int call_begin(struct call *call, struct comm *base, const char *name,
                      int64_t timeout_ms, struct err *err)
{
    struct comm_local *c = (struct comm_local *)base;

    *call =
        (struct call){c, name, timeout_ms, clock_now_ms() + timeout_ms, err};
    if (c->broken || atomic_load(&c->region->broken) != 0) {
        c->broken = true;
        return err_set(err, ERR_TIMEOUT, "comm %s: the communicator is broken",
                       name);
    }
    return 0;
}

static int local_broadcast(struct comm *base, void *data, size_t len, int root,
                           int64_t timeout_ms, struct err *err)
{
    struct call call;

    if (call_begin(&call, base, "broadcast", timeout_ms, err) < 0)
        return -1;
    if (base->size == 1)
        return 0;
    if (base->rank == root)
        return stream_write(&call, data, len);
    return stream_read(&call, data, len, root);
}

static int local_gather(struct comm *base, const void *send,
                        const size_t *sizes, void *recv, int root,
                        int64_t timeout_ms, struct err *err)
{
    unsigned char *to = recv;
    struct call call;
    int ret = 0;

    if (call_begin(&call, base, "gather", timeout_ms, err) < 0)
        return -1;
    for (int i = 0; i < base->size && ret == 0; i++) {
        /* The root's own bytes do not travel. */
        if (i == root && base->rank == root && sizes[i] > 0)
            memcpy(to, send, sizes[i]);
        else if (i != root && base->rank == root)
            ret = stream_read(&call, to, sizes[i], i);
        else if (i != root && base->rank == i)
            ret = stream_write(&call, send, sizes[i]);
        else if (i != root && sizes[i] > 0)
            pass(call.c, chunks_of(sizes[i]));
        if (base->rank == root && sizes[i] > 0)
            to += sizes[i];
    }
    return ret;
}

static void local_destroy(struct comm *base)
{
    free(base);
}

static const struct comm_ops local_ops = {
    .name = "local",
    .broadcast = local_broadcast,
    .gather = local_gather,
    .destroy = local_destroy,
};

struct comm *comm_local_join(void *shared, int rank, int size, struct err *err)
{
    struct region *r = shared;
    struct comm_local *c;

    assert(rank >= 0);
    assert(rank < size);
    if (r->magic != REGION_MAGIC || r->size != size) {
        err_set(err, ERR_INTERNAL,
                "comm: the shared region was not formatted for %d ranks", size);
        return NULL;
    }
    c = xcalloc(1, sizeof *c);
    c->base = (struct comm){.ops = &local_ops, .rank = rank, .size = size};
    c->region = r;
    return &c->base;
}
