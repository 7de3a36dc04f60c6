#include "common/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "common/buf.h"

#define IN_BYTES (64u << 10)
#define MAGIC_BYTES 4u
#define GZIP_WINDOW (15 + 16) /* 32 KiB; and gzip, nothing else */

struct source {
    int fd;
    const char *name;
    const struct format *format; /* NULL: plain */
    uint8_t in[IN_BYTES];
    size_t at, end;    /* bytes of `in` that are left */
    bool eof;          /* of the file */
    bool between;      /* members or frames: it may end here */
    uint64_t offset;   /* in the file, of in[at] */
    uint64_t newlines; /* in what was read */
    z_stream gzip;
    bool gzip_open;
    ZSTD_DCtx *zstd;
};

/* One way to pack. */
struct format {
    const char *name;
    const char *suffix;
    /* Does a file begin so? n <= MAGIC_BYTES bytes are there. */
    bool (*is)(const uint8_t *magic, size_t n);
    int (*start)(struct source *s, struct err *err);
    /* Unpack from `in` into out[0..len). Bytes made, which may be none; -1. */
    int64_t (*step)(struct source *s, uint8_t *out, size_t len,
                    struct err *err);
};

/* "x.gz: damaged gzip data at byte 77, in line 3: why" */
static int damaged(const struct source *s, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "%s: the %s data are damaged at byte %" PRIu64
                   ", in line %" PRIu64 ": %s",
                   s->name, s->format->name, s->offset, s->newlines + 1, why);
}

/* ---- gzip --------------------------------------------------------------- */

static bool is_gzip(const uint8_t *magic, size_t n)
{
    return n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

static int gzip_start(struct source *s, struct err *err)
{
    int rc = s->gzip_open ? inflateReset(&s->gzip)
                          : inflateInit2(&s->gzip, GZIP_WINDOW);

    if (rc != Z_OK)
        return err_set(err, ERR_NOMEM, "%s: cannot begin to unpack", s->name);
    s->gzip_open = true;
    return 0;
}

static int64_t gzip_step(struct source *s, uint8_t *out, size_t len,
                         struct err *err)
{
    uInt room = len < UINT32_MAX ? (uInt)len : UINT32_MAX;
    uInt given = (uInt)(s->end - s->at);
    int rc;

    if (s->between && inflateReset(&s->gzip) != Z_OK)
        return err_set(err, ERR_NOMEM, "%s: cannot go on", s->name);
    s->between = false;
    s->gzip.next_in = s->in + s->at;
    s->gzip.avail_in = given;
    s->gzip.next_out = out;
    s->gzip.avail_out = room;
    rc = inflate(&s->gzip, Z_NO_FLUSH);
    s->at += given - s->gzip.avail_in;
    s->offset += given - s->gzip.avail_in;
    if (rc == Z_MEM_ERROR)
        return err_set(err, ERR_NOMEM, "%s: out of memory", s->name);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return damaged(s, s->gzip.msg != NULL ? s->gzip.msg : "not gzip", err);
    s->between = rc == Z_STREAM_END;
    return room - s->gzip.avail_out;
}

/* ---- zstd --------------------------------------------------------------- */

static bool is_zstd(const uint8_t *magic, size_t n)
{
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[] = {0x2a, 0x4d, 0x18}; /* after 0x5? */

    return n >= 4
           && (memcmp(magic, frame, sizeof frame) == 0
               || ((magic[0] & 0xf0) == 0x50
                   && memcmp(magic + 1, skippable, sizeof skippable) == 0));
}

static int zstd_start(struct source *s, struct err *err)
{
    if (s->zstd == NULL)
        s->zstd = ZSTD_createDCtx();
    if (s->zstd == NULL
        || ZSTD_isError(
            ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_and_parameters))
        || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax,
                                               SOURCE_WINDOW_LOG_MAX)))
        return err_set(err, ERR_NOMEM, "%s: cannot begin to unpack", s->name);
    return 0;
}

static int64_t zstd_step(struct source *s, uint8_t *out, size_t len,
                         struct err *err)
{
    ZSTD_inBuffer from = {s->in, s->end, s->at};
    ZSTD_outBuffer to = {out, len, 0};
    size_t rc = ZSTD_decompressStream(s->zstd, &to, &from);

