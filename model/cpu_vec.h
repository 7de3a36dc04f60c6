/* model/cpu_vec.h - sixteen fp32 lanes, spelled for three instruction sets
 *
 * A kernel written with these runs the same operations on the same lanes in the
 * same order whatever the instruction set, so its results are equal to the bit.
 * That is the whole rule: no operation here may depend on the register width,
 * and reductions go through vec_sum() and vec_peak() alone.
 *
 * Included by cpu_isa_*.c only, with one CPU_ISA_* macro defined.
 */
#ifndef MODEL_CPU_VEC_H
#define MODEL_CPU_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

#if defined CPU_ISA_AVX512
#include <immintrin.h>

typedef __m512 vec;   /* 16 x fp32 */
typedef __m512i ivec; /* 16 x int32, wrapping */

INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void vec_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}

INLINE vec vec_set1(float a)
{
    return _mm512_set1_ps(a);
}

INLINE ivec ivec_set1(int32_t a)
{
    return _mm512_set1_epi32(a);
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#define OP2(name, intrinsic)      \
    INLINE vec name(vec a, vec b) \
    {                             \
        return intrinsic(a, b);   \
    }
#define IOP2(name, intrinsic)        \
    INLINE ivec name(ivec a, ivec b) \
    {                                \
        return intrinsic(a, b);      \
    }

OP2(vec_add, _mm512_add_ps)
OP2(vec_sub, _mm512_sub_ps)
OP2(vec_mul, _mm512_mul_ps)
OP2(vec_div, _mm512_div_ps)
OP2(vec_max, _mm512_max_ps)
OP2(vec_min, _mm512_min_ps)
IOP2(ivec_add, _mm512_add_epi32)
IOP2(ivec_sub, _mm512_sub_epi32)
IOP2(ivec_and, _mm512_and_si512)
IOP2(ivec_or, _mm512_or_si512)

INLINE ivec ivec_half(ivec a)
{
    return _mm512_srai_epi32(a, 1);
}

INLINE ivec ivec_to_exponent(ivec a)
{
    return _mm512_slli_epi32(a, 23);
}

INLINE ivec ivec_from_exponent(ivec a)
{
    return _mm512_srai_epi32(a, 23);
}

INLINE ivec vec_bits(vec a)
{
    return _mm512_castps_si512(a);
}

INLINE vec vec_from_bits(ivec a)
{
    return _mm512_castsi512_ps(a);
}

INLINE vec ivec_to_vec(ivec a)
{
    return _mm512_cvtepi32_ps(a);
}

INLINE vec vec_if_less(vec a, vec b, vec then, vec otherwise)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), otherwise,
                                then);
}

#define FOLD(name, intrinsic256, intrinsic128)                     \
    INLINE float name(vec a)                                       \
    {                                                              \
        __m256 b = intrinsic256(_mm512_castps512_ps256(a),         \
                                _mm512_extractf32x8_ps(a, 1));     \
        __m128 c = intrinsic128(_mm256_castps256_ps128(b),         \
                                _mm256_extractf128_ps(b, 1));      \
        __m128 d = intrinsic128(c, _mm_movehl_ps(c, c));           \
        return _mm_cvtss_f32(intrinsic128(d, _mm_movehdup_ps(d))); \
    }

#elif defined CPU_ISA_AVX2
#include <immintrin.h>

typedef struct vec {
    __m256 lo, hi;
} vec;
typedef struct ivec {
    __m256i lo, hi;
} ivec;

