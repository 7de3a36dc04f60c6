/* Token shift and the mixes: one block per row. */
#include "cuda/narrow.cuh"

#define THREADS 128

static __device__ __forceinline__ const float *row_before(const struct mix &a)
{
    int32_t slot = a.begins[blockIdx.x];

    if (slot >= 0)
        return a.state + (size_t)slot * a.stride;
    return a.h + ((size_t)blockIdx.x - 1) * a.c;
}

static __device__ __forceinline__ void
mix_four(const float h[4], const float before[4], const float *x, float y[4])
{
    float by[4];

    math_load4(x, by);
#pragma unroll
    for (int j = 0; j < 4; j++)
        y[j] = math_fma(before[j] - h[j], by[j], h[j]);
}

template <typename T, int N> static __global__ void mix_row(struct mix a)
{
    __shared__ uint32_t scratch[32];
    const float *h = a.h + (size_t)blockIdx.x * a.c;
    const float *before = row_before(a);
    float down[N], up[N];
    uint32_t max[N];

    for (int i = 0; i < N; i++) {
        down[i] = up[i] = 1.0f;
        max[i] = 0;
    }
    if (narrow_scales<T>::yes) {
        for (int c = 4 * threadIdx.x; c < a.c; c += 4 * blockDim.x) {
            float now[4], x[4], y[4];

            math_load4(h + c, now);
            math_load4(before + c, x);
#pragma unroll
            for (int i = 0; i < N; i++) {
                mix_four(now, x, a.x[i] + c, y);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    uint32_t m = narrow_magnitude(y[j]);

                    max[i] = m > max[i] ? m : max[i];
                }
            }
        }
        for (int i = 0; i < N; i++)
            narrow_factors(narrow_block_max(max[i], scratch), &down[i], &up[i]);
    }
    for (int c = 4 * threadIdx.x; c < a.c; c += 4 * blockDim.x) {
        float now[4], x[4], y[4];

        math_load4(h + c, now);
        math_load4(before + c, x);
#pragma unroll
        for (int i = 0; i < N; i++) {
            mix_four(now, x, a.x[i] + c, y);
#pragma unroll
            for (int j = 0; j < 4; j++)
                y[j] = y[j] * down[i];
            narrow_store((T *)a.out[i].at + (size_t)blockIdx.x * a.c + c, y);
        }
    }
    if (threadIdx.x == 0)
        for (int i = 0; i < N; i++)
            a.out[i].up[blockIdx.x] = up[i];
}

template <typename T> static void launch(const struct mix *a, cudaStream_t s)
{
    if (a->n == 1)
        mix_row<T, 1><<<a->rows, THREADS, 0, s>>>(*a);
    else
        mix_row<T, MIX_MAX><<<a->rows, THREADS, 0, s>>>(*a);
}

extern "C" cudaError_t kernel_mix(const struct mix *a, cudaStream_t s)
{
    if (a->type == NARROW_FP16)
        launch<__half>(a, s);
    else if (a->type == NARROW_BF16)
        launch<__nv_bfloat16>(a, s);
    else
        launch<float>(a, s);
    return cudaGetLastError();
}

static __global__ void keep_shift(int c, const struct cuda_piece *piece,
                                  const float *h, float *state, size_t stride)
{
    struct cuda_piece p = piece[blockIdx.x];
    const float *from = h + (size_t)(p.first + p.n - 1) * c;
    float *to = state + (size_t)p.slot * stride;

    for (int i = threadIdx.x; i < c; i += blockDim.x)
        to[i] = from[i];
}

extern "C" cudaError_t kernel_keep_shift(int pieces, int c,
                                         const struct cuda_piece *piece,
                                         const float *h, float *state,
                                         size_t stride, cudaStream_t s)
{
    keep_shift<<<pieces, THREADS, 0, s>>>(c, piece, h, state, stride);
    return cudaGetLastError();
}
