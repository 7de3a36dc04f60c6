/* Failed lines out of a shard, and their answers back into it. */
#include <stdlib.h>
#include <string.h>

#include "daemon/retry.h"
#include "proto/lineset.h"
#include "tests/common/run.h"

/* Lines 10, 12, 14, ... of `prefix` and their number; "!" in `marks` makes an
 * error, " " leaves the line out, anything else is an answer.
 */
static struct buf pack(const char *prefix, const char *marks)
{
    struct buf out = BUF_INIT, text = BUF_INIT;
    struct lineset_writer w;

    lineset_writer_init(&w);
    for (size_t i = 0; marks[i] != '\0'; i++) {
        buf_clear(&text);
        buf_addf(&text, "%s%zu", prefix, i);
        if (marks[i] != ' ')
            lineset_add(&w, 10 + 2 * i, text.data, text.len, marks[i] == '!');
    }
    lineset_pack(&w, &out);
    lineset_writer_free(&w);
    buf_free(&text);
    return out;
}

/* "10:in0 12:in1! ..." */
static void expect(struct buf *packed, const char *want)
{
    struct buf got = BUF_INIT;
    struct lineset set;
    struct err err;

    ck_assert_msg(lineset_unpack(packed->data, packed->len, &set, &err) == 0,
                  "%s", err.text);
    buf_adds(&got, "");
    for (uint32_t i = 0; i < set.n; i++)
        buf_addf(&got, "%s%d:%.*s%s", i > 0 ? " " : "", (int)set.item[i].line,
                 (int)set.item[i].len, set.item[i].text,
                 set.item[i].error ? "!" : "");
    ck_assert_str_eq(got.data, want);
    lineset_free(&set);
    buf_free(&got);
    buf_free(packed);
}

static int merge(const char *old, const char *new, struct buf *out,
                 uint32_t *n_errors)
{
    struct buf a = pack("old", old), b = pack("new", new);
    struct err err = {.code = ERR_NONE};

    if (retry_merge(&a, &b, out, n_errors, &err) < 0)
        ck_assert_int_ne(err.code, ERR_NONE);
    buf_free(&a);
    buf_free(&b);
    return (int)err.code;
}

START_TEST(failed_lines_come_out)
{
    struct buf in = pack("in", "....."), result = pack("old", ".!.!!");
    struct buf out = BUF_INIT;

    ck_assert_int_eq(retry_input(&in, &result, &out, NULL), 0);
    expect(&out, "12:in1 16:in3 18:in4");
    buf_free(&in);
    buf_free(&result);
}
END_TEST

START_TEST(input_and_result_must_fit)
{
    struct buf in = pack("in", "..."), result = pack("old", ".! .");
    struct buf garbage = BUF_INIT, out = BUF_INIT;
    struct err err;

    buf_adds(&garbage, "garbage");
    ck_assert_int_lt(retry_input(&in, &result, &out, &err), 0);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_int_lt(retry_input(&in, &garbage, &out, &err), 0);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_int_lt(retry_input(&garbage, &result, &out, &err), 0);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&in);
    buf_free(&result);
    buf_free(&garbage);
}
END_TEST

START_TEST(answers_take_the_places_of_errors)
{
    struct buf out = BUF_INIT;
    uint32_t n_errors;

    ck_assert_int_eq(merge(".!.!!", " . .!", &out, &n_errors), ERR_NONE);
    ck_assert_uint_eq(n_errors, 1);
    expect(&out, "10:old0 12:new1 14:old2 16:new3 18:new4!");
    ck_assert_int_eq(merge("!!", "..", &out, &n_errors), ERR_NONE);
    ck_assert_uint_eq(n_errors, 0);
    expect(&out, "10:new0 12:new1");
}
END_TEST

START_TEST(every_failed_line_is_answered_and_no_other)
{
    struct buf out = BUF_INIT;
    uint32_t n = 77;

    ck_assert_int_eq(merge(".!!", " .", &out, &n), ERR_INVALID);
    ck_assert_int_eq(merge(".!!", "  .", &out, &n), ERR_INVALID);
    ck_assert_int_eq(merge(".!!", "...", &out, &n), ERR_INVALID);
    ck_assert_int_eq(merge(".!!", " ...", &out, &n), ERR_INVALID);
    ck_assert_int_eq(merge(".!!", "", &out, &n), ERR_INVALID);
    ck_assert_int_eq(merge("...", ".", &out, &n), ERR_INVALID);
    ck_assert_uint_eq(out.len, 0);
    ck_assert_uint_eq(n, 77);
}
END_TEST

int main(void)
{
    return RUN_TESTS("retry", failed_lines_come_out, input_and_result_must_fit,
                     answers_take_the_places_of_errors,
                     every_failed_line_is_answered_and_no_other);
}
