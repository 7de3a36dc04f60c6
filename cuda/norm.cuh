/* cuda/norm.cuh - mean and scale of a row, in the CPU's order */
#ifndef CUDA_NORM_CUH
#define CUDA_NORM_CUH

#include "cuda/math.cuh"

/* By one warp: sixteen partial sums, twice side by side. */
__device__ __forceinline__ void norm_moments(const float *row, int c,
                                             float *mean, float *scale)
{
    const int lane = threadIdx.x & 15;
    float sum = 0.0f, m;

#pragma unroll 16
    for (int i = lane; i < c; i += 16)
        sum = sum + row[i];
    m = math_sum16(sum) / (float)c;
    sum = 0.0f;
#pragma unroll 16
    for (int i = lane; i < c; i += 16) {
        float d = row[i] - m;

        sum = math_fma(d, d, sum);
    }
    sum = math_sum16(sum) / (float)c;
    *mean = m;
    *scale = 1.0f / sqrtf(sum + LAYER_NORM_EPS);
}

#endif /* CUDA_NORM_CUH */
