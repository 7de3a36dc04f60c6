#include "tests/gpu/fake_nccl.h"

#include <nccl.h>
#include <string.h>
#include <unistd.h>

/* nccl.h has no prototypes for functions without parameters. */
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

struct fake fake = {.version = NCCL_VERSION_CODE};

static int progress; /* polls until what was called is done */
static bool called;

/* The one send of a group waits for its receive. */
static struct {
    const void *from;
    void *to;
    size_t n;
} group;

static ncclResult_t call(bool fails, int polls)
{
    progress = polls;
    called = true;
    if (fails)
        return ncclSystemError;
    return polls > 0 ? ncclInProgress : ncclSuccess;
}

ncclResult_t ncclGetVersion(int *version)
{
    *version = fake.version;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 7, sizeof *id);
    return fake.id_fails ? ncclSystemError : ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id,
                                    int rank, ncclConfig_t *config)
{
    (void)size;
    (void)rank;
    if (config->blocking != 0 || id.internal[0] != 7)
        return ncclInvalidArgument;
    *comm = (ncclComm_t)&fake;
    return call(fake.init_fails, fake.init_progress);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    (void)comm;
    *state = ncclSuccess;
    if (progress > 0 && progress-- > 0)
        *state = ncclInProgress;
    else if (called && fake.async_fails)
        *state = ncclRemoteError;
    return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t n,
                           ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream)
{
    (void)root;
    (void)comm;
    (void)stream;
    if (type != ncclUint8)
        return ncclInvalidArgument;
    memmove(recv, send, n);
    return call(fake.call_fails, fake.call_progress);
}

ncclResult_t ncclGroupStart(void)
{
    memset(&group, 0, sizeof group);
    return ncclSuccess;
}

ncclResult_t ncclSend(const void *from, size_t n, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    (void)type;
    (void)peer;
    (void)comm;
    (void)stream;
    group.from = from;
    group.n = n;
    return fake.call_fails ? ncclSystemError : ncclSuccess;
}

ncclResult_t ncclRecv(void *to, size_t n, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    (void)type;
    (void)peer;
    (void)comm;
    (void)stream;
    group.to = to;
    return n == group.n ? ncclSuccess : ncclInvalidArgument;
}

ncclResult_t ncclGroupEnd(void)
{
    if (group.from != NULL && group.to != NULL)
        memmove(group.to, group.from, group.n);
    return call(fake.group_fails, fake.call_progress);
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    (void)comm;
    fake.aborted++;
    while (fake.abort_hangs)
        pause();
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    (void)comm;
    fake.finalized++;
    return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    (void)comm;
    fake.destroyed++;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t rc)
{
    return rc == ncclRemoteError ? "remote" : "system";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return "what the fake says";
}
