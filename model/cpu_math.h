/* model/cpu_math.h - exp, log, tanh and sigmoid of sixteen lanes
 *
 * Own polynomials (forms and coefficients of Cephes, S. Moshier), because the
 * bits of libm change with its version and host. Each is within 2 ulp over the
 * whole fp32 range, subnormal results included, and passes NaN on;
 * tests/model/check_cpu_math.c measures it.
 *
 * Included by cpu_isa_*.c only.
 */
#ifndef MODEL_CPU_MATH_H
#define MODEL_CPU_MATH_H

#include <float.h>
#include <math.h>

#include "model/cpu_vec.h"

/* 1.5 * 2^23: adding it leaves the nearest whole number in the low bits. */
#define ROUND_MAGIC 12582912.0f
#define LN2_HI 0.693359375f /* few bits: n * LN2_HI is exact for small n */
#define LN2_LO (-2.12194440e-4f)

INLINE vec vec_horner(vec x, const float *c, int n)
{
    vec y = vec_set1(c[0]);

    for (int i = 1; i < n; i++)
        y = vec_fma(y, x, vec_set1(c[i]));
    return y;
}

INLINE vec vec_pow2(ivec n)
{
    return vec_from_bits(ivec_to_exponent(ivec_add(n, ivec_set1(127))));
}

/* x = n ln2 + r; e^r by polynomial; times 2^n in two halves, each of which is a
 * normal number, so that overflow and subnormals round once. The clamps are
 * just outside the range; with NaN they yield x.
 */
INLINE vec vec_exp(vec x)
{
    static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f,
                              8.3334519073e-3f, 4.1665795894e-2f,
                              1.6666665459e-1f, 5.0000001201e-1f};
    vec t, n, t_r, r, y, low, one = vec_set1(1.0f);
    ivec k, half;

    x = vec_max(vec_set1(-104.0f), vec_min(vec_set1(88.8f), x));
    t = vec_fma(x, vec_set1(1.44269504088896341f), vec_set1(ROUND_MAGIC));
    n = vec_sub(t, vec_set1(ROUND_MAGIC));
    t_r = vec_fma(n, vec_set1(-LN2_HI), x);
    r = vec_fma(n, vec_set1(-LN2_LO), t_r);
    y = vec_add(one, r);
    /* What the two sums above have lost. */
    low = vec_fma(n, vec_set1(-LN2_LO), vec_sub(t_r, r));
    low = vec_add(low, vec_sub(r, vec_sub(y, one)));
    y = vec_add(y, vec_fma(vec_horner(r, c, 6), vec_mul(r, r), low));
    k = ivec_sub(vec_bits(t), vec_bits(vec_set1(ROUND_MAGIC)));
    half = ivec_half(k);
    return vec_mul(vec_mul(y, vec_pow2(half)), vec_pow2(ivec_sub(k, half)));
}

/* 1 / (1 + e^-x), with e = e^-|x| so that small results keep their precision:
 * y = 1 / (1 + e), or e / (1 + e) for negative x. What 1 + e loses would be the
 * largest error; 1 / (1 + e) is y or 1 - y, which is all the correction needs.
 */
INLINE vec vec_sigmoid(vec x)
{
    vec one = vec_set1(1.0f), zero = vec_zero();
    vec e = vec_exp(vec_sub(zero, vec_abs(x)));
    vec d = vec_add(one, e), lost = vec_sub(vec_sub(d, one), e);
    vec y = vec_div(vec_if_less(x, zero, e, one), d);
    vec inverse = vec_if_less(x, zero, vec_sub(one, y), y);

    return vec_fma(vec_mul(y, inverse), lost, y);
}

/* Odd polynomial below 0.625, else 1 - 2 / (e^2|x| + 1) with x's sign. */
INLINE vec vec_tanh(vec x)
{
    static const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f,
                              -5.37397155531e-2f, 1.33314422036e-1f,
                              -3.33332819422e-1f};
    vec a = vec_abs(x), z = vec_mul(x, x), one = vec_set1(1.0f);
    vec near = vec_fma(vec_mul(vec_horner(z, c, 5), z), x, x);
    vec e = vec_add(vec_exp(vec_add(a, a)), one);
    vec far = vec_sub(one, vec_div(vec_set1(2.0f), e));

    return vec_if_less(a, vec_set1(0.625f), near, vec_copysign(far, x));
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); log(m) by polynomial in m - 1. */
INLINE vec vec_log(vec x)
{
    static const float c[] = {
        7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
        -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
        2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    vec tiny = vec_set1(FLT_MIN), one = vec_set1(1.0f), zero = vec_zero();
    vec s = vec_if_less(x, tiny, vec_mul(x, vec_set1(0x1p23f)), x);
    vec e =
        ivec_to_vec(ivec_sub(ivec_from_exponent(vec_bits(s)), ivec_set1(126)));
    vec m, z, y;

    e = vec_sub(e, vec_if_less(x, tiny, vec_set1(23.0f), zero));
    m = vec_from_bits(ivec_or(ivec_and(vec_bits(s), ivec_set1(0x007fffff)),
                              ivec_set1(0x3f000000)));
    y = vec_set1(0.70710678f);
    e = vec_sub(e, vec_if_less(m, y, one, zero));
    m = vec_sub(vec_if_less(m, y, vec_add(m, m), m), one);
    z = vec_mul(m, m);
    y = vec_mul(vec_mul(vec_horner(m, c, 9), m), z);
    y = vec_fma(e, vec_set1(LN2_LO), y);
    y = vec_fma(z, vec_set1(-0.5f), y);
    y = vec_fma(e, vec_set1(LN2_HI), vec_add(m, y));
    y = vec_if_less(vec_set1(FLT_MAX), x, x, y);
    y = vec_if_less(zero, x, y, vec_sub(vec_set1(-INFINITY), x));
    return vec_if_less(x, zero, vec_set1(NAN), y);
}

#endif /* MODEL_CPU_MATH_H */
