/* common/comm.h over NCCL on real GPUs: one process and one GPU per rank.
 *
 * Usage: check_comm_nccl [RANKS]      1 without it
 * Prints a line per case; exit 1 when one failed, 77 without a GPU.
 */
#include <cuda_runtime_api.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/comm.h"
#include "cuda/comm_nccl.h"
#include "cuda/devices.h"

#define SIZE_MAX_RANKS 8
#define HOST_MAX ((size_t)5 << 20)
#define DEVICE_BYTES ((size_t)1 << 30)
#define TICK_BYTES ((size_t)256 << 10)
#define TIMEOUT_MS 20000
#define SHORT_MS 1500
#define CASE_MS 60000

#define NEED(cond)                                                            \
    do {                                                                      \
        if (!(cond)) {                                                        \
            printf("  rank %d, line %d: %s (%s)\n", c->rank, __LINE__, #cond, \
                   err.text);                                                 \
            return 1;                                                         \
        }                                                                     \
    } while (0)

static uint32_t next(uint32_t *x)
{
    return (*x = *x * 1664525u + 1013904223u) >> 8;
}

static void fill(unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (unsigned char)((i * 31 + seed * 7919) >> 3 ^ seed);
}

static bool is_filled(const unsigned char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != (unsigned char)((i * 31 + seed * 7919) >> 3 ^ seed))
            return false;
    return true;
}

static size_t random_len(uint32_t *x)
{
    static const size_t edge[] = {0, 1, (size_t)1 << 20, ((size_t)1 << 20) + 3};

    return next(x) % 2 == 0 ? edge[next(x) % 4] : next(x) % HOST_MAX;
}

/* Broadcasts from every rank, gathers to every rank, of any size. */
static int mixed(struct comm *c)
{
    unsigned char *mine = xcalloc(1, HOST_MAX);
    unsigned char *all = xcalloc((size_t)c->size, HOST_MAX);
    uint32_t x = 20261125;
    struct err err = {0};

    for (uint32_t round = 0; round < 60; round++) {
        int root = (int)(next(&x) % (uint32_t)c->size);
        size_t sizes[SIZE_MAX_RANKS], at = 0;
        int rc;

        if (round % 2 == 0) {
            size_t len = random_len(&x);

            if (c->rank == root)
                fill(mine, len, round);
            NEED(comm_broadcast(c, mine, len, root, TIMEOUT_MS, &err) == 0);
            NEED(is_filled(mine, len, round));
            continue;
        }
        for (int i = 0; i < c->size; i++)
            sizes[i] = random_len(&x);
        fill(mine, sizes[c->rank], round + 100u * (uint32_t)c->rank);
        NEED(comm_gather_begin(c, mine, sizes, all, root, TIMEOUT_MS, &err)
             == 0);
        while ((rc = comm_poll(c, round % 4, &err)) == 0)
            ;
        NEED(rc == 1);
        for (int i = 0; i < c->size && c->rank == root; i++) {
            NEED(is_filled(all + at, sizes[i], round + 100u * (uint32_t)i));
            at += sizes[i];
        }
    }
    free(mine);
    free(all);
    return 0;
}

/* Device memory in one call, as weights go. */
static int device(struct comm *c)
{
    unsigned char part[4096];
    struct err err = {0};
    void *at = NULL;
    int64_t us;

    NEED(cudaMalloc(&at, DEVICE_BYTES) == cudaSuccess);
    NEED(cudaMemset(at, c->rank == 0 ? 0x5a : 0, DEVICE_BYTES) == cudaSuccess);
    for (int i = 0; i < 2; i++) { /* the first connects the ranks */
        us = clock_now_us();
        NEED(comm_broadcast(c, at, DEVICE_BYTES, 0, TIMEOUT_MS, &err) == 0);
        us = clock_now_us() - us;
    }
    for (size_t k = 0; k < 3; k++) {
        size_t from = k * (DEVICE_BYTES - sizeof part) / 2;

        NEED(cudaMemcpy(part, (char *)at + from, sizeof part,
                        cudaMemcpyDeviceToHost)
             == cudaSuccess);
        for (size_t i = 0; i < sizeof part; i++)
            NEED(part[i] == 0x5a);
    }
    if (c->rank == 0)
        printf("  1 GiB of device memory to %d peers: %.1f ms (%.0f GB/s)\n",
               c->size - 1, (double)us / 1e3,
               (double)DEVICE_BYTES / 1e3 / (double)us);
    (void)cudaFree(at);
    return 0;
}

/* What a gather tick costs. */
static int ticks(struct comm *c)
{
    char *send = xcalloc(1, TICK_BYTES);
    char *recv = xcalloc((size_t)c->size, TICK_BYTES);
    size_t sizes[SIZE_MAX_RANKS];
    struct err err = {0};
    int64_t us = 0;

    for (int i = 0; i < c->size; i++)
        sizes[i] = TICK_BYTES;
    for (int i = 0; i < 220; i++) {
        if (i == 20)
            us = clock_now_us();
        NEED(comm_gather(c, send, sizes, recv, 0, TIMEOUT_MS, &err) == 0);
    }
    if (c->rank == 0)
        printf("  a gather of %d x 256 KiB: %.0f us\n", c->size,
               (double)(clock_now_us() - us) / 200);
    free(send);
    free(recv);
    return 0;
}

