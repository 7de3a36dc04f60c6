/* model/cpu_rowwise.h - the elementwise steps and the norms, row by row
 *
 * Sums over a row or a head: sixteen partial sums, lane i over the elements
 * i, i+16, ... in order, then the tree of vec_sum(). Norms take two passes.
 * Each kernel is a few hundred cycles for C = 768, against about 5e5 for the
 * products of a layer; none is worth more than reading it once.
 *
 * Included by cpu_isa_*.c only.
 */
#ifndef MODEL_CPU_ROWWISE_H
#define MODEL_CPU_ROWWISE_H

#include <math.h>

#include "model/cpu_kernels.h"
#include "model/cpu_math.h"

#define LAYER_NORM_EPS 1e-5f
#define GROUP_NORM_EPS 64e-5f /* whatever N: docs/model.md */
#define KEY_NORM_MIN 1e-12f
#define DECAY_SCALE (-0.60653065971f) /* -exp(-1/2) */

/* Mean and 1 / sqrt(variance + eps) of n values. */
struct moments {
    vec mean, scale;
};

INLINE struct moments moments_of(size_t n, const float *x, float eps)
{
    vec sum = vec_zero(), mean;
    float variance;

    for (size_t i = 0; i < n; i += LANES)
        sum = vec_add(sum, vec_load(x + i));
    mean = vec_set1(vec_sum(sum) / (float)n);
    sum = vec_zero();
    for (size_t i = 0; i < n; i += LANES) {
        vec d = vec_sub(vec_load(x + i), mean);

        sum = vec_fma(d, d, sum);
    }
    variance = vec_sum(sum) / (float)n;
    return (struct moments){mean, vec_set1(1.0f / sqrtf(variance + eps))};
}

INLINE vec normalized(const struct moments *m, const float *x,
                      const float *weight, const float *bias)
{
    vec d = vec_mul(vec_sub(vec_load(x), m->mean), m->scale);

    return vec_fma(d, vec_load(weight), vec_load(bias));
}

static void layer_norm(size_t m, size_t c, struct cpu_rows x,
                       const float *weight, const float *bias,
                       struct cpu_rows y)
{
    for (size_t i = 0; i < m; i++) {
        const float *from = x.at + i * x.ld;
        struct moments s = moments_of(c, from, LAYER_NORM_EPS);

        for (size_t j = 0; j < c; j += LANES)
            vec_store(y.at + i * y.ld + j,
                      normalized(&s, from + j, weight + j, bias + j));
    }
}

static void shift(size_t m, size_t c, struct cpu_rows h,
                  const float *const *before, struct cpu_rows d)
{
    for (size_t i = 0; i < m; i++) {
        const float *now = h.at + i * h.ld;

        for (size_t j = 0; j < c; j += LANES)
            vec_store(d.at + i * d.ld + j,
                      vec_sub(vec_load(before[i] + j), vec_load(now + j)));
    }
}

static void mix(size_t m, size_t c, struct cpu_rows h, struct cpu_rows d,
                const float *mix, struct cpu_rows y)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < c; j += LANES)
            vec_store(y.at + i * y.ld + j,
                      vec_fma(vec_load(d.at + i * d.ld + j), vec_load(mix + j),
                              vec_load(h.at + i * h.ld + j)));
}

static void add(size_t m, size_t c, struct cpu_rows x, struct cpu_rows y,
                const float *bias)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < c; j += LANES) {
            float *to = x.at + i * x.ld + j;
            vec b = vec_load(y.at + i * y.ld + j);

            if (bias != NULL)
                b = vec_add(b, vec_load(bias + j));
            vec_store(to, vec_add(vec_load(to), b));
        }
    }
}

static void tanh_rows(size_t m, size_t c, struct cpu_rows x)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < c; j += LANES)
            vec_store(x.at + i * x.ld + j,
                      vec_tanh(vec_load(x.at + i * x.ld + j)));
}

static void sigmoid(size_t m, size_t c, struct cpu_rows x, const float *bias)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < c; j += LANES) {
            vec z = vec_load(x.at + i * x.ld + j);

            if (bias != NULL)
                z = vec_add(vec_load(bias + j), z);
            vec_store(x.at + i * x.ld + j, vec_sigmoid(z));
        }
    }
}

static void decay(size_t m, size_t c, struct cpu_rows x, const float *bias)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < c; j += LANES) {
            float *at = x.at + i * x.ld + j;
            vec s = vec_sigmoid(vec_add(vec_load(bias + j), vec_load(at)));

            vec_store(at, vec_exp(vec_mul(vec_set1(DECAY_SCALE), s)));
        }
    }
}

