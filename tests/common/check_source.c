/* Plain, gzip and zstd bytes: whole, joined, cut at every place, damaged, and
 * much larger than they look.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/source.h"

static struct buf text; /* 3000 lines */

static void setup(void)
{
    text = BUF_INIT;
    for (int i = 1; i <= 3000; i++)
        buf_addf(&text, "{\"id\":%d,\"text\":\"%x\"}\n", i,
                 (unsigned)i * 2654435761u);
}

static void teardown(void)
{
    buf_free(&text);
}

static void add_gzip(struct buf *out, const char *data, size_t len)
{
    z_stream z = {0};

    ck_assert_int_eq(
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.avail_out = (uInt)deflateBound(&z, len);
    z.next_out = (Bytef *)buf_reserve(out, z.avail_out);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void add_zstd(struct buf *out, const char *data, size_t len, int log)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(len), n;

    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
    n = ZSTD_compress2(c, buf_reserve(out, bound), bound, data, len);
    ck_assert(!ZSTD_isError(n));
    out->len += n;
    ZSTD_freeCCtx(c);
}

static int file_of(const void *data, size_t len)
{
    int fd = memfd_create("source", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write_all(fd, data, len), 0);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Everything, `step` bytes at a time; or -1. */
static int64_t drain(struct source *s, size_t step, struct buf *out,
                     struct err *err)
{
    int64_t n;

    buf_clear(out);
    do {
        n = source_read(s, buf_reserve(out, step), step, err);
        out->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    return n < 0 ? -1 : (int64_t)out->len;
}

/* `packed` reads as `want`, in several step sizes and twice. */
static void reads_as(const struct buf *packed, const char *want, size_t len)
{
    static const size_t steps[] = {1, 7, 4096, 1u << 20};
    struct buf out = BUF_INIT;
    int fd = file_of(packed->data, packed->len);
    struct err err;
    struct source *s = source_open(fd, "in", &err);

    ck_assert_msg(s != NULL, "%s", err.text);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ck_assert_int_eq(drain(s, steps[i], &out, &err), (int64_t)len);
        ck_assert_int_eq(memcmp(out.data, want, len), 0);
        ck_assert_int_eq(source_read(s, out.data, 1, &err), 0);
        ck_assert_int_eq(source_rewind(s, 0, &err), 0);
    }
    source_close(s);
    close(fd);
    buf_free(&out);
}

START_TEST(plain_bytes_stay_as_they_are)
{
    struct buf b = BUF_INIT;

    reads_as(&text, text.data, text.len);
    buf_adds(&b, "{}"); /* shorter than any magic */
    reads_as(&b, "{}", 2);
    buf_clear(&b);
    reads_as(&b, "", 0);
    buf_free(&b);
}
END_TEST

START_TEST(packed_bytes_are_unpacked)
{
    struct buf gz = BUF_INIT, zst = BUF_INIT;

    add_gzip(&gz, text.data, text.len);
    reads_as(&gz, text.data, text.len);
    add_zstd(&zst, text.data, text.len, 0);
    reads_as(&zst, text.data, text.len);
    buf_free(&gz);
    buf_free(&zst);
}
END_TEST

START_TEST(members_and_frames_are_joined)
{
    static const char skippable[] = "\x50\x2a\x4d\x18\x03\x00\x00\x00xyz";
    struct buf gz = BUF_INIT, zst = BUF_INIT;
    size_t half = text.len / 2;

    add_gzip(&gz, text.data, half);
    add_gzip(&gz, "", 0);
    add_gzip(&gz, text.data + half, text.len - half);
    reads_as(&gz, text.data, text.len);
    buf_add(&zst, skippable, sizeof skippable - 1);
    add_zstd(&zst, text.data, half, 0);
    add_zstd(&zst, text.data + half, text.len - half, 0);
    buf_add(&zst, skippable, sizeof skippable - 1);
    reads_as(&zst, text.data, text.len);
    buf_free(&gz);
    buf_free(&zst);
}
END_TEST

static int64_t read_all(const struct buf *packed, const char *name,
                        struct err *err)
{
    struct buf out = BUF_INIT;
    int fd = file_of(packed->data, packed->len);
    struct source *s = source_open(fd, name, err);
    int64_t n = s == NULL ? -1 : drain(s, 4096, &out, err);

    source_close(s);
    close(fd);
    buf_free(&out);
    return n;
}

/* Wherever a file is cut off, it is an error and not a shorter file. */
static void cut_everywhere(struct buf *packed, const char *name)
{
    size_t whole = packed->len;
    struct err err;

    ck_assert_int_eq(read_all(packed, name, &err), (int64_t)text.len);
    for (size_t len = 0; len < whole;
         len += len < 40 || whole - len < 40 ? 1 : 997) {
        packed->len = len;
        ck_assert_int_eq(read_all(packed, name, &err), -1);
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_int_eq(strncmp(err.text, name, strlen(name)), 0);
    }
    packed->len = whole;
}

START_TEST(cut_off_anywhere_is_an_error)
{
    struct buf gz = BUF_INIT, zst = BUF_INIT;
    struct err err;

    add_gzip(&gz, text.data, text.len);
    cut_everywhere(&gz, "in.gz");
    add_zstd(&zst, text.data, text.len, 0);
    cut_everywhere(&zst, "in.zst");
    gz.len -= 9;
    read_all(&gz, "in.gz", &err);
    ck_assert_ptr_nonnull(strstr(err.text, "in line 300"));
    buf_free(&gz);
    buf_free(&zst);
}
END_TEST

/* Both formats carry checksums: no flipped bit may go unnoticed. */
static void flip_everywhere(struct buf *packed)
{
    struct err err;

    for (size_t i = 10; i < packed->len; i += 131) {
        packed->data[i] ^= 0x10;
        ck_assert_int_eq(read_all(packed, "in", &err), -1);
        ck_assert_int_eq(err.code, ERR_INVALID);
        packed->data[i] ^= 0x10;
    }
}

START_TEST(damage_is_an_error)
{
    struct buf gz = BUF_INIT, zst = BUF_INIT;
    struct err err;

    add_gzip(&gz, text.data, text.len);
    flip_everywhere(&gz);
    add_zstd(&zst, text.data, text.len, 0);
    flip_everywhere(&zst);
    buf_adds(&gz, "trailing");
    ck_assert_int_eq(read_all(&gz, "in.gz", &err), -1);
    buf_adds(&zst, "trailing");
    ck_assert_int_eq(read_all(&zst, "in.zst", &err), -1);
    buf_free(&gz);
    buf_free(&zst);
}
END_TEST

START_TEST(name_promises_its_format)
{
    struct buf gz = BUF_INIT, none = BUF_INIT;
    struct err err;

    add_gzip(&gz, text.data, text.len);
    buf_adds(&none, "");
    ck_assert_int_eq(read_all(&gz, "in.zst", &err), -1);
    ck_assert_str_eq(err.text, "in.zst: is gzip, not zstd data");
    ck_assert_int_eq(read_all(&text, "in.gz", &err), -1);
    ck_assert_str_eq(err.text, "in.gz: is something else, not gzip data");
    ck_assert_int_eq(read_all(&none, "in.gz", &err), -1);
    ck_assert_str_eq(err.text, "in.gz: is empty, not gzip data");
    ck_assert_int_eq(read_all(&gz, "in.jsonl", &err), (int64_t)text.len);
    buf_free(&gz);
    buf_free(&none);
}
END_TEST

START_TEST(window_is_bounded)
{
    size_t len = (128u << 20) + 1;
    char *zeros = calloc(1, len);
    struct buf zst = BUF_INIT;
    struct err err;

    add_zstd(&zst, zeros, len, 28);
    ck_assert_int_eq(read_all(&zst, "in.zst", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--long=27"));
    buf_free(&zst);
    free(zeros);
}
END_TEST

/* 1 GiB of one line out of a megabyte: read, never held. */
START_TEST(bomb_takes_no_memory)
{
    size_t part = 64u << 20, total = 0;
    char *zeros = calloc(1, part), *out = malloc(1u << 16);
    struct rusage before, after;
    struct buf one = BUF_INIT, gz = BUF_INIT;
    struct err err;
    struct source *s;
    int64_t n;
    int fd;

    add_gzip(&one, zeros, part);
    for (int i = 0; i < 16; i++)
        buf_add(&gz, one.data, one.len);
    ck_assert_uint_lt(gz.len, 2u << 20);
    fd = file_of(gz.data, gz.len);
    s = source_open(fd, "in.gz", &err);
    getrusage(RUSAGE_SELF, &before);
    while ((n = source_read(s, out, 1u << 16, &err)) > 0)
        total += (size_t)n;
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_eq(n, 0);
    ck_assert_uint_eq(total, 16 * part);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 8 << 10); /* KiB */
    source_close(s);
    close(fd);
    free(zeros);
    free(out);
    buf_free(&one);
    buf_free(&gz);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("source");
    TCase *tc = tcase_create("source");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, plain_bytes_stay_as_they_are);
    tcase_add_test(tc, packed_bytes_are_unpacked);
    tcase_add_test(tc, members_and_frames_are_joined);
    tcase_add_test(tc, cut_off_anywhere_is_an_error);
    tcase_add_test(tc, damage_is_an_error);
    tcase_add_test(tc, name_promises_its_format);
    tcase_add_test(tc, window_is_bounded);
    tcase_add_test(tc, bomb_takes_no_memory);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
