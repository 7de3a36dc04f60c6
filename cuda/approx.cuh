/* cuda/approx.cuh - functions of products of 16-bit inputs
 *
 * By the special function unit: relative errors of some 2^-22, far below those
 * of the inputs, at a fifth of the instructions of cuda/math.cuh. fp32 products
 * do not use them: those have the CPU's bits.
 */
#ifndef CUDA_APPROX_CUH
#define CUDA_APPROX_CUH

#include "cuda/math.cuh"

#define LOG2_E 1.44269504088896341f

__device__ __forceinline__ float approx_exp2(float x)
{
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float approx_inverse(float x)
{
    float y;

    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float approx_sigmoid(float x)
{
    return approx_inverse(1.0f + approx_exp2(x * -LOG2_E));
}

/* Step 7 from the decay logit. */
__device__ __forceinline__ float approx_decay(float z)
{
    return approx_exp2(DECAY_SCALE * LOG2_E * approx_sigmoid(z));
}

__device__ __forceinline__ float approx_tanh(float x)
{
    float a = fabsf(x);
    float far = 1.0f - 2.0f * approx_inverse(approx_exp2(a * (2 * LOG2_E)) + 1);

    return a < 0.625f ? math_tanh_near(x) : copysignf(far, x);
}

#endif /* CUDA_APPROX_CUH */