INLINE vec vec_load(const float *p)
{
    return (vec){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

INLINE void vec_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}

INLINE vec vec_set1(float a)
{
    __m256 b = _mm256_set1_ps(a);

    return (vec){b, b};
}

INLINE ivec ivec_set1(int32_t a)
{
    __m256i b = _mm256_set1_epi32(a);

    return (ivec){b, b};
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    return (vec){_mm256_fmadd_ps(a.lo, b.lo, c.lo),
                 _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

#define OP2(name, intrinsic)                                        \
    INLINE vec name(vec a, vec b)                                   \
    {                                                               \
        return (vec){intrinsic(a.lo, b.lo), intrinsic(a.hi, b.hi)}; \
    }
#define IOP2(name, intrinsic)                                        \
    INLINE ivec name(ivec a, ivec b)                                 \
    {                                                                \
        return (ivec){intrinsic(a.lo, b.lo), intrinsic(a.hi, b.hi)}; \
    }

OP2(vec_add, _mm256_add_ps)
OP2(vec_sub, _mm256_sub_ps)
OP2(vec_mul, _mm256_mul_ps)
OP2(vec_div, _mm256_div_ps)
OP2(vec_max, _mm256_max_ps)
OP2(vec_min, _mm256_min_ps)
IOP2(ivec_add, _mm256_add_epi32)
IOP2(ivec_sub, _mm256_sub_epi32)
IOP2(ivec_and, _mm256_and_si256)
IOP2(ivec_or, _mm256_or_si256)

INLINE ivec ivec_half(ivec a)
{
    return (ivec){_mm256_srai_epi32(a.lo, 1), _mm256_srai_epi32(a.hi, 1)};
}

INLINE ivec ivec_to_exponent(ivec a)
{
    return (ivec){_mm256_slli_epi32(a.lo, 23), _mm256_slli_epi32(a.hi, 23)};
}

INLINE ivec ivec_from_exponent(ivec a)
{
    return (ivec){_mm256_srai_epi32(a.lo, 23), _mm256_srai_epi32(a.hi, 23)};
}

INLINE ivec vec_bits(vec a)
{
    return (ivec){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
}

INLINE vec vec_from_bits(ivec a)
{
    return (vec){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}

INLINE vec ivec_to_vec(ivec a)
{
    return (vec){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}

INLINE vec vec_if_less(vec a, vec b, vec then, vec otherwise)
{
    return (vec){
        _mm256_blendv_ps(otherwise.lo, then.lo,
                         _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
        _mm256_blendv_ps(otherwise.hi, then.hi,
                         _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)),
    };
}

#define FOLD(name, intrinsic256, intrinsic128)                     \
    INLINE float name(vec a)                                       \
    {                                                              \
        __m256 b = intrinsic256(a.lo, a.hi);                       \
        __m128 c = intrinsic128(_mm256_castps256_ps128(b),         \
                                _mm256_extractf128_ps(b, 1));      \
        __m128 d = intrinsic128(c, _mm_movehl_ps(c, c));           \
        return _mm_cvtss_f32(intrinsic128(d, _mm_movehdup_ps(d))); \
    }

#elif defined CPU_ISA_PORTABLE
#include <math.h>

typedef struct vec {
    float f[LANES];
} vec;
typedef struct ivec {
    uint32_t u[LANES];
} ivec;

#define EACH_LANE for (int i = 0; i < LANES; i++)

INLINE vec vec_load(const float *p)
{
    vec a;

    memcpy(a.f, p, sizeof a.f);
    return a;
}

INLINE void vec_store(float *p, vec a)
{
    memcpy(p, a.f, sizeof a.f);
}

INLINE vec vec_set1(float x)
{
    vec a;

    EACH_LANE a.f[i] = x;
    return a;
}

INLINE ivec ivec_set1(int32_t x)
{
    ivec a;

    EACH_LANE a.u[i] = (uint32_t)x;
    return a;
}

INLINE vec vec_fma(vec a, vec b, vec c)
{
    EACH_LANE c.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return c;
}

#define OP2(name, expression)                          \
    INLINE vec name(vec a, vec b)                      \
    {                                                  \
        EACH_LANE a.f[i] = expression(a.f[i], b.f[i]); \
        return a;                                      \
    }
#define IOP2(name, expression)                         \
    INLINE ivec name(ivec a, ivec b)                   \
    {                                                  \
        EACH_LANE a.u[i] = expression(a.u[i], b.u[i]); \
        return a;                                      \
    }

#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b)) /* b if one is NaN, like maxps */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define AND(a, b) ((a) & (b))
#define OR(a, b) ((a) | (b))

OP2(vec_add, ADD)
OP2(vec_sub, SUB)
OP2(vec_mul, MUL)
OP2(vec_div, DIV)
OP2(vec_max, MAX)
OP2(vec_min, MIN)
IOP2(ivec_add, ADD)
IOP2(ivec_sub, SUB)
IOP2(ivec_and, AND)
IOP2(ivec_or, OR)

/* Shifts of negative numbers are arithmetic in every compiler we support. */
INLINE ivec ivec_half(ivec a)
{
    EACH_LANE a.u[i] = (uint32_t)((int32_t)a.u[i] >> 1);
    return a;
}

INLINE ivec ivec_to_exponent(ivec a)
{
    EACH_LANE a.u[i] <<= 23;
    return a;
}

INLINE ivec ivec_from_exponent(ivec a)
{
    EACH_LANE a.u[i] = (uint32_t)((int32_t)a.u[i] >> 23);
    return a;
}

INLINE ivec vec_bits(vec a)
{
    ivec b;

    memcpy(b.u, a.f, sizeof b.u);
    return b;
}

INLINE vec vec_from_bits(ivec a)
{
    vec b;

    memcpy(b.f, a.u, sizeof b.f);
    return b;
}

INLINE vec ivec_to_vec(ivec a)
{
    vec b;

    EACH_LANE b.f[i] = (float)(int32_t)a.u[i];
    return b;
}

INLINE vec vec_if_less(vec a, vec b, vec then, vec otherwise)
{
    EACH_LANE then.f[i] = a.f[i] < b.f[i] ? then.f[i] : otherwise.f[i];
    return then;
}

#define FOLD(name, operation)                              \
    INLINE float name(vec a)                               \
    {                                                      \
        for (int half = LANES / 2; half > 0; half /= 2)    \
            for (int i = 0; i < half; i++)                 \
                a.f[i] = operation(a.f[i], a.f[i + half]); \
        return a.f[0];                                     \
    }

#else
#error "define CPU_ISA_AVX512, CPU_ISA_AVX2 or CPU_ISA_PORTABLE"
#endif

/* Over all lanes, lane i with lane i+8, then +4, +2, +1. */
#if defined CPU_ISA_PORTABLE
FOLD(vec_sum, ADD)
FOLD(vec_peak, MAX)
#else
FOLD(vec_sum, _mm256_add_ps, _mm_add_ps)
FOLD(vec_peak, _mm256_max_ps, _mm_max_ps)
#endif

INLINE vec vec_zero(void)
{
    return vec_set1(0.0f);
}

INLINE vec vec_abs(vec a)
{
    return vec_from_bits(ivec_and(vec_bits(a), ivec_set1(INT32_MAX)));
}

/* |a| is expected positive. */
INLINE vec vec_copysign(vec a, vec sign)
{
    ivec s = ivec_and(vec_bits(sign), ivec_set1(INT32_MIN));

    return vec_from_bits(ivec_or(vec_bits(a), s));
}

#endif /* MODEL_CPU_VEC_H */
