#include "client/progress.h"

#include <stdlib.h>
#include <string.h>

#include "tests/common/run.h"

static const struct progress_view half = {
    .name = "lambada",
    .answered = 6250,
    .total = 50000,
    .tokens = 3100000,
    .failed = 3,
    .done = 0.125,
    .tokens_per_s = 41200,
    .elapsed_ms = 75000,
    .eta_ms = 525000,
};

START_TEST(plain_line_is_the_documented_one)
{
    struct buf b = BUF_INIT;

    progress_plain(&half, &b);
    ck_assert_str_eq(b.data, "lambada: 12.5% | 6250/50000 req | 3.1M tok | "
                             "41.2k tok/s | elapsed 1:15 | eta 8:45 | failed "
                             "3");
    buf_free(&b);
}
END_TEST

START_TEST(unknown_rates_are_dashes)
{
    struct progress_view v = half;
    struct buf b = BUF_INIT;

    v.tokens_per_s = -1;
    v.eta_ms = -1;
    progress_plain(&v, &b);
    ck_assert_ptr_nonnull(strstr(b.data, "| - tok/s |"));
    ck_assert_ptr_nonnull(strstr(b.data, "eta -:-- |"));
    buf_free(&b);
}
END_TEST

START_TEST(bar_at_80_columns_shows_everything)
{
    struct buf b = BUF_INIT;

    progress_bar(&half, 80, false, &b);
    ck_assert_uint_le(b.len, 79);
    ck_assert_str_eq(b.data,
                     "[##---------------]  12%  6250/50000  3.1M tok  41.2k "
                     "tok/s  eta 8:45  failed 3");
    buf_free(&b);
}
END_TEST

START_TEST(bar_at_40_columns_keeps_what_matters)
{
    struct buf b = BUF_INIT;

    progress_bar(&half, 40, false, &b);
    ck_assert_uint_le(b.len, 39);
    ck_assert_ptr_nonnull(strstr(b.data, "12%"));
    ck_assert_ptr_nonnull(strstr(b.data, "eta 8:45"));
    ck_assert_ptr_nonnull(strstr(b.data, "failed 3"));
    buf_free(&b);
}
END_TEST

START_TEST(no_width_overflows)
{
    struct progress_view v = half;

    v.answered = v.total = v.tokens = v.failed = UINT64_MAX;
    v.tokens_per_s = 1e30;
    v.eta_ms = v.elapsed_ms = INT64_MAX / 2;
    for (int columns = 5; columns < 200; columns++) {
        struct buf b = BUF_INIT;

        progress_bar(&v, columns, false, &b);
        ck_assert_msg((int)b.len < columns, "%d columns: '%s'", columns,
                      b.data);
        buf_free(&b);
    }
}
END_TEST

START_TEST(colour_changes_no_text)
{
    struct buf plain = BUF_INIT, color = BUF_INIT, stripped = BUF_INIT;

    progress_bar(&half, 80, false, &plain);
    progress_bar(&half, 80, true, &color);
    for (const char *p = color.data; *p != '\0'; p++) {
        if (*p == '\033') {
            p = strchr(p, 'm');
            continue;
        }
        buf_addc(&stripped, *p);
    }
    ck_assert_str_eq(stripped.data, plain.data);
    ck_assert_ptr_nonnull(strchr(color.data, '\033'));
    buf_free(&plain);
    buf_free(&color);
    buf_free(&stripped);
}
END_TEST

START_TEST(hundred_percent_only_when_all_is_answered)
{
    struct progress_view v = half;
    struct buf b = BUF_INIT;

    v.done = 0.9999;
    progress_bar(&v, 80, false, &b);
    ck_assert_ptr_nonnull(strstr(b.data, " 99%"));
    buf_free(&b);
}
END_TEST

