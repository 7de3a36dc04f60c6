/* Real files: recovery, the token fence, corruption, versions, locking. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "daemon/store_impl.h"
#include "tests/daemon/spooled.h"

static struct spooled s;

static void setup(void)
{
    spooled_init(&s);
}

static void teardown(void)
{
    spooled_free(&s);
}

static void reopen(void)
{
    spooled_close(&s);
    spooled_open(&s);
}

static struct store_job *open_job(uint64_t id)
{
    struct err err;
    struct store_job *j = store_job_open(s.store, id, &err);

    ck_assert_msg(j != NULL, "%s", err.text);
    return j;
}

/* Run one operation in its own transaction and say how it ended. */
static enum op_status apply(struct store_job *j, struct op *op)
{
    enum op_status status;
    struct err err;

    ck_assert_msg(store_job_apply(j, &op, 1, &err) == 0, "%s", err.text);
    status = op->status;
    op_free(op);
    return status;
}

static struct token token_for(uint64_t job, uint32_t shard, uint32_t attempt)
{
    return (struct token){1, job, shard, attempt, 1000 + attempt};
}

START_TEST(second_coordinator_is_refused)
{
    struct err err;

    ck_assert_ptr_null(spool_open(s.dir, &err));
    ck_assert_int_eq(err.code, ERR_AGAIN);
}
END_TEST

START_TEST(epoch_rises_with_every_start)
{
    uint64_t first = s.epoch;

    reopen();
    ck_assert_uint_eq(s.epoch, first + 1);
    reopen();
    ck_assert_uint_eq(s.epoch, first + 2);
}
END_TEST

START_TEST(accepted_job_is_found_again)
{
    spooled_job(&s, 5, 3);
    reopen();
    ck_assert_uint_eq(s.n_found, 1);
    ck_assert_uint_eq(s.found[0]->id, 5);
    ck_assert_uint_eq(s.found[0]->n_shards, 3);
    ck_assert_uint_eq(s.found[0]->records, 6);
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_QUEUED);
    ck_assert_int_eq(s.found[0]->submitted_unix_ms, 1234);
    ck_assert_mem_eq(s.found[0]->spec.data, "spec", 4);
    ck_assert_uint_eq(s.found[0]->shard[2].n_records, 2);
    ck_assert_uint_eq(s.found[0]->shard[2].cost, 7);
}
END_TEST

START_TEST(staged_job_is_gone_after_a_crash)
{
    struct err err;
    struct store_job *j = store_stage(s.store, 8, &err);
    struct op *op = spooled_stage(8, 0);

    ck_assert_ptr_nonnull(j);
    ck_assert_int_eq(store_stage_add(j, &op, 1, &err), 0);
    op_free(op);
    ck_assert(file_exists(spooled_path(&s, ".staging/8.db")));
    store_job_close(j); /* as a crash would */
    reopen();
    ck_assert_uint_eq(s.n_found, 0);
    ck_assert(!file_exists(spooled_path(&s, ".staging/8.db")));
}
END_TEST

START_TEST(discarded_job_leaves_nothing)
{
    struct err err;

    store_stage_discard(store_stage(s.store, 8, &err));
    ck_assert(!file_exists(spooled_path(&s, ".staging/8.db")));
}
END_TEST

START_TEST(file_without_a_row_is_added)
{
    spooled_job(&s, 1, 1);
    spooled_job(&s, 2, 2);
    spooled_close(&s);
    unlink(spooled_path(&s, "registry.db"));
    spooled_open(&s);
    ck_assert_uint_eq(s.n_found, 2);
    ck_assert_uint_eq(s.found[1]->n_shards, 2);
    reopen();
    ck_assert_uint_eq(s.n_found, 2);
}
END_TEST

