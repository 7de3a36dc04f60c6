#include "daemon/store.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "daemon/schema.h"

#define APPLICATION_ID 0x534B4E31 /* "SKN1" */
#define SCHEMA_VERSION 1
#define PAGE_BYTES "8192" /* a blob is some 100 KiB: few overflow pages */

/* Columns both tables of jobs begin with; read_job() and bind_job(). */
#define JOB_COLUMNS                                                          \
    "id, request_id, spec, state, fingerprint, lines, records, rejected,"    \
    " cost, n_shards, submitted_unix_ms, started_unix_ms, finished_unix_ms," \
    " message"
#define JOB_VALUES "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14"

enum stmt {
    /* any file */
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_ROLLBACK,
    /* registry */
    STMT_EPOCH_RAISE,
    STMT_EPOCH_READ,
    STMT_INDEX_READ,
    STMT_INDEX_PUT,
    STMT_INDEX_CORRUPT,
    /* job file */
    STMT_JOB_READ,
    STMT_JOB_PUT,
    STMT_JOB_START,
    STMT_JOB_END,
    STMT_SHARDS_READ,
    STMT_SHARD_PUT,
    STMT_SHARD_GRANT,
    STMT_SHARD_RELEASE,
    STMT_SHARD_RESULT,
    STMT_SHARD_WON,
    STMT_SHARDS_CANCEL,
    STMT_BLOB_PUT,
    STMT_BLOB_HASH,
    STMT_BLOB_READ,
    STMT_COUNT,
};

static const struct {
    const char *name; /* completes "cannot ..." in an error text */
    const char *sql;
} stmt_def[STMT_COUNT] = {
    [STMT_BEGIN] = {"begin", "BEGIN IMMEDIATE"},
    [STMT_COMMIT] = {"commit", "COMMIT"},
    [STMT_ROLLBACK] = {"roll back", "ROLLBACK"},
    [STMT_EPOCH_RAISE] = {"raise the epoch",
                          "UPDATE server SET epoch = epoch + 1"},
    [STMT_EPOCH_READ] = {"read the epoch", "SELECT epoch FROM server"},
    [STMT_INDEX_READ] = {"read the registry",
                         "SELECT " JOB_COLUMNS
                         ", answered, failed, tokens_in, tokens_out, cost_done,"
                         " shards_done, prefix FROM job ORDER BY id"},
    [STMT_INDEX_PUT] = {"write the registry",
                        "INSERT OR REPLACE INTO job VALUES (" JOB_VALUES
                        ",?15,?16,?17,?18,?19,?20,?21)"},
    [STMT_INDEX_CORRUPT] = {"mark a job corrupt",
                            "UPDATE job SET state = ?2, message = ?3"
                            " WHERE id = ?1"},
    [STMT_JOB_READ] = {"read the job", "SELECT " JOB_COLUMNS " FROM job"},
    [STMT_JOB_PUT] = {"write the job",
                      "INSERT INTO job VALUES (" JOB_VALUES ")"},
    [STMT_JOB_START] = {"start the job",
                        "UPDATE job SET state = ?1, fingerprint = ?2,"
                        " started_unix_ms = ?3"},
    [STMT_JOB_END] = {"end the job",
                      "UPDATE job SET state = ?1, finished_unix_ms = ?2,"
                      " message = ?3"},
    [STMT_SHARDS_READ] = {"read the shards",
                          "SELECT shard, n_records, cost, state, attempt,"
                          " nonce, epoch, crash_count, n_errors, tokens_in,"
                          " tokens_out FROM shard ORDER BY shard"},
    [STMT_SHARD_PUT] = {"write a shard",
                        "INSERT INTO shard (shard, first_line, n_lines,"
                        " n_records, n_rejected, cost, state)"
                        " VALUES (?1,?2,?3,?4,?5,?6,?7)"},
    [STMT_SHARD_GRANT] = {"lease a shard",
                          "UPDATE shard SET state = 1, attempt = ?2,"
                          " nonce = ?3, epoch = ?4, worker = ?5"
                          " WHERE shard = ?1 AND state IN (0, 1)"},
    [STMT_SHARD_RELEASE] = {"release a shard",
                            "UPDATE shard SET state = 0, crash_count = ?5"
                            " WHERE shard = ?1 AND state = 1 AND attempt = ?2"
                            " AND nonce = ?3 AND epoch = ?4"},
    [STMT_SHARD_RESULT] = {"store a result",
                           "UPDATE shard SET state = 2, n_errors = ?5,"
                           " tokens_in = ?6, tokens_out = ?7"
                           " WHERE shard = ?1 AND state = 1 AND attempt = ?2"
                           " AND nonce = ?3 AND epoch = ?4"},
    [STMT_SHARD_WON] = {"look up a result",
                        "SELECT 1 FROM shard WHERE shard = ?1 AND state = 2"
                        " AND attempt = ?2 AND nonce = ?3 AND epoch = ?4"},
    [STMT_SHARDS_CANCEL] = {"cancel the shards",
                            "UPDATE shard SET state = 3 WHERE state IN (0, 1)"},
    [STMT_BLOB_PUT] = {"write a blob",
                       "INSERT OR REPLACE INTO blob VALUES (?1,?2,?3,?4,?5)"},
    [STMT_BLOB_HASH] = {"read a blob's hash",
                        "SELECT size, blake2b FROM blob WHERE id = ?1"},
    [STMT_BLOB_READ] = {"read a blob",
                        "SELECT size, xxh3, blake2b, data FROM blob"
                        " WHERE id = ?1"},
};

