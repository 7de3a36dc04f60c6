/* client/embed.h - a private coordinator and worker over ipc://
 *
 * The socket lives in a new directory of mode 0700 under $XDG_RUNTIME_DIR or
 * /tmp, because a socket's path may have only 107 bytes and a spool's may be
 * longer. Its endpoint is also written to SPOOL/endpoint: for people who want
 * to look at a run from another terminal, and so that the next run can remove
 * what one that was killed left behind.
 */
#ifndef CLIENT_EMBED_H
#define CLIENT_EMBED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* Everything by reference, only during embed_start(). */
struct embed_config {
    const char *dir;             /* OUT.skein */
    const char *model;           /* "name=path" */
    const char *tokenizer;       /* NULL: none */
    const char *devices;         /* NULL: the worker's default */
    const char *backend_options; /* NULL: none */
    int64_t tokens_per_step;     /* 0: the worker's default */
};

struct embed;

struct embed *embed_start(const struct embed_config *config, struct err *err);

const char *embed_endpoint(const struct embed *e);

/* Look after both processes; of the type rpc_watch_fn, `ctx` is the embed. */
int embed_watch(void *ctx, struct err *err);

/* After embed_watch() failed: append the end of the log that tells why. */
void embed_failure(const struct embed *e, struct buf *out);

/* Stop the worker, then the coordinator; remove the socket. NULL is allowed. */
void embed_stop(struct embed *e);

#endif /* CLIENT_EMBED_H */
