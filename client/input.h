/* client/input.h - a file of records, as bytes that can be read more than once
 *
 * A path or "-". What is packed (common/source.h) is unpacked on the way, and
 * again from its beginning when an earlier byte is asked for, so that it needs
 * neither memory nor disk. What cannot be read twice is copied, as it is, to an
 * unnamed temporary file first.
 */
#ifndef CLIENT_INPUT_H
#define CLIENT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/source.h"

#define INPUT_SIZE_UNKNOWN UINT64_MAX

struct input {
    const char *name; /* the path, or "standard input" */
    int fd;           /* -1: nothing is open */
    uint64_t size;    /* of what is read; INPUT_SIZE_UNKNOWN of a packed file
                       * before its end was seen */
    struct source *source; /* NULL: not packed */
    uint64_t at;           /* offset of what `source` gives next */
};

#define INPUT_INIT ((struct input){.fd = -1})

/* ERR_INVALID (missing, a directory, not what its name promises), ERR_IO. */
int input_open(const char *path, struct input *in, struct err *err);
void input_close(struct input *in); /* INPUT_INIT or a closed one is allowed */

/* Bytes from `offset`: `len` of them, fewer only at the end. ERR_INVALID when
 * it is damaged, or has changed since it was read first; ERR_IO.
 */
int64_t input_read_at(struct input *in, uint64_t offset, void *out, size_t len,
                      struct err *err);

/* ---- line by line ------------------------------------------------------- */

struct lines {
    struct input *in;
    uint64_t number;  /* of the line last read, from 1 */
    size_t bytes_max; /* of a line; what is longer loses its end */
    /* private */
    uint64_t offset; /* of what follows `block` */
    struct buf block;
    size_t at;
    struct buf line; /* one that does not lie within a block */
    bool end;
};

void lines_open(struct lines *l, struct input *in, size_t bytes_max);
void lines_close(struct lines *l);

/* The next line without "\n" or "\r\n", and without a byte order mark on line
 * 1. Valid until the next call. One longer than bytes_max comes as its first
 * bytes_max + 1 bytes. 1; 0: there is none; -1: as input_read_at().
 */
int lines_next(struct lines *l, const char **text, size_t *len,
               struct err *err);

#endif /* CLIENT_INPUT_H */
