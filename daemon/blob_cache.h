/* daemon/blob_cache.h - the blobs an owner thread is being asked for
 *
 * A blob is fetched in many windows and checked as a whole; the few that are
 * being fetched stay in memory meanwhile. Blobs change only when a result of
 * the shard is stored: blob_cache_forget() then. One thread uses a cache.
 */
#ifndef DAEMON_BLOB_CACHE_H
#define DAEMON_BLOB_CACHE_H

#include <stdint.h>

#include "common/buf.h"
#include "daemon/store.h"

#define BLOB_CACHE_ENTRIES 4
#define BLOB_CACHE_BYTES (8u << 20) /* per thread; one larger blob alone */

struct blob_cache_entry {
    uint64_t job; /* 0: empty */
    uint32_t shard;
    Skein__BlobKind kind;
    uint64_t used; /* larger: more recently */
    struct buf data;
    uint8_t hash[HASH_BYTES];
};

struct blob_cache {
    struct blob_cache_entry entry[BLOB_CACHE_ENTRIES];
    uint64_t clock;
};

/* The blob, from memory or from `j`. Valid until the next call. NULL: the
 * errors of store_job_blob().
 */
const struct blob_cache_entry *
blob_cache_get(struct blob_cache *c, struct store_job *j, uint64_t job,
               uint32_t shard, Skein__BlobKind kind, struct err *err);
void blob_cache_forget(struct blob_cache *c, uint64_t job, uint32_t shard);
void blob_cache_clear(struct blob_cache *c);

#endif /* DAEMON_BLOB_CACHE_H */