/* An open file with its prepared statements: made at first use. */
struct db {
    sqlite3 *h;
    sqlite3_stmt *stmt[STMT_COUNT];
};

struct store {
    const struct spool *spool;
    pthread_mutex_t lock; /* of the registry */
    struct db registry;
};

struct store_job {
    struct store *store;
    uint64_t id;
    struct db db;
};

/* ---- one database file --------------------------------------------------- */

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_AGAIN;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: /* a table or column is missing */
        return ERR_CORRUPT;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static int db_error(struct db *d, enum stmt which, struct err *err)
{
    return err_set(err, code_of(sqlite3_extended_errcode(d->h)),
                   "cannot %s: %s", stmt_def[which].name, sqlite3_errmsg(d->h));
}

/* The statement, ready to bind; NULL when it cannot be prepared. */
static sqlite3_stmt *db_stmt(struct db *d, enum stmt which, struct err *err)
{
    if (d->stmt[which] == NULL
        && sqlite3_prepare_v3(d->h, stmt_def[which].sql, -1,
                              SQLITE_PREPARE_PERSISTENT, &d->stmt[which], NULL)
               != SQLITE_OK) {
        db_error(d, which, err);
        return NULL;
    }
    return d->stmt[which];
}

/* Run a bound statement that returns no rows; the number of rows it changed. */
static int db_run(struct db *d, enum stmt which, struct err *err)
{
    sqlite3_stmt *q = db_stmt(d, which, err);
    int ret;

    if (q == NULL)
        return -1;
    ret = sqlite3_step(q) == SQLITE_DONE ? sqlite3_changes(d->h)
                                         : db_error(d, which, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return ret;
}

static void db_rollback(struct db *d)
{
    /* SQLite may have rolled back by itself (disk full). */
    if (!sqlite3_get_autocommit(d->h))
        db_run(d, STMT_ROLLBACK, NULL);
}

static void db_close(struct db *d)
{
    for (int i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(d->stmt[i]);
    sqlite3_close(d->h);
    *d = (struct db){0};
}

static int db_exec(struct db *d, const char *sql, struct err *err)
{
    if (sqlite3_exec(d->h, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return err_set(err, code_of(sqlite3_extended_errcode(d->h)), "%s",
                   sqlite3_errmsg(d->h));
}

static int db_pragma_int(struct db *d, const char *sql, int64_t *out,
                         struct err *err)
{
    sqlite3_stmt *q;
    int ret = 0;

    if (sqlite3_prepare_v2(d->h, sql, -1, &q, NULL) != SQLITE_OK
        || sqlite3_step(q) != SQLITE_ROW)
        ret = err_set(err, code_of(sqlite3_extended_errcode(d->h)), "%s",
                      sqlite3_errmsg(d->h));
    else
        *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return ret;
}

/* Is this our file, of a version we know? */
static int db_check_version(struct db *d, struct err *err)
{
    int64_t application, version;

    if (db_pragma_int(d, "PRAGMA application_id", &application, err) < 0
        || db_pragma_int(d, "PRAGMA user_version", &version, err) < 0)
        return -1;
    if (application != APPLICATION_ID)
        return err_set(err, ERR_CORRUPT, "not a file of Skein");
    if (version > SCHEMA_VERSION)
        return err_set(err, ERR_CONFIG,
                       "written by a newer skeind (schema %" PRId64
                       ", this one knows %d): downgrading is not possible",
                       version, SCHEMA_VERSION);
    if (version < 1)
        return err_set(err, ERR_CORRUPT, "schema %" PRId64 " is unknown",
                       version);
    return 0;
}

static int db_create_schema(struct db *d, const char *schema, struct err *err)
{
    char version[96];

    snprintf(version, sizeof version,
             "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             APPLICATION_ID, SCHEMA_VERSION);
    if (db_exec(d, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    if (db_exec(d, schema, err) < 0 || db_exec(d, version, err) < 0) {
        db_rollback(d);
        return -1;
    }
    return db_exec(d, "COMMIT", err);
}

/* A staged file needs no durability before it is accepted: its journal is in
 * memory, and one fsync at the end covers all of it.
 */
#define PRAGMA_COMMON                                                     \
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = " PAGE_BYTES ";" \
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"           \
    "PRAGMA mmap_size = 0; PRAGMA cache_size = -1024;"
#define PRAGMA_LIVE \
    PRAGMA_COMMON "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
#define PRAGMA_STAGED \
    PRAGMA_COMMON "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"

/* Open `path` in `d`; with a schema, create the file when it is not there. */
static int db_open(struct db *d, const char *path, const char *schema,
                   bool staged, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    bool create = schema != NULL && !file_exists(path);

    *d = (struct db){0};
    if (create)
        flags |= SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &d->h, flags, NULL) != SQLITE_OK) {
        err_set(err, file_exists(path) ? ERR_IO : ERR_NOT_FOUND, "%s",
                d->h == NULL ? "out of memory" : sqlite3_errmsg(d->h));
        goto fail;
    }
    sqlite3_extended_result_codes(d->h, 1);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (db_exec(d, staged ? PRAGMA_STAGED : PRAGMA_LIVE, err) < 0)
        goto fail;
    if (create && db_create_schema(d, schema, err) < 0)
        goto fail;
    if (db_check_version(d, err) < 0)
        goto fail;
    return 0;

fail:
    db_close(d);
    return err_wrap(err, "%s", path);
}

static void bind_bytes(sqlite3_stmt *q, int at, const void *data, size_t len)
{
    sqlite3_bind_blob64(q, at, len == 0 ? "" : data, len, SQLITE_STATIC);
}

/* Copy a blob column of exactly `len` bytes. */
static int column_bytes(sqlite3_stmt *q, int at, void *out, size_t len)
{
    const void *data = sqlite3_column_blob(q, at);

    if (data == NULL || (size_t)sqlite3_column_bytes(q, at) != len)
        return -1;
    memcpy(out, data, len);
    return 0;
}

/* ---- job rows ------------------------------------------------------------ */

static void bind_job(sqlite3_stmt *q, const struct job_image *i)
{
    sqlite3_bind_int64(q, 1, (int64_t)i->id);
    bind_bytes(q, 2, i->request_id, sizeof i->request_id);
    bind_bytes(q, 3, i->spec.data, i->spec.len);
    sqlite3_bind_int(q, 4, (int)i->state);
    if (i->has_fingerprint)
        bind_bytes(q, 5, i->fingerprint, sizeof i->fingerprint);
    sqlite3_bind_int64(q, 6, (int64_t)i->lines);
    sqlite3_bind_int64(q, 7, (int64_t)i->records);
    sqlite3_bind_int64(q, 8, (int64_t)i->rejected);
    sqlite3_bind_int64(q, 9, (int64_t)i->cost);
    sqlite3_bind_int64(q, 10, i->n_shards);
    sqlite3_bind_int64(q, 11, i->submitted_unix_ms);
    sqlite3_bind_int64(q, 12, i->started_unix_ms);
    sqlite3_bind_int64(q, 13, i->finished_unix_ms);
    sqlite3_bind_text(q, 14, i->message, -1, SQLITE_STATIC);
}

static int read_job(sqlite3_stmt *q, struct job_image *out, struct err *err)
{
    int64_t state = sqlite3_column_int64(q, 3);
    const char *message = (const char *)sqlite3_column_text(q, 13);

    *out = (struct job_image){.id = (uint64_t)sqlite3_column_int64(q, 0)};
    if (state < 0 || state > SKEIN__JOB_STATE__JOB_CORRUPT
        || column_bytes(q, 1, out->request_id, sizeof out->request_id) < 0)
        return err_set(err, ERR_CORRUPT, "the row of job %" PRIu64 " is wrong",
                       out->id);
    out->state = (Skein__JobState)state;
    out->has_fingerprint =
        column_bytes(q, 4, out->fingerprint, sizeof out->fingerprint) == 0;
    out->lines = (uint64_t)sqlite3_column_int64(q, 5);
    out->records = (uint64_t)sqlite3_column_int64(q, 6);
    out->rejected = (uint64_t)sqlite3_column_int64(q, 7);
    out->cost = (uint64_t)sqlite3_column_int64(q, 8);
    out->n_shards = (uint32_t)sqlite3_column_int64(q, 9);
    out->submitted_unix_ms = sqlite3_column_int64(q, 10);
    out->started_unix_ms = sqlite3_column_int64(q, 11);
    out->finished_unix_ms = sqlite3_column_int64(q, 12);
    snprintf(out->message, sizeof out->message, "%s",
             message == NULL ? "" : message);
    buf_add(&out->spec, sqlite3_column_blob(q, 2),
            (size_t)sqlite3_column_bytes(q, 2));
    return 0;
}

/* ---- registry ------------------------------------------------------------ */

struct store *store_open(const struct spool *spool, uint64_t *epoch,
                         struct err *err)
{
    struct store *s = xcalloc(1, sizeof *s);
    char *path = spool_registry(spool);
    sqlite3_stmt *q;

    s->spool = spool;
    pthread_mutex_init(&s->lock, NULL);
    if (db_open(&s->registry, path, schema_registry_sql, false, err) < 0
        || db_run(&s->registry, STMT_EPOCH_RAISE, err) < 0
        || file_sync_dir(spool_path(spool), err) < 0)
        goto fail;
    q = db_stmt(&s->registry, STMT_EPOCH_READ, err);
    if (q == NULL)
        goto fail;
    if (sqlite3_step(q) != SQLITE_ROW) {
        err_set(err, ERR_CORRUPT, "%s holds no epoch", path);
        goto fail;
    }
    *epoch = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    free(path);
    return s;

fail:
    free(path);
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    db_close(&s->registry);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int index_put(struct store *s, const struct job_image *i,
                     struct err *err)
{
    sqlite3_stmt *q;
    int ret = -1;

    pthread_mutex_lock(&s->lock);
    q = db_stmt(&s->registry, STMT_INDEX_PUT, err);
    if (q != NULL) {
        bind_job(q, i);
        sqlite3_bind_int64(q, 15, (int64_t)i->answered);
        sqlite3_bind_int64(q, 16, (int64_t)i->failed);
        sqlite3_bind_int64(q, 17, (int64_t)i->tokens_in);
        sqlite3_bind_int64(q, 18, (int64_t)i->tokens_out);
        sqlite3_bind_int64(q, 19, (int64_t)i->cost_done);
        sqlite3_bind_int64(q, 20, i->shards_done);
        sqlite3_bind_int64(q, 21, i->prefix);
        ret = db_run(&s->registry, STMT_INDEX_PUT, err);
    }
    pthread_mutex_unlock(&s->lock);
    return ret < 0 ? -1 : 0;
}

int store_mark_corrupt(struct store *s, uint64_t job, const char *why,
                       struct err *err)
{
    sqlite3_stmt *q;
    int ret = -1;

    pthread_mutex_lock(&s->lock);
    q = db_stmt(&s->registry, STMT_INDEX_CORRUPT, err);
    if (q != NULL) {
        sqlite3_bind_int64(q, 1, (int64_t)job);
        sqlite3_bind_int(q, 2, SKEIN__JOB_STATE__JOB_CORRUPT);
        sqlite3_bind_text(q, 3, why, -1, SQLITE_STATIC);
        ret = db_run(&s->registry, STMT_INDEX_CORRUPT, err);
    }
    pthread_mutex_unlock(&s->lock);
    return ret < 0 ? -1 : 0;
}

/* All rows of the registry, malloc'ed into *out. Returns their number. */
static int index_read(struct store *s, struct job_image **out, struct err *err)
{
    sqlite3_stmt *q = db_stmt(&s->registry, STMT_INDEX_READ, err);
    struct job_image *row = NULL;
    int n = 0, rc;

    if (q == NULL)
        return -1;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        row = xrealloc(row, ((size_t)n + 1) * sizeof *row);
        if (read_job(q, &row[n], err) < 0)
            goto fail;
        row[n].answered = (uint64_t)sqlite3_column_int64(q, 14);
        row[n].failed = (uint64_t)sqlite3_column_int64(q, 15);
        row[n].tokens_in = (uint64_t)sqlite3_column_int64(q, 16);
        row[n].tokens_out = (uint64_t)sqlite3_column_int64(q, 17);
        row[n].cost_done = (uint64_t)sqlite3_column_int64(q, 18);
        row[n].shards_done = (uint32_t)sqlite3_column_int64(q, 19);
        row[n].prefix = (uint32_t)sqlite3_column_int64(q, 20);
        n++;
    }
    if (rc != SQLITE_DONE) {
        db_error(&s->registry, STMT_INDEX_READ, err);
        goto fail;
    }
    sqlite3_reset(q);
    *out = row;
    return n;

fail:
    sqlite3_reset(q);
    for (int i = 0; i < n; i++)
        job_image_clear(&row[i]);
    free(row);
    return -1;
}

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
    if (db_open(&j->db, path, NULL, false, err) < 0
        || db_pragma_int(&j->db, "SELECT count(*) FROM sqlite_schema", &tables,
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
        ret = read_job(q, &image, err);
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
    bind_bytes(q, 4, hash, HASH_BYTES);
    bind_bytes(q, 5, data->data, data->len);
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
            || column_bytes(q, 2, hash, HASH_BYTES) < 0)
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

/* ---- operations, inside a transaction ------------------------------------ */

static void bind_token(sqlite3_stmt *q, const struct token *t)
{
    sqlite3_bind_int64(q, 1, t->shard);
    sqlite3_bind_int64(q, 2, t->attempt);
    sqlite3_bind_int64(q, 3, (int64_t)t->nonce);
    sqlite3_bind_int64(q, 4, (int64_t)t->epoch);
}

static int grant_one(struct store_job *j, struct op_lease *l, const char *name,
                     struct err *err)
{
    sqlite3_stmt *q = db_stmt(&j->db, STMT_SHARD_GRANT, err);
    int changed;

    if (q == NULL)
        return -1;
    bind_token(q, &l->token);
    sqlite3_bind_text(q, 5, name, -1, SQLITE_STATIC);
    changed = db_run(&j->db, STMT_SHARD_GRANT, err);
    if (changed <= 0) {
        l->status = OP_STALE;
        return changed;
    }
    q = db_stmt(&j->db, STMT_BLOB_HASH, err);
    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)l->token.shard * 4);
    if (sqlite3_step(q) == SQLITE_ROW
        && column_bytes(q, 1, l->input_hash, HASH_BYTES) == 0) {
        l->input_bytes = (uint64_t)sqlite3_column_int64(q, 0);
        l->status = OP_OK;
        changed = 0;
    } else {
        changed = err_set(err, ERR_CORRUPT, "shard %" PRIu32 " has no input",
                          l->token.shard);
    }
    sqlite3_reset(q);
    return changed;
}

static int apply_grant(struct store_job *j, struct op *op, struct err *err)
{
    if (op->grant.start) {
        sqlite3_stmt *q = db_stmt(&j->db, STMT_JOB_START, err);

        if (q == NULL)
            return -1;
        sqlite3_bind_int(q, 1, SKEIN__JOB_STATE__JOB_RUNNING);
        bind_bytes(q, 2, op->grant.fingerprint, HASH_BYTES);
        sqlite3_bind_int64(q, 3, op->grant.started_unix_ms);
        if (db_run(&j->db, STMT_JOB_START, err) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < op->grant.n; i++) {
        if (grant_one(j, &op->grant.lease[i], op->grant.lease[i].name, err) < 0)
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

/* Has this very token won already? */
static int result_is_stored(struct store_job *j, const struct token *t,
                            struct err *err)
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
        int stored = result_is_stored(j, &r->token, err);

        op->status = stored == 1 ? OP_OK : OP_STALE;
        return stored < 0 ? -1 : 0;
    }
    op->status = OP_OK;
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
        || db_run(&j->db, STMT_SHARDS_CANCEL, err) < 0)
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
    default:
        assert(!"an operation that does not write");
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
    index_put(j->store, &image, NULL);
    job_image_clear(&image);
}

int store_job_apply(struct store_job *j, struct op *const *op, size_t n,
                    struct err *err)
{
    bool mine[OP_LEASES_MAX] = {false};
    bool ended = false;
    struct err cause;

    assert(n <= OP_LEASES_MAX);
    if (db_run(&j->db, STMT_BEGIN, &cause) < 0)
        goto fail;
    for (size_t i = 0; i < n; i++) {
        mine[i] = op[i]->status == OP_PENDING;
        if (mine[i] && apply_one(j, op[i], &cause) < 0)
            goto fail_rollback;
        ended |= mine[i] && op[i]->kind == OP_STATE;
    }
    if (db_run(&j->db, STMT_COMMIT, &cause) < 0) {
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

/* ---- submission ---------------------------------------------------------- */

struct store_job *store_stage(struct store *s, uint64_t job, struct err *err)
{
    struct store_job *j = xcalloc(1, sizeof *j);
    char *path = spool_staged(s->spool, job);

    j->store = s;
    j->id = job;
    if (db_open(&j->db, path, schema_job_sql, true, err) < 0) {
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
    if (db_run(&j->db, STMT_BEGIN, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (stage_one(j, &op[i]->stage, err) < 0) {
            db_rollback(&j->db);
            return -1;
        }
    }
    if (db_run(&j->db, STMT_COMMIT, err) < 0) {
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
    if (db_exec(&j->db, "PRAGMA synchronous = FULL", err) < 0)
        goto fail;
    q = db_stmt(&j->db, STMT_JOB_PUT, err);
    if (q == NULL)
        goto fail;
    bind_job(q, image);
    if (db_run(&j->db, STMT_JOB_PUT, err) < 0)
        goto fail;
    db_close(&j->db);
    if (spool_accept(s->spool, j->id, err) < 0)
        goto fail;
    free(j);
    return index_put(s, image, err);

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

/* ---- recovery ------------------------------------------------------------ */

/* An accepted file decides over its row; `row` is NULL when there is none. */
static int recover_file(struct store *s, uint64_t id, struct job_image *row,
                        struct job_image *out, struct err *err)
{
    struct store_job *j;
    struct err why;
    int ret;

    if (row != NULL && job_state_final(row->state)) {
        *out = *row;
        row->spec = BUF_INIT;
        return 0;
    }
    j = store_job_open(s, id, &why);
    ret = j == NULL ? -1 : store_job_load(j, out, &why);
    store_job_close(j);
    if (ret == 0)
        return row == NULL || row->state != out->state ? index_put(s, out, err)
                                                       : 0;
    if (why.code != ERR_CORRUPT && why.code != ERR_NOT_FOUND)
        return err_set(err, why.code, "job %" PRIu64 ": %s", id, why.text);

    if (row != NULL) {
        *out = *row;
        row->spec = BUF_INIT;
    } else {
        *out = (struct job_image){.id = id};
        hash_random(out->request_id, sizeof out->request_id);
    }
    out->state = SKEIN__JOB_STATE__JOB_CORRUPT;
    snprintf(out->message, sizeof out->message,
             "its file cannot be read: %.200s", why.text);
    return index_put(s, out, err);
}

int store_recover(struct store *s,
                  void (*each)(void *arg, struct job_image *image), void *arg,
                  struct err *err)
{
    struct job_image *row = NULL;
    uint64_t *id = NULL;
    int n_rows = index_read(s, &row, err);
    int n_ids = n_rows < 0 ? -1 : spool_list(s->spool, &id, err);
    int ret = n_ids < 0 ? -1 : 0;

    /* Two ascending lists, merged. A row without a file goes through
     * recover_file() too, which finds the file missing. */
    for (int r = 0, f = 0; ret == 0 && (r < n_rows || f < n_ids);) {
        bool have_row = r < n_rows && (f == n_ids || row[r].id <= id[f]);
        uint64_t job = have_row ? row[r].id : id[f];
        struct job_image *image = xcalloc(1, sizeof *image);

        ret = recover_file(s, job, have_row ? &row[r] : NULL, image, err);
        if (ret == 0)
            each(arg, image);
        else
            job_image_free(image);
        r += have_row;
        f += f < n_ids && id[f] == job;
    }
    for (int r = 0; r < n_rows; r++)
        job_image_clear(&row[r]);
    free(row);
    free(id);
    return ret;
}
