/* One job's file: its shards, blobs, and the transactions on them. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/retry.h"
#include "daemon/schema.h"
#include "daemon/store.h"
#include "daemon/store_impl.h"
#include "proto/limits.h"

enum stmt {
    STMT_JOB_READ,
    STMT_JOB_PUT,
    STMT_JOB_START,
    STMT_JOB_END,
    STMT_JOB_HOLD,
    STMT_JOB_SPEC,
    STMT_JOB_RETRY,
    STMT_SHARDS_READ,
    STMT_SHARD_PUT,
    STMT_SHARD_GRANT,
    STMT_SHARD_RELEASE,
    STMT_SHARD_RESULT,
    STMT_SHARD_WON,
    STMT_SHARDS_END,
    STMT_SHARDS_RETRY,
    STMT_SHARD_INPUT,
    STMT_BLOB_PUT,
    STMT_BLOB_DROP,
    STMT_BLOB_HASH,
    STMT_BLOB_READ,
    STMT_COUNT,
};

static const struct db_sql sql[STMT_COUNT] = {
    [STMT_JOB_READ] = {"read the job", "SELECT " JOB_COLUMNS " FROM job"},
    [STMT_JOB_PUT] = {"write the job",
                      "INSERT INTO job VALUES (" JOB_VALUES ")"},
    [STMT_JOB_START] = {"start the job",
                        "UPDATE job SET state = ?1, fingerprint = ?2,"
                        " started_unix_ms = ?3"},
    [STMT_JOB_END] = {"end the job",
                      "UPDATE job SET state = ?1, finished_unix_ms = ?2,"
                      " message = ?3"},
    [STMT_JOB_HOLD] = {"hold or release the job",
                       "UPDATE job SET state = CASE WHEN ?1 THEN 5"
                       " WHEN started_unix_ms = 0 THEN 0 ELSE 1 END"},
    [STMT_JOB_SPEC] = {"change the job's spec", "UPDATE job SET spec = ?1"},
    /* The fingerprint binds as long as an answer made with it is kept. */
    [STMT_JOB_RETRY] = {"begin the job again",
                        "UPDATE job SET state = 0, started_unix_ms = 0,"
                        " finished_unix_ms = 0, message = '', fingerprint ="
                        " CASE WHEN EXISTS (SELECT 1 FROM shard WHERE"
                        " n_errors < n_records AND (state = 2 OR n_errors > 0)"
                        ") THEN fingerprint END"},
    [STMT_SHARDS_READ] = {"read the shards",
                          "SELECT shard, n_records, cost, state, attempt,"
                          " nonce, epoch, crash_count, n_errors, tokens_in,"
                          " tokens_out, owner FROM shard ORDER BY shard"},
    [STMT_SHARD_PUT] =
        {"write a shard",
         "INSERT OR REPLACE INTO shard (shard, first_line, n_lines,"
         " n_records, n_rejected, cost, state)"
         " VALUES (?1,?2,?3,?4,?5,?6,?7)"},
    [STMT_SHARD_GRANT] = {"lease a shard",
                          "UPDATE shard SET state = 1, attempt = ?2,"
                          " nonce = ?3, epoch = ?4, worker = ?5, owner = ?6"
                          " WHERE shard = ?1 AND state IN (0, 1)"},
    [STMT_SHARD_RELEASE] = {"release a shard",
                            "UPDATE shard SET state = 0, crash_count = ?5"
                            " WHERE shard = ?1 AND state = 1 AND attempt = ?2"
                            " AND nonce = ?3 AND epoch = ?4"},
    [STMT_SHARD_RESULT] = {"store a result",
                           "UPDATE shard SET state = 2, n_errors = ?5,"
                           " tokens_in = tokens_in + ?6,"
                           " tokens_out = tokens_out + ?7"
                           " WHERE shard = ?1 AND state = 1 AND attempt = ?2"
                           " AND nonce = ?3 AND epoch = ?4"},
    [STMT_SHARD_WON] = {"look up a result",
                        "SELECT 1 FROM shard WHERE shard = ?1 AND state = 2"
                        " AND attempt = ?2 AND nonce = ?3 AND epoch = ?4"},
    /* shard_end() of daemon/job.c */
    [STMT_SHARDS_END] = {"end the shards",
                         "UPDATE shard SET epoch = 0, state = CASE WHEN"
                         " n_errors > 0 THEN 2 ELSE 3 END"
                         " WHERE state IN (0, 1)"},
    [STMT_SHARDS_RETRY] = {"try shards again",
                           "UPDATE shard SET state = 0, crash_count = 0"
                           " WHERE state = 3"
                           " OR (?1 AND state = 2 AND n_errors > 0)"},
    [STMT_SHARD_INPUT] = {"look up a shard",
                          "SELECT state <> 2 AND n_errors > 0 FROM shard"
                          " WHERE shard = ?1"},
    [STMT_BLOB_PUT] = {"write a blob",
                       "INSERT OR REPLACE INTO blob VALUES (?1,?2,?3,?4,?5)"},
    [STMT_BLOB_DROP] = {"drop a blob", "DELETE FROM blob WHERE id = ?1"},
    [STMT_BLOB_HASH] = {"read a blob's hash",
                        "SELECT size, blake2b FROM blob WHERE id = ?1"},
    [STMT_BLOB_READ] = {"read a blob",
                        "SELECT size, xxh3, blake2b, data FROM blob"
                        " WHERE id = ?1"},
};

