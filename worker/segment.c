#include "worker/segment.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/comm.h"

static size_t round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

struct ring *segment_requests(struct segment *s)
{
    return (struct ring *)(void *)((char *)s + round64(sizeof *s));
}

struct ring *segment_answers(struct segment *s)
{
    return (struct ring *)(void *)((char *)segment_requests(s)
                                   + ring_bytes(SEGMENT_REQUEST_BYTES));
}

void *segment_comm(struct segment_group *g)
{
    return (char *)g + round64(sizeof *g);
}

static size_t segment_size(void)
{
    return round64(sizeof(struct segment)) + ring_bytes(SEGMENT_REQUEST_BYTES)
           + ring_bytes(SEGMENT_ANSWER_BYTES);
}

static size_t group_size(int size)
{
    return round64(sizeof(struct segment_group)) + comm_local_bytes(size);
}

static void *map(int fd, size_t size, struct err *err)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        err_set(err, ERR_OS, "mmap of %zu bytes: %s", size, strerror(errno));
        return NULL;
    }
    return at;
}

static int create(const char *name, size_t size, void **out, struct err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        return err_set(err, ERR_OS, "memfd_create: %s", strerror(errno));
    if (ftruncate(fd, (off_t)size) < 0) {
        err_set(err, ERR_OS, "%zu bytes of shared memory: %s", size,
                strerror(errno));
        goto fail;
    }
    *out = map(fd, size, err);
    if (*out == NULL)
        goto fail;
    return fd;
fail:
    close(fd);
    return -1;
}

int segment_create(struct segment **out, struct err *err)
{
    void *at;
    int fd = create("skein-rank", segment_size(), &at, err);

    if (fd < 0)
        return -1;
    *out = at;
    ring_format(segment_requests(*out), SEGMENT_REQUEST_BYTES);
    ring_format(segment_answers(*out), SEGMENT_ANSWER_BYTES);
    return fd;
}

int segment_group_create(int size, struct segment_group **out, struct err *err)
{
    void *at;
    int fd = create("skein-group", group_size(size), &at, err);

    if (fd < 0)
        return -1;
    *out = at;
    comm_local_format(segment_comm(*out), size);
    return fd;
}

struct segment *segment_map(int fd, struct err *err)
{
    struct segment *s = map(fd, segment_size(), err);

    close(fd);
    return s;
}

struct segment_group *segment_group_map(int fd, int size, struct err *err)
{
    struct segment_group *g = map(fd, group_size(size), err);

    close(fd);
    return g;
}

void segment_unmap(struct segment *s)
{
    if (s != NULL)
        munmap(s, segment_size());
}

void segment_group_unmap(struct segment_group *g, int size)
{
    if (g != NULL)
        munmap(g, group_size(size));
}
