/* The null backend: results follow the sequence alone, and triggers fire. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "model/backend.h"

#define ROWS 64

static struct backend *b;
static struct err err;

static void open_with(const char *options)
{
    const struct backend_limits limits = {.slots = 4, .tokens_per_step = ROWS};

    b = backend_create(&backend_null, NULL, &limits, options, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
}

static void teardown(void)
{
    backend_destroy(b);
    b = NULL;
}

/* Feed tokens and score `target` after the last. */
static struct score_out feed(int32_t slot, const int32_t *token, int32_t n,
                             int32_t target)
{
    struct score_out out;
    const struct score_row row = {.row = n - 1, .target = target};
    int64_t ticket =
        backend_submit(b,
                       &(struct step){.piece = &(struct piece){slot, n, token},
                                      .n_piece = 1,
                                      .score = &row,
                                      .n_score = 1,
                                      .score_out = &out},
                       &err);

    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    return out;
}

static void reset(int32_t slot)
{
    ck_assert_int_eq(backend_reset(b, slot, &err), 0);
}

START_TEST(scores_follow_the_sequence)
{
    const int32_t token[6] = {5, 6, 7, 8, 9, 10}, other[2] = {6, 5};
    struct score_out want;
    float state[4];

    open_with(NULL);
    ck_assert_int_eq(b->vocab, 65536);
    want = feed(0, token, 6, 42);
    ck_assert(want.finite && want.logprob < 0 && want.logprob > -12);
    feed(1, token, 1, 0);
    feed(1, token + 1, 3, 0);
    ck_assert_int_eq(backend_copy(b, 2, 1, &err), 0);
    ck_assert_int_eq(backend_save(b, 1, state, &err), 0);
    ck_assert_int_eq(backend_load(b, 3, state, &err), 0);
    for (int32_t slot = 1; slot < 4; slot++)
        ck_assert(feed(slot, token + 4, 2, 42).logprob == want.logprob);
    reset(0);
    ck_assert(feed(0, token, 6, 43).logprob != want.logprob);
    reset(0);
    ck_assert(feed(0, token, 5, 42).logprob != want.logprob);
    reset(0);
    reset(1);
    ck_assert(feed(0, token, 2, 42).logprob != feed(1, other, 2, 42).logprob);
}
END_TEST

static struct sample_out draw(int32_t slot, const int32_t *token,
                              const struct sample_row *how)
{
    struct sample_out out;
    struct sample_row row = *how;
    int64_t ticket;

    row.slot = slot;
    ticket =
        backend_submit(b,
                       &(struct step){.piece = &(struct piece){slot, 1, token},
                                      .n_piece = 1,
                                      .sample = &row,
                                      .n_sample = 1,
                                      .sample_out = &out},
                       &err);
    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    ck_assert(out.finite && out.logprob < 0 && out.logprob > -12);
    ck_assert(out.token >= 0 && out.token < b->vocab);
    return out;
}

START_TEST(texts_end_one_time_in_32)
{
    struct sample_row how = {.top_p = 1};
    const int32_t start = 1;
    int ends = 0;

    open_with("vocab=1000");
    draw(0, &start, &how);
    for (int i = 0; i < 32000; i++)
        ends += draw(0, NULL, &how).token == 0;
    ck_assert_msg(ends > 850 && ends < 1150, "%d ends in 32000", ends);
}
END_TEST

START_TEST(draws_follow_key_sample_and_position)
{
    struct sample_row how[5] = {{0}};
    const int32_t start = 1;
    int32_t token[5];

    for (int i = 0; i < 5; i++)
        how[i] = (struct sample_row){.top_p = 1, .temperature = 1, .key = 3};
    how[1].key = 4;
    how[2].sample = 1;
    how[3].position = 1;
    how[4].temperature = 0;
    open_with(NULL);
    for (int i = 0; i < 5; i++) {
        reset(0);
        token[i] = draw(0, &start, &how[i]).token;
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(token[i], token[j]);
        reset(0);
        ck_assert_int_eq(draw(0, &start, &how[i]).token, token[i]);
    }
}
END_TEST

START_TEST(sampled_tokens_are_fed)
{
    struct sample_row how = {.top_p = 1};
    const int32_t start = 1;
    int32_t token;
    float fed[4], given[4];

    open_with(NULL);
    token = draw(0, &start, &how).token;
    draw(0, NULL, &how);
    draw(1, &start, &how);
    draw(1, &token, &how);
    ck_assert_int_eq(backend_save(b, 0, fed, &err), 0);
    ck_assert_int_eq(backend_save(b, 1, given, &err), 0);
    ck_assert_int_eq(memcmp(fed, given, sizeof fed), 0);
}
END_TEST

