/* Granting and leases, under a virtual clock: docs/protocol.md. */
#include "tests/daemon/core_fixture.h"

/* ---- granting ------------------------------------------------------------ */

START_TEST(grant_is_durable_before_it_is_sent)
{
    world_job_n(&w, 1);
    world_hello(&w, &anna, NULL, 0);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
    ck_assert(world_store_one(&w));
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 1);
}
END_TEST

START_TEST(grant_order_is_priority_job_shard)
{
    static const uint32_t one[] = {10, 10};
    uint64_t low = world_job(&w, -1, one, 1);
    uint64_t first = world_job(&w, 0, one, 2);
    uint64_t second = world_job(&w, 0, one, 1);
    uint64_t high = world_job(&w, 5, one, 1);
    uint64_t expected[][2] = {
        {high, 0}, {first, 0}, {first, 1}, {second, 0}, {low, 0}};

    world_hello(&w, &anna, NULL, 0);
    world_store(&w);
    for (size_t i = 0; i < 5; i++) {
        struct token t = world_granted(&w, &anna);

        ck_assert_uint_eq(t.job, expected[i][0]);
        ck_assert_uint_eq(t.shard, expected[i][1]);
        ck_assert_uint_eq(t.epoch, 1);
        ck_assert_uint_eq(t.attempt, 1);
    }
}
END_TEST

START_TEST(grant_stops_at_capacity)
{
    struct world_worker small = anna;

    small.records = 25; /* two shards of 10 */
    world_job_n(&w, 5);
    world_hello(&w, &small, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 2);
}
END_TEST

START_TEST(grant_of_a_shard_larger_than_the_capacity)
{
    struct world_worker small = anna;
    static const uint32_t records[] = {1000, 1};

    small.records = 5;
    world_job(&w, 0, records, 2);
    world_hello(&w, &small, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 1);
}
END_TEST

START_TEST(grant_nothing_without_capacity)
{
    struct world_worker none = anna;

    none.records = 0;
    world_job_n(&w, 1);
    world_hello(&w, &none, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
}
END_TEST

START_TEST(grants_alternate_between_workers)
{
    world_hello(&w, &anna, NULL, 0);
    world_hello(&w, &bert, NULL, 0);
    world_job_n(&w, 10);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 5);
    ck_assert_uint_eq(world_count(&w, 2, WIRE_GRANT), 5);
}
END_TEST

START_TEST(grant_only_with_the_fingerprint_the_job_began_with)
{
    struct world_worker other = bert;

    other.fingerprint = 8;
    grant_one(&anna);
    world_job_n(&w, 1); /* capacity is left: anna gets this one too */
    world_store(&w);
    world_gone(&w, anna.peer);
    world_tick(&w, LEASE_DISCONNECTED_MS);
    world_hello(&w, &other, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 2, WIRE_GRANT), 0);
    world_job_n(&w, 1); /* has no fingerprint yet */
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 2, WIRE_GRANT), 1);
}
END_TEST

START_TEST(grant_nothing_while_draining)
{
    Skein__Beat beat = SKEIN__BEAT__INIT;
    Skein__Capacity capacity = SKEIN__CAPACITY__INIT;

    world_hello(&w, &anna, NULL, 0);
    capacity.records = 100;
    capacity.cost = 1000;
    beat.epoch = 1;
    beat.capacity = &capacity;
    beat.seq = 1;
    beat.draining = true;
    world_message(&w, 1, WIRE_BEAT, &beat.base);
    world_job_n(&w, 1);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
}
END_TEST

START_TEST(grant_is_tried_again_after_disk_full)
{
    struct token t;

    world_job_n(&w, 1);
    w.fail = ERR_AGAIN;
    world_hello(&w, &anna, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
    ck_assert_str_eq(core_health(w.core), "full");
    w.fail = ERR_NONE;
    world_tick(&w, CORE_RETRY_MS - 1);
    world_store(&w);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_GRANT), 0);
    world_tick(&w, 1);
    world_store(&w);
    t = world_granted(&w, &anna);
    ck_assert_uint_eq(t.attempt, 2);
    ck_assert_str_eq(core_health(w.core), "ok");
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_RUNNING);
}
END_TEST

