#include "worker/packer.h"

#include <check.h>
#include <string.h>

#define N 24

static uint32_t next(uint32_t *x)
{
    return (*x = *x * 1664525u + 1013904223u) >> 8;
}

static int32_t total(const int32_t *take, int32_t n)
{
    int32_t sum = 0;

    for (int32_t i = 0; i < n; i++)
        sum += take[i];
    return sum;
}

/* Random places until all is fed: no step is too large, no place gets more than
 * it has, every token is fed once, and a step is full while there is enough.
 */
START_TEST(never_over_and_never_idle)
{
    struct packer p = {0};
    struct packer_place place[N] = {0};
    int32_t take[N];
    uint32_t x = (uint32_t)_i + 1;
    int32_t n = 1 + (int32_t)(next(&x) % N),
            rows = 1 + (int32_t)(next(&x) % 99);

    for (int32_t i = 0; i < n; i++) {
        place[i].decoding = next(&x) % 3 == 0;
        place[i].left = place[i].decoding ? 1 : (int32_t)(next(&x) % 400);
    }
    for (;;) {
        int32_t left = 0, sum = packer_plan(&p, place, n, rows, take);

        ck_assert_int_eq(sum, total(take, n));
        for (int32_t i = 0; i < n; i++) {
            ck_assert_int_ge(take[i], 0);
            ck_assert_int_le(take[i], place[i].left);
            left += place[i].left;
            place[i].left -= take[i];
        }
        if (left == 0)
            break;
        ck_assert_int_gt(sum, 0);
        ck_assert_int_le(sum, rows);
        for (int32_t i = 0; i < n; i++)
            ck_assert_msg(left <= rows || sum == rows
                              || (sum == rows - 1 && place[i].decoding)
                              || place[i].left == 0,
                          "a step of %d of %d rows, and place %d waits", sum,
                          rows, i);
    }
}
END_TEST

/* Generations take one row each and go first. */
START_TEST(generations_first)
{
    struct packer p = {0};
    struct packer_place place[3] = {{100, false}, {1, true}, {1, true}};
    int32_t take[3];

    ck_assert_int_eq(packer_plan(&p, place, 3, 50, take), 50);
    ck_assert_int_eq(take[0], 48);
    ck_assert_int_eq(take[1], 1);
    ck_assert_int_eq(take[2], 1);
}
END_TEST

/* A document that never ends delays nobody, and is not delayed itself. */
START_TEST(nobody_waits_longer_than_n_steps)
{
    struct packer p = {0};
    struct packer_place place[N];
    int32_t take[N], waited[N] = {0};

    for (int32_t i = 0; i < N; i++)
        place[i] = (struct packer_place){1 << 20, false};
    for (int32_t i = 0; i < N / 2; i++)
        place[2 * i] = (struct packer_place){1, true};
    for (int step = 0; step < 1000; step++) {
        packer_plan(&p, place, N, (int32_t[]){1, 2, 5, 40, 700}[_i], take);
        for (int32_t i = 0; i < N; i++) {
            waited[i] = take[i] > 0 ? 0 : waited[i] + 1;
            ck_assert_msg(waited[i] <= N, "place %d waited %d steps", i,
                          waited[i]);
        }
    }
}
END_TEST

/* With room for all, room is shared; short ones leave theirs to the long. */
START_TEST(room_is_shared)
{
    struct packer p = {0};
    struct packer_place place[4] = {
        {1000, false}, {10, false}, {1000, false}, {0, false}};
    int32_t take[4];

    ck_assert_int_eq(packer_plan(&p, place, 4, 300, take), 300);
    ck_assert_int_eq(take[1], 10);
    ck_assert_int_ge(take[0], 100);
    ck_assert_int_ge(take[2], 100);
    ck_assert_int_eq(take[3], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packer");
    TCase *t = tcase_create("packer");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(t, never_over_and_never_idle, 0, 200);
    tcase_add_test(t, generations_first);
    tcase_add_loop_test(t, nobody_waits_longer_than_n_steps, 0, 5);
    tcase_add_test(t, room_is_shared);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
