#include "client/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "common/file.h"

#define PENDING_BYTES (256u << 10) /* one write(2) each */

/* The temporary of "dir/out" is "dir/.out.<pid>.part": hidden, and no two
 * commands share it.
 */
static char *temporary_for(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct buf b = BUF_INIT;

    buf_add(&b, path, (size_t)(name - path));
    buf_addf(&b, ".%s.%ld.part", name, (long)getpid());
    return b.data;
}

int output_open(struct output *o, const char *path, const char *temporary,
                struct err *err)
{
    *o = (struct output){.fd = STDOUT_FILENO};
    if (path == NULL || strcmp(path, "-") == 0)
        return 0;
    if (file_is_dir(path)) {
        o->fd = -1;
        return err_set(err, ERR_INVALID, "%s: is a directory", path);
    }
    o->path = xstrdup(path);
    o->temporary = temporary ? xstrdup(temporary) : temporary_for(path);
    o->fd = open(o->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd >= 0)
        return 0;
    err_set(err, ERR_IO, "%s: cannot create: %s", o->temporary,
            strerror(errno));
    output_close(o);
    return -1;
}

static int fail(struct output *o, const char *what, struct err *err)
{
    o->broken = errno == EPIPE;
    return err_set(err, ERR_IO, "%s: %s: %s",
                   o->path ? o->temporary : "standard output", what,
                   strerror(errno));
}

int output_flush(struct output *o, struct err *err)
{
    const char *p = o->pending.data;
    size_t left = o->pending.len;

    while (left > 0) {
        ssize_t n = write(o->fd, p, left);

        if (n < 0 && errno == EINTR && interrupt_signal() == 0)
            continue;
        if (n < 0)
            return fail(o, "cannot write", err);
        p += n;
        left -= (size_t)n;
    }
    buf_clear(&o->pending);
    return 0;
}

int output_line(struct output *o, const char *text, size_t len, struct err *err)
{
    buf_add(&o->pending, text, len);
    buf_addc(&o->pending, '\n');
    o->lines++;
    if (o->pending.len < PENDING_BYTES)
        return 0;
    return output_flush(o, err);
}

static int sync_parent(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir;
    int ret;

    if (slash == NULL)
        return file_sync_dir(".", err);
    dir = xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    ret = file_sync_dir(dir, err);
    free(dir);
    return ret;
}

int output_commit(struct output *o, struct err *err)
{
    int ret;

    if (output_flush(o, err) < 0)
        return -1;
    if (o->path == NULL)
        return 0;
    if (fsync(o->fd) < 0)
        return fail(o, "cannot sync", err);
    ret = close(o->fd);
    o->fd = -1;
    if (ret < 0)
        return fail(o, "cannot close", err);
    if (rename(o->temporary, o->path) < 0)
        return err_set(err, ERR_IO, "%s: cannot rename %s to it: %s", o->path,
                       o->temporary, strerror(errno));
    free(o->temporary);
    o->temporary = NULL;
    return sync_parent(o->path, err);
}

void output_close(struct output *o)
{
    if (o->path != NULL && o->fd >= 0)
        close(o->fd);
    if (o->temporary != NULL)
        unlink(o->temporary);
    free(o->path);
    free(o->temporary);
    buf_free(&o->pending);
    *o = (struct output){.fd = -1};
}