static void relu_square(size_t m, size_t c, struct cpu_rows x)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < c; j += LANES) {
            float *at = x.at + i * x.ld + j;
            vec q = vec_max(vec_zero(), vec_load(at)); /* NaN stays NaN */

            vec_store(at, vec_mul(q, q));
        }
    }
}

static void value_residual(size_t m, size_t c, struct cpu_rows v,
                           struct cpu_rows first, struct cpu_rows x,
                           const float *bias)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < c; j += LANES) {
            float *at = v.at + i * v.ld + j;
            vec z = vec_add(vec_load(bias + j), vec_load(x.at + i * x.ld + j));
            vec now = vec_load(at);
            vec d = vec_sub(vec_load(first.at + i * first.ld + j), now);

            vec_store(at, vec_fma(d, vec_sigmoid(z), now));
        }
    }
}

/* u = k * k_k; kk = u / max(|u|, 1e-12); k *= 1 + (a - 1) * k_a; a *= kk. */
INLINE void keys_of_head(const struct cpu_keys *s, size_t at, size_t c)
{
    vec sum = vec_zero(), one = vec_set1(1.0f), norm;

    for (size_t j = 0; j < s->n; j += LANES) {
        vec u = vec_mul(vec_load(s->k + at + j), vec_load(s->k_k + c + j));

        sum = vec_fma(u, u, sum);
        vec_store(s->neg_kk + at + j, u);
    }
    norm = vec_set1(sqrtf(vec_sum(sum)));
    norm = vec_max(vec_set1(KEY_NORM_MIN), norm); /* NaN stays NaN */
    for (size_t j = 0; j < s->n; j += LANES) {
        vec kk = vec_div(vec_load(s->neg_kk + at + j), norm);
        vec a = vec_load(s->a + at + j), k = vec_load(s->k + at + j);
        vec keep = vec_fma(vec_sub(a, one), vec_load(s->k_a + c + j), one);

        vec_store(s->k + at + j, vec_mul(k, keep));
        vec_store(s->a + at + j, vec_mul(kk, a));
        vec_store(s->neg_kk + at + j, vec_sub(vec_zero(), kk));
    }
}

static void keys(const struct cpu_keys *s)
{
    for (size_t i = 0; i < s->rows; i++)
        for (size_t h = 0; h < s->heads; h++)
            keys_of_head(s, i * s->ld + h * s->n, h * s->n);
}

/* beta = sum r k r_k; y = ((y - mean) * scale * weight + bias + beta v) g. */
INLINE void mixout_of_head(const struct cpu_mixout *s, size_t at, size_t c)
{
    struct moments m = moments_of(s->n, s->y + at, GROUP_NORM_EPS);
    vec beta = vec_zero();

    for (size_t j = 0; j < s->n; j += LANES) {
        vec rk = vec_mul(vec_load(s->r + at + j), vec_load(s->k + at + j));

        beta = vec_fma(rk, vec_load(s->r_k + c + j), beta);
    }
    beta = vec_set1(vec_sum(beta));
    for (size_t j = 0; j < s->n; j += LANES) {
        vec y =
            normalized(&m, s->y + at + j, s->weight + c + j, s->bias + c + j);

        y = vec_fma(beta, vec_load(s->v + at + j), y);
        vec_store(s->y + at + j, vec_mul(y, vec_load(s->g + at + j)));
    }
}

static void mixout(const struct cpu_mixout *s)
{
    for (size_t i = 0; i < s->rows; i++)
        for (size_t h = 0; h < s->heads; h++)
            mixout_of_head(s, i * s->ld + h * s->n, h * s->n);
}

/* x * 0 is not 0 where x is not finite. */
static struct cpu_softmax softmax(size_t n, const float *x)
{
    vec max = vec_set1(-INFINITY), check = vec_zero(), sum = vec_zero();
    struct cpu_softmax s;

    for (size_t i = 0; i < n; i += LANES) {
        vec v = vec_load(x + i);

        max = vec_max(max, v);
        check = vec_fma(v, vec_zero(), check);
    }
    s.max = vec_peak(max);
    s.finite = vec_sum(check) == 0;
    for (size_t i = 0; i < n; i += LANES)
        sum = vec_add(sum, vec_exp(vec_sub(vec_load(x + i), vec_set1(s.max))));
    s.sum = vec_sum(sum);
    return s;
}

static void exp_row(size_t n, const float *x, float shift, float scale,
                    float *y)
{
    for (size_t i = 0; i < n; i += LANES) {
        vec d = vec_sub(vec_load(x + i), vec_set1(shift));

        vec_store(y + i, vec_exp(vec_mul(d, vec_set1(scale))));
    }
}

static float log_one(float x)
{
    float y[LANES];

    vec_store(y, vec_log(vec_set1(x)));
    return y[0];
}

#endif /* MODEL_CPU_ROWWISE_H */
