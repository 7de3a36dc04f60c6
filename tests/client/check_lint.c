/* What is found in files of records, and in which order. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lint.h"
#include "common/file.h"
#include "tests/text/small.h"

static char dir[] = "/tmp/skein-lint-XXXXXX";
static char path[64];
static struct lint found;
static struct err err;

static void setup(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/in", dir);
}

static void teardown(void)
{
    lint_free(&found);
    file_remove_tree(dir, NULL);
}

/* Lint `text` and keep up to `max` findings. */
static void lint(const char *text, size_t max, const struct tokenizer *t)
{
    const struct lint_rules rules = {
        .tokenizer = t, .shown_max = max, .dir = dir};
    struct input in;
    FILE *f = fopen(path, "wb");

    fwrite(text, 1, strlen(text), f);
    fclose(f);
    lint_free(&found);
    ck_assert_int_eq(input_open(path, &in, &err), 0);
    ck_assert_msg(lint_run(&in, &rules, &found, &err) == 0, "%s", err.text);
    input_close(&in);
}

/* "3:invalid_json 5:duplicate_id" */
static void expect(const char *want)
{
    struct buf got = BUF_INIT;

    buf_adds(&got, "");
    for (size_t i = 0; i < found.n; i++)
        buf_addf(&got, "%s%d:%s", i > 0 ? " " : "", (int)found.finding[i].line,
                 found.finding[i].why.code);
    ck_assert_str_eq(got.data, want);
    buf_free(&got);
}

#define A "{\"id\":\"a\",\"text\":\"x\"}\n"
#define B "{\"id\":\"b\",\"context\":\"x\",\"target\":\" y\"}\n"
#define BAD "{\"id\":7,\"text\":1}\n"

START_TEST(counts)
{
    lint(A "\n \t\r\n" B BAD "{\"prompt\":\"x\",\"max_tokens\":5}", 10, NULL);
    ck_assert_uint_eq(found.lines, 6);
    ck_assert_uint_eq(found.blank, 2);
    ck_assert_uint_eq(found.records, 3);
    ck_assert_uint_eq(found.bad, 1);
    ck_assert_uint_eq(found.kind[RECORD_ROLLING], 1);
    ck_assert_uint_eq(found.kind[RECORD_SCORE], 1);
    ck_assert_uint_eq(found.kind[RECORD_GENERATE], 1);
    expect("5:wrong_type");
    ck_assert_str_eq(found.finding[0].id, "7");
    lint("", 10, NULL);
    ck_assert_uint_eq(found.lines, 0);
}
END_TEST

START_TEST(ids_given_twice_are_found_among_the_others)
{
    lint(A BAD B A A BAD, 10, NULL);
    expect("2:wrong_type 4:duplicate_id 5:duplicate_id 6:wrong_type");
    ck_assert_ptr_nonnull(strstr(found.finding[2].why.message, "line 1 "));
    ck_assert_uint_eq(found.records, 2);
    ck_assert_uint_eq(found.kind[RECORD_ROLLING], 1);
    /* A line number is an id, too. */
    lint("{\"id\":2,\"text\":\"x\"}\n{\"text\":\"x\"}\n", 10, NULL);
    expect("2:duplicate_id");
}
END_TEST

START_TEST(first_findings_are_kept_and_all_counted)
{
    lint(A BAD B A BAD BAD BAD A, 3, NULL);
    expect("2:wrong_type 4:duplicate_id 5:wrong_type");
    ck_assert_uint_eq(found.bad, 6);
    lint(BAD, 0, NULL);
    ck_assert_uint_eq(found.bad, 1);
    ck_assert_uint_eq(found.n, 0);
}
END_TEST

/* More ids than are kept in memory. */
START_TEST(many_lines)
{
    struct buf text = BUF_INIT;

    for (int i = 0; i < 200000; i++)
        buf_addf(&text, "{\"id\":%d,\"text\":\"x\"}\n", i == 199998 ? 7 : i);
    lint(text.data, 10, NULL);
    expect("199999:duplicate_id");
    ck_assert_ptr_nonnull(strstr(found.finding[0].why.message, "line 8 "));
    ck_assert_uint_eq(found.records, 199999);
    buf_free(&text);
}
END_TEST

START_TEST(tokens_are_counted)
{
    struct tokenizer *t = small_world(); /* a token for each of these letters */

    lint("{\"context\":\"q\",\"choices\":[\"z\",\"qz\"]}\n"
         "{\"text_ids\":[1,2,3,1,2]}\n"
         "{\"prompt\":\"zq\",\"max_tokens\":9}\n",
         10, t);
    expect("");
    ck_assert_uint_eq(found.tokens, 4 + 5 + 2);
    ck_assert_uint_eq(found.longest, 5);
    ck_assert_uint_eq(found.longest_line, 2);
    ck_assert_uint_eq(found.tokens_out_max, 9);
    tokenizer_close(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lint");
    TCase *tc = tcase_create("lint");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, counts);
    tcase_add_test(tc, ids_given_twice_are_found_among_the_others);
    tcase_add_test(tc, first_findings_are_kept_and_all_counted);
    tcase_add_test(tc, many_lines);
    tcase_add_test(tc, tokens_are_counted);
    suite_add_tcase(s, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
