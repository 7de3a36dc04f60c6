#include "worker/pool.h"

#include <check.h>
#include <poll.h>

#define JOBS 1000

struct task {
    struct pool_job job;
    int runs;
};

static void run(struct pool_job *job)
{
    ((struct task *)job)->runs++;
}

/* Every job runs once and comes back; the descriptor says when to look. */
START_TEST(every_job_once)
{
    static struct task task[JOBS];
    struct pool *p = pool_create(3, NULL);
    struct pollfd fd = {.fd = pool_fd(p), .events = POLLIN};
    struct pool_job *job;
    int done = 0;

    ck_assert_ptr_null(pool_done(p));
    for (int i = 0; i < JOBS; i++) {
        task[i].job.run = run;
        pool_submit(p, &task[i].job);
    }
    while (done < JOBS) {
        ck_assert_int_eq(poll(&fd, 1, 5000), 1);
        while ((job = pool_done(p)) != NULL) {
            ck_assert_int_eq(((struct task *)job)->runs, 1);
            done++;
        }
    }
    ck_assert_ptr_null(pool_done(p));
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    pool_destroy(p);
}
END_TEST

/* Ending waits for what was submitted. */
START_TEST(destroyed_with_work)
{
    static struct task task[JOBS];
    struct pool *p = pool_create(1, NULL);

    for (int i = 0; i < JOBS; i++) {
        task[i].job.run = run;
        pool_submit(p, &task[i].job);
    }
    pool_destroy(p);
    for (int i = 0; i < JOBS; i++)
        ck_assert_int_eq(task[i].runs, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *t = tcase_create("pool");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, every_job_once);
    tcase_add_test(t, destroyed_with_work);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
