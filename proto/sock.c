#include "proto/sock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

#include "proto/limits.h"

#define ROUTING_ID_BYTES 5 /* what libzmq gives a peer that names itself not */
#define CURVE_OVERHEAD_BYTES 33
#define POLL_FDS_MAX 30 /* bits of the int that sock_poll() returns, less one */

struct sock {
    void *ctx;
    void *zmq;
    bool router;
    struct buf body; /* of the message being sent */
};

static int fail_zmq(struct err *err, enum err_code code, const char *what,
                    const char *endpoint)
{
    return err_set(err, code, "%s %s: %s", what, endpoint, zmq_strerror(errno));
}

/* ---- endpoints ---- */

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* tcp://HOST:PORT. libzmq takes a port above 65535 and never connects. "*" is
 * any free port, for tests.
 */
static int check_tcp(const char *endpoint, struct err *err)
{
    const char *colon = strrchr(endpoint + 6, ':');
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;

    if (colon != NULL && colon > endpoint + 6 && strcmp(colon, ":*") == 0)
        return 0;
    if (colon == NULL || colon == endpoint + 6 || digits == 0 || digits > 5
        || colon[1 + digits] != '\0' || atoi(colon + 1) > UINT16_MAX
        || atoi(colon + 1) == 0)
        return err_set(err, ERR_CONFIG,
                       "endpoint \"%s\" is not tcp://HOST:PORT with a port of "
                       "1 to 65535",
                       endpoint);
    return 0;
}

int sock_check(const char *endpoint, struct err *err)
{
    const size_t max = sizeof((struct sockaddr_un *)0)->sun_path - 1;

    if (starts_with(endpoint, "tcp://"))
        return check_tcp(endpoint, err);
    if (!starts_with(endpoint, "ipc://"))
        return err_set(err, ERR_CONFIG,
                       "endpoint \"%s\" starts with neither ipc:// nor tcp://",
                       endpoint);
    if (endpoint[6] == '\0')
        return err_set(err, ERR_CONFIG, "endpoint \"%s\" names no path",
                       endpoint);
    if (strlen(endpoint + 6) > max)
        return err_set(err, ERR_CONFIG,
                       "the socket path %s has %zu bytes, at most %zu are "
                       "possible; choose a shorter directory",
                       endpoint + 6, strlen(endpoint + 6), max);
    return 0;
}

/* Messages are neither encrypted nor authenticated without CURVE keys, so they
 * stay on this host. Names are refused: what they resolve to can change.
 */
static int check_bind(const char *endpoint, struct err *err)
{
    if (sock_check(endpoint, err) < 0)
        return -1;
    if (starts_with(endpoint, "ipc://")
        || starts_with(endpoint, "tcp://127.0.0.1:")
        || starts_with(endpoint, "tcp://[::1]:"))
        return 0;
    return err_set(err, ERR_CONFIG,
                   "cannot bind %s without keys: only ipc://, tcp://127.0.0.1 "
                   "and tcp://[::1] are allowed",
                   endpoint);
}

/* ---- options ---- */

struct option {
    int name;
    int value;
};

/* Reasons: docs/protocol.md, Sockets. */
static const struct option common_options[] = {
    {ZMQ_SNDHWM, 1000},
    {ZMQ_RCVHWM, 1000},
    {ZMQ_LINGER, 0},
    {ZMQ_IPV6, 1},
    {ZMQ_HEARTBEAT_IVL, 5000},
    {ZMQ_HEARTBEAT_TIMEOUT, 20000},
    {ZMQ_HEARTBEAT_TTL, 60000},
};

static const struct option router_options[] = {
    {ZMQ_ROUTER_MANDATORY, 1},
    {ZMQ_ROUTER_HANDOVER, 0},
    {ZMQ_HANDSHAKE_IVL, 2000},
};

static const struct option dealer_options[] = {
    {ZMQ_IMMEDIATE, 1},
    {ZMQ_HANDSHAKE_IVL, 5000},
    {ZMQ_RECONNECT_IVL, 100},
    {ZMQ_RECONNECT_IVL_MAX, 5000},
};

