#include "client/select.h"

#include <stdio.h>
#include <string.h>

#include "tests/common/run.h"

static const struct option_list no_filter = {.n = 0};

static int parse(const char *text, struct select *s, struct err *err)
{
    static char copy[2048];
    char *word[16];
    int n = 0;

    snprintf(copy, sizeof copy, "%s", text);
    for (char *w = strtok(copy, " "); w != NULL && n < 16;
         w = strtok(NULL, " "))
        word[n++] = w;
    return select_parse(word, n, &no_filter, s, err);
}

/* A string of the ids in 1..9, named "a" to "i", that are meant. */
static void meant(const char *text, char out[16])
{
    struct select s;
    size_t n = 0;

    ck_assert_int_eq(parse(text, &s, NULL), 0);
    for (uint64_t id = 1; id <= 9; id++) {
        Skein__JobInfo job = SKEIN__JOB_INFO__INIT;
        Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
        char name[2] = {(char)('a' + id - 1), '\0'};
        bool hit = false;

        job.job = id;
        job.spec = &spec;
        spec.name = name;
        for (size_t i = 0; i < s.n; i++)
            hit = hit || select_term_match(&s.term[i], &job);
        if (hit)
            out[n++] = (char)('0' + id);
    }
    out[n] = '\0';
    select_free(&s);
}

START_TEST(words_mean_jobs)
{
    static const char *const row[][2] = {
        {"3", "3"},           {"3,5-7", "3567"}, {"3 5-7 6", "3567"},
        {"all", "123456789"}, {"c", "3"},        {"a,c,9", "139"},
        {"name:c", "3"},      {"name:3", ""}, /* the name, not the number */
        {"name:a,c", ""},     {"last", ""},   /* up to the others */
        {"8-99", "89"},       {"007", "7"},      {"1-a", ""}, /* a name */
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char got[16];

        meant(row[i][0], got);
        ck_assert_msg(strcmp(got, row[i][1]) == 0, "'%s' means %s", row[i][0],
                      got);
    }
}
END_TEST

START_TEST(wrong_words_are_told)
{
    static const char *const row[][2] = {
        {"0", "numbered from 1"},
        {"0-3", "numbered from 1"},
        {"99999999999999999999", "numbered from 1"},
        {"7-3", "did you mean 3-7?"},
        {"3,", "a job is missing"},
        {",3", "a job is missing"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct select s;
        struct err err;

        ck_assert_int_eq(parse(row[i][0], &s, &err), -1);
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, row[i][1]) != NULL, "%s", err.text);
        select_free(&s);
    }
}
END_TEST

START_TEST(words_are_bounded)
{
    struct buf b = BUF_INIT;
    struct select s;
    struct err err;

    for (int i = 1; i <= SELECT_TERMS_MAX; i++)
        buf_addf(&b, "%s%d", i > 1 ? "," : "", i);
    ck_assert_int_eq(parse(b.data, &s, &err), 0);
    ck_assert_uint_eq(s.n, SELECT_TERMS_MAX);
    select_free(&s);
    buf_adds(&b, ",1");
    ck_assert_int_eq(parse(b.data, &s, &err), -1);
    select_free(&s);
    buf_free(&b);
}
END_TEST

START_TEST(numbers_are_known_as_such)
{
    struct select s;

    ck_assert_int_eq(parse("3,5-7,name:9", &s, NULL), 0);
    ck_assert(select_names_id(&s, 3));
    ck_assert(!select_names_id(&s, 6));
    ck_assert(!select_names_id(&s, 9));
    select_free(&s);
}
END_TEST

START_TEST(ids_become_words_again)
{
    static const uint64_t id[] = {1, 3, 4, 6, 7, 8, 20};
    struct buf b = BUF_INIT;

    select_words(id, 7, &b);
    ck_assert_str_eq(b.data, "1,3,4,6-8,20");
    buf_clear(&b);
    select_words(id, 1, &b);
    ck_assert_str_eq(b.data, "1");
    buf_free(&b);
}
END_TEST

int main(void)
{
    return RUN_TESTS("select", words_mean_jobs, wrong_words_are_told,
                     words_are_bounded, numbers_are_known_as_such,
                     ids_become_words_again);
}
