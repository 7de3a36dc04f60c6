/* cuda/math.cuh - exp, log, tanh, sigmoid and sums as model/cpu_math.h has them
 *
 * The same operations in the same order, so the same bits as the CPU backend:
 * in fp32 the two engines agree to the last bit, and every CUDA test can ask
 * for equality. Compiled with -fmad=false; a fused multiply-add is written out.
 */
#ifndef CUDA_MATH_CUH
#define CUDA_MATH_CUH

#include <float.h>
#include <math.h>

#define LAYER_NORM_EPS 1e-5f
#define GROUP_NORM_EPS 64e-5f /* whatever N: docs/model.md */
#define KEY_NORM_MIN 1e-12f
#define DECAY_SCALE (-0.60653065971f) /* -exp(-1/2) */

#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define LN2_HI 0.693359375f
#define LN2_LO (-2.12194440e-4f)

#define ALL_LANES 0xffffffffu

/* Four neighbours, 16-byte aligned. */
__device__ __forceinline__ void math_load4(const float *from, float to[4])
{
    float4 x = *(const float4 *)from;

    to[0] = x.x;
    to[1] = x.y;
    to[2] = x.z;
    to[3] = x.w;
}

__device__ __forceinline__ void math_store4(float *to, const float x[4])
{
    *(float4 *)to = make_float4(x[0], x[1], x[2], x[3]);
}

/* Of two, the second where they do not compare: NaN on the right stays. */
__device__ __forceinline__ float math_max(float a, float b)
{
    return a > b ? a : b;
}

__device__ __forceinline__ float math_min(float a, float b)
{
    return a < b ? a : b;
}

/* The larger, or NaN where one is NaN. */
__device__ __forceinline__ float math_larger(float a, float b)
{
    float y;

    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}

__device__ __forceinline__ float math_fma(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}

__device__ __forceinline__ float math_pow2(int n)
{
    return __int_as_float((int)((unsigned)(n + 127) << 23));
}

/* e^x as y 2^k, the parts of math_exp(): returns y; k is in the low bits of *t.
 */
__device__ __forceinline__ float math_exp_parts(float x, float *t)
{
    float n, t_r, r, y, low, p;

    *t = math_fma(x, 1.44269504088896341f, ROUND_MAGIC);
    n = *t - ROUND_MAGIC;
    t_r = math_fma(n, -LN2_HI, x);
    r = math_fma(n, -LN2_LO, t_r);
    y = 1.0f + r;
    low = math_fma(n, -LN2_LO, t_r - r);
    low = low + (r - (y - 1.0f));
    p = 1.9875691500e-4f;
    p = math_fma(p, r, 1.3981999507e-3f);
    p = math_fma(p, r, 8.3334519073e-3f);
    p = math_fma(p, r, 4.1665795894e-2f);
    p = math_fma(p, r, 1.6666665459e-1f);
    p = math_fma(p, r, 5.0000001201e-1f);
    return y + math_fma(p, r * r, low);
}

__device__ __forceinline__ float math_exp(float x)
{
    float t, y;
    int k, half;

    x = math_max(-104.0f, math_min(88.8f, x));
    y = math_exp_parts(x, &t);
    k = __float_as_int(t) - __float_as_int(ROUND_MAGIC);
    half = k >> 1;
    return (y * math_pow2(half)) * math_pow2(k - half);
}

/* The same bits for x from MATH_EXP_NEAR to 0: the result is a normal number, so
 * k goes into the exponent.
 */
#define MATH_EXP_NEAR (-86.0f)

__device__ __forceinline__ float math_exp_near(float x)
{
    float t, y = math_exp_parts(x, &t);

    return __uint_as_float(__float_as_uint(y) + (__float_as_uint(t) << 23));
}

__device__ __forceinline__ float math_sigmoid(float x)
{
    float e = math_exp(0.0f - fabsf(x));
    float d = 1.0f + e, lost = (d - 1.0f) - e;
    float y = (x < 0.0f ? e : 1.0f) / d;
    float inverse = x < 0.0f ? 1.0f - y : y;

    return math_fma(y * inverse, lost, y);
}

/* Step 7 from the decay logit. */
__device__ __forceinline__ float math_decay(float z)
{
    return math_exp(DECAY_SCALE * math_sigmoid(z));
}

/* tanh below 0.625 */
__device__ __forceinline__ float math_tanh_near(float x)
{
    float z = x * x, p = -5.70498872745e-3f;

    p = math_fma(p, z, 2.06390887954e-2f);
    p = math_fma(p, z, -5.37397155531e-2f);
    p = math_fma(p, z, 1.33314422036e-1f);
    p = math_fma(p, z, -3.33332819422e-1f);
    return math_fma(p * z, x, x);
}

__device__ __forceinline__ float math_tanh(float x)
{
    float a = fabsf(x), far = 1.0f - 2.0f / (math_exp(a + a) + 1.0f);

    return a < 0.625f ? math_tanh_near(x) : copysignf(far, x);
}

__device__ __forceinline__ float math_log(float x)
{
    float s = x < FLT_MIN ? x * 8388608.0f : x;
    float e = (float)((int)(__float_as_uint(s) >> 23) - 126);
    float m, z, y;

    e = e - (x < FLT_MIN ? 23.0f : 0.0f);
    m = __int_as_float((__float_as_int(s) & 0x007fffff) | 0x3f000000);
    e = e - (m < 0.70710678f ? 1.0f : 0.0f);
    m = (m < 0.70710678f ? m + m : m) - 1.0f;
    z = m * m;
    y = 7.0376836292e-2f;
    y = math_fma(y, m, -1.1514610310e-1f);
    y = math_fma(y, m, 1.1676998740e-1f);
    y = math_fma(y, m, -1.2420140846e-1f);
    y = math_fma(y, m, 1.4249322787e-1f);
    y = math_fma(y, m, -1.6668057665e-1f);
    y = math_fma(y, m, 2.0000714765e-1f);
    y = math_fma(y, m, -2.4999993993e-1f);
    y = math_fma(y, m, 3.3333331174e-1f);
    y = (y * m) * z;
    y = math_fma(e, LN2_LO, y);
    y = math_fma(z, -0.5f, y);
    y = math_fma(e, LN2_HI, m + y);
    y = FLT_MAX < x ? x : y;
    y = 0.0f < x ? y : -INFINITY - x;
    return x < 0.0f ? NAN : y;
}

/* Over sixteen neighbouring lanes, lane i with lane i+8, then +4, +2, +1; every
 * lane gets the sum. All 32 lanes of the warp call it.
 */
__device__ __forceinline__ float math_sum16(float x)
{
    for (int half = 8; half > 0; half /= 2)
        x = x + __shfl_xor_sync(ALL_LANES, x, half);
    return x;
}

#endif /* CUDA_MATH_CUH */
