/* common/source.h - a file as a stream of its bytes, unpacked if it is packed
 *
 * gzip and zstd are told by their first bytes, so that standard input can be
 * either; no JSON begins like them. Several members or frames one after another
 * are one stream, as gzip and zstd have it. The only includer of zlib.h.
 *
 * Memory does not depend on what is in the file: 64 KiB of input, and what the
 * format looks back to, which is 32 KiB (gzip) or at most 128 MiB (zstd, as its
 * own command line does without --long=28 and more).
 */
#ifndef COMMON_SOURCE_H
#define COMMON_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define SOURCE_WINDOW_LOG_MAX 27 /* 128 MiB */

struct source;

/* Read `fd`, which stays the caller's, from its current position. `name` (kept
 * by reference) begins every error text; one that ends in .gz or .zst promises
 * that format. ERR_INVALID when the promise is broken; ERR_IO.
 */
struct source *source_open(int fd, const char *name, struct err *err);
void source_close(struct source *s); /* NULL is allowed */

bool source_is_packed(const struct source *s);

/* Fill `out` with up to `len` bytes. Fewer come only at the end; 0: there is
 * nothing left. -1: ERR_INVALID when packed bytes are damaged or end early,
 * naming their offset and the line that was being read; ERR_IO, ERR_NOMEM.
 */
int64_t source_read(struct source *s, void *out, size_t len, struct err *err);

/* Begin again, at offset `fd_offset` of the file. ERR_IO. */
int source_rewind(struct source *s, int64_t fd_offset, struct err *err);

#endif /* COMMON_SOURCE_H */