START_TEST(corrupt_file_stops_its_job_alone)
{
    uint64_t bad = world_job_n(&w, 1);
    struct token t;

    w.fail = ERR_CORRUPT;
    world_hello(&w, &anna, NULL, 0);
    world_store_one(&w);
    w.fail = ERR_NONE;
    world_store(&w);
    ck_assert_int_eq(job_state(bad), SKEIN__JOB_STATE__JOB_CORRUPT);
    world_job_n(&w, 1);
    world_store(&w);
    t = world_granted(&w, &anna);
    ck_assert_uint_eq(t.job, bad + 1);
}
END_TEST

/* ---- leases -------------------------------------------------------------- */

START_TEST(lease_ends_at_its_millisecond)
{
    struct token t = grant_one(&anna);

    world_tick(&w, 2000);
    world_beat(&w, &anna, &t, 1);
    world_tick(&w, LEASE_COORDINATOR_MS - 1);
    ck_assert_ptr_null(w.first);
    world_tick(&w, 1);
    ck_assert_ptr_nonnull(w.first);
    ck_assert_int_eq(w.first->kind, OP_RELEASE);
    ck_assert(token_same(&w.first->release.lease[0].token, &t));
}
END_TEST

START_TEST(deadline_names_the_end_of_a_lease)
{
    struct token t = grant_one(&anna);
    int64_t end_ms = w.now_ms + LEASE_COORDINATOR_MS;

    (void)t;
    world_tick(&w, 0);
    while (core_deadline(w.core) < end_ms) {
        ck_assert_int_gt(core_deadline(w.core), w.now_ms);
        world_tick(&w, core_deadline(w.core) - w.now_ms);
    }
    ck_assert_ptr_null(w.first);
    world_tick(&w, core_deadline(w.core) - w.now_ms);
    ck_assert_int_eq(w.now_ms, end_ms);
    ck_assert_ptr_nonnull(w.first);
}
END_TEST

START_TEST(lease_the_worker_does_not_name_is_not_extended)
{
    struct token t = grant_one(&anna); /* as if GRANT had been lost */

    (void)t;
    world_tick(&w, 6000);
    world_beat(&w, &anna, NULL, 0);
    world_tick(&w, LEASE_COORDINATOR_MS - 6000);
    world_store(&w);
    t = world_granted(&w, &anna);
    ck_assert_uint_eq(t.attempt, 2);
}
END_TEST

/* The worker counts from when it sent a beat that was acknowledged, the
 * coordinator from when it received it: whatever the beat's delay, the worker
 * has stopped before the coordinator gives the shard to another.
 */
START_TEST(worker_stops_first)
{
    for (int64_t delay_ms = 0; delay_ms < LEASE_WORKER_MS; delay_ms += 500) {
        struct token t;
        struct wire_msg m;
        int64_t sent_ms;

        teardown();
        setup();
        t = grant_one(&anna);
        ck_assert(world_take(&w, 1, WIRE_WELCOME, &m));
        sent_ms = w.now_ms;
        world_tick(&w, delay_ms);
        world_beat(&w, &anna, &t, 1);
        world_tick(&w, sent_ms + m.welcome->lease_ms - w.now_ms);
        ck_assert_ptr_null(w.first);
        wire_free(&m);
    }
}
END_TEST

START_TEST(lease_ends_three_seconds_after_the_connection)
{
    struct token t = grant_one(&anna);

    world_gone(&w, 1);
    world_tick(&w, LEASE_DISCONNECTED_MS - 1);
    ck_assert_ptr_null(w.first);
    world_tick(&w, 1);
    ck_assert_ptr_nonnull(w.first);
    world_store(&w);
    world_hello(&w, &bert, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).attempt, t.attempt + 1);
}
END_TEST

START_TEST(worker_that_comes_back_keeps_its_lease)
{
    struct token t = grant_one(&anna);
    struct world_worker back = anna;
    struct wire_msg m;

    took(1, WIRE_WELCOME);
    world_gone(&w, 1);
    world_tick(&w, LEASE_DISCONNECTED_MS - 1);
    back.peer = 11;
    world_hello(&w, &back, &t, 1);
    ck_assert(world_take(&w, 11, WIRE_WELCOME, &m));
    ck_assert_uint_eq(m.welcome->n_drop, 0);
    wire_free(&m);
    world_tick(&w, LEASE_COORDINATOR_MS - 1);
    ck_assert_ptr_null(w.first);
    world_upload(&w, &back, &t);
    world_store(&w);
    ck_assert(took(11, WIRE_COMMITTED));
}
END_TEST