static void make_tableless(const char *path)
{
    sqlite3 *h;

    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(h, "PRAGMA journal_mode = WAL", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(h);
}

/* Killed while the registry was being created, which has its first page before
 * it has its tables.
 */
START_TEST(registry_without_tables_is_created)
{
    spooled_job(&s, 1, 1);
    for (int empty = 0; empty < 2; empty++) {
        spooled_close(&s);
        unlink(spooled_path(&s, "registry.db"));
        if (empty)
            fclose(fopen(spooled_path(&s, "registry.db"), "w"));
        else
            make_tableless(spooled_path(&s, "registry.db"));
        ck_assert(file_exists(spooled_path(&s, "registry.db")));
        spooled_open(&s);
        ck_assert_uint_eq(s.n_found, 1);
    }
}
END_TEST

START_TEST(row_without_a_file_is_a_corrupt_job)
{
    spooled_job(&s, 1, 1);
    spooled_job(&s, 2, 1);
    spooled_close(&s);
    unlink(spooled_path(&s, "jobs/1.db"));
    spooled_open(&s);
    ck_assert_uint_eq(s.n_found, 2);
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CORRUPT);
    ck_assert_int_eq(s.found[1]->state, SKEIN__JOB_STATE__JOB_QUEUED);
}
END_TEST

START_TEST(garbage_is_a_corrupt_job)
{
    FILE *f;

    spooled_job(&s, 1, 1);
    spooled_job(&s, 2, 1);
    spooled_close(&s);
    f = fopen(spooled_path(&s, "jobs/1.db"), "wb");
    fputs("this is not a database, whatever its name says, not at all", f);
    fclose(f);
    f = fopen(spooled_path(&s, "jobs/3.db"), "wb"); /* and no row of it */
    fclose(f);
    spooled_open(&s);
    ck_assert_uint_eq(s.n_found, 3);
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CORRUPT);
    ck_assert_int_eq(s.found[1]->state, SKEIN__JOB_STATE__JOB_QUEUED);
    ck_assert_int_eq(s.found[2]->state, SKEIN__JOB_STATE__JOB_CORRUPT);
}
END_TEST

START_TEST(newer_schema_is_refused)
{
    /* user_version: 4 bytes, big-endian, at offset 60 of the header */
    static const char *const names[] = {"registry.db", "jobs/1.db"};
    FILE *f;

    spooled_job(&s, 1, 1);
    spooled_close(&s);
    for (size_t i = 0; i < 2; i++) {
        struct err err = {.code = ERR_NONE};
        struct spool *spool;
        struct store *store;
        uint64_t epoch;
        int ret = 0;

        f = fopen(spooled_path(&s, names[i]), "r+b");
        fseek(f, 63, SEEK_SET);
        fputc(200, f);
        fclose(f);
        spool = spool_open(s.dir, &err);
        store = store_open(spool, &epoch, &err);
        if (store != NULL)
            ret = store_recover(store, NULL, NULL, &err);
        ck_assert(store == NULL || ret < 0);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "newer"));
        store_close(store);
        spool_close(spool);
        f = fopen(spooled_path(&s, names[i]), "r+b");
        fseek(f, 63, SEEK_SET);
        fputc(1, f);
        fclose(f);
    }
    spooled_open(&s);
    ck_assert_uint_eq(s.n_found, 1);
}
END_TEST

START_TEST(lease_is_found_again)
{
    struct token t = token_for(1, 1, 1);
    struct store_job *j;
    struct op *op = spooled_grant(&t);
    struct err err;

    spooled_job(&s, 1, 2);
    j = open_job(1);
    ck_assert_int_eq(store_job_apply(j, &op, 1, &err), 0);
    ck_assert_int_eq(op->grant.lease[0].status, OP_OK);
    ck_assert_uint_gt(op->grant.lease[0].input_bytes, 0);
    op_free(op);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_RUNNING);
    ck_assert_uint_eq(s.found[0]->fingerprint[31], 9);
    ck_assert_int_eq(s.found[0]->started_unix_ms, 77);
    ck_assert_int_eq(s.found[0]->shard[0].state, SHARD_PENDING);
    ck_assert_int_eq(s.found[0]->shard[1].state, SHARD_LEASED);
    ck_assert_uint_eq(s.found[0]->shard[1].attempt, 1);
    ck_assert_uint_eq(s.found[0]->shard[1].nonce, t.nonce);
    ck_assert_uint_eq(s.found[0]->shard[1].epoch, 1);
}
END_TEST

