/* tests/gpu/suite.h - how a check of the engine begins and ends
 *
 * In one process: a driver that was asked for a GPU does not survive fork().
 */
#ifndef TESTS_GPU_SUITE_H
#define TESTS_GPU_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>

#include "cuda/devices.h"

#define SUITE_SKIPPED 77 /* what the program then returns */

/* Says so where there is none. */
static inline bool suite_without_gpu(void)
{
    struct cuda_device gpu[1];
    struct err err;

    if (cuda_devices(gpu, 1, &err) > 0)
        return false;
    printf("SKIP: no GPU\n");
    return true;
}

/* The program's exit status. Takes the suite. */
static inline int suite_run(Suite *s)
{
    SRunner *r = srunner_create(s);
    int failed;

    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif /* TESTS_GPU_SUITE_H */
