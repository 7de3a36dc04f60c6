/* What the core counts for /metrics, while it does its work. */
#include "tests/daemon/core_fixture.h"

START_TEST(jobs_and_results)
{
    const struct core_stats *s = core_stats(w.core);
    struct core_counts n;
    struct token t;

    w.unix_ms = 5000;
    t = grant_one(&anna);
    core_count(w.core, &n);
    ck_assert_uint_eq(n.jobs[SKEIN__JOB_STATE__JOB_RUNNING], 1);
    ck_assert_uint_eq(n.records_leased, 10);
    ck_assert_uint_eq(n.workers_by_state[CORE_WORKER_READY], 1);
    ck_assert_double_ge(s->queue_wait_s.sum_s, 0);
    world_upload(&w, &anna, &t);
    world_store(&w);
    core_count(w.core, &n);
    ck_assert_uint_eq(n.jobs[SKEIN__JOB_STATE__JOB_DONE], 1);
    ck_assert_uint_eq(n.records_leased, 0);
    ck_assert_uint_eq(s->jobs_ended[SKEIN__JOB_STATE__JOB_DONE], 1);
    ck_assert_uint_eq(s->n_model, 1);
    ck_assert_uint_eq(s->requeued, 0);
    ck_assert_uint_eq(s->results_stale, 0);
    /* Once more, and with a token that never was. */
    world_upload(&w, &anna, &t);
    ck_assert_uint_eq(s->results_stale, 0);
    t.nonce++;
    world_upload(&w, &anna, &t);
    ck_assert_uint_eq(s->results_stale, 1);
}
END_TEST

/* A worker that falls silent is suspect first; then its lease ends. */
START_TEST(silence)
{
    const struct core_stats *s = core_stats(w.core);
    struct core_counts n;

    grant_one(&anna);
    world_tick(&w, w.config.lease_ms / 2 + 1);
    core_count(w.core, &n);
    ck_assert_uint_eq(n.workers_by_state[CORE_WORKER_SUSPECT], 1);
    world_tick(&w, w.config.lease_ms);
    ck_assert_uint_eq(s->requeued, 10);
    ck_assert_uint_eq(s->workers_lost, 0);
    world_store(&w);
    world_tick(&w, CORE_FORGET_MS);
    ck_assert_uint_eq(s->workers_lost, 1);
}
END_TEST

START_TEST(connection_lost)
{
    const struct core_stats *s = core_stats(w.core);
    struct core_counts n;

    grant_one(&anna);
    world_gone(&w, anna.peer);
    core_count(w.core, &n);
    ck_assert_uint_eq(n.workers_by_state[CORE_WORKER_DISCONNECTED], 1);
    ck_assert_uint_eq(s->workers_lost, 1);
    world_tick(&w, w.config.lease_ms);
    world_store(&w);
    world_tick(&w, CORE_FORGET_MS);
    ck_assert_uint_eq(s->workers_lost, 1); /* not once more */
}
END_TEST

START_TEST(found_at_start)
{
    struct token t = grant_one(&anna);
    const uint64_t *found;

    world_upload(&w, &anna, &t);
    world_store(&w);
    world_job_n(&w, 2);
    world_restart(&w);
    found = core_stats(w.core)->jobs_found;
    ck_assert_uint_eq(found[SKEIN__JOB_STATE__JOB_DONE], 1);
    ck_assert_uint_eq(found[SKEIN__JOB_STATE__JOB_QUEUED]
                          + found[SKEIN__JOB_STATE__JOB_RUNNING],
                      1);
    ck_assert_uint_eq(
        core_stats(w.core)->jobs_ended[SKEIN__JOB_STATE__JOB_DONE], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_stats");
    TCase *c = tcase_create("core_stats");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, jobs_and_results);
    tcase_add_test(c, silence);
    tcase_add_test(c, connection_lost);
    tcase_add_test(c, found_at_start);
    suite_add_tcase(suite, c);
    return run_suite(suite);
}
