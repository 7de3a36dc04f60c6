/* The whole worker as processes, with the null backend, against a coordinator
 * that plays by the protocol, or does not.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator.h"

static struct coordinator *c;

static void setup(void)
{
    c = coordinator_open();
}

static void teardown(void)
{
    coordinator_close(c);
}

#define START(...) \
    coordinator_start(c, (const char *const[]){__VA_ARGS__, NULL})
#define NULL_MODEL "--model", "m=null", "--devices"
#define ADD(first, ...)                                           \
    coordinator_add(c, first, (const char *const[]){__VA_ARGS__}, \
                    sizeof(const char *[]){__VA_ARGS__} / sizeof(char *))

static void serve_all(void)
{
    ck_assert_msg(coordinator_serve(c, 20000, all_committed),
                  "not all shards were committed within 20 s");
}

START_TEST(one_record)
{
    struct buf out = BUF_INIT;

    START(NULL_MODEL, "null");
    ADD(7, "{\"context\":\"The cat\",\"target\":\" sat\"}");
    serve_all();
    coordinator_output(c, &out);
    ck_assert_ptr_nonnull(strstr(out.data, "{\"id\":7,\"logprob\":-"));
    ck_assert_ptr_nonnull(strstr(out.data, "\"tokens\":4"));
    /* start token, 7 bytes, 4 targets of which the last is not fed */
    ck_assert_uint_eq(c->plan[0].tokens_in, 11);
    buf_free(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *t = tcase_create("worker");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, one_record);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
