/* client/rpc.h - the client's conversation with one coordinator
 *
 * Owns the DEALER socket. Requests are repeated until answered, which every
 * message of the protocol allows; a coordinator that never answered is
 * ERR_UNREACHABLE after RPC_FIRST_MS, one that did answer before is waited for
 * longer, since it may be restarting. An interrupt (client/interrupt.h) ends
 * every wait with ERR_CANCELLED.
 */
#ifndef CLIENT_RPC_H
#define CLIENT_RPC_H

#include <stdint.h>

#include "common/err.h"
#include "proto/wire.h"

#define RPC_FIRST_MS 4000 /* until the first answer of a coordinator */
#define RPC_RESTART_MS \
    90000                  /* without news from one that had answered: its
                              * own start is allowed 90 s by systemd */
#define RPC_REPEAT_MS 2000 /* between repetitions of a request */
#define RPC_WATCH_MS 100   /* see rpc_set_watch() */

struct rpc;

struct rpc *rpc_open(const char *endpoint, struct err *err);
void rpc_close(struct rpc *r); /* NULL is allowed */

/* The endpoint given to rpc_open(). */
const char *rpc_endpoint(const struct rpc *r);

/* Send one request and wait for its answer, a message of type `want`, to be
 * freed by wire_free(). An ERROR answer becomes `err` with its code and text;
 * ERR_AGAIN is retried after the time it names, while time remains.
 */
int rpc_call(struct rpc *r, enum wire_type type, const ProtobufCMessage *msg,
             enum wire_type want, struct wire_msg *reply, struct err *err);

/* For transfers: send without waiting for anything. 0; 1 when it could not be
 * sent now (no connection, or the queue is full); -1: ERR_LIMIT and the like.
 */
int rpc_send(struct rpc *r, enum wire_type type, const ProtobufCMessage *msg,
             struct err *err);

/* Wait up to wait_ms for a message. 1: *out, to be freed by wire_free(); 0:
 * nothing came; -1: ERR_CANCELLED, ERR_OS.
 */
int rpc_receive(struct rpc *r, int64_t wait_ms, struct wire_msg *out,
                struct err *err);

/* Wait, dropping what comes. 0, or -1: ERR_CANCELLED, ERR_OS. */
int rpc_pause(struct rpc *r, int64_t pause_ms, struct err *err);

/* How long this coordinator may stay silent now: RPC_FIRST_MS or
 * RPC_RESTART_MS.
 */
int64_t rpc_patience_ms(const struct rpc *r);

/* Limit the patience (an embedded coordinator restarts fast, or never). */
void rpc_set_patience(struct rpc *r, int64_t patience_ms);

/* Call `watch` at least every RPC_WATCH_MS during every wait; -1 of it ends the
 * wait with its error. NULL: nothing is called.
 */
typedef int rpc_watch_fn(void *ctx, struct err *err);
void rpc_set_watch(struct rpc *r, rpc_watch_fn *watch, void *ctx);

/* ERR_UNREACHABLE with the text every command uses. Returns -1. */
int rpc_unreachable(const struct rpc *r, struct err *err);

/* Turn an ERROR message into `err`. Returns -1. */
int rpc_error(const Skein__Error *e, struct err *err);

/* The sequence number of the last message sent; answers repeat it. */
uint64_t rpc_seq(const struct rpc *r);

/* A number for XferBegin.xfer and Fetch.xfer that this connection has not used.
 */
uint64_t rpc_xfer(struct rpc *r);

#endif /* CLIENT_RPC_H */
