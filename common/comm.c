#include "common/comm.h"

#include <assert.h>

int comm_broadcast(struct comm *c, void *data, size_t len, int root,
                   int64_t timeout_ms, struct err *err)
{
    assert(root >= 0);
    assert(root < c->size);
    return c->ops->broadcast(c, data, len, root, timeout_ms, err);
}

int comm_gather(struct comm *c, const void *send, const size_t *sizes,
                void *recv, int root, int64_t timeout_ms, struct err *err)
{
    assert(root >= 0);
    assert(root < c->size);
    return c->ops->gather(c, send, sizes, recv, root, timeout_ms, err);
}

void comm_destroy(struct comm *c)
{
    if (c != NULL)
        c->ops->destroy(c);
}
