#include "worker/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/hash.h"
#include "common/log.h"
#include "proto/sock.h"

#define INCARNATION_BYTES 16
#define UNSENT_MS 50  /* look again whether there is a connection */
#define BEATS_KEPT 16 /* send times of beats: 32 s, four leases */

enum state {
    SAYING_HELLO = 1 << 0,
    LIVE = 1 << 1,
};

struct session {
    struct session_identity identity;
    struct session_handler handler;
    struct sender sender;
    struct sock *sock;
    uint8_t incarnation[INCARNATION_BYTES];
    enum state state;
    uint64_t epoch; /* highest seen */
    uint64_t wire_seq;
    uint64_t hello_seq; /* of the last HELLO */
    int64_t hello_ms;   /* when it was said */
    uint64_t beat_seq;
    uint64_t acked_seq;
    int64_t beat_ms[BEATS_KEPT]; /* send times by sequence number */
    int64_t beat_every_ms, lease_ms;
    int64_t confirmed_ms; /* send time of the last thing acknowledged */
    int64_t due_ms;       /* next HELLO or BEAT */
    bool was_live;
};

static bool put(struct session *s, enum wire_type type, uint64_t seq,
                const ProtobufCMessage *msg)
{
    struct err err = {0};

    if (sock_send(s->sock, 0, type, seq, msg, &err) == 0)
        return true;
    log_debug("not-sent: type=%s error=\"%s\"", wire_type_name(type), err.text);
    return false;
}

static bool send_any(void *arg, enum wire_type type,
                     const ProtobufCMessage *msg)
{
    struct session *s = arg;

    return put(s, type, ++s->wire_seq, msg);
}

struct session *session_create(const struct session_identity *identity,
                               const struct session_handler *handler,
                               struct err *err)
{
    struct session *s = xcalloc(1, sizeof *s);

    s->identity = *identity;
    s->handler = *handler;
    s->sender = (struct sender){send_any, s};
    s->state = SAYING_HELLO;
    s->beat_every_ms = BEAT_MS;
    s->lease_ms = LEASE_WORKER_MS;
    s->confirmed_ms = INT64_MIN;
    hash_random(s->incarnation, sizeof s->incarnation);
    s->sock = sock_dealer(identity->endpoint, err);
    if (s->sock == NULL) {
        free(s);
        return NULL;
    }
    log_info("connecting: coordinator=%s", identity->endpoint);
    return s;
}

void session_destroy(struct session *s)
{
    if (s == NULL)
        return;
    sock_close(s->sock);
    free(s);
}

const struct sender *session_sender(const struct session *s)
{
    return &s->sender;
}

bool session_live(const struct session *s)
{
    return s->state == LIVE;
}

int64_t session_lease_end(const struct session *s)
{
    return s->confirmed_ms == INT64_MIN ? INT64_MIN
                                        : s->confirmed_ms + s->lease_ms;
}

bool session_settled(const struct session *s)
{
    return s->state == LIVE && s->acked_seq == s->beat_seq;
}

static void confirm(struct session *s, int64_t sent_ms)
{
    if (sent_ms > s->confirmed_ms)
        s->confirmed_ms = sent_ms;
}

/* Returns whether it was sent: there may be no connection yet. */
static bool say_hello(struct session *s, int64_t now_ms)
{
    const struct session_identity *id = &s->identity;
    struct session_report report = {.capacity = SKEIN__CAPACITY__INIT};
    Skein__Hello msg = SKEIN__HELLO__INIT;
    Skein__Model model = SKEIN__MODEL__INIT, *models = &model;

    s->handler.report(s->handler.arg, &report);
    model.name = (char *)id->model;
    model.fingerprint =
        (ProtobufCBinaryData){HASH_BYTES, (uint8_t *)id->fingerprint};
    model.vocab = id->vocab;
    msg.incarnation =
        (ProtobufCBinaryData){sizeof s->incarnation, s->incarnation};
    msg.name = (char *)id->name;
    msg.host = (char *)id->host;
    msg.pid = (uint32_t)getpid();
    msg.version = (char *)SKEIN_VERSION;
    msg.n_model = 1;
    msg.model = &models;
    msg.n_device = report.n_device;
    msg.device = report.device;
    msg.n_held = report.n_held;
    msg.held = report.held;
    msg.capacity = &report.capacity;
    s->hello_seq = ++s->wire_seq;
    s->hello_ms = now_ms;
    return put(s, WIRE_HELLO, s->hello_seq, &msg.base);
}