START_TEST(lease_is_dropped_when_the_token_does_not_match)
{
    struct token t = grant_one(&anna);
    struct world_worker back = anna;
    struct token wrong = t;
    struct wire_msg m;

    wrong.nonce++;
    back.peer = 11;
    world_hello(&w, &back, &wrong, 1);
    ck_assert(world_take(&w, 11, WIRE_WELCOME, &m));
    ck_assert_uint_eq(m.welcome->n_drop, 1);
    ck_assert_uint_eq(m.welcome->drop[0]->nonce, wrong.nonce);
    wire_free(&m);
}
END_TEST

START_TEST(what_a_reconnecting_worker_does_not_hold_is_taken_back)
{
    struct token t = grant_one(&anna);
    struct world_worker back = anna;

    back.peer = 11;
    world_hello(&w, &back, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &back).attempt, t.attempt + 1);
}
END_TEST

START_TEST(hello_twice_on_one_connection_loses_nothing)
{
    struct token t = grant_one(&anna);

    world_hello(&w, &anna, NULL, 0); /* sent before WELCOME and GRANT arrived */
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &anna).job, 0);
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
}
END_TEST

START_TEST(old_connection_of_an_incarnation_has_no_session)
{
    struct token t = grant_one(&anna);
    struct world_worker back = anna;

    back.peer = 11;
    world_hello(&w, &back, &t, 1);
    world_beat(&w, &anna, &t, 1);
    ck_assert(took(1, WIRE_HELLO_AGAIN));
    world_upload(&w, &anna, &t);
    ck_assert(took(1, WIRE_HELLO_AGAIN));
}
END_TEST

START_TEST(new_incarnation_with_the_same_name_is_another_worker)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    world_hello(&w, &bert, &t, 1); /* a token that is not bert's */
    ck_assert(world_take(&w, 2, WIRE_WELCOME, &m));
    ck_assert_uint_eq(m.welcome->n_drop, 1);
    wire_free(&m);
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
}
END_TEST

START_TEST(beat_without_a_session_or_of_another_epoch)
{
    world_beat(&w, &anna, NULL, 0);
    ck_assert(took(1, WIRE_HELLO_AGAIN));
    world_hello(&w, &anna, NULL, 0);
    w.config.epoch = 7; /* as the worker sees it */
    world_beat(&w, &anna, NULL, 0);
    ck_assert(took(1, WIRE_HELLO_AGAIN));
    w.config.epoch = 1;
    world_beat(&w, &anna, NULL, 0);
    ck_assert(took(1, WIRE_BEAT_ACK));
}
END_TEST

START_TEST(lease_survives_a_restart)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    world_forget(&w);
    world_restart(&w);
    world_tick(&w, RESTART_GRACE_MS - 1);
    ck_assert_ptr_null(w.first);
    world_hello(&w, &anna, &t, 1);
    ck_assert(world_take(&w, 1, WIRE_WELCOME, &m));
    ck_assert_uint_eq(m.welcome->n_drop, 0);
    ck_assert_uint_eq(m.welcome->epoch, 2);
    wire_free(&m);
    world_upload(&w, &anna, &t);
    world_store(&w);
    ck_assert(took(1, WIRE_COMMITTED));
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(grant_that_died_with_the_coordinator_is_given_again_at_once)
{
    struct token t;

    world_job_n(&w, 1);
    world_hello(&w, &anna, NULL, 0);
    world_run(&w, w.first); /* durable, but never sent */
    world_restart(&w);
    world_hello(&w, &bert, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).job, 0); /* may be anna's */
    world_hello(&w, &anna, NULL, 0);
    world_store(&w);
    t = world_granted(&w, &anna);
    if (t.job == 0)
        t = world_granted(&w, &bert);
    ck_assert_uint_eq(t.attempt, 2);
}
END_TEST

START_TEST(unclaimed_lease_ends_after_the_grace)
{
    struct token t = grant_one(&anna);
    struct wire_msg m;

    world_restart(&w);
    world_hello(&w, &bert, NULL, 0);
    for (int64_t ms = 0; ms < RESTART_GRACE_MS - 1; ms += 1) {
        int64_t step =
            RESTART_GRACE_MS - 1 - ms < 2000 ? RESTART_GRACE_MS - 1 - ms : 2000;

        world_tick(&w, step);
        ms += step - 1;
        world_beat(&w, &bert, NULL, 0);
        ck_assert_ptr_null(w.first);
    }
    world_tick(&w, 1);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).attempt, t.attempt + 1);
    world_hello(&w, &anna, &t, 1); /* too late */
    while (world_take(&w, 1, WIRE_WELCOME, &m)) {
        ck_assert(m.welcome->epoch == 1 || m.welcome->n_drop == 1);
        wire_free(&m);
    }
}
END_TEST

