/* The residual sum, LayerNorm, token shift and the mixes: one pass.
 *
 * A block takes some consecutive rows, and computes the norm of the row above
 * them once more rather than wait for the block that has it. Cost per row at
 * n = 6, 16-bit results: 8 C + 4 C in, 4 C + 12 C out; with 8 rows a block 1 C
 * more in.
 */
#include "cuda/launch.cuh"
#include "cuda/narrow.cuh"
#include "cuda/norm.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)
#define SHARED_MAX (72 * 1024) /* three blocks to a multiprocessor */
#define FEW_ROWS 1056          /* one row a block up to here: 8 per SM */

struct moments {
    float mean, scale;
};

/* Row `row` with the product added, into shared memory; `keep`: to x_out. */
static __device__ void load_row(const struct shift &a, int row, float *to,
                                bool keep)
{
    const size_t at = (size_t)row * a.c;
    const float up = a.y.up != NULL ? a.y.up[row] : 1.0f;

    for (int c = 4 * threadIdx.x; c < a.c; c += 4 * THREADS) {
        float x[4], y[4], bias[4];

        math_load4(a.x + at + c, x);
        if (a.y.at != NULL) {
            math_load4(a.y.at + at + c, y);
            if (a.y_bias != NULL)
                math_load4(a.y_bias + c, bias);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                y[j] = y[j] * up;
                if (a.y_bias != NULL)
                    y[j] = y[j] + bias[j];
                x[j] = x[j] + y[j];
            }
        }
        if (keep)
            math_store4(a.x_out + at + c, x);
        math_store4(to + c, x);
    }
}

static __device__ __forceinline__ void normalise(const struct shift &a,
                                                 const float *row,
                                                 const struct moments &m, int c,
                                                 float h[4])
{
    float weight[4], bias[4];

    math_load4(row + c, h);
    math_load4(a.weight + c, weight);
    math_load4(a.bias + c, bias);
#pragma unroll
    for (int j = 0; j < 4; j++)
        h[j] = math_fma((h[j] - m.mean) * m.scale, weight[j], bias[j]);
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

/* h of a piece's last row: to the state at once where the piece is one row, as
 * nobody else reads it; else aside, for kernel_keep_shift().
 */
static __device__ __forceinline__ void keep_last(const struct shift &a, int row,
                                                 int c, const float h[4])
{
    const int32_t slot = a.ends[row];

    if (slot < 0)
        return;
    if (a.begins[row] >= 0)
        math_store4(a.state + (size_t)slot * a.stride + c, h);
    else
        math_store4(a.h + (size_t)row * a.c + c, h);
}

static __device__ __forceinline__ void
shift_state(const struct shift &a, int row, int c, float before[4])
{
    const int32_t slot = a.begins[row];

    if (slot >= 0)
        math_load4(a.state + (size_t)slot * a.stride + c, before);
}

/* Rows shared[1].. are `first`.. of the step, shared[0] the one above. */
template <typename T, int N>
static __device__ void mix_rows(const struct shift &a, int first, int rows,
                                const float *shared, const struct moments *m)
{
    for (int c = 4 * threadIdx.x; c < a.c; c += 4 * THREADS) {
        float before[4], h[4], y[4];

        if (a.begins[first] < 0)
            normalise(a, shared, m[0], c, before);
        for (int i = 0; i < rows; i++) {
            const int row = first + i;

            normalise(a, shared + (i + 1) * a.c, m[i + 1], c, h);
            shift_state(a, row, c, before);
#pragma unroll
            for (int n = 0; n < N; n++) {
                mix_four(h, before, a.mix[n] + c, y);
                narrow_store((T *)a.out[n].at + (size_t)row * a.c + c, y);
            }
            keep_last(a, row, c, h);
#pragma unroll
            for (int j = 0; j < 4; j++)
                before[j] = h[j];
        }
    }
}

/* One row whose mixes may not fit the type. */
template <typename T, int N>
static __device__ void mix_scaled(const struct shift &a, int row,
                                  const float *shared, const struct moments *m)
{
    __shared__ uint32_t scratch[33];
    float down[N], up[N];
    uint32_t max[N] = {};

    for (int pass = 0; pass < 2; pass++) {
        for (int c = 4 * threadIdx.x; c < a.c; c += 4 * THREADS) {
            float before[4], h[4], y[4];

            normalise(a, shared + a.c, m[1], c, h);
            if (a.begins[row] < 0)
                normalise(a, shared, m[0], c, before);
            shift_state(a, row, c, before);
#pragma unroll
            for (int n = 0; n < N; n++) {
                mix_four(h, before, a.mix[n] + c, y);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    uint32_t size = narrow_magnitude(y[j]);

                    max[n] = max[n] > size ? max[n] : size;
                    y[j] = pass == 0 ? y[j] : y[j] * down[n];
                }
                if (pass == 1)
                    narrow_store((T *)a.out[n].at + (size_t)row * a.c + c, y);
            }
            if (pass == 1)
                keep_last(a, row, c, h);
        }
        if (pass == 0)
            for (int n = 0; n < N; n++)
                narrow_factors(narrow_block_max(max[n], scratch), &down[n],
                               &up[n]);
    }
    if (threadIdx.x == 0)
        for (int n = 0; n < N; n++)
            a.out[n].up[row] = up[n];
}

