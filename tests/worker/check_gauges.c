#include "worker/gauges.h"

#include <check.h>
#include <unistd.h>

#include "common/clock.h"

/* This process is the rank: it has memory, and uses its core when it spins. */
START_TEST(a_process)
{
    const struct devices d = {.engine = {"cpu", "cpu"}, .n = 2};
    struct gauges *g = gauges_open(&d);
    int64_t start = clock_now_ms();
    struct gauge busy, none;

    gauges_read(g, 1, getpid(), 1000, &busy);
    ck_assert_uint_gt(busy.memory_used, 100000);
    ck_assert_uint_eq(busy.memory_total, 0);
    ck_assert_uint_eq(busy.utilisation, 0); /* no time has passed */
    while (clock_now_ms() - start < 300)
        ;
    gauges_read(g, 1, getpid(), 1999, &busy);
    ck_assert_uint_eq(busy.utilisation, 0); /* too soon */
    gauges_read(g, 1, getpid(), 2000, &busy);
    ck_assert_uint_gt(busy.utilisation, 0);
    ck_assert_uint_le(busy.utilisation, 100);
    gauges_read(g, 0, 0, 2000, &none);
    ck_assert_uint_eq(none.memory_used, 0);
    gauges_read(g, 0, 999999999, 2000, &none);
    ck_assert_uint_eq(none.memory_used, 0);
    gauges_close(g);
    gauges_close(NULL);
}
END_TEST

/* A GPU that NVML does not know, or no NVML: nothing is known, nothing waits. */
START_TEST(a_gpu_that_is_not_there)
{
    const struct devices d = {.engine = {"cuda:0"}, .n = 1};
    struct gauge gauge;

    for (int i = 0; i < 50; i++) {
        struct gauges *g = gauges_open(&d);

        gauges_read(g, 0, getpid(), 1000, &gauge);
        ck_assert_uint_eq(gauge.memory_used, 0);
        ck_assert_uint_eq(gauge.utilisation, 0);
        gauges_close(g);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gauges");
    TCase *t = tcase_create("gauges");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, a_process);
    tcase_add_test(t, a_gpu_that_is_not_there);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
