/* Embedding, residual sums and LayerNorm: one block per row. */
#include "cuda/kernels.h"
#include "cuda/norm.cuh"

#define THREADS 128

static __global__ void embed(int c, const int32_t *token, const int32_t *last,
                             const float *emb, float *x)
{
    const int32_t given = token[blockIdx.x];
    const float *from = emb + (size_t)(given < 0 ? last[~given] : given) * c;
    float *to = x + (size_t)blockIdx.x * c;

    for (int i = 4 * threadIdx.x; i < c; i += 4 * blockDim.x) {
        float four[4];

        math_load4(from + i, four);
        math_store4(to + i, four);
    }
}

extern "C" cudaError_t kernel_embed(int rows, int c, const int32_t *token,
                                    const int32_t *last, const float *emb,
                                    float *x, cudaStream_t s)
{
    embed<<<rows, THREADS, 0, s>>>(c, token, last, emb, x);
    return cudaGetLastError();
}

/* The row into shared memory, with the product added. */
static __device__ void load_row(const struct add_norm &a, float *row)
{
    size_t at =
        (size_t)(a.gather != NULL ? a.gather[blockIdx.x] : blockIdx.x) * a.c;
    float up = a.y.at != NULL && a.y.up != NULL ? a.y.up[blockIdx.x] : 1.0f;

    for (int i = 4 * threadIdx.x; i < a.c; i += 4 * blockDim.x) {
        float x[4], y[4];

        math_load4(a.x + at + i, x);
        if (a.y.at != NULL) {
            math_load4(a.y.at + at + i, y);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                y[j] = y[j] * up;
                if (a.y_bias != NULL)
                    y[j] = y[j] + a.y_bias[i + j];
                x[j] = x[j] + y[j];
            }
            math_store4(a.x + at + i, x);
        }
        math_store4(row + i, x);
    }
}

static __global__ void add_norm(struct add_norm a)
{
    extern __shared__ __align__(16) float row[];
    __shared__ float mean, scale;
    float *to = a.h + (size_t)blockIdx.x * a.c;

    load_row(a, row);
    if (a.h == NULL)
        return;
    __syncthreads();
    if (threadIdx.x < 32) {
        float m, d;

        norm_moments(row, a.c, &m, &d);
        if (threadIdx.x == 0) {
            mean = m;
            scale = d;
        }
    }
    __syncthreads();
    for (int i = 4 * threadIdx.x; i < a.c; i += 4 * blockDim.x) {
        float x[4], weight[4], bias[4];

        math_load4(row + i, x);
        math_load4(a.weight + i, weight);
        math_load4(a.bias + i, bias);
#pragma unroll
        for (int j = 0; j < 4; j++)
            x[j] = math_fma((x[j] - mean) * scale, weight[j], bias[j]);
        math_store4(to + i, x);
    }
}

extern "C" cudaError_t kernel_add_norm(const struct add_norm *a, cudaStream_t s)
{
    add_norm<<<a->rows, THREADS, (size_t)a->c * sizeof(float), s>>>(*a);
    return cudaGetLastError();
}
