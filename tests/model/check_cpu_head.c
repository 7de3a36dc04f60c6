/* What the head makes of logits, against the raw logits of the same row: with
 * ties across columns, and with rows that are not finite.
 */
#include <check.h>
#include <math.h>
#include <string.h>

#include "model/backend.h"
#include "model/weights_random.h"

#define VOCAB 1100  /* three chunks of columns, the last not whole */
#define DISTINCT 90 /* outputs */
#define BAD_TOKEN 17

static const struct weights_shape shape = {.L = 1,
                                           .H = 2,
                                           .N = 16,
                                           .F = 40,
                                           .V = VOCAB,
                                           .rank_w = 4,
                                           .rank_a = 4,
                                           .rank_v = 4,
                                           .rank_g = 4,
                                           .bias = true};
static const struct backend_limits limits = {.slots = 2, .tokens_per_step = 8};
static struct weights *w;
static struct backend *b;
static struct err err;

/* A random model's tensors are its own, writable memory. */
static float *row_of(const struct weight *weight, int64_t row)
{
    return (float *)(uintptr_t)weight->tensor->data + row * weight->cols;
}

static void same_output(int64_t dst, int64_t src)
{
    memcpy(row_of(&w->head, dst), row_of(&w->head, src),
           (size_t)w->C * sizeof(float));
    row_of(&w->head_bias, 0)[dst] = row_of(&w->head_bias, 0)[src];
}

static void setup(void)
{
    w = weights_random(&shape, 3, &err);
    ck_assert_msg(w != NULL, "%s", err.text);
    for (int32_t i = DISTINCT; i < VOCAB; i++) /* each in all three chunks */
        same_output(i, i % DISTINCT);
    row_of(&w->emb, BAD_TOKEN)[5] = INFINITY;
    b = backend_create(&backend_cpu, w, &limits, NULL, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
}

static void teardown(void)
{
    backend_destroy(b);
    weights_close(w);
}

static struct score_out score[8];
static struct sample_out sample;
static int32_t topk_id[8][BACKEND_TOPK_MAX];
static float topk_logprob[8][BACKEND_TOPK_MAX], logits[VOCAB];

/* Feed one token, scoring `target` with top-k and drawing greedily. */
static void run(int32_t token, int32_t target)
{
    const int32_t row = 0;
    int64_t ticket = backend_submit(
        b,
        &(struct step){.piece = &(struct piece){0, 1, &token},
                       .n_piece = 1,
                       .score =
                           &(struct score_row){0, target, BACKEND_TOPK_MAX},
                       .n_score = 1,
                       .score_out = score,
                       .topk_id = topk_id[0],
                       .topk_logprob = topk_logprob[0],
                       .sample = &(struct sample_row){.top_p = 1},
                       .n_sample = 1,
                       .sample_out = &sample,
                       .logit_row = &row,
                       .n_logit = 1,
                       .logits = logits},
        &err);

    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
}

static double log_sum(void)
{
    double max = -INFINITY, sum = 0;

    for (int i = 0; i < VOCAB; i++)
        max = fmax(max, (double)logits[i]);
    for (int i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* The best id not yet taken: largest logit, lowest id first. */
static int32_t next_best(bool *taken)
{
    int32_t best = -1;

    for (int32_t i = 0; i < VOCAB; i++) {
        if (!taken[i] && (best < 0 || logits[i] > logits[best]))
            best = i;
    }
    taken[best] = true;
    return best;
}

START_TEST(scores_follow_from_the_logits)
{
    for (int32_t token = 20; token < 60; token++) {
        bool taken[VOCAB] = {false};
        int32_t target = token * 29 % VOCAB, best;
        double all;

        run(token, target);
        for (int i = DISTINCT; i < VOCAB; i++)
            ck_assert_float_eq(logits[i], logits[i % DISTINCT]);
        all = log_sum();
        best = next_best(taken);
        taken[best] = false;
        ck_assert_double_eq_tol((double)score[0].logprob,
                                (double)logits[target] - all, 4e-6);
        ck_assert(score[0].finite && sample.finite);
        ck_assert_int_eq(score[0].argmax, target == best);
        ck_assert_int_eq(sample.token, best);
        ck_assert_double_eq_tol((double)sample.logprob,
                                (double)logits[best] - all, 4e-6);
        for (int k = 0; k < BACKEND_TOPK_MAX; k++) {
            ck_assert_int_eq(topk_id[0][k], next_best(taken));
            ck_assert_double_eq_tol((double)topk_logprob[0][k],
                                    (double)logits[topk_id[0][k]] - all, 4e-6);
        }
    }
}
END_TEST

START_TEST(lowest_id_wins_ties)
{
    int32_t best, twin;

    run(30, 0);
    best = sample.token;
    ck_assert_int_lt(best, DISTINCT);
    twin = best + 8 * DISTINCT; /* in another chunk of columns */
    ck_assert_int_eq(backend_reset(b, 0, &err), 0);
    run(30, best);
    ck_assert(score[0].argmax);
    ck_assert_int_eq(backend_reset(b, 0, &err), 0);
    run(30, twin);
    ck_assert(!score[0].argmax);
    ck_assert_float_eq(score[0].logprob, sample.logprob);
}
END_TEST

START_TEST(rows_that_are_not_finite_say_so)
{
    const int32_t bad = BAD_TOKEN, good[2] = {20, 21};
    const struct piece pieces[2] = {{0, 1, &bad}, {1, 2, good}};
    const struct score_row rows[3] = {{0, 5, 2}, {1, 5, 2}, {2, 5, 2}};
    const struct sample_row draws[2] = {
        {.row = 0, .slot = 0, .top_p = 1, .temperature = 1},
        {.row = 2, .slot = 1, .top_p = 1, .temperature = 1}};
    struct sample_out drawn[2];
    int64_t ticket = backend_submit(b,
                                    &(struct step){
                                        .piece = pieces,
                                        .n_piece = 2,
                                        .score = rows,
                                        .n_score = 3,
                                        .score_out = score,
                                        .topk_id = topk_id[0],
                                        .topk_logprob = topk_logprob[0],
                                        .sample = draws,
                                        .n_sample = 2,
                                        .sample_out = drawn,
                                    },
                                    &err);

    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    ck_assert(!score[0].finite && !score[0].argmax && isnan(score[0].logprob));
    ck_assert(!drawn[0].finite && drawn[0].token == 0);
    ck_assert(isnan(topk_logprob[0][0]));
    ck_assert(score[1].finite && score[2].finite && drawn[1].finite);
    ck_assert(score[2].logprob < 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cpu_head");
    TCase *c = tcase_create("head");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, scores_follow_from_the_logits);
    tcase_add_test(c, lowest_id_wins_ties);
    tcase_add_test(c, rows_that_are_not_finite_say_so);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