    s->offset += from.pos - s->at;
    s->at = from.pos;
    if (ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
        return err_set(err, ERR_INVALID,
                       "%s: was packed with a window of more than %d MiB; pack "
                       "it again with zstd --long=%d or less",
                       s->name, 1 << (SOURCE_WINDOW_LOG_MAX - 20),
                       SOURCE_WINDOW_LOG_MAX);
    if (ZSTD_isError(rc))
        return damaged(s, ZSTD_getErrorName(rc), err);
    s->between = rc == 0;
    return (int64_t)to.pos;
}

/* ---- both --------------------------------------------------------------- */

static const struct format formats[] = {
    {"gzip", ".gz", is_gzip, gzip_start, gzip_step},
    {"zstd", ".zst", is_zstd, zstd_start, zstd_step},
};
#define N_FORMATS (sizeof formats / sizeof *formats)

/* Once around a read(2). Bytes, 0 at the end, or -1. */
static int64_t read_file(struct source *s, void *out, size_t len,
                         struct err *err)
{
    ssize_t n;

    do {
        n = read(s->fd, out, len);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ERR_IO, "%s: cannot read: %s", s->name,
                       strerror(errno));
    return n;
}

/* Get at least `want` bytes into `in` unless the file ends. */
static int fill(struct source *s, size_t want, struct err *err)
{
    if (s->at > 0) {
        memmove(s->in, s->in + s->at, s->end - s->at);
        s->end -= s->at;
        s->at = 0;
    }
    while (s->end < want && !s->eof) {
        int64_t n = read_file(s, s->in + s->end, IN_BYTES - s->end, err);

        if (n < 0)
            return -1;
        s->eof = n == 0;
        s->end += (size_t)n;
    }
    return 0;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* Look at the first bytes, at what the name promises, and start. */
static int detect(struct source *s, struct err *err)
{
    if (fill(s, MAGIC_BYTES, err) < 0)
        return -1;
    for (size_t i = 0; i < N_FORMATS && s->format == NULL; i++) {
        if (formats[i].is(s->in, s->end))
            s->format = &formats[i];
    }
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (ends_with(s->name, formats[i].suffix) && s->format != &formats[i])
            return err_set(err, ERR_INVALID, "%s: is %s, not %s data", s->name,
                           s->end == 0         ? "empty"
                           : s->format == NULL ? "something else"
                                               : s->format->name,
                           formats[i].name);
    }
    s->between = true;
    return s->format == NULL ? 0 : s->format->start(s, err);
}

struct source *source_open(int fd, const char *name, struct err *err)
{
    struct source *s = xcalloc(1, sizeof *s);

    s->fd = fd;
    s->name = name;
    if (detect(s, err) == 0)
        return s;
    source_close(s);
    return NULL;
}

void source_close(struct source *s)
{
    if (s == NULL)
        return;
    if (s->gzip_open)
        inflateEnd(&s->gzip);
    ZSTD_freeDCtx(s->zstd);
    free(s);
}

bool source_is_packed(const struct source *s)
{
    return s->format != NULL;
}

int source_rewind(struct source *s, int64_t fd_offset, struct err *err)
{
    if (lseek(s->fd, fd_offset, SEEK_SET) < 0)
        return err_set(err, ERR_IO, "%s: cannot read again: %s", s->name,
                       strerror(errno));
    s->format = NULL;
    s->at = s->end = 0;
    s->eof = false;
    s->offset = s->newlines = 0;
    return detect(s, err);
}

/* What is in `in` already, else straight from the file. */
static int64_t plain_step(struct source *s, uint8_t *out, size_t len,
                          struct err *err)
{
    size_t left = s->end - s->at;

    if (left == 0)
        return read_file(s, out, len, err);
    if (len > left)
        len = left;
    memcpy(out, s->in + s->at, len);
    s->at += len;
    return (int64_t)len;
}

/* Unpack until something comes out; 0 at the end. */
static int64_t packed_step(struct source *s, uint8_t *out, size_t len,
                           struct err *err)
{
    for (;;) {
        int64_t n;
        bool dry;

        if (s->at == s->end && fill(s, 1, err) < 0)
            return -1;
        dry = s->at == s->end;
        if (dry && s->between)
            return 0;
        n = s->format->step(s, out, len, err);
        if (n != 0)
            return n;
        if (dry)
            return damaged(s, "they end early; the file was cut off", err);
    }
}

static void count_newlines(struct source *s, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;

    while ((data = memchr(data, '\n', (size_t)(end - data))) != NULL) {
        s->newlines++;
        data++;
    }
}

int64_t source_read(struct source *s, void *out, size_t len, struct err *err)
{
    uint8_t *to = out;
    size_t have = 0;

    while (have < len) {
        int64_t n = s->format == NULL
                        ? plain_step(s, to + have, len - have, err)
                        : packed_step(s, to + have, len - have, err);

        if (n < 0)
            return -1;
        if (n == 0)
            break;
        if (s->format != NULL)
            count_newlines(s, to + have, (size_t)n);
        have += (size_t)n;
    }
    return (int64_t)have;
}
