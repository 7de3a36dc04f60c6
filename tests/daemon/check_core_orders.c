/* ORDER: hold, release, priority, retry, remove; docs/protocol.md. */
#include "tests/daemon/core_fixture.h"

#define HOLD SKEIN__ORDER_KIND__ORDER_HOLD
#define RELEASE SKEIN__ORDER_KIND__ORDER_RELEASE
#define PRIORITY SKEIN__ORDER_KIND__ORDER_PRIORITY
#define RETRY SKEIN__ORDER_KIND__ORDER_RETRY
#define REMOVE SKEIN__ORDER_KIND__ORDER_REMOVE
#define CLIENT 51

static void ask(uint64_t job, Skein__OrderKind kind)
{
    Skein__Order q = SKEIN__ORDER__INIT;

    q.job = job;
    q.kind = kind;
    q.failed = true;
    world_order(&w, CLIENT, &q);
}

/* Ask, store, and take the answer; its code, or ERR_NONE for JOBS. */
static uint32_t order(uint64_t job, Skein__OrderKind kind)
{
    ask(job, kind);
    world_store(&w);
    return took(CLIENT, WIRE_JOBS) ? ERR_NONE : error_code(CLIENT);
}

static void upload(const struct world_worker *who, const struct token *t)
{
    world_upload(&w, who, t);
    world_store(&w);
}

/* A job of one shard of 10 records, done with one error. */
static struct token done_job(void)
{
    struct token t = grant_one(&anna);

    upload(&anna, &t);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_DONE);
    return t;
}

static struct token granted_to_anna(void)
{
    world_store(&w);
    return world_granted(&w, &anna);
}

/* ---- hold and release ---------------------------------------------------- */

START_TEST(held_job_is_granted_nothing_and_finishes_what_is_leased)
{
    struct world_worker small = anna;
    struct token t;
    uint64_t job = world_job_n(&w, 2);

    small.records = 10;
    world_hello(&w, &small, NULL, 0);
    t = granted_to_anna();
    ck_assert_uint_eq(t.job, job);
    ck_assert_uint_eq(order(job, HOLD), ERR_NONE);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_HELD);
    upload(&small, &t);
    ck_assert(took(1, WIRE_COMMITTED));
    world_tick(&w, 1000);
    ck_assert_uint_eq(granted_to_anna().job, 0);
    ck_assert_uint_eq(order(job, RELEASE), ERR_NONE);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_RUNNING);
    ck_assert_uint_eq(granted_to_anna().job, job);
}
END_TEST

START_TEST(hold_is_durable_before_it_is_answered)
{
    uint64_t job = world_job_n(&w, 1);

    ask(job, HOLD);
    ck_assert(!took(CLIENT, WIRE_JOBS));
    world_hello(&w, &anna, NULL, 0); /* nothing is granted meanwhile */
    ck_assert_int_eq(w.first->kind, OP_CHANGE);
    ck_assert_ptr_null(w.first->next);
    world_store(&w);
    ck_assert(took(CLIENT, WIRE_JOBS));
    world_restart(&w);
    world_hello(&w, &anna, NULL, 0);
    ck_assert_uint_eq(granted_to_anna().job, 0);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_HELD);
    ck_assert_uint_eq(order(job, RELEASE), ERR_NONE);
    ck_assert_uint_eq(granted_to_anna().job, job);
}
END_TEST

START_TEST(hold_while_the_first_grant_is_being_stored)
{
    uint64_t job = world_job_n(&w, 1);
    struct token t;

    world_hello(&w, &anna, NULL, 0);
    ask(job, HOLD);
    t = granted_to_anna();
    ck_assert_uint_eq(t.job, job);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_HELD);
    upload(&anna, &t); /* its last shard */
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(hold_and_release_twice_are_answered_twice)
{
    uint64_t job = world_job_n(&w, 1);

    ck_assert_uint_eq(order(job, RELEASE), ERR_NONE);
    ck_assert_uint_eq(order(job, HOLD), ERR_NONE);
    ck_assert_uint_eq(order(job, HOLD), ERR_NONE);
    ck_assert_uint_eq(order(job, RELEASE), ERR_NONE);
    ck_assert_uint_eq(order(job, RELEASE), ERR_NONE);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_QUEUED);
}
END_TEST