/* ---- job files ----------------------------------------------------------- */

struct store_job *store_job_open(struct store *s, uint64_t job, struct err *err)
{
    struct store_job *j = xcalloc(1, sizeof *j);
    char *path = spool_job(s->spool, job);
    int64_t tables;

    j->store = s;
    j->id = job;
    /* Reading makes SQLite create the WAL; its name must be durable before the
     * first commit is, and SQLite ignores a failure of that (M17). */
    if (db_open(&j->db, path, sql, NULL, DB_LIVE, err) < 0
        || db_query_int(&j->db, "SELECT count(*) FROM sqlite_schema", &tables,
                        err)
               < 0
        || spool_sync_jobs(s->spool, err) < 0) {
        store_job_close(j);
        j = NULL;
    }
    free(path);
    return j;
}

void store_job_close(struct store_job *j)
{
    if (j == NULL)
        return;
    db_close(&j->db);
    free(j);
}

static int load_shards(struct store_job *j, struct job_image *out,
                       struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARDS_READ, err);
    uint64_t records = 0;
    uint32_t n = 0;
    int rc;

    if (q == NULL)
        return -1;
    out->shard = xcalloc((size_t)out->n_shards + 1, sizeof *out->shard);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct shard_image *s = &out->shard[n];

        if (n == out->n_shards || sqlite3_column_int64(q, 0) != n)
            break;
        s->n_records = (uint32_t)sqlite3_column_int64(q, 1);
        s->cost = (uint64_t)sqlite3_column_int64(q, 2);
        s->state = (uint8_t)sqlite3_column_int(q, 3);
        s->attempt = (uint32_t)sqlite3_column_int64(q, 4);
        s->nonce = (uint64_t)sqlite3_column_int64(q, 5);
        s->epoch = (uint64_t)sqlite3_column_int64(q, 6);
        s->crashes = (uint8_t)sqlite3_column_int(q, 7);
        s->n_errors = (uint32_t)sqlite3_column_int64(q, 8);
        s->tokens_in = (uint64_t)sqlite3_column_int64(q, 9);
        s->tokens_out = (uint64_t)sqlite3_column_int64(q, 10);
        s->owner = (uint64_t)sqlite3_column_int64(q, 11);
        if (s->state > SHARD_CANCELLED)
            break;
        records += s->n_records;
        n++;
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        db_error(&j->db, STMT_SHARDS_READ, err);
    sqlite3_reset(q);
    if (rc == SQLITE_DONE && n == out->n_shards && records == out->records)
        return 0;
    if (rc == SQLITE_DONE || rc == SQLITE_ROW)
        err_set(err, ERR_CORRUPT, "its shards do not add up to the job");
    return -1;
}

int store_job_load(struct store_job *j, struct job_image *out, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_JOB_READ, err);
    struct job_image image = {0};
    int ret = -1;

    if (q == NULL)
        return -1;
    switch (sqlite3_step(q)) {
    case SQLITE_ROW:
        ret = store_read_job(q, &image, err);
        break;
    case SQLITE_DONE:
        err_set(err, ERR_CORRUPT, "it holds no job");
        break;
    default:
        db_error(&j->db, STMT_JOB_READ, err);
    }
    sqlite3_reset(q);
    if (ret == 0 && image.id != j->id)
        ret = err_set(err, ERR_CORRUPT, "it holds job %" PRIu64, image.id);
    if (ret == 0)
        ret = load_shards(j, &image, err);
    if (ret < 0) {
        job_image_clear(&image);
        return -1;
    }
    job_image_count(&image);
    *out = image;
    return 0;
}

