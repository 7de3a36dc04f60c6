/* model/draw.h - the arithmetic of a draw, one text for the CPU and the GPU
 *
 * model/sampler.h has the rules. Everything here is a function of its arguments
 * to the bit: fp32 and fp64 operations that are rounded once each, and whole
 * numbers. Weights are whole numbers so that their sums are exact in any order:
 * sixteen lanes, a thousand threads and a plain loop agree.
 */
#ifndef MODEL_DRAW_H
#define MODEL_DRAW_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/backend.h"

#if defined __CUDACC__
#define DRAW_FN static __host__ __device__ __forceinline__
#else
#define DRAW_FN static inline
#endif

/* Of exp() = 1. The sum of 2^24 tokens, the largest vocabulary, fits 64 bits.
 */
#define DRAW_ONE 0x1p39f

/* What a history says of one token. */
#define DRAW_IN_PROMPT 0x80000000u
#define DRAW_HAS_BIAS 0x40000000u
#define DRAW_TIMES 0x3fffffffu /* generated so often, at most */

struct draw_penalty {
    float presence, frequency, repetition;
};

DRAW_FN struct draw_penalty draw_penalty_of(const struct sample_row *how)
{
    struct draw_penalty p = {how->presence_penalty, how->frequency_penalty,
                             how->repetition_penalty};

    if (p.repetition == 0)
        p.repetition = 1;
    return p;
}

DRAW_FN bool draw_penalizes(struct draw_penalty p)
{
    return p.presence != 0 || p.frequency != 0 || p.repetition != 1;
}

DRAW_FN float draw_penalize(float x, uint32_t seen, float bias,
                            struct draw_penalty p)
{
    const uint32_t times = seen & DRAW_TIMES;

    if (seen & DRAW_HAS_BIAS)
        x = x + bias;
    if (times > 0 || (seen & DRAW_IN_PROMPT))
        x = x > 0 ? x / p.repetition : x * p.repetition;
    if (times > 0) {
        x = x - p.frequency * (float)times;
        x = x - p.presence;
    }
    return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : x;
}

DRAW_FN float draw_scale(float temperature)
{
    const float scale = 1.0f / temperature;

    return scale > FLT_MAX ? FLT_MAX : scale;
}

/* p = exp(scale * (logit - largest)), 0..1 */
DRAW_FN uint64_t draw_weight(float p, float min_p)
{
    return p < min_p ? 0 : (uint64_t)(int64_t)(p * DRAW_ONE);
}

/* What the kept tokens must weigh, of `total`, by top_p. */
DRAW_FN uint64_t draw_enough(float top_p, uint64_t total)
{
    const uint64_t enough = (uint64_t)ceil((double)top_p * (double)total);

    return enough < total ? enough : total;
}

/* A whole number 0..total-1 from 64 random bits. */
DRAW_FN uint64_t draw_aim(uint64_t random, uint64_t total)
{
#if defined __CUDA_ARCH__
    return __umul64hi(random, total);
#else
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)(((wide)random * total) >> 64);
#endif
}

#endif /* MODEL_DRAW_H */
