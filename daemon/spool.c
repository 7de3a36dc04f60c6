#include "daemon/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"

struct spool {
    char *path;
    char *jobs;
    char *staging;
    int lock_fd;
};

static int lock_spool(struct spool *s, struct err *err)
{
    char *name = file_join(s->path, "lock");

    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        err_set(err, ERR_IO, "cannot open %s: %s", name, strerror(errno));
    } else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            err_set(err, ERR_AGAIN,
                    "another coordinator is running on the spool %s", s->path);
        else
            err_set(err, ERR_IO, "cannot lock %s: %s", name, strerror(errno));
        close(s->lock_fd);
        s->lock_fd = -1;
    }
    free(name);
    return s->lock_fd < 0 ? -1 : 0;
}

struct spool *spool_open(const char *path, struct err *err)
{
    struct spool *s = xcalloc(1, sizeof *s);

    s->path = xstrdup(path);
    s->jobs = file_join(path, "jobs");
    s->staging = file_join(path, ".staging");
    s->lock_fd = -1;
    if (file_mkdirs(path, err) < 0 || lock_spool(s, err) < 0
        || file_remove_tree(s->staging, err) < 0
        || file_mkdirs(s->staging, err) < 0 || file_mkdirs(s->jobs, err) < 0
        || file_sync_dir(path, err) < 0) {
        err->code = err->code == ERR_AGAIN ? ERR_AGAIN : ERR_IO;
        spool_close(s);
        return NULL;
    }
    return s;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->path);
    free(s->jobs);
    free(s->staging);
    free(s);
}

const char *spool_path(const struct spool *s)
{
    return s->path;
}

const char *spool_staging(const struct spool *s)
{
    return s->staging;
}

char *spool_registry(const struct spool *s)
{
    return file_join(s->path, "registry.db");
}

static char *db_path(const char *dir, uint64_t job)
{
    char name[32];

    snprintf(name, sizeof name, "%" PRIu64 ".db", job);
    return file_join(dir, name);
}

char *spool_job(const struct spool *s, uint64_t job)
{
    return db_path(s->jobs, job);
}

char *spool_staged(const struct spool *s, uint64_t job)
{
    return db_path(s->staging, job);
}

int spool_sync_jobs(const struct spool *s, struct err *err)
{
    return file_sync_dir(s->jobs, err);
}

int spool_accept(const struct spool *s, uint64_t job, struct err *err)
{
    char *from = spool_staged(s, job);
    char *to = spool_job(s, job);
    int ret = 0;

    if (rename(from, to) < 0)
        ret = err_set(err, ERR_IO, "cannot rename %s to %s: %s", from, to,
                      strerror(errno));
    free(from);
    free(to);
    return ret < 0 ? ret : file_sync_dir(s->jobs, err);
}

void spool_retract(const struct spool *s, uint64_t job)
{
    char *path = spool_job(s, job);

    unlink(path);
    free(path);
    file_sync_dir(s->jobs, NULL);
}

int spool_remove(const struct spool *s, uint64_t job, struct err *err)
{
    static const char *const suffix[] = {"", "-wal"};
    char *path = spool_job(s, job);
    int ret = 0;

    for (size_t i = 0; i < sizeof suffix / sizeof *suffix && ret == 0; i++) {
        struct buf name = BUF_INIT;

        buf_addf(&name, "%s%s", path, suffix[i]);
        if (unlink(name.data) < 0 && errno != ENOENT)
            ret = err_set(err, ERR_IO, "cannot remove %s: %s", name.data,
                          strerror(errno));
        buf_free(&name);
    }
    free(path);
    return ret < 0 ? ret : file_sync_dir(s->jobs, err);
}

void spool_discard(const struct spool *s, uint64_t job)
{
    char *path = spool_staged(s, job);

    unlink(path);
    free(path);
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* "12.db" -> 12; 0 for any other name. */
static uint64_t parse_name(const char *name)
{
    char *end;
    unsigned long long id;

    if (name[0] < '1' || name[0] > '9')
        return 0;
    errno = 0;
    id = strtoull(name, &end, 10);
    return errno == 0 && strcmp(end, ".db") == 0 ? id : 0;
}

int spool_list(const struct spool *s, uint64_t **ids, struct err *err)
{
    DIR *dir = opendir(s->jobs);
    struct dirent *entry;
    size_t n = 0, cap = 0;

    *ids = NULL;
    if (dir == NULL)
        return err_set(err, ERR_IO, "cannot list %s: %s", s->jobs,
                       strerror(errno));
    while ((entry = readdir(dir)) != NULL) {
        uint64_t id = parse_name(entry->d_name);

        if (id == 0)
            continue;
        if (n == cap) {
            cap = cap == 0 ? 64 : 2 * cap;
            *ids = xrealloc(*ids, cap * sizeof **ids);
        }
        (*ids)[n++] = id;
    }
    closedir(dir);
    if (n > 0)
        qsort(*ids, n, sizeof **ids, compare_ids);
    return (int)n;
}

void spool_usage(const struct spool *s, uint64_t *used, uint64_t *avail)
{
    struct statvfs fs;
    struct dirent *entry;
    DIR *dir = opendir(s->jobs);

    *used = *avail = 0;
    if (statvfs(s->path, &fs) == 0)
        *avail = (uint64_t)fs.f_bavail * fs.f_frsize;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat st;

        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0
            && S_ISREG(st.st_mode))
            *used += (uint64_t)st.st_blocks * 512;
    }
    if (dir != NULL)
        closedir(dir);
}
