/* proto/sock.h - ROUTER and DEALER sockets; the only owner of libzmq
 *
 * Every option and its measured reason is in docs/protocol.md. Sends never
 * block. Peers of a ROUTER are named by the number libzmq gave their
 * connection; a peer that reconnects is a new number.
 * One thread uses a sock at a time.
 */
#ifndef PROTO_SOCK_H
#define PROTO_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/wire.h"

struct sock;

/* Bind a ROUTER to `endpoints` ("ipc:///path", "tcp://127.0.0.1:7447"). Without
 * CURVE keys only ipc:// and loopback TCP are allowed: ERR_CONFIG otherwise.
 * ERR_UNREACHABLE: in use, or no such directory.
 */
struct sock *sock_router(const char *const *endpoints, size_t n,
                         struct err *err);

/* Is this a usable name of an endpoint? ERR_CONFIG says what is wrong. The
 * sockets check theirs too; this is for those who want to know early.
 */
int sock_check(const char *endpoint, struct err *err);

/* A DEALER that connects, and reconnects by itself. Nothing is queued before a
 * connection exists.
 */
struct sock *sock_dealer(const char *endpoint, struct err *err);

void sock_close(struct sock *s); /* NULL is allowed; drops unsent messages */

/* Wait until the socket is readable or one of `fd[n]` is, or the timeout is
 * over (-1: none). Bit 0 of the result: socket; bit i + 1: fd[i]. 0: timeout.
 * -1: ERR_OS. EINTR counts as a timeout.
 */
int sock_poll(struct sock *s, const int *fd, size_t n, int64_t timeout_ms,
              struct err *err);

/* Send to `peer` (ROUTER) or the coordinator (DEALER: peer is ignored).
 * Returns 0, or -1: ERR_AGAIN (its queue is full: state will be repeated by a
 * later beat), ERR_UNREACHABLE (no such connection any more), ERR_LIMIT.
 */
int sock_send(struct sock *s, uint64_t peer, enum wire_type type, uint64_t seq,
              const ProtobufCMessage *msg, struct err *err);

/* Receive one message without waiting. 1 and *out; 0: nothing there; -1:
 * ERR_PROTOCOL: a malformed message from *peer was dropped; go on.
 */
int sock_recv(struct sock *s, uint64_t *peer, struct wire_msg *out,
              struct err *err);

#endif /* PROTO_SOCK_H */
