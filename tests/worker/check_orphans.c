#include "worker/orphans.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/skein-check-orphans-XXXXXX";

static int make(const char *name)
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    return fd;
}

static bool there(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

/* Files that a process has open or mapped stay, until it is killed. */
START_TEST(only_what_nobody_uses)
{
    int ready[2];
    char byte;
    pid_t pid;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    close(make("nccl-left"));
    close(make("nccl-left2"));
    close(make("others"));
    ck_assert_int_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        int mapped = make("nccl-mapped");

        (void)make("nccl-open");
        if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, mapped, 0) == MAP_FAILED)
            _exit(1);
        close(mapped);
        if (write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(orphans_sweep(dir), 2);
    ck_assert(!there("nccl-left") && !there("nccl-left2"));
    ck_assert(there("nccl-mapped") && there("nccl-open") && there("others"));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(orphans_sweep(dir), 2);
    ck_assert(!there("nccl-mapped") && !there("nccl-open"));
    ck_assert_int_eq(orphans_sweep("/nonexistent"), 0);
    ck_assert(there("others"));

    ck_assert_int_eq(chdir(dir), 0);
    unlink("others");
    rmdir(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("orphans");
    TCase *t = tcase_create("orphans");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, only_what_nobody_uses);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
