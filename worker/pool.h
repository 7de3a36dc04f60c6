/* worker/pool.h - threads for what would hold up the supervisor's loop */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include <stddef.h>

#include "common/err.h"

struct pool;

/* Embedded in what is worked on. Owned by the pool from submit to done. */
struct pool_job {
    void (*run)(struct pool_job *job); /* on some thread */
    struct pool_job *next;
};

/* NULL: ERR_OS. */
struct pool *pool_create(size_t threads, struct err *err);

/* Finish what was submitted, end the threads. NULL is allowed. */
void pool_destroy(struct pool *p);

int pool_fd(const struct pool *p); /* readable when a job is done */

void pool_submit(struct pool *p, struct pool_job *job);

/* A job that was run, or NULL. */
struct pool_job *pool_done(struct pool *p);

#endif /* WORKER_POOL_H */
