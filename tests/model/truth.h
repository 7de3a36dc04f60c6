/* tests/model/truth.h - what draws should be distributed like, in fp64
 *
 * The rules of model/sampler.h written down once more, each by its definition,
 * with a pass over the vocabulary for every token.
 */
#ifndef TESTS_MODEL_TRUTH_H
#define TESTS_MODEL_TRUTH_H

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "model/backend.h"

static inline int truth_times(const int32_t *token, int32_t n, int32_t which)
{
    int times = 0;

    for (int32_t i = 0; i < n; i++)
        times += token[i] == which;
    return times;
}

static inline double truth_penalized(const struct sample_row *how,
                                     const struct history *h, double x,
                                     int32_t token)
{
    const int times = truth_times(h->generated, h->n_generated, token);
    const double by = (double)how->repetition_penalty;

    for (int32_t i = 0; i < h->n_bias; i++)
        x += h->bias[i].token == token ? (double)h->bias[i].bias : 0;
    if (by > 0 && (times > 0 || truth_times(h->prompt, h->n_prompt, token) > 0))
        x = x > 0 ? x / by : x * by;
    return x - times * (double)how->frequency_penalty
           - (times > 0 ? (double)how->presence_penalty : 0);
}

/* p[vocab], summing to 1, from raw logits; h may be NULL. */
static inline void truth_of(const struct sample_row *how,
                            const struct history *h, const float *x,
                            int32_t vocab, double *p)
{
    double sum = 0, largest = -INFINITY, kept = 0;
    double *q = calloc((size_t)vocab, sizeof *q);

    for (int32_t i = 0; i < vocab; i++) {
        p[i] =
            h != NULL ? truth_penalized(how, h, (double)x[i], i) : (double)x[i];
        largest = fmax(largest, p[i]);
    }
    for (int32_t i = 0; i < vocab; i++)
        p[i] = exp((p[i] - largest) / (double)how->temperature);
    for (int32_t i = 0; i < vocab; i++) {
        int rank = 0;

        for (int32_t j = 0; j < vocab; j++)
            rank += p[j] > p[i];
        if (p[i] >= (double)how->min_p
            && (how->top_k == 0 || rank < how->top_k))
            q[i] = p[i];
        sum += q[i];
    }
    for (int32_t i = 0; i < vocab; i++) {
        double before = 0;

        for (int32_t j = 0; j < vocab; j++)
            before += q[j] > q[i] ? q[j] : 0;
        p[i] = how->top_p < 1 && before >= (double)how->top_p * sum ? 0 : q[i];
        kept += p[i];
    }
    for (int32_t i = 0; i < vocab; i++)
        p[i] /= kept;
    free(q);
}

/* Upper 0.001 of chi-square (Wilson, Hilferty). */
static inline double truth_limit(int freedom)
{
    double v = 2.0 / (9.0 * freedom);

    return freedom * pow(1 - v + 3.0902 * sqrt(v), 3);
}

/* Tokens that are expected less than 8 times count together. */
static inline void truth_check(const int *count, const double *p, int32_t vocab,
                               int draws)
{
    double square = 0, rest = 0;
    int freedom = -1, rest_count = 0;

    for (int32_t i = 0; i < vocab; i++) {
        double want = draws * p[i];

        ck_assert_msg(p[i] > 0 || count[i] == 0, "%d was cut and drawn", i);
        if (want < 8) {
            rest += want;
            rest_count += count[i];
            continue;
        }
        square += (count[i] - want) * (count[i] - want) / want;
        freedom++;
    }
    if (rest >= 8) {
        square += (rest_count - rest) * (rest_count - rest) / rest;
        freedom++;
    }
    ck_assert_int_ge(freedom, 5);
    ck_assert_msg(square < truth_limit(freedom), "chi-square %.1f of %d",
                  square, freedom);
}

#endif /* TESTS_MODEL_TRUTH_H */
