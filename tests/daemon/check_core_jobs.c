/* Results, crashes and the life of jobs: docs/protocol.md. */
#include "tests/daemon/core_fixture.h"

/* ---- results ------------------------------------------------------------- */

START_TEST(committed_only_when_stored)
{
    struct token t = grant_one(&anna);

    world_upload(&w, &anna, &t);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_COMMITTED), 0);
    ck_assert(world_store_one(&w));
    ck_assert(took(1, WIRE_COMMITTED));
}
END_TEST

START_TEST(upload_twice_is_committed_twice_and_counted_once)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    world_upload(&w, &anna, &t);
    world_upload(&w, &anna, &t); /* while the first is being stored */
    world_store(&w);
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_COMMITTED), 3);
    ck_assert_uint_eq(w.job[0].commits[0], 1);
    m = job_info(t.job);
    ck_assert_uint_eq(m.jobs->job[0]->answered, 10);
    ck_assert_uint_eq(m.jobs->job[0]->failed, 1);
    ck_assert_uint_eq(m.jobs->job[0]->prefix, 1);
    wire_free(&m);
}
END_TEST

START_TEST(result_is_stale_after_the_shard_was_granted_again)
{
    struct token old = grant_one(&anna), t;

    world_hello(&w, &bert, NULL, 0);
    world_tick(&w, 8000);
    world_beat(&w, &bert, NULL, 0);
    world_tick(&w, LEASE_COORDINATOR_MS - 8000);
    world_store(&w);
    t = world_granted(&w, &bert);
    ck_assert_uint_eq(t.attempt, 2);
    world_upload(&w, &anna, &old);
    world_store(&w);
    ck_assert(took(1, WIRE_STALE));
    world_upload(&w, &bert, &t);
    world_store(&w);
    ck_assert(took(2, WIRE_COMMITTED));
    world_upload(&w, &anna, &old);
    ck_assert(took(1, WIRE_STALE));
    ck_assert(token_same(&w.job[0].winner[0], &t));
}
END_TEST

START_TEST(lease_does_not_end_while_its_result_is_being_stored)
{
    struct token t = grant_one(&anna);

    world_upload(&w, &anna, &t);
    world_tick(&w, 2 * LEASE_COORDINATOR_MS);
    ck_assert_int_eq(w.first->kind, OP_RESULT);
    ck_assert_ptr_null(w.first->next);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
}
END_TEST

START_TEST(result_is_kept_by_the_worker_when_the_disk_is_full)
{
    struct token t = grant_one(&anna);

    w.fail = ERR_AGAIN;
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert_uint_eq(error_code(1), ERR_AGAIN);
    w.fail = ERR_NONE;
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
}
END_TEST

START_TEST(result_with_another_fingerprint_is_refused)
{
    struct token t = grant_one(&anna);
    struct world_worker liar = anna;

    liar.fingerprint = 1;
    world_upload(&w, &liar, &t);
    ck_assert_uint_eq(error_code(1), ERR_INVALID);
    world_store(&w);
    ck_assert_uint_eq(w.job[0].commits[0], 0);
    ck_assert_uint_eq(w.job[0].image.shard[0].crashes, 1);
}
END_TEST

START_TEST(bad_result_while_a_good_one_is_being_stored)
{
    struct token t = grant_one(&anna);
    struct world_worker liar = anna;

    liar.fingerprint = 1;
    world_upload(&w, &anna, &t);
    world_upload(&w, &liar, &t);
    ck_assert_uint_eq(error_code(1), ERR_INVALID);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_DONE);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
}
END_TEST

START_TEST(result_that_does_not_match_counts_as_a_crash)
{
    struct token t = grant_one(&anna);

    w.fail = ERR_INVALID;
    world_upload(&w, &anna, &t);
    world_store_one(&w);
    w.fail = ERR_NONE;
    world_store(&w);
    ck_assert_uint_eq(error_code(1), ERR_INVALID);
    ck_assert_uint_eq(w.job[0].image.shard[0].crashes, 1);
}
END_TEST

/* ---- crashes ------------------------------------------------------------- */

START_TEST(fifth_crash_fails_the_job)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    for (int i = 1; i <= CORE_CRASHES_MAX; i++) {
        ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_RUNNING);
        world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_CRASH);
        world_store(&w);
        if (i < CORE_CRASHES_MAX)
            t = world_granted(&w, &anna);
    }
    ck_assert_uint_eq(t.attempt, CORE_CRASHES_MAX);
    m = job_info(t.job);
    ck_assert_int_eq(m.jobs->job[0]->state, SKEIN__JOB_STATE__JOB_FAILED);
    ck_assert_str_ne(m.jobs->job[0]->message, "");
    wire_free(&m);
}
END_TEST

START_TEST(crashes_are_counted_across_restarts)
{
    struct token t = grant_one(&anna);

    for (int i = 1; i <= CORE_CRASHES_MAX; i++) {
        world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_CRASH);
        world_store(&w);
        if (i == CORE_CRASHES_MAX)
            break;
        t = world_granted(&w, &anna);
        world_restart(&w);
        world_hello(&w, &anna, &t, 1);
    }
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_FAILED);
}
END_TEST