/* The last rank leaves in the way `how` says while the others gather: they
 * fail, in time.
 */
static int peer_gone(struct comm *c, int how)
{
    size_t sizes[SIZE_MAX_RANKS];
    char *recv = xcalloc((size_t)c->size, HOST_MAX);
    char *send = xcalloc(1, HOST_MAX);
    struct err err = {0};
    int64_t start;

    for (int i = 0; i < c->size; i++)
        sizes[i] = HOST_MAX;
    NEED(comm_gather(c, send, sizes, recv, 0, TIMEOUT_MS, &err) == 0);
    if (c->rank == c->size - 1) {
        raise(how);
        return 0; /* continued by the parent, long after */
    }
    start = clock_now_ms();
    if (c->rank > 0) /* root may take all that this rank sends */
        return 0;
    NEED(comm_gather(c, send, sizes, recv, 0, SHORT_MS, &err) < 0);
    NEED(err.code == ERR_TIMEOUT || err.code == ERR_NCCL);
    NEED(clock_now_ms() - start < SHORT_MS + 7000);
    printf("  rank 0 after %lld ms: %s\n", (long long)(clock_now_ms() - start),
           err.text);
    NEED(comm_broadcast(c, send, 1, 0, SHORT_MS, &err) < 0);
    return 0;
}

static int peer_killed(struct comm *c)
{
    return peer_gone(c, SIGKILL);
}

static int peer_stopped(struct comm *c)
{
    return peer_gone(c, SIGSTOP);
}

/* ---- processes ----------------------------------------------------------- */

struct test {
    const char *name;
    int (*run)(struct comm *c); /* 0: passed */
    int ranks_min;
    bool loses_one; /* the last rank does not end by itself */
};

static const struct test tests[] = {
    {"broadcast and gather, any size", mixed, 1, false},
    {"weights", device, 1, false},
    {"gather ticks", ticks, 1, false},
    {"a peer killed inside a gather", peer_killed, 2, true},
    {"a peer stopped inside a gather", peer_stopped, 2, true},
};

static int child(const struct test *t, void *shared, int rank, int size)
{
    struct err err = {0};
    struct comm *local = comm_local_join(shared, rank, size, &err);
    struct comm *c;
    int64_t us = clock_now_us();
    int rc;

    if (cuda_devices(NULL, 0, &err) <= rank) {
        printf("  rank %d: no GPU for it\n", rank);
        return 77;
    }
    c = local == NULL ? NULL : comm_nccl_join(local, rank, TIMEOUT_MS, &err);
    if (c == NULL) {
        printf("  rank %d: %s\n", rank, err.text);
        return err.code == ERR_NOT_FOUND ? 77 : 1;
    }
    if (rank == 0 && t == tests)
        printf("  joined in %.0f ms\n", (double)(clock_now_us() - us) / 1e3);
    rc = t->run(c);
    fflush(stdout);
    if (t->loses_one)
        _exit(rc); /* the peers are not there to say goodbye to */
    comm_destroy(c);
    comm_destroy(local);
    return rc;
}

/* 0: passed; 77: no library; else failed. */
static int run(const struct test *t, int size)
{
    void *shared = mmap(NULL, comm_local_bytes(size), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid[SIZE_MAX_RANKS];
    int64_t until = clock_now_ms() + CASE_MS;
    int worst = 0;

    comm_local_format(shared, size);
    for (int i = 0; i < size; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            exit(child(t, shared, i, size));
    }
    for (int i = 0; i < size; i++) {
        const struct timespec nap = {.tv_nsec = 10000000};
        bool lost = t->loses_one && i == size - 1;
        int status = 0;

        if (lost)
            kill(pid[i], SIGKILL);
        while (waitpid(pid[i], &status, WNOHANG) == 0) {
            nanosleep(&nap, NULL);
            if (clock_now_ms() > until)
                kill(pid[i], SIGKILL);
        }
        if (!lost && status != 0)
            worst = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    munmap(shared, comm_local_bytes(size));
    return worst;
}

int main(int argc, char **argv)
{
    int size = argc > 1 ? atoi(argv[1]) : 1, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (size < 1 || size > SIZE_MAX_RANKS)
        return 2;
    comm_nccl_environment();
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        int rc;

        if (size < tests[i].ranks_min)
            continue;
        rc = run(&tests[i], size);
        if (rc == 77)
            return 77;
        printf("%s  %s (%d rank%s)\n", rc == 0 ? "ok  " : "FAIL", tests[i].name,
               size, size > 1 ? "s" : "");
        failed += rc != 0;
    }
    return failed > 0;
}
