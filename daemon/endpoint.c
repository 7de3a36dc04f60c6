#include "daemon/endpoint.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"

#define IPC "ipc://"

/* The path of an ipc:// endpoint that is a file; NULL for all others. */
static const char *file_of(const char *endpoint)
{
    const char *path;

    if (strncmp(endpoint, IPC, strlen(IPC)) != 0)
        return NULL;
    path = endpoint + strlen(IPC);
    return path[0] == '@' || path[0] == '*' ? NULL : path;
}

static bool somebody_listens(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    bool answered;
    int fd;

    if (strlen(path) >= sizeof addr.sun_path)
        return false; /* too long to bind either */
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    /* EAGAIN: its queue is full, as of a process that is stopped. */
    answered = connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0
               || errno == EAGAIN;
    close(fd);
    return answered;
}

/* Create what is missing of the directories above the path of `endpoint`. */
static int make_directory(const char *endpoint, struct err *err)
{
    const char *path = file_of(endpoint);
    const char *slash = strrchr(path, '/');
    struct err cause;
    char *dir;
    int ret;

    if (slash == NULL || slash == path)
        return 0;
    dir = xstrndup(path, (size_t)(slash - path));
    ret = file_mkdirs(dir, &cause);
    if (ret < 0)
        err_set(err, ERR_UNREACHABLE, "cannot bind %s: %.300s", endpoint,
                cause.text);
    free(dir);
    return ret;
}

int endpoint_prepare(const char *endpoint, struct err *err)
{
    const char *path = file_of(endpoint);
    struct stat st;

    if (path == NULL)
        return 0;
    if (lstat(path, &st) < 0)
        return make_directory(endpoint, err);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_UNREACHABLE,
                       "cannot bind %s: there is a file that is no socket",
                       endpoint);
    if (somebody_listens(path))
        return err_set(err, ERR_UNREACHABLE,
                       "cannot bind %s: another process listens there",
                       endpoint);
    return 0;
}

void endpoint_remove(const char *endpoint)
{
    const char *path = file_of(endpoint);
    struct stat st;

    if (path != NULL && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}
