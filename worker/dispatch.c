#include "worker/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

void dispatch_free(struct dispatch *d)
{
    free(d->suspect);
    *d = (struct dispatch){0};
}

/* The shard and item of a record that still waits for its answer. */
static struct shard_item *find(struct shard *const *shard, size_t n,
                               uint64_t id, struct shard **owner)
{
    for (size_t i = 0; i < n; i++) {
        struct shard_item *item;

        if (shard[i]->number != id >> 32 || shard[i]->state != SHARD_COMPUTING
            || shard[i]->dropped)
            continue;
        item = shard_item(shard[i], id);
        *owner = shard[i];
        return item != NULL && item->state != ITEM_ANSWERED ? item : NULL;
    }
    return NULL;
}

static void drop_first(struct dispatch *d)
{
    d->alone = false;
    d->n_suspect--;
    memmove(d->suspect, d->suspect + 1, d->n_suspect * sizeof *d->suspect);
}

static void give(struct shard *s, struct shard_item *item, struct ranks *ranks,
                 int rank)
{
    shard_given(s, item);
    ranks_give(ranks, rank, s->requests.data + item->request_at,
               item->request_len, item->encoded.cost);
}

/* Run the next suspect, when the ranks have nothing else to do. */
static void run_alone(struct dispatch *d, struct shard *const *shard, size_t n,
                      struct ranks *ranks)
{
    while (d->n_suspect > 0) {
        struct shard *s;
        struct shard_item *item = find(shard, n, d->suspect[0], &s);
        int rank = ranks_room(ranks);

        if (item != NULL && (d->alone || rank < 0 || !ranks_idle(ranks)))
            return;
        if (item == NULL) {
            drop_first(d);
            continue;
        }
        give(s, item, ranks, rank);
        d->alone = true;
        return;
    }
}

void dispatch_run(struct dispatch *d, struct shard *const *shard, size_t n,
                  struct ranks *ranks)
{
    int rank;

    if (d->n_suspect > 0)
        run_alone(d, shard, n, ranks);
    for (size_t i = 0; i < n && d->n_suspect == 0; i++) {
        struct shard_item *item;

        if (shard[i]->state != SHARD_COMPUTING || shard[i]->dropped)
            continue;
        while ((item = shard_next(shard[i])) != NULL) {
            rank = ranks_room(ranks);
            if (rank < 0)
                goto full;
            give(shard[i], item, ranks, rank);
        }
    }
full:
    ranks_flush(ranks);
}

bool dispatch_ready(const struct dispatch *d, struct shard *const *shard,
                    size_t n, const struct ranks *ranks)
{
    if (ranks_room(ranks) < 0)
        return false;
    if (d->n_suspect > 0)
        return !d->alone && ranks_idle(ranks);
    for (size_t i = 0; i < n; i++) {
        if (shard[i]->state == SHARD_COMPUTING && !shard[i]->dropped
            && shard_next(shard[i]) != NULL)
            return true;
    }
    return false;
}

void dispatch_answered(struct dispatch *d, uint64_t id)
{
    if (d->n_suspect > 0 && d->suspect[0] == id)
        drop_first(d);
}

/* A record was on the device at a crash. Returns whether it is given up. */
static bool accuse(struct dispatch *d, struct shard *s, struct shard_item *item,
                   bool was_alone)
{
    struct record_error e;
    uint64_t id = shard_id(s, item);

    if (was_alone && ++item->crashes >= DISPATCH_CRASHES_MAX) {
        record_error_set(&e, "worker_crash", "",
                         "computing this line alone ended the device process"
                         " %d times",
                         DISPATCH_CRASHES_MAX);
        shard_fail(s, item, &e);
        return true;
    }
    if (item->suspect)
        return false;
    item->suspect = true;
    d->suspect = xrealloc(d->suspect, (d->n_suspect + 1) * sizeof *d->suspect);
    d->suspect[d->n_suspect++] = id;
    return false;
}

size_t dispatch_lost(struct dispatch *d, struct shard *const *shard, size_t n,
                     const uint64_t *suspect, size_t n_suspect)
{
    bool alone = d->alone;
    uint64_t id = alone ? d->suspect[0] : 0;
    size_t given_up = 0;

    for (size_t i = 0; i < n; i++) {
        if (shard[i]->state == SHARD_COMPUTING)
            shard_lost(shard[i]);
    }
    for (size_t i = 0; i < n_suspect; i++) {
        struct shard *s;
        struct shard_item *item = find(shard, n, suspect[i], &s);

        if (item == NULL)
            continue;
        given_up += accuse(d, s, item, alone && suspect[i] == id);
        /* A record may be there once per branch: it crashed once. */
        if (alone)
            break;
    }
    d->alone = false;
    return given_up;
}
