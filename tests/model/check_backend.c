/* What backend.c refuses, and that a refused step changes nothing. The null
 * backend serves, with a vocabulary of 10, 4 slots and 8 rows.
 */
#include "model/backend.h"

#include <check.h>
#include <math.h>
#include <string.h>

static const struct backend_limits limits = {
    .slots = 4, .tokens_per_step = 8, .score_rows = 3, .histories = 2};
static struct backend *b;
static struct err err;

static void setup(void)
{
    b = backend_create(&backend_null, NULL, &limits, "vocab=10", &err);
    ck_assert_msg(b != NULL, "%s", err.text);
}

static void teardown(void)
{
    backend_destroy(b);
    b = NULL;
}

static const int32_t tokens[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const int32_t bad_low[2] = {1, -1}, bad_high[2] = {1, 10};
static struct score_out score_out[8];
static struct sample_out sample_out[8];
static int32_t topk_id[8 * BACKEND_TOPK_MAX];
static float topk_logprob[8 * BACKEND_TOPK_MAX], logits[80];

#define PIECES(...) .piece = (struct piece[]){__VA_ARGS__}, .n_piece
#define SCORES(...) .score = (struct score_row[]){__VA_ARGS__}, .n_score
#define SAMPLES(...) .sample = (struct sample_row[]){__VA_ARGS__}, .n_sample
#define LOGITS(...) .logit_row = (int32_t[]){__VA_ARGS__}, .n_logit
#define OUTPUTS                                                           \
    .score_out = score_out, .sample_out = sample_out, .topk_id = topk_id, \
    .topk_logprob = topk_logprob, .logits = logits
#define DRAW(...)                                           \
    {                                                       \
        .row = 1, .temperature = 1, .top_p = 1, __VA_ARGS__ \
    }
#define TWO PIECES({0, 2, tokens}, {1, 1, tokens}) = 2, OUTPUTS

static const struct bad_step {
    const char *says;
    struct step step;
} bad_steps[] = {
    {"without pieces", {OUTPUTS}},
    {"piece 0: slot is 4", {PIECES({4, 1, tokens}) = 1}},
    {"piece 0: slot is -1", {PIECES({-1, 1, tokens}) = 1}},
    {"has a piece already", {PIECES({2, 1, tokens}, {2, 1, tokens}) = 2}},
    {"0 tokens", {PIECES({0, 0, tokens}) = 1}},
    {"9 tokens after 0 rows", {PIECES({0, 9, tokens}) = 1}},
    {"2 tokens after 7 rows", {PIECES({0, 7, tokens}, {1, 2, tokens}) = 2}},
    {"no sampled token", {PIECES({0, 1, NULL}) = 1}},
    {"token 1 is -1", {PIECES({0, 2, bad_low}) = 1}},
    {"token 1 is 10", {PIECES({0, 2, bad_high}) = 1}},
    {"score 0: row is 3", {TWO, SCORES({3, 1, 0}) = 1}},
    {"score 1: row is 0", {TWO, SCORES({0, 1, 0}, {0, 1, 0}) = 2}},
    {"target is 10", {TWO, SCORES({0, 10, 0}) = 1}},
    {"topk is 11", {TWO, SCORES({0, 1, 11}) = 1}},
    {"4 score rows",
     {PIECES({0, 8, tokens}) = 1, OUTPUTS,
      SCORES({0, 1, 0}, {1, 1, 0}, {2, 1, 0}, {3, 1, 0}) = 4}},
    {"score_out is NULL", {PIECES({0, 1, tokens}) = 1, SCORES({0, 1, 0}) = 1}},
    {"topk_logprob is NULL",
     {PIECES({0, 1, tokens}) = 1, .score_out = score_out,
      SCORES({0, 1, 1}) = 1}},
    {"slot 2 has no piece", {TWO, SAMPLES({.slot = 2, .top_p = 1}) = 1}},
    {"piece ends in row 1", {TWO, SAMPLES({.top_p = 1}) = 1}},
    {"sampled twice",
     {TWO, SAMPLES({.row = 1, .top_p = 1}, {.row = 1, .top_p = 1}) = 2}},
    {"temperature",
     {TWO, SAMPLES({.row = 1, .temperature = -1, .top_p = 1}) = 1}},
    {"temperature",
     {TWO, SAMPLES({.row = 1, .temperature = NAN, .top_p = 1}) = 1}},
    {"top_p", {TWO, SAMPLES({.row = 1, .temperature = 1}) = 1}},
    {"top_p", {TWO, SAMPLES({.row = 1, .temperature = 1, .top_p = 1.5f}) = 1}},
    {"top_k", {TWO, SAMPLES(DRAW(.top_k = -1)) = 1}},
    {"min_p is 1.5", {TWO, SAMPLES(DRAW(.min_p = 1.5f)) = 1}},
    {"presence_penalty", {TWO, SAMPLES(DRAW(.presence_penalty = NAN)) = 1}},
    {"frequency_penalty",
     {TWO, SAMPLES(DRAW(.frequency_penalty = INFINITY)) = 1}},
    {"repetition_penalty is -1",
     {TWO, SAMPLES(DRAW(.repetition_penalty = -1)) = 1}},
    {"slot 0 has no history",
     {TWO, SAMPLES(DRAW(.repetition_penalty = 1.1f)) = 1}},
    {"3 sample rows for 2", {TWO, .n_sample = 3}},
    {"sample_out is NULL",
     {PIECES({0, 1, tokens}) = 1, SAMPLES({.top_p = 1}) = 1}},
    {"logit row 0 is 3", {TWO, LOGITS(3) = 1}},
    {"logit row 1 is 1", {TWO, LOGITS(1, 1) = 2}},
    {"logits is NULL", {PIECES({0, 1, tokens}) = 1, LOGITS(0) = 1}},
};

START_TEST(bad_steps_are_refused)
{
    const struct bad_step *bad = &bad_steps[_i];
    float before[8], after[8];

    ck_assert_uint_le(b->state_bytes, sizeof before);
    ck_assert_int_eq(backend_save(b, 0, before, &err), 0);
    ck_assert_int_eq(backend_submit(b, &bad->step, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strncmp(err.text, "step: ", 6) == 0
                      && strstr(err.text, bad->says) != NULL,
                  "\"%s\" expected, not \"%s\"", bad->says, err.text);
    ck_assert_int_eq(backend_save(b, 0, after, &err), 0);
    ck_assert_int_eq(memcmp(before, after, b->state_bytes), 0);
}
END_TEST

static const struct bad_limits {
    const char *says;
    struct backend_limits limits;
    const char *options;
} bad_limits[] = {
    {"slots is 0", {0, 1, 0, 0}, NULL},
    {"slots is -5", {-5, 1, 0, 0}, NULL},
    {"slots is 2000000000", {2000000000, 1, 0, 0}, NULL},
    {"tokens_per_step is 0", {1, 0, 0, 0}, NULL},
    {"score_rows is 2", {1, 1, 2, 0}, NULL},
    {"score_rows is -1", {1, 1, -1, 0}, NULL},
    {"histories is 2; 0..slots (1)", {1, 1, 0, 2}, NULL},
    {"\"speed=1\" is not an option", {1, 1, 0, 0}, "speed=1"},
    {"\"vocab\" is not an option", {1, 1, 0, 0}, "vocab"},
    {"vocab is \"\"", {1, 1, 0, 0}, "vocab="},
    {"vocab is \"ten\"", {1, 1, 0, 0}, "latency_us=1,vocab=ten"},
    {"vocab is \"1x\"", {1, 1, 0, 0}, "vocab=1x"},
    {"vocab is \"0\"; a number 1..", {1, 1, 0, 0}, "vocab=0"},
};

START_TEST(bad_limits_and_options_are_refused)
{
    const struct bad_limits *bad = &bad_limits[_i];

    ck_assert_ptr_null(
        backend_create(&backend_null, NULL, &bad->limits, bad->options, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strncmp(err.text, "null backend: ", 14) == 0
                      && strstr(err.text, bad->says) != NULL,
                  "\"%s\" expected, not \"%s\"", bad->says, err.text);
}
END_TEST

START_TEST(options_may_be_words)
{
    static const char *const words[] = {"red", "green", NULL};
    int64_t colour = 7, count = 3;
    const struct backend_option option[] = {
        {.key = "colour", .value = &colour, .word = words},
        {.key = "count", .value = &count, .min = -2, .max = 9},
    };

    ck_assert_int_eq(backend_options("", option, 2, &err), 0);
    ck_assert_int_eq(backend_options(NULL, option, 2, &err), 0);
    ck_assert_int_eq(colour, 7);
    ck_assert_int_eq(backend_options("count=-2,colour=green", option, 2, &err),
                     0);
    ck_assert_int_eq(colour, 1);
    ck_assert_int_eq(count, -2);
    ck_assert_int_eq(backend_options("colour=greenish", option, 2, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "red, green"));
}
END_TEST

static int64_t feed(int32_t slot, int32_t token, bool sample)
{
    struct piece piece = {slot, 1, &token};
    struct sample_row row = {.slot = slot, .top_p = 1};

    return backend_submit(b,
                          &(struct step){.piece = &piece,
                                         .n_piece = 1,
                                         .sample = &row,
                                         .n_sample = sample,
                                         .sample_out = sample_out},
                          &err);
}

START_TEST(two_steps_may_be_unwaited)
{
    int64_t first = feed(0, 1, false), second = feed(0, 2, false);

    ck_assert_int_gt(first, 0);
    ck_assert_int_gt(second, 0);
    ck_assert_int_ne(first, second);
    ck_assert_int_eq(feed(0, 3, false), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "unwaited"));
    ck_assert_int_eq(backend_wait(b, second, &err), 0);
    ck_assert_int_gt(feed(0, 3, false), 0);
    ck_assert_int_eq(backend_wait(b, first, &err), 0);
    ck_assert_int_eq(backend_wait(b, first, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(backend_wait(b, 0, &err), -1);
}
END_TEST

static bool can_feed_sampled(int32_t slot)
{
    struct piece piece = {slot, 1, NULL};
    int64_t ticket =
        backend_submit(b, &(struct step){.piece = &piece, .n_piece = 1}, &err);

    return ticket > 0 && backend_wait(b, ticket, &err) == 0;
}

START_TEST(sampled_tokens_belong_to_slots)
{
    float state[8];

    ck_assert(!can_feed_sampled(1));
    ck_assert_int_eq(backend_wait(b, feed(1, 4, true), &err), 0);
    ck_assert(can_feed_sampled(1));
    ck_assert(!can_feed_sampled(2));
    ck_assert_int_eq(backend_copy(b, 2, 1, &err), 0);
    ck_assert(can_feed_sampled(2));
    ck_assert_int_eq(backend_copy(b, 2, 3, &err), 0);
    ck_assert(!can_feed_sampled(2));
    ck_assert_int_eq(backend_save(b, 1, state, &err), 0);
    ck_assert_int_eq(backend_load(b, 1, state, &err), 0);
    ck_assert(!can_feed_sampled(1));
    ck_assert_int_eq(backend_wait(b, feed(1, 4, true), &err), 0);
    ck_assert_int_eq(backend_reset(b, 1, &err), 0);
    ck_assert(!can_feed_sampled(1));
}
END_TEST

START_TEST(bad_slots_and_states_are_refused)
{
    float state[8] = {0}, kept[8], bad[8] = {0};

    ck_assert_int_eq(backend_reset(b, 4, &err), -1);
    ck_assert_int_eq(backend_copy(b, 0, -1, &err), -1);
    ck_assert_int_eq(backend_copy(b, 9, 0, &err), -1);
    ck_assert_int_eq(backend_save(b, 4, state, &err), -1);
    ck_assert_int_eq(backend_load(b, -1, state, &err), -1);
    ck_assert_str_eq(err.text, "load: slot is -1; 0..3 expected");
    ck_assert_int_eq(backend_wait(b, feed(0, 5, false), &err), 0);
    ck_assert_int_eq(backend_save(b, 0, kept, &err), 0);
    bad[b->state_bytes / sizeof(float) - 1] = INFINITY;
    ck_assert_int_eq(backend_load(b, 0, bad, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(backend_save(b, 0, state, &err), 0);
    ck_assert_int_eq(memcmp(state, kept, b->state_bytes), 0);
}
END_TEST

static int remember(int32_t slot, struct history h)
{
    return backend_remember(b, slot, &h, &err);
}

START_TEST(bad_histories_are_refused)
{
    const struct logit_bias twice[] = {{3, 1}, {3, 1}}, high[] = {{10, 1}};
    const struct logit_bias wild[] = {{3, NAN}};

    ck_assert_int_eq(remember(4, (struct history){0}), -1);
    ck_assert_str_eq(err.text, "remember: slot is 4; 0..3 expected");
    ck_assert_int_eq(
        remember(0, (struct history){.prompt = bad_high, .n_prompt = 2}), -1);
    ck_assert_str_eq(err.text,
                     "remember: prompt: token 1 is 10; 0..9 expected");
    ck_assert_int_eq(
        remember(0, (struct history){.generated = bad_low, .n_generated = 2}),
        -1);
    ck_assert_ptr_nonnull(strstr(err.text, "generated: token 1 is -1"));
    ck_assert_int_eq(remember(0, (struct history){.bias = twice, .n_bias = 2}),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "bias 1: token is 3; ascending"));
    ck_assert_int_eq(remember(0, (struct history){.bias = high, .n_bias = 1}),
                     -1);
    ck_assert_int_eq(remember(0, (struct history){.bias = wild, .n_bias = 1}),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "not finite"));
    ck_assert_int_eq(remember(0, (struct history){.n_bias = 1025}), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(b->history[0], -1);
}
END_TEST

/* The limits give two of them to four slots. */
START_TEST(histories_are_taken_and_given_back)
{
    const struct history none = {0};
    float state[8];

    ck_assert_int_eq(remember(0, none), 0);
    ck_assert_int_eq(remember(0, none), 0); /* in place of the first */
    ck_assert_int_eq(backend_copy(b, 1, 0, &err), 0);
    ck_assert_int_ge(b->history[1], 0);
    ck_assert_int_ne(b->history[1], b->history[0]);
    ck_assert_int_eq(remember(2, none), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_int_eq(backend_copy(b, 2, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_int_eq(backend_copy(b, 0, 1, &err), 0); /* both have one */
    ck_assert_int_eq(backend_copy(b, 1, 3, &err), 0); /* 3 has none */
    ck_assert_int_eq(b->history[1], -1);
    ck_assert_int_eq(remember(2, none), 0);
    ck_assert_int_eq(backend_reset(b, 2, &err), 0);
    ck_assert_int_eq(b->history[2], -1);
    ck_assert_int_eq(remember(3, none), 0);
    ck_assert_int_eq(backend_save(b, 3, state, &err), 0);
    ck_assert_int_ge(b->history[3], 0);
    ck_assert_int_eq(backend_load(b, 3, state, &err), 0);
    ck_assert_int_eq(b->history[3], -1);
}
END_TEST

START_TEST(cpu_needs_a_model)
{
    ck_assert_ptr_null(backend_create(&backend_cpu, NULL, &limits, NULL, &err));
    ck_assert_str_eq(err.text, "cpu backend: a model is needed");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backend");
    TCase *c = tcase_create("dispatch");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, bad_steps_are_refused, 0,
                        sizeof bad_steps / sizeof *bad_steps);
    tcase_add_loop_test(c, bad_limits_and_options_are_refused, 0,
                        sizeof bad_limits / sizeof *bad_limits);
    tcase_add_test(c, options_may_be_words);
    tcase_add_test(c, two_steps_may_be_unwaited);
    tcase_add_test(c, sampled_tokens_belong_to_slots);
    tcase_add_test(c, bad_slots_and_states_are_refused);
    tcase_add_test(c, bad_histories_are_refused);
    tcase_add_test(c, histories_are_taken_and_given_back);
    tcase_add_test(c, cpu_needs_a_model);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
