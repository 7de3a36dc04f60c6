#include "common/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_DEPTH_MAX 64      /* one open descriptor per level */
#define TEMPORARY_TRIES 1000   /* names left behind by a crash are skipped */
#define READ_BYTES (64u << 10) /* step of a read whose size is unknown */

/* errno as an error that names the operation and the path. */
static int os_error(struct err *err, const char *what, const char *path)
{
    bool missing = errno == ENOENT || errno == ENOTDIR;

    return err_set(err, missing ? ERR_NOT_FOUND : ERR_IO, "%s: %s: %s", path,
                   what, strerror(errno));
}

int file_map(const char *path, struct file_map *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = NULL;
    struct stat st;

    if (fd < 0)
        return os_error(err, "cannot open", path);
    if (fstat(fd, &st) < 0) {
        os_error(err, "cannot stat", path);
        goto fail;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_INVALID, "%s: not a regular file", path);
        goto fail;
    }
    if (st.st_size > 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            os_error(err, "cannot map", path);
            goto fail;
        }
    }
    close(fd);
    *out = (struct file_map){.data = data, .size = (size_t)st.st_size};
    return 0;
fail:
    close(fd);
    return -1;
}

void file_unmap(struct file_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct file_map){0};
}

/* Append fd's bytes to `out`, up to `max` of them. 1 when there are more. */
static int read_fd(int fd, size_t max, struct buf *out)
{
    size_t total = 0;

    for (;;) {
        size_t want = max - total < READ_BYTES ? max - total + 1 : READ_BYTES;
        ssize_t n = read(fd, buf_reserve(out, want), want);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if ((size_t)n > max - total)
            return 1;
        if (n == 0)
            return 0;
        total += (size_t)n;
        out->len += (size_t)n;
    }
}

int file_read(const char *path, size_t max, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t before = out->len;
    int got;

    assert(max < SIZE_MAX);
    if (fd < 0)
        return os_error(err, "cannot open", path);
    got = read_fd(fd, max, out);
    if (got < 0)
        os_error(err, "cannot read", path);
    else if (got > 0)
        err_set(err, ERR_LIMIT, "%s: larger than %zu bytes", path, max);
    close(fd);
    if (got != 0)
        out->len = before;
    *buf_reserve(out, 0) = '\0';
    return got == 0 ? 0 : -1;
}

int file_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Create a file beside `path`; its name, malloc'ed, goes to *name. A counter
 * and O_EXCL instead of mkstemp(): the file gets the mode umask says, since it
 * will be the user's file.
 */
static int open_temporary(const char *path, char **name)
{
    static atomic_uint counter;

    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        struct buf b = BUF_INIT;
        int fd;

        buf_addf(&b, "%s.%ld-%u.tmp", path, (long)getpid(),
                 atomic_fetch_add(&counter, 1u));
        fd = open(b.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            *name = b.data;
            return fd;
        }
        buf_free(&b);
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* The directory part of `path`, malloc'ed; "." when there is none. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int file_replace(const char *path, const void *data, size_t len,
                 struct err *err)
{
    char *name = NULL, *dir;
    int fd = open_temporary(path, &name);
    int ret;

    if (fd < 0)
        return os_error(err, "cannot create a temporary file beside it", path);
    ret = file_write_all(fd, data, len);
    if (ret == 0)
        ret = fsync(fd);
    if (ret < 0)
        os_error(err, "cannot write", name);
    if (close(fd) < 0 && ret == 0)
        ret = os_error(err, "cannot close", name);
    if (ret == 0 && rename(name, path) < 0)
        ret = os_error(err, "cannot rename to it", path);
    if (ret < 0) {
        unlink(name);
        free(name);
        return -1;
    }
    free(name);
    dir = directory_of(path);
    ret = file_sync_dir(dir, err);
    free(dir);
    return ret;
}

int file_scratch(const char *dir, struct err *err)
{
    char *path = file_join(dir, "scratch-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0)
        os_error(err, "cannot create a file", dir);
    else
        unlink(path);
    free(path);
    return fd;
}

int file_write_at(int fd, const void *data, size_t len, uint64_t offset,
                  struct err *err)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(
                err, errno == ENOSPC || errno == EDQUOT ? ERR_AGAIN : ERR_IO,
                "cannot write: %s", strerror(errno));
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int file_read_at(int fd, void *data, size_t len, uint64_t offset,
                 struct err *err)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_IO, "cannot read: %s",
                           n == 0 ? "the file is shorter" : strerror(errno));
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

void file_punch(int fd, uint64_t offset, uint64_t len)
{
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)len)
        < 0)
        return; /* a larger file, until it is closed */
}

int file_sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ret = 0;

    if (fd < 0)
        return os_error(err, "cannot open the directory", path);
    if (fsync(fd) < 0)
        ret = os_error(err, "cannot sync the directory", path);
    close(fd);
    return ret;
}

int file_mkdirs(const char *path, struct err *err)
{
    char *prefix = xstrdup(path);
    int ret = 0;

    for (char *p = prefix; ret == 0 && *p != '\0';) {
        char *end = p + strspn(p, "/");
        char saved;

        end += strcspn(end, "/");
        saved = *end;
        *end = '\0';
        if (mkdir(prefix, 0700) < 0 && !file_is_dir(prefix))
            ret = os_error(err, "cannot create the directory", prefix);
        *end = saved;
        p = end;
    }
    free(prefix);
    return ret;
}

static int remove_entries(int fd, int depth);

/* Remove one name in directory `at`. 0 or -1 with errno. O_NOFOLLOW on the way
 * down: a symbolic link is unlinked, never entered, even if it appears between
 * the two calls.
 */
static int remove_name(int at, const char *name, int depth)
{
    int fd;

    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || remove_entries(fd, depth + 1) < 0)
        return -1;
    return unlinkat(at, name, AT_REMOVEDIR);
}

/* Remove what is in directory `fd`, which is closed. Removing while reading
 * may make readdir() skip names, so passes go on until one finds nothing.
 */
static int remove_entries(int fd, int depth)
{
    DIR *dir = depth > TREE_DEPTH_MAX ? NULL : fdopendir(fd);
    struct dirent *entry;
    int found, saved;

    if (dir == NULL) {
        saved = depth > TREE_DEPTH_MAX ? ELOOP : errno;
        close(fd);
        errno = saved;
        return -1;
    }
    do {
        found = 0;
        rewinddir(dir);
        while ((entry = readdir(dir)) != NULL) {
            const char *name = entry->d_name;

            if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                continue;
            found++;
            if (remove_name(fd, name, depth) < 0) {
                saved = errno;
                closedir(dir);
                errno = saved;
                return -1;
            }
        }
    } while (found > 0);
    closedir(dir);
    return 0;
}

int file_remove_tree(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return os_error(err, "cannot open the directory", path);
    if (remove_entries(fd, 0) < 0 || rmdir(path) < 0)
        return os_error(err, "cannot remove", path);
    return 0;
}

bool file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *file_join(const char *dir, const char *name)
{
    size_t len = strlen(dir);
    struct buf b = BUF_INIT;

    if (name[0] == '/')
        return xstrdup(name);
    buf_adds(&b, dir);
    if (len > 0 && dir[len - 1] != '/')
        buf_addc(&b, '/');
    buf_adds(&b, name);
    return b.data;
}
