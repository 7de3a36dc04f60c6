#include "daemon/blob_cache.h"

static void drop(struct blob_cache_entry *e)
{
    buf_free(&e->data);
    *e = (struct blob_cache_entry){0};
}

/* The least recently used entry, emptied; empty ones have used == 0. */
static struct blob_cache_entry *evict(struct blob_cache *c)
{
    struct blob_cache_entry *oldest = &c->entry[0];

    for (int i = 1; i < BLOB_CACHE_ENTRIES; i++) {
        if (c->entry[i].used < oldest->used)
            oldest = &c->entry[i];
    }
    drop(oldest);
    return oldest;
}

/* Keep `keep`, and of the others what the bound allows, latest first. */
static void trim(struct blob_cache *c, const struct blob_cache_entry *keep)
{
    for (;;) {
        struct blob_cache_entry *oldest = NULL;
        size_t total = 0;

        for (int i = 0; i < BLOB_CACHE_ENTRIES; i++) {
            struct blob_cache_entry *e = &c->entry[i];

            total += e->data.len;
            if (e != keep && e->job != 0
                && (oldest == NULL || e->used < oldest->used))
                oldest = e;
        }
        if (total <= BLOB_CACHE_BYTES || oldest == NULL)
            return;
        drop(oldest);
    }
}

const struct blob_cache_entry *
blob_cache_get(struct blob_cache *c, struct store_job *j, uint64_t job,
               uint32_t shard, Skein__BlobKind kind, struct err *err)
{
    struct blob_cache_entry *e;

    for (int i = 0; i < BLOB_CACHE_ENTRIES; i++) {
        e = &c->entry[i];
        if (e->job == job && e->shard == shard && e->kind == kind) {
            e->used = ++c->clock;
            return e;
        }
    }
    e = evict(c);
    if (store_job_blob(j, shard, kind, &e->data, e->hash, err) < 0) {
        drop(e);
        return NULL;
    }
    e->job = job;
    e->shard = shard;
    e->kind = kind;
    e->used = ++c->clock;
    trim(c, e);
    return e;
}

void blob_cache_forget(struct blob_cache *c, uint64_t job, uint32_t shard)
{
    for (int i = 0; i < BLOB_CACHE_ENTRIES; i++) {
        if (c->entry[i].job == job && c->entry[i].shard == shard)
            drop(&c->entry[i]);
    }
}

void blob_cache_clear(struct blob_cache *c)
{
    for (int i = 0; i < BLOB_CACHE_ENTRIES; i++)
        drop(&c->entry[i]);
}