START_TEST(fence_lets_one_token_win)
{
    struct token t = token_for(1, 0, 1), next = token_for(1, 0, 2), wrong;
    struct store_job *j;

    spooled_job(&s, 1, 1);
    j = open_job(1);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_STALE);
    ck_assert_int_eq(apply(j, spooled_grant(&t)), OP_OK);
    ck_assert_int_eq(apply(j, spooled_grant(&next)), OP_OK);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_STALE);
    wrong = next;
    wrong.nonce ^= 1;
    ck_assert_int_eq(apply(j, spooled_upload(&wrong, 1, 0)), OP_STALE);
    wrong = next;
    wrong.epoch++;
    ck_assert_int_eq(apply(j, spooled_upload(&wrong, 1, 0)), OP_STALE);
    ck_assert_int_eq(apply(j, spooled_upload(&next, 1, 1)), OP_OK);
    ck_assert_int_eq(apply(j, spooled_upload(&next, 1, 1)), OP_OK);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_STALE);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->shard[0].state, SHARD_DONE);
    ck_assert_uint_eq(s.found[0]->shard[0].n_errors, 1);
    ck_assert_uint_eq(s.found[0]->shard[0].tokens_in, 5);
    ck_assert_uint_eq(s.found[0]->answered, 2);
}
END_TEST

START_TEST(cancelled_shard_takes_no_result)
{
    struct token t = token_for(1, 0, 1);
    struct op *cancel = op_create(OP_STATE, 1);
    struct store_job *j;

    spooled_job(&s, 1, 1);
    j = open_job(1);
    ck_assert_int_eq(apply(j, spooled_grant(&t)), OP_OK);
    cancel->state.state = SKEIN__JOB_STATE__JOB_CANCELLED;
    snprintf(cancel->state.message, sizeof cancel->state.message, "enough");
    ck_assert_int_eq(apply(j, cancel), OP_OK);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_STALE);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
    ck_assert_str_eq(s.found[0]->message, "enough");
}
END_TEST

START_TEST(released_shard_is_pending_with_its_crashes)
{
    struct token t = token_for(1, 0, 1);
    struct op *release = op_create(OP_RELEASE, 1);
    struct store_job *j;

    spooled_job(&s, 1, 1);
    j = open_job(1);
    ck_assert_int_eq(apply(j, spooled_grant(&t)), OP_OK);
    op_add_lease(release)->token = t;
    release->release.lease[0].crashes = 3;
    ck_assert_int_eq(apply(j, release), OP_OK);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_STALE);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->shard[0].state, SHARD_PENDING);
    ck_assert_uint_eq(s.found[0]->shard[0].crashes, 3);
}
END_TEST

START_TEST(group_is_one_transaction)
{
    struct token a = token_for(1, 0, 1), b = token_for(1, 1, 1);
    struct op *op[4];
    struct store_job *j;
    struct err err;

    spooled_job(&s, 1, 2);
    j = open_job(1);
    op[0] = spooled_grant(&a);
    op[1] = spooled_upload(&b, 3, 0); /* not leased yet */
    op[2] = spooled_grant(&b);
    op[3] = spooled_upload(&a, 1, 0);
    ck_assert_int_eq(store_job_apply(j, op, 4, &err), 0);
    ck_assert_int_eq(op[0]->status, OP_OK);
    ck_assert_int_eq(op[1]->status, OP_STALE);
    ck_assert_int_eq(op[2]->status, OP_OK);
    ck_assert_int_eq(op[3]->status, OP_OK);
    for (int i = 0; i < 4; i++)
        op_free(op[i]);
    store_job_close(j);
}
END_TEST