static int blob_put(struct store_job *j, uint32_t shard, Skein__BlobKind kind,
                    const struct buf *data, const uint8_t hash[HASH_BYTES],
                    struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_BLOB_PUT, err);

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)shard * 4 + (int)kind);
    sqlite3_bind_int64(q, 2, (int64_t)data->len);
    sqlite3_bind_int64(q, 3, (int64_t)hash_xxh3(data->data, data->len));
    db_bind_bytes(q, 4, hash, HASH_BYTES);
    db_bind_bytes(q, 5, data->data, data->len);
    return db_run(&j->db, STMT_BLOB_PUT, err) < 0 ? -1 : 0;
}

int store_job_blob(struct store_job *j, uint32_t shard, Skein__BlobKind kind,
                   struct buf *out, uint8_t hash[HASH_BYTES], struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_BLOB_READ, err);
    const void *data;
    size_t len;
    int ret = 0;

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)shard * 4 + (int)kind);
    switch (sqlite3_step(q)) {
    case SQLITE_ROW:
        data = sqlite3_column_blob(q, 3);
        len = (size_t)sqlite3_column_bytes(q, 3);
        if ((int64_t)len != sqlite3_column_int64(q, 0)
            || (data == NULL && len > 0)
            || (int64_t)hash_xxh3(data, len) != sqlite3_column_int64(q, 1)
            || db_column_bytes(q, 2, hash, HASH_BYTES) < 0)
            ret = err_set(err, ERR_CORRUPT,
                          "blob %d of shard %" PRIu32
                          " does not have its recorded hash",
                          (int)kind, shard);
        else
            buf_add(out, data, len);
        break;
    case SQLITE_DONE:
        ret = err_set(err, ERR_NOT_FOUND, "shard %" PRIu32 " has no blob %d",
                      shard, (int)kind);
        break;
    default:
        ret = db_error(&j->db, STMT_BLOB_READ, err);
    }
    sqlite3_reset(q);
    return ret;
}

int store_job_input_kind(struct store_job *j, uint32_t shard, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_INPUT, err);
    int ret;

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, shard);
    switch (sqlite3_step(q)) {
    case SQLITE_ROW:
        ret = sqlite3_column_int(q, 0) ? SKEIN__BLOB_KIND__BLOB_RETRY
                                       : SKEIN__BLOB_KIND__BLOB_INPUT;
        break;
    case SQLITE_DONE:
        ret = err_set(err, ERR_CORRUPT, "there is no shard %" PRIu32, shard);
        break;
    default:
        ret = db_error(&j->db, STMT_SHARD_INPUT, err);
    }
    sqlite3_reset(q);
    return ret;
}

/* ---- operations, inside a transaction ------------------------------------ */

static void bind_token(sqlite3_stmt *q, const struct token *t)
{
    sqlite3_bind_int64(q, 1, t->shard);
    sqlite3_bind_int64(q, 2, t->attempt);
    sqlite3_bind_int64(q, 3, (int64_t)t->nonce);
    sqlite3_bind_int64(q, 4, (int64_t)t->epoch);
}

/* Size and hash of a blob. 1, 0 (there is none) or -1. */
static int blob_hash(struct store_job *j, uint32_t shard, int kind,
                     uint64_t *size, uint8_t hash[HASH_BYTES], struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_BLOB_HASH, err);
    int ret;

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)shard * 4 + kind);
    switch (sqlite3_step(q)) {
    case SQLITE_ROW:
        *size = (uint64_t)sqlite3_column_int64(q, 0);
        ret = db_column_bytes(q, 1, hash, HASH_BYTES) == 0;
        break;
    case SQLITE_DONE:
        ret = 0;
        break;
    default:
        ret = db_error(&j->db, STMT_BLOB_HASH, err);
    }
    sqlite3_reset(q);
    return ret;
}

/* Make the BLOB_RETRY of a shard whose failed lines are to be tried again. It
 * stays right until a new result is stored, and that deletes it.
 */
