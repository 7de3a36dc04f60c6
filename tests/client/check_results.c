#include "client/results.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "tests/common/run.h"

/* Items from "3 5! 9": line numbers, '!' marks an error. */
static struct lineset set_of(const char *text, struct lineset_item *item)
{
    struct lineset s = {.item = item};
    const char *p = text;
    int used;
    unsigned line;

    while (sscanf(p, "%u%n", &line, &used) == 1) {
        p += used;
        item[s.n] = (struct lineset_item){.line = line};
        if (*p == '!') {
            item[s.n].error = true;
            s.n_error++;
            p++;
        }
        s.n++;
    }
    return s;
}

static int note(struct buf *b, uint64_t line, struct err *err)
{
    if (line == 666)
        return err_set(err, ERR_IO, "disk on fire");
    buf_addf(b, "%llu ", (unsigned long long)line);
    return 0;
}

struct outputs {
    struct buf result, error;
};

static int on_result(void *ctx, const struct lineset_item *item,
                     struct err *err)
{
    return note(&((struct outputs *)ctx)->result, item->line, err);
}

static int on_error(void *ctx, const struct lineset_item *item, struct err *err)
{
    return note(&((struct outputs *)ctx)->error, item->line, err);
}

START_TEST(errors_of_both_kinds_come_in_line_order)
{
    static const struct {
        const char *answers, *rejected, *result, *error;
    } row[] = {
        {"1 2 3", "", "1 2 3 ", ""},
        {"2! 4 6!", "1 3 5 7", "4 ", "1 2 3 5 6 7 "},
        {"1! 2!", "3 4", "", "1 2 3 4 "},
        {"5 6", "1 2", "5 6 ", "1 2 "},
        {"", "8 9", "", "8 9 "},
        {"", "", "", ""},
        {"10! 12", "11", "12 ", "10 11 "},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct lineset_item a[8], r[8];
        struct lineset answers = set_of(row[i].answers, a);
        struct lineset rejected = set_of(row[i].rejected, r);
        struct outputs out = {BUF_INIT, BUF_INIT};
        struct results_sink sink = {
            .result = on_result, .error = on_error, .ctx = &out};

        buf_adds(&out.result, "");
        buf_adds(&out.error, "");
        ck_assert_int_eq(results_merge(&answers, &rejected, &sink, NULL), 0);
        ck_assert_str_eq(out.result.data, row[i].result);
        ck_assert_str_eq(out.error.data, row[i].error);
        buf_free(&out.result);
        buf_free(&out.error);
    }
}
END_TEST

START_TEST(what_is_not_wanted_is_left_out)
{
    struct lineset_item a[8], r[8];
    struct lineset answers = set_of("1 2! 4", a), rejected = set_of("3", r);
    struct outputs out = {BUF_INIT, BUF_INIT};
    struct results_sink sink = {.error = on_error, .ctx = &out};

    ck_assert_int_eq(results_merge(&answers, &rejected, &sink, NULL), 0);
    ck_assert_str_eq(out.error.data, "2 3 ");
    buf_clear(&out.error);
    sink = (struct results_sink){.result = on_result, .ctx = &out};
    ck_assert_int_eq(results_merge(&answers, &rejected, &sink, NULL), 0);
    ck_assert_str_eq(out.result.data, "1 4 ");
    ck_assert_uint_eq(out.error.len, 0);
    buf_free(&out.result);
    buf_free(&out.error);
}
END_TEST

START_TEST(no_rejected_set_is_an_empty_one)
{
    struct lineset_item a[8];
    struct lineset answers = set_of("1 2!", a);
    struct outputs out = {BUF_INIT, BUF_INIT};
    struct results_sink sink = {
        .result = on_result, .error = on_error, .ctx = &out};

    ck_assert_int_eq(results_merge(&answers, NULL, &sink, NULL), 0);
    ck_assert_str_eq(out.result.data, "1 ");
    ck_assert_str_eq(out.error.data, "2 ");
    buf_free(&out.result);
    buf_free(&out.error);
}
END_TEST

START_TEST(a_failed_write_stops_everything)
{
    static const char *const answers_of[] = {"1 666 700", "1 666! 700",
                                             "1 700"};
    static const char *const rejected_of[] = {"", "", "666"};

    for (int i = 0; i < 3; i++) {
        struct lineset_item a[8], r[8];
        struct lineset answers = set_of(answers_of[i], a);
        struct lineset rejected = set_of(rejected_of[i], r);
        struct outputs out = {BUF_INIT, BUF_INIT};
        struct results_sink sink = {
            .result = on_result, .error = on_error, .ctx = &out};
        struct err err = {.code = ERR_NONE};

        ck_assert_int_eq(results_merge(&answers, &rejected, &sink, &err), -1);
        ck_assert_int_eq(err.code, ERR_IO);
        ck_assert_str_eq(out.result.data, "1 ");
        buf_free(&out.result);
        buf_free(&out.error);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("results", errors_of_both_kinds_come_in_line_order,
                     what_is_not_wanted_is_left_out,
                     no_rejected_set_is_an_empty_one,
                     a_failed_write_stops_everything);
}
