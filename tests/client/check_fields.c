#include "client/fields.h"

#include <string.h>

#include "client/job_fields.h"
#include "tests/common/run.h"

struct inner {
    char *who;
};
struct thing {
    uint64_t id;
    uint32_t small;
    int32_t priority;
    char *name;
    int64_t at;
    struct inner *inner;
};

static const void *inner_of(const void *item)
{
    return ((const struct thing *)item)->inner;
}

static void twice(const void *item, struct buf *out)
{
    buf_addf(out, "%d", 2 * ((const struct thing *)item)->priority);
}

static const char *const names[] = {"good", "bad", NULL};

static const struct field known[] = {
    {.name = "id",
     .title = "ID",
     .type = FIELD_U64,
     .offset = offsetof(struct thing, id),
     .right = true},
    {.name = "small",
     .title = "SMALL",
     .type = FIELD_U32,
     .offset = offsetof(struct thing, small)},
    {.name = "priority",
     .title = "PRIO",
     .type = FIELD_I32,
     .offset = offsetof(struct thing, priority)},
    {.name = "name",
     .title = "NAME",
     .type = FIELD_STRING,
     .offset = offsetof(struct thing, name),
     .values = names},
    {.name = "at",
     .title = "AT",
     .type = FIELD_TIME,
     .offset = offsetof(struct thing, at)},
    {.name = "who",
     .title = "WHO",
     .type = FIELD_STRING,
     .offset = offsetof(struct inner, who),
     .part = inner_of},
    {.name = "twice", .title = "TWICE", .text = twice},
    {.name = NULL},
};

static char good[] = "good", bad[] = "bad", me[] = "me\tyou";
static struct inner inner = {me};
static const struct thing things[] = {
    {7, 1, -3, good, 1000, &inner},
    {12, 0, 4, bad, 0, NULL},
};
static const void *const items[] = {&things[0], &things[1]};

START_TEST(columns_are_chosen_and_aligned)
{
    struct fields f;
    struct buf b = BUF_INIT;

    ck_assert_int_eq(
        fields_choose(known, "id,name,priority,twice,at", &f, NULL), 0);
    fields_table(&f, items, 2, false, 0, &b);
    ck_assert_str_eq(b.data, "ID  NAME  PRIO  TWICE  AT\n"
                             " 7  good  -3    -6     1970-01-01T00:00:01Z\n"
                             "12  bad   4     8      -\n");
    buf_clear(&b);
    ck_assert_int_eq(fields_choose(known, "who,small,id,at", &f, NULL), 0);
    fields_tabs(&f, items, 2, &b);
    /* A tab within a field would be another column. */
    ck_assert_str_eq(b.data, "me?you\t1\t7\t1970-01-01T00:00:01Z\n\t0\t12\t\n");
    buf_free(&b);
}
END_TEST

START_TEST(unknown_fields_name_the_nearest)
{
    static const char *const row[][2] = {
        {"nmae", "did you mean 'name'?"},
        {"id,,name", "there are id, small"},
        {"id,", "there is no field ''"},
        {"whatever", "there are id, small, priority, name, at, who, twice"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct fields f;
        struct err err;

        ck_assert_int_eq(fields_choose(known, row[i][0], &f, &err), -1);
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, row[i][1]) != NULL, "%s", err.text);
    }
}
END_TEST

/* Which of the two things pass? As bits. */
static int passing(const char *one, const char *two)
{
    struct option_list list = {.item = {one, two}, .n = two != NULL ? 2 : 1};
    struct fields_filter f;
    int bits = 0;

    ck_assert_int_eq(fields_filter_parse(known, &list, &f, NULL), 0);
    for (int i = 0; i < 2; i++)
        bits |= fields_filter_match(&f, &things[i]) << i;
    fields_filter_free(&f);
    return bits;
}

START_TEST(filters_let_pass_what_matches)
{
    static const struct {
        const char *one, *two;
        int passing;
    } row[] = {
        {"id=7", NULL, 1},
        {"id=7,12", NULL, 3},
        {"id=8", NULL, 0},
        {"name=b*", NULL, 2},
        {"name!=b*", NULL, 1},
        {"name!=good,bad", NULL, 0},
        {"id=7,12,name=bad", NULL, 2},
        {"id=7,name=bad", NULL, 0},
        {"name=bad,id=7,12", NULL, 2},
        {"name=good", "priority=-3", 1},
        {"name=good", "priority=4", 0},
        {"who=", NULL, 2}, /* empty where there is no part */
        {"at=1970*", NULL, 1},
        {"name!=bad,id=12", NULL, 0},
        {"id=99,name!=bad", NULL, 0},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ck_assert_msg(passing(row[i].one, row[i].two) == row[i].passing,
                      "%s %s: %d", row[i].one, row[i].two ? row[i].two : "",
                      passing(row[i].one, row[i].two));
}
END_TEST

START_TEST(wrong_filters_are_told)
{
    static const char *const row[][2] = {
        {"good", "'good' is not KEY=VALUE"},
        {"nam=good", "did you mean 'name'?"},
        {"name=goof", "no name is 'goof'; did you mean 'good'?"},
        {"name=purple", "there are good, bad"},
        {"=x", "there is no field ''"},
        {"!=x", "there is no field ''"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct option_list list = {.item = {row[i][0]}, .n = 1};
        struct fields_filter f;
        struct err err;

        ck_assert_int_eq(fields_filter_parse(known, &list, &f, &err), -1);
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, row[i][1]) != NULL, "%s", err.text);
        ck_assert_ptr_nonnull(strstr(err.text, "option --filter"));
        fields_filter_free(&f);
    }
}
END_TEST

START_TEST(fields_of_jobs_are_texts)
{
    static const struct {
        const char *field, *text;
    } row[] = {
        {"id", "12"},        {"state", "running"}, {"done", "25.0%"},
        {"failed", "3"},     {"model", "m"},       {"priority", "-2"},
        {"bos", "if-empty"}, {"fingerprint", ""},  {"message", ""},
        {"started", ""},     {"seed", "9"},        {"tokens_in", "5"},
    };
    static char model[] = "m";
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;

    job.job = 12;
    job.state = SKEIN__JOB_STATE__JOB_RUNNING;
    job.records = 10;
    job.cost = 100;
    job.cost_done = 25;
    job.failed = 1;
    job.rejected = 2;
    job.tokens_in = 5;
    job.spec = &spec;
    spec.model = model;
    spec.priority = -2;
    spec.seed = 9;
    spec.bos = SKEIN__BOS__BOS_IF_EMPTY;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct fields f;
        struct buf b = BUF_INIT;

        buf_adds(&b, "");
        ck_assert_int_eq(fields_choose(job_fields, row[i].field, &f, NULL), 0);
        field_text(f.column[0], &job, &b);
        ck_assert_str_eq(b.data, row[i].text);
        buf_free(&b);
    }
    job.answered = 10; /* all of it only when every line has ended */
    ck_assert_double_eq(job_share(&job), 1);
    job.answered = 9;
    job.cost_done = 100;
    ck_assert_double_eq(job_share(&job), 0.999);
}
END_TEST

int main(void)
{
    return RUN_TESTS("fields", columns_are_chosen_and_aligned,
                     unknown_fields_name_the_nearest,
                     filters_let_pass_what_matches, wrong_filters_are_told,
                     fields_of_jobs_are_texts);
}
