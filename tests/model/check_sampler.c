/* Draws against the rules of model/sampler.h, computed here the long way. */
#include <check.h>
#include <float.h>

#include "model/philox.h"
#include "model/sampler.h"
#include "tests/model/kernel_sets.h"

#define VOCAB 300
#define PADDED 304

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

static int32_t draw_plainly(const struct sample_row *how, const float *x)
{
    bool by_k = how->top_k > 0 && how->top_k < VOCAB, cut;
    int32_t id[VOCAB], kept = by_k ? how->top_k : VOCAB, n = 0;
    float p[PADDED];
    double total = 0, sum = 0, aim;

    if (how->temperature == 0)
        return largest_of(x);
    cut = by_k || how->top_p < 1;
    cpu_kernels(CPU_ISA_SCALAR, NULL)
        ->exp(PADDED, x, x[largest_of(x)], 1.0f / how->temperature, p);
    order(x, id);
    for (int32_t i = 0; i < VOCAB && !by_k; i++)
        total += (double)p[i]; /* by id, when top_k cuts nothing */
    for (int32_t i = 0; i < kept && by_k; i++)
        total += (double)p[id[i]];
    while (cut && n < kept) {
        sum += (double)p[id[n++]];
        if (how->top_p < 1 && sum >= (double)how->top_p * total)
            break;
    }
    if (!cut) {
        n = VOCAB;
        sum = total;
        for (int32_t i = 0; i < VOCAB; i++)
            id[i] = i;
    }
    aim = philox_uniform(how->key, how->sample, how->position, 0) * sum;
    sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += (double)p[id[i]];
        if (sum > aim)
            return id[i];
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
        };
        int32_t want, got;

        if (i % 8 == 0)
            make_logits(&random, x);
        want = draw_plainly(&how, x);
        got = sampler_draw(sampler, &how, x, largest_of(x));
        if (got != want)
            ck_abort_msg("temperature %g top_p %g top_k %d: %d, not %d",
                         (double)how.temperature, (double)how.top_p, how.top_k,
                         got, want);
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

/* Frequencies follow the distribution, and every argument of the random stream
 * changes the draws.
 */
START_TEST(draws_are_distributed)
{
    float x[PADDED];
    struct sample_row how = {.temperature = 1, .top_p = 1, .key = 4};
    int count[4] = {0}, other = 0;
    const double p[4] = {0.4, 0.3, 0.2, 0.1};

    for (int i = 0; i < PADDED; i++)
        x[i] = i < 4 ? logf((float)p[i]) : -200;
    for (; how.position < 40000; how.position++) {
        int32_t token = sampler_draw(sampler, &how, x, 0);

        ck_assert_int_lt(token, 4);
        count[token]++;
        how.sample = 1;
        other += token != sampler_draw(sampler, &how, x, 0);
        how.sample = 0;
    }
    for (int i = 0; i < 4; i++)
        ck_assert_msg(fabs(count[i] - 40000 * p[i]) < 5 * sqrt(40000 * p[i]),
                      "token %d came %d times", i, count[i]);
    ck_assert_int_gt(other, 20000);
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
    tcase_add_test(c, draws_are_distributed);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
