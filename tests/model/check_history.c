/* Histories of the CPU backend: what rule 1 of model/sampler.h does to a row. */
#include "model/history.h"

#include <check.h>
#include <float.h>
#include <stdlib.h>

#define VOCAB 8

static const int32_t prompt[] = {1, 2, 2}, generated[] = {2, 3, 3};
static const struct logit_bias bias[] = {{0, -1}, {3, 2}, {7, 0.5f}};
static const struct history full = {prompt, 3, generated, 3, bias, 3};
static const float x[VOCAB] = {1, 1, -2, 4, 4, 0, FLT_MAX, -FLT_MAX};

static struct histories *h;
static struct err err;
static float y[VOCAB];

static void setup(void)
{
    h = histories_create(VOCAB, 3, &err);
    ck_assert_msg(h != NULL, "%s", err.text);
    history_set(h, 1, &full);
}

static void teardown(void)
{
    histories_destroy(h);
}

static int32_t apply(int32_t index, struct sample_row how)
{
    return history_apply(h, index, &how, x, y);
}

static void expect(const float *want)
{
    for (int i = 0; i < VOCAB; i++)
        ck_assert_msg(y[i] == want[i], "token %d is %g, not %g", i,
                      (double)y[i], (double)want[i]);
}

START_TEST(each_rule_has_its_tokens)
{
    static const struct {
        struct sample_row how;
        float want[VOCAB];
    } cases[] = {
        {{0}, {0, 1, -2, 6, 4, 0, FLT_MAX, -FLT_MAX}},
        {{.presence_penalty = 0.5f},
         {0, 1, -2.5f, 5.5f, 4, 0, FLT_MAX, -FLT_MAX}},
        {{.frequency_penalty = 0.5f},
         {0, 1, -2.5f, 5, 4, 0, FLT_MAX, -FLT_MAX}},
        {{.repetition_penalty = 2}, {0, 0.5f, -4, 3, 4, 0, FLT_MAX, -FLT_MAX}},
        {{.presence_penalty = 0.25f,
          .frequency_penalty = -0.5f,
          .repetition_penalty = 2},
         {0, 0.5f, -3.75f, 3.75f, 4, 0, FLT_MAX, -FLT_MAX}},
    };

    apply(1, cases[_i].how);
    expect(cases[_i].want);
}
END_TEST

START_TEST(sampled_tokens_count)
{
    struct sample_row how = {.frequency_penalty = 1, .presence_penalty = 8};
    const float want[VOCAB] = {0, 1, -11, -4, 4, -10, FLT_MAX, -FLT_MAX};

    history_count(h, 1, 5);
    history_count(h, 1, 5);
    ck_assert_int_eq(apply(1, how), 6);
    expect(want);
}
END_TEST

START_TEST(logits_stay_finite)
{
    const int32_t token = 6;

    history_set(h, 0, &(struct history){.generated = &token, .n_generated = 1});
    ck_assert_int_eq(apply(0, (struct sample_row){.repetition_penalty = 0.5f}),
                     6);
    ck_assert(y[6] == FLT_MAX);
    ck_assert_int_eq(apply(0, (struct sample_row){.frequency_penalty = FLT_MAX,
                                                  .presence_penalty = FLT_MAX}),
                     3); /* the lowest id of two fours */
    ck_assert(y[6] == -FLT_MAX);
}
END_TEST

START_TEST(copies_are_independent_and_sets_start_anew)
{
    const float want[VOCAB] = {0, 1, -3, 4, 4, 0, FLT_MAX, -FLT_MAX};
    struct sample_row how = {.frequency_penalty = 1};

    history_copy(h, 2, 1);
    history_count(h, 1, 4);
    apply(2, how);
    expect(want);
    history_set(h, 1, &(struct history){0});
    apply(1, how);
    expect(x);
    ck_assert(!history_matters(h, 1, &(struct sample_row){.min_p = 0.5f}));
    ck_assert(history_matters(h, 2, &(struct sample_row){0})); /* its bias */
    ck_assert(history_matters(h, 1, &how));
    ck_assert(!history_matters(h, -1, &how));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("history");
    TCase *c = tcase_create("rule 1");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, each_rule_has_its_tokens, 0, 5);
    tcase_add_test(c, sampled_tokens_count);
    tcase_add_test(c, logits_stay_finite);
    tcase_add_test(c, copies_are_independent_and_sets_start_anew);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
