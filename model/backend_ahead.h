/* model/backend_ahead.h - steps computed by a thread of their own
 *
 * For backends whose submit() does all the work before it returns: with a
 * second step in its queue the thread goes on while the caller reads the first
 * and packs a third. The bits are the backend's.
 */
#ifndef MODEL_BACKEND_AHEAD_H
#define MODEL_BACKEND_AHEAD_H

#include "model/backend.h"

/* An asynchronous backend around `b`, which belongs to it from now on; `b`
 * itself where it is asynchronous already. NULL: ERR_OS, no thread; then `b` is
 * as it was.
 */
struct backend *backend_ahead(struct backend *b, struct err *err);

#endif /* MODEL_BACKEND_AHEAD_H */
