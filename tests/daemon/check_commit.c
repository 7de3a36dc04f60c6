/* The owner threads on real files: order, groups, reads, bad results. */
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/commit.h"
#include "tests/daemon/spooled.h"

static struct spooled s;
static struct commit *c;

static void setup(void)
{
    struct err err;

    spooled_init(&s);
    c = commit_start(s.store, &err);
    ck_assert_ptr_nonnull(c);
}

static void teardown(void)
{
    commit_stop(c);
    spooled_free(&s);
}

/* Wait for n operations; they come oldest first, linked. */
static struct op *wait_for(size_t n)
{
    struct op *first = NULL, **last = &first;

    while (n > 0) {
        struct pollfd p = {.fd = commit_fd(c), .events = POLLIN};

        ck_assert_int_ge(poll(&p, 1, 20000), 1);
        for (*last = commit_take(c); *last != NULL; last = &(*last)->next)
            n--;
    }
    return first;
}

static struct op *run(struct op *op)
{
    commit_submit(c, op);
    return wait_for(1);
}

static struct op *read_op(uint64_t job, uint32_t shard, Skein__BlobKind kind,
                          uint64_t offset, uint32_t window)
{
    struct op *op = op_create(OP_READ, job);

    op->read.shard = shard;
    op->read.kind = kind;
    op->read.offset = offset;
    op->read.window = window;
    return op;
}

static struct token token_for(uint64_t job, uint32_t shard)
{
    return (struct token){1, job, shard, 1, 99};
}

START_TEST(submission_through_the_threads)
{
    struct op *stage = spooled_stage(6, 0);
    struct op *accept = op_create(OP_ACCEPT, 6);
    struct op *done;

    accept->accept.image = spooled_image(6, 1);
    commit_submit(c, stage);
    commit_submit(c, accept);
    done = wait_for(2);
    ck_assert_int_eq(done->kind, OP_STAGE);
    ck_assert_int_eq(done->status, OP_OK);
    ck_assert_int_eq(done->next->kind, OP_ACCEPT);
    ck_assert_int_eq(done->next->status, OP_OK);
    op_free(done->next);
    op_free(done);
    done = run(read_op(6, 0, SKEIN__BLOB_KIND__BLOB_INPUT, 0, 1000));
    ck_assert_int_eq(done->status, OP_OK);
    ck_assert_uint_eq(done->read.data.len, done->read.size);
    op_free(done);
}
END_TEST

START_TEST(one_jobs_operations_keep_their_order)
{
    enum {
        SHARDS = 300
    }; /* more than a group holds */
    struct op *op, *next;
    uint32_t k = 0;

    spooled_job(&s, 1, SHARDS);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct token t = token_for(1, i);

        commit_submit(c, spooled_grant(&t));
        commit_submit(c, spooled_upload(&t, 2 * i + 1, 0));
    }
    for (op = wait_for(2 * SHARDS); op != NULL; op = next, k++) {
        next = op->next;
        ck_assert_int_eq(op->kind, k % 2 == 0 ? OP_GRANT : OP_RESULT);
        ck_assert_int_eq(op->status, OP_OK);
        if (op->kind == OP_RESULT)
            ck_assert_uint_eq(op->result.token.shard, k / 2);
        op_free(op);
    }
}
END_TEST

/* More jobs than files may be open at a time. */
START_TEST(many_jobs)
{
    enum {
        JOBS = 3 * COMMIT_FILES_MAX / 2
    };
    struct op *op, *next;

    for (uint64_t id = 1; id <= JOBS; id++)
        spooled_job(&s, id, 1);
    for (int round = 0; round < 2; round++) {
        for (uint64_t id = 1; id <= JOBS; id++) {
            struct token t = token_for(id, 0);

            commit_submit(c, round == 0 ? spooled_grant(&t)
                                        : spooled_upload(&t, 1, 0));
        }
        for (op = wait_for(JOBS); op != NULL; op = next) {
            next = op->next;
            ck_assert_int_eq(op->status, OP_OK);
            op_free(op);
        }
    }
}
END_TEST

