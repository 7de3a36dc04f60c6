/* Draws against the rules of model/sampler.h, computed here the long way. */
#include <check.h>
#include <float.h>

#include "model/history.h"
#include "model/philox.h"
#include "model/sampler.h"
#include "tests/model/kernel_sets.h"
#include "tests/model/truth.h"

#define VOCAB 300
#define PADDED 304

__extension__ typedef unsigned __int128 wide;

static struct sampler *sampler;
static struct err err;

static void setup(void)
{
    sampler = sampler_create(VOCAB, cpu_kernels(CPU_ISA_BEST, NULL), &err);
    ck_assert(sampler != NULL);
}

static void teardown(void)
{
    sampler_destroy(sampler);
}

static int32_t largest_of(const float *x)
{
    int32_t best = 0;

    for (int32_t i = 1; i < VOCAB; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

/* All ids by rule 3's order. */
static void order(const float *x, int32_t *id)
{
    for (int32_t i = 0; i < VOCAB; i++) {
        int32_t at = i;

        for (; at > 0 && x[id[at - 1]] < x[i]; at--)
            id[at] = id[at - 1];
        id[at] = i;
    }
}

/* Rules 2 to 5 over a full sort. */
static int32_t draw_plainly(const struct sample_row *how, const float *x)
{
    bool by_k = how->top_k > 0 && how->top_k < VOCAB;
    int32_t id[VOCAB], kept = by_k ? how->top_k : VOCAB, n = 0;
    uint64_t weight[VOCAB] = {0}, total = 0, sum = 0, aim;
    float p[PADDED];

    if (how->temperature == 0)
        return largest_of(x);
    cpu_kernels(CPU_ISA_SCALAR, NULL)
        ->exp(PADDED, x, x[largest_of(x)], 1.0f / how->temperature, p);
    order(x, id);
    for (int32_t i = 0; i < kept; i++) {
        if (p[id[i]] >= how->min_p)
            weight[id[i]] = (uint64_t)(p[id[i]] * 0x1p39f);
        total += weight[id[i]];
    }
    while (n < kept && (double)sum < (double)how->top_p * (double)total)
        sum += weight[id[n++]];
    while (how->top_p < 1 && n < kept)
        weight[id[n++]] = 0;
    sum = how->top_p < 1 ? sum : total;
    aim = (uint64_t)(((wide)philox_bits(how->key, how->sample, how->position, 0)
                      * sum)
                     >> 64);
    for (int32_t i = 0; i < VOCAB; i++) {
        if (aim < weight[i])
            return i;
        aim -= weight[i];
    }
    ck_abort_msg("no token");
    return -1;
}

/* Logits with ties, sharp or flat. */
static void make_logits(uint64_t *random, float *x)
{
    float spread = (float)(1 + random_below(random, 40));

    for (int i = 0; i < VOCAB; i++) {
        x[i] = random_float(random, spread);
        if (random_below(random, 3) == 0)
            x[i] = floorf(x[i]);
    }
    for (int i = VOCAB; i < PADDED; i++)
        x[i] = -FLT_MAX;
}

START_TEST(follows_the_rules)
{
    static const float temperature[] = {0, 1e-6f, 0.3f, 1, 1.7f, 100, 1e30f};
    static const float top_p[] = {1e-9f, 0.1f, 0.5f, 0.9f, 0.9999999f, 1, 1};
    static const int32_t top_k[] = {0, 0, 1, 2, 50, VOCAB - 1, VOCAB, 99999};
    static const float min_p[] = {0, 0, 1e-5f, 0.05f, 0.7f, 1};
    uint64_t random = 9;
    float x[PADDED];

    for (uint32_t i = 0; i < 20000; i++) {
        struct sample_row how = {
            .temperature = temperature[random_below(&random, 7)],
            .top_p = top_p[random_below(&random, 7)],
            .top_k = top_k[random_below(&random, 8)],
            .key = (uint64_t)i << 30,
            .sample = i % 5,
            .position = i,
            .min_p = min_p[random_below(&random, 6)],
        };
        int32_t want, got;

        if (i % 8 == 0)
            make_logits(&random, x);
        want = draw_plainly(&how, x);
        got = sampler_draw(sampler, &how, x, largest_of(x));
        if (got != want)
            ck_abort_msg(
                "temperature %g top_p %g top_k %d min_p %g: %d, not %d",
                (double)how.temperature, (double)how.top_p, how.top_k,
                (double)how.min_p, got, want);
    }
}
END_TEST

START_TEST(ties_go_to_the_lowest_id)
{
    float x[PADDED] = {[7] = 3, [9] = 3, [200] = 3};
    struct sample_row how = {.temperature = 1, .top_p = 1, .top_k = 1};

    for (how.position = 0; how.position < 50; how.position++)
        ck_assert_int_eq(sampler_draw(sampler, &how, x, 7), 7);
    how.top_k = 2;
    for (how.position = 0; how.position < 50; how.position++) {
        int32_t token = sampler_draw(sampler, &how, x, 7);

        ck_assert(token == 7 || token == 9);
    }
}
END_TEST

/* What a draw is told, and whether it has the history below. */
static const struct setting {
    struct sample_row how;
    bool history;
} settings[] = {
    {{.temperature = 1, .top_p = 1}, false},
    {{.temperature = 0.5f, .top_p = 1}, false},
    {{.temperature = 2.5f, .top_p = 1}, false},
    {{.temperature = 1, .top_p = 1, .top_k = 20}, false},
    {{.temperature = 1.3f, .top_p = 0.8f}, false},
    {{.temperature = 1, .top_p = 1, .min_p = 0.02f}, false},
    {{.temperature = 0.9f, .top_p = 0.9f, .top_k = 50, .min_p = 0.01f}, false},
    {{.temperature = 1, .top_p = 1, .presence_penalty = 1.5f}, true},
    {{.temperature = 1, .top_p = 1, .frequency_penalty = -0.4f}, true},
    {{.temperature = 1, .top_p = 1, .repetition_penalty = 1.4f}, true},
    {{.temperature = 0.8f,
      .top_p = 0.95f,
      .top_k = 100,
      .min_p = 0.001f,
      .presence_penalty = 0.3f,
      .frequency_penalty = 0.5f,
      .repetition_penalty = 1.2f},
     true},
};

static const int32_t prompt[] = {0, 3, 3, 7, 30, 31, 299};
static const int32_t generated[] = {1, 3, 3, 3, 8, 150, 30, 1, 12, 12};
static const struct logit_bias bias[] = {{2, 1.5f}, {3, -0.5f}, {200, 4}};
static const struct history history = {
    prompt,    sizeof prompt / sizeof *prompt,
    generated, sizeof generated / sizeof *generated,
    bias,      sizeof bias / sizeof *bias};

/* 40,000 draws of each setting against its fp64 distribution. */
START_TEST(draws_are_distributed)
{
    const struct setting *s = &settings[_i];
    struct histories *h = histories_create(VOCAB, 1, &err);
    uint64_t random = 50 + (uint64_t)_i;
    float x[PADDED], penalized_x[PADDED];
    int count[VOCAB] = {0};
    double p[VOCAB];
    int32_t best;

    history_set(h, 0, &history);
    for (int i = 0; i < PADDED; i++)
        x[i] = i < VOCAB ? random_float(&random, 6) : -FLT_MAX;
    for (int i = 0; i < history.n_generated; i++)
        x[generated[i]] = 7 + (float)(i % 4) / 2; /* worth penalizing */
    memcpy(penalized_x, x, sizeof x);
    best = s->history ? history_apply(h, 0, &s->how, x, penalized_x)
                      : largest_of(x);
    truth_of(&s->how, s->history ? &history : NULL, x, VOCAB, p);
    for (uint32_t i = 0; i < 40000; i++) {
        struct sample_row how = s->how;

        how.key = 77;
        how.sample = i % 8;
        how.position = i / 8;
        count[sampler_draw(sampler, &how, penalized_x, best)]++;
    }
    truth_check(count, p, VOCAB, 40000);
    histories_destroy(h);
}
END_TEST

/* Every argument of the random stream changes the draws. */
START_TEST(streams_differ)
{
    struct sample_row how = {.temperature = 1, .top_p = 1};
    const float x[PADDED] = {0};
    int same[3] = {0};

    for (; how.position < 1000; how.position++) {
        struct sample_row other[3] = {how, how, how};
        int32_t token = sampler_draw(sampler, &how, x, 0);

        other[0].key = 1;
        other[1].sample = 1;
        other[2].position += 1000;
        for (int i = 0; i < 3; i++)
            same[i] += sampler_draw(sampler, &other[i], x, 0) == token;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_lt(same[i], 20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sampler");
    TCase *c = tcase_create("draw");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, follows_the_rules);
    tcase_add_test(c, ties_go_to_the_lowest_id);
    tcase_add_loop_test(c, draws_are_distributed, 0,
                        sizeof settings / sizeof *settings);
    tcase_add_test(c, streams_differ);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
