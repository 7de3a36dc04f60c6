/* The memory plan: what is counted, and what is said when it does not fit. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/plan.h"

#define MIB ((size_t)1 << 20)

static const struct plan plan = {.weights = 3000 * MIB,
                                 .state = 800 * MIB,
                                 .scratch = 200 * MIB,
                                 .admit = 500 * MIB};

START_TEST(what_fits_is_accepted)
{
    struct err err = {0};

    ck_assert_uint_eq(plan_bytes(&plan), 4000 * MIB);
    ck_assert_int_eq(plan_check(&plan, 4000 * MIB, 64, 4096, &err), 0);
}
END_TEST

START_TEST(what_does_not_fit_names_the_sizes_and_the_remedy)
{
    struct err err = {0};

    ck_assert_int_eq(plan_check(&plan, 4000 * MIB - 1, 64, 4096, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "needs 4000 MiB"));
    ck_assert_ptr_nonnull(strstr(err.text, "has 3999 MiB"));
    ck_assert_ptr_nonnull(strstr(err.text, "64 slots 800"));
    ck_assert_ptr_nonnull(strstr(err.text, "lower tokens_per_step or slots"));
}
END_TEST

START_TEST(admission_comes_before_the_rest)
{
    struct plan small = plan;

    small.admit = 4001 * MIB;
    ck_assert_uint_eq(plan_bytes(&small), 4001 * MIB);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *c = tcase_create("memory");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_test(c, what_fits_is_accepted);
    tcase_add_test(c, what_does_not_fit_names_the_sizes_and_the_remedy);
    tcase_add_test(c, admission_comes_before_the_rest);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
