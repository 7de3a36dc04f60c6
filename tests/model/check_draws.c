/* Draws of the demo model through the CPU backend against the float64
 * distribution of its logits: 20,480 of each setting, each in a slot of its own
 * that continues the same prompt.
 */
#include <check.h>
#include <string.h>

#include "model/backend.h"
#include "model/weights.h"
#include "tests/model/truth.h"

#define SLOTS 64
#define STEPS 320
#define VOCAB_MAX 4096
#define PROMPT 24

static struct err err;
static struct weights *weights;
static struct backend *b;
static int32_t prompt[PROMPT];

static const struct sample_row settings[] = {
    {.temperature = 1.3f, .top_p = 0.95f},
    {.temperature = 1.5f, .top_p = 1, .top_k = 40, .min_p = 0.01f},
    {.temperature = 1,
     .top_p = 1,
     .presence_penalty = 0.5f,
     .frequency_penalty = 0.7f,
     .repetition_penalty = 1.3f},
    {.temperature = 2,
     .top_p = 0.9f,
     .top_k = 200,
     .min_p = 0.001f,
     .frequency_penalty = -0.2f,
     .repetition_penalty = 0.9f},
};

static void setup(void)
{
    const struct backend_limits limits = {
        .slots = SLOTS + 1, .tokens_per_step = SLOTS, .histories = SLOTS};

    weights = weights_open("examples/model", &err);
    ck_assert_msg(weights != NULL, "%s", err.text);
    ck_assert_int_le(weights->V, VOCAB_MAX);
    b = backend_create(&backend_cpu, weights, &limits, NULL, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = i * 389 % weights->V;
}

static void teardown(void)
{
    backend_destroy(b);
    weights_close(weights);
}

static void run(const struct step *step)
{
    int64_t ticket = backend_submit(b, step, &err);

    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
}

/* Slot SLOTS holds all of the prompt but its last token. */
static void feed_prompt(void)
{
    const struct piece piece = {SLOTS, PROMPT - 1, prompt};

    run(&(struct step){.piece = &piece, .n_piece = 1});
}

static void fetch_logits(float *logits)
{
    const struct piece piece = {0, 1, &prompt[PROMPT - 1]};
    const int32_t row = 0;

    ck_assert_int_eq(backend_copy(b, 0, SLOTS, &err), 0);
    run(&(struct step){.piece = &piece,
                       .n_piece = 1,
                       .logit_row = &row,
                       .n_logit = 1,
                       .logits = logits});
}

/* The likeliest token three times, the next one twice, the next one once. */
static void repeat_likeliest(const float *logits, int32_t generated[6])
{
    int32_t best[3] = {-1, -1, -1};

    for (int k = 0; k < 3; k++)
        for (int32_t i = 0; i < weights->V; i++)
            if (i != best[0] && i != best[1]
                && (best[k] < 0 || logits[i] > logits[best[k]]))
                best[k] = i;
    for (int i = 0; i < 6; i++)
        generated[i] = best[i < 3 ? 0 : i < 5 ? 1 : 2];
}

static void draw(const struct sample_row *how, const struct history *h,
                 uint32_t step, int *count)
{
    struct piece piece[SLOTS];
    struct sample_row row[SLOTS];
    struct sample_out out[SLOTS];

    for (int32_t i = 0; i < SLOTS; i++) {
        ck_assert_int_eq(backend_copy(b, i, SLOTS, &err), 0);
        if (h != NULL)
            ck_assert_int_eq(backend_remember(b, i, h, &err), 0);
        piece[i] = (struct piece){i, 1, &prompt[PROMPT - 1]};
        row[i] = *how;
        row[i].row = row[i].slot = i;
        row[i].key = 12;
        row[i].sample = (uint32_t)i;
        row[i].position = step;
    }
    run(&(struct step){.piece = piece,
                       .n_piece = SLOTS,
                       .sample = row,
                       .n_sample = SLOTS,
                       .sample_out = out});
    for (int i = 0; i < SLOTS; i++)
        count[out[i].token]++;
}

START_TEST(draws_of_the_demo_model)
{
    const struct sample_row *how = &settings[_i];
    static float logits[VOCAB_MAX];
    static double p[VOCAB_MAX];
    static int count[VOCAB_MAX];
    int32_t generated[6];
    const struct logit_bias bias[] = {{40, 2}, {300, 1}};
    const struct history all = {prompt, PROMPT, generated, 6, bias, 2};
    const struct history *h = how->frequency_penalty != 0 ? &all : NULL;

    feed_prompt();
    fetch_logits(logits);
    repeat_likeliest(logits, generated);
    truth_of(how, h, logits, weights->V, p);
    memset(count, 0, sizeof count);
    for (uint32_t i = 0; i < STEPS; i++)
        draw(how, h, i, count);
    truth_check(count, p, weights->V, STEPS * SLOTS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("draws");
    TCase *c = tcase_create("distribution");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, draws_of_the_demo_model, 0,
                        sizeof settings / sizeof *settings);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
