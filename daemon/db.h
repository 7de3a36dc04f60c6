/* daemon/db.h - one SQLite file: opened safely, its statements prepared once
 *
 * The only includer of sqlite3.h. One connection per file, exclusively locked.
 * Every failure names what could not be done; ERR_AGAIN: disk full,
 * ERR_CORRUPT, ERR_NOMEM, ERR_IO.
 */
#ifndef DAEMON_DB_H
#define DAEMON_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define DB_STATEMENTS_MAX 24

struct db_sql {
    const char *name; /* completes "cannot ..." in an error text */
    const char *sql;
};

struct db {
    sqlite3 *h;
    const struct db_sql *sql;
    sqlite3_stmt *stmt[DB_STATEMENTS_MAX]; /* of sql[], made at first use */
};

enum db_mode {
    DB_LIVE,  /* WAL, synchronous=FULL: a commit has reached the disk */
    DB_STAGE, /* no durability before db_make_durable(): nobody knows the file
               * yet, and it is deleted at the next start */
};

/* Open `path`; with `schema`, create it when it is not there, or holds nothing
 * because whoever was creating it was killed. Checks that it is a file of Skein
 * of a version we know (ERR_CONFIG: a newer one).
 */
int db_open(struct db *d, const char *path, const struct db_sql *sql,
            const char *schema, enum db_mode mode, struct err *err);
void db_close(struct db *d); /* a zeroed one is allowed */

int db_begin(struct db *d, struct err *err);
int db_commit(struct db *d, struct err *err);
void db_rollback(struct db *d); /* when a transaction is open */

/* From here on commits of a DB_STAGE file reach the disk, and all that was
 * written before with them.
 */
int db_make_durable(struct db *d, struct err *err);

/* sql[which], ready to bind; NULL when it cannot be prepared. */
sqlite3_stmt *db_stmt(struct db *d, int which, struct err *err);

/* Run the bound sql[which], which returns no rows: rows it changed, or -1. */
int db_run(struct db *d, int which, struct err *err);

/* "cannot <name of sql[which]>: ...". Returns -1. */
int db_error(struct db *d, int which, struct err *err);

/* The one number that `sql` returns. */
int db_query_int(struct db *d, const char *sql, int64_t *out, struct err *err);

void db_bind_bytes(sqlite3_stmt *q, int at, const void *data, size_t len);

/* Copy a blob column of exactly `len` bytes. 0 or -1. */
int db_column_bytes(sqlite3_stmt *q, int at, void *out, size_t len);

#endif /* DAEMON_DB_H */
