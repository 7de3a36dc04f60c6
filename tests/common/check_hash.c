#include "common/hash.h"

#include <string.h>

#include "tests/common/run.h"

static const char *hex_of(const uint8_t *data, size_t len)
{
    static char hex[2 * HASH_BYTES + 1];

    hash_hex(data, len, hex);
    return hex;
}

START_TEST(crc32c_vectors)
{
    uint8_t bytes[32];

    ck_assert_uint_eq(hash_crc32c("", 0), 0);
    ck_assert_uint_eq(hash_crc32c("123456789", 9), 0xE3069283u);
    /* RFC 3720, B.4. */
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(hash_crc32c(bytes, 32), 0x8A9136AAu);
    memset(bytes, 0xFF, sizeof bytes);
    ck_assert_uint_eq(hash_crc32c(bytes, 32), 0x62A8AB43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(hash_crc32c(bytes, 32), 0x46DD794Eu);
}
END_TEST

/* Bit by bit, at every length and alignment. */
START_TEST(crc32c_of_any_length)
{
    uint8_t bytes[80];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t from = 0; from < 9; from++) {
        uint32_t crc = 0xFFFFFFFFu;

        for (size_t len = 0; from + len < sizeof bytes; len++) {
            ck_assert_uint_eq(hash_crc32c(bytes + from, len), ~crc);
            ck_assert_uint_eq(hash_crc32c_portable(bytes + from, len), ~crc);
            crc ^= bytes[from + len];
            for (int k = 0; k < 8; k++)
                crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        }
    }
}
END_TEST

START_TEST(blake2b_vectors)
{
    uint8_t out[HASH_BYTES];

    ck_assert_int_eq(hash_init(NULL), 0);
    hash_bytes("", 0, out);
    ck_assert_str_eq(
        hex_of(out, sizeof out),
        "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    hash_bytes("abc", 3, out);
    ck_assert_str_eq(
        hex_of(out, sizeof out),
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}
END_TEST

START_TEST(hashing_in_parts_is_hashing_the_whole)
{
    struct hash_ctx *ctx = hash_begin();
    uint8_t whole[HASH_BYTES], parts[HASH_BYTES];
    struct hash_part part[] = {{"ab", 2}, {"", 0}, {"c", 1}};

    hash_update(ctx, "a", 1);
    hash_update(ctx, "bc", 2);
    hash_end(ctx, parts);
    hash_bytes("abc", 3, whole);
    ck_assert_mem_eq(parts, whole, HASH_BYTES);
    /* The first eight bytes, little-endian. */
    ck_assert_uint_eq(hash_u64(part, 3), UINT64_C(0x723942633c81ddbd));
    hash_end(hash_begin(), NULL);
}
END_TEST

START_TEST(xxh3_vector)
{
    ck_assert_uint_eq(hash_xxh3("", 0), UINT64_C(0x2D06800538D394C2));
    ck_assert_uint_ne(hash_xxh3("a", 1), hash_xxh3("b", 1));
}
END_TEST

START_TEST(random_bytes_differ)
{
    uint8_t a[16] = {0}, b[16] = {0};

    hash_random(a, sizeof a);
    hash_random(b, sizeof b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(a_packed_blob_comes_back)
{
    struct buf in = BUF_INIT, packed = BUF_INIT, out = BUF_INIT;
    struct err err;

    for (int i = 0; i < 5000; i++)
        buf_addf(&in, "line %d\n", i % 7);
    buf_adds(&packed, "head");
    zst_pack(in.data, in.len, &packed);
    ck_assert_uint_lt(packed.len, in.len / 10);
    buf_adds(&out, "kept");
    ck_assert_int_eq(
        zst_unpack(packed.data + 4, packed.len - 4, in.len, &out, &err), 0);
    ck_assert_uint_eq(out.len, in.len + 4);
    ck_assert_mem_eq(out.data, "kept", 4);
    ck_assert_mem_eq(out.data + 4, in.data, in.len);
    buf_free(&in);
    buf_free(&packed);
    buf_free(&out);
}
END_TEST

START_TEST(the_empty_blob_comes_back)
{
    struct buf packed = BUF_INIT, out = BUF_INIT;

    zst_pack("", 0, &packed);
    ck_assert_int_eq(zst_unpack(packed.data, packed.len, 0, &out, NULL), 0);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&packed);
    buf_free(&out);
}
END_TEST

START_TEST(content_above_the_bound_is_refused)
{
    struct buf packed = BUF_INIT, out = BUF_INIT;
    static char zeros[100000];
    struct err err;

    zst_pack(zeros, sizeof zeros, &packed);
    ck_assert_int_eq(
        zst_unpack(packed.data, packed.len, sizeof zeros, &out, &err), 0);
    buf_clear(&out);
    ck_assert_int_eq(
        zst_unpack(packed.data, packed.len, sizeof zeros - 1, &out, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&packed);
    buf_free(&out);
}
END_TEST

static void refuse(const void *data, size_t len)
{
    struct buf out = BUF_INIT;
    struct err err;

    ck_assert_int_eq(zst_unpack(data, len, 1000, &out, &err), -1);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&out);
}

START_TEST(anything_but_one_frame_is_refused)
{
    /* A frame that does not name its size: one empty raw block. */
    static const uint8_t unsized[] = {0x28, 0xB5, 0x2F, 0xFD, 0x00,
                                      0x58, 0x01, 0x00, 0x00};
    struct buf packed = BUF_INIT;
    size_t one;

    refuse("", 0);
    refuse("not zstd at all", 15);
    refuse(unsized, sizeof unsized);
    zst_pack("hello hello hello", 17, &packed);
    one = packed.len;
    for (size_t n = 0; n < one; n++)
        refuse(packed.data, n);
    buf_addc(&packed, 'x');
    refuse(packed.data, packed.len);
    packed.len = one;
    zst_pack("again", 5, &packed);
    refuse(packed.data, packed.len);
    buf_free(&packed);
}
END_TEST

int main(void)
{
    return RUN_TESTS(
        "hash", crc32c_vectors, crc32c_of_any_length, blake2b_vectors,
        hashing_in_parts_is_hashing_the_whole, xxh3_vector, random_bytes_differ,
        a_packed_blob_comes_back, the_empty_blob_comes_back,
        content_above_the_bound_is_refused, anything_but_one_frame_is_refused);
}
