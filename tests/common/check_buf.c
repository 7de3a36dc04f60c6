#include "common/buf.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/common/run.h"

START_TEST(adding_keeps_the_terminator)
{
    struct buf b = BUF_INIT;

    buf_adds(&b, "ab");
    buf_addc(&b, 'c');
    buf_add(&b, "\0d", 2);
    ck_assert_uint_eq(b.len, 5);
    ck_assert_mem_eq(b.data, "abc\0d", 6);
    buf_free(&b);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(adding_nothing_still_terminates)
{
    struct buf b = BUF_INIT;

    buf_add(&b, NULL, 0);
    ck_assert_str_eq(b.data, "");
    buf_free(&b);
}
END_TEST

START_TEST(formatting_grows)
{
    struct buf b = BUF_INIT;

    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%04d,", i);
    ck_assert_uint_eq(b.len, 5000);
    ck_assert_mem_eq(b.data + 4995, "0999,", 6);
    buf_free(&b);
}
END_TEST

START_TEST(consuming_moves_the_rest_to_the_front)
{
    struct buf b = BUF_INIT;

    buf_adds(&b, "hello world");
    buf_consume(&b, 0);
    buf_consume(&b, 6);
    ck_assert_str_eq(b.data, "world");
    buf_consume(&b, 5);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_str_eq(b.data, "");
    buf_free(&b);
}
END_TEST

START_TEST(clearing_keeps_the_memory)
{
    struct buf b = BUF_INIT;
    size_t cap;

    buf_clear(&b);
    buf_adds(&b, "something");
    cap = b.cap;
    buf_clear(&b);
    ck_assert_uint_eq(b.cap, cap);
    ck_assert_str_eq(b.data, "");
    buf_free(&b);
}
END_TEST

START_TEST(reserved_room_is_writable)
{
    struct buf b = BUF_INIT;
    char *room = buf_reserve(&b, 100000);

    memset(room, 'x', 100000);
    b.len += 100000;
    ck_assert_uint_ge(b.cap, 100001);
    buf_addc(&b, 'y');
    ck_assert_int_eq(b.data[99999], 'x');
    ck_assert_int_eq(b.data[100000], 'y');
    buf_free(&b);
}
END_TEST

START_TEST(impossible_sizes_end_the_program)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct rlimit no_core = {0};
        struct buf b = BUF_INIT;

        setrlimit(RLIMIT_CORE, &no_core);
        fclose(stderr);
        buf_adds(&b, "x");
        buf_reserve(&b, SIZE_MAX - 1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}
END_TEST

START_TEST(copies_of_strings)
{
    char *s = xstrndup("abcdef", 3), *t = xstrdup(s);

    ck_assert_str_eq(s, "abc");
    ck_assert_str_eq(t, "abc");
    free(s);
    free(t);
}
END_TEST

int main(void)
{
    return RUN_TESTS("buf", adding_keeps_the_terminator,
                     adding_nothing_still_terminates, formatting_grows,
                     consuming_moves_the_rest_to_the_front,
                     clearing_keeps_the_memory, reserved_room_is_writable,
                     impossible_sizes_end_the_program, copies_of_strings);
}
