/* tests/common/run.h - the main() of every Check program
 *
 *     int main(void)
 *     {
 *         return RUN_TESTS("buf", first_test, second_test);
 *     }
 */
#ifndef TESTS_COMMON_RUN_H
#define TESTS_COMMON_RUN_H

#include <check.h>
#include <stdlib.h>

/* Per test. Sanitizers slow everything down about ten times, and the machine
 * may be busy.
 */
#define RUN_TIMEOUT_S 60.0

/* Run one suite; the exit status says whether something failed. */
static inline int run_tests(const char *name, const TTest *const *tests,
                            size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, RUN_TIMEOUT_S);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define RUN_TESTS(name, ...)                             \
    run_tests(name, (const TTest *const[]){__VA_ARGS__}, \
              sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(TTest *))

#endif /* TESTS_COMMON_RUN_H */
