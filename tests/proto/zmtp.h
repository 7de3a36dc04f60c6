/* tests/proto/zmtp.h - a peer that speaks just enough ZMTP 3.0 by hand
 *
 * To send what no libzmq would: any frames in any number. NULL mechanism, as a
 * DEALER, over a Unix socket. Nothing is ever read back but the greeting.
 */
#ifndef TESTS_PROTO_ZMTP_H
#define TESTS_PROTO_ZMTP_H

#include <stdbool.h>
#include <stddef.h>

int zmtp_raw(const char *path);     /* connected, nothing said; -1 */
int zmtp_connect(const char *path); /* ready for messages; -1 */
void zmtp_send(int fd, const void *data, size_t len, bool more);

#endif /* TESTS_PROTO_ZMTP_H */
