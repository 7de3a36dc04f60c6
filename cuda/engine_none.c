/* The CUDA backend of a program that was built without the toolkit. */
#include "model/backend.h"

static struct backend *none_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *options, struct err *err)
{
    (void)w;
    (void)limits;
    (void)options;
    err_set(err, ERR_INVALID,
            "this program was built without CUDA (cmake -DSKEIN_CUDA=on)");
    return NULL;
}

const struct backend_ops backend_cuda = {.name = "cuda", .create = none_create};