START_TEST(flipped_bit_in_a_blob_is_noticed)
{
    struct token t = token_for(1, 0, 1), t1 = token_for(1, 1, 1);
    struct op *up = spooled_upload(&t, 1, 0);
    struct buf blob = BUF_INIT, out = BUF_INIT;
    uint8_t hash[HASH_BYTES];
    struct store_job *j;
    struct err err;

    spooled_job(&s, 1, 2);
    j = open_job(1);
    apply(j, spooled_grant(&t));
    apply(j, spooled_grant(&t1));
    apply(j, spooled_upload(&t1, 3, 0));
    buf_add(&blob, up->result.blob.data, up->result.blob.len);
    ck_assert_int_eq(apply(j, up), OP_OK);
    ck_assert_int_eq(
        store_job_blob(j, 0, SKEIN__BLOB_KIND__BLOB_RESULT, &out, hash, &err),
        0);
    ck_assert_uint_eq(out.len, blob.len);
    store_job_close(j);
    spooled_close(&s);
    spooled_flip(spooled_path(&s, "jobs/1.db"), blob.data, blob.len);
    spooled_open(&s);
    j = open_job(1);
    ck_assert_int_eq(
        store_job_blob(j, 0, SKEIN__BLOB_KIND__BLOB_RESULT, &out, hash, &err),
        -1);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    ck_assert_int_eq(
        store_job_blob(j, 1, SKEIN__BLOB_KIND__BLOB_RESULT, &out, hash, &err),
        0);
    ck_assert_int_eq(
        store_job_blob(j, 7, SKEIN__BLOB_KIND__BLOB_RESULT, &out, hash, &err),
        -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    store_job_close(j);
    buf_free(&blob);
    buf_free(&out);
}
END_TEST

/* A child grants and commits until it is killed; whatever it said was done is
 * there afterwards.
 */
START_TEST(what_was_acknowledged_survives_kill)
{
    enum {
        SHARDS = 40
    };
    int said[2], status;
    uint32_t last = 0, k;
    pid_t child;

    spooled_job(&s, 1, SHARDS);
    spooled_close(&s);
    ck_assert_int_eq(pipe(said), 0);
    child = fork();
    if (child == 0) {
        spooled_open(&s);
        for (k = 0; k < SHARDS; k++) {
            struct token t = token_for(1, k, 1);
            struct store_job *j = open_job(1);

            apply(j, spooled_grant(&t));
            apply(j, spooled_upload(&t, 2 * k + 1, 0));
            if (write(said[1], &k, sizeof k) != sizeof k)
                _exit(1);
            if (k == SHARDS / 2)
                raise(SIGKILL); /* with the file open */
            store_job_close(j);
        }
        _exit(0);
    }
    close(said[1]);
    while (read(said[0], &k, sizeof k) == sizeof k)
        last = k;
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status));
    close(said[0]);
    spooled_open(&s);
    for (k = 0; k <= last; k++)
        ck_assert_int_eq(s.found[0]->shard[k].state, SHARD_DONE);
    ck_assert_uint_eq(s.found[0]->prefix, last + 1);
}
END_TEST

/* ---- orders -------------------------------------------------------------- */

static struct op *change(uint64_t job, Skein__OrderKind kind)
{
    struct op *op = op_create(OP_CHANGE, job);

    op->change.kind = kind;
    return op;
}

static struct op *end(uint64_t job, Skein__JobState state)
{
    struct op *op = op_create(OP_STATE, job);

    op->state.state = state;
    op->state.finished_unix_ms = 88;
    return op;
}

START_TEST(hold_release_and_priority_are_found_again)
{
    struct token t = token_for(1, 0, 1);
    struct store_job *j;
    struct op *op = change(1, SKEIN__ORDER_KIND__ORDER_PRIORITY);

    spooled_job(&s, 1, 2);
    j = open_job(1);
    apply(j, change(1, SKEIN__ORDER_KIND__ORDER_HOLD));
    buf_adds(&op->change.spec, "other spec");
    apply(j, op);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_HELD);
    ck_assert_uint_eq(s.found[0]->spec.len, strlen("other spec"));

    j = open_job(1);
    apply(j, change(1, SKEIN__ORDER_KIND__ORDER_RELEASE));
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_QUEUED);

    j = open_job(1);
    apply(j, spooled_grant(&t));
    apply(j, change(1, SKEIN__ORDER_KIND__ORDER_HOLD));
    apply(j, change(1, SKEIN__ORDER_KIND__ORDER_RELEASE));
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_RUNNING);
    ck_assert_uint_eq(s.found[0]->shard[0].state, SHARD_LEASED);
}
END_TEST

/* Job 1: shard 0 done with an error, shard 1 without, shard 2 cancelled. */
static struct store_job *ended_job(void)
{
    struct store_job *j;

    spooled_job(&s, 1, 3);
    j = open_job(1);
    for (uint32_t k = 0; k < 2; k++) {
        struct token t = token_for(1, k, 1);

        apply(j, spooled_grant(&t));
        apply(j, spooled_upload(&t, 2 * k + 1, k == 0));
    }
    apply(j, end(1, SKEIN__JOB_STATE__JOB_CANCELLED));
    return j;
}