START_TEST(counts_are_short)
{
    static const struct {
        double x;
        const char *text;
    } row[] = {
        {0, "0"},         {999, "999"},       {999.6, "1.0k"},  {1000, "1.0k"},
        {41234, "41.2k"}, {999949, "999.9k"}, {999951, "1.0M"}, {3.1e6, "3.1M"},
        {2.0e9, "2.0G"},  {1.5e12, "1.5T"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char out[16];

        progress_count(row[i].x, out);
        ck_assert_str_eq(out, row[i].text);
    }
}
END_TEST

START_TEST(durations_read_like_a_clock)
{
    static const struct {
        int64_t ms;
        const char *text;
    } row[] = {
        {0, "0:00"},          {7000, "0:07"},
        {7499, "0:07"},       {7500, "0:08"},
        {754000, "12:34"},    {3599499, "59:59"},
        {3600000, "1:00:00"}, {3723000, "1:02:03"},
        {-1, "-:--"},         {360000000, "100:00:00"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char out[24];

        progress_duration(row[i].ms, out);
        ck_assert_str_eq(out, row[i].text);
    }
}
END_TEST

static Skein__JobInfo job_at(uint64_t cost_done, uint64_t tokens)
{
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;

    job.records = 1000;
    job.cost = 100000;
    job.cost_done = cost_done;
    job.answered = cost_done * 1000 / 100000;
    job.tokens_in = tokens;
    return job;
}

START_TEST(eta_comes_from_cost)
{
    struct progress_meter m = {.count = 0};
    struct progress_view v;
    Skein__JobInfo job;

    for (int s = 0; s <= 10; s++) {
        job = job_at((uint64_t)s * 1000, (uint64_t)s * 5000);
        /* Few lines, much cost: lines must not enter the estimate. */
        job.answered = (uint64_t)s;
        progress_update(&m, &job, 1000000 + s * 1000, &v);
    }
    ck_assert_double_eq_tol(v.tokens_per_s, 5000, 1);
    ck_assert_int_eq(v.eta_ms, 90000);
    ck_assert_int_eq(v.elapsed_ms, 10000);
    ck_assert_double_eq_tol(v.done, 0.1, 1e-9);
}
END_TEST

START_TEST(eta_follows_a_change_of_speed)
{
    struct progress_meter m = {.count = 0};
    struct progress_view v;
    uint64_t cost = 0;

    for (int s = 0; s <= 120; s++) {
        Skein__JobInfo job = job_at(cost, cost);

        progress_update(&m, &job, s * 1000, &v);
        cost += s < 60 ? 100 : 500;
    }
    /* The window holds only the second, fast half. */
    ck_assert_double_eq_tol(v.tokens_per_s, 500, 5);
}
END_TEST

START_TEST(frequent_snapshots_do_not_shorten_the_window)
{
    struct progress_meter m = {.count = 0};
    struct progress_view v;

    for (int i = 0; i <= 20000; i++) {
        /* 10 steps of work, each in one burst every second. */
        Skein__JobInfo job = job_at((uint64_t)(i / 1000) * 1000, 0);

        progress_update(&m, &job, i, &v);
    }
    ck_assert_int_ge(v.eta_ms, 70000);
    ck_assert_int_le(v.eta_ms, 90000);
}
END_TEST

START_TEST(counters_that_go_back_give_no_rate)
{
    struct progress_meter m = {.count = 0};
    struct progress_view v;
    Skein__JobInfo job = job_at(5000, 5000);

    progress_update(&m, &job, 0, &v);
    job = job_at(1000, 1000); /* the coordinator restarted */
    progress_update(&m, &job, 2000, &v);
    ck_assert_double_lt(v.tokens_per_s, 0);
    ck_assert_int_lt(v.eta_ms, 0);
}
END_TEST

START_TEST(a_finished_job_is_all_done)
{
    struct progress_meter m = {.count = 0};
    struct progress_view v;
    Skein__JobInfo job = job_at(90000, 10);

    job.answered = job.records;
    progress_update(&m, &job, 0, &v);
    ck_assert_double_eq(v.done, 1);
    job = (Skein__JobInfo)SKEIN__JOB_INFO__INIT; /* no lines at all */
    progress_update(&m, &job, 1, &v);
    ck_assert_double_eq(v.done, 1);
}
END_TEST

START_TEST(plain_lines_come_every_5_then_30_seconds)
{
    ck_assert_int_eq(progress_plain_pause_ms(0), 5000);
    ck_assert_int_eq(progress_plain_pause_ms(59999), 5000);
    ck_assert_int_eq(progress_plain_pause_ms(60000), 30000);
}
END_TEST

START_TEST(colour_is_decided_as_documented)
{
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    unsetenv("CLICOLOR_FORCE");
    unsetenv("FORCE_COLOR");
    ck_assert(progress_color(NULL, true));
    ck_assert(!progress_color(NULL, false));
    ck_assert(progress_color("always", false));
    ck_assert(!progress_color("never", true));
    setenv("NO_COLOR", "", 1);
    ck_assert(progress_color("auto", true));
    setenv("NO_COLOR", "1", 1);
    ck_assert(!progress_color("auto", true));
    ck_assert(progress_color("always", true));
    unsetenv("NO_COLOR");
    setenv("FORCE_COLOR", "1", 1);
    ck_assert(progress_color("auto", false));
}
END_TEST

int main(void)
{
    return RUN_TESTS(
        "progress", plain_line_is_the_documented_one, unknown_rates_are_dashes,
        bar_at_80_columns_shows_everything,
        bar_at_40_columns_keeps_what_matters, no_width_overflows,
        colour_changes_no_text, hundred_percent_only_when_all_is_answered,
        counts_are_short, durations_read_like_a_clock, eta_comes_from_cost,
        eta_follows_a_change_of_speed,
        frequent_snapshots_do_not_shorten_the_window,
        counters_that_go_back_give_no_rate, a_finished_job_is_all_done,
        plain_lines_come_every_5_then_30_seconds,
        colour_is_decided_as_documented);
}
