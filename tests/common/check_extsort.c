/* More items than memory: the order of qsort(), whatever the sizes. */
#include "common/extsort.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "tests/common/run.h"

static char dir[64];

static struct extsort *create(size_t run_items, unsigned fan)
{
    struct extsort_config config = {
        .dir = dir, .run_items = run_items, .fan = fan};

    return extsort_create(&config);
}

static void make_dir(void)
{
    strcpy(dir, "/tmp/check-extsort-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* Nothing may be left in it. */
static void drop_dir(void)
{
    ck_assert_int_eq(rmdir(dir), 0);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 33;
}

static int compare(const void *a, const void *b)
{
    const struct extsort_item *x = a, *y = b;

    for (int i = 0; i < 3; i++) {
        if (x->key[i] != y->key[i])
            return x->key[i] < y->key[i] ? -1 : 1;
    }
    return 0;
}

static void sort_as_qsort_does(size_t n, size_t run_items, unsigned fan)
{
    struct extsort *s = create(run_items, fan);
    struct extsort_item *want = xcalloc(n + 1, sizeof *want), got;
    uint64_t state = n * 31 + run_items;
    struct err err;

    for (size_t i = 0; i < n; i++) {
        want[i].key[0] = next_random(&state) % 50; /* many are equal */
        want[i].key[1] = next_random(&state) % 3;
        want[i].key[2] = next_random(&state) % 1000;
        ck_assert_int_eq(extsort_add(s, &want[i], &err), 0);
    }
    ck_assert_uint_eq(extsort_count(s), n);
    if (n > 0)
        qsort(want, n, sizeof *want, compare);
    ck_assert_int_eq(extsort_finish(s, &err), 0);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(extsort_next(s, &got, &err), 1);
        ck_assert_mem_eq(&got, &want[i], sizeof got);
    }
    ck_assert_int_eq(extsort_next(s, &got, &err), 0);
    ck_assert_int_eq(extsort_next(s, &got, &err), 0);
    extsort_destroy(s);
    free(want);
}

START_TEST(any_sizes)
{
    static const size_t n[] = {0, 1, 2, 3, 7, 8, 9, 100, 1023, 1025, 5000};
    static const size_t run_items[] = {1, 2, 7, 100, 5000, 100000};
    static const unsigned fan[] = {2, 3, 16};

    make_dir();
    for (size_t i = 0; i < sizeof n / sizeof n[0]; i++)
        for (size_t k = 0; k < sizeof run_items / sizeof run_items[0]; k++)
            for (size_t f = 0; f < sizeof fan / sizeof fan[0]; f++)
                sort_as_qsort_does(n[i], run_items[k], fan[f]);
    drop_dir();
}
END_TEST

/* Runs of more than one block, merged over several levels. */
START_TEST(blocks_and_levels)
{
    make_dir();
    sort_as_qsort_does(200000, EXTSORT_BLOCK_ITEMS + 1, 3);
    sort_as_qsort_does(150000, 4 * EXTSORT_BLOCK_ITEMS, 4);
    sort_as_qsort_does(300001, EXTSORT_RUN_ITEMS, EXTSORT_FAN);
    drop_dir();
}
END_TEST

/* The file has no name: nothing is left after kill -9. */
START_TEST(nothing_in_the_folder_while_sorting)
{
    struct extsort *s;
    struct err err;

    make_dir();
    s = create(2, 2);
    for (uint64_t i = 0; i < 1000; i++) {
        struct extsort_item item = {{i, 0, 0}};

        ck_assert_int_eq(extsort_add(s, &item, &err), 0);
    }
    drop_dir();
    extsort_destroy(s);
}
END_TEST

START_TEST(no_folder)
{
    struct extsort_item item = {{1, 2, 3}};
    struct extsort *s;
    struct err err;

    strcpy(dir, "/tmp/check-extsort-missing");
    s = create(1, 2);
    ck_assert_int_eq(extsort_add(s, &item, &err), 0);
    ck_assert_int_eq(extsort_add(s, &item, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, dir));
    extsort_destroy(s);
}
END_TEST

/* Descriptor of the sorter's nameless file. */
static int scratch_fd(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    int fd = -1;

    while ((entry = readdir(d)) != NULL) {
        char target[256];
        ssize_t n =
            readlinkat(dirfd(d), entry->d_name, target, sizeof target - 1);

        target[n < 0 ? 0 : n] = '\0';
        if (strncmp(target, dir, strlen(dir)) == 0)
            fd = atoi(entry->d_name);
    }
    closedir(d);
    return fd;
}

START_TEST(flipped_bit_is_found)
{
    struct extsort_item item = {{0, 0, 0}};
    struct extsort *s;
    struct err err;
    uint64_t byte;
    int fd, got;

    make_dir();
    s = create(3000, 4);
    for (uint64_t i = 0; i < 9000; i++) {
        item.key[0] = i * 7919 % 9001;
        ck_assert_int_eq(extsort_add(s, &item, &err), 0);
    }
    fd = scratch_fd();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, 30000), 1);
    byte ^= 4;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 30000), 1);
    got = extsort_finish(s, &err) < 0 ? -1 : 1;
    while (got > 0)
        got = extsort_next(s, &item, &err);
    ck_assert_int_eq(got, -1);
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    extsort_destroy(s);
    drop_dir();
}
END_TEST

/* Needs to mount a small file system: root only. */
START_TEST(full_disk)
{
    struct extsort_item item = {{0, 0, 0}};
    struct extsort *s;
    struct err err;
    int ret = 0;

    make_dir();
    if (mount("tmpfs", dir, "tmpfs", 0, "size=64k") < 0) {
        printf("SKIP full_disk: cannot mount a tmpfs\n");
        drop_dir();
        return;
    }
    s = create(500, 2);
    for (uint64_t i = 0; i < 10000 && ret == 0; i++) {
        item.key[0] = i;
        ret = extsort_add(s, &item, &err);
    }
    ck_assert_int_eq(ret, -1);
    ck_assert_int_eq(err.code, ERR_AGAIN);
    extsort_destroy(s);
    umount(dir);
    drop_dir();
}
END_TEST

int main(void)
{
    return RUN_TESTS("extsort", any_sizes, blocks_and_levels,
                     nothing_in_the_folder_while_sorting, no_folder,
                     flipped_bit_is_found, full_disk);
}