START_TEST(retry_opens_what_has_no_answer)
{
    struct store_job *j = ended_job();
    struct job_image image;
    struct err err;

    ck_assert_int_eq(store_job_retry(j, false, &image, &err), 0);
    ck_assert_int_eq(image.state, SKEIN__JOB_STATE__JOB_QUEUED);
    ck_assert_int_eq(image.shard[0].state, SHARD_DONE);
    ck_assert_int_eq(image.shard[2].state, SHARD_PENDING);
    ck_assert_int_eq(image.finished_unix_ms, 0);
    ck_assert(image.has_fingerprint);
    job_image_clear(&image);
    ck_assert_int_eq(store_job_retry(j, false, &image, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    store_job_close(j);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_QUEUED);
    ck_assert_int_eq(s.found[0]->shard[2].state, SHARD_PENDING);
}
END_TEST

START_TEST(retry_of_errors_keeps_the_result)
{
    struct store_job *j = ended_job();
    struct token t = token_for(1, 0, 2);
    struct job_image image;
    struct err err;

    ck_assert_int_eq(store_job_retry(j, true, &image, &err), 0);
    ck_assert_int_eq(image.shard[0].state, SHARD_PENDING);
    ck_assert_uint_eq(shard_records_left(&image.shard[0]), 1);
    ck_assert_uint_eq(image.answered, 3);
    ck_assert_uint_eq(image.failed, 0);
    job_image_clear(&image);
    ck_assert_int_eq(store_job_input_kind(j, 0, &err),
                     SKEIN__BLOB_KIND__BLOB_RETRY);
    ck_assert_int_eq(store_job_input_kind(j, 1, &err),
                     SKEIN__BLOB_KIND__BLOB_INPUT);
    apply(j, spooled_grant(&t));
    store_job_close(j);
    reopen();
    ck_assert_uint_eq(s.found[0]->shard[0].n_errors, 1);
    ck_assert_int_eq(s.found[0]->shard[0].state, SHARD_LEASED);

    j = open_job(1); /* cancelled: the old result is what there is */
    apply(j, end(1, SKEIN__JOB_STATE__JOB_CANCELLED));
    ck_assert_int_eq(store_job_won(j, &t, &err), 0);
    store_job_close(j);
    reopen();
    ck_assert_uint_eq(s.found[0]->answered, 4);
    ck_assert_uint_eq(s.found[0]->failed, 1);
}
END_TEST

START_TEST(fingerprint_goes_with_the_last_kept_answer)
{
    struct token t = token_for(1, 0, 1);
    struct store_job *j;
    struct job_image image;
    struct err err;

    spooled_job(&s, 1, 1);
    j = open_job(1);
    apply(j, spooled_grant(&t));
    apply(j, spooled_upload(&t, 1, 2)); /* nothing but errors */
    apply(j, end(1, SKEIN__JOB_STATE__JOB_DONE));
    ck_assert_int_eq(store_job_retry(j, true, &image, &err), 0);
    ck_assert(!image.has_fingerprint);
    job_image_clear(&image);
    store_job_close(j);
}
END_TEST

/* The registry is written first; the process may end before the file is. */
START_TEST(retry_that_did_not_get_to_the_file_is_none)
{
    struct err err;

    store_job_close(ended_job());
    ck_assert_int_eq(
        store_index_state(s.store, 1, SKEIN__JOB_STATE__JOB_QUEUED, "", &err),
        0);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
}
END_TEST

START_TEST(removed_job_leaves_nothing_but_its_number)
{
    struct err err;

    spooled_job(&s, 1, 1);
    spooled_job(&s, 2, 1);
    ck_assert_int_eq(store_remove(s.store, 2, &err), 0);
    ck_assert(!file_exists(spooled_path(&s, "jobs/2.db")));
    ck_assert(!file_exists(spooled_path(&s, "jobs/2.db-wal")));
    reopen();
    ck_assert_uint_eq(s.n_found, 1);
    ck_assert_uint_eq(store_last_removed(s.store), 2);
    ck_assert_int_eq(store_remove(s.store, 1, &err), 0);
    reopen();
    ck_assert_uint_eq(s.n_found, 0);
    ck_assert_uint_eq(store_last_removed(s.store), 2);
}
END_TEST

/* The process ended between row and file: the job is there as a whole. */
START_TEST(half_removed_job_is_whole)
{
    struct buf bytes = BUF_INIT;
    struct err err;

    store_job_close(ended_job());
    ck_assert_int_eq(
        file_read(spooled_path(&s, "jobs/1.db"), 1u << 26, &bytes, &err), 0);
    ck_assert_int_eq(store_remove(s.store, 1, &err), 0);
    spooled_close(&s);
    ck_assert_int_eq(file_replace(spooled_path(&s, "jobs/1.db"), bytes.data,
                                  bytes.len, &err),
                     0);
    spooled_open(&s);
    ck_assert_uint_eq(s.n_found, 1);
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CANCELLED);
    ck_assert_uint_eq(s.found[0]->answered, 4);
    buf_free(&bytes);
}
END_TEST

