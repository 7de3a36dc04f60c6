/* tests/daemon/http_peer.h - the other end of an HTTP connection, that never
 * waits: the test runs the loop in between
 */
#ifndef TESTS_DAEMON_HTTP_PEER_H
#define TESTS_DAEMON_HTTP_PEER_H

#include <stddef.h>
#include <stdint.h>

/* Begin to connect to 127.0.0.1:port. */
int http_peer_connect(uint16_t port);

/* All of it must go. */
void http_peer_say(int fd, const void *data, size_t len);
void http_peer_say_text(int fd, const char *text);

/* What has been answered since, as far as it fits a static buffer of 64 KiB. */
const char *http_peer_heard(int fd);

#endif /* TESTS_DAEMON_HTTP_PEER_H */
