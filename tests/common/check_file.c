#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/common/run.h"

static char dir[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/check-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void drop_dir(void)
{
    struct err err;

    ck_assert_int_eq(file_remove_tree(dir, &err), 0);
    ck_assert(!file_exists(dir));
}

/* A path in the test's directory; the last few stay valid. */
static const char *at(const char *name)
{
    static char path[4][512];
    static int k;

    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", dir, name);
    return path[k];
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

START_TEST(reading_appends_up_to_the_bound)
{
    struct buf out = BUF_INIT;
    struct err err;

    make_dir();
    put(at("f"), "12345");
    buf_adds(&out, "head ");
    ck_assert_int_eq(file_read(at("f"), 5, &out, &err), 0);
    ck_assert_str_eq(out.data, "head 12345");
    ck_assert_int_eq(file_read(at("f"), 4, &out, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "/f: larger than 4 bytes"));
    ck_assert_str_eq(out.data, "head 12345");
    buf_free(&out);
    drop_dir();
}
END_TEST

START_TEST(reading_a_large_file_and_an_empty_one)
{
    struct buf in = BUF_INIT, out = BUF_INIT;
    struct err err;

    make_dir();
    for (int i = 0; i < 30000; i++)
        buf_addf(&in, "%09d\n", i);
    ck_assert_int_eq(file_replace(at("f"), in.data, in.len, &err), 0);
    ck_assert_int_eq(file_read(at("f"), in.len, &out, &err), 0);
    ck_assert_uint_eq(out.len, in.len);
    ck_assert_mem_eq(out.data, in.data, in.len);
    buf_clear(&out);
    put(at("empty"), "");
    ck_assert_int_eq(file_read(at("empty"), 0, &out, &err), 0);
    ck_assert_str_eq(out.data, "");
    buf_free(&in);
    buf_free(&out);
    drop_dir();
}
END_TEST

START_TEST(errors_name_the_path_and_the_cause)
{
    struct buf out = BUF_INIT;
    struct file_map map;
    struct err err;

    make_dir();
    ck_assert_int_eq(file_read(at("none"), 10, &out, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "/none: cannot open"));
    ck_assert_int_eq(file_read(dir, 10, &out, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_eq(file_map(at("none"), &map, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(file_map(dir, &map, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(file_sync_dir(at("none"), &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    buf_free(&out);
    drop_dir();
}
END_TEST

START_TEST(mapping)
{
    struct file_map map;
    struct err err;

    make_dir();
    put(at("f"), "content");
    ck_assert_int_eq(file_map(at("f"), &map, &err), 0);
    ck_assert_uint_eq(map.size, 7);
    ck_assert_mem_eq(map.data, "content", 7);
    file_unmap(&map);
    ck_assert_ptr_null(map.data);
    put(at("empty"), "");
    ck_assert_int_eq(file_map(at("empty"), &map, &err), 0);
    ck_assert_uint_eq(map.size, 0);
    ck_assert_ptr_null(map.data);
    file_unmap(&map);
    drop_dir();
}
END_TEST

static size_t entries(const char *path)
{
    struct buf cmd = BUF_INIT;
    size_t n = 0;
    FILE *ls;

    buf_addf(&cmd, "ls -A '%s' | wc -l", path);
    ls = popen(cmd.data, "r");
    ck_assert_ptr_nonnull(ls);
    ck_assert_int_eq(fscanf(ls, "%zu", &n), 1);
    pclose(ls);
    buf_free(&cmd);
    return n;
}

START_TEST(replacing_leaves_one_file_with_the_umask_mode)
{
    struct buf out = BUF_INIT;
    struct stat st;
    struct err err;

    make_dir();
    umask(027);
    ck_assert_int_eq(file_replace(at("f"), "old", 3, &err), 0);
    ck_assert_int_eq(file_replace(at("f"), "new!", 4, &err), 0);
    ck_assert_int_eq(file_read(at("f"), 100, &out, &err), 0);
    ck_assert_str_eq(out.data, "new!");
    ck_assert_uint_eq(entries(dir), 1);
    ck_assert_int_eq(stat(at("f"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    buf_free(&out);
    drop_dir();
}
END_TEST

START_TEST(a_failed_replacement_keeps_the_old_file)
{
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
    static char large[5000];
    struct buf out = BUF_INIT;
    struct err err;

    make_dir();
    ck_assert_int_eq(file_replace(at("f"), "old", 3, &err), 0);
    /* Past its size limit a write fails as on a full disk. */
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(file_replace(at("f"), large, sizeof large, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot write"));
    ck_assert_int_eq(file_read(at("f"), 100, &out, &err), 0);
    ck_assert_str_eq(out.data, "old");
    ck_assert_uint_eq(entries(dir), 1);
    ck_assert_int_eq(file_replace(at("no/such/f"), "x", 1, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    buf_free(&out);
    drop_dir();
}
END_TEST

START_TEST(directories_are_made_with_their_parents)
{
    struct stat st;
    struct err err;

    make_dir();
    umask(0);
    ck_assert_int_eq(file_mkdirs(at("a//b/c/"), &err), 0);
    ck_assert_int_eq(file_mkdirs(at("a/b/c"), &err), 0);
    ck_assert_int_eq(stat(at("a/b"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    put(at("a/file"), "");
    ck_assert_int_eq(file_mkdirs(at("a/file/x"), &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "a/file"));
    ck_assert(file_is_dir(at("a/b/c")));
    ck_assert(!file_is_dir(at("a/file")));
    ck_assert(file_exists(at("a/file")));
    drop_dir();
}
END_TEST

START_TEST(removing_a_tree_does_not_follow_links)
{
    struct err err;

    make_dir();
    ck_assert_int_eq(file_mkdirs(at("tree/deep/er"), &err), 0);
    ck_assert_int_eq(file_mkdirs(at("outside"), &err), 0);
    put(at("outside/precious"), "x");
    put(at("tree/deep/f"), "x");
    ck_assert_int_eq(symlink(at("outside"), at("tree/deep/link")), 0);
    ck_assert_int_eq(symlink("nowhere", at("tree/dangling")), 0);
    for (int i = 0; i < 500; i++) {
        char name[32];

        snprintf(name, sizeof name, "tree/n%d", i);
        put(at(name), "");
    }
    ck_assert_int_eq(file_remove_tree(at("tree"), &err), 0);
    ck_assert(!file_exists(at("tree")));
    ck_assert(file_exists(at("outside/precious")));
    /* Nor when the path itself is a link. */
    ck_assert_int_eq(symlink(at("outside"), at("link")), 0);
    ck_assert_int_eq(file_remove_tree(at("link"), &err), -1);
    ck_assert(file_exists(at("outside/precious")));
    ck_assert_int_eq(file_remove_tree(at("never there"), &err), 0);
    drop_dir();
}
END_TEST

START_TEST(a_tree_deeper_than_the_bound_is_refused)
{
    struct buf path = BUF_INIT, top = BUF_INIT;
    struct err err;

    make_dir();
    buf_adds(&top, at("top"));
    buf_adds(&path, top.data);
    for (int i = 0; i < 80; i++)
        buf_adds(&path, "/d");
    ck_assert_int_eq(file_mkdirs(path.data, &err), 0);
    ck_assert_int_eq(file_remove_tree(top.data, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    /* Two halves, each within it. */
    path.data[top.len + 80] = '\0';
    ck_assert_int_eq(file_remove_tree(path.data, &err), 0);
    buf_free(&path);
    buf_free(&top);
    drop_dir();
}
END_TEST

START_TEST(joining)
{
    static const struct {
        const char *dir, *name, *path;
    } cases[] = {
        {"a", "b", "a/b"},     {"a/", "b", "a/b"}, {"/", "b", "/b"},
        {"a", "/b/c", "/b/c"}, {"", "b", "b"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = file_join(cases[i].dir, cases[i].name);

        ck_assert_str_eq(path, cases[i].path);
        free(path);
    }
}
END_TEST

START_TEST(scratch_has_no_name)
{
    char back[8] = "";
    struct err err;
    struct stat st;
    int fd;

    make_dir();
    fd = file_scratch(dir, &err);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_nlink, 0);
    ck_assert_int_eq(file_write_at(fd, "abcdef", 6, 100000, &err), 0);
    ck_assert_int_eq(file_read_at(fd, back, 4, 100002, &err), 0);
    ck_assert_str_eq(back, "cdef");
    ck_assert_int_eq(file_read_at(fd, back, 5, 100002, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    file_punch(fd, 0, 65536);
    ck_assert_int_eq(file_read_at(fd, back, 4, 100002, &err), 0);
    ck_assert_str_eq(back, "cdef");
    close(fd);
    drop_dir();
    ck_assert_int_eq(file_scratch("/nonexistent", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent"));
}
END_TEST

START_TEST(write_at_tells_a_full_disk)
{
    int fd = open("/dev/full", O_RDWR);
    struct err err;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write_at(fd, "x", 1, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_AGAIN);
    close(fd);
    ck_assert_int_eq(file_write_at(fd, "x", 1, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
}
END_TEST

int main(void)
{
    return RUN_TESTS("file", reading_appends_up_to_the_bound,
                     reading_a_large_file_and_an_empty_one,
                     errors_name_the_path_and_the_cause, mapping,
                     replacing_leaves_one_file_with_the_umask_mode,
                     a_failed_replacement_keeps_the_old_file,
                     directories_are_made_with_their_parents,
                     removing_a_tree_does_not_follow_links,
                     a_tree_deeper_than_the_bound_is_refused,
                     scratch_has_no_name, write_at_tells_a_full_disk, joining);
}