START_TEST(ended_job_without_its_file_is_corrupt)
{
    store_job_close(ended_job());
    spooled_close(&s);
    unlink(spooled_path(&s, "jobs/1.db"));
    spooled_open(&s);
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CORRUPT);
    reopen();
    ck_assert_int_eq(s.found[0]->state, SKEIN__JOB_STATE__JOB_CORRUPT);
}
END_TEST

/* Needs to mount a small file system: root only. */
START_TEST(full_disk_changes_nothing_and_heals)
{
    struct token t = token_for(1, 0, 1);
    struct store_job *j;
    struct op *op;
    char filler[128];
    FILE *f;
    struct err err;

    spooled_close(&s);
    if (mount("tmpfs", s.dir, "tmpfs", 0, "size=2m") < 0) {
        printf("SKIP full_disk_changes_nothing_and_heals: cannot mount a tmpfs:"
               " %s\n",
               strerror(errno));
        spooled_open(&s);
        return;
    }
    spooled_open(&s);
    spooled_job(&s, 1, 1);
    spooled_job(&s, 2, 1);
    j = open_job(1);
    ck_assert_int_eq(apply(j, spooled_grant(&t)), OP_OK);
    snprintf(filler, sizeof filler, "%s", spooled_path(&s, "filler"));
    f = fopen(filler, "wb");
    while (fputc('x', f) != EOF && fflush(f) == 0)
        continue;
    fclose(f);
    op = spooled_upload(&t, 1, 0);
    ck_assert_int_eq(store_job_apply(j, &op, 1, &err), 0);
    ck_assert_int_eq(op->status, OP_FAILED);
    ck_assert_int_eq(op->err.code, ERR_AGAIN);
    op_free(op);
    ck_assert_int_eq(store_remove(s.store, 2, &err), 0); /* makes room */
    unlink(filler);
    ck_assert_int_eq(apply(j, spooled_upload(&t, 1, 0)), OP_OK);
    store_job_close(j);
    spooled_close(&s);
    umount(s.dir);
    spooled_open(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *t = tcase_create("store");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, second_coordinator_is_refused);
    tcase_add_test(t, epoch_rises_with_every_start);
    tcase_add_test(t, accepted_job_is_found_again);
    tcase_add_test(t, staged_job_is_gone_after_a_crash);
    tcase_add_test(t, discarded_job_leaves_nothing);
    tcase_add_test(t, file_without_a_row_is_added);
    tcase_add_test(t, registry_without_tables_is_created);
    tcase_add_test(t, row_without_a_file_is_a_corrupt_job);
    tcase_add_test(t, garbage_is_a_corrupt_job);
    tcase_add_test(t, newer_schema_is_refused);
    tcase_add_test(t, lease_is_found_again);
    tcase_add_test(t, fence_lets_one_token_win);
    tcase_add_test(t, cancelled_shard_takes_no_result);
    tcase_add_test(t, released_shard_is_pending_with_its_crashes);
    tcase_add_test(t, group_is_one_transaction);
    tcase_add_test(t, flipped_bit_in_a_blob_is_noticed);
    tcase_add_test(t, what_was_acknowledged_survives_kill);
    tcase_add_test(t, hold_release_and_priority_are_found_again);
    tcase_add_test(t, retry_opens_what_has_no_answer);
    tcase_add_test(t, retry_of_errors_keeps_the_result);
    tcase_add_test(t, fingerprint_goes_with_the_last_kept_answer);
    tcase_add_test(t, retry_that_did_not_get_to_the_file_is_none);
    tcase_add_test(t, removed_job_leaves_nothing_but_its_number);
    tcase_add_test(t, half_removed_job_is_whole);
    tcase_add_test(t, ended_job_without_its_file_is_corrupt);
    tcase_add_test(t, full_disk_changes_nothing_and_heals);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
