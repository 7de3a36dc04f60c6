#include "common/log.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/common/run.h"

static int saved_stderr = -1;
static int pipe_end = -1;

/* Send stderr into a pipe. What is logged must fit in it (64 KiB). */
static void capture(const char *component, enum log_level max)
{
    int fd[2];

    ck_assert_int_eq(pipe(fd), 0);
    saved_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(fd[1], STDERR_FILENO), 0);
    close(fd[1]);
    pipe_end = fd[0];
    log_init(component, max);
}

static struct buf captured(void)
{
    struct buf out = BUF_INIT;
    ssize_t n;

    ck_assert_int_ge(dup2(saved_stderr, STDERR_FILENO), 0);
    close(saved_stderr);
    while ((n = read(pipe_end, buf_reserve(&out, 4096), 4096)) > 0)
        out.len += (size_t)n;
    close(pipe_end);
    buf_add(&out, "", 0);
    return out;
}

START_TEST(a_line_has_level_component_and_text)
{
    struct buf out;

    capture("worker", LOG_LEVEL_INFO);
    log_info("leased shard=%d", 3);
    log_error("lost");
    out = captured();
    ck_assert_str_eq(out.data, "<6>worker: leased shard=3\n<3>worker: lost\n");
    buf_free(&out);
}
END_TEST

START_TEST(levels_above_the_maximum_are_silent)
{
    struct buf out;

    capture("x", LOG_LEVEL_WARN);
    log_debug("no");
    log_info("no");
    log_warn("yes");
    out = captured();
    ck_assert_str_eq(out.data, "<4>x: yes\n");
    buf_free(&out);
}
END_TEST

START_TEST(an_event_is_one_line_whatever_it_quotes)
{
    struct buf out;

    capture("x", LOG_LEVEL_INFO);
    log_info("id=%s", "a\n<0>forged\x1b[31m");
    out = captured();
    ck_assert_str_eq(out.data, "<6>x: id=a <0>forged [31m\n");
    buf_free(&out);
}
END_TEST

START_TEST(long_lines_are_cut_and_end)
{
    struct buf out, text = BUF_INIT;

    for (int i = 0; i < 10000; i++)
        buf_addc(&text, 'x');
    capture("x", LOG_LEVEL_INFO);
    log_info("%s", text.data);
    log_info("next");
    out = captured();
    ck_assert_uint_lt(out.len, 4096);
    ck_assert_ptr_nonnull(strstr(out.data, "xxx\n<6>x: next\n"));
    buf_free(&out);
    buf_free(&text);
}
END_TEST

static void *log_lines(void *arg)
{
    for (int i = 0; i < 200; i++)
        log_info("thread=%s %s", (const char *)arg, "0123456789");
    return NULL;
}

START_TEST(threads_do_not_mix_lines)
{
    pthread_t a, b;
    struct buf out;
    size_t lines = 0;

    capture("x", LOG_LEVEL_INFO);
    pthread_create(&a, NULL, log_lines, "a");
    pthread_create(&b, NULL, log_lines, "b");
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    out = captured();
    for (char *p = out.data; *p != '\0'; lines++) {
        ck_assert(strncmp(p, "<6>x: thread=a 0123456789\n", 26) == 0
                  || strncmp(p, "<6>x: thread=b 0123456789\n", 26) == 0);
        p += 26;
    }
    ck_assert_uint_eq(lines, 400);
    buf_free(&out);
}
END_TEST

START_TEST(level_names)
{
    ck_assert_int_eq(log_level_parse("error"), LOG_LEVEL_ERROR);
    ck_assert_int_eq(log_level_parse("debug"), LOG_LEVEL_DEBUG);
    ck_assert_int_eq(log_level_parse("Info"), -1);
    ck_assert_int_eq(log_level_parse(""), -1);
}
END_TEST

int main(void)
{
    return RUN_TESTS("log", a_line_has_level_component_and_text,
                     levels_above_the_maximum_are_silent,
                     an_event_is_one_line_whatever_it_quotes,
                     long_lines_are_cut_and_end, threads_do_not_mix_lines,
                     level_names);
}
