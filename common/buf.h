/* common/buf.h - growable byte buffer
 *
 * Owns its bytes. A failed allocation ends the program with a message: buffers
 * are bounded by their users (limits.h), so running out means a broken host.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* data[len] is always '\0' once anything was added */
    size_t len; /* bytes, without that terminator */
    size_t cap;
};

#define BUF_INIT ((struct buf){0})

/* Make room for `extra` more bytes and return where they go. */
char *buf_reserve(struct buf *b, size_t extra);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Forget the content, keep the memory. */
void buf_clear(struct buf *b);

/* Release the memory; the buffer may be used again. */
void buf_free(struct buf *b);

/* Drop the first `n` bytes. n <= len. */
void buf_consume(struct buf *b, size_t n);

/* calloc, realloc, strdup and memdup that end the program when memory is out:
 * for small objects whose number is bounded.
 */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

#endif /* COMMON_BUF_H */
