/* output.h, runstate.h, plan.h, child.h, table.h: what touches files */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/child.h"
#include "client/output.h"
#include "client/plan.h"
#include "client/runstate.h"
#include "common/clock.h"
#include "common/file.h"
#include "tests/common/run.h"

static char dir[64];

static void set_up(void)
{
    strcpy(dir, "/tmp/check-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void tear_down(void)
{
    ck_assert_int_eq(file_remove_tree(dir, NULL), 0);
}

static void assert_content(const char *path, const char *text)
{
    struct buf b = BUF_INIT;

    ck_assert_int_eq(file_read(path, 1 << 20, &b, NULL), 0);
    ck_assert_str_eq(b.data, text);
    buf_free(&b);
}

/* ---- output ---- */

START_TEST(a_file_appears_when_committed)
{
    struct output o;
    char *path;

    set_up();
    path = file_join(dir, "out");
    ck_assert_int_eq(file_replace(path, "old", 3, NULL), 0);
    ck_assert_int_eq(output_open(&o, path, false, NULL), 0);
    ck_assert_int_eq(output_line(&o, "one", 3, NULL), 0);
    ck_assert_int_eq(output_line(&o, "", 0, NULL), 0);
    ck_assert_int_eq(output_flush(&o, NULL), 0);
    assert_content(path, "old");
    ck_assert_int_eq(output_commit(&o, NULL), 0);
    output_close(&o);
    assert_content(path, "one\n\n");
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left there */
    free(path);
}
END_TEST

START_TEST(what_is_not_committed_leaves_nothing)
{
    struct output o;
    char *path;

    set_up();
    path = file_join(dir, "out");
    ck_assert_int_eq(output_open(&o, path, false, NULL), 0);
    ck_assert_int_eq(output_line(&o, "one", 3, NULL), 0);
    output_close(&o);
    output_close(&o); /* twice does no harm */
    ck_assert_int_eq(rmdir(dir), 0);
    free(path);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
    struct output o = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC)};
    struct err err = {.code = ERR_NONE};

    ck_assert_int_ge(o.fd, 0);
    ck_assert_int_eq(output_line(&o, "x", 1, &err), 0);
    ck_assert_int_eq(output_commit(&o, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "No space left"));
    ck_assert(!o.broken);
    close(o.fd);
    output_close(&o);
}
END_TEST

START_TEST(a_closed_pipe_is_told_apart)
{
    int fd[2];
    struct output o = {.fd = -1};

    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe(fd), 0);
    close(fd[0]);
    o.fd = fd[1];
    ck_assert_int_eq(output_line(&o, "x", 1, NULL), 0);
    ck_assert_int_eq(output_flush(&o, NULL), -1);
    ck_assert(o.broken);
    close(fd[1]);
    output_close(&o);
}
END_TEST

