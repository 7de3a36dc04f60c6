/* Products of our own: the fp32 one, and the definition of the bits that the
 * library's 16-bit plans are held to. The latter is also what runs where no
 * library plan qualifies.
 */
#include "cuda/group.h"
#include "cuda/launch.cuh"
#include "cuda/narrow.cuh"

#define TILE 64
#define STEP 16
#define PAD 4 /* floats; keeps the transposed stores off one bank */

/* ---- fp32 ---- */

/* 64 rows of a matrix [rows][k], columns k0..k0+15, transposed. */
static __device__ __forceinline__ void load_tile(const float *from, int first,
                                                 int rows, int k, int k0,
                                                 float to[STEP][TILE + PAD])
{
    const int row = threadIdx.x / 4, col = threadIdx.x % 4 * 4;
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);

    if (first + row < rows)
        x = *(const float4 *)(from + (size_t)(first + row) * k + k0 + col);
    to[col][row] = x.x;
    to[col + 1][row] = x.y;
    to[col + 2][row] = x.z;
    to[col + 3][row] = x.w;
}

static __global__ void __launch_bounds__(256)
    product_fp32(int m, int n, int k, const float *w, const float *x, float *y)
{
    __shared__ __align__(16) float xs[STEP][TILE + PAD], ws[STEP][TILE + PAD];
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    const int row = threadIdx.x / 16 * 4, col = threadIdx.x % 16 * 4;
    float sum[4][4] = {};

    for (int k0 = 0; k0 < k; k0 += STEP) {
        load_tile(x, m0, m, k, k0, xs);
        load_tile(w, n0, n, k, k0, ws);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < STEP; i++) {
            float4 a = *(const float4 *)&xs[i][row];
            float4 b = *(const float4 *)&ws[i][col];
            float av[4] = {a.x, a.y, a.z, a.w}, bv[4] = {b.x, b.y, b.z, b.w};

#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < 4; c++)
                    sum[r][c] = math_fma(av[r], bv[c], sum[r][c]);
        }
        __syncthreads();
    }
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            if (m0 + row + r < m && n0 + col + c < n)
                y[(size_t)(m0 + row + r) * n + n0 + col + c] = sum[r][c];
}

/* ---- fp16 and bf16 ---- */

template <typename T>
static __device__ __forceinline__ void mma(float c[4], const uint32_t a[4],
                                           const uint32_t b[2]);
#define MMA(type, name)                                                        \
    template <>                                                                \
    __device__ __forceinline__ void mma<type>(float c[4], const uint32_t a[4], \
                                              const uint32_t b[2])             \
    {                                                                          \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name    \
                     ".f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},"               \
                     "{%0,%1,%2,%3};"                                          \
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])          \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]),  \
                       "r"(b[1]));                                             \
    }
MMA(__half, "f16")
MMA(__nv_bfloat16, "bf16")

static __device__ __forceinline__ uint32_t pair(const uint16_t *p)
{
    return *(const uint32_t *)p;
}

/* One warp: 16 outputs of 8 rows. */
template <typename T>
static __global__ void product_mma(int m, int n, int k, const uint16_t *w,
                                   const uint16_t *x, float *y)
{
    const int lane = threadIdx.x & 31, g = lane >> 2, q = (lane & 3) * 2;
    const int n0 = blockIdx.x * 16, row = blockIdx.y * 8 + g;
    const uint16_t *w0 = w + (size_t)(n0 + g) * k + q;
    const uint16_t *w8 = w0 + (size_t)8 * k;
    const uint16_t *x0 = x + (size_t)(row < m ? row : m - 1) * k + q;
    float c[4] = {};

    for (int at = 0; at < k; at += 16) {
        const uint32_t a[4] = {pair(w0 + at), pair(w8 + at), pair(w0 + at + 8),
                               pair(w8 + at + 8)};
        const uint32_t b[2] = {pair(x0 + at), pair(x0 + at + 8)};

        mma<T>(c, a, b);
    }
    for (int i = 0; i < 4; i++) {
        int to = blockIdx.y * 8 + q + (i & 1);

        if (to < m)
            y[(size_t)to * n + n0 + g + (i >= 2 ? 8 : 0)] = c[i];
    }
}

extern "C" cudaError_t kernel_product(enum narrow_type type, int m, int n,
                                      int k, const void *w, const void *x,
                                      float *y, cudaStream_t s)
{
    const dim3 tiles((unsigned)((n + TILE - 1) / TILE),
                     (unsigned)((m + TILE - 1) / TILE));
    const dim3 warps((unsigned)(n / 16), (unsigned)((m + 7) / 8));

    if (type == NARROW_FP32)
        product_fp32<<<tiles, 256, 0, s>>>(m, n, k, (const float *)w,
                                           (const float *)x, y);
    else if (type == NARROW_FP16)
        product_mma<__half><<<warps, 32, 0, s>>>(m, n, k, (const uint16_t *)w,
                                                 (const uint16_t *)x, y);
    else
        product_mma<__nv_bfloat16><<<warps, 32, 0, s>>>(
            m, n, k, (const uint16_t *)w, (const uint16_t *)x, y);
    return cudaGetLastError();
}

/* ---- rows of relu^2 that fp16 cannot hold ---- */

/* Sixteen outputs of one row, which stands in all eight columns; lane l gets
 * those of places l / 4 and l / 4 + 8 of the block of W.
 */
