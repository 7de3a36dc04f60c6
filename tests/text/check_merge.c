#include "text/merge.h"

#include <string.h>

#include "common/clock.h"
#include "tests/common/run.h"
#include "tests/text/small.h"

#define SYMBOLS 60 /* ids of the random merges */

struct rule {
    int32_t left, right, result;
};

START_TEST(the_best_rank_first_and_then_the_leftmost)
{
    struct merges *m = merges_create(3);
    struct merge_work work = {0};
    struct ids out = {0};
    static const int32_t aaa[] = {1, 1, 1}, aba[] = {1, 2, 1};

    ck_assert_int_eq(merges_add(m, 2, 1, 10), 0); /* rank 0 */
    ck_assert_int_eq(merges_add(m, 1, 2, 11), 0);
    ck_assert_int_eq(merges_add(m, 1, 1, 12), 0);
    ck_assert_int_eq(merges_add(m, 1, 2, 13), -1);
    merge_piece(m, aba, 3, &work, &out);
    merge_piece(m, aaa, 3, &work, &out);
    merge_piece(m, aaa, 1, &work, &out);
    ck_assert_uint_eq(out.n, 5);
    ck_assert_int_eq(out.id[0], 1);
    ck_assert_int_eq(out.id[1], 10);
    ck_assert_int_eq(out.id[2], 12);
    ck_assert_int_eq(out.id[3], 1);
    ck_assert_int_eq(out.id[4], 1);
    merge_work_free(&work);
    ids_free(&out);
    merges_destroy(m);
    merges_destroy(NULL);
}
END_TEST

/* The definition, in quadratic time. */
static size_t merge_slowly(const struct rule *rules, size_t n_rules,
                           int32_t *id, size_t n)
{
    for (;;) {
        size_t best = n_rules, at = 0;

        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t r = 0; r < best; r++) {
                if (rules[r].left == id[i] && rules[r].right == id[i + 1]) {
                    best = r;
                    at = i;
                }
            }
        }
        if (best == n_rules)
            return n;
        id[at] = rules[best].result;
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

START_TEST(like_the_definition)
{
    uint64_t seed = 11;

    for (int round = 0; round < 400; round++) {
        struct rule rules[SYMBOLS];
        struct merges *m = merges_create(SYMBOLS);
        struct merge_work work = {0};
        size_t n_rules = 0;
        int32_t next = 4;

        while (next < SYMBOLS) {
            struct rule r = {(int32_t)(small_random(&seed) % (uint32_t)next),
                             (int32_t)(small_random(&seed) % (uint32_t)next),
                             next};

            if (merges_add(m, r.left, r.right, r.result) == 0)
                rules[n_rules++] = r;
            next++;
        }
        for (int piece = 0; piece < 20; piece++) {
            size_t n = 1 + small_random(&seed) % 80, want;
            int32_t id[80];
            struct ids out = {0};

            for (size_t i = 0; i < n; i++)
                id[i] = (int32_t)(small_random(&seed) % 4);
            merge_piece(m, id, n, &work, &out);
            want = merge_slowly(rules, n_rules, id, n);
            ck_assert_uint_eq(out.n, want);
            ck_assert_mem_eq(out.id, id, want * sizeof *id);
            ids_free(&out);
        }
        merge_work_free(&work);
        merges_destroy(m);
    }
}
END_TEST

START_TEST(a_megabyte_in_one_piece)
{
    struct merges *m = merges_create(2);
    struct merge_work work = {0};
    struct ids in = {0}, out = {0};
    int64_t start;

    merges_add(m, 1, 1, 2);
    merges_add(m, 2, 2, 3);
    for (int i = 0; i < 1 << 20; i++)
        ids_add(&in, 1);
    start = clock_now_ms();
    merge_piece(m, in.id, in.n, &work, &out);
    ck_assert_int_lt(clock_now_ms() - start, 5000);
    ck_assert_uint_eq(out.n, 1 << 18);
    ck_assert_int_eq(out.id[0], 3);
    ck_assert_int_eq(out.id[(1 << 18) - 1], 3);
    merge_work_free(&work);
    ids_free(&in);
    ids_free(&out);
    merges_destroy(m);
}
END_TEST

int main(void)
{
    return RUN_TESTS("merge", the_best_rank_first_and_then_the_leftmost,
                     like_the_definition, a_megabyte_in_one_piece);
}