static int set_options(void *zmq, const struct option *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (zmq_setsockopt(zmq, o[i].name, &o[i].value, sizeof o[i].value) < 0)
            return -1;
    return 0;
}

static struct sock *sock_open(bool router, struct err *err)
{
    const int64_t message_max = FRAME_BYTES_MAX + CURVE_OVERHEAD_BYTES;
    struct sock *s = xcalloc(1, sizeof *s);
    int status = -1;

    s->router = router;
    s->ctx = zmq_ctx_new();
    if (s->ctx != NULL)
        s->zmq = zmq_socket(s->ctx, router ? ZMQ_ROUTER : ZMQ_DEALER);
    if (s->zmq != NULL)
        status = set_options(s->zmq, common_options,
                             sizeof common_options / sizeof *common_options);
    if (status == 0 && router)
        status = set_options(s->zmq, router_options,
                             sizeof router_options / sizeof *router_options);
    if (status == 0 && !router)
        status = set_options(s->zmq, dealer_options,
                             sizeof dealer_options / sizeof *dealer_options);
    if (status == 0)
        status = zmq_setsockopt(s->zmq, ZMQ_MAXMSGSIZE, &message_max,
                                sizeof message_max);
    if (status < 0) {
        fail_zmq(err, ERR_OS, "cannot make a socket", "of ZeroMQ");
        sock_close(s);
        return NULL;
    }
    return s;
}

struct sock *sock_router(const char *const *endpoints, size_t n,
                         struct err *err)
{
    struct sock *s;

    for (size_t i = 0; i < n; i++)
        if (check_bind(endpoints[i], err) < 0)
            return NULL;
    s = sock_open(true, err);
    for (size_t i = 0; s != NULL && i < n; i++) {
        if (zmq_bind(s->zmq, endpoints[i]) == 0)
            continue;
        fail_zmq(err, errno == EINVAL ? ERR_CONFIG : ERR_UNREACHABLE,
                 "cannot bind", endpoints[i]);
        sock_close(s);
        s = NULL;
    }
    return s;
}

struct sock *sock_dealer(const char *endpoint, struct err *err)
{
    struct sock *s;

    if (sock_check(endpoint, err) < 0)
        return NULL;
    s = sock_open(false, err);
    if (s != NULL && zmq_connect(s->zmq, endpoint) < 0) {
        fail_zmq(err, ERR_CONFIG, "cannot connect to", endpoint);
        sock_close(s);
        s = NULL;
    }
    return s;
}

void sock_close(struct sock *s)
{
    if (s == NULL)
        return;
    if (s->zmq != NULL)
        zmq_close(s->zmq);
    /* Does not wait for anything but libzmq's own thread: LINGER is 0. */
    while (s->ctx != NULL && zmq_ctx_term(s->ctx) < 0 && errno == EINTR)
        ;
    buf_free(&s->body);
    free(s);
}

int sock_poll(struct sock *s, const int *fd, size_t n, int64_t timeout_ms,
              struct err *err)
{
    zmq_pollitem_t item[POLL_FDS_MAX + 1] = {
        {.socket = s->zmq, .events = ZMQ_POLLIN}};
    int ready = 0;

    assert(n <= POLL_FDS_MAX);
    for (size_t i = 0; i < n; i++) {
        item[i + 1].fd = fd[i];
        item[i + 1].events = ZMQ_POLLIN;
    }
    if (zmq_poll(item, (int)n + 1, (long)timeout_ms) < 0) {
        if (errno == EINTR)
            return 0;
        return err_set(err, ERR_OS, "poll: %s", zmq_strerror(errno));
    }
    for (size_t i = 0; i <= n; i++)
        if ((item[i].revents & (ZMQ_POLLIN | ZMQ_POLLERR)) != 0)
            ready |= 1 << i;
    return ready;
}

/* ---- messages ---- */

static uint64_t peer_number(const uint8_t id[ROUTING_ID_BYTES])
{
    uint64_t peer = 0;

    for (int i = 0; i < ROUTING_ID_BYTES; i++)
        peer = peer << 8 | id[i];
    return peer;
}

