/* tests/daemon/spooled.h - a real spool in a temporary folder, with jobs */
#ifndef TESTS_DAEMON_SPOOLED_H
#define TESTS_DAEMON_SPOOLED_H

#include "daemon/op.h"
#include "daemon/spool.h"
#include "daemon/store.h"

struct spooled {
    char dir[64];
    struct spool *spool;
    struct store *store;
    uint64_t epoch;
    struct job_image *found[64]; /* by the last open, ascending id */
    size_t n_found;
};

void spooled_init(struct spooled *s); /* makes the folder and opens */
void spooled_open(struct spooled *s); /* must succeed */
void spooled_close(struct spooled *s);
void spooled_free(struct spooled *s); /* removes the folder */

/* Path of a file in the spool, in a static buffer. */
const char *spooled_path(const struct spooled *s, const char *name);

/* The image of a new job: shards of 2 records, lines 1 2, 3 4, ... */
struct job_image *spooled_image(uint64_t id, uint32_t n_shards);

/* The OP_STAGE of its shard k, with real linesets. */
struct op *spooled_stage(uint64_t id, uint32_t k);

/* Stage and accept such a job. */
void spooled_job(struct spooled *s, uint64_t id, uint32_t n_shards);

/* A packed result for shard k; `first_line` other than 2k+1 does not match. */
void spooled_result(uint64_t first_line, uint32_t n, uint32_t n_errors,
                    struct buf *out);

struct op *spooled_grant(const struct token *t);
struct op *spooled_upload(const struct token *t, uint64_t first_line,
                          uint32_t n_errors);

/* Flip one bit of the first place in the file where `pattern` is. */
void spooled_flip(const char *path, const void *pattern, size_t len);

#endif /* TESTS_DAEMON_SPOOLED_H */
