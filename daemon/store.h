/* daemon/store.h - the registry and the job files; the only owner of SQLite
 *
 * One SQLite file per job, authoritative; the registry is an index. One
 * connection per file, WAL, synchronous=FULL, exclusively locked: what a
 * function reports as done has reached the disk. Blobs carry an XXH3 that is
 * compared at every read and a BLAKE2b-256 that travels with them.
 *
 * A store may be used by several threads; a store_job by one at a time.
 */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "daemon/job.h"
#include "daemon/op.h"
#include "daemon/spool.h"

struct store;
struct store_job;

/* Open or create the registry of `spool` (kept by reference) and raise the
 * epoch, durably. NULL: ERR_CONFIG when it was written by a newer version,
 * ERR_CORRUPT, ERR_IO, ERR_AGAIN (disk full).
 */
struct store *store_open(const struct spool *spool, uint64_t *epoch,
                         struct err *err);
void store_close(struct store *s); /* NULL is allowed */

/* Bring registry and files together and hand every job to `each`, which takes
 * the image over, in ascending order of id. A file without a row is added to
 * the registry; a row without a file, or a file that cannot be trusted, is a
 * job in state corrupt. Finished jobs come without shards.
 */
int store_recover(struct store *s,
                  void (*each)(void *arg, struct job_image *image), void *arg,
                  struct err *err);

struct store_job *store_job_open(struct store *s, uint64_t job,
                                 struct err *err);
void store_job_close(struct store_job *j); /* NULL is allowed */

/* Read the job and its shards. ERR_CORRUPT when they contradict themselves. */
int store_job_load(struct store_job *j, struct job_image *out, struct err *err);

/* Run op[0..n-1] (GRANT, RELEASE, RESULT, STATE, CHANGE; those still
 * OP_PENDING) in one
 * transaction and fill in what came of each. When the transaction cannot be
 * made, all are OP_FAILED and nothing changed.
 * Returns 0; or -1 when a COMMIT failed and its outcome is unknown: the caller
 * must end the process and let recovery decide.
 */
int store_job_apply(struct store_job *j, struct op *const *op, size_t n,
                    struct err *err);

/* Append a blob to `out` after checking its XXH3. ERR_NOT_FOUND, ERR_CORRUPT,
 * ERR_IO.
 */
int store_job_blob(struct store_job *j, uint32_t shard, Skein__BlobKind kind,
                   struct buf *out, uint8_t hash[HASH_BYTES], struct err *err);

/* What a worker reads of a shard: BLOB_INPUT, or BLOB_RETRY of one that keeps
 * the result of an earlier attempt. -1: the errors of store_job_blob().
 */
int store_job_input_kind(struct store_job *j, uint32_t shard, struct err *err);

/* Is the shard's result that of this very token? 1, 0 or -1. */
int store_job_won(struct store_job *j, const struct token *t, struct err *err);

/* Make an ended job live again: shards without a result are pending, with
 * `failed` also those with errors, whose results are kept. *out is the job as
 * it is then. ERR_NOT_FOUND: there is nothing to do; ERR_AGAIN: nothing has
 * changed; ERR_IO: the outcome is unknown, the caller must end the process.
 */
int store_job_retry(struct store_job *j, bool failed, struct job_image *out,
                    struct err *err);

/* Forget a job, whose file must be closed: the row goes first, so that a job
 * whose removal was interrupted is there as a whole. Its number stays used.
 */
int store_remove(struct store *s, uint64_t job, struct err *err);

/* The highest number of a removed job, or 0. */
uint64_t store_last_removed(const struct store *s);

/* Record in the registry alone that a job's file cannot be trusted. */
int store_mark_corrupt(struct store *s, uint64_t job, const char *why,
                       struct err *err);

/* Bytes of the job files, and bytes free beside them. */
void store_usage(const struct store *s, uint64_t *used, uint64_t *avail);

/* ---- submission: a job file that nobody sees before it is accepted --------*/

struct store_job *store_stage(struct store *s, uint64_t job, struct err *err);

/* Write OP_STAGE or OP_RESTAGE shards. The first failure is final for the
 * submission.
 */
int store_stage_add(struct store_job *j, struct op *const *op, size_t n,
                    struct err *err);

/* Complete the file with `image`, make it durable, move it to its place and
 * add it to the registry. Consumes `j` always. ERR_AGAIN (disk full); ERR_IO:
 * it may or may not be there: the caller must end the process.
 */
int store_stage_accept(struct store_job *j, const struct job_image *image,
                       struct err *err);

/* Close and delete. NULL is allowed. */
void store_stage_discard(struct store_job *j);

#endif /* DAEMON_STORE_H */