static void say_beat(struct session *s, int64_t now_ms)
{
    struct session_report report = {.capacity = SKEIN__CAPACITY__INIT};
    Skein__Beat msg = SKEIN__BEAT__INIT;

    s->handler.report(s->handler.arg, &report);
    msg.epoch = s->epoch;
    msg.seq = ++s->beat_seq;
    msg.n_held = report.n_held;
    msg.held = report.held;
    msg.capacity = &report.capacity;
    msg.n_device = report.n_device;
    msg.device = report.device;
    msg.draining = report.draining;
    s->beat_ms[s->beat_seq % BEATS_KEPT] = now_ms;
    put(s, WIRE_BEAT, ++s->wire_seq, &msg.base);
}

static void say_hello_again(struct session *s, int64_t now_ms, const char *why)
{
    if (s->state == LIVE)
        log_warn("session-lost: reason=\"%s\"", why);
    s->state = SAYING_HELLO;
    s->due_ms = now_ms;
}

static void drop_all(struct session *s, Skein__Token *const *token, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->handler.over(s->handler.arg, token[i], "dropped");
}

static void on_welcome(struct session *s, const struct wire_msg *m,
                       int64_t now_ms)
{
    const Skein__Welcome *w = m->welcome;

    if (w->epoch < s->epoch) {
        log_warn("old-coordinator: epoch=%" PRIu64 " seen=%" PRIu64, w->epoch,
                 s->epoch);
        return;
    }
    if (m->seq != s->hello_seq)
        return; /* of an earlier HELLO, which said something else */
    s->epoch = w->epoch;
    s->state = LIVE;
    if (w->beat_ms > 0)
        s->beat_every_ms = w->beat_ms;
    if (w->lease_ms > 0)
        s->lease_ms = w->lease_ms;
    s->acked_seq = s->beat_seq;
    confirm(s, s->hello_ms);
    s->due_ms = now_ms + s->beat_every_ms;
    log_info("%s: coordinator=%s epoch=%" PRIu64,
             s->was_live ? "reconnected" : "connected", s->identity.endpoint,
             s->epoch);
    s->was_live = true;
    drop_all(s, w->drop, w->n_drop);
    s->handler.welcome(s->handler.arg);
}

static void on_beat_ack(struct session *s, const struct wire_msg *m,
                        int64_t now_ms)
{
    const Skein__BeatAck *a = m->beat_ack;

    (void)now_ms;
    if (a->epoch != s->epoch || a->seq > s->beat_seq
        || a->seq + BEATS_KEPT <= s->beat_seq)
        return;
    confirm(s, s->beat_ms[a->seq % BEATS_KEPT]);
    if (a->seq > s->acked_seq)
        s->acked_seq = a->seq;
    drop_all(s, a->drop, a->n_drop);
}

static void on_hello_again(struct session *s, const struct wire_msg *m,
                           int64_t now_ms)
{
    if (m->hello_again->epoch >= s->epoch)
        say_hello_again(s, now_ms, "the coordinator does not know us");
}

static void on_probe(struct session *s, const struct wire_msg *m,
                     int64_t now_ms)
{
    (void)s;
    (void)m;
    (void)now_ms;
}

static void on_grant(struct session *s, const struct wire_msg *m,
                     int64_t now_ms)
{
    (void)now_ms;
    if (m->grant->token->epoch == s->epoch)
        s->handler.grant(s->handler.arg, m->grant);
}

static void on_committed(struct session *s, const struct wire_msg *m,
                         int64_t now_ms)
{
    (void)now_ms;
    s->handler.over(s->handler.arg, m->committed->token, "committed");
}

