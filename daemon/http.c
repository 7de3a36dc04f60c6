#include "daemon/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An open connection. */
struct peer {
    int fd;     /* -1: free */
    bool ended; /* libmicrohttpd was told that the peer has */
};

struct http {
    struct http_config config;
    struct MHD_Daemon *daemon;
    struct peer peer[HTTP_CONNECTIONS_MAX];
    int epoll_fd;
    uint16_t port;
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* ---- the address --------------------------------------------------------- */

static int bad_address(const char *address, struct err *err)
{
    return err_set(err, ERR_CONFIG,
                   "http: \"%s\" is not 127.0.0.1:PORT or [::1]:PORT: only "
                   "loopback addresses may be bound",
                   address);
}

static int parse_port(const char *s, uint16_t *port)
{
    char *end;
    unsigned long n;

    if (*s < '0' || *s > '9')
        return -1;
    n = strtoul(s, &end, 10);
    if (*end != '\0' || n > UINT16_MAX)
        return -1;
    *port = (uint16_t)n;
    return 0;
}

/* Returns the length of what is in *out, or -1. */
static int parse_address(const char *address, union address *out,
                         struct err *err)
{
    const char *colon = strrchr(address, ':');
    char host[64];
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    uint16_t port;

    *out = (union address){0};
    if (len == 0 || len >= sizeof host || parse_port(colon + 1, &port) < 0)
        return bad_address(address, err);
    memcpy(host, address, len);
    host[len] = '\0';
    if (strcmp(host, "[::1]") == 0) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_addr = in6addr_loopback;
        out->v6.sin6_port = htons(port);
        return sizeof out->v6;
    }
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) != 1
        || ntohl(out->v4.sin_addr.s_addr) >> 24 != 127)
        return bad_address(address, err);
    return sizeof out->v4;
}

int http_check(const char *address, struct err *err)
{
    union address a;

    return parse_address(address, &a, err) < 0 ? -1 : 0;
}

/* Returns a listening socket, or -1. */
static int listen_on(struct http *h, struct err *err)
{
    union address a;
    int len = parse_address(h->config.address, &a, err), one = 1, fd;
    socklen_t got = sizeof a;

    if (len < 0)
        return -1;
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, ERR_OS, "http: socket: %s", strerror(errno));
    /* Connections of the last process may linger; that is no conflict. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &a.any, (socklen_t)len) < 0 || listen(fd, SOMAXCONN) < 0
        || getsockname(fd, &a.any, &got) < 0) {
        err_set(err, ERR_UNREACHABLE, "http: cannot bind %s: %s",
                h->config.address, strerror(errno));
        close(fd);
        return -1;
    }
    h->port =
        ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
    return fd;
}

/* ---- requests ------------------------------------------------------------ */

static enum MHD_Result respond(struct MHD_Connection *c, struct http_answer *a)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        a->body.len, a->body.data, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result ok;

    if (r == NULL) {
        buf_free(&a->body);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
    if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    ok = MHD_queue_response(c, a->status, r);
    MHD_destroy_response(r);
    return ok;
}

/* Called when the headers are there, and once more when the request is. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c,
                                  const char *url, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    static char seen;
    struct http *h = arg;
    struct http_answer a = {
        .status = MHD_HTTP_NOT_FOUND,
        .content_type = "text/plain; charset=utf-8",
    };

    (void)version;
    (void)upload;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0
        && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        a.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        buf_adds(&a.body, "only GET and HEAD\n");
        return respond(c, &a);
    }
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_len > 0)
        return MHD_NO; /* a GET with a body: close, nothing of it is read */
    h->config.get(h->config.arg, url, &a);
    if (a.status == MHD_HTTP_NOT_FOUND)
        buf_adds(&a.body, "there are /metrics and /healthz\n");
    return respond(c, &a);
}

/* ---- peers that are gone -------------------------------------------------- */

static void on_connection(void *arg, struct MHD_Connection *c, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;
    int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)
                 ->connect_fd;
    int old = what == MHD_CONNECTION_NOTIFY_STARTED ? -1 : fd;

    (void)state;
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        if (h->peer[i].fd == old) {
            h->peer[i].fd = old < 0 ? fd : -1;
            h->peer[i].ended = false;
            return;
        }
    }
}

/* libmicrohttpd (0.9.75) takes a short read for the last one and so misses an
 * end that arrived with the bytes before it: its epoll reports edges. The
 * connection would stay for HTTP_IDLE_S. To shut the reading side, which is
 * over anyway, makes another edge.
 */
static void find_ended(struct http *h)
{
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct peer *p = &h->peer[i];
        char byte;

        if (p->fd < 0 || p->ended
            || recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
            continue;
        p->ended = true;
        shutdown(p->fd, SHUT_RD);
    }
}

/* ---- start and stop ------------------------------------------------------ */

struct http *http_start(const struct http_config *config, struct err *err)
{
    struct http *h = xcalloc(1, sizeof *h);
    const union MHD_DaemonInfo *info;
    int fd;

    h->config = *config;
    for (int i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        h->peer[i].fd = -1;
    fd = listen_on(h, err);
    if (fd < 0)
        goto fail;
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S, MHD_OPTION_END);
    if (h->daemon == NULL) {
        err_set(err, ERR_OS, "http: libmicrohttpd does not start");
        goto fail;
    }
    info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL || info->epoll_fd < 0) {
        err_set(err, ERR_OS, "http: libmicrohttpd has no epoll");
        goto fail;
    }
    h->epoll_fd = info->epoll_fd;
    return h;

fail:
    http_stop(h);
    return NULL;
}

void http_stop(struct http *h)
{
    if (h == NULL)
        return;
    if (h->daemon != NULL)
        MHD_stop_daemon(h->daemon);
    free(h);
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

int http_fd(const struct http *h)
{
    return h->epoll_fd;
}

void http_run(struct http *h)
{
    MHD_run(h->daemon);
    find_ended(h);
}

int64_t http_wait_ms(const struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;

    return MHD_get_timeout(h->daemon, &ms) == MHD_YES ? (int64_t)ms : INT64_MAX;
}
