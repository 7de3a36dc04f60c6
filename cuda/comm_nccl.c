/* Every collective is a train of operations on one stream of low priority,
 * closed by an event; wait_some() is the only place that waits.
 *
 * Bytes in host memory travel through a pair of buffers, pinned and on the
 * device: a gather in rounds of ROUND_BYTES of each rank, so that its memory is
 * bounded whatever the ranks bring.
 */
#include "cuda/comm_nccl.h"

#include <assert.h>
#include <dlfcn.h>
#include <glob.h>
#include <nccl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"
#include "cuda/cu.h"

#define ROUND_BYTES ((size_t)1 << 20) /* four gather ticks */
#define NAP_US 50
#define ABORT_MS 5000
#define VERSION_MIN 21400 /* the first with ncclConfig_t */

/* ---- the library --------------------------------------------------------- */

#define FUNCTIONS(X)          \
    X(ncclGetVersion)         \
    X(ncclGetUniqueId)        \
    X(ncclCommInitRankConfig) \
    X(ncclCommGetAsyncError)  \
    X(ncclBroadcast)          \
    X(ncclSend)               \
    X(ncclRecv)               \
    X(ncclGroupStart)         \
    X(ncclGroupEnd)           \
    X(ncclCommFinalize)       \
    X(ncclCommDestroy)        \
    X(ncclCommAbort)          \
    X(ncclGetErrorString)     \
    X(ncclGetLastError)

static struct {
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
    bool loaded;
} nccl;

/* After the loader's own places: what pip installs. */
static const char *const places[] = {
    "/usr/local/cuda/lib64/libnccl.so.2",
    "/usr/local/lib/python3*/*-packages/nvidia/nccl/lib/libnccl.so.2",
    "/usr/lib/python3*/*-packages/nvidia/nccl/lib/libnccl.so.2",
    "/opt/*/lib/python3*/site-packages/nvidia/nccl/lib/libnccl.so.2",
};

static void *open_place(const char *pattern)
{
    glob_t found;
    void *lib = NULL;

    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && lib == NULL; i++)
        lib = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return lib;
}

static void *open_library(struct err *err)
{
    const char *given = getenv("SKEIN_NCCL");
    void *lib;

    if (given != NULL && given[0] != '\0') {
        lib = dlopen(given, RTLD_NOW | RTLD_LOCAL);
        if (lib == NULL)
            err_set(err, ERR_NOT_FOUND, "SKEIN_NCCL: %s", dlerror());
        return lib;
    }
    lib = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < sizeof places / sizeof *places && lib == NULL; i++)
        lib = open_place(places[i]);
    if (lib == NULL)
        err_set(err, ERR_NOT_FOUND,
                "libnccl.so.2 is not where the loader looks, nor in CUDA's or"
                " Python's folders; SKEIN_NCCL=FILE names it");
    return lib;
}

