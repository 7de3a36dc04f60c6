#include "daemon/db.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"

#define APPLICATION_ID 0x534B4E31 /* "SKN1" */
#define SCHEMA_VERSION 1
#define PAGE_BYTES "8192" /* a blob is some 100 KiB: few overflow pages */

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

static int db_failed(struct db *d, const char *what, struct err *err)
{
    return err_set(err, code_of(sqlite3_extended_errcode(d->h)),
                   "cannot %s: %s", what, sqlite3_errmsg(d->h));
}

int db_error(struct db *d, int which, struct err *err)
{
    return db_failed(d, d->sql[which].name, err);
}

sqlite3_stmt *db_stmt(struct db *d, int which, struct err *err)
{
    assert(which < DB_STATEMENTS_MAX);
    if (d->stmt[which] == NULL
        && sqlite3_prepare_v3(d->h, d->sql[which].sql, -1,
                              SQLITE_PREPARE_PERSISTENT, &d->stmt[which], NULL)
               != SQLITE_OK) {
        db_error(d, which, err);
        return NULL;
    }
    return d->stmt[which];
}

int db_run(struct db *d, int which, struct err *err)
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

static int db_exec(struct db *d, const char *sql, const char *what,
                   struct err *err)
{
    if (sqlite3_exec(d->h, sql, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    return db_failed(d, what, err);
}

int db_begin(struct db *d, struct err *err)
{
    return db_exec(d, "BEGIN IMMEDIATE", "begin", err);
}

int db_commit(struct db *d, struct err *err)
{
    return db_exec(d, "COMMIT", "commit", err);
}

void db_rollback(struct db *d)
{
    /* SQLite may have rolled back by itself (disk full). */
    if (!sqlite3_get_autocommit(d->h))
        sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
}

int db_make_durable(struct db *d, struct err *err)
{
    return db_exec(d, "PRAGMA synchronous = FULL", "make it durable", err);
}

void db_close(struct db *d)
{
    for (int i = 0; i < DB_STATEMENTS_MAX; i++)
        sqlite3_finalize(d->stmt[i]);
    sqlite3_close(d->h);
    *d = (struct db){0};
}

int db_query_int(struct db *d, const char *sql, int64_t *out, struct err *err)
{
    sqlite3_stmt *q;
    int ret = 0;

    if (sqlite3_prepare_v2(d->h, sql, -1, &q, NULL) != SQLITE_OK
        || sqlite3_step(q) != SQLITE_ROW)
        ret = db_failed(d, "read it", err);
    else
        *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return ret;
}

/* Is this our file, of a version we know? */
static int check_version(struct db *d, struct err *err)
{
    int64_t application, version;

    if (db_query_int(d, "PRAGMA application_id", &application, err) < 0
        || db_query_int(d, "PRAGMA user_version", &version, err) < 0)
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

/* Is there nothing in it yet? 1, 0 or -1. */
static int is_blank(struct db *d, struct err *err)
{
    int64_t application, tables;

    if (db_query_int(d, "PRAGMA application_id", &application, err) < 0
        || db_query_int(d, "SELECT count(*) FROM sqlite_schema", &tables, err)
               < 0)
        return -1;
    return application == 0 && tables == 0;
}

static int create_schema(struct db *d, const char *schema, struct err *err)
{
    char version[96];

    snprintf(version, sizeof version,
             "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             APPLICATION_ID, SCHEMA_VERSION);
    if (db_begin(d, err) < 0)
        return -1;
    if (db_exec(d, schema, "create the tables", err) < 0
        || db_exec(d, version, "write the version", err) < 0) {
        db_rollback(d);
        return -1;
    }
    return db_commit(d, err);
}

#define PRAGMA_COMMON                                                     \
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = " PAGE_BYTES ";" \
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"           \
    "PRAGMA mmap_size = 0; PRAGMA cache_size = -1024;"

static const char *const mode_sql[] = {
    [DB_LIVE] =
        PRAGMA_COMMON "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
    [DB_STAGE] =
        PRAGMA_COMMON "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;",
};

int db_open(struct db *d, const char *path, const struct db_sql *sql,
            const char *schema, enum db_mode mode, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    int blank = 0;

    *d = (struct db){.sql = sql};
    if (schema != NULL)
        flags |= SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &d->h, flags, NULL) != SQLITE_OK) {
        err_set(err, file_exists(path) ? ERR_IO : ERR_NOT_FOUND, "%s",
                d->h == NULL ? "out of memory" : sqlite3_errmsg(d->h));
        goto fail;
    }
    sqlite3_extended_result_codes(d->h, 1);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (db_exec(d, mode_sql[mode], "open it", err) < 0)
        goto fail;
    if (schema != NULL)
        blank = is_blank(d, err);
    if (blank < 0 || (blank > 0 && create_schema(d, schema, err) < 0)
        || check_version(d, err) < 0)
        goto fail;
    return 0;

fail:
    db_close(d);
    return err_wrap(err, "%s", path);
}

void db_bind_bytes(sqlite3_stmt *q, int at, const void *data, size_t len)
{
    sqlite3_bind_blob64(q, at, len == 0 ? "" : data, len, SQLITE_STATIC);
}

int db_column_bytes(sqlite3_stmt *q, int at, void *out, size_t len)
{
    const void *data = sqlite3_column_blob(q, at);

    if (data == NULL || (size_t)sqlite3_column_bytes(q, at) != len)
        return -1;
    memcpy(out, data, len);
    return 0;
}
