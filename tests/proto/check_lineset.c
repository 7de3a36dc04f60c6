#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "proto/lineset.h"
#include "tests/common/run.h"

static void pack(const struct lineset_item *item, size_t n, struct buf *out)
{
    struct lineset_writer w;

    lineset_writer_init(&w);
    for (size_t i = 0; i < n; i++)
        lineset_add(&w, item[i].line, item[i].text, item[i].len, item[i].error);
    *out = BUF_INIT;
    lineset_pack(&w, out);
    ck_assert_uint_eq(w.n, 0);
    lineset_writer_free(&w);
}

static void unpack(const struct buf *packed, struct lineset *out)
{
    struct err err = {0};

    ck_assert_msg(lineset_unpack(packed->data, packed->len, out, &err) == 0,
                  "%s", err.text);
}

START_TEST(round_trip)
{
    static const struct lineset_item item[] = {
        {7, "{\"a\":1}", 7, false, 0},
        {8, "", 0, false, 0},
        {4294967302u, "with\0nul and \xFF", 15, true, 0},
    };
    struct buf packed;
    struct lineset s;

    pack(item, 3, &packed);
    unpack(&packed, &s);
    ck_assert_uint_eq(s.n, 3);
    ck_assert_uint_eq(s.n_error, 1);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(s.item[i].line, item[i].line);
        ck_assert_uint_eq(s.item[i].len, item[i].len);
        ck_assert_int_eq(s.item[i].error, item[i].error);
        ck_assert_int_eq(memcmp(s.item[i].text, item[i].text, item[i].len), 0);
    }
    lineset_free(&s);
    lineset_free(&s); /* twice is allowed */
    buf_free(&packed);
}
END_TEST

/* A kind beside each record, which a copy of the line keeps. */
START_TEST(kinds)
{
    struct lineset_writer w;
    struct buf packed = BUF_INIT, copy = BUF_INIT;
    struct lineset s;

    lineset_writer_init(&w);
    for (unsigned kind = 0; kind <= LINESET_KIND_MAX; kind++)
        lineset_add_record(&w, 1 + kind, "text", kind % 5, kind);
    lineset_add(&w, 100, "error", 5, true);
    lineset_pack(&w, &packed);
    unpack(&packed, &s);
    for (uint32_t i = 0; i < s.n; i++)
        lineset_add_item(&w, &s.item[i]);
    lineset_pack(&w, &copy);
    ck_assert_uint_eq(copy.len, packed.len);
    ck_assert_mem_eq(copy.data, packed.data, packed.len);
    for (unsigned kind = 0; kind <= LINESET_KIND_MAX; kind++) {
        ck_assert_uint_eq(s.item[kind].kind, kind);
        ck_assert_uint_eq(s.item[kind].len, kind % 5);
        ck_assert(!s.item[kind].error);
    }
    ck_assert_uint_eq(s.item[8].kind, 0);
    ck_assert(s.item[8].error);
    lineset_free(&s);
    lineset_writer_free(&w);
    buf_free(&packed);
    buf_free(&copy);
}
END_TEST

START_TEST(empty_set)
{
    struct buf packed;
    struct lineset s;

    pack(NULL, 0, &packed);
    unpack(&packed, &s);
    ck_assert_uint_eq(s.n, 0);
    lineset_free(&s);
    buf_free(&packed);
}
END_TEST

START_TEST(many_lines)
{
    struct lineset_writer w;
    struct buf packed = BUF_INIT;
    struct lineset s;
    char text[32];

    lineset_writer_init(&w);
    for (uint64_t line = 1; line <= 20000; line++)
        lineset_add(&w, line * 3, text,
                    (size_t)snprintf(text, sizeof text, "text %llu",
                                     (unsigned long long)line),
                    line % 7 == 0);
    lineset_pack(&w, &packed);
    unpack(&packed, &s);
    ck_assert_uint_eq(s.n, 20000);
    ck_assert_uint_eq(s.n_error, 20000 / 7);
    for (uint32_t i = 0; i < s.n; i++) {
        int len = snprintf(text, sizeof text, "text %u", i + 1);

        ck_assert_uint_eq(s.item[i].line, (i + 1) * 3u);
        ck_assert_uint_eq(s.item[i].len, (unsigned)len);
        ck_assert_mem_eq(s.item[i].text, text, (size_t)len);
    }
    lineset_free(&s);
    lineset_writer_free(&w);
    buf_free(&packed);
}
END_TEST

