/* daemon/op.h - one operation on the durable store, and its outcome
 *
 * The core, the ingest and FETCH ask for operations; commit.h runs them on the
 * thread that owns the job and hands the same struct back, with `status`, `err`
 * and the out fields filled. Operations on one job complete in the order in
 * which they were asked for.
 */
#ifndef DAEMON_OP_H
#define DAEMON_OP_H

#include "common/buf.h"
#include "common/err.h"
#include "common/idset.h"
#include "daemon/job.h"
#include "daemon/warnings.h"
#include "proto/lineset.h"

#define OP_LEASES_MAX 256 /* per operation */
#define WORKER_NAME_MAX 128

enum op_kind {
    OP_GRANT,   /* make leases durable, before GRANT is sent */
    OP_RELEASE, /* leases ended without a result: pending again */
    OP_RESULT,  /* a shard's result, if its token still holds */
    OP_STATE,   /* the job ends: done, failed, cancelled, corrupt */
    OP_CHANGE,  /* hold, release, priority of a live job */
    OP_RETRY,   /* an ended job lives again */
    OP_REMOVE,  /* an ended job is forgotten */
    OP_READ,    /* part of a blob */
    OP_STAGE,   /* a shard of a job that is being submitted */
    OP_RESTAGE, /* a staged shard again, without its duplicates */
    OP_ACCEPT,  /* the submitted job is complete: from now on it exists */
    OP_DISCARD, /* the submission was given up */
    OP_USAGE,   /* how large and how full the spool is; job 0 */
};

enum op_status {
    OP_PENDING, /* not run yet */
    OP_OK,
    OP_STALE,  /* the token does not hold the shard */
    OP_FAILED, /* nothing changed; err: ERR_AGAIN (disk full), ERR_CORRUPT,
                * ERR_INVALID (a result that does not answer its input),
                * ERR_NOT_FOUND (nothing to retry) */
};

struct op_usage {
    uint64_t used;  /* out: bytes of the job files */
    uint64_t avail; /* out: bytes free */
};

/* One shard of an OP_GRANT or OP_RELEASE. */
struct op_lease {
    struct token token;
    uint64_t owner; /* first 8 bytes of the worker's incarnation */
    uint32_t crashes;
    char name[WORKER_NAME_MAX]; /* of the worker, for people */
    /* out, OP_GRANT */
    enum op_status status;
    uint64_t input_bytes;
    uint8_t input_hash[HASH_BYTES];
};

struct op_grant {
    struct op_lease *lease; /* [n], malloc'ed */
    uint32_t n;
    bool start; /* the job's first grant: record the two below */
    uint8_t fingerprint[HASH_BYTES];
    int64_t started_unix_ms;
};

struct op_result {
    struct token token;
    struct buf blob; /* packed lineset */
    uint8_t hash[HASH_BYTES];
    uint64_t tokens_in;
    uint64_t tokens_out;
    uint32_t n_errors; /* out: counted in the blob */
    /* out: by the kind its input names, without and with an error */
    uint32_t answers[LINESET_KIND_MAX + 1][2];
    bool merged; /* out: the blob holds older answers as well */
};

struct op_state {
    Skein__JobState state;
    int64_t finished_unix_ms;
    char message[JOB_MESSAGE_MAX];
};

struct op_change {
    Skein__OrderKind kind; /* HOLD, RELEASE or PRIORITY */
    struct buf spec;       /* PRIORITY: the packed JobSpec from now on */
};

struct op_retry {
    bool failed;             /* also the records that ended as an error */
    struct job_image *image; /* out: as it is now, malloc'ed */
};

struct op_read {
    uint32_t shard;
    Skein__BlobKind kind;
    uint64_t offset;
    uint32_t window;
    /* out */
    uint64_t size; /* of the whole blob */
    uint8_t hash[HASH_BYTES];
    struct buf data; /* the bytes from offset, at most window */
};

struct op_stage {
    uint32_t shard;
    uint64_t first_line;
    uint64_t n_lines; /* the shard's stretch of the input, blank lines too */
    uint32_t n_records;
    uint32_t n_rejected;
    uint64_t cost;
    uint64_t raw_bytes; /* of input that the blobs stand for: flow control */
    struct buf input;   /* packed linesets */
    struct buf rejected;
    struct buf result; /* of a shard without records; else empty */
    void *ingest;      /* whose it is */
    /* OP_RESTAGE: without the counts and blobs, which are out fields then;
     * `cost` is what it was. */
    struct idset_duplicate *duplicate; /* [n_duplicates] by line, malloc'ed */
    uint32_t n_duplicates;
};

struct op_accept {
    struct job_image *image; /* complete, with its shards */
    struct warnings warnings;
    void *ingest;
};

struct op {
    struct op *next; /* in a queue */
    enum op_kind kind;
    uint64_t job;
    uint64_t peer; /* who is to be answered */
    uint64_t seq;
    uint64_t xfer;
    enum op_status status;
    struct err err; /* with OP_FAILED */
    union {
        struct op_grant grant;
        struct op_grant release;
        struct op_result result;
        struct op_state state;
        struct op_change change;
        struct op_retry retry;
        struct op_read read;
        struct op_stage stage;
        struct op_accept accept;
        struct op_usage usage;
    };
};

struct op *op_create(enum op_kind kind, uint64_t job);
void op_free(struct op *op); /* NULL is allowed */

/* Room for one more lease of an OP_GRANT or OP_RELEASE; n < OP_LEASES_MAX. */
struct op_lease *op_add_lease(struct op *op);

#endif /* DAEMON_OP_H */
