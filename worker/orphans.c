/* Who makes such a file has it open, then mapped as well, and only then closes
 * it. So in the order names, descriptors, mappings a live one cannot be missed.
 */
#include "worker/orphans.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"

#define PREFIX "nccl-"

/* Paths, and which of them are in use. */
struct found {
    char **path; /* [n] */
    bool *used;
    size_t n;
};

static void find(const char *dir, struct found *f)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0
            || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0
            || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
            continue;
        f->path = xrealloc(f->path, (f->n + 1) * sizeof *f->path);
        f->used = xrealloc(f->used, (f->n + 1) * sizeof *f->used);
        f->path[f->n] = file_join(dir, e->d_name);
        f->used[f->n++] = false;
    }
    if (d != NULL)
        closedir(d);
}

/* Mark what `text`, a link or a line of a process's mappings, ends with. */
static void mark(struct found *f, const char *text)
{
    size_t len = strcspn(text, "\n");

    for (size_t i = 0; i < f->n; i++) {
        size_t n = strlen(f->path[i]);

        if (len >= n && strncmp(text + len - n, f->path[i], n) == 0)
            f->used[i] = true;
    }
}

static void mark_open(struct found *f, const char *pid)
{
    char dir[300], link[PATH_MAX + 1];
    struct dirent *e;
    DIR *d;

    snprintf(dir, sizeof dir, "/proc/%s/fd", pid);
    d = opendir(dir);
    while (d != NULL && (e = readdir(d)) != NULL) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, link, PATH_MAX);

        if (n <= 0)
            continue;
        link[n] = '\0';
        mark(f, link);
    }
    if (d != NULL)
        closedir(d);
}

static void mark_mapped(struct found *f, const char *pid)
{
    char path[300], *line = NULL;
    size_t cap = 0;
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    maps = fopen(path, "re");
    while (maps != NULL && getline(&line, &cap, maps) > 0)
        mark(f, line);
    free(line);
    if (maps != NULL)
        fclose(maps);
}

static void each_process(struct found *f,
                         void (*look)(struct found *, const char *pid))
{
    DIR *d = opendir("/proc");
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (isdigit((unsigned char)e->d_name[0]))
            look(f, e->d_name);
    }
    if (d != NULL)
        closedir(d);
}

int orphans_sweep(const char *dir)
{
    struct found f = {0};
    int n = 0;

    find(dir, &f);
    if (f.n > 0) {
        each_process(&f, mark_open);
        each_process(&f, mark_mapped);
    }
    for (size_t i = 0; i < f.n; i++) {
        if (!f.used[i] && unlink(f.path[i]) == 0)
            n++;
        free(f.path[i]);
    }
    free(f.path);
    free(f.used);
    return n;
}