static int send_part(struct sock *s, const void *data, size_t len, int more,
                     struct err *err)
{
    while (zmq_send(s->zmq, data, len, ZMQ_DONTWAIT | more) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return err_set(err, ERR_AGAIN,
                           s->router ? "the peer's queue is full"
                                     : "not connected, or the queue is full");
        return err_set(err, ERR_UNREACHABLE, "cannot send: %s",
                       zmq_strerror(errno));
    }
    return 0;
}

int sock_send(struct sock *s, uint64_t peer, enum wire_type type, uint64_t seq,
              const ProtobufCMessage *msg, struct err *err)
{
    uint8_t header[WIRE_HEADER_BYTES];
    uint8_t id[ROUTING_ID_BYTES];

    if (wire_encode(type, seq, msg, header, &s->body, err) < 0)
        return -1;
    for (int i = 0; i < ROUTING_ID_BYTES; i++)
        id[i] = (uint8_t)(peer >> (8 * (ROUTING_ID_BYTES - 1 - i)));
    /* Only the first part can fail for good: libzmq takes or drops the rest
     * of a message with it.
     */
    if (s->router && send_part(s, id, sizeof id, ZMQ_SNDMORE, err) < 0)
        return -1;
    if (send_part(s, header, sizeof header, ZMQ_SNDMORE, err) < 0)
        return -1;
    return send_part(s, s->body.data, s->body.len, 0, err);
}

/* The next part; 1 and initialised, 0: none, -1: ERR_OS. */
static int recv_part(struct sock *s, zmq_msg_t *part, struct err *err)
{
    zmq_msg_init(part);
    while (zmq_msg_recv(part, s->zmq, ZMQ_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        zmq_msg_close(part);
        if (errno == EAGAIN)
            return 0;
        return err_set(err, ERR_OS, "receive: %s", zmq_strerror(errno));
    }
    return 1;
}

/* Receive one whole message: its first `max` parts into `part`, the rest is
 * dropped. Returns how many parts there were, 0: nothing there, -1: ERR_OS.
 * libzmq hands out a message only when all of it is there.
 */
static int recv_parts(struct sock *s, zmq_msg_t *part, int max, struct err *err)
{
    int n = 0;
    bool more = true;

    while (more) {
        zmq_msg_t extra;
        zmq_msg_t *to = n < max ? &part[n] : &extra;
        int got = recv_part(s, to, err);

        if (got <= 0) {
            for (int i = 0; i < n && i < max; i++)
                zmq_msg_close(&part[i]);
            return got;
        }
        more = zmq_msg_more(to) != 0;
        if (to == &extra)
            zmq_msg_close(to);
        if (n <= max)
            n++;
    }
    return n;
}

static int decode_parts(const struct sock *s, zmq_msg_t *part, int n,
                        uint64_t *peer, struct wire_msg *out, struct err *err)
{
    const int first = s->router ? 1 : 0;

    *peer = 0;
    if (s->router) {
        if (zmq_msg_size(&part[0]) != ROUTING_ID_BYTES)
            return err_set(err, ERR_PROTOCOL, "the peer names itself");
        *peer = peer_number(zmq_msg_data(&part[0]));
    }
    if (n != first + 2)
        return err_set(err, ERR_PROTOCOL, "not a header and a body: %s frame%s",
                       n < first + 2 ? "1" : "more than 2",
                       n < first + 2 ? "" : "s");
    return wire_decode(zmq_msg_data(&part[first]), zmq_msg_size(&part[first]),
                       zmq_msg_data(&part[first + 1]),
                       zmq_msg_size(&part[first + 1]), out, err);
}

int sock_recv(struct sock *s, uint64_t *peer, struct wire_msg *out,
              struct err *err)
{
    const int wanted = s->router ? 3 : 2;
    zmq_msg_t part[3];
    uint64_t from;
    int n = recv_parts(s, part, wanted, err);
    int status;

    if (n <= 0)
        return n;
    status = decode_parts(s, part, n, &from, out, err);
    for (int i = 0; i < n && i < wanted; i++)
        zmq_msg_close(&part[i]);
    if (peer != NULL)
        *peer = from;
    if (status < 0 && err != NULL)
        err->code = ERR_PROTOCOL;
    return status < 0 ? -1 : 1;
}
