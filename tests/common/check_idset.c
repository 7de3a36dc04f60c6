/* Which ids were given before, however few of them fit in memory. */
#include "common/idset.h"

#include <string.h>

#include "tests/common/run.h"

static int go_on(void *arg)
{
    (void)arg;
    return 0;
}

static int stop(void *arg)
{
    (void)arg;
    return 1;
}

static void add(struct idset *s, uint64_t a, uint64_t b, uint64_t line)
{
    uint64_t hash[2] = {a, b};
    uint8_t bytes[16];
    struct err err;

    memcpy(bytes, hash, sizeof bytes);
    ck_assert_int_eq(idset_add(s, bytes, line, &err), 0);
}

static void expect(struct idset *s, uint64_t line, uint64_t first_line)
{
    struct idset_duplicate d;
    struct err err;

    ck_assert_int_eq(idset_next(s, &d, &err), 1);
    ck_assert_uint_eq(d.line, line);
    ck_assert_uint_eq(d.first_line, first_line);
}

static void expect_end(struct idset *s)
{
    struct idset_duplicate d;
    struct err err;

    ck_assert_int_eq(idset_next(s, &d, &err), 0);
    idset_destroy(s);
}

START_TEST(none)
{
    struct idset *s = idset_create("/tmp", 10);
    struct err err;

    ck_assert_int_eq(idset_finish(s, go_on, NULL, &err), 0);
    expect_end(s);
    s = idset_create("/tmp", 10);
    add(s, 0, 0, 1); /* hashes that differ in one half, and zero */
    add(s, 0, 1, 2);
    add(s, 1, 0, 3);
    ck_assert_uint_eq(idset_count(s), 3);
    ck_assert_int_eq(idset_finish(s, go_on, NULL, &err), 0);
    expect_end(s);
}
END_TEST

START_TEST(by_line_with_the_first)
{
    for (size_t run = 1; run < 12; run++) {
        struct idset *s = idset_create("/tmp", run);
        struct err err;

        add(s, 9, 9, 2);
        add(s, 1, 1, 3);
        add(s, 9, 9, 5);
        add(s, 0, 0, 6);
        add(s, 1, 1, 7);
        add(s, 9, 9, 8);
        add(s, 5, 5, 9);
        add(s, 0, 0, 10);
        ck_assert_int_eq(idset_finish(s, go_on, NULL, &err), 0);
        expect(s, 5, 2);
        expect(s, 7, 3);
        expect(s, 8, 2);
        expect(s, 10, 6);
        expect_end(s);
    }
}
END_TEST

/* As many as a job of a million lines has, each given twice, far apart. */
START_TEST(far_apart)
{
    enum {
        N = 100000
    };
    struct idset *s = idset_create("/tmp", 777);
    struct err err;

    for (uint64_t i = 0; i < 2 * N; i++)
        add(s, i % N * UINT64_C(0x9E3779B97F4A7C15), i % N, i + 1);
    ck_assert_int_eq(idset_finish(s, go_on, NULL, &err), 0);
    for (uint64_t i = 0; i < N; i++)
        expect(s, N + i + 1, i + 1);
    expect_end(s);
}
END_TEST

START_TEST(stops_when_told)
{
    struct idset *s = idset_create("/tmp", 10000);
    struct err err;

    for (uint64_t i = 0; i < 200000; i++)
        add(s, i, i, i + 1);
    ck_assert_int_eq(idset_finish(s, stop, NULL, &err), -1);
    idset_destroy(s);
    idset_destroy(NULL);
}
END_TEST

int main(void)
{
    return RUN_TESTS("idset", none, by_line_with_the_first, far_apart,
                     stops_when_told);
}
