/* tests/gpu/fake_nccl.h - a libnccl of one rank that does what a test asks for
 *
 * A shared library with NCCL's names; the test finds `fake` in it by dlsym().
 */
#ifndef TESTS_GPU_FAKE_NCCL_H
#define TESTS_GPU_FAKE_NCCL_H

#include <stdbool.h>

#define FAKE_FOR_EVER 1000000000

struct fake {
    int version;       /* what ncclGetVersion() says */
    bool id_fails;     /* ncclGetUniqueId() */
    bool init_fails;   /* at once */
    int init_progress; /* so many ncclInProgress first */
    bool call_fails;   /* broadcast, send: at once */
    bool group_fails;  /* ncclGroupEnd() */
    int call_progress; /* as init_progress, for each of these */
    bool async_fails;  /* ncclCommGetAsyncError() after a call */
    bool abort_hangs;
    int aborted, finalized, destroyed; /* calls so far */
};

#endif /* TESTS_GPU_FAKE_NCCL_H */
