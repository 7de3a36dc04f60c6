#include "daemon/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/file.h"
#include "daemon/schema.h"
#include "daemon/store_impl.h"

enum stmt {
    STMT_EPOCH_RAISE,
    STMT_EPOCH_READ,
    STMT_INDEX_READ,
    STMT_INDEX_PUT,
    STMT_INDEX_STATE,
    STMT_INDEX_DELETE,
    STMT_REMOVED_TABLE,
    STMT_REMOVED_PUT,
    STMT_REMOVED_READ,
    STMT_COUNT,
};

static const struct db_sql sql[STMT_COUNT] = {
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
    [STMT_INDEX_STATE] = {"write a job's state",
                          "UPDATE job SET state = ?2, message = ?3"
                          " WHERE id = ?1"},
    [STMT_INDEX_DELETE] = {"remove a job", "DELETE FROM job WHERE id = ?1"},
    /* Not in the schema, so that spools from before it get it too. */
    [STMT_REMOVED_TABLE] = {"add the table of removed jobs",
                            "CREATE TABLE IF NOT EXISTS removed ("
                            " one INTEGER PRIMARY KEY CHECK (one = 1),"
                            " last INTEGER NOT NULL) STRICT"},
    [STMT_REMOVED_PUT] = {"remember a removed job",
                          "INSERT INTO removed VALUES (1, ?1) ON CONFLICT (one)"
                          " DO UPDATE SET last = max(last, excluded.last)"},
    [STMT_REMOVED_READ] = {"read the removed jobs", "SELECT last FROM removed"},
};

/* ---- registry ------------------------------------------------------------ */

static int read_removed(struct store *s, struct err *err)
{
    sqlite3_stmt *q;
    int rc;

    if (db_run(&s->registry, STMT_REMOVED_TABLE, err) < 0)
        return -1;
    q = db_stmt(&s->registry, STMT_REMOVED_READ, err);
    if (q == NULL)
        return -1;
    rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        s->last_removed = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE
               ? 0
               : db_error(&s->registry, STMT_REMOVED_READ, err);
}

struct store *store_open(const struct spool *spool, uint64_t *epoch,
                         struct err *err)
{
    struct store *s = xcalloc(1, sizeof *s);
    char *path = spool_registry(spool);
    sqlite3_stmt *q;

    s->spool = spool;
    pthread_mutex_init(&s->lock, NULL);
    if (db_open(&s->registry, path, sql, schema_registry_sql, DB_LIVE, err) < 0
        || db_run(&s->registry, STMT_EPOCH_RAISE, err) < 0
        || read_removed(s, err) < 0
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

int store_index_put(struct store *s, const struct job_image *i, struct err *err)
{
    sqlite3_stmt *q;
    int ret = -1;

    pthread_mutex_lock(&s->lock);
    q = db_stmt(&s->registry, STMT_INDEX_PUT, err);
    if (q != NULL) {
        store_bind_job(q, i);
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

int store_index_state(struct store *s, uint64_t job, Skein__JobState state,
                      const char *message, struct err *err)
{
    sqlite3_stmt *q;
    int ret = -1;

    pthread_mutex_lock(&s->lock);
    q = db_stmt(&s->registry, STMT_INDEX_STATE, err);
    if (q != NULL) {
        sqlite3_bind_int64(q, 1, (int64_t)job);
        sqlite3_bind_int(q, 2, (int)state);
        sqlite3_bind_text(q, 3, message, -1, SQLITE_STATIC);
        ret = db_run(&s->registry, STMT_INDEX_STATE, err);
    }
    pthread_mutex_unlock(&s->lock);
    return ret < 0 ? -1 : 0;
}

int store_mark_corrupt(struct store *s, uint64_t job, const char *why,
                       struct err *err)
{
    return store_index_state(s, job, SKEIN__JOB_STATE__JOB_CORRUPT, why, err);
}

uint64_t store_last_removed(const struct store *s)
{
    return s->last_removed;
}

static int run_with_id(struct store *s, int which, uint64_t job,
                       struct err *err)
{
    sqlite3_stmt *q = db_stmt(&s->registry, which, err);

    if (q == NULL)
        return -1;
    sqlite3_bind_int64(q, 1, (int64_t)job);
    return db_run(&s->registry, which, err) < 0 ? -1 : 0;
}

static int index_delete(struct store *s, uint64_t job, struct err *err)
{
    int ret;

    pthread_mutex_lock(&s->lock);
    ret = db_begin(&s->registry, err);
    if (ret == 0
        && (run_with_id(s, STMT_REMOVED_PUT, job, err) < 0
            || run_with_id(s, STMT_INDEX_DELETE, job, err) < 0
            || db_commit(&s->registry, err) < 0)) {
        db_rollback(&s->registry);
        ret = -1;
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int store_remove(struct store *s, uint64_t job, struct err *err)
{
    struct err why;

    if (index_delete(s, job, &why) == 0)
        return spool_remove(s->spool, job, err);
    if (why.code != ERR_AGAIN)
        return err_set(err, why.code, "%s", why.text);
    /* The disk is full, and this is how to make room: the file goes first. If
     * it ends here the next start finds a row without a file. */
    if (spool_remove(s->spool, job, err) < 0)
        return -1;
    return index_delete(s, job, err);
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
        if (store_read_job(q, &row[n], err) < 0)
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

void store_usage(const struct store *s, uint64_t *used, uint64_t *avail)
{
    spool_usage(s->spool, used, avail);
}

/* ---- recovery ------------------------------------------------------------ */

/* An accepted file decides over its row; `row` is NULL when there is none. */
static int recover_file(struct store *s, uint64_t id, struct job_image *row,
                        bool have_file, struct job_image *out, struct err *err)
{
    struct store_job *j;
    struct err why;
    int ret;

    if (row != NULL && job_state_final(row->state)
        && (have_file || row->state == SKEIN__JOB_STATE__JOB_CORRUPT)) {
        *out = *row;
        row->spec = BUF_INIT;
        return 0;
    }
    j = store_job_open(s, id, &why);
    ret = j == NULL ? -1 : store_job_load(j, out, &why);
    store_job_close(j);
    if (ret == 0)
        return row == NULL || row->state != out->state
                   ? store_index_put(s, out, err)
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
    return store_index_put(s, out, err);
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
        bool have_file = f < n_ids && id[f] == job;
        struct job_image *image = xcalloc(1, sizeof *image);

        ret = recover_file(s, job, have_row ? &row[r] : NULL, have_file, image,
                           err);
        if (ret == 0)
            each(arg, image);
        else
            job_image_free(image);
        r += have_row;
        f += have_file;
    }
    for (int r = 0; r < n_rows; r++)
        job_image_clear(&row[r]);
    free(row);
    free(id);
    return ret;
}
