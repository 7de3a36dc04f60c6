#include "common/hash.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zstd.h>

struct hash_ctx {
    crypto_generichash_state state; /* 64-byte aligned by its own type */
};

int hash_init(struct err *err)
{
    if (sodium_init() < 0)
        return err_set(err, ERR_OS, "libsodium cannot be initialised");
    return 0;
}

void hash_bytes(const void *data, size_t len, uint8_t out[HASH_BYTES])
{
    crypto_generichash(out, HASH_BYTES, data, len, NULL, 0);
}

struct hash_ctx *hash_begin(void)
{
    struct hash_ctx *ctx = aligned_alloc(64, sizeof *ctx);

    if (ctx == NULL)
        abort();
    crypto_generichash_init(&ctx->state, NULL, 0, HASH_BYTES);
    return ctx;
}

void hash_update(struct hash_ctx *ctx, const void *data, size_t len)
{
    crypto_generichash_update(&ctx->state, data, len);
}

void hash_end(struct hash_ctx *ctx, uint8_t out[HASH_BYTES])
{
    if (out != NULL)
        crypto_generichash_final(&ctx->state, out, HASH_BYTES);
    free(ctx);
}

uint64_t hash_u64(const struct hash_part *part, size_t n)
{
    crypto_generichash_state st;
    uint8_t out[HASH_BYTES];
    uint64_t v = 0;

    crypto_generichash_init(&st, NULL, 0, HASH_BYTES);
    for (size_t i = 0; i < n; i++)
        crypto_generichash_update(&st, part[i].data, part[i].len);
    crypto_generichash_final(&st, out, HASH_BYTES);
    for (int i = 7; i >= 0; i--)
        v = v << 8 | out[i];
    return v;
}

uint64_t hash_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

void hash_hex(const uint8_t *data, size_t len, char *out)
{
    sodium_bin2hex(out, 2 * len + 1, data, len);
}

void hash_random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

void zst_pack(const void *data, size_t len, struct buf *out)
{
    size_t bound = ZSTD_compressBound(len);
    char *to = buf_reserve(out, bound);
    size_t n = ZSTD_compress(to, bound, data, len, 1);

    /* The destination has the documented bound: only memory can be missing. */
    if (ZSTD_isError(n)) {
        fprintf(stderr, "<2>zstd: %s\n", ZSTD_getErrorName(n));
        abort();
    }
    out->len += n;
    out->data[out->len] = '\0';
}

int zst_unpack(const void *data, size_t len, size_t max, struct buf *out,
               struct err *err)
{
    unsigned long long size = ZSTD_getFrameContentSize(data, len);
    size_t got, frame = ZSTD_findFrameCompressedSize(data, len);

    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN
        || ZSTD_isError(frame) || frame != len)
        return err_set(err, ERR_CORRUPT, "not one zstd frame of known size");
    if (size > max)
        return err_set(err, ERR_LIMIT,
                       "zstd frame holds %llu bytes, %zu allowed", size, max);
    got = ZSTD_decompress(buf_reserve(out, (size_t)size), (size_t)size, data,
                          len);
    if (ZSTD_isError(got) || got != size)
        return err_set(err, ERR_CORRUPT, "zstd frame: %s",
                       ZSTD_isError(got) ? ZSTD_getErrorName(got) : "short");
    out->len += got;
    out->data[out->len] = '\0';
    return 0;
}

static uint32_t crc_table[8][256];

/* Slicing by 8 over the reflected Castagnoli polynomial. */
static void __attribute__((constructor)) crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1;
        crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++)
            crc_table[t][i] = crc_table[t - 1][i] >> 8
                              ^ crc_table[0][crc_table[t - 1][i] & 255];
    }
}

uint32_t hash_crc32c_portable(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = 0xFFFFFFFFu;

    for (; len >= 8; len -= 8, p += 8) {
        uint32_t lo, hi;

        memcpy(&lo, p, 4);
        memcpy(&hi, p + 4, 4);
        lo ^= crc;
        crc = crc_table[7][lo & 255] ^ crc_table[6][lo >> 8 & 255]
              ^ crc_table[5][lo >> 16 & 255] ^ crc_table[4][lo >> 24]
              ^ crc_table[3][hi & 255] ^ crc_table[2][hi >> 8 & 255]
              ^ crc_table[1][hi >> 16 & 255] ^ crc_table[0][hi >> 24];
    }
    for (; len > 0; len--, p++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
    return ~crc;
}

#ifdef __x86_64__
/* The instruction takes 8 bytes in 3 cycles; the tables, some 12. */
static __attribute__((target("sse4.2"))) uint32_t
crc_by_instruction(const uint8_t *p, size_t len)
{
    uint64_t wide = 0xFFFFFFFFu;
    uint32_t crc;

    for (; len >= 8; len -= 8, p += 8) {
        uint64_t eight;

        memcpy(&eight, p, 8);
        wide = __builtin_ia32_crc32di(wide, eight);
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--, p++)
        crc = __builtin_ia32_crc32qi(crc, *p);
    return ~crc;
}
#endif

uint32_t hash_crc32c(const void *data, size_t len)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return crc_by_instruction(data, len);
#endif
    return hash_crc32c_portable(data, len);
}
