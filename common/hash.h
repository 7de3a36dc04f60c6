/* common/hash.h - content hashes, frame checksums, compression of blobs
 *
 * BLAKE2b-256 (libsodium) where the hash must stand for the content; XXH3-64
 * for row checks in the spool; CRC-32C for frames (the polynomial of iSCSI).
 */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define HASH_BYTES 32

struct hash_ctx; /* incremental BLAKE2b-256 */

/* Prepare libsodium; call once at the start of every program. 0 or -1. */
int hash_init(struct err *err);

void hash_bytes(const void *data, size_t len, uint8_t out[HASH_BYTES]);

struct hash_ctx *hash_begin(void);
void hash_update(struct hash_ctx *ctx, const void *data, size_t len);
/* Write the hash and free `ctx`. `out` may be NULL to only free. */
void hash_end(struct hash_ctx *ctx, uint8_t out[HASH_BYTES]);

/* First 8 bytes of BLAKE2b-256 as a little-endian number; `n` parts joined. */
struct hash_part {
    const void *data;
    size_t len;
};
uint64_t hash_u64(const struct hash_part *part, size_t n);

uint64_t hash_xxh3(const void *data, size_t len);
uint32_t hash_crc32c(const void *data, size_t len);
/* The same, as a processor without an instruction for it does it. */
uint32_t hash_crc32c_portable(const void *data, size_t len);

/* Lower-case hex of `len` bytes into out[2 * len + 1]. */
void hash_hex(const uint8_t *data, size_t len, char *out);

/* Cryptographically random bytes. */
void hash_random(void *out, size_t len);

/* zstd level 1. Appends the compressed frame (which names its size) to `out`. */
void zst_pack(const void *data, size_t len, struct buf *out);

/* Append the decompressed frame to `out`, refusing content above `max` bytes
 * and anything that is not exactly one frame. ERR_CORRUPT, ERR_LIMIT.
 */
int zst_unpack(const void *data, size_t len, size_t max, struct buf *out,
               struct err *err);

#endif /* COMMON_HASH_H */
