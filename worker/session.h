/* worker/session.h - the worker's side of the dialogue with the coordinator
 *
 *   SAYING_HELLO --WELCOME--> LIVE --HELLO_AGAIN, or no answer for a lease-->
 *   SAYING_HELLO
 *
 * Says HELLO once a second until welcome, then BEAT as often as asked. Every
 * message from the coordinator is a row of a table: in which states it counts,
 * and what happens. A coordinator with a lower epoch than one seen is an old
 * incarnation and not listened to. Transfers pass through to the handler.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/limits.h"
#include "proto/wire.h"
#include "worker/sender.h"

#define SESSION_HELLO_MS 1000

/* What HELLO and BEAT say about the worker. Arrays of pointers to messages that
 * stay until the next call.
 */
struct session_report {
    Skein__Held **held;
    size_t n_held;
    Skein__Device **device;
    size_t n_device;
    Skein__Capacity capacity;
    bool draining;
};

struct session_handler {
    void *arg;
    void (*report)(void *arg, struct session_report *out);
    /* Connected (again): transfers begin anew. */
    void (*welcome)(void *arg);
    void (*grant)(void *arg, const Skein__Grant *grant);
    /* A token is over: committed, or somebody else's turn. */
    void (*over)(void *arg, const Skein__Token *token, const char *how);
    /* GO, ACK, BEGIN, CHUNK, END or ERROR; an ERROR may be of no transfer. */
    void (*transfer)(void *arg, const struct wire_msg *msg);
};

struct session_identity {
    const char *endpoint;
    const char *name;
    const char *host;
    const char *model; /* name that jobs ask for */
    const uint8_t *fingerprint;
    int32_t vocab;
};

struct session;

/* NULL: ERR_CONFIG (endpoint), ERR_OS. Strings are borrowed. */
struct session *session_create(const struct session_identity *identity,
                               const struct session_handler *handler,
                               struct err *err);
void session_destroy(struct session *s); /* NULL is allowed */

/* Wait for a message, one of fd[n] or the timeout, as sock_poll(). */
int session_wait(struct session *s, const int *fd, size_t n, int64_t timeout_ms,
                 struct err *err);

/* Receive what is there and say what is due. */
void session_step(struct session *s, int64_t now_ms);

int64_t session_deadline(const struct session *s);

/* Say the next beat at the next step: something changed that matters. */
void session_beat_soon(struct session *s);

/* The last beat said was acknowledged: the coordinator knows our state. */
bool session_settled(const struct session *s);

bool session_live(const struct session *s);

/* Leases may be used until then: the last acknowledged beat's send time plus
 * the lease. INT64_MIN before the first WELCOME.
 */
int64_t session_lease_end(const struct session *s);

const struct sender *session_sender(const struct session *s);

void session_release(struct session *s, const Skein__Token *token,
                     Skein__ReleaseReason reason, const char *message);

#endif /* WORKER_SESSION_H */
