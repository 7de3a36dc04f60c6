#include "common/options.h"

#include <stdio.h>
#include <string.h>

#include "tests/common/run.h"

struct sample {
    const char *name;
    const char *mode;
    struct option_int count;
    struct option_list list;
    bool verbose;
    bool help;
};

static const char *const modes[] = {"fast", "slow", NULL};

static const struct option_row rows[] = {
    {.name = "name",
     .letter = 'n',
     .type = OPTION_TEXT,
     .offset = offsetof(struct sample, name),
     .value = "NAME",
     .help = "a name",
     .setting = true},
    {.name = "mode",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct sample, mode),
     .value = "MODE",
     .choice = modes,
     .help = "fast or slow",
     .fallback = "fast"},
    {.name = "count",
     .letter = 'c',
     .type = OPTION_INT,
     .offset = offsetof(struct sample, count),
     .value = "N",
     .min = -5,
     .max = 10,
     .help = "how many",
     .fallback = "1"},
    {.name = NULL},
};

static const struct option_row common[] = {
    {.name = "verbose",
     .letter = 'v',
     .type = OPTION_FLAG,
     .offset = offsetof(struct sample, verbose),
     .help = "more"},
    {.name = "help",
     .letter = 'h',
     .type = OPTION_FLAG,
     .offset = offsetof(struct sample, help),
     .help = "this text"},
    {.name = NULL},
};

static const struct option_spec spec = {
    .command = "sample",
    .synopsis = "[OPTIONS] FILE",
    .purpose = "sample things",
    .examples = "  skein sample x",
    .rows = rows,
    .common = common,
    .args_min = 1,
    .args_max = 1,
};

/* Parse words separated by spaces, up to 15 of them. */
static int parse(const char *line, struct sample *s, char **first,
                 struct err *err)
{
    static char copy[256];
    static char *argv[16];
    int argc = 0, at = 0, ret;

    *s = (struct sample){.name = NULL};
    snprintf(copy, sizeof copy, "sample %s", line);
    for (char *w = strtok(copy, " "); w != NULL && argc < 15;
         w = strtok(NULL, " "))
        argv[argc++] = w;
    argv[argc] = NULL;
    ret = options_parse(&spec, argc, argv, s, &at, err);
    if (first != NULL)
        *first = ret == 0 ? argv[at] : NULL;
    return ret;
}

START_TEST(every_type_is_read)
{
    struct sample s;
    struct err err;
    char *file;

    ck_assert_int_eq(
        parse("--name=a file -c -3 --mode slow -v", &s, &file, &err), 0);
    ck_assert_str_eq(s.name, "a");
    ck_assert_str_eq(s.mode, "slow");
    ck_assert(s.count.given);
    ck_assert_int_eq(s.count.value, -3);
    ck_assert(s.verbose);
    ck_assert_str_eq(file, "file");
}
END_TEST

START_TEST(what_is_not_given_stays)
{
    struct sample s;

    ck_assert_int_eq(parse("file", &s, NULL, NULL), 0);
    ck_assert_ptr_null(s.name);
    ck_assert_ptr_null(s.mode);
    ck_assert(!s.count.given);
    ck_assert(!s.verbose);
}
END_TEST

START_TEST(double_dash_ends_options)
{
    struct sample s;
    char *file;

    ck_assert_int_eq(parse("-- --verbose", &s, &file, NULL), 0);
    ck_assert_str_eq(file, "--verbose");
    ck_assert(!s.verbose);
}
END_TEST

