#include "worker/ring.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define SIZE 256
#define BYTES ((size_t)1 << 20)

static struct ring *r;

static void setup(void)
{
    r = aligned_alloc(64, ring_bytes(SIZE));
    memset(r, 0, ring_bytes(SIZE));
    ring_format(r, SIZE);
}

static void teardown(void)
{
    free(r);
}

START_TEST(first_in_first_out)
{
    char out[8] = "";

    ck_assert_uint_eq(ring_read(r, out, sizeof out), 0);
    ck_assert_uint_eq(ring_write(r, "hello", 5), 5);
    ck_assert_uint_eq(ring_used(r), 5);
    ck_assert_uint_eq(ring_read(r, out, 2), 2);
    ck_assert_uint_eq(ring_read(r, out + 2, 6), 3);
    ck_assert_str_eq(out, "hello");
    ck_assert_uint_eq(ring_used(r), 0);
}
END_TEST

START_TEST(a_full_ring_takes_a_part)
{
    char in[SIZE + 10], out[SIZE + 10];

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)i;
    ck_assert_uint_eq(ring_write(r, in, sizeof in), SIZE);
    ck_assert_uint_eq(ring_write(r, in, 1), 0);
    ck_assert_uint_eq(ring_read(r, out, 7), 7);
    ck_assert_uint_eq(ring_write(r, in + SIZE, 10), 7); /* wraps around */
    ck_assert_uint_eq(ring_read(r, out + 7, sizeof out), SIZE);
    ck_assert_mem_eq(in, out, SIZE + 7);
}
END_TEST

static uint32_t next(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static void *write_all(void *arg)
{
    const unsigned char *data = arg;
    size_t done = 0;
    uint32_t x = 1;

    while (done < BYTES) {
        size_t n = (next(&x) >> 16) % 300 + 1;

        n = n < BYTES - done ? n : BYTES - done;
        done += ring_write(r, data + done, n);
    }
    return NULL;
}

/* A stream through a small ring, in pieces of random size on both sides. */
START_TEST(two_threads)
{
    unsigned char *in = xcalloc(1, BYTES), *out = xcalloc(1, BYTES);
    size_t done = 0;
    uint32_t x = 2, y = 3;
    pthread_t writer;

    for (size_t i = 0; i < BYTES; i++)
        in[i] = (unsigned char)(next(&y) >> 24);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_all, in), 0);
    while (done < BYTES) {
        size_t n = (next(&x) >> 16) % 300 + 1;

        done += ring_read(r, out + done, n < BYTES - done ? n : BYTES - done);
    }
    pthread_join(writer, NULL);
    ck_assert_mem_eq(in, out, BYTES);
    ck_assert_uint_eq(ring_used(r), 0);
    free(in);
    free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *t = tcase_create("ring");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, first_in_first_out);
    tcase_add_test(t, a_full_ring_takes_a_part);
    tcase_add_test(t, two_threads);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
