/* cuda/comm_nccl.c with every failure that NCCL and CUDA can give it, injected:
 * both are fakes, so no GPU is needed. FAKE_NCCL is the fake library's path.
 */
#include <check.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/comm.h"
#include "cuda/comm_nccl.h"
#include "tests/gpu/fake_nccl.h"

#define SHORT_MS 60
#define LONG_MS 20000

/* ---- a CUDA of host memory ---------------------------------------------- */

static cudaError_t event_says = cudaSuccess, malloc_says = cudaSuccess;
static int streams; /* alive */

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *low, int *high)
{
    *low = *high = 0;
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags,
                                         int priority)
{
    (void)flags;
    (void)priority;
    *s = (cudaStream_t)&streams;
    streams++;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    (void)s;
    streams--;
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    *e = (cudaEvent_t)&event_says;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    (void)e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    (void)e;
    (void)s;
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    (void)e;
    return event_says;
}
cudaError_t cudaMalloc(void **p, size_t n)
{
    *p = malloc_says == cudaSuccess ? malloc(n) : NULL;
    return malloc_says;
}
cudaError_t cudaFree(void *p)
{
    free(p);
    return cudaSuccess;
}
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned flags)
{
    (void)flags;
    *p = malloc(n);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p)
{
    free(p);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n,
                            enum cudaMemcpyKind kind, cudaStream_t s)
{
    (void)kind;
    (void)s;
    memcpy(to, from, n);
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void)
{
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a,
                                     const void *p)
{
    (void)p;
    a->type = cudaMemoryTypeUnregistered;
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}
const char *cudaGetErrorString(cudaError_t rc)
{
    return rc == cudaErrorMemoryAllocation ? "out of memory" : "a CUDA error";
}

/* ---- a communicator of one rank ------------------------------------------ */

static struct fake *fake;
static struct comm *local;
static struct err err;