template <typename T, int N, bool SCALED>
static __global__ void __launch_bounds__(THREADS)
    shift_rows(const __grid_constant__ struct shift a, int each)
{
    extern __shared__ __align__(16) float shared[];
    __shared__ struct moments m[WARPS + 1];
    const int first = blockIdx.x * each;
    const int rows = a.rows - first < each ? a.rows - first : each;
    int from;

    launch_release();
    launch_wait();
    from = a.begins[first] >= 0 ? 1 : 0;
    for (int i = from; i <= rows; i++)
        load_row(a, first + i - 1, shared + i * a.c, i > 0);
    for (int i = threadIdx.x; i < rows; i += THREADS) {
        for (int n = 0; n < N && !SCALED; n++)
            a.out[n].up[first + i] = 1.0f;
        for (int n = 0; n < SHIFT_CLEAR && a.clear[n] != NULL; n++)
            a.clear[n][first + i] = 0;
    }
    __syncthreads();
    for (int i = from + threadIdx.x / 32; i <= rows; i += WARPS) {
        float mean, scale;

        norm_moments(shared + i * a.c, a.c, &mean, &scale);
        if (threadIdx.x % 32 == 0)
            m[i] = {mean, scale};
    }
    __syncthreads();
    if (SCALED)
        mix_scaled<T, N>(a, first, shared, m);
    else
        mix_rows<T, N>(a, first, rows, shared, m);
}

template <typename T, int N, bool SCALED>
static cudaError_t launch(const struct shift *a, cudaStream_t s)
{
    const size_t row = (size_t)a->c * sizeof(float);
    int each = (int)(SHARED_MAX / row) - 1;
    size_t shared;

    each = each > WARPS ? WARPS : each;
    if (SCALED || each < 1 || a->rows <= FEW_ROWS)
        each = 1;
    shared = (size_t)(each + 1) * row;
    if (shared > 48 * 1024) {
        cudaError_t rc = cudaFuncSetAttribute(
            shift_rows<T, N, SCALED>,
            cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);

        if (rc != cudaSuccess)
            return rc;
    }
    return launch_next(shift_rows<T, N, SCALED>,
                       dim3((unsigned)((a->rows + each - 1) / each)), THREADS,
                       shared, s, *a, each);
}

template <typename T, bool SCALED>
static cudaError_t launch_n(const struct shift *a, cudaStream_t s)
{
    if (a->n == 1)
        return launch<T, 1, SCALED>(a, s);
    return launch<T, MIX_MAX, SCALED>(a, s);
}

extern "C" cudaError_t kernel_shift(const struct shift *a, cudaStream_t s)
{
    if (a->type == NARROW_FP16)
        return a->scaled ? launch_n<__half, true>(a, s)
                         : launch_n<__half, false>(a, s);
    if (a->type == NARROW_BF16)
        return launch_n<__nv_bfloat16, false>(a, s);
    return launch_n<float, false>(a, s);
}

static __global__ void keep_shift(int c, const struct cuda_piece *piece,
                                  const float *h, float *state, size_t stride)
{
    struct cuda_piece p = piece[blockIdx.x];
    const float *from = h + (size_t)(p.first + p.n - 1) * c;
    float *to = state + (size_t)p.slot * stride;

    if (p.n > 1)
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