/* One writer packs set after set. */
START_TEST(writer_is_reusable)
{
    struct lineset_writer w;

    lineset_writer_init(&w);
    for (int round = 0; round < 3; round++) {
        struct buf packed = BUF_INIT;
        struct lineset s;

        lineset_add(&w, 1, "x", 1, false);
        lineset_pack(&w, &packed);
        unpack(&packed, &s);
        ck_assert_uint_eq(s.n, 1);
        ck_assert_uint_eq(s.item[0].line, 1);
        lineset_free(&s);
        buf_free(&packed);
    }
    lineset_writer_free(&w);
}
END_TEST

/* ---- sets nobody honest would send ---- */

static void u32(struct buf *b, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_addc(b, (char)(v >> (8 * i)));
}

static void head(struct buf *b, uint32_t n, uint64_t first)
{
    *b = BUF_INIT;
    u32(b, 0x534C4B53u);
    u32(b, n);
    u32(b, (uint32_t)first);
    u32(b, (uint32_t)(first >> 32));
}

static void row(struct buf *b, uint32_t delta, uint32_t len)
{
    u32(b, delta);
    u32(b, len);
}

static void expect_refused(struct buf *raw, enum err_code code,
                           const char *text)
{
    struct buf packed = BUF_INIT;
    struct lineset s = {0};
    struct err err = {0};

    zst_pack(raw->data, raw->len, &packed);
    ck_assert_int_eq(lineset_unpack(packed.data, packed.len, &s, &err), -1);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' does not say '%s'",
                  err.text, text);
    ck_assert_int_eq(err.code, code);
    ck_assert_ptr_null(s.item);
    buf_free(&packed);
    buf_free(raw);
}

START_TEST(hostile_heads)
{
    struct buf raw = BUF_INIT;

    buf_adds(&raw, "SKLS");
    expect_refused(&raw, ERR_CORRUPT, "not a lineset");
    head(&raw, 0, 0);
    raw.data[0] = 'X';
    expect_refused(&raw, ERR_CORRUPT, "not a lineset");
    head(&raw, 1, 1);
    expect_refused(&raw, ERR_CORRUPT, "has a table for 0");
    head(&raw, UINT32_MAX, 1);
    row(&raw, 0, 0);
    expect_refused(&raw, ERR_CORRUPT, "has a table for 1");
    head(&raw, 0, 5);
    expect_refused(&raw, ERR_CORRUPT, "starts at line 5");
    head(&raw, 1, 0);
    row(&raw, 0, 0);
    expect_refused(&raw, ERR_CORRUPT, "starts at line 0");
    head(&raw, 1, UINT64_MAX);
    row(&raw, 0, 0);
    expect_refused(&raw, ERR_CORRUPT, "starts at line");
}
END_TEST

START_TEST(too_many_lines)
{
    struct buf raw;

    head(&raw, LINESET_ITEMS_MAX + 1, 1);
    for (uint32_t i = 0; i <= LINESET_ITEMS_MAX; i++)
        row(&raw, i, 0);
    expect_refused(&raw, ERR_LIMIT, "at most");
}
END_TEST

