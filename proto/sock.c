#include "proto/sock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

#include "common/buf.h"
#include "proto/limits.h"

#define CURVE_OVERHEAD 33  /* bytes per frame (M11) */
#define ROUTING_ID_BYTES 5 /* what libzmq makes: 0 and a 32-bit number */
#define POLL_FDS_MAX 8

struct sock {
    void *context;
    void *socket;
    bool router;
    struct buf body; /* scratch of sock_send() */
};

static int zmq_fail(struct err *err, enum err_code code, const char *what)
{
    return err_set(err, code, "%s: %s", what, zmq_strerror(errno));
}

static int set_int(struct sock *s, int option, int value, struct err *err)
{
    if (zmq_setsockopt(s->socket, option, &value, sizeof value) < 0)
        return zmq_fail(err, ERR_INTERNAL, "zmq_setsockopt");
    return 0;
}

/* The table of docs/protocol.md, "Sockets". */
static int set_options(struct sock *s, struct err *err)
{
    const int64_t size_max = FRAME_BYTES_MAX + CURVE_OVERHEAD;
    const struct {
        int option;
        int value;
    } option[] = {
        {ZMQ_SNDHWM, 1000},
        {ZMQ_RCVHWM, 1000},
        {ZMQ_LINGER, 0},
        {ZMQ_HEARTBEAT_IVL, 5000},
        {ZMQ_HEARTBEAT_TIMEOUT, 20000},
        {ZMQ_HEARTBEAT_TTL, 60000},
        {ZMQ_HANDSHAKE_IVL, s->router ? 2000 : 5000},
        {ZMQ_IPV6, 1},
        {s->router ? ZMQ_ROUTER_MANDATORY : ZMQ_IMMEDIATE, 1},
        {ZMQ_RECONNECT_IVL, 100},
        {ZMQ_RECONNECT_IVL_MAX, 5000},
    };

    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        if (set_int(s, option[i].option, option[i].value, err) < 0)
            return -1;
    }
    if (zmq_setsockopt(s->socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max)
        < 0)
        return zmq_fail(err, ERR_INTERNAL, "zmq_setsockopt");
    return 0;
}

static struct sock *create(bool router, struct err *err)
{
    struct sock *s = xcalloc(1, sizeof *s);

    s->router = router;
    s->context = zmq_ctx_new();
    if (s->context == NULL) {
        zmq_fail(err, ERR_OS, "zmq_ctx_new");
        goto fail;
    }
    s->socket = zmq_socket(s->context, router ? ZMQ_ROUTER : ZMQ_DEALER);
    if (s->socket == NULL) {
        zmq_fail(err, ERR_OS, "zmq_socket");
        goto fail;
    }
    if (set_options(s, err) < 0)
        goto fail;
    return s;
fail:
    sock_close(s);
    return NULL;
}

/* Only what needs no keys: a path, or a loopback address with a port. */
static int check_endpoint(const char *endpoint, bool bind, struct err *err)
{
    static const char *const loopback[] = {
        "tcp://127.0.0.1:", "tcp://[::1]:", "tcp://localhost:"};

    if (strncmp(endpoint, "ipc://", 6) == 0) {
        size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

        if (endpoint[6] == '\0')
            return err_set(err, ERR_CONFIG, "%s: no path", endpoint);
        if (strlen(endpoint + 6) > max)
            return err_set(err, ERR_CONFIG,
                           "%s: a socket path has at most %zu bytes", endpoint,
                           max);
        return 0;
    }
    if (strncmp(endpoint, "tcp://", 6) != 0)
        return err_set(err, ERR_CONFIG,
                       "%s: expected ipc:///PATH or tcp://HOST:PORT", endpoint);
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        if (strncmp(endpoint, loopback[i], strlen(loopback[i])) == 0)
            return 0;
    }
    if (!bind)
        return 0;
    return err_set(err, ERR_CONFIG,
                   "%s: without keys only ipc:// and 127.0.0.1 or [::1] may be"
                   " bound",
                   endpoint);
}

struct sock *sock_router(const char *const *endpoints, size_t n,
                         struct err *err)
{
    struct sock *s;

    for (size_t i = 0; i < n; i++) {
        if (check_endpoint(endpoints[i], true, err) < 0)
            return NULL;
    }
    s = create(true, err);
    for (size_t i = 0; s != NULL && i < n; i++) {
        if (zmq_bind(s->socket, endpoints[i]) < 0) {
            err_set(err, ERR_CONFIG, "cannot listen on %s: %s", endpoints[i],
                    zmq_strerror(errno));
            sock_close(s);
            s = NULL;
        }
    }
    return s;
}

struct sock *sock_dealer(const char *endpoint, struct err *err)
{
    struct sock *s;

    if (check_endpoint(endpoint, false, err) < 0)
        return NULL;
    s = create(false, err);
    if (s != NULL && zmq_connect(s->socket, endpoint) < 0) {
        err_set(err, ERR_CONFIG, "cannot connect to %s: %s", endpoint,
                zmq_strerror(errno));
        sock_close(s);
        s = NULL;
    }
    return s;
}

