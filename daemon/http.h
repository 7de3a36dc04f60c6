/* daemon/http.h - GET over HTTP, within the caller's loop
 *
 * The only includer of microhttpd.h. No thread of its own: nothing happens
 * outside http_run(), and that never waits for anybody. What a peer can cost is
 * bounded: HTTP_CONNECTIONS_MAX connections, HTTP_MEMORY_BYTES each, closed
 * after HTTP_IDLE_S without a byte. Bodies of requests are not read.
 */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_MEMORY_BYTES (16u << 10) /* request line and headers */
#define HTTP_IDLE_S 10

struct http;

struct http_answer {
    unsigned status;          /* 404 unless the handler says otherwise */
    const char *content_type; /* static; text/plain by default */
    struct buf body;
};

struct http_config {
    const char *address; /* "127.0.0.1:PORT" or "[::1]:PORT"; 0: any port */
    void (*get)(void *arg, const char *path, struct http_answer *out);
    void *arg;
};

/* Is this an address http_start() would take? ERR_CONFIG. */
int http_check(const char *address, struct err *err);

/* Bind and listen. NULL: ERR_CONFIG, ERR_UNREACHABLE (address in use), ERR_OS.
 */
struct http *http_start(const struct http_config *config, struct err *err);
void http_stop(struct http *h); /* NULL is allowed */

uint16_t http_port(const struct http *h);

/* Readable when http_run() has something to do. */
int http_fd(const struct http *h);

/* Call when readable, and after http_wait_ms() at the latest. */
void http_run(struct http *h);
int64_t http_wait_ms(const struct http *h); /* INT64_MAX: for ever */

#endif /* DAEMON_HTTP_H */