/* Never unloaded. */
static int load(struct err *err)
{
    int version = 0;
    void *lib;

    if (nccl.loaded)
        return 0;
    lib = open_library(err);
    if (lib == NULL)
        return -1;
#define RESOLVE(name)                                       \
    if ((*(void **)&nccl.name = dlsym(lib, #name)) == NULL) \
        return err_set(err, ERR_NOT_FOUND, "libnccl.so.2 has no " #name);
    FUNCTIONS(RESOLVE)
#undef RESOLVE
    if (nccl.ncclGetVersion(&version) != ncclSuccess || version < VERSION_MIN)
        return err_set(err, ERR_NOT_FOUND,
                       "libnccl.so.2 is version %d; %d or later expected",
                       version, VERSION_MIN);
    nccl.loaded = true;
    return 0;
}

void comm_nccl_environment(void)
{
    (void)setenv("NCCL_NVLS_ENABLE", "0", 0);
    (void)setenv("NCCL_SOCKET_IFNAME", "lo", 0); /* ranks share a host */
    (void)setenv("NCCL_RAS_ENABLE", "0", 0);
}

/* ---- a communicator ------------------------------------------------------ */

/* What must be done when the operations on the stream are. */
enum phase {
    IDLE,
    CALLED,  /* NCCL has not put all of it on the stream yet */
    RUNNING, /* up to the event */
};

struct gather {
    const char *send;
    char *recv;
    size_t *sizes; /* [size] */
    int root;
    size_t at;   /* bytes of each rank that are through */
    size_t most; /* of any rank */
};

struct comm_nccl {
    struct comm base;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t event;
    char *pinned, *staged; /* [size][ROUND_BYTES] in host, device memory */
    enum phase phase;
    const char *call; /* the one that is open, for error texts */
    int64_t timeout_ms, deadline_ms;
    struct gather gather;
};

struct aborting {
    ncclComm_t comm;
    _Atomic bool done;
};

static void *abort_main(void *arg)
{
    struct aborting *a = arg;

    (void)nccl.ncclCommAbort(a->comm);
    atomic_store(&a->done, true);
    return NULL;
}

static void nap(int64_t us)
{
    const struct timespec t = {.tv_nsec = us * 1000};

    nanosleep(&t, NULL);
}

/* An abort may hang itself: then it is left behind, and its memory, for the
 * supervisor's SIGKILL.
 */
static void abort_comm(struct comm_nccl *c)
{
    struct aborting *a = xcalloc(1, sizeof *a);
    int64_t until = clock_now_ms() + ABORT_MS;
    pthread_t thread;

    a->comm = c->comm;
    c->comm = NULL;
    if (a->comm == NULL || pthread_create(&thread, NULL, abort_main, a) != 0) {
        free(a);
        return;
    }
    (void)pthread_detach(thread);
    while (!atomic_load(&a->done) && clock_now_ms() < until)
        nap(1000);
    if (atomic_load(&a->done))
        free(a);
}

static int fail(struct comm_nccl *c, ncclResult_t rc, struct err *err)
{
    const char *more = nccl.ncclGetLastError(c->comm);

    err_set(err, ERR_NCCL, "comm %s: NCCL: %s%s%s", c->call,
            nccl.ncclGetErrorString(rc),
            more != NULL && more[0] != '\0' ? ": " : "",
            more != NULL ? more : "");
    abort_comm(c);
    return -1;
}

/* NCCL took the call, now or soon. */
static int took(struct comm_nccl *c, ncclResult_t rc, struct err *err)
{
    return rc == ncclSuccess || rc == ncclInProgress ? 0 : fail(c, rc, err);
}

static int cuda(struct comm_nccl *c, int rc)
{
    if (rc < 0)
        abort_comm(c);
    return rc;
}

/* 1: what was called is on the stream; 0: not yet; -1 */
static int called(struct comm_nccl *c, struct err *err)
{
    ncclResult_t state = ncclSuccess, rc;

    rc = nccl.ncclCommGetAsyncError(c->comm, &state);
    if (rc != ncclSuccess || (state != ncclSuccess && state != ncclInProgress))
        return fail(c, rc != ncclSuccess ? rc : state, err);
    return state == ncclSuccess;
}

/* 1: the event was reached; 0: not yet; -1 */
static int reached(struct comm_nccl *c, struct err *err)
{
    cudaError_t rc = cudaEventQuery(c->event);

    if (rc == cudaSuccess)
        return 1;
    if (rc != cudaErrorNotReady)
        return cuda(c, CU(rc, err));
    return called(c, err) < 0 ? -1 : 0;
}

/* Repeat `check` until it gives 1 or -1, or `until_ms`: then 0; past the call's
 * deadline -1.
 */
static int wait_some(struct comm_nccl *c,
                     int (*check)(struct comm_nccl *, struct err *),
                     int64_t until_ms, struct err *err)
{
    int rc;

    while ((rc = check(c, err)) == 0) {
        int64_t now = clock_now_ms();

        if (now >= c->deadline_ms) {
            err_set(err, ERR_TIMEOUT, "comm %s: not done in %lld ms", c->call,
                    (long long)c->timeout_ms);
            abort_comm(c);
            return -1;
        }
        if (now >= until_ms)
            return 0;
        nap(NAP_US);
    }
    return rc;
}

static int wait_all(struct comm_nccl *c,
                    int (*check)(struct comm_nccl *, struct err *),
                    struct err *err)
{
    return wait_some(c, check, INT64_MAX, err) < 0 ? -1 : 0;
}

static void begin(struct comm_nccl *c, const char *call, int64_t timeout_ms)
{
    c->call = call;
    c->timeout_ms = timeout_ms;
    c->deadline_ms = clock_now_ms() + timeout_ms;
}

/* Copy between pinned and device memory. */
static int copy(struct comm_nccl *c, char *to, const char *from, size_t n,
                struct err *err)
{
    return cuda(
        c, CU(cudaMemcpyAsync(to, from, n, cudaMemcpyDefault, c->stream), err));
}

static int close_train(struct comm_nccl *c, struct err *err)
{
    return cuda(c, CU(cudaEventRecord(c->event, c->stream), err));
}

/* ---- broadcast ----------------------------------------------------------- */

/* Of device memory, to the end. */
static int spread(struct comm_nccl *c, void *data, size_t len, int root,
                  struct err *err)
{
    if (took(c,
             nccl.ncclBroadcast(data, data, len, ncclUint8, root, c->comm,
                                c->stream),
             err)
            < 0
        || wait_all(c, called, err) < 0)
        return -1;
    return 0;
}

/* A part of host memory that fits the buffers. */
static int spread_host(struct comm_nccl *c, char *data, size_t len, int root,
                       struct err *err)
{
    const bool at_root = c->base.rank == root;

    if (at_root)
        memcpy(c->pinned, data, len);
    if ((at_root && copy(c, c->staged, c->pinned, len, err) < 0)
        || spread(c, c->staged, len, root, err) < 0
        || (!at_root && copy(c, c->pinned, c->staged, len, err) < 0)
        || close_train(c, err) < 0 || wait_all(c, reached, err) < 0)
        return -1;
    if (!at_root)
        memcpy(data, c->pinned, len);
    return 0;
}

static bool on_device(const void *data)
{
    struct cudaPointerAttributes a = {0};

    if (cudaPointerGetAttributes(&a, data) != cudaSuccess) {
        (void)cudaGetLastError(); /* told by the return value */
        return false;
    }
    return a.type == cudaMemoryTypeDevice;
}

static int nccl_broadcast(struct comm *base, void *data, size_t len, int root,
                          int64_t timeout_ms, struct err *err)
{
    struct comm_nccl *c = (struct comm_nccl *)base;
    char *at = data;

    begin(c, "broadcast", timeout_ms);
    if (len > 0 && on_device(data)) {
        /* Whoever filled it may have done so on any stream. */
        if (cuda(c, CU(cudaDeviceSynchronize(), err)) < 0
            || spread(c, data, len, root, err) < 0 || close_train(c, err) < 0)
            return -1;
        return wait_all(c, reached, err);
    }
    for (size_t n; len > 0; at += n, len -= n) {
        n = len < ROUND_BYTES ? len : ROUND_BYTES;
        if (spread_host(c, at, n, root, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- gather -------------------------------------------------------------- */

/* Bytes that rank i brings in this round. */
static size_t share(const struct gather *g, int i)
{
    size_t left = g->sizes[i] > g->at ? g->sizes[i] - g->at : 0;

    return left < ROUND_BYTES ? left : ROUND_BYTES;
}

static char *place(char *buffers, int i)
{
    return buffers + (size_t)i * ROUND_BYTES;
}

/* One group: everyone's share to root, root's own included. */
static int send_round(struct comm_nccl *c, struct err *err)
{
    const struct gather *g = &c->gather;
    const int own = c->base.rank;
    const size_t n = share(g, own);
    ncclResult_t rc = ncclSuccess, end;

    /* On root its place is where its bytes arrive: it sends from another. */
    char *from = place(c->staged, own == g->root ? c->base.size : 0);
    char *pinned = place(c->pinned, own == g->root ? c->base.size : 0);

    if (n > 0) {
        memcpy(pinned, g->send + g->at, n);
        if (copy(c, from, pinned, n, err) < 0)
            return -1;
    }
    if (took(c, nccl.ncclGroupStart(), err) < 0)
        return -1;
    if (n > 0)
        rc = nccl.ncclSend(from, n, ncclUint8, g->root, c->comm, c->stream);
    for (int i = 0; own == g->root && i < c->base.size; i++) {
        if (share(g, i) > 0 && (rc == ncclSuccess || rc == ncclInProgress))
            rc = nccl.ncclRecv(place(c->staged, i), share(g, i), ncclUint8, i,
                               c->comm, c->stream);
    }
    end = nccl.ncclGroupEnd();
    c->phase = CALLED;
    return took(c, rc == ncclSuccess || rc == ncclInProgress ? end : rc, err);
}

/* What has arrived goes on to host memory. */
static int fetch_round(struct comm_nccl *c, struct err *err)
{
    const struct gather *g = &c->gather;

    for (int i = 0; c->base.rank == g->root && i < c->base.size; i++) {
        if (share(g, i) > 0
            && copy(c, place(c->pinned, i), place(c->staged, i), share(g, i),
                    err)
                   < 0)
            return -1;
    }
    c->phase = RUNNING;
    return close_train(c, err);
}

static void end_round(struct comm_nccl *c)
{
    struct gather *g = &c->gather;
    size_t first = 0;

    for (int i = 0; c->base.rank == g->root && i < c->base.size; i++) {
        memcpy(g->recv + first + g->at, place(c->pinned, i), share(g, i));
        first += g->sizes[i];
    }
    g->at += ROUND_BYTES;
    c->phase = IDLE;
}

/* Has this rank a part in the round? Root has, in all of them. */
static bool takes_part(const struct comm_nccl *c)
{
    const struct gather *g = &c->gather;

    return g->at < (c->base.rank == g->root ? g->most : g->sizes[c->base.rank]);
}

static int nccl_gather(struct comm *base, const void *send, const size_t *sizes,
                       void *recv, int root, int64_t timeout_ms,
                       struct err *err)
{
    struct comm_nccl *c = (struct comm_nccl *)base;
    struct gather *g = &c->gather;

    (void)err;
    begin(c, "gather", timeout_ms);
    memcpy(g->sizes, sizes, (size_t)base->size * sizeof *sizes);
    g->send = send;
    g->recv = recv;
    g->root = root;
    g->at = g->most = 0;
    for (int i = 0; i < base->size; i++)
        g->most = sizes[i] > g->most ? sizes[i] : g->most;
    return 0;
}

static int nccl_poll(struct comm *base, int64_t wait_ms, struct err *err)
{
    struct comm_nccl *c = (struct comm_nccl *)base;
    int64_t until_ms = clock_now_ms() + wait_ms;
    int rc = 1;

    while (rc > 0 && (c->phase != IDLE || takes_part(c))) {
        if (c->phase == IDLE) {
            rc = send_round(c, err) < 0 ? -1 : 1;
        } else if (c->phase == CALLED) {
            rc = wait_some(c, called, until_ms, err);
            if (rc > 0 && fetch_round(c, err) < 0)
                rc = -1;
        } else {
            rc = wait_some(c, reached, until_ms, err);
            if (rc > 0)
                end_round(c);
        }
    }
    return rc;
}

/* ---- joining ------------------------------------------------------------- */

static void nccl_destroy(struct comm *base)
{
    struct comm_nccl *c = (struct comm_nccl *)base;

    if (c->comm != NULL) {
        begin(c, "leave", ABORT_MS);
        if (took(c, nccl.ncclCommFinalize(c->comm), NULL) == 0
            && wait_all(c, called, NULL) == 0)
            (void)nccl.ncclCommDestroy(c->comm);
    }
    (void)cudaFree(c->staged);
    (void)cudaFreeHost(c->pinned);
    if (c->event != NULL)
        (void)cudaEventDestroy(c->event);
    if (c->stream != NULL)
        (void)cudaStreamDestroy(c->stream);
    free(c->gather.sizes);
    free(c);
}

static const struct comm_ops nccl_ops = {
    .name = "nccl",
    .broadcast = nccl_broadcast,
    .gather = nccl_gather,
    .poll = nccl_poll,
    .destroy = nccl_destroy,
};

static int allocate(struct comm_nccl *c, int device, struct err *err)
{
    const size_t bytes = (size_t)(c->base.size + 1) * ROUND_BYTES;
    void *pinned, *staged;
    int low, high;

    if (CU(cudaSetDevice(device), err) < 0
        || CU(cudaDeviceGetStreamPriorityRange(&low, &high), err) < 0
        || CU(cudaStreamCreateWithPriority(&c->stream, cudaStreamNonBlocking,
                                           low),
              err)
               < 0
        || CU(cudaEventCreateWithFlags(&c->event, cudaEventDisableTiming), err)
               < 0
        || CU(cudaHostAlloc(&pinned, bytes, cudaHostAllocDefault), err) < 0)
        return -1;
    c->pinned = pinned;
    if (CU(cudaMalloc(&staged, bytes), err) < 0)
        return -1;
    c->staged = staged;
    return 0;
}

/* What rank 0 tells the others. */
struct address {
    ncclUniqueId id;
    struct err err; /* ERR_NONE: come */
};

static int agree(struct comm *bootstrap, struct address *a, int64_t timeout_ms,
                 struct err *err)
{
    *a = (struct address){0};
    if (bootstrap->rank == 0 && load(&a->err) == 0
        && nccl.ncclGetUniqueId(&a->id) != ncclSuccess)
        err_set(&a->err, ERR_NCCL, "comm join: NCCL: %s",
                nccl.ncclGetLastError(NULL));
    if (comm_broadcast(bootstrap, a, sizeof *a, 0, timeout_ms, err) < 0)
        return -1;
    if (a->err.code == ERR_NONE)
        return load(err);
    return err_set(err, a->err.code, "%s", a->err.text);
}

struct comm *comm_nccl_join(struct comm *bootstrap, int device,
                            int64_t timeout_ms, struct err *err)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    struct address address;
    struct comm_nccl *c;

    if (agree(bootstrap, &address, timeout_ms, err) < 0)
        return NULL;
    c = xcalloc(1, sizeof *c);
    c->base = (struct comm){.ops = &nccl_ops,
                            .rank = bootstrap->rank,
                            .size = bootstrap->size,
                            .device = true};
    c->gather.sizes = xcalloc((size_t)c->base.size, sizeof *c->gather.sizes);
    begin(c, "join", timeout_ms);
    config.blocking = 0;
    if (allocate(c, device, err) < 0
        || took(c,
                nccl.ncclCommInitRankConfig(&c->comm, c->base.size, address.id,
                                            c->base.rank, &config),
                err)
               < 0
        || wait_all(c, called, err) < 0) {
        nccl_destroy(&c->base);
        return NULL;
    }
    return &c->base;
}
