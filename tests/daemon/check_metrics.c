/* The text of /metrics: every name, its type, and what it counts. */
#include "daemon/metrics.h"

#include <stdio.h>
#include <string.h>

#include "proto/record.h"
#include "tests/common/run.h"

static struct core_stats stats;

static void has(const struct buf *text, const char *line)
{
    char whole[256];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg(strstr(text->data, whole) != NULL, "no line \"%s\" in\n%s",
                  line, text->data);
}

static void write(struct buf *text, bool healthy)
{
    struct metrics m = {
        .version = "1.2.3",
        .commit = "abc\"\\\n",
        .healthy = healthy,
        .stats = &stats,
        .spool_bytes = 5000,
        .spool_free_bytes = 70000,
        .start_time_s = 1.5,
        .resident_bytes = 4096,
        .open_fds = 9,
    };

    m.now.jobs[SKEIN__JOB_STATE__JOB_RUNNING] = 3;
    m.now.records_leased = 77;
    m.now.workers_by_state[CORE_WORKER_DRAINING] = 1;
    m.now.shards_leased = 4;
    histogram_add(&m.sync_s, histogram_sync_s, 0.003);
    histogram_add(&m.sync_s, histogram_sync_s, 100);
    buf_addc(text, '\n');
    metrics_write(&m, text);
}

START_TEST(counts)
{
    struct buf text = BUF_INIT;

    stats = (struct core_stats){.rejected = 6, .requeued = 7};
    stats.jobs_ended[SKEIN__JOB_STATE__JOB_DONE] = 2;
    stats.jobs_found[SKEIN__JOB_STATE__JOB_QUEUED] = 1;
    stats.jobs_found[SKEIN__JOB_STATE__JOB_HELD] = 1;
    stats.jobs_found[SKEIN__JOB_STATE__JOB_DONE] = 4;
    stats.answers[RECORD_GENERATE + 1][1] = 8;
    core_stats_model(&stats, "a\"b")->tokens_in += 10;
    core_stats_model(&stats, "m")->tokens_out += 20;
    core_stats_model(&stats, "a\"b")->tokens_in += 1;
    write(&text, true);
    has(&text,
        "skein_build_info{version=\"1.2.3\",commit=\"abc\\\"\\\\\\n\"} 1");
    has(&text, "skein_healthy 1");
    has(&text, "# TYPE skein_jobs gauge");
    has(&text, "skein_jobs{state=\"running\"} 3");
    has(&text, "skein_jobs{state=\"held\"} 0");
    has(&text, "# TYPE skein_jobs_finished_total counter");
    has(&text, "skein_jobs_finished_total{result=\"done\"} 2");
    ck_assert_ptr_null(strstr(text.data, "result=\"running\""));
    has(&text, "skein_startup_recovered_jobs_total{action=\"resumed\"} 2");
    has(&text, "skein_startup_recovered_jobs_total{action=\"kept\"} 4");
    has(&text, "skein_requests_total{kind=\"generate\",result=\"error\"} 8");
    has(&text, "skein_requests_total{kind=\"score\",result=\"ok\"} 0");
    has(&text, "skein_requests_total{kind=\"unknown\",result=\"rejected\"} 6");
    has(&text, "skein_requests_inflight 77");
    has(&text, "skein_requests_requeued_total 7");
    has(&text, "skein_prompt_tokens_total{model=\"a\\\"b\"} 11");
    has(&text, "skein_generation_tokens_total{model=\"m\"} 20");
    has(&text, "skein_workers{state=\"draining\"} 1");
    has(&text, "skein_shards{state=\"leased\"} 4");
    has(&text, "# TYPE skein_journal_sync_seconds histogram");
    has(&text, "skein_journal_sync_seconds_bucket{le=\"0.0025\"} 0");
    has(&text, "skein_journal_sync_seconds_bucket{le=\"0.005\"} 1");
    has(&text, "skein_journal_sync_seconds_bucket{le=\"5\"} 1");
    has(&text, "skein_journal_sync_seconds_bucket{le=\"+Inf\"} 2");
    has(&text, "skein_journal_sync_seconds_sum 100.003000");
    has(&text, "skein_journal_sync_seconds_count 2");
    has(&text, "skein_spool_free_bytes 70000");
    has(&text, "process_start_time_seconds 1.500");
    buf_free(&text);
    write(&text, false);
    has(&text, "skein_healthy 0");
    buf_free(&text);
}
END_TEST

/* Every kind of record has a name; a further one must be given one. */
START_TEST(kinds_are_named)
{
    struct buf text = BUF_INIT;

    write(&text, true);
    for (int kind = RECORD_SCORE; kind <= RECORD_GENERATE; kind++) {
        static const char *const name[] = {"score", "choice", "rolling",
                                           "generate"};
        char line[128];

        snprintf(line, sizeof line, "{kind=\"%s\",result=\"ok\"}", name[kind]);
        ck_assert_ptr_nonnull(strstr(text.data, line));
    }
    ck_assert_uint_le(RECORD_GENERATE + 1, LINESET_KIND_MAX);
    buf_free(&text);
}
END_TEST

/* However many models a coordinator sees: no more labels than these. */
START_TEST(models_are_bounded)
{
    char name[32];

    stats = (struct core_stats){0};
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "model-%d", i);
        core_stats_model(&stats, name)->tokens_in += 1;
    }
    ck_assert_uint_eq(stats.n_model, CORE_MODEL_STATS_MAX + 1);
    ck_assert_str_eq(stats.model[CORE_MODEL_STATS_MAX].name, "other");
    ck_assert_uint_eq(stats.model[CORE_MODEL_STATS_MAX].tokens_in,
                      1000 - CORE_MODEL_STATS_MAX);
    ck_assert_uint_eq(core_stats_model(&stats, "model-3")->tokens_in, 1);
}
END_TEST

int main(void)
{
    return RUN_TESTS("metrics", counts, kinds_are_named, models_are_bounded);
}
