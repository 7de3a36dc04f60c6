/* Embedding, residual sums and LayerNorm: one block per row. */
#include "cuda/kernels.h"
#include "cuda/math.cuh"

#define THREADS 256

static __global__ void embed(int c, const int32_t *token, const float *emb,
                             float *x)
{
    const float *from = emb + (size_t)token[blockIdx.x] * c;
    float *to = x + (size_t)blockIdx.x * c;

    for (int i = threadIdx.x; i < c; i += blockDim.x)
        to[i] = from[i];
}

extern "C" cudaError_t kernel_embed(int rows, int c, const int32_t *token,
                                    const float *emb, float *x, cudaStream_t s)
{
    embed<<<rows, THREADS, 0, s>>>(c, token, emb, x);
    return cudaGetLastError();
}

/* The row into shared memory, with the product added. */
static __device__ void load_row(const struct add_norm &a, float *row)
{
    size_t at =
        (size_t)(a.gather != NULL ? a.gather[blockIdx.x] : blockIdx.x) * a.c;
    float up = a.y.at != NULL && a.y.up != NULL ? a.y.up[blockIdx.x] : 1.0f;

    for (int i = threadIdx.x; i < a.c; i += blockDim.x) {
        float x = a.x[at + i];

        if (a.y.at != NULL) {
            float y = a.y.at[at + i] * up;

            if (a.y_bias != NULL)
                y = y + a.y_bias[i];
            x = x + y;
            a.x[at + i] = x;
        }
        row[i] = x;
    }
}

/* By one warp: sixteen partial sums, twice side by side. */
static __device__ void moments(const float *row, int c, float *mean,
                               float *scale)
{
    const int lane = threadIdx.x & 15;
    float sum = 0.0f, m;

    for (int i = lane; i < c; i += 16)
        sum = sum + row[i];
    m = math_sum16(sum) / (float)c;
    sum = 0.0f;
    for (int i = lane; i < c; i += 16) {
        float d = row[i] - m;

        sum = math_fma(d, d, sum);
    }
    sum = math_sum16(sum) / (float)c;
    *mean = m;
    *scale = 1.0f / sqrtf(sum + LAYER_NORM_EPS);
}

static __global__ void add_norm(struct add_norm a)
{
    extern __shared__ float row[];
    __shared__ float mean, scale;
    float *to = a.h + (size_t)blockIdx.x * a.c;

    load_row(a, row);
    if (a.h == NULL)
        return;
    __syncthreads();
    if (threadIdx.x < 32) {
        float m, d;

        moments(row, a.c, &m, &d);
        if (threadIdx.x == 0) {
            mean = m;
            scale = d;
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < a.c; i += blockDim.x)
        to[i] = math_fma((row[i] - mean) * scale, a.weight[i], a.bias[i]);
}

extern "C" cudaError_t kernel_add_norm(const struct add_norm *a, cudaStream_t s)
{
    add_norm<<<a->rows, THREADS, (size_t)a->c * sizeof(float), s>>>(*a);
    return cudaGetLastError();
}
