/* tests/model/ahead.h - an asynchronous backend for hosts without a GPU
 *
 * Around one whose submit() does all the work before it returns: a thread
 * computes the steps, as a GPU would, while the caller reads the first and packs
 * a third. The bits are the backend's.
 */
#ifndef TESTS_MODEL_AHEAD_H
#define TESTS_MODEL_AHEAD_H

#include "model/backend.h"

/* An asynchronous backend around `b`, which belongs to it from now on; `b`
 * itself where it is asynchronous already. NULL: ERR_OS, no thread; then `b` is
 * as it was.
 */
struct backend *backend_ahead(struct backend *b, struct err *err);

#endif /* TESTS_MODEL_AHEAD_H */