START_TEST(mistakes_name_what_was_meant)
{
    static const struct {
        const char *line;
        const char *says;
    } row[] = {
        {"--nmae x f", "unknown option --nmae; did you mean --name?"},
        {"--nmae=x f", "did you mean --name?"},
        {"--zzzzzzzz f", "unknown option --zzzzzzzz"},
        {"-z f", "unknown option -z"},
        {"f --name", "option --name needs a value: NAME"},
        {"f -n", "option --name needs a value: NAME"},
        {"--name= f", "option --name: the value is empty"},
        {"--mode medium f", "option --mode: 'medium' is not one of fast, slow"},
        {"--count 11 f", "option --count: '11' is not within -5..10"},
        {"--count 99999999999999999999 f", "is not within -5..10"},
        {"--count 1x f", "option --count: '1x' is not a whole number"},
        {"--verbose=1 f", "option --verbose takes no value"},
        {"", "an argument is missing; usage: skein sample [OPTIONS] FILE"},
        {"a b", "unexpected argument 'b'"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err err = {.code = ERR_NONE};
        struct sample s;

        ck_assert_int_eq(parse(row[i].line, &s, NULL, &err), -1);
        ck_assert_int_eq(err.code, ERR_USAGE);
        ck_assert_msg(strstr(err.text, row[i].says) != NULL,
                      "'%s' said: %s\nexpected: %s", row[i].line, err.text,
                      row[i].says);
    }
}
END_TEST

START_TEST(help_wins_over_missing_arguments)
{
    struct sample s;

    ck_assert_int_eq(parse("--help", &s, NULL, NULL), 0);
    ck_assert(s.help);
}
END_TEST

START_TEST(settings_are_checked_like_options)
{
    struct sample s = {.name = NULL};
    struct err err;

    ck_assert_int_eq(options_assign(&rows[2], "7", "SKEIN_COUNT", &s, &err), 0);
    ck_assert_int_eq(s.count.value, 7);
    ck_assert_int_eq(options_assign(&rows[2], "x", "SKEIN_COUNT", &s, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_str_eq(err.text, "SKEIN_COUNT: 'x' is not a whole number");
}
END_TEST

START_TEST(help_shows_every_option_and_default)
{
    struct buf b = BUF_INIT;

    options_help(&spec, &b);
    ck_assert_ptr_nonnull(strstr(b.data, "skein sample - sample things"));
    ck_assert_ptr_nonnull(strstr(b.data, "-n, --name NAME"));
    ck_assert_ptr_nonnull(strstr(b.data, "--mode MODE"));
    ck_assert_ptr_nonnull(strstr(b.data, "[default: fast]"));
    ck_assert_ptr_nonnull(strstr(b.data, "-h, --help"));
    ck_assert_ptr_nonnull(strstr(b.data, "SKEIN_<NAME>"));
    buf_free(&b);
}
END_TEST

START_TEST(durations_are_read)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } row[] = {
        {"90", 90000},
        {"1.5", 1500},
        {"200ms", 200},
        {"45s", 45000},
        {"1h30m", 5400000},
        {"1.5h", 5400000},
        {"2d", 172800000},
        {"01:30:00", 5400000},
        {"2:05", 125000},
        {"2-00:00:00", 172800000},
        {"1-02:03:04", 93784000},
        {"0", 0},
        {"", -1},
        {"-5", -1},
        {"1h30", -1},
        {"h", -1},
        {"1:", -1},
        {":1", -1},
        {"1:2:3:4", -1},
        {"1-2:3", -1},
        {"1:-5", -1},
        {"1-2-3:4:5", -1},
        {"5 s", -1},
        {"1y", -1},
        {"1.2.3", -1},
        {"99999999999999999999", -1},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int64_t ms = -1;
        int ret = options_duration(row[i].text, &ms);

        ck_assert_msg(ret == (row[i].ms < 0 ? -1 : 0) && ms == row[i].ms,
                      "'%s' is %lld ms", row[i].text, (long long)ms);
    }
}
END_TEST

START_TEST(lists_grow_and_times_have_bounds)
{
    static const struct option_row r[] = {
        {.name = "f",
         .type = OPTION_LIST,
         .offset = offsetof(struct sample, list),
         .value = "X",
         .help = "x"},
        {.name = "t",
         .type = OPTION_TIME,
         .offset = offsetof(struct sample, count),
         .value = "T",
         .help = "x",
         .min = 1000,
         .max = 60000},
    };
    struct sample s = {.name = NULL};
    struct err err;

    ck_assert(!options_given(&r[0], &s));
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        ck_assert_int_eq(options_assign(&r[0], "a", "x", &s, &err), 0);
    ck_assert(options_given(&r[0], &s));
    ck_assert_uint_eq(s.list.n, OPTION_LIST_MAX);
    ck_assert_int_eq(options_assign(&r[0], "a", "x", &s, &err), -1);
    ck_assert_int_eq(options_assign(&r[1], "1m", "x", &s, &err), 0);
    ck_assert_int_eq(s.count.value, 60000);
    ck_assert_int_eq(options_assign(&r[1], "61", "x", &s, &err), -1);
    ck_assert_str_eq(err.text, "x: '61' is not within 1..60 s");
    ck_assert_int_eq(options_assign(&r[1], "soon", "x", &s, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is not a duration"));
}
END_TEST

START_TEST(paragraphs_are_wrapped)
{
    static const struct {
        const char *text, *expected;
        size_t indent;
    } row[] = {
        {"", "", 0},
        {"one two three", "one two\nthree", 0},
        {"one two three", "one\n  two\n  three", 2},
        {"abcdefghijkl mn", "abcdefghijkl\nmn", 0},
        {"a\n  kept as it is\nb", "a\n  kept as it is\nb", 0},
        {"a\n\nb", "a\n\n  b", 2},
        {"12345678", "12345678", 0},
        {"12345678 9", "12345678\n9", 0},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf b = BUF_INIT;

        buf_adds(&b, "");
        options_wrap(row[i].text, row[i].indent, 8, &b);
        ck_assert_str_eq(b.data, row[i].expected);
        buf_free(&b);
    }
}
END_TEST

START_TEST(what_is_required_is_named)
{
    static const struct option_row required[] = {
        {.name = "name",
         .type = OPTION_TEXT,
         .offset = offsetof(struct sample, name),
         .value = "NAME",
         .help = "a name",
         .required = true},
        {.name = NULL},
    };
    static const struct option_spec s = {.command = "x", .rows = required};
    struct sample v = {.name = NULL};
    struct err err;

    ck_assert_int_eq(options_complete(&s, &v, &err), -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_str_eq(err.text, "option --name NAME is required: a name");
    v.name = "n";
    ck_assert_int_eq(options_complete(&s, &v, &err), 0);
}
END_TEST

int main(void)
{
    return RUN_TESTS("options", every_type_is_read, what_is_not_given_stays,
                     double_dash_ends_options, mistakes_name_what_was_meant,
                     help_wins_over_missing_arguments,
                     settings_are_checked_like_options,
                     help_shows_every_option_and_default, durations_are_read,
                     lists_grow_and_times_have_bounds, paragraphs_are_wrapped,
                     what_is_required_is_named);
}