START_TEST(blob_is_read_in_windows)
{
    struct buf all = BUF_INIT;
    struct op *op;
    uint64_t size;

    spooled_job(&s, 1, 1);
    op = run(read_op(1, 0, SKEIN__BLOB_KIND__BLOB_INPUT, 0, 7));
    size = op->read.size;
    ck_assert_uint_gt(size, 7);
    op_free(op);
    while (all.len < size) {
        op = run(read_op(1, 0, SKEIN__BLOB_KIND__BLOB_INPUT, all.len, 7));
        ck_assert_int_eq(op->status, OP_OK);
        ck_assert_uint_le(op->read.data.len, 7);
        ck_assert_uint_gt(op->read.data.len, 0);
        buf_add(&all, op->read.data.data, op->read.data.len);
        op_free(op);
    }
    op = spooled_stage(1, 0);
    ck_assert_uint_eq(all.len, op->stage.input.len);
    ck_assert_mem_eq(all.data, op->stage.input.data, all.len);
    op_free(op);
    op = run(read_op(1, 0, SKEIN__BLOB_KIND__BLOB_INPUT, size + 100, 7));
    ck_assert_int_eq(op->status, OP_OK); /* past the end: nothing */
    ck_assert_uint_eq(op->read.data.len, 0);
    op_free(op);
    op = run(read_op(1, 0, SKEIN__BLOB_KIND__BLOB_RESULT, 0, 7));
    ck_assert_int_eq(op->status, OP_FAILED);
    ck_assert_int_eq(op->err.code, ERR_NOT_FOUND);
    op_free(op);
    buf_free(&all);
}
END_TEST

START_TEST(result_must_answer_its_input)
{
    struct token t = token_for(1, 1);
    struct op *op;

    spooled_job(&s, 1, 2);
    op_free(run(spooled_grant(&t)));
    op = run(spooled_upload(&t, 1, 0)); /* the lines of shard 0 */
    ck_assert_int_eq(op->status, OP_FAILED);
    ck_assert_int_eq(op->err.code, ERR_INVALID);
    op_free(op);

    op = spooled_upload(&t, 3, 0);
    op->result.hash[5] ^= 1;
    op = run(op);
    ck_assert_int_eq(op->status, OP_FAILED);
    ck_assert_int_eq(op->err.code, ERR_PROTOCOL);
    op_free(op);

    op = op_create(OP_RESULT, 1);
    op->result.token = t;
    buf_adds(&op->result.blob, "no lineset");
    hash_bytes("no lineset", 10, op->result.hash);
    op = run(op);
    ck_assert_int_eq(op->err.code, ERR_INVALID);
    op_free(op);

    op = run(spooled_upload(&t, 3, 1));
    ck_assert_int_eq(op->status, OP_OK);
    ck_assert_uint_eq(op->result.n_errors, 1);
    op_free(op);
}
END_TEST

static enum op_status status_of(struct op *op)
{
    enum op_status status = op->status;

    op_free(op);
    return status;
}

/* The answer to line 1 alone. */
static struct op *upload_line_1(const struct token *t)
{
    struct op *op = op_create(OP_RESULT, t->job);

    op->result.token = *t;
    spooled_result(1, 1, 0, &op->result.blob);
    hash_bytes(op->result.blob.data, op->result.blob.len, op->result.hash);
    return op;
}

static uint64_t size_of(uint64_t job, Skein__BlobKind kind)
{
    struct op *op = run(read_op(job, 0, kind, 0, 1000));
    uint64_t size = op->status == OP_OK ? op->read.size : 0;

    op_free(op);
    return size;
}

static struct op *end_op(uint64_t job)
{
    struct op *op = op_create(OP_STATE, job);

    op->state.state = SKEIN__JOB_STATE__JOB_DONE;
    return op;
}

static struct op *retry_op(uint64_t job)
{
    struct op *op = op_create(OP_RETRY, job);

    op->retry.failed = true;
    return op;
}

