#include "common/clock.h"

#include <time.h>

#include "tests/common/run.h"

START_TEST(the_boot_clock_moves_with_time)
{
    struct timespec t = {.tv_nsec = 20000000};
    int64_t before_ms = clock_now_ms(), before_us = clock_now_us();

    nanosleep(&t, NULL);
    ck_assert_int_ge(clock_now_us() - before_us, 20000);
    ck_assert_int_ge(clock_now_ms() - before_ms, 19);
}
END_TEST

START_TEST(unix_time_is_after_this_was_written)
{
    ck_assert_int_gt(clock_unix_ms(), INT64_C(1700000000000));
}
END_TEST

START_TEST(iso8601_of_known_moments)
{
    char out[21];

    clock_iso8601(0, out);
    ck_assert_str_eq(out, "1970-01-01T00:00:00Z");
    clock_iso8601(INT64_C(1709164799999), out);
    ck_assert_str_eq(out, "2024-02-28T23:59:59Z");
    clock_iso8601(INT64_C(1709164800000), out);
    ck_assert_str_eq(out, "2024-02-29T00:00:00Z");
}
END_TEST

int main(void)
{
    return RUN_TESTS("clock", the_boot_clock_moves_with_time,
                     unix_time_is_after_this_was_written,
                     iso8601_of_known_moments);
}
