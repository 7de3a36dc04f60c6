/* tests/worker/coordinator.h - a coordinator without a store, for tests of the
 * worker
 *
 * Real sockets, real messages, a real worker process; everything else is in
 * arrays that a test can look at, and a hook sees each message first, so that a
 * test can be a bad coordinator.
 */
#ifndef TESTS_WORKER_COORDINATOR_H
#define TESTS_WORKER_COORDINATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/hash.h"
#include "proto/lineset.h"
#include "proto/sock.h"

#define SHARDS_MAX 2048

struct plan {
    struct buf blob; /* packed input */
    uint8_t hash[HASH_BYTES];
    uint32_t n;
    uint64_t cost;
    Skein__Bos bos;
    Skein__Token token; /* of the last grant */
    bool leased, committed;
    uint64_t upload_xfer;
    uint64_t upload_size;
    uint8_t upload_hash[HASH_BYTES];
    struct buf result;
    uint64_t tokens_in, tokens_out;
    uint32_t n_errors;
};

struct coordinator {
    struct sock *sock;
    char dir[64];
    char endpoint[128];
    pid_t worker;
    uint64_t peer;
    bool known; /* said HELLO */
    uint64_t epoch;
    uint64_t seed;
    struct plan plan[SHARDS_MAX];
    size_t n_plan;
    uint64_t capacity_records, capacity_cost;
    int hellos, beats, fetches, releases[4];
    bool draining;    /* said so in its last beat */
    size_t last_held; /* in its last HELLO or BEAT */
    size_t leased_max;
    char model[64]; /* of HELLO */

    /* Sees a message first; true: it is dealt with. */
    bool (*hook)(struct coordinator *c, const struct wire_msg *m);
    int hook_count;
};

struct coordinator *coordinator_open(void);
void coordinator_close(struct coordinator *c); /* kills the worker */

/* Start skein-worker with these further arguments (NULL-ended). */
void coordinator_start(struct coordinator *c, const char *const *args);

/* Wait for its end; returns the exit status, 128 + the signal, or -1: it has
 * not ended in time.
 */
int coordinator_wait(struct coordinator *c, int64_t timeout_ms);

/* Add a shard of lines numbered from `first`. */
struct plan *coordinator_add(struct coordinator *c, uint64_t first,
                             const char *const *line, size_t n);

void coordinator_send(struct coordinator *c, enum wire_type type,
                      const ProtobufCMessage *msg);
void coordinator_again(struct coordinator *c); /* HELLO_AGAIN */

/* Serve until `until` says so. False: not within the time. */
bool coordinator_serve(struct coordinator *c, int64_t timeout_ms,
                       bool (*until)(const struct coordinator *c));

bool all_committed(const struct coordinator *c);

/* All output lines of committed shards, in order, errors marked by a '!' before
 * them, each with a newline.
 */
void coordinator_output(const struct coordinator *c, struct buf *out);

#endif /* TESTS_WORKER_COORDINATOR_H */
