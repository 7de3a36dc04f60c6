/* cuda/narrow.cuh - from fp32 to the type of a product's input */
#ifndef CUDA_NARROW_CUH
#define CUDA_NARROW_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include "cuda/kernels.h"
#include "cuda/math.cuh"

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ __half narrow<__half>(float x)
{
    return __float2half_rn(x);
}
template <>
__device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x)
{
    return __float2bfloat16_rn(x);
}

/* Four neighbours, stored at once. */
template <typename T> struct alignas(4 * sizeof(T)) narrow_four {
    T x[4];
};

template <typename T>
__device__ __forceinline__ void narrow_store(T *to, const float x[4])
{
    struct narrow_four<T> four;

#pragma unroll
    for (int i = 0; i < 4; i++)
        four.x[i] = narrow<T>(x[i]);
    *(struct narrow_four<T> *)to = four;
}

/* Which types have rows that must be scaled. */
template <typename T> struct narrow_scales {
    static const bool yes = false;
};
template <> struct narrow_scales<__half> {
    static const bool yes = true;
};

#define NARROW_LIMIT_BITS 0x47000000u /* of 2^15 */

/* A row whose largest magnitude has the bits `max` is multiplied by *down to
 * narrow it and its products by *up. Rows that hold an infinity or NaN are left
 * alone: they must show.
 */
__device__ __forceinline__ void narrow_factors(uint32_t max, float *down,
                                               float *up)
{
    int e = (int)(max >> 23) - 127; /* 2^e <= max < 2^(e+1) */
    bool scale = e >= 15 && e < 128;

    *down = scale ? math_pow2(14 - e) : 1.0f;
    *up = scale ? math_pow2(e - 14) : 1.0f;
}

__device__ __forceinline__ uint32_t narrow_magnitude(float x)
{
    return __float_as_uint(x) & 0x7fffffffu;
}

/* The largest of the block's values, to every thread; `scratch` [33] shared.
 * The maximum of whole numbers has no order.
 */
__device__ __forceinline__ uint32_t narrow_block_max(uint32_t x,
                                                     uint32_t *scratch)
{
    const int warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;

    for (int half = 16; half > 0; half /= 2) {
        uint32_t y = __shfl_xor_sync(ALL_LANES, x, half);

        x = x > y ? x : y;
    }
    __syncthreads(); /* the last call's readers are done */
    if (threadIdx.x % 32 == 0)
        scratch[warp] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < warps; i++)
        x = x > scratch[i] ? x : scratch[i];
    return x;
}

#endif /* CUDA_NARROW_CUH */
