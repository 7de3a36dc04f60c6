#include "client/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "common/file.h"

#define BLOCK_BYTES (256u << 10)

/* Copy a pipe to a file that has no name, so that nothing can be left behind.
 * The descriptor, or -1.
 */
static int copy_stream(int from, const char *name, struct err *err)
{
    const char *dir = getenv("TMPDIR");
    char block[1 << 16];
    ssize_t n;
    int fd;

    if (dir == NULL || dir[0] != '/')
        dir = "/var/tmp";
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, "%s: cannot create a temporary file: %s",
                       dir, strerror(errno));
    while ((n = read(from, block, sizeof block)) != 0) {
        if (n < 0 && errno == EINTR && interrupt_signal() == 0)
            continue;
        if (n < 0) {
            err_set(err, ERR_IO, "%s: cannot read: %s", name, strerror(errno));
            goto fail;
        }
        if (file_write_all(fd, block, (size_t)n) < 0) {
            err_set(err, ERR_IO, "%s: cannot write a temporary copy of %s: %s",
                    dir, name, strerror(errno));
            goto fail;
        }
    }
    if (lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    err_set(err, ERR_IO, "%s: %s", dir, strerror(errno));
fail:
    close(fd);
    return -1;
}

/* A descriptor at offset 0 that can be read twice, and what it is. */
static int open_file(const char *path, const char *name, struct stat *st,
                     struct err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    int copy;

    if (fd < 0 || fstat(fd, st) < 0) {
        err_set(err, ERR_INVALID, "%s: cannot open: %s", path, strerror(errno));
        goto fail;
    }
    if (S_ISDIR(st->st_mode)) {
        err_set(err, ERR_INVALID,
                "%s: is a directory, not a file of JSON lines", path);
        goto fail;
    }
    if (S_ISREG(st->st_mode) && (!standard || lseek(fd, 0, SEEK_CUR) == 0))
        return fd;
    copy = copy_stream(fd, name, err);
    close(fd);
    if (copy < 0 || fstat(copy, st) == 0)
        return copy;
    fd = copy;
    err_set(err, ERR_IO, "%s: %s", name, strerror(errno));
fail:
    if (fd >= 0)
        close(fd);
    return -1;
}

int input_open(const char *path, struct input *in, struct err *err)
{
    struct stat st;

    *in = INPUT_INIT;
    in->name = strcmp(path, "-") == 0 ? "standard input" : path;
    in->fd = open_file(path, in->name, &st, err);
    if (in->fd < 0)
        return -1;
    in->source = source_open(in->fd, in->name, err);
    if (in->source == NULL) {
        input_close(in);
        return -1;
    }
    in->size = INPUT_SIZE_UNKNOWN;
    if (!source_is_packed(in->source)) {
        source_close(in->source);
        in->source = NULL;
        in->size = (uint64_t)st.st_size;
    }
    return 0;
}

void input_close(struct input *in)
{
    source_close(in->source);
    if (in->fd >= 0)
        close(in->fd);
    *in = INPUT_INIT;
}

static int changed(const struct input *in, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s: changed while it was being read",
                   in->name);
}

static int64_t read_plain(struct input *in, uint64_t offset, char *out,
                          size_t len, struct err *err)
{
    size_t have = 0;

    if (offset >= in->size)
        return 0;
    if (len > in->size - offset)
        len = (size_t)(in->size - offset);
    while (have < len) {
        ssize_t n =
            pread(in->fd, out + have, len - have, (off_t)(offset + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "%s: cannot read: %s", in->name,
                           strerror(errno));
        if (n == 0)
            return changed(in, err);
        have += (size_t)n;
    }
    return (int64_t)have;
}

/* Stand at `offset`, or at the end if that comes first. */
static int seek_packed(struct input *in, uint64_t offset, struct err *err)
{
    char skipped[1 << 14];

    if (offset < in->at) {
        if (source_rewind(in->source, 0, err) < 0)
            return -1;
        in->at = 0;
    }
    while (in->at < offset) {
        size_t len = sizeof skipped;
        int64_t n;

        if (offset - in->at < len)
            len = (size_t)(offset - in->at);
        n = source_read(in->source, skipped, len, err);
        if (n <= 0)
            return (int)n;
        in->at += (uint64_t)n;
    }
    return 0;
}

static int64_t read_packed(struct input *in, uint64_t offset, void *out,
                           size_t len, struct err *err)
{
    int64_t n;

    if (seek_packed(in, offset, err) < 0)
        return -1;
    n = in->at < offset ? 0 : source_read(in->source, out, len, err);
    if (n < 0)
        return -1;
    in->at += (uint64_t)n;
    if ((size_t)n == len && in->at <= in->size)
        return n;
    if (in->size == INPUT_SIZE_UNKNOWN)
        in->size = in->at;
    return in->at == in->size ? n : changed(in, err);
}

int64_t input_read_at(struct input *in, uint64_t offset, void *out, size_t len,
                      struct err *err)
{
    return in->source == NULL ? read_plain(in, offset, out, len, err)
                              : read_packed(in, offset, out, len, err);
}

/* ---- line by line ------------------------------------------------------- */

void lines_open(struct lines *l, struct input *in, size_t bytes_max)
{
    *l = (struct lines){.in = in, .bytes_max = bytes_max};
    buf_reserve(&l->block, BLOCK_BYTES);
}

void lines_close(struct lines *l)
{
    buf_free(&l->block);
    buf_free(&l->line);
}

static int next_block(struct lines *l, struct err *err)
{
    int64_t n = l->end ? 0
                       : input_read_at(l->in, l->offset, l->block.data,
                                       BLOCK_BYTES, err);

    if (n < 0)
        return -1;
    l->block.len = (size_t)n;
    l->at = 0;
    l->offset += (uint64_t)n;
    l->end = n == 0;
    return 0;
}

/* Append to `line` what fits of it. */
static void keep(struct lines *l, const char *data, size_t len)
{
    size_t room = l->bytes_max + 1 - l->line.len;

    buf_add(&l->line, data, len < room ? len : room);
}

static void trim(const struct lines *l, const char **text, size_t *len)
{
    if (*len > 0 && *len <= l->bytes_max && (*text)[*len - 1] == '\r')
        --*len;
    if (l->number == 1 && *len >= 3 && memcmp(*text, "\xEF\xBB\xBF", 3) == 0) {
        *text += 3;
        *len -= 3;
    }
}

int lines_next(struct lines *l, const char **text, size_t *len, struct err *err)
{
    bool any = false;

    buf_clear(&l->line);
    for (;;) {
        const char *from = l->block.data + l->at, *newline;
        size_t left = l->block.len - l->at;

        newline = left == 0 ? NULL : memchr(from, '\n', left);
        if (newline != NULL) {
            *len = (size_t)(newline - from);
            l->at += *len + 1;
            *text = from;
            if (any || *len > l->bytes_max) {
                keep(l, from, *len);
                *text = l->line.data;
                *len = l->line.len;
            }
            break;
        }
        any = any || left > 0;
        keep(l, from, left);
        if (next_block(l, err) < 0)
            return -1;
        if (l->end && !any)
            return 0;
        if (l->end) {
            *text = l->line.data;
            *len = l->line.len;
            break;
        }
    }
    l->number++;
    trim(l, text, len);
    return 1;
}
