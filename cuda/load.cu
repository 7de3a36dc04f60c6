/* Weights on their way in, as they are stored: 16 bits to 32, exactly. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/kernels.h"

#define THREADS 256
#define BLOCKS 1024

template <typename T> static __device__ float wide(T x);
template <> __device__ float wide(__half x)
{
    return __half2float(x);
}
template <> __device__ float wide(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

template <typename T>
static __global__ void widen(int64_t n, const T *in, float *out)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x)
        out[i] = wide(in[i]);
}

extern "C" cudaError_t kernel_widen(int64_t n, enum narrow_type type,
                                    const void *in, float *out, cudaStream_t s)
{
    if (type == NARROW_FP16)
        widen<<<BLOCKS, THREADS, 0, s>>>(n, (const __half *)in, out);
    else
        widen<<<BLOCKS, THREADS, 0, s>>>(n, (const __nv_bfloat16 *)in, out);
    return cudaGetLastError();
}
