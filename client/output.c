#include "client/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/interrupt.h"
#include "common/file.h"

#define PENDING_BYTES (256u << 10) /* one write(2) each */

/* The temporary of "dir/out" is "dir/.out.part": hidden, and in the same file
 * system. With the process id in it, no two commands share it.
 */
static char *temporary_for(const char *path, bool alone)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct buf b = BUF_INIT;

    buf_add(&b, path, (size_t)(name - path));
    buf_addf(&b, ".%s.", name);
    if (!alone)
        buf_addf(&b, "%ld.", (long)getpid());
    buf_adds(&b, "part");
    return b.data;
}

char *output_resolve(const char *path, struct err *err)
{
    struct stat st;
    char *resolved;

    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
        return xstrdup(path);
    resolved = realpath(path, NULL);
    if (resolved == NULL)
        err_set(err, ERR_INVALID, "%s: is a symbolic link that leads nowhere",
                path);
    return resolved;
}

/* A device or a pipe, which a rename would replace by a file? */
static bool is_special(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

int output_open(struct output *o, const char *path, bool alone, struct err *err)
{
    *o = (struct output){.fd = STDOUT_FILENO};
    if (path == NULL || strcmp(path, "-") == 0)
        return 0;
    o->fd = -1;
    if (file_is_dir(path))
        return err_set(err, ERR_INVALID, "%s: is a directory", path);
    if (is_special(path)) {
        o->path = xstrdup(path);
        o->fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        o->path = output_resolve(path, err);
        if (o->path == NULL)
            return -1;
        o->temporary = temporary_for(o->path, alone);
        o->fd =
            open(o->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    if (o->fd >= 0)
        return 0;
    err_set(err, ERR_IO, "%s: cannot open: %s",
            o->temporary ? o->temporary : o->path, strerror(errno));
    free(o->temporary); /* not ours to remove */
    o->temporary = NULL;
    output_close(o);
    return -1;
}

/* The name that failed, for messages. */
static const char *name_of(const struct output *o)
{
    if (o->temporary != NULL)
        return o->temporary;
    return o->path != NULL ? o->path : "standard output";
}

static int fail(struct output *o, const char *what, struct err *err)
{
    o->broken = errno == EPIPE;
    return err_set(err, ERR_IO, "%s: %s: %s", name_of(o), what,
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

int output_watch(void *ctx, struct err *err)
{
    struct output *o = ctx;
    struct pollfd p = {.fd = o->fd};

    if (poll(&p, 1, 0) < 1 || (p.revents & POLLERR) == 0)
        return 0;
    o->broken = true;
    return err_set(err, ERR_IO, "standard output: nobody reads it any more");
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
    if (o->temporary == NULL)
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
    if (o->fd >= 0 && o->fd != STDOUT_FILENO)
        close(o->fd);
    if (o->temporary != NULL)
        unlink(o->temporary);
    free(o->path);
    free(o->temporary);
    buf_free(&o->pending);
    *o = (struct output){.fd = -1};
}