START_TEST(draining_is_no_crash)
{
    struct token t = grant_one(&anna);

    for (int i = 0; i < 3 * CORE_CRASHES_MAX; i++) {
        world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_DRAIN);
        world_store(&w);
        t = world_granted(&w, &anna);
        ck_assert_uint_ne(t.job, 0);
    }
    ck_assert_uint_eq(w.job[0].image.shard[0].crashes, 0);
}
END_TEST

START_TEST(crashed_shard_goes_to_another_worker)
{
    struct token t = grant_one(&anna);

    world_hello(&w, &bert, NULL, 0);
    for (int i = 0; i < 4; i++) {
        const struct world_worker *from = i % 2 == 0 ? &anna : &bert;
        const struct world_worker *to = i % 2 == 0 ? &bert : &anna;

        world_release(&w, from, &t, SKEIN__RELEASE_REASON__RELEASE_CRASH);
        world_store(&w);
        t = world_granted(&w, to);
        ck_assert_uint_ne(t.job, 0);
    }
}
END_TEST

START_TEST(unsupported_job_is_not_granted_there_again)
{
    struct token t = grant_one(&anna);

    world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_UNSUPPORTED);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
    world_hello(&w, &bert, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).attempt, 2);
}
END_TEST

/* ---- jobs ---------------------------------------------------------------- */

START_TEST(job_without_records_is_done_at_once)
{
    static const uint32_t records[] = {0};
    uint64_t empty = world_job(&w, 0, records, 0);
    uint64_t rejected = world_job(&w, 0, records, 1);

    ck_assert_int_eq(job_state(empty), SKEIN__JOB_STATE__JOB_DONE);
    ck_assert_int_eq(job_state(rejected), SKEIN__JOB_STATE__JOB_DONE);
    ck_assert_int_eq(w.job[1].image.state, SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(cancel_is_durable_before_it_is_answered)
{
    struct token t = grant_one(&anna);

    world_cancel(&w, 60, t.job);
    ck_assert(took(1, WIRE_REVOKE));
    ck_assert_uint_eq(world_count(&w, 60, WIRE_JOBS), 0);
    world_store(&w);
    ck_assert(took(60, WIRE_JOBS));
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_CANCELLED);
    world_upload(&w, &anna, &t);
    ck_assert(took(1, WIRE_STALE));
    world_cancel(&w, 60, t.job);
    ck_assert_uint_eq(error_code(60), ERR_CONFLICT);
    world_cancel(&w, 60, 12345);
    ck_assert_uint_eq(error_code(60), ERR_NOT_FOUND);
}
END_TEST

START_TEST(cancel_after_a_result_that_is_being_stored)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    world_upload(&w, &anna, &t);
    world_cancel(&w, 60, t.job);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED)); /* it was first */
    m = job_info(t.job);
    ck_assert_int_eq(m.jobs->job[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
    ck_assert_uint_eq(m.jobs->job[0]->answered, 10);
    wire_free(&m);
}
END_TEST

START_TEST(cancel_while_the_grant_is_being_stored)
{
    uint64_t job = world_job_n(&w, 1);

    world_hello(&w, &anna, NULL, 0);
    world_cancel(&w, 60, job);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_CANCELLED);
}
END_TEST

START_TEST(cancel_twice_is_answered_twice)
{
    uint64_t job = world_job_n(&w, 1);

    world_cancel(&w, 60, job);
    world_cancel(&w, 61, job);
    world_store(&w);
    ck_assert(took(60, WIRE_JOBS));
    ck_assert(took(61, WIRE_JOBS));
}
END_TEST

START_TEST(cancel_on_a_full_disk_changes_nothing)
{
    struct token t = grant_one(&anna);

    w.fail = ERR_AGAIN;
    world_cancel(&w, 60, t.job);
    world_store(&w);
    ck_assert_uint_eq(error_code(60), ERR_AGAIN);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_RUNNING);
    w.fail = ERR_NONE;
    world_tick(&w, CORE_RETRY_MS);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &anna).attempt, 2);
}
END_TEST

START_TEST(end_is_written_again_after_disk_full)
{
    struct token t = grant_one(&anna);

    world_upload(&w, &anna, &t);
    world_store_one(&w);
    w.fail = ERR_AGAIN;
    world_store(&w);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_RUNNING);
    w.fail = ERR_NONE;
    world_tick(&w, CORE_RETRY_MS);
    world_store(&w);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(job_list_pages_by_id)
{
    Skein__JobsQuery query = SKEIN__JOBS_QUERY__INIT;
    struct wire_msg m;
    uint64_t seen = 0;

    for (int i = 0; i < 7; i++)
        world_job_n(&w, 1);
    query.limit = 3;
    do {
        query.after = seen;
        world_message(&w, 50, WIRE_JOBS_QUERY, &query.base);
        ck_assert(world_take(&w, 50, WIRE_JOBS, &m));
        for (size_t i = 0; i < m.jobs->n_job; i++) {
            ck_assert_uint_eq(m.jobs->job[i]->job, seen + 1);
            seen++;
        }
        query.finished = m.jobs->more;
        wire_free(&m);
    } while (query.finished);
    ck_assert_uint_eq(seen, 7);
}
END_TEST