static int make_retry(struct store_job *j, uint32_t shard, struct err *err)
{
    struct buf input = BUF_INIT, result = BUF_INIT, out = BUF_INIT;
    uint8_t hash[HASH_BYTES];
    int ret = -1;

    if (store_job_blob(j, shard, SKEIN__BLOB_KIND__BLOB_INPUT, &input, hash,
                       err)
            == 0
        && store_job_blob(j, shard, SKEIN__BLOB_KIND__BLOB_RESULT, &result,
                          hash, err)
               == 0
        && retry_input(&input, &result, &out, err) == 0) {
        hash_bytes(out.data, out.len, hash);
        ret = blob_put(j, shard, SKEIN__BLOB_KIND__BLOB_RETRY, &out, hash, err);
    }
    buf_free(&input);
    buf_free(&result);
    buf_free(&out);
    return ret;
}

/* What the lease's worker will read. */
static int grant_input(struct store_job *j, struct op_lease *l, struct err *err)
{
    uint32_t shard = l->token.shard;
    int kind = store_job_input_kind(j, shard, err);
    int found = kind < 0 ? -1
                         : blob_hash(j, shard, kind, &l->input_bytes,
                                     l->input_hash, err);

    if (found == 0 && kind == SKEIN__BLOB_KIND__BLOB_RETRY) {
        if (make_retry(j, shard, err) < 0)
            return -1;
        found = blob_hash(j, shard, kind, &l->input_bytes, l->input_hash, err);
    }
    if (found == 0)
        return err_set(err, ERR_CORRUPT, "shard %" PRIu32 " has no input",
                       shard);
    return found < 0 ? -1 : 0;
}

static int grant_one(struct store_job *j, struct op_lease *l, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_GRANT, err);
    int changed;

    if (q == NULL)
        return -1;
    bind_token(q, &l->token);
    sqlite3_bind_text(q, 5, l->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(q, 6, (int64_t)l->owner);
    changed = db_run(&j->db, STMT_SHARD_GRANT, err);
    if (changed <= 0) {
        l->status = OP_STALE;
        return changed;
    }
    if (grant_input(j, l, err) < 0)
        return -1;
    l->status = OP_OK;
    return 0;
}

static int apply_grant(struct store_job *j, struct op *op, struct err *err)
{
    if (op->grant.start) {
        sqlite3_stmt *q = db_stmt(&j->db, STMT_JOB_START, err);

        if (q == NULL)
            return -1;
        sqlite3_bind_int(q, 1, SKEIN__JOB_STATE__JOB_RUNNING);
        db_bind_bytes(q, 2, op->grant.fingerprint, HASH_BYTES);
        sqlite3_bind_int64(q, 3, op->grant.started_unix_ms);
        if (db_run(&j->db, STMT_JOB_START, err) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < op->grant.n; i++) {
        if (grant_one(j, &op->grant.lease[i], err) < 0)
            return -1;
    }
    op->status = OP_OK;
    return 0;
}

static int apply_release(struct store_job *j, struct op *op, struct err *err)
{
    for (uint32_t i = 0; i < op->release.n; i++) {
        const struct op_lease *l = &op->release.lease[i];
        sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_RELEASE, err);

        if (q == NULL)
            return -1;
        bind_token(q, &l->token);
        sqlite3_bind_int64(q, 5, l->crashes);
        if (db_run(&j->db, STMT_SHARD_RELEASE, err) < 0)
            return -1;
    }
    op->status = OP_OK;
    return 0;
}

int store_job_won(struct store_job *j, const struct token *t, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_WON, err);
    int rc;

    if (q == NULL)
        return -1;
    bind_token(q, t);
    rc = sqlite3_step(q);
    sqlite3_reset(q);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return rc == SQLITE_ROW;
    return db_error(&j->db, STMT_SHARD_WON, err);
}

static int drop_retry(struct store_job *j, uint32_t shard, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_BLOB_DROP, err);

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)shard * 4 + SKEIN__BLOB_KIND__BLOB_RETRY);
    return db_run(&j->db, STMT_BLOB_DROP, err) < 0 ? -1 : 0;
}

