#include "worker/seq.h"

#include <check.h>

static const int32_t token[] = {10, 11, 12, 13, 14, 15};
#define N 6

/* Feed a sequence in pieces of `piece` tokens; row r of the sequence "scores"
 * -(r + 1). Returns the scored targets as digits.
 */
static long run(struct seq *s, int32_t piece)
{
    long targets = 0;

    while (seq_left(s) > 0) {
        int32_t take = piece < seq_left(s) ? piece : seq_left(s);
        struct score_row row[N];
        struct score_out out[N];
        int32_t fed = s->fed;
        int32_t n = seq_feed(s, take, 100, row);

        for (int32_t i = 0; i < n; i++) {
            ck_assert_int_ge(row[i].row, 100);
            ck_assert_int_lt(row[i].row, 100 + take);
            targets = targets * 10 + row[i].target - 10;
            out[i] = (struct score_out){
                .logprob = -(float)(fed + row[i].row - 100 + 1),
                .argmax = row[i].target != 14,
                .finite = true};
        }
        seq_scored(s, out, n);
    }
    return targets;
}

/* Context 10 11 12, target 13 14 15: the last token is never fed, whatever the
 * pieces.
 */
START_TEST(target_behind_context)
{
    struct seq s;

    seq_score(&s, token, N, 3);
    ck_assert_int_eq(seq_left(&s), 5);
    ck_assert_int_eq(run(&s, _i), 345);
    ck_assert_int_eq(s.fed, 5);
    ck_assert_double_eq(s.logprob, -3 - 4 - 5);
    ck_assert(!s.greedy);
    ck_assert(s.finite);
}
END_TEST

START_TEST(every_token_but_the_first)
{
    struct seq s;

    seq_score(&s, token, N, 1);
    ck_assert_int_eq(run(&s, _i), 12345);
    ck_assert_double_eq(s.logprob, -1 - 2 - 3 - 4 - 5);
}
END_TEST

START_TEST(nothing_to_score_feeds_nothing)
{
    struct seq s;

    seq_score(&s, token, 1, 1);
    ck_assert_int_eq(seq_left(&s), 0);
    seq_score(&s, token, 0, 1);
    ck_assert_int_eq(seq_left(&s), 0);
    ck_assert(s.greedy && s.finite);
}
END_TEST

START_TEST(reading_scores_nothing)
{
    struct seq s;

    seq_read(&s, token, N);
    ck_assert_int_eq(seq_left(&s), N);
    ck_assert_int_eq(run(&s, _i), 0);
    ck_assert_int_eq(s.fed, N);
}
END_TEST

START_TEST(one_row_that_is_not_finite)
{
    const struct score_out out[] = {{-1, true, true}, {0, true, false}};
    struct seq s;

    seq_score(&s, token, N, 1);
    seq_scored(&s, out, 2);
    ck_assert(!s.finite);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seq");
    TCase *t = tcase_create("seq");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(t, target_behind_context, 1, 7);
    tcase_add_loop_test(t, every_token_but_the_first, 1, 7);
    tcase_add_test(t, nothing_to_score_feeds_nothing);
    tcase_add_loop_test(t, reading_scores_nothing, 1, 7);
    tcase_add_test(t, one_row_that_is_not_finite);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
