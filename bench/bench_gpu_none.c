/* A build without CUDA. */
#include "bench/bench.h"

static int refuse(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "built without CUDA (cmake --preset cuda has it)");
}

int bench_engine(int argc, char **argv, struct err *err)
{
    (void)argc;
    (void)argv;
    return refuse(err);
}

int bench_kernels(int argc, char **argv, struct err *err)
{
    (void)argc;
    (void)argv;
    return refuse(err);
}