static int apply_result(struct store_job *j, struct op *op, struct err *err)
{
    struct op_result *r = &op->result;
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_RESULT, err);
    int changed;

    if (q == NULL)
        return -1;
    bind_token(q, &r->token);
    sqlite3_bind_int64(q, 5, r->n_errors);
    sqlite3_bind_int64(q, 6, (int64_t)r->tokens_in);
    sqlite3_bind_int64(q, 7, (int64_t)r->tokens_out);
    changed = db_run(&j->db, STMT_SHARD_RESULT, err);
    if (changed < 0)
        return -1;
    if (changed == 0) {
        int stored = store_job_won(j, &r->token, err);

        op->status = stored == 1 ? OP_OK : OP_STALE;
        return stored < 0 ? -1 : 0;
    }
    op->status = OP_OK;
    if (r->merged && drop_retry(j, r->token.shard, err) < 0)
        return -1;
    return blob_put(j, r->token.shard, SKEIN__BLOB_KIND__BLOB_RESULT, &r->blob,
                    r->hash, err);
}

static int apply_state(struct store_job *j, struct op *op, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_JOB_END, err);

    if (q == NULL)
        return -1;
    sqlite3_bind_int(q, 1, (int)op->state.state);
    sqlite3_bind_int64(q, 2, op->state.finished_unix_ms);
    sqlite3_bind_text(q, 3, op->state.message, -1, SQLITE_STATIC);
    if (db_run(&j->db, STMT_JOB_END, err) < 0
        || db_run(&j->db, STMT_SHARDS_END, err) < 0)
        return -1;
    op->status = OP_OK;
    return 0;
}

static int apply_change(struct store_job *j, struct op *op, struct err *err)
{
    const struct op_change *c = &op->change;
    bool spec = c->kind == SKEIN__ORDER_KIND__ORDER_PRIORITY;
    int which = spec ? STMT_JOB_SPEC : STMT_JOB_HOLD;
    sqlite3_stmt *q = db_stmt(&j->db, which, err);

    if (q == NULL)
        return -1;
    if (spec)
        db_bind_bytes(q, 1, c->spec.data, c->spec.len);
    else
        sqlite3_bind_int(q, 1, c->kind == SKEIN__ORDER_KIND__ORDER_HOLD);
    if (db_run(&j->db, which, err) < 0)
        return -1;
    op->status = OP_OK;
    return 0;
}

static int apply_one(struct store_job *j, struct op *op, struct err *err)
{
    switch (op->kind) {
    case OP_GRANT:
        return apply_grant(j, op, err);
    case OP_RELEASE:
        return apply_release(j, op, err);
    case OP_RESULT:
        return apply_result(j, op, err);
    case OP_STATE:
        return apply_state(j, op, err);
    case OP_CHANGE:
        return apply_change(j, op, err);
    default:
        assert(false && "an operation that does not write");
        return -1;
    }
}

/* The registry follows the file. If this fails the file still says so at the
 * next start, so the operation stands.
 */
static void index_follow(struct store_job *j)
{
    struct job_image image;

    if (store_job_load(j, &image, NULL) < 0)
        return;
    store_index_put(j->store, &image, NULL);
    job_image_clear(&image);
}

int store_job_apply(struct store_job *j, struct op *const *op, size_t n,
                    struct err *err)
{
    bool mine[OP_LEASES_MAX] = {false};
    bool ended = false;
    struct err cause;

    assert(n <= OP_LEASES_MAX);
    if (db_begin(&j->db, &cause) < 0)
        goto fail;
    for (size_t i = 0; i < n; i++) {
        mine[i] = op[i]->status == OP_PENDING;
        if (mine[i] && apply_one(j, op[i], &cause) < 0)
            goto fail_rollback;
        ended |= mine[i] && op[i]->kind == OP_STATE;
    }
    if (db_commit(&j->db, &cause) < 0) {
        if (cause.code != ERR_AGAIN) {
            *err = cause;
            return err_wrap(err, "job %" PRIu64, j->id);
        }
        goto fail_rollback;
    }
    if (ended)
        index_follow(j);
    return 0;

fail_rollback:
    db_rollback(&j->db);
fail:
    for (size_t i = 0; i < n; i++) {
        if (mine[i] || op[i]->status == OP_PENDING) {
            op[i]->status = OP_FAILED;
            op[i]->err = cause;
        }
    }
    return 0;
}

/* ---- an ended job lives again -------------------------------------------- */

