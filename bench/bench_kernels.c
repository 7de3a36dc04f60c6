#include "bench/bench.h"

int bench_kernels(int argc, char **argv, struct err *err)
{
    (void)argc;
    (void)argv;
    return err_set(err, ERR_INTERNAL, "todo");
}
