#include "daemon/histogram.h"

#include <math.h>

#include "tests/common/run.h"

START_TEST(bounds_ascend)
{
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++) {
        ck_assert_double_gt(histogram_sync_s[i], histogram_sync_s[i - 1]);
        ck_assert_double_gt(histogram_job_s[i], histogram_job_s[i - 1]);
    }
}
END_TEST

START_TEST(a_bound_belongs_to_its_range)
{
    struct histogram h = {0}, sum = {0};

    histogram_add(&h, histogram_job_s, 0);
    histogram_add(&h, histogram_job_s, 0.1);
    histogram_add(&h, histogram_job_s, 0.11);
    histogram_add(&h, histogram_job_s, 604800);
    histogram_add(&h, histogram_job_s, 604801);
    ck_assert_uint_eq(h.count[0], 2);
    ck_assert_uint_eq(h.count[1], 1);
    ck_assert_uint_eq(h.count[HISTOGRAM_BOUNDS - 1], 1);
    ck_assert_uint_eq(h.count[HISTOGRAM_BOUNDS], 1);
    ck_assert_double_eq_tol(h.sum_s, 1209601.21, 1e-6);
    histogram_merge(&sum, &h);
    histogram_merge(&sum, &h);
    ck_assert_uint_eq(sum.count[0], 4);
    ck_assert_double_eq_tol(sum.sum_s, 2 * h.sum_s, 1e-6);
}
END_TEST

/* A wall clock that was set back in between. */
START_TEST(below_zero_is_zero)
{
    struct histogram h = {0};

    histogram_add(&h, histogram_job_s, -5);
    histogram_add(&h, histogram_job_s, (double)NAN);
    ck_assert_uint_eq(h.count[0], 2);
    ck_assert_double_eq(h.sum_s, 0);
}
END_TEST

int main(void)
{
    return RUN_TESTS("histogram", bounds_ascend, a_bound_belongs_to_its_range,
                     below_zero_is_zero);
}
