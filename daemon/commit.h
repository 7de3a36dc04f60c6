/* daemon/commit.h - the threads that write and read the job files
 *
 * Four owner threads; a job belongs to thread (id mod 4), which is the only one
 * that touches its file. What has queued up for a job while the last commit ran
 * goes into one transaction. At most 64 job files are open; the least recently
 * used is closed.
 *
 * Measured: a commit costs 3-4.4 ms, one in each of 64 files by one thread 221
 * ms; hence four threads, and groups.
 */
#ifndef DAEMON_COMMIT_H
#define DAEMON_COMMIT_H

#include "common/err.h"
#include "daemon/histogram.h"
#include "daemon/op.h"
#include "daemon/store.h"

#define COMMIT_THREADS 4
#define COMMIT_FILES_MAX 64
#define COMMIT_GROUP_MAX 256 /* operations per transaction */

struct commit;

/* Start the threads on `store`, which must outlive them. NULL: ERR_OS. */
struct commit *commit_start(struct store *store, struct err *err);

/* Finish everything that is queued, then end the threads and close the files.
 * Operations that completed meanwhile are freed. NULL is allowed.
 */
void commit_stop(struct commit *c);

/* Hand an operation over. Never blocks on disk; any thread. */
void commit_submit(struct commit *c, struct op *op);

/* Readable when operations have completed. */
int commit_fd(const struct commit *c);

/* Take all completed operations, oldest first; the caller frees each. */
struct op *commit_take(struct commit *c);

/* How long the transactions took that had to reach the disk, since the start. */
void commit_sync_times(struct commit *c, struct histogram *out);

/* When did each thread last show that it is not stuck? The oldest of them, by
 * the boot clock; for the watchdog.
 */
int64_t commit_alive_ms(struct commit *c);

#endif /* DAEMON_COMMIT_H */
