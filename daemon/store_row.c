/* The row of a job, as it is in the registry and in the job's own file. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/store_impl.h"

void store_bind_job(sqlite3_stmt *q, const struct job_image *i)
{
    sqlite3_bind_int64(q, 1, (int64_t)i->id);
    db_bind_bytes(q, 2, i->request_id, sizeof i->request_id);
    db_bind_bytes(q, 3, i->spec.data, i->spec.len);
    sqlite3_bind_int(q, 4, (int)i->state);
    if (i->has_fingerprint)
        db_bind_bytes(q, 5, i->fingerprint, sizeof i->fingerprint);
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

int store_read_job(sqlite3_stmt *q, struct job_image *out, struct err *err)
{
    int64_t state = sqlite3_column_int64(q, 3);
    const char *message = (const char *)sqlite3_column_text(q, 13);

    *out = (struct job_image){.id = (uint64_t)sqlite3_column_int64(q, 0)};
    if (state < 0 || state > SKEIN__JOB_STATE__JOB_CORRUPT
        || db_column_bytes(q, 1, out->request_id, sizeof out->request_id) < 0)
        return err_set(err, ERR_CORRUPT, "the row of job %" PRIu64 " is wrong",
                       out->id);
    out->state = (Skein__JobState)state;
    out->has_fingerprint =
        db_column_bytes(q, 4, out->fingerprint, sizeof out->fingerprint) == 0;
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
