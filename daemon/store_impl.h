/* daemon/store_impl.h - what the files of the store share; for store*.c only */
#ifndef DAEMON_STORE_IMPL_H
#define DAEMON_STORE_IMPL_H

#include <pthread.h>

#include "daemon/db.h"
#include "daemon/store.h"

/* Columns both tables of jobs begin with; store_bind_job(), store_read_job() */
#define JOB_COLUMNS                                                          \
    "id, request_id, spec, state, fingerprint, lines, records, rejected,"    \
    " cost, n_shards, submitted_unix_ms, started_unix_ms, finished_unix_ms," \
    " message"
#define JOB_VALUES "?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14"

struct store {
    const struct spool *spool;
    pthread_mutex_t lock; /* of the registry */
    struct db registry;
    uint64_t last_removed;
};

struct store_job {
    struct store *store;
    uint64_t id;
    struct db db;
};

/* store_row.c */
void store_bind_job(sqlite3_stmt *q, const struct job_image *image);
int store_read_job(sqlite3_stmt *q, struct job_image *out, struct err *err);

/* store.c: the registry's row becomes `image`. */
int store_index_put(struct store *s, const struct job_image *image,
                    struct err *err);
/* ... says this state. */
int store_index_state(struct store *s, uint64_t job, Skein__JobState state,
                      const char *message, struct err *err);

#endif /* DAEMON_STORE_IMPL_H */