START_TEST(request_id_is_known_after_a_restart)
{
    uint64_t job = world_job_n(&w, 1);
    uint8_t request_id[REQUEST_ID_BYTES];

    world_restart(&w);
    memset(request_id, (int)job, sizeof request_id);
    ck_assert_ptr_nonnull(core_find_request(w.core, request_id));
    ck_assert_uint_eq(core_find_request(w.core, request_id)->id, job);
    request_id[3] ^= 1;
    ck_assert_ptr_null(core_find_request(w.core, request_id));
    ck_assert_uint_gt(core_new_job_id(w.core), job);
}
END_TEST

START_TEST(results_may_be_read_when_they_are_there)
{
    struct token t = grant_one(&anna);
    struct err err;

    ck_assert_int_eq(
        core_may_read(w.core, t.job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, &err),
        -1);
    ck_assert_int_eq(err.code, ERR_AGAIN);
    ck_assert_int_eq(
        core_may_read(w.core, t.job, 0, SKEIN__BLOB_KIND__BLOB_REJECTED, &err),
        0);
    ck_assert_int_eq(
        core_may_read(w.core, t.job, 1, SKEIN__BLOB_KIND__BLOB_RESULT, &err),
        -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(
        core_may_read(w.core, t.job, 0, SKEIN__BLOB_KIND__BLOB_INPUT, &err),
        -1);
    ck_assert_int_eq(err.code, ERR_DENIED);
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert_int_eq(
        core_may_read(w.core, t.job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, &err),
        0);
}
END_TEST

START_TEST(workers_are_listed_with_their_state)
{
    Skein__WorkersQuery query = SKEIN__WORKERS_QUERY__INIT;
    struct wire_msg m;

    world_hello(&w, &anna, NULL, 0);
    world_hello(&w, &bert, NULL, 0);
    world_gone(&w, 2);
    world_message(&w, 50, WIRE_WORKERS_QUERY, &query.base);
    ck_assert(world_take(&w, 50, WIRE_WORKERS, &m));
    ck_assert_uint_eq(m.workers->n_worker, 2);
    ck_assert_str_eq(m.workers->worker[0]->state, "ready");
    ck_assert_str_eq(m.workers->worker[1]->state, "disconnected");
    wire_free(&m);
    world_tick(&w, LEASE_COORDINATOR_MS / 2 + 1);
    world_message(&w, 50, WIRE_WORKERS_QUERY, &query.base);
    ck_assert(world_take(&w, 50, WIRE_WORKERS, &m));
    ck_assert_str_eq(m.workers->worker[0]->state, "suspect");
    wire_free(&m);
}
END_TEST

/* ---- the suite ----------------------------------------------------------- */

static void add_results(Suite *s)
{
    TCase *t = tcase_create("results");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, committed_only_when_stored);
    tcase_add_test(t, upload_twice_is_committed_twice_and_counted_once);
    tcase_add_test(t, result_is_stale_after_the_shard_was_granted_again);
    tcase_add_test(t, lease_does_not_end_while_its_result_is_being_stored);
    tcase_add_test(t, result_is_kept_by_the_worker_when_the_disk_is_full);
    tcase_add_test(t, result_with_another_fingerprint_is_refused);
    tcase_add_test(t, bad_result_while_a_good_one_is_being_stored);
    tcase_add_test(t, result_that_does_not_match_counts_as_a_crash);
    tcase_add_test(t, fifth_crash_fails_the_job);
    tcase_add_test(t, crashes_are_counted_across_restarts);
    tcase_add_test(t, draining_is_no_crash);
    tcase_add_test(t, crashed_shard_goes_to_another_worker);
    tcase_add_test(t, unsupported_job_is_not_granted_there_again);
    suite_add_tcase(s, t);
}

static void add_jobs(Suite *s)
{
    TCase *t = tcase_create("jobs");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, job_without_records_is_done_at_once);
    tcase_add_test(t, cancel_is_durable_before_it_is_answered);
    tcase_add_test(t, cancel_after_a_result_that_is_being_stored);
    tcase_add_test(t, cancel_while_the_grant_is_being_stored);
    tcase_add_test(t, cancel_twice_is_answered_twice);
    tcase_add_test(t, cancel_on_a_full_disk_changes_nothing);
    tcase_add_test(t, end_is_written_again_after_disk_full);
    tcase_add_test(t, job_list_pages_by_id);
    tcase_add_test(t, request_id_is_known_after_a_restart);
    tcase_add_test(t, results_may_be_read_when_they_are_there);
    tcase_add_test(t, workers_are_listed_with_their_state);
    suite_add_tcase(s, t);
}

int main(void)
{
    Suite *s = suite_create("core_jobs");

    add_results(s);
    add_jobs(s);
    return run_suite(s);
}