START_TEST(hostile_tables)
{
    struct buf raw;

    head(&raw, 1, 10); /* the first line is the first line */
    row(&raw, 1, 0);
    expect_refused(&raw, ERR_CORRUPT, "out of order");
    head(&raw, 2, 10); /* the same line twice */
    row(&raw, 0, 0);
    row(&raw, 0, 0);
    expect_refused(&raw, ERR_CORRUPT, "line 10 is out of order");
    head(&raw, 3, 10); /* descending */
    row(&raw, 0, 0);
    row(&raw, 5, 0);
    row(&raw, 4, 0);
    expect_refused(&raw, ERR_CORRUPT, "line 14 is out of order");
    head(&raw, 1, 10);
    row(&raw, 0, 4); /* text past the end */
    buf_adds(&raw, "abc");
    expect_refused(&raw, ERR_CORRUPT, "has 4 bytes, 3 are left");
    head(&raw, 2, 10); /* lengths whose sum overflows 32 bits */
    row(&raw, 0, 0x7FFFFFFF);
    row(&raw, 1, 0x7FFFFFFF);
    expect_refused(&raw, ERR_CORRUPT, "0 are left");
    head(&raw, 1, 10);
    row(&raw, 0, 2); /* text of no line */
    buf_adds(&raw, "abc");
    expect_refused(&raw, ERR_CORRUPT, "1 bytes of no line");
    head(&raw, 0, 0);
    buf_adds(&raw, "abc");
    expect_refused(&raw, ERR_CORRUPT, "3 bytes of no line");
}
END_TEST

START_TEST(not_zstd)
{
    struct lineset s = {0};
    struct err err = {0};
    struct buf packed;
    const struct lineset_item item = {1, "0123456789", 10, false, 0};

    ck_assert_int_eq(lineset_unpack("", 0, &s, &err), -1);
    ck_assert_int_eq(lineset_unpack("hello, world", 12, &s, &err), -1);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    pack(&item, 1, &packed);
    for (size_t n = 0; n < packed.len; n++)
        ck_assert_int_eq(lineset_unpack(packed.data, n, &s, &err), -1);
    buf_addc(&packed, 'x'); /* bytes after the frame */
    ck_assert_int_eq(lineset_unpack(packed.data, packed.len, &s, &err), -1);
    buf_free(&packed);
}
END_TEST

START_TEST(match)
{
    static const struct {
        uint64_t input[4], result[4];
        size_t n_input, n_result;
        const char *text; /* NULL: matches */
    } cases[] = {
        {{1, 2, 9}, {1, 2, 9}, 3, 3, NULL},
        {{0}, {0}, 0, 0, NULL},
        {{1, 2, 9}, {1, 2}, 3, 2, "2 answers to 3 lines"},
        {{1, 2}, {1, 2, 9}, 2, 3, "3 answers to 2 lines"},
        {{1, 2, 9}, {1, 3, 9}, 3, 3, "to line 3 instead of line 2"},
        {{1, 2}, {2, 3}, 2, 2, "answer 1 is to line 2 instead of line 1"},
        {{1}, {0}, 1, 0, "0 answers to 1 lines"},
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct lineset_item item[4];
        struct buf packed;
        struct lineset input, result;
        struct err err = {0};
        int status;

        for (size_t i = 0; i < cases[c].n_input; i++)
            item[i] =
                (struct lineset_item){cases[c].input[i], "in", 2, false, 0};
        pack(item, cases[c].n_input, &packed);
        unpack(&packed, &input);
        buf_free(&packed);
        for (size_t i = 0; i < cases[c].n_result; i++)
            item[i] =
                (struct lineset_item){cases[c].result[i], "out", 3, i == 1, 0};
        pack(item, cases[c].n_result, &packed);
        unpack(&packed, &result);
        buf_free(&packed);
        status = lineset_match(&input, &result, &err);
        ck_assert_int_eq(status, cases[c].text == NULL ? 0 : -1);
        if (cases[c].text != NULL) {
            ck_assert_int_eq(err.code, ERR_INVALID);
            ck_assert_msg(strstr(err.text, cases[c].text) != NULL, "%s",
                          err.text);
        }
        lineset_free(&input);
        lineset_free(&result);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("lineset", round_trip, kinds, empty_set, many_lines,
                     writer_is_reusable, hostile_heads, too_many_lines,
                     hostile_tables, not_zstd, match);
}