static int retry_rows(struct store_job *j, bool failed, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARDS_RETRY, err);
    int changed;

    if (q == NULL)
        return -1;
    sqlite3_bind_int(q, 1, failed);
    changed = db_run(&j->db, STMT_SHARDS_RETRY, err);
    if (changed == 0)
        return err_set(err, ERR_NOT_FOUND, "%s",
                       failed ? "every record was answered without an error"
                              : "every record was answered");
    return changed < 0 ? -1 : db_run(&j->db, STMT_JOB_RETRY, err);
}

int store_job_retry(struct store_job *j, bool failed, struct job_image *out,
                    struct err *err)
{
    struct job_image image = {0};

    if (db_begin(&j->db, err) < 0)
        return -1;
    /* The registry first: a start believes it of ended jobs, and asks the file
     * of the others. */
    if (retry_rows(j, failed, err) < 0 || store_job_load(j, &image, err) < 0
        || store_index_state(j->store, j->id, SKEIN__JOB_STATE__JOB_QUEUED, "",
                             err)
               < 0
        || db_commit(&j->db, err) < 0) {
        db_rollback(&j->db);
        job_image_clear(&image);
        return -1;
    }
    *out = image;
    return 0;
}

/* ---- submission ---------------------------------------------------------- */

struct store_job *store_stage(struct store *s, uint64_t job, struct err *err)
{
    struct store_job *j = xcalloc(1, sizeof *j);
    char *path = spool_staged(s->spool, job);

    j->store = s;
    j->id = job;
    if (db_open(&j->db, path, sql, schema_job_sql, DB_STAGE, err) < 0) {
        store_stage_discard(j);
        j = NULL;
    }
    free(path);
    return j;
}

static int stage_blob(struct store_job *j, const struct op_stage *s,
                      Skein__BlobKind kind, const struct buf *data,
                      struct err *err)
{
    uint8_t hash[HASH_BYTES];

    hash_bytes(data->data, data->len, hash);
    return blob_put(j, s->shard, kind, data, hash, err);
}

static int stage_one(struct store_job *j, const struct op_stage *s,
                     struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_PUT, err);
    bool done = s->n_records == 0;

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, s->shard);
    sqlite3_bind_int64(q, 2, (int64_t)s->first_line);
    sqlite3_bind_int64(q, 3, (int64_t)s->n_lines);
    sqlite3_bind_int64(q, 4, s->n_records);
    sqlite3_bind_int64(q, 5, s->n_rejected);
    sqlite3_bind_int64(q, 6, (int64_t)s->cost);
    sqlite3_bind_int(q, 7, done ? SHARD_DONE : SHARD_PENDING);
    if (db_run(&j->db, STMT_SHARD_PUT, err) < 0
        || stage_blob(j, s, SKEIN__BLOB_KIND__BLOB_INPUT, &s->input, err) < 0
        || stage_blob(j, s, SKEIN__BLOB_KIND__BLOB_REJECTED, &s->rejected, err)
               < 0)
        return -1;
    if (!done)
        return 0;
    return stage_blob(j, s, SKEIN__BLOB_KIND__BLOB_RESULT, &s->result, err);
}

int store_stage_add(struct store_job *j, struct op *const *op, size_t n,
                    struct err *err)
{
    if (db_begin(&j->db, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (stage_one(j, &op[i]->stage, err) < 0) {
            db_rollback(&j->db);
            return -1;
        }
    }
    if (db_commit(&j->db, err) < 0) {
        db_rollback(&j->db);
        return -1;
    }
    return 0;
}

int store_stage_accept(struct store_job *j, const struct job_image *image,
                       struct err *err)
{
    struct store *s = j->store;
    sqlite3_stmt *q;

    /* From here on with fsync: this commit makes the whole file durable. */
    if (db_make_durable(&j->db, err) < 0)
        goto fail;
    q = db_stmt(&j->db, STMT_JOB_PUT, err);
    if (q == NULL)
        goto fail;
    store_bind_job(q, image);
    if (db_run(&j->db, STMT_JOB_PUT, err) < 0)
        goto fail;
    db_close(&j->db);
    if (spool_accept(s->spool, j->id, err) < 0)
        goto fail;
    free(j);
    if (store_index_put(s, image, err) == 0)
        return 0;
    spool_retract(s->spool, image->id);
    return -1;

fail:
    store_stage_discard(j);
    return -1;
}

void store_stage_discard(struct store_job *j)
{
    if (j == NULL)
        return;
    db_close(&j->db);
    spool_discard(j->store->spool, j->id);
    free(j);
}