START_TEST(retry_reads_and_takes_the_failed_lines_alone)
{
    struct token t = token_for(1, 0);
    uint64_t whole;
    struct op *op;

    spooled_job(&s, 1, 1);
    op_free(run(spooled_grant(&t)));
    whole = size_of(1, SKEIN__BLOB_KIND__BLOB_INPUT);
    op_free(run(spooled_upload(&t, 1, 1)));
    op_free(run(end_op(1)));
    op = run(retry_op(1));
    ck_assert_int_eq(op->status, OP_OK);
    ck_assert_uint_eq(op->retry.image->answered, 1);
    op_free(op);

    t.attempt = 2;
    op = run(spooled_grant(&t));
    ck_assert_uint_lt(op->grant.lease[0].input_bytes, whole);
    ck_assert_uint_eq(op->grant.lease[0].input_bytes,
                      size_of(1, SKEIN__BLOB_KIND__BLOB_INPUT));
    op_free(op);
    op = run(spooled_upload(&t, 1, 0)); /* both lines: not what was asked */
    ck_assert_int_eq(op->err.code, ERR_INVALID);
    op_free(op);
    commit_submit(c, upload_line_1(&t)); /* twice, maybe in one transaction */
    commit_submit(c, upload_line_1(&t));
    op = wait_for(2);
    ck_assert_int_eq(op->next->status, OP_OK);
    ck_assert_int_eq(op->status, OP_OK);
    ck_assert_uint_eq(op->result.answers[0][0], 1); /* of no told kind */
    ck_assert_uint_eq(op->result.n_errors, 0);
    op_free(op->next);
    op_free(op);
    ck_assert_int_eq(status_of(run(upload_line_1(&t))), OP_OK); /* or later */
    ck_assert_uint_eq(size_of(1, SKEIN__BLOB_KIND__BLOB_RETRY), 0);
    op = run(retry_op(1));
    ck_assert_int_eq(op->err.code, ERR_NOT_FOUND);
    op_free(op);
}
END_TEST

START_TEST(removed_job_is_closed_and_gone)
{
    struct token t = token_for(1, 0);

    spooled_job(&s, 1, 1);
    op_free(run(spooled_grant(&t))); /* its file is open */
    ck_assert_int_eq(status_of(run(op_create(OP_REMOVE, 1))), OP_OK);
    ck_assert_uint_eq(size_of(1, SKEIN__BLOB_KIND__BLOB_INPUT), 0);
    ck_assert_int_eq(status_of(run(spooled_grant(&t))), OP_FAILED);
}
END_TEST

START_TEST(missing_file_fails_its_operations_alone)
{
    struct token gone = token_for(9, 0), there = token_for(1, 0);
    struct op *op;

    spooled_job(&s, 1, 1);
    op = run(spooled_grant(&gone));
    ck_assert_int_eq(op->status, OP_FAILED);
    op_free(op);
    op = run(spooled_grant(&there));
    ck_assert_int_eq(op->status, OP_OK);
    op_free(op);
}
END_TEST

START_TEST(stop_finishes_what_was_handed_over)
{
    struct token t = token_for(1, 0);
    struct err err;

    spooled_job(&s, 1, 1);
    commit_submit(c, spooled_grant(&t));
    commit_submit(c, spooled_upload(&t, 1, 0));
    commit_stop(c);
    spooled_close(&s);
    spooled_open(&s);
    ck_assert_int_eq(s.found[0]->shard[0].state, SHARD_DONE);
    c = commit_start(s.store, &err);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("commit");
    TCase *t = tcase_create("commit");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, submission_through_the_threads);
    tcase_add_test(t, one_jobs_operations_keep_their_order);
    tcase_add_test(t, many_jobs);
    tcase_add_test(t, blob_is_read_in_windows);
    tcase_add_test(t, result_must_answer_its_input);
    tcase_add_test(t, retry_reads_and_takes_the_failed_lines_alone);
    tcase_add_test(t, removed_job_is_closed_and_gone);
    tcase_add_test(t, missing_file_fails_its_operations_alone);
    tcase_add_test(t, stop_finishes_what_was_handed_over);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
