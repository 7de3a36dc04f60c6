/* What the CUDA engine does with values and requests that do not fit. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"
#include "model/weights_random.h"
#include "tests/gpu/suite.h"

#define LENGTH 40
#define SEQUENCES 3

static const struct weights_shape shape = {2,  4,  64, 1024, 1000, 32,
                                           32, 16, 48, true, false};

static struct err err;
static struct weights *weights;

static void begin(void)
{
    weights = weights_random(&shape, 9, &err);
    ck_assert_msg(weights != NULL, "%s", err.text);
}

static void end(void)
{
    weights_close(weights);
}

/* Random weights lie in writable memory of their own. */
static float *values(const struct weight *w)
{
    return (float *)(uintptr_t)w->tensor->data + w->offset;
}

static void scale(const struct weight *w, float by)
{
    for (int64_t i = 0; i < w->rows * w->cols; i++)
        values(w)[i] *= by;
}

static struct backend *open_backend(const struct backend_ops *ops,
                                    const char *options)
{
    const struct backend_limits limits = {.slots = SEQUENCES,
                                          .tokens_per_step = 256};

    return backend_create(ops, weights, &limits, options, &err);
}

/* Three sequences in one step; sequence i starts with token first[i]. */
static void score(const struct backend_ops *ops, const char *options,
                  const int32_t *first, struct score_out *out)
{
    struct backend *b = open_backend(ops, options);
    int32_t token[SEQUENCES * LENGTH];
    struct score_row row[SEQUENCES * LENGTH];
    struct piece piece[SEQUENCES];
    struct step step = {.piece = piece,
                        .n_piece = SEQUENCES,
                        .score = row,
                        .n_score = SEQUENCES * LENGTH,
                        .score_out = out};
    int64_t ticket;

    ck_assert_msg(b != NULL, "%s", err.text);
    for (int32_t i = 0; i < SEQUENCES * LENGTH; i++) {
        token[i] = i % LENGTH == 0 ? first[i / LENGTH] : 100 + i * 37 % 800;
        row[i] = (struct score_row){.row = i, .target = 100 + i * 53 % 800};
    }
    for (int32_t i = 0; i < SEQUENCES; i++)
        piece[i] = (struct piece){i, LENGTH, token + i * LENGTH};
    ticket = backend_submit(b, &step, &err);
    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    backend_destroy(b);
}

static const int32_t plain[SEQUENCES] = {1, 2, 3};

/* The FFN squares values around ten thousand: far beyond 65504, and then most
 * of the residual stream.
 */
START_TEST(large_activations_keep_fp16_accurate)
{
    struct score_out want[SEQUENCES * LENGTH], got[SEQUENCES * LENGTH];
    double sum = 0;

    for (int i = 0; i < weights->L; i++)
        scale(&weights->layer[i].ffn_key, 10000.0f);
    score(&backend_cpu, NULL, plain, want);
    score(&backend_cuda, "compute=fp16", plain, got);
    for (int i = 0; i < SEQUENCES * LENGTH; i++) {
        ck_assert_msg(got[i].finite, "row %d is not finite", i);
        sum += fabs((double)got[i].logprob - (double)want[i].logprob);
    }
    printf("  mean |delta logprob| with squares of 1e8: %.1e\n",
           sum / (SEQUENCES * LENGTH));
    ck_assert_double_lt(sum / (SEQUENCES * LENGTH), 0.02);
}
END_TEST

/* A row that is not finite says so, and touches no other sequence. */
START_TEST(a_row_that_is_not_finite_stays_alone)
{
    static const char *const options[] = {"compute=fp16", "compute=bf16",
                                          "compute=fp32"};
    static const int32_t bad[SEQUENCES] = {1, 7, 3};
    struct score_out want[SEQUENCES * LENGTH], got[SEQUENCES * LENGTH];

    values(&weights->emb)[7 * weights->C] = NAN;
    score(&backend_cuda, options[_i], plain, want);
    score(&backend_cuda, options[_i], bad, got);
    for (int i = 0; i < SEQUENCES * LENGTH; i++) {
        if (i / LENGTH == 1) {
            ck_assert(!got[i].finite && isnan(got[i].logprob));
            continue;
        }
        ck_assert(got[i].finite);
        ck_assert_int_eq(memcmp(&got[i].logprob, &want[i].logprob, 4), 0);
    }
}
END_TEST

START_TEST(weights_beyond_fp16_are_refused_there_alone)
{
    struct backend *b;

    values(&weights->layer[1].key)[5] = 70000.0f;
    ck_assert_ptr_null(open_backend(&backend_cuda, "compute=fp16"));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.text, "compute=bf16") != NULL, "%s", err.text);
    b = open_backend(&backend_cuda, "compute=bf16");
    ck_assert_msg(b != NULL, "%s", err.text);
    backend_destroy(b);
}
END_TEST

START_TEST(too_much_memory_is_refused_before_it_is_taken)
{
    const struct backend_limits limits = {.slots = 1 << 20,
                                          .tokens_per_step = 16};

    ck_assert_ptr_null(
        backend_create(&backend_cuda, weights, &limits, NULL, &err));
    ck_assert_int_eq(err.code, ERR_NOMEM);
    ck_assert_msg(strstr(err.text, "lower tokens_per_step or slots") != NULL,
                  "%s", err.text);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_refused)
{
    ck_assert_ptr_null(open_backend(&backend_cuda, "device=63"));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.text, "no device 63") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine");
    TCase *c = tcase_create("limits");

    if (suite_without_gpu())
        return SUITE_SKIPPED;
    tcase_set_timeout(c, 300);
    tcase_add_checked_fixture(c, begin, end);
    suite_add_tcase(s, c);
    tcase_add_test(c, large_activations_keep_fp16_accurate);
    tcase_add_loop_test(c, a_row_that_is_not_finite_stays_alone, 0, 3);
    tcase_add_test(c, weights_beyond_fp16_are_refused_there_alone);
    tcase_add_test(c, too_much_memory_is_refused_before_it_is_taken);
    tcase_add_test(c, a_device_that_is_not_there_is_refused);
    return suite_run(s);
}
