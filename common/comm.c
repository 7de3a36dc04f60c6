#include "common/comm.h"

#include <assert.h>

static int check(struct comm *c, const char *call, struct err *err)
{
    assert(!c->gathering);
    if (!c->broken)
        return 0;
    return err_set(err, ERR_TIMEOUT, "comm %s: the communicator is broken",
                   call);
}

/* After a failure nothing is tried again. */
static int note(struct comm *c, int rc)
{
    c->broken = c->broken || rc < 0;
    return rc;
}

int comm_broadcast(struct comm *c, void *data, size_t len, int root,
                   int64_t timeout_ms, struct err *err)
{
    assert(root >= 0);
    assert(root < c->size);
    if (check(c, "broadcast", err) < 0)
        return -1;
    return note(c, c->ops->broadcast(c, data, len, root, timeout_ms, err));
}

int comm_gather_begin(struct comm *c, const void *send, const size_t *sizes,
                      void *recv, int root, int64_t timeout_ms, struct err *err)
{
    assert(root >= 0);
    assert(root < c->size);
    if (check(c, "gather", err) < 0
        || note(c, c->ops->gather(c, send, sizes, recv, root, timeout_ms, err))
               < 0)
        return -1;
    c->gathering = true;
    return 0;
}

int comm_poll(struct comm *c, int64_t wait_ms, struct err *err)
{
    int rc;

    assert(c->gathering);
    rc = note(c, c->ops->poll(c, wait_ms, err));
    c->gathering = rc == 0;
    return rc;
}

int comm_gather(struct comm *c, const void *send, const size_t *sizes,
                void *recv, int root, int64_t timeout_ms, struct err *err)
{
    int rc = comm_gather_begin(c, send, sizes, recv, root, timeout_ms, err);

    while (rc == 0)
        rc = comm_poll(c, timeout_ms, err);
    return rc < 0 ? -1 : 0;
}

void comm_destroy(struct comm *c)
{
    if (c != NULL)
        c->ops->destroy(c);
}