static void setup(void)
{
    void *lib = dlopen(FAKE_NCCL, RTLD_NOW | RTLD_LOCAL), *shared;

    ck_assert_msg(lib != NULL, "%s", dlerror());
    fake = dlsym(lib, "fake");
    ck_assert_ptr_nonnull(fake);
    setenv("SKEIN_NCCL", FAKE_NCCL, 1);
    shared = mmap(NULL, comm_local_bytes(1), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    comm_local_format(shared, 1);
    local = comm_local_join(shared, 0, 1, &err);
    ck_assert_ptr_nonnull(local);
}

static struct comm *join(int64_t timeout_ms)
{
    err = (struct err){0};
    return comm_nccl_join(local, 0, timeout_ms, &err);
}

static struct comm *joined(void)
{
    struct comm *c = join(LONG_MS);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

static void refused(int64_t timeout_ms, enum err_code code, const char *text)
{
    ck_assert_ptr_null(join(timeout_ms));
    ck_assert_int_eq(err.code, code);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_int_eq(streams, 0);
}

START_TEST(no_library)
{
    setenv("SKEIN_NCCL", "/nonexistent/libnccl.so.2", 1);
    refused(LONG_MS, ERR_NOT_FOUND, "/nonexistent/libnccl.so.2");
}
END_TEST

START_TEST(another_library)
{
    setenv("SKEIN_NCCL", "libm.so.6", 1);
    refused(LONG_MS, ERR_NOT_FOUND, "has no nccl");
}
END_TEST

START_TEST(an_old_library)
{
    fake->version = 2008;
    refused(LONG_MS, ERR_NOT_FOUND, "version 2008");
}
END_TEST

START_TEST(no_address)
{
    fake->id_fails = true;
    refused(LONG_MS, ERR_NCCL, "what the fake says");
}
END_TEST

START_TEST(init_fails)
{
    fake->init_fails = true;
    refused(LONG_MS, ERR_NCCL, "comm join: NCCL: system");
    ck_assert_int_eq(fake->aborted, 1);
}
END_TEST

START_TEST(init_takes_for_ever)
{
    fake->init_progress = FAKE_FOR_EVER;
    refused(SHORT_MS, ERR_TIMEOUT, "comm join: not done in 60 ms");
    ck_assert_int_eq(fake->aborted, 1);
}
END_TEST

START_TEST(init_fails_later)
{
    fake->init_progress = 3;
    fake->async_fails = true;
    refused(LONG_MS, ERR_NCCL, "remote");
    ck_assert_int_eq(fake->aborted, 1);
}
END_TEST

START_TEST(no_device_memory)
{
    malloc_says = cudaErrorMemoryAllocation;
    refused(LONG_MS, ERR_NOMEM, "out of memory");
}
END_TEST

/* Everything late, but not too late; gathers of several rounds. */
START_TEST(slow_is_good)
{
    const size_t n = ((size_t)5 << 19) + 3; /* 2.5 MiB */
    char *send = malloc(n), *recv = malloc(n);
    struct comm *c;
    size_t none = 0;

    fake->init_progress = fake->call_progress = 5;
    c = joined();
    for (size_t i = 0; i < n; i++)
        send[i] = (char)(i * 7 >> 3);
    ck_assert_int_eq(comm_broadcast(c, send, n, 0, LONG_MS, &err), 0);
    ck_assert_int_eq(comm_gather(c, send, &n, recv, 0, LONG_MS, &err), 0);
    ck_assert_int_eq(memcmp(send, recv, n), 0);
    ck_assert_int_eq(comm_gather(c, NULL, &none, recv, 0, LONG_MS, &err), 0);
    ck_assert_int_eq(comm_broadcast(c, NULL, 0, 0, LONG_MS, &err), 0);
    comm_destroy(c);
    ck_assert_int_eq(fake->finalized, 1);
    ck_assert_int_eq(fake->destroyed, 1);
    ck_assert_int_eq(fake->aborted, 0);
    ck_assert_int_eq(streams, 0);
    free(send);
    free(recv);
}
END_TEST

/* One failure, in a broadcast and in a gather. */
static const struct failure {
    const char *name;
    bool call_fails, group_fails, async_fails;
    int call_progress;
    cudaError_t event;
    enum err_code code;
    const char *text;
} failures[] = {
    {"at once", true, true, false, 0, cudaSuccess, ERR_NCCL, "NCCL: system"},
    {"later", false, false, true, 0, cudaSuccess, ERR_NCCL, "NCCL: remote"},
    {"after a while", false, false, true, 4, cudaSuccess, ERR_NCCL, "remote"},
    {"never called", false, false, false, FAKE_FOR_EVER, cudaSuccess,
     ERR_TIMEOUT, "not done in 60 ms"},
    {"never done", false, false, false, 0, cudaErrorNotReady, ERR_TIMEOUT,
     "not done in 60 ms"},
    {"a sick device", false, false, false, 0, cudaErrorLaunchFailure, ERR_CUDA,
     "a CUDA error"},
};
#define N_FAILURES ((int)(sizeof failures / sizeof *failures))

START_TEST(a_call_fails)
{
    const struct failure *f = &failures[_i / 2];
    const bool gather = _i % 2 == 1;
    char data[100] = "", out[100];
    size_t n = sizeof data;
    struct comm *c = joined();
    int64_t start = clock_now_ms();
    int rc;

    fake->call_fails = f->call_fails;
    fake->group_fails = f->group_fails;
    fake->async_fails = f->async_fails;
    fake->call_progress = f->call_progress;
    event_says = f->event;
    rc = gather ? comm_gather(c, data, &n, out, 0, SHORT_MS, &err)
                : comm_broadcast(c, data, n, 0, SHORT_MS, &err);
    ck_assert_msg(rc == -1, "%s", f->name);
    ck_assert_msg(err.code == f->code && strstr(err.text, f->text) != NULL,
                  "%s: %s", f->name, err.text);
    ck_assert_int_eq(fake->aborted, 1);
    ck_assert_int_lt(clock_now_ms() - start, 5000);
    /* From now on it is broken, and says so. */
    ck_assert_int_eq(comm_broadcast(c, data, n, 0, LONG_MS, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "broken"));
    comm_destroy(c);
    ck_assert_int_eq(fake->aborted, 1);
    ck_assert_int_eq(fake->finalized, 0);
    ck_assert_int_eq(streams, 0);
}
END_TEST

/* An abort that hangs itself is left behind. */
START_TEST(abort_hangs)
{
    struct comm *c = joined();
    int64_t start = clock_now_ms();
    char data[8] = "";

    fake->abort_hangs = true;
    fake->call_fails = true;
    ck_assert_int_eq(comm_broadcast(c, data, 8, 0, LONG_MS, &err), -1);
    ck_assert_int_eq(err.code, ERR_NCCL);
    ck_assert_int_ge(clock_now_ms() - start, 4900);
    comm_destroy(c);
}
END_TEST

/* Looked after now and then, a gather costs no time, and its deadline holds. */
START_TEST(polled)
{
    struct comm *c = joined();
    char data[8] = "1234567", out[8] = "";
    size_t n = sizeof data;
    int rc;

    event_says = cudaErrorNotReady;
    ck_assert_int_eq(comm_gather_begin(c, data, &n, out, 0, LONG_MS, &err), 0);
    ck_assert_int_eq(comm_poll(c, 0, &err), 0);
    ck_assert_int_eq(comm_poll(c, 2, &err), 0);
    event_says = cudaSuccess;
    ck_assert_int_eq(comm_poll(c, 0, &err), 1);
    ck_assert_str_eq(out, data);
    event_says = cudaErrorNotReady;
    ck_assert_int_eq(comm_gather_begin(c, data, &n, out, 0, SHORT_MS, &err), 0);
    while ((rc = comm_poll(c, 0, &err)) == 0)
        ;
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    comm_destroy(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("comm_faults");
    TCase *t = tcase_create("comm_faults");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, no_library);
    tcase_add_test(t, another_library);
    tcase_add_test(t, an_old_library);
    tcase_add_test(t, no_address);
    tcase_add_test(t, init_fails);
    tcase_add_test(t, init_takes_for_ever);
    tcase_add_test(t, init_fails_later);
    tcase_add_test(t, no_device_memory);
    tcase_add_test(t, slow_is_good);
    tcase_add_loop_test(t, a_call_fails, 0, 2 * N_FAILURES);
    tcase_add_test(t, abort_hangs);
    tcase_add_test(t, polled);
    tcase_set_timeout(t, 30);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
