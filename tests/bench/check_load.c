/* What the benchmark feeds: every token once, in order, within its limits. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load.h"

#define VOCAB 1000

/* Follow the steps as a backend would. */
static void check_load(const struct load_sequence *s, int32_t n, int32_t tail,
                       int32_t rows_per_step, int32_t slots)
{
    int32_t *owner = calloc((size_t)slots, sizeof *owner), next = 0;
    int32_t *fed = calloc((size_t)n, sizeof *fed);
    int64_t rows = 0, scored = 0;
    struct load l;

    load_init(&l, s, n, tail, rows_per_step, slots);
    for (int i = 0; i < l.n; i++) {
        const struct step *step = &l.step[i];
        int32_t row = 0, score = 0;

        ck_assert(step->n_piece >= 1 && step->n_piece <= slots);
        for (int32_t k = 0; k < l.n_reset[i]; k++)
            owner[l.reset[i][k]] = next++;
        ck_assert_ptr_eq(step->score_out, l.out + scored);
        for (int32_t p = 0; p < step->n_piece; p++) {
            const struct piece *piece = &step->piece[p];
            int32_t who = owner[piece->slot];

            ck_assert_ptr_eq(piece->token, s[who].token + fed[who]);
            for (int32_t t = 0; t < piece->n; t++, row++, fed[who]++) {
                if (tail > 0 && fed[who] < s[who].n - tail)
                    continue;
                ck_assert_int_eq(step->score[score].row, row);
                ck_assert_int_eq(step->score[score++].target,
                                 s[who].token[fed[who] + 1]);
            }
            ck_assert_int_le(fed[who], s[who].n);
        }
        ck_assert_int_eq(step->n_score, score);
        ck_assert_int_le(row, rows_per_step);
        rows += row;
        scored += score;
    }
    for (int32_t i = 0; i < n; i++)
        ck_assert_int_eq(fed[i], s[i].n);
    ck_assert_int_eq(l.rows, rows);
    ck_assert_int_eq(l.scored, scored);
    load_finish(&l);
    free(owner);
    free(fed);
}

START_TEST(equal_sequences_fill_whole_steps)
{
    struct load_sequence *s = load_equal(8, 32, VOCAB, 1);
    struct load l;

    check_load(s, 8, 0, 128, 8);
    load_init(&l, s, 8, 0, 128, 8);
    ck_assert_int_eq(l.n, 2);
    ck_assert_int_eq(l.step[0].n_piece, 4);
    load_finish(&l);
    free(s);
}
END_TEST

START_TEST(any_lengths_go_on_in_the_next_step)
{
    struct load_sequence *s = load_mix(500, VOCAB, 3);

    check_load(s, 500, 0, 1000, 64);
    check_load(s, 500, 2, 1000, 64);
    check_load(s, 500, 2, 7, 1);
    check_load(s, 500, 0, 100000, 3); /* slots run out before rows */
    free(s);
}
END_TEST

START_TEST(the_mix_has_its_mean)
{
    const int32_t n = 20000;
    struct load_sequence *s = load_mix(n, VOCAB, 1), *t = load_mix(n, VOCAB, 1);
    double sum = 0;

    for (int32_t i = 0; i < n; i++) {
        ck_assert_int_eq(s[i].n, t[i].n);
        ck_assert(s[i].n >= 8 && s[i].n <= LOAD_MIX_MAX);
        ck_assert_int_eq(memcmp(s[i].token, t[i].token,
                                (size_t)(s[i].n + 1) * sizeof(int32_t)),
                         0);
        sum += s[i].n;
    }
    ck_assert_double_eq_tol(sum / n, LOAD_MIX_MEAN, 1.0);
    free(s);
    free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("load");
    TCase *c = tcase_create("steps");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_test(c, equal_sequences_fill_whole_steps);
    tcase_add_test(c, any_lengths_go_on_in_the_next_step);
    tcase_add_test(c, the_mix_has_its_mean);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