START_TEST(held_job_can_be_cancelled)
{
    uint64_t job = world_job_n(&w, 1);

    ck_assert_uint_eq(order(job, HOLD), ERR_NONE);
    world_cancel(&w, CLIENT, job);
    world_store(&w);
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_CANCELLED);
}
END_TEST

START_TEST(order_on_a_full_disk_changes_nothing)
{
    uint64_t job = world_job_n(&w, 1);

    w.fail = ERR_AGAIN;
    ck_assert_uint_eq(order(job, HOLD), ERR_AGAIN);
    w.fail = ERR_NONE;
    ck_assert_int_eq(job_state(job), SKEIN__JOB_STATE__JOB_QUEUED);
    ck_assert_uint_eq(order(job, HOLD), ERR_NONE);
}
END_TEST

/* ---- priority ------------------------------------------------------------ */

START_TEST(priority_moves_a_job_before_the_others)
{
    uint64_t one = world_job_n(&w, 1), two = world_job_n(&w, 1);
    Skein__Order q = SKEIN__ORDER__INIT;
    struct world_worker small = anna;
    struct wire_msg m;

    q.job = two;
    q.kind = PRIORITY;
    q.priority = 5;
    world_order(&w, CLIENT, &q);
    world_store(&w);
    ck_assert(took(CLIENT, WIRE_JOBS));
    world_restart(&w); /* it is in the job's file */
    m = job_info(two);
    ck_assert_int_eq(m.jobs->job[0]->spec->priority, 5);
    ck_assert_str_eq(m.jobs->job[0]->spec->model, "m");
    wire_free(&m);
    small.records = 10;
    world_hello(&w, &small, NULL, 0);
    ck_assert_uint_eq(granted_to_anna().job, two);
    ck_assert_uint_ne(one, two);
}
END_TEST

/* ---- retry --------------------------------------------------------------- */

START_TEST(retry_leases_the_failed_lines_alone)
{
    struct token old = done_job(), t;
    struct wire_msg m;

    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    m = job_info(old.job);
    ck_assert_uint_eq(m.jobs->job[0]->answered, 9);
    ck_assert_uint_eq(m.jobs->job[0]->failed, 0);
    ck_assert_uint_eq(m.jobs->job[0]->cost_done, 90);
    ck_assert_uint_eq(m.jobs->job[0]->prefix, 0);
    wire_free(&m);
    world_store(&w);
    ck_assert(world_take(&w, 1, WIRE_GRANT, &m));
    ck_assert_uint_eq(m.grant->n_records, 1);
    ck_assert_uint_eq(m.grant->cost, 10);
    t = token_of(m.grant->token);
    wire_free(&m);
    ck_assert_uint_eq(t.attempt, old.attempt + 1);
    world_upload(&w, &anna, &old); /* the old token is nobody's now */
    ck_assert(took(1, WIRE_STALE));
    upload(&anna, &t);
    m = job_info(old.job);
    ck_assert_int_eq(m.jobs->job[0]->state, SKEIN__JOB_STATE__JOB_DONE);
    ck_assert_uint_eq(m.jobs->job[0]->answered, 10);
    ck_assert_uint_eq(m.jobs->job[0]->failed, 0);
    ck_assert_uint_eq(m.jobs->job[0]->cost_done, 100);
    ck_assert_uint_eq(m.jobs->job[0]->tokens_in, 4);
    wire_free(&m);
    ck_assert_uint_eq(order(old.job, RETRY), ERR_NOT_FOUND);
}
END_TEST