START_TEST(a_link_is_followed)
{
    struct output o;
    struct err err = {.code = ERR_NONE};
    struct stat st;
    char *path, *real;

    set_up();
    real = file_join(dir, "real");
    path = file_join(dir, "link");
    ck_assert_int_eq(symlink("real", path), 0);
    ck_assert_int_eq(output_open(&o, path, true, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID); /* it leads nowhere yet */
    ck_assert_int_eq(file_replace(real, "old", 3, NULL), 0);
    ck_assert_int_eq(output_open(&o, path, true, NULL), 0);
    ck_assert_int_eq(output_line(&o, "x", 1, NULL), 0);
    ck_assert_int_eq(output_commit(&o, NULL), 0);
    output_close(&o);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    assert_content(real, "x\n");
    free(path);
    free(real);
    tear_down();
}
END_TEST

START_TEST(a_device_is_written_to_not_replaced)
{
    struct output o;
    struct err err = {.code = ERR_NONE};
    char *path;
    struct stat st;

    set_up();
    path = file_join(dir, "null"); /* a link, in case this test is wrong */
    ck_assert_int_eq(symlink("/dev/null", path), 0);
    ck_assert_int_eq(output_open(&o, path, false, NULL), 0);
    ck_assert_ptr_null(o.temporary);
    ck_assert_int_eq(output_line(&o, "x", 1, NULL), 0);
    ck_assert_int_eq(output_commit(&o, NULL), 0);
    output_close(&o);
    ck_assert_int_eq(stat("/dev/null", &st), 0);
    ck_assert(S_ISCHR(st.st_mode));
    free(path);
    path = file_join(dir, "full");
    ck_assert_int_eq(symlink("/dev/full", path), 0);
    ck_assert_int_eq(output_open(&o, path, false, NULL), 0);
    ck_assert_int_eq(output_line(&o, "x", 1, NULL), 0);
    ck_assert_int_eq(output_commit(&o, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    output_close(&o);
    ck_assert_int_eq(stat("/dev/full", &st), 0);
    ck_assert(S_ISCHR(st.st_mode));
    free(path);
    tear_down();
}
END_TEST

/* ---- run.json ---- */

static struct runstate state_of(const char *model, const char *bos)
{
    struct runstate s = {
        .input = xstrdup("in.jsonl"),
        .input_bytes = 123,
        .model = xstrdup(model),
        .model_bytes = 456,
        .tokenizer = xstrdup(""),
        .bos = xstrdup(bos),
        .seed = INT64_MAX,
        .created_s = 1700000000,
    };

    memset(s.input_hash, 0xa5, sizeof s.input_hash);
    memset(s.request_id, 0x3c, sizeof s.request_id);
    return s;
}

START_TEST(what_was_recorded_is_read_back)
{
    struct runstate s = state_of("/m", "always"), back;

    set_up();
    ck_assert_int_eq(runstate_read(dir, &back, NULL), 0);
    ck_assert_int_eq(runstate_write(dir, &s, NULL), 0);
    ck_assert_int_eq(runstate_read(dir, &back, NULL), 1);
    ck_assert_int_eq(runstate_compare(&s, &back, NULL), 0);
    ck_assert_mem_eq(s.request_id, back.request_id, sizeof s.request_id);
    ck_assert_int_eq(back.created_s, s.created_s);
    runstate_free(&s);
    runstate_free(&back);
    tear_down();
}
END_TEST

START_TEST(every_change_is_named)
{
    struct runstate a = state_of("/m", "always"), b = state_of("/n", "never");
    struct err err = {.code = ERR_NONE};

    b.input_hash[0] ^= 1;
    b.tokenizer_hash[0] ^= 1;
    b.seed = 7;
    b.created_s = 8; /* not asked for: the recorded second stays */
    ck_assert_int_eq(runstate_compare(&a, &b, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err.text, "the content of the input, --model, "
                                           "the tokenizer, --bos, --seed. "));
    ck_assert_ptr_nonnull(strstr(err.text, "--fresh"));
    ck_assert_ptr_null(strstr(err.text, "--created"));
    b.created_given = true;
    ck_assert_int_eq(runstate_compare(&a, &b, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--created"));
    runstate_free(&a);
    runstate_free(&b);
}
END_TEST

START_TEST(a_damaged_record_is_refused)
{
    static const char *const text[] = {"", "{", "[]", "{\"schema\":1}",
                                       "{\"schema\":2}"};

    set_up();
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        char *path = file_join(dir, "run.json");
        struct err err = {.code = ERR_NONE};
        struct runstate s;

        ck_assert_int_eq(file_replace(path, text[i], strlen(text[i]), NULL), 0);
        ck_assert_int_eq(runstate_read(dir, &s, &err), -1);
        ck_assert_int_eq(err.code, ERR_CORRUPT);
        free(path);
    }
    tear_down();
}
END_TEST

START_TEST(only_one_run_at_a_time)
{
    struct err err = {.code = ERR_NONE};
    char *path, *inside;
    int first, second;

    set_up();
    path = file_join(dir, "out.skein");
    inside = file_join(path, "old");
    first = runstate_lock(path, false, NULL);
    ck_assert_int_ge(first, 0);
    ck_assert_int_eq(file_replace(inside, "x", 1, NULL), 0);
    ck_assert_int_eq(runstate_lock(path, false, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_int_eq(runstate_lock(path, true, &err), -1);
    ck_assert(file_exists(inside)); /* --fresh does not break the lock */
    close(first);
    second = runstate_lock(path, true, NULL);
    ck_assert_int_ge(second, 0);
    ck_assert(!file_exists(inside));
    ck_assert_int_eq(runstate_lock(path, false, &err), -1);
    close(second);
    free(inside);
    free(path);
    tear_down();
}
END_TEST

START_TEST(the_stem_of_an_output)
{
    static const struct {
        const char *output, *stem;
    } row[] = {
        {"out.jsonl", "out"},
        {"a/b.jsonl", "a/b"},
        {"out", "out"},
        {"out.json", "out.json"},
        {".jsonl", ".jsonl"},
        {"a/.jsonl", "a/.jsonl"},
        {"x.jsonl.jsonl", "x.jsonl"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *stem = plan_stem(row[i].output);

        ck_assert_str_eq(stem, row[i].stem);
        free(stem);
    }
}
END_TEST

/* ---- child ---- */

/* Watch a shell command until it is given up; the number of its starts. */
static int watch(const char *script, struct err *err)
{
    char *log = file_join(dir, "log");
    struct child c;
    int64_t now = 0;
    int starts = 0;

    child_init(&c, "sh", log);
    child_arg(&c, "-c");
    child_arg(&c, script);
    ck_assert_int_eq(child_start(&c, err), 0);
    for (;;) {
        struct timespec pause = {.tv_nsec = 2000000};
        bool down = c.pid == 0;

        if (child_watch(&c, now, err) < 0)
            break;
        starts += down && c.pid != 0;
        now += 50; /* faster than real: pauses between restarts are long */
        nanosleep(&pause, NULL);
    }
    child_free(&c);
    free(log);
    return starts + 1;
}

START_TEST(a_child_is_restarted_so_often)
{
    struct err err = {.code = ERR_NONE};

    set_up();
    ck_assert_int_eq(watch("echo line; exit 74", &err), CHILD_RESTARTS_MAX + 1);
    ck_assert_ptr_nonnull(strstr(err.text, "ended with status 74 too often"));
    tear_down();
}
END_TEST

START_TEST(hopeless_ends_are_not_repeated)
{
    struct err err = {.code = ERR_NONE};

    set_up();
    ck_assert_int_eq(watch("exit 78", &err), 1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_int_eq(watch("exit 65", &err), 1);
    ck_assert_int_eq(err.code, ERR_CONFIG); /* its files, not our input */
    ck_assert_int_eq(watch("exit 2", &err), 1);
    ck_assert_int_eq(err.code, ERR_CONFIG); /* not our command line */
    tear_down();
}
END_TEST

START_TEST(a_child_that_ignores_sigterm_is_killed)
{
    char *log;
    struct child c;
    int64_t start = clock_now_ms();
    pid_t pid;

    set_up();
    log = file_join(dir, "log");
    child_init(&c, "sh", log);
    child_arg(&c, "-c");
    child_arg(&c, "trap '' TERM; echo up; while :; do sleep 1; done");
    ck_assert_int_eq(child_start(&c, NULL), 0);
    pid = c.pid;
    for (int i = 0; i < 500; i++) { /* until the trap is set */
        struct buf b = BUF_INIT;
        struct timespec pause = {.tv_nsec = 10000000};
        bool up = file_read(log, 4096, &b, NULL) == 0 && b.len > 0;

        buf_free(&b);
        if (up)
            break;
        nanosleep(&pause, NULL);
    }
    child_stop(&c, 100);
    ck_assert_int_eq(c.pid, 0);
    ck_assert_int_eq(kill(pid, 0), -1);
    ck_assert_int_lt(clock_now_ms() - start, 10000);
    child_free(&c);
    free(log);
    tear_down();
}
END_TEST

START_TEST(a_missing_program_is_named)
{
    struct err err = {.code = ERR_NONE};
    char *log;
    struct child c;

    set_up();
    log = file_join(dir, "log");
    child_init(&c, "no-such-program-here", log);
    ck_assert_int_eq(child_start(&c, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "no-such-program-here"));
    child_free(&c);
    free(log);
    tear_down();
}
END_TEST

START_TEST(the_tail_of_a_log)
{
    struct buf b = BUF_INIT, text = BUF_INIT;
    char *log;

    set_up();
    log = file_join(dir, "log");
    child_log_tail(log, 0, 3, &b); /* a missing one has no lines */
    ck_assert_uint_eq(b.len, 0);
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "line %d\n", i);
    ck_assert_int_eq(file_replace(log, text.data, text.len, NULL), 0);
    child_log_tail(log, 0, 3, &b);
    ck_assert_str_eq(b.data, "  line 997\n  line 998\n  line 999\n");
    buf_clear(&b);
    child_log_tail(log, (int64_t)text.len - 9, 3, &b); /* of this run only */
    ck_assert_str_eq(b.data, "  line 999\n");
    buf_clear(&b);
    child_log_tail(log, (int64_t)text.len, 3, &b);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_int_eq(file_replace(log, "only", 4, NULL), 0);
    child_log_tail(log, 0, 3, &b);
    ck_assert_str_eq(b.data, "  only\n");
    buf_free(&b);
    buf_free(&text);
    free(log);
    tear_down();
}
END_TEST

int main(void)
{
    return RUN_TESTS("files", a_file_appears_when_committed,
                     what_is_not_committed_leaves_nothing,
                     a_full_disk_is_an_error, a_closed_pipe_is_told_apart,
                     a_link_is_followed, a_device_is_written_to_not_replaced,
                     what_was_recorded_is_read_back, every_change_is_named,
                     a_damaged_record_is_refused, only_one_run_at_a_time,
                     the_stem_of_an_output, a_child_is_restarted_so_often,
                     hopeless_ends_are_not_repeated,
                     a_child_that_ignores_sigterm_is_killed,
                     a_missing_program_is_named, the_tail_of_a_log);
}
