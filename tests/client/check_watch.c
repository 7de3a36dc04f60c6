#include "client/watch.h"

#include <stdio.h>
#include <string.h>

#include "tests/common/run.h"

#define JOBS 40

static Skein__JobInfo job[JOBS];
static Skein__JobSpec spec[JOBS];
static char name[JOBS][32];
static const Skein__JobInfo *list[JOBS];

/* Jobs 1..n: every third running, the next queued, the next done. */
static struct select_jobs make(size_t n)
{
    static const Skein__JobState state[] = {SKEIN__JOB_STATE__JOB_RUNNING,
                                            SKEIN__JOB_STATE__JOB_QUEUED,
                                            SKEIN__JOB_STATE__JOB_DONE};

    for (size_t i = 0; i < n; i++) {
        skein__job_info__init(&job[i]);
        skein__job_spec__init(&spec[i]);
        snprintf(name[i], sizeof name[i], "job-%zu.jsonl", i + 1);
        spec[i].name = name[i];
        spec[i].model = name[i];
        job[i].spec = &spec[i];
        job[i].job = i + 1;
        job[i].state = state[i % 3];
        job[i].records = 1000;
        job[i].cost = 10000;
        job[i].answered = i % 3 == 2 ? 1000 : 0;
        list[i] = &job[i];
    }
    return (struct select_jobs){.job = list, .n = n};
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static size_t widest(const char *text)
{
    size_t most = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        most = len > most ? len : most;
        text += len + (text[len] != '\0');
    }
    return most;
}

START_TEST(a_page_fits_the_terminal)
{
    static const size_t jobs[] = {0, 1, 2, 3, 8, 40};
    static const size_t rows[] = {4, 10, 24, 60};
    static const size_t columns[] = {20, 79, 119, 200};
    Skein__ServerInfo server = SKEIN__SERVER_INFO__INIT;
    static char health[] = "ok";

    server.health = health;
    for (size_t i = 0; i < 6 * 4 * 4; i++) {
        size_t r = rows[i % 4], c = columns[i / 4 % 4], n = jobs[i / 16];
        struct select_jobs found = make(n);
        struct buf page = BUF_INIT;
        struct watch w = {.n = 0};

        watch_update(&w, &found, 0, 1000);
        buf_adds(&page, "");
        watch_page(&w, &server, r, c, false, &page);
        ck_assert_uint_le(count(page.data, "\n"), r);
        ck_assert_uint_le(widest(page.data), c);
        buf_free(&page);
        watch_free(&w);
    }
}
END_TEST

START_TEST(running_jobs_come_first_and_the_rest_is_counted)
{
    struct select_jobs found = make(40);
    struct buf page = BUF_INIT;
    struct watch w = {.n = 0};
    const char *running, *queued;

    watch_update(&w, &found, 0, 0);
    watch_page(&w, NULL, 20, 100, false, &page);
    running = strstr(page.data, "40  running");
    queued = strstr(page.data, "2  queued");
    ck_assert_ptr_nonnull(running);
    ck_assert_ptr_nonnull(queued);
    ck_assert(running < queued);
    ck_assert_ptr_null(strstr(page.data, "done "));
    ck_assert_ptr_nonnull(strstr(page.data, "... and 23 more\n"));
    buf_free(&page);
    watch_free(&w);
}
END_TEST

START_TEST(rates_are_those_of_the_watching)
{
    struct select_jobs found = make(2);
    struct buf page = BUF_INIT;
    struct watch w = {.n = 0};

    watch_update(&w, &found, 0, 0);
    job[0].tokens_in = 50000;
    job[0].cost_done = 2500;
    watch_update(&w, &found, 10000, 0);
    watch_page(&w, NULL, 20, 100, false, &page);
    ck_assert_ptr_nonnull(strstr(page.data, "25.0%"));
    ck_assert_ptr_nonnull(strstr(page.data, " 5.0k  0:30  job-1.jsonl"));
    /* A job that goes takes its meter along; one that comes starts anew. */
    found.n = 1;
    found.job = &list[1];
    watch_update(&w, &found, 20000, 0);
    ck_assert_uint_eq(w.n, 1);
    ck_assert_uint_eq(w.row[0].id, 2);
    found.n = 2;
    found.job = list;
    watch_update(&w, &found, 30000, 0);
    ck_assert(w.row[0].view.tokens_per_s < 0);
    buf_free(&page);
    watch_free(&w);
}
END_TEST

START_TEST(one_job_is_shown_in_detail)
{
    static char evil[] = "na\033[2Jme", why[] = "because";
    struct select_jobs found = make(1);
    struct buf page = BUF_INIT;
    struct watch w = {.n = 0};

    spec[0].name = evil;
    job[0].message = why;
    job[0].started_unix_ms = 1000;
    job[0].rejected = 3;
    watch_update(&w, &found, 0, 126000);
    watch_page(&w, NULL, 20, 100, false, &page);
    ck_assert_ptr_nonnull(
        strstr(page.data, "job 1  na?[2Jme  (job-1.jsonl)\n"));
    ck_assert_ptr_nonnull(strstr(page.data, "state     running\n"));
    ck_assert_ptr_nonnull(strstr(page.data, "message   because\n"));
    ck_assert_ptr_nonnull(strstr(page.data, "3 of 1003, 3 failed\n"));
    ck_assert_ptr_nonnull(strstr(page.data, "2:05 elapsed"));
    buf_free(&page);
    watch_free(&w);
}
END_TEST

START_TEST(lines_tell_each_state_once)
{
    struct select_jobs found = make(3);
    struct buf out = BUF_INIT;
    struct watch w = {.n = 0};

    watch_update(&w, &found, 0, 0);
    watch_lines(&w, false, &out);
    ck_assert_uint_eq(count(out.data, "\n"), 3);
    ck_assert_ptr_nonnull(strstr(out.data, "job 3 done | job-3.jsonl: 100.0%"));
    buf_clear(&out);
    watch_update(&w, &found, 1000, 0);
    watch_lines(&w, false, &out);
    ck_assert_uint_eq(out.len, 0);
    watch_lines(&w, true, &out); /* progress of running ones only */
    ck_assert_uint_eq(count(out.data, "\n"), 1);
    ck_assert_ptr_nonnull(strstr(out.data, "job 1 job-1.jsonl: 0.0%"));
    job[1].state = SKEIN__JOB_STATE__JOB_CANCELLED;
    buf_clear(&out);
    watch_update(&w, &found, 2000, 0);
    watch_lines(&w, false, &out);
    ck_assert_uint_eq(count(out.data, "\n"), 1);
    ck_assert_ptr_nonnull(strstr(out.data, "job 2 cancelled | job-2.jsonl"));
    buf_free(&out);
    watch_free(&w);
}
END_TEST

int main(void)
{
    return RUN_TESTS("watch", a_page_fits_the_terminal,
                     running_jobs_come_first_and_the_rest_is_counted,
                     rates_are_those_of_the_watching,
                     one_job_is_shown_in_detail, lines_tell_each_state_once);
}
