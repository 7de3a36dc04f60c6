/* daemon/endpoint.h - the files behind ipc:// endpoints
 *
 * libzmq removes whatever is at an ipc path before it binds and leaves its own
 * file behind. So: look first whether somebody answers there, and clean up.
 */
#ifndef DAEMON_ENDPOINT_H
#define DAEMON_ENDPOINT_H

#include "common/err.h"

/* Make ready to bind: create the missing directories of an ipc:// path (mode
 * 0700), and see that its place is free. ERR_UNREACHABLE when a process listens
 * there already, a file that is no socket is in the way, or mkdir fails.
 * Endpoints other than ipc:// are always fine: their bind fails by itself.
 */
int endpoint_prepare(const char *endpoint, struct err *err);

/* Remove the socket file of an endpoint that was bound by this process. */
void endpoint_remove(const char *endpoint);

#endif /* DAEMON_ENDPOINT_H */