static void on_stale(struct session *s, const struct wire_msg *m,
                     int64_t now_ms)
{
    (void)now_ms;
    s->handler.over(s->handler.arg, m->stale->token, "stale");
}

static void on_revoke(struct session *s, const struct wire_msg *m,
                      int64_t now_ms)
{
    (void)now_ms;
    s->handler.over(s->handler.arg, m->revoke->token, "revoked");
}

static void on_transfer(struct session *s, const struct wire_msg *m,
                        int64_t now_ms)
{
    (void)now_ms;
    s->handler.transfer(s->handler.arg, m);
}

static const struct rule {
    enum wire_type type;
    unsigned states; /* in which it is listened to */
    void (*on)(struct session *s, const struct wire_msg *m, int64_t now_ms);
} rules[] = {
    {WIRE_WELCOME, SAYING_HELLO, on_welcome},
    {WIRE_BEAT_ACK, LIVE, on_beat_ack},
    {WIRE_HELLO_AGAIN, SAYING_HELLO | LIVE, on_hello_again},
    {WIRE_PROBE, SAYING_HELLO | LIVE, on_probe},
    {WIRE_GRANT, LIVE, on_grant},
    /* True whenever they arrive: they name a token. */
    {WIRE_COMMITTED, SAYING_HELLO | LIVE, on_committed},
    {WIRE_STALE, SAYING_HELLO | LIVE, on_stale},
    {WIRE_REVOKE, SAYING_HELLO | LIVE, on_revoke},
    {WIRE_XFER_BEGIN, LIVE, on_transfer},
    {WIRE_XFER_GO, LIVE, on_transfer},
    {WIRE_XFER_CHUNK, LIVE, on_transfer},
    {WIRE_XFER_ACK, LIVE, on_transfer},
    {WIRE_XFER_END, LIVE, on_transfer},
    {WIRE_ERROR, SAYING_HELLO | LIVE, on_transfer},
};

static void handle(struct session *s, const struct wire_msg *m, int64_t now_ms)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].type != m->type)
            continue;
        if ((rules[i].states & (unsigned)s->state) != 0)
            rules[i].on(s, m, now_ms);
        return;
    }
    log_warn("unexpected: type=%s", wire_type_name(m->type));
}

static void receive(struct session *s, int64_t now_ms)
{
    for (;;) {
        struct wire_msg m;
        struct err err = {0};
        uint64_t peer;
        int rc = sock_recv(s->sock, &peer, &m, &err);

        if (rc == 0)
            return;
        if (rc < 0) {
            log_warn("bad-message: error=\"%s\"", err.text);
            continue;
        }
        handle(s, &m, now_ms);
        wire_free(&m);
    }
}

void session_step(struct session *s, int64_t now_ms)
{
    receive(s, now_ms);
    if (s->state == LIVE && now_ms >= session_lease_end(s))
        say_hello_again(s, now_ms, "no answer for the time of a lease");
    if (now_ms < s->due_ms)
        return;
    if (s->state == LIVE) {
        say_beat(s, now_ms);
        s->due_ms = now_ms + s->beat_every_ms;
    } else {
        s->due_ms =
            now_ms + (say_hello(s, now_ms) ? SESSION_HELLO_MS : UNSENT_MS);
    }
}

int64_t session_deadline(const struct session *s)
{
    return s->due_ms;
}

void session_beat_soon(struct session *s)
{
    if (s->state == LIVE)
        s->due_ms = 0;
}

int session_wait(struct session *s, const int *fd, size_t n, int64_t timeout_ms,
                 struct err *err)
{
    return sock_poll(s->sock, fd, n, timeout_ms, err);
}

void session_release(struct session *s, const Skein__Token *token,
                     Skein__ReleaseReason reason, const char *message)
{
    Skein__Release msg = SKEIN__RELEASE__INIT;
    Skein__Token t = *token;

    msg.token = &t;
    msg.reason = reason;
    msg.message = (char *)message;
    send_any(s, WIRE_RELEASE, &msg.base);
}
