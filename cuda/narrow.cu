/* Rows and weights on their way into products, and a group's functions. */
#include "cuda/approx.cuh"
#include "cuda/group.h"
#include "cuda/launch.cuh"
#include "cuda/narrow.cuh"

#define THREADS 128

template <typename T>
static __global__ void narrow_row(int width, struct wide_rows in,
                                  struct narrow_rows out)
{
    __shared__ uint32_t scratch[32];
    const float *from = in.at + (size_t)blockIdx.x * width;
    T *to = (T *)out.at + (size_t)blockIdx.x * width;
    float in_up = in.up != NULL ? in.up[blockIdx.x] : 1.0f;
    float down = 1.0f, up = 1.0f;

    if (narrow_scales<T>::yes) {
        uint32_t max = 0;

        for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
            float x[4];

            math_load4(from + i, x);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint32_t m = narrow_magnitude(x[j] * in_up);

                max = m > max ? m : max;
            }
        }
        narrow_factors(narrow_block_max(max, scratch), &down, &up);
    }
    for (int i = 4 * threadIdx.x; i < width; i += 4 * blockDim.x) {
        float x[4];

        math_load4(from + i, x);
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[j] = x[j] * in_up * down;
        narrow_store(to + i, x);
    }
    if (threadIdx.x == 0)
        out.up[blockIdx.x] = up;
}

extern "C" cudaError_t kernel_narrow(int rows, int width, struct wide_rows in,
                                     enum narrow_type type,
                                     struct narrow_rows out, cudaStream_t s)
{
    if (type == NARROW_FP16)
        narrow_row<__half><<<rows, THREADS, 0, s>>>(width, in, out);
    else if (type == NARROW_BF16)
        narrow_row<__nv_bfloat16><<<rows, THREADS, 0, s>>>(width, in, out);
    else
        narrow_row<float><<<rows, THREADS, 0, s>>>(width, in, out);
    return cudaGetLastError();
}

/* ---- a group's functions by themselves ---- */

template <bool APPROX>
static __device__ __forceinline__ float function(enum group_op op, float z)
{
    switch (op) {
    case GROUP_DECAY:
        return APPROX ? approx_decay(z) : math_decay(z);
    case GROUP_TANH:
        return APPROX ? approx_tanh(z) : math_tanh(z);
    case GROUP_RATE:
    case GROUP_SIGMOID:
        return APPROX ? approx_sigmoid(z) : math_sigmoid(z);
    case GROUP_RELU2:
        z = math_larger(z, 0.0f);
        return z * z;
    default:
        return z;
    }
}

template <bool APPROX>
static __global__ void functions(int width, enum group_op op, const float *bias,
                                 float *x)
{
    const bool biased = op == GROUP_DECAY || op == GROUP_RATE;
    float *row = x + (size_t)blockIdx.x * width;

    for (int i = threadIdx.x; i < width; i += blockDim.x)
        row[i] = function<APPROX>(op, biased ? bias[i] + row[i] : row[i]);
}

extern "C" cudaError_t kernel_function(enum narrow_type type, int rows,
                                       int width, enum group_op op,
                                       const float *bias, float *x,
                                       cudaStream_t s)
{
    if (type == NARROW_FP32)
        functions<false><<<rows, THREADS, 0, s>>>(width, op, bias, x);
    else
        functions<true><<<rows, THREADS, 0, s>>>(width, op, bias, x);
    return cudaGetLastError();
}

/* ---- rows of the recurrence that fp16 cannot hold ---- */

static __global__ void refit_spilled(int c, const uint32_t *over,
                                     const float *spill, __half *y, float *y_up)
{
    const int row = blockIdx.x;
    const size_t from = (size_t)row * c;
    float down, up;

    launch_release();
    launch_wait();
    narrow_factors(over[row], &down, &up);
    if (threadIdx.x == 0)
        y_up[row] = up;
    if (over[row] == 0)
        return;
    for (size_t i = from + threadIdx.x; i < from + c; i += blockDim.x) {
        float x = __half2float(y[i]);

        y[i] = narrow<__half>((isinf(x) ? spill[i] : x) * down);
    }
}

extern "C" cudaError_t kernel_refit_spilled(int rows, int c,
                                            const uint32_t *over,
                                            const float *spill, void *y,
                                            float *y_up, cudaStream_t s)
{
    return launch_next(refit_spilled, dim3((unsigned)rows), THREADS, 0, s, c,
                       over, spill, (__half *)y, y_up);
}

/* ---- weights ---- */

template <typename T>
static __global__ void weights(int64_t first, int64_t rows, int64_t cols,
                               int64_t width, const float *in,
                               enum group_op order, T *out, int32_t *overflow)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
         i < rows * width; i += (int64_t)gridDim.x * blockDim.x) {
        int64_t row = i / width, col = i % width;
        float x = col < cols ? in[row * cols + col] : 0.0f;

        /* 65520 is the first that rounds to infinity. */
        if (narrow_scales<T>::yes && fabsf(x) >= 65520.0f && !isinf(x))
            *overflow = 1;
        out[group_place(order, first + row) * width + col] = narrow<T>(x);
    }
}

extern "C" cudaError_t kernel_narrow_weights(int64_t first, int64_t rows,
                                             int64_t cols, int64_t width,
                                             const float *in,
                                             enum group_op order,
                                             enum narrow_type type, void *out,
                                             int32_t *overflow, cudaStream_t s)
{
    const int blocks = 1024;

    if (type == NARROW_FP16)
        weights<<<blocks, THREADS, 0, s>>>(first, rows, cols, width, in, order,
                                           (__half *)out, overflow);
    else if (type == NARROW_BF16)
        weights<<<blocks, THREADS, 0, s>>>(first, rows, cols, width, in, order,
                                           (__nv_bfloat16 *)out, overflow);
    else
        weights<<<blocks, THREADS, 0, s>>>(first, rows, cols, width, in,
                                           GROUP_NATURAL, (float *)out,
                                           overflow);
    return cudaGetLastError();
}
