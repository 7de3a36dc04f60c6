/* Files, pipes and packed files as bytes that can be read again; lines. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/input.h"
#include "common/file.h"

static char dir[] = "/tmp/skein-input-XXXXXX";
static char path[64];

static void setup(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/in", dir);
}

static void teardown(void)
{
    file_remove_tree(dir, NULL);
}

static void write_file(const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, len, f), len);
    fclose(f);
}

/* Write through `gzip`; `text` is kept for comparison. */
static void write_gzip(const struct buf *text)
{
    char command[128];
    FILE *f;

    snprintf(command, sizeof command, "gzip -c >%s", path);
    f = popen(command, "w");
    ck_assert_uint_eq(fwrite(text->data, 1, text->len, f), text->len);
    ck_assert_int_eq(pclose(f), 0);
}

static struct input open_path(void)
{
    struct input in;
    struct err err;

    ck_assert_msg(input_open(path, &in, &err) == 0, "%s", err.text);
    return in;
}

static struct buf long_text(void)
{
    struct buf text = BUF_INIT;

    for (int i = 0; i < 100000; i++)
        buf_addf(&text, "line %d\n", i);
    return text;
}

static void reads(struct input *in, const struct buf *text, uint64_t offset,
                  size_t len)
{
    char *out = malloc(len);
    size_t want = offset >= text->len        ? 0
                  : len < text->len - offset ? len
                                             : text->len - offset;
    struct err err;

    ck_assert_int_eq(input_read_at(in, offset, out, len, &err), (int64_t)want);
    ck_assert_int_eq(memcmp(out, text->data + (want > 0 ? offset : 0), want),
                     0);
    free(out);
}

/* Any offset, in any order; a packed file learns its size at its end. */
static void reads_anywhere(struct input *in, const struct buf *text)
{
    reads(in, text, 0, 1000);
    reads(in, text, 1000, 1000);
    reads(in, text, 500000, 70000);
    reads(in, text, 5, 10);
    reads(in, text, text->len - 3, 100);
    ck_assert_uint_eq(in->size, text->len);
    reads(in, text, text->len, 100);
    reads(in, text, text->len + 7, 100);
    reads(in, text, 400000, 100);
    input_close(in);
}

START_TEST(plain_file)
{
    struct buf text = long_text();
    struct input in;

    write_file(text.data, text.len);
    in = open_path();
    ck_assert_uint_eq(in.size, text.len);
    reads_anywhere(&in, &text);
    buf_free(&text);
}
END_TEST

START_TEST(packed_file)
{
    struct buf text = long_text();
    struct input in;

    write_gzip(&text);
    in = open_path();
    ck_assert_uint_eq(in.size, INPUT_SIZE_UNKNOWN);
    reads_anywhere(&in, &text);
    buf_free(&text);
}
END_TEST

/* As "-", through a pipe, plain and packed. */
START_TEST(standard_input)
{
    struct buf text = long_text();
    struct err err;

    for (int packed = 0; packed < 2; packed++) {
        int kept = dup(STDIN_FILENO);
        char command[96];
        struct input in;
        FILE *f;

        if (packed)
            write_gzip(&text);
        else
            write_file(text.data, text.len);
        snprintf(command, sizeof command, "cat %s", path);
        f = popen(command, "r");
        dup2(fileno(f), STDIN_FILENO);
        ck_assert_msg(input_open("-", &in, &err) == 0, "%s", err.text);
        pclose(f);
        dup2(kept, STDIN_FILENO);
        close(kept);
        ck_assert_str_eq(in.name, "standard input");
        reads_anywhere(&in, &text);
    }
    buf_free(&text);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    struct input in;
    struct err err;

    ck_assert_int_eq(input_open(path, &in, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(input_open(dir, &in, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    input_close(&in);
}
END_TEST

START_TEST(file_that_shrinks)
{
    struct buf text = long_text();
    struct err err;
    struct input in;
    char out[100];

    write_file(text.data, text.len);
    in = open_path();
    ck_assert_int_eq(truncate(path, 50), 0);
    ck_assert_int_eq(input_read_at(&in, 0, out, 100, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    input_close(&in);
    buf_free(&text);
}
END_TEST

/* "1:a|2:|3:b" for the lines of `data`. */
static void lines_are(const char *data, size_t len, size_t max,
                      const char *want)
{
    struct buf got = BUF_INIT;
    struct lines l;
    struct input in;
    struct err err;
    const char *text;
    size_t n;
    int ret;

    write_file(data, len);
    in = open_path();
    lines_open(&l, &in, max);
    buf_adds(&got, "");
    while ((ret = lines_next(&l, &text, &n, &err)) == 1)
        buf_addf(&got, "%s%d:%.*s", got.len > 0 ? "|" : "", (int)l.number,
                 (int)n, text);
    ck_assert_int_eq(ret, 0);
    ck_assert_str_eq(got.data, want);
    lines_close(&l);
    input_close(&in);
    buf_free(&got);
}

#define LINES(data, want) lines_are(data, sizeof(data) - 1, 8, want)

START_TEST(lines_of_all_kinds)
{
    LINES("", "");
    LINES("\n", "1:");
    LINES("a", "1:a");
    LINES("a\n", "1:a");
    LINES("a\n\nb", "1:a|2:|3:b");
    LINES("a\r\n\r\nb\r", "1:a|2:|3:b");
    LINES("\xEF\xBB\xBF"
          "a\n\xEF\xBB\xBF"
          "b\n",
          "1:a|2:\xEF\xBB\xBF"
          "b");
    LINES("12345678\n123456789\n1234567890\nx", /* one more, then cut */
          "1:12345678|2:123456789|3:123456789|4:x");
}
END_TEST

/* Lines over the borders of blocks, and one far too long. */
START_TEST(lines_and_blocks)
{
    struct buf text = long_text();
    struct input in;
    struct lines l;
    struct err err;
    const char *line;
    char want[32];
    size_t n;
    int ret;

    for (int i = 0; i < 3 << 20; i++)
        buf_addc(&text, 'x');
    buf_adds(&text, "\nend");
    write_file(text.data, text.len);
    in = open_path();
    lines_open(&l, &in, 1000);
    while ((ret = lines_next(&l, &line, &n, &err)) == 1 && l.number <= 100000) {
        snprintf(want, sizeof want, "line %d", (int)l.number - 1);
        ck_assert_uint_eq(n, strlen(want));
        ck_assert_int_eq(memcmp(line, want, n), 0);
    }
    ck_assert_int_eq(ret, 1);
    ck_assert_uint_eq(n, 1001);
    ck_assert_uint_lt(l.line.cap, 1 << 20);
    ck_assert_int_eq(lines_next(&l, &line, &n, &err), 1);
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(lines_next(&l, &line, &n, &err), 0);
    ck_assert_int_eq(lines_next(&l, &line, &n, &err), 0);
    lines_close(&l);
    input_close(&in);
    buf_free(&text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("input");
    TCase *tc = tcase_create("input");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, plain_file);
    tcase_add_test(tc, packed_file);
    tcase_add_test(tc, standard_input);
    tcase_add_test(tc, what_cannot_be_read);
    tcase_add_test(tc, file_that_shrinks);
    tcase_add_test(tc, lines_of_all_kinds);
    tcase_add_test(tc, lines_and_blocks);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
