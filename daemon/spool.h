/* daemon/spool.h - the folder that holds everything durable
 *
 *     lock             flock'ed by the coordinator that owns the spool
 *     registry.db      the index of jobs, and the epoch
 *     jobs/ID.db       one file per accepted job
 *     .staging/ID.db   jobs that are being submitted; deleted at start
 *
 * Knows names, not contents.
 */
#ifndef DAEMON_SPOOL_H
#define DAEMON_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct spool;

/* Create what is missing, lock, and clear .staging. NULL: ERR_AGAIN when
 * another coordinator holds the lock; ERR_IO.
 */
struct spool *spool_open(const char *path, struct err *err);
void spool_close(struct spool *s); /* NULL is allowed */

const char *spool_path(const struct spool *s);

/* Where files may be that the next start deletes. */
const char *spool_staging(const struct spool *s);

/* Each malloc'ed. */
char *spool_registry(const struct spool *s);
char *spool_job(const struct spool *s, uint64_t job);
char *spool_staged(const struct spool *s, uint64_t job);

/* Make the names in jobs/ durable. */
int spool_sync_jobs(const struct spool *s, struct err *err);

/* .staging/ID.db (complete, closed, fsynced) becomes jobs/ID.db, durably. */
int spool_accept(const struct spool *s, uint64_t job, struct err *err);

/* Take back what spool_accept() did: the job was not promised to anyone. */
void spool_retract(const struct spool *s, uint64_t job);

/* Delete jobs/ID.db and its log, durably; a missing one is success. */
int spool_remove(const struct spool *s, uint64_t job, struct err *err);

/* Remove what there is of a staged job. */
void spool_discard(const struct spool *s, uint64_t job);

/* The ids in jobs/, ascending, malloc'ed into *ids. Returns their number. */
int spool_list(const struct spool *s, uint64_t **ids, struct err *err);

/* Bytes used by the files of jobs/ and bytes free in the file system. */
void spool_usage(const struct spool *s, uint64_t *used, uint64_t *avail);

#endif /* DAEMON_SPOOL_H */