START_TEST(retry_after_a_restart_has_the_shards_again)
{
    struct token old = done_job(), t;

    world_restart(&w);
    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    world_restart(&w);
    world_hello(&w, &anna, NULL, 0);
    t = granted_to_anna();
    ck_assert_uint_eq(t.attempt, 2);
    upload(&anna, &t);
    ck_assert_int_eq(job_state(old.job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(retry_keeps_the_fingerprint_of_kept_answers)
{
    struct token old = done_job();
    struct world_worker other = bert;

    ck_assert_uint_eq(order(old.job, HOLD), ERR_CONFLICT);
    other.fingerprint = 1;
    world_gone(&w, 1);
    world_hello(&w, &other, NULL, 0);
    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    world_tick(&w, 1000);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).job, 0);
    world_hello(&w, &anna, NULL, 0);
    ck_assert_uint_eq(granted_to_anna().job, old.job);
}
END_TEST

START_TEST(retry_without_a_kept_answer_may_have_another_fingerprint)
{
    struct token old = grant_one(&anna);
    struct world_worker other = bert;

    world_cancel(&w, CLIENT, old.job);
    world_store(&w);
    world_gone(&w, 1);
    ck_assert(took(CLIENT, WIRE_JOBS));
    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    other.fingerprint = 1;
    world_hello(&w, &other, NULL, 0);
    world_store(&w);
    ck_assert_uint_eq(world_granted(&w, &bert).job, old.job);
}
END_TEST

START_TEST(cancelled_retry_leaves_what_there_was)
{
    struct token old = done_job();
    struct wire_msg m;

    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    ck_assert_uint_ne(granted_to_anna().job, 0);
    world_cancel(&w, CLIENT, old.job);
    world_store(&w);
    m = job_info(old.job);
    ck_assert_int_eq(m.jobs->job[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
    ck_assert_uint_eq(m.jobs->job[0]->answered, 10);
    ck_assert_uint_eq(m.jobs->job[0]->failed, 1);
    ck_assert_uint_eq(m.jobs->job[0]->prefix, 1);
    wire_free(&m);
    ck_assert_int_eq(
        core_may_read(w.core, old.job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, NULL),
        0);
}
END_TEST

START_TEST(token_of_a_cancelled_retry_has_not_won)
{
    struct token old = done_job(), t;

    ck_assert_uint_eq(order(old.job, RETRY), ERR_NONE);
    t = granted_to_anna();
    world_cancel(&w, CLIENT, old.job);
    world_store(&w);
    ck_assert_int_eq(core_token_holder(w.core, 1, &t), CORE_LOST);
    world_forget(&w);
    upload(&anna, &t);
    ck_assert(took(1, WIRE_STALE));
    ck_assert_uint_eq(w.job[0].commits[0], 1);
}
END_TEST

START_TEST(failed_job_gets_new_attempts)
{
    struct token t = grant_one(&anna);

    for (int i = 0; i < CORE_CRASHES_MAX; i++) {
        world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_CRASH);
        world_store(&w);
        if (i + 1 < CORE_CRASHES_MAX)
            t = world_granted(&w, &anna);
    }
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_FAILED);
    ck_assert_uint_eq(order(t.job, RETRY), ERR_NONE);
    t = granted_to_anna();
    world_release(&w, &anna, &t, SKEIN__RELEASE_REASON__RELEASE_CRASH);
    t = granted_to_anna();
    ck_assert_uint_eq(t.attempt, CORE_CRASHES_MAX + 2);
    upload(&anna, &t);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

START_TEST(repeated_retry_undoes_one_end_once)
{
    struct token old = done_job(), t;
    Skein__Order q = SKEIN__ORDER__INIT;
    struct wire_msg m = job_info(old.job);

    q.job = old.job;
    q.kind = RETRY;
    q.failed = true;
    q.finished_unix_ms = m.jobs->job[0]->finished_unix_ms;
    wire_free(&m);
    ck_assert_int_ne(q.finished_unix_ms, 0);
    world_order(&w, CLIENT, &q);
    world_order(&w, CLIENT, &q); /* while the first is being stored */
    ck_assert_uint_eq(error_code(CLIENT), ERR_AGAIN);
    world_store(&w);
    ck_assert(took(CLIENT, WIRE_JOBS));
    world_order(&w, CLIENT, &q); /* it lives */
    ck_assert(took(CLIENT, WIRE_JOBS));
    t = granted_to_anna();
    w.unix_ms += 1000;
    upload(&anna, &t);
    world_order(&w, CLIENT, &q); /* it has ended again */
    ck_assert(took(CLIENT, WIRE_JOBS));
    ck_assert_int_eq(job_state(old.job), SKEIN__JOB_STATE__JOB_DONE);
}
END_TEST

/* ---- remove -------------------------------------------------------------- */

START_TEST(removed_job_is_gone_and_its_number_too)
{
    struct token t = done_job();

    ask(t.job, REMOVE);
    ck_assert(!took(CLIENT, WIRE_JOBS));
    world_store(&w);
    ck_assert(took(CLIENT, WIRE_JOBS));
    ck_assert_uint_eq(order(t.job, REMOVE), ERR_NOT_FOUND);
    ck_assert_int_lt(
        core_may_read(w.core, t.job, 0, SKEIN__BLOB_KIND__BLOB_RESULT, NULL),
        0);
    world_restart(&w);
    ck_assert_uint_gt(core_new_job_id(w.core), t.job);
}
END_TEST

START_TEST(read_of_a_removed_job_hurts_nobody)
{
    struct token t = done_job();
    struct op *read = op_create(OP_READ, t.job);
    struct core_event e = {.kind = CORE_STORED, .op = read};

    ck_assert_uint_eq(order(t.job, REMOVE), ERR_NONE);
    read->status = OP_FAILED;
    err_set(&read->err, ERR_CORRUPT, "no such file");
    world_step(&w, &e);
    op_free(read);
    ck_assert_str_eq(core_health(w.core), "ok");
}
END_TEST

START_TEST(corrupt_job_can_only_be_removed)
{
    struct token t = grant_one(&anna);

    w.fail = ERR_CORRUPT;
    world_upload(&w, &anna, &t);
    world_store_one(&w);
    w.fail = ERR_NONE;
    world_store(&w);
    ck_assert_int_eq(job_state(t.job), SKEIN__JOB_STATE__JOB_CORRUPT);
    ck_assert_uint_eq(order(t.job, RETRY), ERR_CONFLICT);
    ck_assert_uint_eq(order(t.job, RELEASE), ERR_CONFLICT);
    ck_assert_uint_eq(order(t.job, REMOVE), ERR_NONE);
}
END_TEST

START_TEST(orders_that_do_not_fit_the_state)
{
    uint64_t job = world_job_n(&w, 1);
    struct token t;

    ck_assert_uint_eq(order(job, RETRY), ERR_CONFLICT);
    ck_assert_uint_eq(order(job, REMOVE), ERR_CONFLICT);
    ck_assert_uint_eq(order(99, HOLD), ERR_NOT_FOUND);
    world_hello(&w, &anna, NULL, 0);
    t = granted_to_anna();
    upload(&anna, &t);
    ck_assert_uint_eq(order(job, HOLD), ERR_CONFLICT);
    ck_assert_uint_eq(order(job, RELEASE), ERR_CONFLICT);
    ck_assert_uint_eq(order(job, PRIORITY), ERR_CONFLICT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core_orders");
    TCase *tc = tcase_create("orders");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, held_job_is_granted_nothing_and_finishes_what_is_leased);
    tcase_add_test(tc, hold_is_durable_before_it_is_answered);
    tcase_add_test(tc, hold_while_the_first_grant_is_being_stored);
    tcase_add_test(tc, hold_and_release_twice_are_answered_twice);
    tcase_add_test(tc, held_job_can_be_cancelled);
    tcase_add_test(tc, order_on_a_full_disk_changes_nothing);
    tcase_add_test(tc, priority_moves_a_job_before_the_others);
    tcase_add_test(tc, retry_leases_the_failed_lines_alone);
    tcase_add_test(tc, retry_after_a_restart_has_the_shards_again);
    tcase_add_test(tc, retry_keeps_the_fingerprint_of_kept_answers);
    tcase_add_test(tc,
                   retry_without_a_kept_answer_may_have_another_fingerprint);
    tcase_add_test(tc, cancelled_retry_leaves_what_there_was);
    tcase_add_test(tc, token_of_a_cancelled_retry_has_not_won);
    tcase_add_test(tc, failed_job_gets_new_attempts);
    tcase_add_test(tc, repeated_retry_undoes_one_end_once);
    tcase_add_test(tc, removed_job_is_gone_and_its_number_too);
    tcase_add_test(tc, read_of_a_removed_job_hurts_nobody);
    tcase_add_test(tc, corrupt_job_can_only_be_removed);
    tcase_add_test(tc, orders_that_do_not_fit_the_state);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
