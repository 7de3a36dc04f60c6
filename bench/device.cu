#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "bench/device.h"

#define BLOCKS 1056
#define THREADS 256

static __device__ __forceinline__ void store(float *to, float x)
{
    *to = x;
}

static __device__ __forceinline__ void store(__half *to, float x)
{
    *to = __float2half_rn(x);
}

static __device__ __forceinline__ void store(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16_rn(x);
}

template <typename T>
static __global__ void fill(struct fill f, uint64_t first, int64_t n, T *to)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x) {
        float x = weights_random_value(&f.values, first + (uint64_t)i);

        store(to + i, f.relu && x < 0.0f ? 0.0f : x);
    }
}

extern "C" cudaError_t kernel_fill(const struct fill *f, enum fill_type type,
                                   uint64_t first, int64_t n, void *to,
                                   cudaStream_t s)
{
    if (type == FILL_F16)
        fill<<<BLOCKS, THREADS, 0, s>>>(*f, first, n, (__half *)to);
    else if (type == FILL_BF16)
        fill<<<BLOCKS, THREADS, 0, s>>>(*f, first, n, (__nv_bfloat16 *)to);
    else
        fill<<<BLOCKS, THREADS, 0, s>>>(*f, first, n, (float *)to);
    return cudaGetLastError();
}

/* Four loads in flight per thread, each block through a run of its own. */
static __global__ void __launch_bounds__(256)
    copy(int64_t n, const uint4 *from, uint4 *to)
{
    const int64_t run = 4 * 256, step = (int64_t)gridDim.x * run;

    for (int64_t at = blockIdx.x * run + threadIdx.x; at < n; at += step) {
        uint4 x[4];

#pragma unroll
        for (int i = 0; i < 4; i++)
            if (at + i * 256 < n)
                x[i] = __ldcs(from + at + i * 256);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (at + i * 256 < n)
                __stcs(to + at + i * 256, x[i]);
    }
}

extern "C" cudaError_t kernel_copy(size_t bytes, const void *from, void *to,
                                   cudaStream_t s)
{
    const int64_t n = (int64_t)(bytes / 16);

    copy<<<(unsigned)((n + 1023) / 1024), 256, 0, s>>>(n, (const uint4 *)from,
                                                       (uint4 *)to);
    return cudaGetLastError();
}

/* Eight chains per thread and 8 warps a scheduler hide the latency. */
static __global__ void __launch_bounds__(256) fma_chains(float *out)
{
    float x[8], a = 0.999f + 1e-9f * threadIdx.x;
    float sum = 0.0f;

    for (int i = 0; i < 8; i++)
        x[i] = (float)(threadIdx.x + i);
#pragma unroll 16
    for (int n = 0; n < 4096; n++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            x[i] = __fmaf_rn(x[i], a, 1e-3f);
    for (int i = 0; i < 8; i++)
        sum += x[i];
    if (sum == 12345.0f) /* never: keeps the work alive */
        *out = sum;
}

extern "C" cudaError_t kernel_fma(float *out, cudaStream_t s)
{
    fma_chains<<<BLOCKS, THREADS, 0, s>>>(out);
    return cudaGetLastError();
}
