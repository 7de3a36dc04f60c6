/* client/output.h - where lines go: standard output, or a file that appears
 * only when it is complete
 *
 * A file is written under a temporary name beside its place and renamed by
 * output_commit(). A symbolic link is followed, so that the file it names is
 * replaced and not the link; what is not a regular file (a device, a pipe) is
 * written to directly. Every failed write is an error (ERR_IO, and once only);
 * a reader that closed the pipe is ERR_IO with `broken` set, which callers end
 * quietly, as programs in pipes do.
 */
#ifndef CLIENT_OUTPUT_H
#define CLIENT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct output {
    int fd;          /* -1: nothing is open */
    char *path;      /* NULL: standard output */
    char *temporary; /* the name it is written under; NULL: written in place */
    struct buf pending;
    uint64_t lines;
    bool broken; /* the reader of the pipe is gone */
};

/* The file that `path` names: `path` itself, or where the symbolic link points;
 * malloc'ed. NULL: ERR_INVALID, a link to nothing.
 */
char *output_resolve(const char *path, struct err *err);

/* path NULL or "-": standard output. `alone`: nobody else writes this output,
 * so the temporary has a fixed name, and one left by a crash is overwritten.
 */
int output_open(struct output *o, const char *path, bool alone,
                struct err *err);

/* One line; the newline is added. */
int output_line(struct output *o, const char *text, size_t len,
                struct err *err);

/* Write what is buffered. */
int output_flush(struct output *o, struct err *err);

/* Nothing is to be written now: does anybody still read? A watch for
 * rpc_set_watch(); `o` is a struct output. ERR_IO with `broken` set.
 */
int output_watch(void *o, struct err *err);

/* Flush; a file is synced, renamed to its place, and its directory synced. */
int output_commit(struct output *o, struct err *err);

/* Forget a file that was not committed: its temporary is removed. Releases
 * everything; a closed or zeroed output with fd -1 is allowed.
 */
void output_close(struct output *o);

#endif /* CLIENT_OUTPUT_H */