START_TEST(top_k_and_logits_are_given)
{
    const int32_t token = 3, row = 0;
    const struct score_row score = {0, 1, 5};
    struct score_out out;
    int32_t id[BACKEND_TOPK_MAX];
    float logprob[BACKEND_TOPK_MAX], logits[7];
    int64_t ticket;

    open_with("vocab=7");
    ticket =
        backend_submit(b,
                       &(struct step){.piece = &(struct piece){0, 1, &token},
                                      .n_piece = 1,
                                      .score = &score,
                                      .n_score = 1,
                                      .score_out = &out,
                                      .topk_id = id,
                                      .topk_logprob = logprob,
                                      .logit_row = &row,
                                      .n_logit = 1,
                                      .logits = logits},
                       &err);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    for (int i = 0; i < 5; i++) {
        ck_assert(id[i] >= 0 && id[i] < 7);
        ck_assert(i == 0 || logprob[i] < logprob[i - 1]);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(id[i], id[j]);
    }
    for (int i = 0; i < 7; i++)
        ck_assert(logits[i] < 0);
    ck_assert(logits[1] == out.logprob);
}
END_TEST

START_TEST(poison_stays)
{
    const int32_t poison = 9, after[3] = {1, 2, 3};

    open_with("poison_token=9");
    ck_assert(feed(0, after, 3, 5).finite);
    ck_assert(!feed(0, &poison, 1, 5).finite);
    ck_assert(!feed(0, after, 3, 5).finite);
    ck_assert(isnan(feed(0, after, 3, 5).logprob));
    ck_assert(feed(1, after, 3, 5).finite);
    reset(0);
    ck_assert(feed(0, after, 3, 5).finite);
}
END_TEST

START_TEST(a_step_takes_its_latency)
{
    const int32_t token = 1;
    struct step step = {.piece = &(struct piece){0, 1, &token}, .n_piece = 1};
    int64_t start, first, second;

    open_with("latency_us=20000");
    start = clock_now_us();
    first = backend_submit(b, &step, &err);
    second = backend_submit(b, &step, &err);
    ck_assert_int_lt(clock_now_us() - start,
                     15000); /* submit returns at once */
    ck_assert_int_eq(backend_wait(b, first, &err), 0);
    ck_assert_int_ge(clock_now_us() - start, 20000);
    ck_assert_int_eq(backend_wait(b, second, &err), 0);
    ck_assert_int_ge(clock_now_us() - start, 40000); /* steps queue up */
}
END_TEST

START_TEST(crash_token_aborts)
{
    const int32_t token[3] = {1, 7, 2};

    open_with("crash_token=7");
    feed(0, token, 1, 0);
    feed(0, token, 3, 0);
}
END_TEST

/* Of two tokens, 1 is the one that is sampled until a text ends. */
START_TEST(sampled_crash_token_aborts)
{
    struct sample_row how = {.top_p = 1};
    const int32_t start = 0;

    open_with("vocab=2,crash_token=1");
    while (draw(0, &start, &how).token != 1)
        continue;
    draw(0, NULL, &how);
}
END_TEST

START_TEST(exit_token_exits)
{
    const int32_t token = 7;

    open_with("exit_token=7");
    feed(0, &token, 1, 0);
}
END_TEST

START_TEST(hang_token_hangs)
{
    const int32_t token = 7;

    open_with("hang_token=7");
    signal(SIGALRM, SIG_DFL);
    alarm(1);
    feed(0, &token, 1, 0);
}
END_TEST

START_TEST(crash_after_counts_rows)
{
    const int32_t token[10] = {1, 2, 3};

    open_with("crash_after=25");
    feed(0, token, 10, 0);
    feed(0, token, 10, 0);
    feed(1, token, 5, 0);
    if (feed(2, token, 1, 0).finite) /* aborts */
        exit(3);
}
END_TEST

START_TEST(crash_after_spares_what_is_below)
{
    const int32_t token[10] = {1, 2, 3};

    open_with("crash_after=20");
    feed(0, token, 10, 0);
    ck_assert(feed(0, token, 10, 0).finite);
}
END_TEST

START_TEST(strange_states_are_refused)
{
    const float half[4] = {0.5f}, big[4] = {0, 65536}, low[4] = {0, 0, -1};

    open_with(NULL);
    ck_assert_int_eq(backend_load(b, 0, half, &err), -1);
    ck_assert_int_eq(backend_load(b, 0, big, &err), -1);
    ck_assert_int_eq(backend_load(b, 0, low, &err), -1);
    ck_assert_str_eq(err.text, "load: element 2 is -1; a whole number 0..65535"
                               " expected");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("null");
    TCase *c = tcase_create("null");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_set_timeout(c, 30);
    tcase_add_test(c, scores_follow_the_sequence);
    tcase_add_test(c, texts_end_one_time_in_32);
    tcase_add_test(c, draws_follow_key_sample_and_position);
    tcase_add_test(c, sampled_tokens_are_fed);
    tcase_add_test(c, top_k_and_logits_are_given);
    tcase_add_test(c, poison_stays);
    tcase_add_test(c, a_step_takes_its_latency);
    tcase_add_test_raise_signal(c, crash_token_aborts, SIGABRT);
    tcase_add_test_raise_signal(c, sampled_crash_token_aborts, SIGABRT);
    tcase_add_exit_test(c, exit_token_exits, 1);
    tcase_add_test_raise_signal(c, hang_token_hangs, SIGALRM);
    tcase_add_test_raise_signal(c, crash_after_counts_rows, SIGABRT);
    tcase_add_test(c, crash_after_spares_what_is_below);
    tcase_add_test(c, strange_states_are_refused);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
