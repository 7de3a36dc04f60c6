#include "worker/faults.h"

#include <check.h>

START_TEST(too_often)
{
    struct faults f = {0};

    ck_assert(!faults_add(&f, 1000));
    ck_assert(!faults_add(&f, 2000));
    ck_assert(faults_add(&f, 3000));
}
END_TEST

START_TEST(rare_ones_are_forgotten)
{
    struct faults f = {0};
    int64_t now = 0;

    for (int i = 0; i < 100; i++)
        ck_assert(!faults_add(&f, now += FAULTS_WINDOW_MS + 1));
}
END_TEST

/* A file full of records that kill: each death is explained by the next. */
START_TEST(records_to_blame)
{
    struct faults f = {0};

    faults_forgive(&f);
    ck_assert_int_eq(f.n, 0);
    for (int i = 0; i < 100; i++) {
        ck_assert(!faults_add(&f, i));
        faults_forgive(&f);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *t = tcase_create("faults");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, too_often);
    tcase_add_test(t, rare_ones_are_forgotten);
    tcase_add_test(t, records_to_blame);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
