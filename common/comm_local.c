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

/* A call that is open: what it is, for error texts, and when it must be over. */
struct call {
    const char *name;
    int64_t timeout_ms;
    int64_t deadline_ms;
};

/* How far a gather is: `done` bytes of rank `at` have passed. */
struct gather {
    const unsigned char *send;
    unsigned char *recv;
    size_t *sizes; /* [size] */
    int root, at;
    size_t done;
};

struct comm_local {
    struct comm base;
    struct region *region;
    uint64_t chunk; /* next chunk of the stream */
    struct call call;
    struct gather gather;
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

/* Wait for `ready`, `wait_ms` at most. False: it has not come, and perhaps the
 * deadline passed or a peer gave up. The waiter count is raised before the
 * condition is looked at again and notify() counts the event before it looks at
 * the waiters, so no change can slip between.
 */
static bool wait_for(const struct comm_local *c, uint64_t chunk,
                     bool (*ready)(const struct comm_local *, uint64_t),
                     int64_t wait_ms)
{
    struct region *r = c->region;
    int64_t until = clock_now_ms() + wait_ms;
    bool done = ready(c, chunk);

    if (done || wait_ms <= 0)
        return done;
    for (int i = 0; i < SPINS; i++) {
        if (ready(c, chunk))
            return true;
    }
    if (until > c->call.deadline_ms)
        until = c->call.deadline_ms;
    atomic_fetch_add(&r->waiters, 1u);
    for (;;) {
        uint32_t seen = atomic_load(&r->events);
        int64_t left = until - clock_now_ms();

        done = ready(c, chunk);
        if (done || left <= 0 || atomic_load(&r->broken) != 0)
            break;
        nap(r, seen, left);
    }
    atomic_fetch_sub(&r->waiters, 1u);
    return done;
}

/* May the call still succeed? */
static bool in_time(const struct comm_local *c)
{
    return clock_now_ms() < c->call.deadline_ms
           && atomic_load(&c->region->broken) == 0;
}

/* The communicator is lost: say it to the peers, so that they need not wait
 * for their own deadlines. `rank` is who did not come, or -1.
 */
static int give_up(struct comm_local *c, int rank, struct err *err)
{
    const struct call *call = &c->call;
    uint32_t none = 0;

    if (!atomic_compare_exchange_strong(&c->region->broken, &none,
                                        (uint32_t)c->base.rank + 1)
        && none != (uint32_t)c->base.rank + 1)
        return err_set(err, ERR_TIMEOUT, "comm %s: rank %u gave up", call->name,
                       none - 1);
    notify(c->region);
    if (rank < 0)
        return err_set(err, ERR_TIMEOUT, "comm %s: not done in %lld ms",
                       call->name, (long long)call->timeout_ms);
    return err_set(err, ERR_TIMEOUT,
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

static size_t chunk_of(size_t left)
{
    return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

/* Write the next chunk of data[left]. Its bytes, 0: no room within wait_ms,
 * SIZE_MAX: failed.
 */
static size_t write_chunk(struct comm_local *c, const unsigned char *data,
                          size_t left, int64_t wait_ms, struct err *err)
{
    struct slot *slot = &c->region->slot[c->chunk % SLOTS];
    size_t n = chunk_of(left);

    if (!wait_for(c, c->chunk, slot_free, wait_ms)) {
        if (in_time(c))
            return 0;
        give_up(c, slot_holder(c, c->chunk), err);
        return SIZE_MAX;
    }
    memcpy(slot->data, data, n);
    slot->len = n;
    atomic_store_explicit(&slot->ready, c->chunk + 1, memory_order_release);
    pass(c, 1);
    return n;
}

/* Read the next chunk, which `writer` writes, into data[left]. Likewise. */
static size_t read_chunk(struct comm_local *c, unsigned char *data, size_t left,
                         int writer, int64_t wait_ms, struct err *err)
{
    const struct slot *slot = &c->region->slot[c->chunk % SLOTS];
    size_t n = chunk_of(left);

    if (!wait_for(c, c->chunk, slot_ready, wait_ms)) {
        if (in_time(c))
            return 0;
        give_up(c, writer, err);
        return SIZE_MAX;
    }
    if (slot->len != n) {
        give_up(c, writer, NULL);
        err_set(err, ERR_INTERNAL,
                "comm %s: rank %d sent %zu bytes, expected %zu", c->call.name,
                writer, slot->len, n);
        return SIZE_MAX;
    }
    memcpy(data, slot->data, n);
    pass(c, 1);
    return n;
}

static int call_begin(struct comm_local *c, const char *name,
                      int64_t timeout_ms, struct err *err)
{
    c->call = (struct call){name, timeout_ms, clock_now_ms() + timeout_ms};
    if (atomic_load(&c->region->broken) != 0)
        return give_up(c, -1, err);
    return 0;
}

static int local_broadcast(struct comm *base, void *data, size_t len, int root,
                           int64_t timeout_ms, struct err *err)
{
    struct comm_local *c = (struct comm_local *)base;
    unsigned char *at = data;

    if (call_begin(c, "broadcast", timeout_ms, err) < 0)
        return -1;
    for (size_t n; len > 0 && base->size > 1; at += n, len -= n) {
        n = base->rank == root ? write_chunk(c, at, len, timeout_ms, err)
                               : read_chunk(c, at, len, root, timeout_ms, err);
        if (n == SIZE_MAX)
            return -1;
    }
    return 0;
}

static int local_gather(struct comm *base, const void *send,
                        const size_t *sizes, void *recv, int root,
                        int64_t timeout_ms, struct err *err)
{
    struct comm_local *c = (struct comm_local *)base;
    struct gather *g = &c->gather;

    memcpy(g->sizes, sizes, (size_t)base->size * sizeof *sizes);
    g->send = send;
    g->recv = recv;
    g->root = root;
    g->at = 0;
    g->done = 0;
    return call_begin(c, "gather", timeout_ms, err);
}

/* The next piece of rank g->at's bytes. 1: moved, 0: not yet, -1. */
static int gather_piece(struct comm_local *c, int64_t wait_ms, struct err *err)
{
    struct gather *g = &c->gather;
    const bool at_root = c->base.rank == g->root;
    size_t left = g->sizes[g->at] - g->done, n = left;

    if (g->at == g->root && at_root) /* its own bytes do not travel */
        memcpy(g->recv, g->send, left);
    else if (g->at != g->root && at_root)
        n = read_chunk(c, g->recv, left, g->at, wait_ms, err);
    else if (g->at == c->base.rank)
        n = write_chunk(c, g->send + g->done, left, wait_ms, err);
    else if (g->at != g->root)
        pass(c, chunks_of(left));
    if (n == 0 || n == SIZE_MAX)
        return n == 0 ? 0 : -1;
    if (at_root)
        g->recv += n;
    g->done += n;
    return 1;
}

static int local_poll(struct comm *base, int64_t wait_ms, struct err *err)
{
    struct comm_local *c = (struct comm_local *)base;
    struct gather *g = &c->gather;
    int rc = 1;

    while (g->at < base->size && rc > 0) {
        if (g->done == g->sizes[g->at]) {
            g->at++;
            g->done = 0;
        } else {
            rc = gather_piece(c, wait_ms, err);
        }
    }
    return rc;
}

static void local_destroy(struct comm *base)
{
    free(((struct comm_local *)base)->gather.sizes);
    free(base);
}

static const struct comm_ops local_ops = {
    .name = "local",
    .broadcast = local_broadcast,
    .gather = local_gather,
    .poll = local_poll,
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
    c->gather.sizes = xcalloc((size_t)size, sizeof *c->gather.sizes);
    return &c->base;
}
