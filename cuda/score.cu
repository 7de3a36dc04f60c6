/* Log-softmax without the logits: each (row, chunk of SCORE_COLS columns) is
 * reduced by 16 lanes, then one thread per row joins the chunks in ascending
 * order, in fp64, as model/cpu_head.h says.
 */
#include "cuda/kernels.h"
#include "cuda/math.cuh"

#define GROUPS 8 /* chunks per block */
#define EACH (SCORE_COLS / 16)

static __device__ __forceinline__ float logit_at(const struct score &a, int row,
                                                 int col, float up)
{
    float x;

    if (col >= a.cols)
        return -FLT_MAX;
    x = a.logits.at[(size_t)row * a.ld + col] * up;
    return a.bias != NULL ? x + a.bias[a.first + col] : x;
}

static __device__ __forceinline__ void keep(const struct score &a, int row,
                                            int col, float x)
{
    if (a.target[row] == a.first + col)
        a.out[row].target = x;
    if (a.whole[row] >= 0)
        a.copy[(size_t)a.whole[row] * a.vocab + a.first + col] = x;
}

static __device__ __forceinline__ float peak16(float x)
{
    for (int half = 8; half > 0; half /= 2)
        x = math_max(x, __shfl_xor_sync(ALL_LANES, x, half));
    return x;
}

static __device__ __forceinline__ int least16(int x)
{
    for (int half = 8; half > 0; half /= 2) {
        int y = __shfl_xor_sync(ALL_LANES, x, half);

        x = x < y ? x : y;
    }
    return x;
}

/* Lanes read column by column: coalesced, and in the order of the CPU's lanes.
 * A chunk beyond the columns takes part in the sums and writes nothing.
 */
static __global__ void chunk(struct score a)
{
    const int lane = threadIdx.x & 15;
    const int index = blockIdx.x * GROUPS + threadIdx.x / 16;
    const int from = index * SCORE_COLS, row = blockIdx.y;
    const float up = a.logits.up != NULL ? a.logits.up[row] : 1.0f;
    float x[EACH], max = -INFINITY, sum = 0.0f;
    int best = INT32_MAX, finite = 1;
    const int last = a.cols - from < SCORE_COLS ? a.cols - from : SCORE_COLS;

#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int col = from + i * 16 + lane;

        x[i] = logit_at(a, row, col, up);
        max = math_max(max, x[i]);
        finite = finite && isfinite(x[i]);
        if (col < a.cols)
            keep(a, row, col, x[i]);
    }
    max = peak16(max);
    finite = least16(finite);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (i * 16 < last) /* whole groups of lanes, as the CPU pads */
            sum = sum + math_exp(x[i] - max);
        if (x[i] == max && i * 16 + lane < last && best == INT32_MAX)
            best = a.first + from + i * 16 + lane;
    }
    sum = math_sum16(sum);
    best = least16(best);
    if (lane == 0 && from < a.cols) {
        struct score_part part = {max, sum, best, finite};

        a.part[(size_t)row * a.n_part + a.first / SCORE_COLS + index] = part;
    }
}

extern "C" cudaError_t kernel_score(const struct score *a, cudaStream_t s)
{
    const int chunks = (a->cols + SCORE_COLS - 1) / SCORE_COLS;
    const dim3 grid((unsigned)((chunks + GROUPS - 1) / GROUPS),
                    (unsigned)a->rows);

    chunk<<<grid, 16 * GROUPS, 0, s>>>(*a);
    return cudaGetLastError();
}

static __global__ void join(int rows, int n_part, const struct score_part *part,
                            struct score_result *out)
{
    const int row = blockIdx.x * blockDim.x + threadIdx.x;
    float max = -INFINITY;
    double sum = 0;
    int best = 0, finite = 1;

    if (row >= rows)
        return;
    for (int i = 0; i < n_part && finite; i++) {
        struct score_part p = part[(size_t)row * n_part + i];

        if (!p.finite) {
            finite = 0;
        } else if (p.max > max) {
            best = p.best;
            sum = sum * (double)math_exp(max - p.max) + (double)p.sum;
            max = p.max;
        } else {
            sum = sum + (double)p.sum * (double)math_exp(p.max - max);
        }
    }
    out[row].max = max;
    out[row].log_sum = math_log((float)sum);
    out[row].best = best;
    out[row].finite = finite;
}

extern "C" cudaError_t kernel_score_join(int rows, int n_part,
                                         const struct score_part *part,
                                         struct score_result *out,
                                         cudaStream_t s)
{
    join<<<(rows + 63) / 64, 64, 0, s>>>(rows, n_part, part, out);
    return cudaGetLastError();
}
