#include "text/merge.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/buf.h"

#define NO_RANK UINT32_MAX
#define NO_SYMBOL UINT32_MAX

/* Open addressing, at most half full. */
struct slot {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* NO_RANK: empty */
    int32_t result;
};

struct merges {
    struct slot *slot;
    uint32_t mask; /* slots - 1 */
    uint32_t n;
};

/* A doubly linked list in an array; a merge keeps the left symbol. */
struct merge_symbol {
    int32_t id;          /* -1: merged into another */
    uint32_t prev, next; /* NO_SYMBOL at the ends */
    uint32_t rank;       /* of the pair with `next` */
};

struct merges *merges_create(size_t n_max)
{
    struct merges *m = xcalloc(1, sizeof *m);
    size_t slots = 16;

    assert(n_max < UINT32_MAX / 4);
    while (slots < 2 * n_max)
        slots *= 2;
    m->slot = xcalloc(slots, sizeof *m->slot);
    m->mask = (uint32_t)slots - 1;
    for (size_t i = 0; i < slots; i++)
        m->slot[i].rank = NO_RANK;
    return m;
}

void merges_destroy(struct merges *m)
{
    if (m != NULL)
        free(m->slot);
    free(m);
}

/* Where the pair is, or the empty slot where it would be. */
static struct slot *find(const struct merges *m, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t at = (uint32_t)(pair * 0x9E3779B97F4A7C15u >> 32) & m->mask;

    while (m->slot[at].rank != NO_RANK && m->slot[at].pair != pair)
        at = (at + 1) & m->mask;
    return &m->slot[at];
}

int merges_add(struct merges *m, int32_t left, int32_t right, int32_t result)
{
    struct slot *slot = find(m, left, right);

    assert(m->n <= m->mask / 2);
    if (slot->rank != NO_RANK)
        return -1;
    slot->pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    slot->rank = m->n++;
    slot->result = result;
    return 0;
}

void merge_work_free(struct merge_work *work)
{
    free(work->symbol);
    free(work->heap);
    *work = (struct merge_work){0};
}

/* A heap entry is rank << 32 | position, so the smallest is the merge to do
 * next. Entries are never taken out of the middle: one whose position no longer
 * has that rank is stale and skipped.
 */
static void sift_up(uint64_t *heap, size_t at)
{
    uint64_t entry = heap[at];

    while (at > 0 && heap[(at - 1) / 2] > entry) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
}

static void sift_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t entry = heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= entry)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

/* Look the pair (at, next) up again; true when it can be merged. */
static bool rank_pair(const struct merges *m, struct merge_symbol *s,
                      uint32_t at)
{
    s[at].rank = s[at].next == NO_SYMBOL
                     ? NO_RANK
                     : find(m, s[at].id, s[s[at].next].id)->rank;
    return s[at].rank != NO_RANK;
}

static uint64_t entry_of(const struct merge_symbol *s, uint32_t at)
{
    return (uint64_t)s[at].rank << 32 | at;
}

/* Link id[n] into a list and put every pair that merges into the heap. Each
 * merge takes one symbol away and adds up to two entries: 3n hold them all.
 */
static size_t start(const struct merges *m, const int32_t *id, size_t n,
                    struct merge_work *work)
{
    size_t entries = 0;

    if (n > work->cap) {
        work->cap = n + n / 2 + 64;
        work->symbol = xrealloc(work->symbol, work->cap * sizeof *work->symbol);
        work->heap = xrealloc(work->heap, 3 * work->cap * sizeof *work->heap);
    }
    for (uint32_t i = 0; i < n; i++)
        work->symbol[i] = (struct merge_symbol){
            .id = id[i],
            .prev = i > 0 ? i - 1 : NO_SYMBOL,
            .next = i + 1 < n ? i + 1 : NO_SYMBOL,
        };
    for (uint32_t i = 0; i < n; i++) {
        if (rank_pair(m, work->symbol, i))
            work->heap[entries++] = entry_of(work->symbol, i);
    }
    for (size_t i = entries / 2; i-- > 0;)
        sift_down(work->heap, entries, i);
    return entries;
}

/* Replace the symbol `at` and its successor by their merge. */
static void join(const struct merges *m, struct merge_symbol *s, uint32_t at)
{
    uint32_t gone = s[at].next;

    s[at].id = find(m, s[at].id, s[gone].id)->result;
    s[at].next = s[gone].next;
    if (s[at].next != NO_SYMBOL)
        s[s[at].next].prev = at;
    s[gone].id = -1;
    s[gone].rank = NO_RANK;
}

void merge_piece(const struct merges *m, const int32_t *id, size_t n,
                 struct merge_work *work, struct ids *out)
{
    size_t entries = start(m, id, n, work);
    struct merge_symbol *s = work->symbol;
    uint64_t *heap = work->heap;

    while (entries > 0) {
        uint64_t best = heap[0];
        uint32_t at = (uint32_t)best;

        heap[0] = heap[--entries];
        if (entries > 0)
            sift_down(heap, entries, 0);
        if (s[at].rank != best >> 32)
            continue; /* stale: a neighbour has changed since */
        join(m, s, at);
        if (rank_pair(m, s, at)) {
            heap[entries] = entry_of(s, at);
            sift_up(heap, entries++);
        }
        if (s[at].prev != NO_SYMBOL && rank_pair(m, s, s[at].prev)) {
            heap[entries] = entry_of(s, s[at].prev);
            sift_up(heap, entries++);
        }
    }
    for (uint32_t i = 0; i != NO_SYMBOL; i = s[i].next)
        ids_add(out, s[i].id);
}