void sock_close(struct sock *s)
{
    if (s == NULL)
        return;
    if (s->socket != NULL)
        zmq_close(s->socket);
    if (s->context != NULL)
        zmq_ctx_term(s->context);
    buf_free(&s->body);
    free(s);
}

int sock_poll(struct sock *s, const int *fd, size_t n, int64_t timeout_ms,
              struct err *err)
{
    zmq_pollitem_t item[1 + POLL_FDS_MAX] = {
        {.socket = s->socket, .events = ZMQ_POLLIN}};
    int ready = 0;

    assert(n <= POLL_FDS_MAX);
    for (size_t i = 0; i < n; i++)
        item[i + 1] = (zmq_pollitem_t){.fd = fd[i], .events = ZMQ_POLLIN};
    if (zmq_poll(item, (int)n + 1, (long)timeout_ms) < 0) {
        if (errno == EINTR)
            return 0;
        return zmq_fail(err, ERR_OS, "zmq_poll");
    }
    for (size_t i = 0; i <= n; i++) {
        if (item[i].revents != 0)
            ready |= 1 << i;
    }
    return ready;
}

/* One part, never waiting. 0, or -1 with errno. */
static int send_part(struct sock *s, const void *data, size_t len, int flags)
{
    return zmq_send(s->socket, data, len, flags | ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

int sock_send(struct sock *s, uint64_t peer, enum wire_type type, uint64_t seq,
              const ProtobufCMessage *msg, struct err *err)
{
    uint8_t id[ROUTING_ID_BYTES] = {0, (uint8_t)(peer >> 24),
                                    (uint8_t)(peer >> 16), (uint8_t)(peer >> 8),
                                    (uint8_t)peer};
    uint8_t header[WIRE_HEADER_BYTES];

    if (wire_encode(type, seq, msg, header, &s->body, err) < 0)
        return -1;
    /* Once the first part is accepted libzmq takes the others, too. */
    if ((s->router && send_part(s, id, sizeof id, ZMQ_SNDMORE) < 0)
        || send_part(s, header, sizeof header, ZMQ_SNDMORE) < 0
        || send_part(s, s->body.data, s->body.len, 0) < 0) {
        if (errno == EAGAIN)
            return err_set(err, ERR_AGAIN, "%s: the peer's queue is full",
                           wire_type_name(type));
        if (errno == EHOSTUNREACH)
            return err_set(err, ERR_UNREACHABLE, "%s: the peer is gone",
                           wire_type_name(type));
        return zmq_fail(err, ERR_OS, "zmq_send");
    }
    return 0;
}

/* Receive one part. 1, 0 (nothing there) or -1: ERR_OS. */
static int recv_part(struct sock *s, zmq_msg_t *part, struct err *err)
{
    zmq_msg_init(part);
    if (zmq_msg_recv(part, s->socket, ZMQ_DONTWAIT) >= 0)
        return 1;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return zmq_fail(err, ERR_OS, "zmq_msg_recv");
}

#define PARTS_MAX 3 /* routing id, header, body */

/* Receive a whole message, keeping its first `want` parts. Returns how many
 * parts it had; 0: nothing there; -1.
 */
static int recv_parts(struct sock *s, zmq_msg_t *part, int want,
                      struct err *err)
{
    int n = 0;

    for (;;) {
        zmq_msg_t extra;
        zmq_msg_t *to = n < want ? &part[n] : &extra;
        int rc = recv_part(s, to, err);
        int more;

        if (rc <= 0) {
            zmq_msg_close(to);
            return n > 0 ? n : rc;
        }
        more = zmq_msg_more(to);
        if (to == &extra)
            zmq_msg_close(&extra);
        n++;
        if (!more)
            return n;
    }
}

static int read_peer(zmq_msg_t *part, uint64_t *peer)
{
    const uint8_t *id = zmq_msg_data(part);

    if (zmq_msg_size(part) != ROUTING_ID_BYTES || id[0] != 0)
        return -1;
    *peer = (uint64_t)id[1] << 24 | (uint64_t)id[2] << 16 | (uint64_t)id[3] << 8
            | (uint64_t)id[4];
    return 0;
}

int sock_recv(struct sock *s, uint64_t *peer, struct wire_msg *out,
              struct err *err)
{
    zmq_msg_t part[PARTS_MAX];
    int first = s->router ? 1 : 0; /* part that holds the header */
    int want = first + 2;
    int n = recv_parts(s, part, want, err);
    int ret = 1;

    *peer = 0;
    if (n <= 0)
        return n;
    if (s->router && read_peer(&part[0], peer) < 0)
        ret = err_set(err, ERR_PROTOCOL, "a peer chose its own routing id");
    else if (n != want)
        ret = err_set(err, ERR_PROTOCOL, "a message of %d frames, expected 2",
                      n - first);
    else if (wire_decode(zmq_msg_data(&part[first]), zmq_msg_size(&part[first]),
                         zmq_msg_data(&part[first + 1]),
                         zmq_msg_size(&part[first + 1]), out, err)
             < 0)
        ret = -1;
    for (int i = 0; i < n && i < want; i++)
        zmq_msg_close(&part[i]);
    if (ret < 0 && err != NULL)
        err->code = ERR_PROTOCOL;
    return ret;
}