START_TEST(silent_worker_is_forgotten_and_may_come_back)
{
    world_hello(&w, &anna, NULL, 0);
    world_tick(&w, CORE_FORGET_MS);
    world_forget(&w);
    world_beat(&w, &anna, NULL, 0);
    ck_assert(took(1, WIRE_HELLO_AGAIN));
    world_hello(&w, &anna, NULL, 0);
    ck_assert(took(1, WIRE_WELCOME));
}
END_TEST

START_TEST(probe_once_a_second)
{
    world_hello(&w, &anna, NULL, 0);
    world_tick(&w, 0);
    world_forget(&w);
    world_tick(&w, PROBE_MS - 1);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_PROBE), 0);
    world_tick(&w, 1);
    ck_assert_uint_eq(world_count(&w, 1, WIRE_PROBE), 1);
}
END_TEST

/* Nobody but core_deadline() wakes the loop: with a worker there it does so for
 * every probe.
 */
START_TEST(deadline_follows_the_probes)
{
    world_tick(&w, 100000); /* nothing to wait for */
    world_hello(&w, &anna, NULL, 0);
    for (int i = 0; i < 5; i++) {
        int64_t wait_ms = core_deadline(w.core) - w.now_ms;

        ck_assert_int_le(wait_ms, PROBE_MS);
        world_tick(&w, wait_ms > 0 ? wait_ms : 0);
    }
    ck_assert_uint_ge(world_count(&w, 1, WIRE_PROBE), 4);
}
END_TEST

/* ---- the suite ----------------------------------------------------------- */

static void add_granting(Suite *s)
{
    TCase *t = tcase_create("granting");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, grant_is_durable_before_it_is_sent);
    tcase_add_test(t, grant_order_is_priority_job_shard);
    tcase_add_test(t, grant_stops_at_capacity);
    tcase_add_test(t, grant_of_a_shard_larger_than_the_capacity);
    tcase_add_test(t, grant_nothing_without_capacity);
    tcase_add_test(t, grants_alternate_between_workers);
    tcase_add_test(t, grant_only_with_the_fingerprint_the_job_began_with);
    tcase_add_test(t, grant_nothing_while_draining);
    tcase_add_test(t, grant_is_tried_again_after_disk_full);
    tcase_add_test(t, corrupt_file_stops_its_job_alone);
    suite_add_tcase(s, t);
}

static void add_leases(Suite *s)
{
    TCase *t = tcase_create("leases");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, lease_ends_at_its_millisecond);
    tcase_add_test(t, deadline_names_the_end_of_a_lease);
    tcase_add_test(t, lease_the_worker_does_not_name_is_not_extended);
    tcase_add_test(t, worker_stops_first);
    tcase_add_test(t, lease_ends_three_seconds_after_the_connection);
    tcase_add_test(t, worker_that_comes_back_keeps_its_lease);
    tcase_add_test(t, lease_is_dropped_when_the_token_does_not_match);
    tcase_add_test(t, what_a_reconnecting_worker_does_not_hold_is_taken_back);
    tcase_add_test(t, hello_twice_on_one_connection_loses_nothing);
    tcase_add_test(t, old_connection_of_an_incarnation_has_no_session);
    tcase_add_test(t, new_incarnation_with_the_same_name_is_another_worker);
    tcase_add_test(t, beat_without_a_session_or_of_another_epoch);
    tcase_add_test(t, lease_survives_a_restart);
    tcase_add_test(t,
                   grant_that_died_with_the_coordinator_is_given_again_at_once);
    tcase_add_test(t, unclaimed_lease_ends_after_the_grace);
    tcase_add_test(t, silent_worker_is_forgotten_and_may_come_back);
    tcase_add_test(t, probe_once_a_second);
    tcase_add_test(t, deadline_follows_the_probes);
    suite_add_tcase(s, t);
}

int main(void)
{
    Suite *s = suite_create("core");

    add_granting(s);
    add_leases(s);
    return run_suite(s);
}