static __device__ __forceinline__ void row_of_16(const uint16_t *w, int k,
                                                 const uint16_t *x, float y[2])
{
    const int lane = threadIdx.x & 31, g = lane >> 2, q = (lane & 3) * 2;
    const uint16_t *w0 = w + (size_t)g * k + q, *w8 = w0 + (size_t)8 * k;
    float c[4] = {};

    for (int at = 0; at < k; at += 16) {
        const uint32_t a[4] = {pair(w0 + at), pair(w8 + at), pair(w0 + at + 8),
                               pair(w8 + at + 8)};
        const uint32_t b[2] = {pair(x + q + at), pair(x + q + at + 8)};

        mma<__half>(c, a, b);
    }
    y[0] = c[0];
    y[1] = c[2];
}

#define REFIT_BLOCKS 264
#define REFIT_THREADS 256

static __device__ void refit_row(const struct group_item &p, int row)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    const float x_up = p.x_up != NULL ? p.x_up[row] : 1.0f;
    float down, up;

    narrow_factors(p.over[row], &down, &up);
    for (int n = warp * 16; n < p.n; n += REFIT_THREADS / 32 * 16) {
        float y[2];

        row_of_16((const uint16_t *)p.w_at + (size_t)n * p.k, p.k,
                  (const uint16_t *)p.x_at + (size_t)row * p.k, y);
        for (int i = 0; i < 2 && lane % 4 == 0; i++) {
            float z = y[i] * x_up;

            z = z < 0.0f ? 0.0f : z;
            ((__half *)p.y)[(size_t)row * p.n
                            + group_row(p.op, n + lane / 4 + 8 * i)] =
                narrow<__half>(z * z * down);
        }
    }
    if (threadIdx.x == 0)
        p.y_up[row] = up;
}

static __global__ void __launch_bounds__(REFIT_THREADS)
    refit_relu2(const __grid_constant__ struct group_item p, int rows)
{
    launch_release();
    launch_wait();
    for (int first = blockIdx.x * REFIT_THREADS; first < rows;
         first += gridDim.x * REFIT_THREADS) {
        const int row = first + threadIdx.x;
        const bool large = row < rows && p.over[row] != 0;

        if (row < rows && !large)
            p.y_up[row] = 1.0f;
        if (!__syncthreads_or(large))
            continue;
        for (int i = first; i < rows && i < first + REFIT_THREADS; i++)
            if (p.over[i] != 0)
                refit_row(p, i);
    }
}

extern "C" cudaError_t kernel_refit_relu2(const struct group_item *p, int rows,
                                          cudaStream_t s)
{
    int blocks = (rows + REFIT_THREADS - 1) / REFIT_THREADS;

    blocks = blocks < REFIT_BLOCKS ? blocks : REFIT_BLOCKS;
    return launch_next(refit_relu2, dim3((unsigned)blocks), REFIT_THREADS, 0, s,
                       *p, rows);
}

/* ---- what plans are admitted by ---- */

static __device__ __forceinline__ uint32_t scramble(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ (x >> 16);
}

static __device__ float test_value(uint32_t x, int kind)
{
    float u = (float)(x & 0xffff) / 32768.0f - 1.0f;

    if (kind == 1)
        return u * math_pow2((int)((x >> 16) % 16) - 10);
    if (kind == 2)
        return ((x >> 20) & 1 ? 1.0f : -1.0f)
               * (1.0f + (float)(x & 15) / 1024.0f);
    return u;
}

template <typename T>
static __global__ void fill(int64_t rows, int64_t width, int64_t period,
                            uint32_t seed, int kind, T *out)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
         i < rows * width; i += (int64_t)gridDim.x * blockDim.x) {
        int64_t at = i / width % period * width + i % width;
        uint32_t x = scramble((uint32_t)at * 2654435761u ^ scramble(seed));

        out[i] = narrow<T>(test_value(x, kind));
    }
}

extern "C" cudaError_t kernel_product_fill(enum narrow_type type, int64_t rows,
                                           int64_t width, int64_t period,
                                           uint32_t seed, int kind, void *out,
                                           cudaStream_t s)
{
    if (type == NARROW_FP16)
        fill<<<1024, 256, 0, s>>>(rows, width, period, seed, kind,
                                  (__half *)out);
    else if (type == NARROW_BF16)
        fill<<<1024, 256, 0, s>>>(rows, width, period, seed, kind,
                                  (__nv_bfloat16 *)out);
    else
        fill<<<1024, 256, 0, s>>>(rows, width, period, seed, kind,
                                  (float *)out);
    return cudaGetLastError();
}

static __global__ void compare(int64_t rows, int64_t width, int64_t period,
                               const float *y, const float *want,
                               int32_t *differs)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
         i < rows * width; i += (int64_t)gridDim.x * blockDim.x) {
        int64_t at = i / width % period * width + i % width;

        if (__float_as_uint(y[i]) != __float_as_uint(want[at]))
            *differs = 1;
    }
}

extern "C" cudaError_t kernel_product_compare(int64_t rows, int64_t width,
                                              int64_t period, const float *y,
                                              const float *want,
                                              int32_t *differs, cudaStream_t s)
{
    compare<<<1024, 256, 0, s>>>(rows, width, period, y, want, differs);
    return cudaGetLastError();
}
