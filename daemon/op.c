#include "daemon/op.h"

#include <assert.h>
#include <stdlib.h>

struct op *op_create(enum op_kind kind, uint64_t job)
{
    struct op *op = xcalloc(1, sizeof *op);

    op->kind = kind;
    op->job = job;
    return op;
}

void op_free(struct op *op)
{
    if (op == NULL)
        return;
    switch (op->kind) {
    case OP_GRANT:
    case OP_RELEASE:
        free(op->grant.lease);
        break;
    case OP_RESULT:
        buf_free(&op->result.blob);
        break;
    case OP_CHANGE:
        buf_free(&op->change.spec);
        break;
    case OP_RETRY:
        job_image_free(op->retry.image);
        break;
    case OP_READ:
        buf_free(&op->read.data);
        break;
    case OP_STAGE:
    case OP_RESTAGE:
        free(op->stage.duplicate);
        buf_free(&op->stage.input);
        buf_free(&op->stage.rejected);
        buf_free(&op->stage.result);
        break;
    case OP_ACCEPT:
        job_image_free(op->accept.image);
        warnings_clear(&op->accept.warnings);
        break;
    case OP_STATE:
    case OP_REMOVE:
    case OP_DISCARD:
    case OP_USAGE:
        break;
    }
    free(op);
}

struct op_lease *op_add_lease(struct op *op)
{
    assert(op->kind == OP_GRANT || op->kind == OP_RELEASE);
    assert(op->grant.n < OP_LEASES_MAX);
    if ((op->grant.n & (op->grant.n - 1)) == 0) {
        uint32_t cap = op->grant.n == 0 ? 1 : 2 * op->grant.n;

        op->grant.lease =
            xrealloc(op->grant.lease, cap * sizeof(struct op_lease));
    }
    op->grant.lease[op->grant.n] = (struct op_lease){0};
    return &op->grant.lease[op->grant.n++];
}
