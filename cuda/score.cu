/* Log-softmax without the logits: each (row, chunk of SCORE_COLS columns) is
 * reduced in the order of the CPU's sixteen lanes, of which a thread has two
 * neighbours; then a warp per row joins the chunks in ascending order, in fp64,
 * as model/cpu_head.h says.
 */
#include "cuda/kernels.h"
#include "cuda/math.cuh"

#define TEAM 8    /* threads per chunk */
#define CHUNKS 16 /* per block */
#define EACH (SCORE_COLS / (2 * TEAM))

struct pair {
    float a, b; /* columns c and c + 1 */
};

/* One chunk of one row, as the threads of its team see it. */
struct place {
    int row, from; /* column of the block of columns */
    int left;      /* columns from there on, also of later chunks: cut to this
                    * one, ptxas 13.0 takes max(0, min(left, 512)) == 512 to be
                    * true for any */
    int column;    /* the thread's first */
};

template <bool BIAS>
static __device__ __forceinline__ float
logit_at(const struct score &a, const struct place &p, int i, float up)
{
    const int col = p.from + i;
    float x;

    if (i >= p.left)
        return -FLT_MAX;
    x = a.logits.at[(size_t)p.row * a.ld + col] * up;
    return BIAS ? x + a.bias[a.first + col] : x;
}

template <bool BIAS>
static __device__ __forceinline__ void load(const struct score &a,
                                            const struct place &p, float up,
                                            struct pair x[EACH])
{
    const float *at = a.logits.at + (size_t)p.row * a.ld + p.from + p.column;

    if constexpr (!BIAS) {
        if (p.left >= SCORE_COLS) {
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                const float2 two = *(const float2 *)(at + i * 16);

                x[i].a = two.x * up;
                x[i].b = two.y * up;
            }
            return;
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        x[i].a = logit_at<BIAS>(a, p, i * 16 + p.column, up);
        x[i].b = logit_at<BIAS>(a, p, i * 16 + p.column + 1, up);
    }
}

/* Lane i with lane i + 8, then + 4, + 2, + 1. */
static __device__ __forceinline__ float team_peak(struct pair x)
{
    for (int half = TEAM / 2; half > 0; half /= 2) {
        x.a = math_max(x.a, __shfl_xor_sync(ALL_LANES, x.a, half));
        x.b = math_max(x.b, __shfl_xor_sync(ALL_LANES, x.b, half));
    }
    return math_max(x.a, x.b);
}

static __device__ __forceinline__ int team_least(int x)
{
    for (int half = TEAM / 2; half > 0; half /= 2)
        x = min(x, __shfl_xor_sync(ALL_LANES, x, half));
    return x;
}

static __device__ __forceinline__ float team_sum(struct pair x)
{
    for (int half = TEAM / 2; half > 0; half /= 2) {
        x.a = x.a + __shfl_xor_sync(ALL_LANES, x.a, half);
        x.b = x.b + __shfl_xor_sync(ALL_LANES, x.b, half);
    }
    return x.a + x.b;
}

/* What leaves the device or is drawn from goes to `copy`. */
static __device__ __forceinline__ void
keep(const struct score &a, const struct place &p, const struct pair x[EACH])
{
    const int whole = a.whole[p.row];
    float *to = a.copy + (size_t)whole * a.copy_ld + a.first + p.from;

    if (whole < 0)
        return;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int at = i * 16 + p.column;

        if (at < p.left)
            to[at] = x[i].a;
        if (at + 1 < p.left)
            to[at + 1] = x[i].b;
    }
}

/* The first column of the chunk whose logit is max_x, as far as this thread
 * sees.
 */
static __device__ __forceinline__ int
find_best(const struct place &p, const struct pair x[EACH], float max_x)
{
    int best = INT32_MAX;

#pragma unroll
    for (int i = EACH - 1; i >= 0; i--) {
        if (x[i].b == max_x)
            best = i * 16 + p.column + 1;
        if (x[i].a == max_x)
            best = i * 16 + p.column;
    }
    return best;
}

/* Of a whole chunk without very small terms, or of any. */
static __device__ __forceinline__ struct pair
sum_near(const struct pair x[EACH], float max_x)
{
    struct pair sum = {0.0f, 0.0f};

#pragma unroll
    for (int i = 0; i < EACH; i++) {
        sum.a = sum.a + math_exp_near(x[i].a - max_x);
        sum.b = sum.b + math_exp_near(x[i].b - max_x);
    }
    return sum;
}

static __device__ __forceinline__ struct pair
sum_any(const struct place &p, const struct pair x[EACH], float max_x)
{
    struct pair sum = {0.0f, 0.0f};

#pragma unroll
    for (int i = 0; i < EACH; i++) {
        if (i * 16 < p.left) { /* whole groups of lanes, as the CPU pads */
            sum.a = sum.a + math_exp(x[i].a - max_x);
            sum.b = sum.b + math_exp(x[i].b - max_x);
        }
    }
    return sum;
}

template <bool BIAS>
static __global__ void __launch_bounds__(TEAM *CHUNKS) chunk(struct score a)
{
    const int member = threadIdx.x % TEAM;
    const int index = blockIdx.x * CHUNKS + threadIdx.x / TEAM;
    const struct place p = {(int)blockIdx.y, index * SCORE_COLS,
                            a.cols - index * SCORE_COLS, 2 * member};
    const float up = a.logits.up != NULL ? a.logits.up[p.row] : 1.0f;
    const int target = a.target[p.row] - a.first - p.from;
    struct pair x[EACH], peak = {-INFINITY, -INFINITY}, sum;
    float poison = 0.0f, least = INFINITY;

    load<BIAS>(a, p, up, x);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        peak.a = math_max(peak.a, x[i].a);
        peak.b = math_max(peak.b, x[i].b);
        least = fminf(least, fminf(x[i].a, x[i].b));
        poison = math_fma(x[i].a, 0.0f, poison); /* NaN from inf and NaN */
        poison = math_fma(x[i].b, 0.0f, poison);
    }
    const float max_x = team_peak(peak);
    const bool near = p.left >= SCORE_COLS && least - max_x >= MATH_EXP_NEAR;

    keep(a, p, x);
    if (__all_sync(ALL_LANES, near))
        sum = sum_near(x, max_x);
    else
        sum = sum_any(p, x, max_x);
    const float all = team_sum(sum);
    const int finite = team_least(poison == 0.0f);
    const int best = team_least(find_best(p, x, max_x));

    if (member > 0 || p.left <= 0)
        return;
    a.part[(size_t)p.row * a.n_part + a.first / SCORE_COLS + index] =
        (struct score_part){max_x, all, a.first + p.from + best, finite};
    if (target >= 0 && target < SCORE_COLS && target < p.left)
        a.out[p.row].target = logit_at<BIAS>(a, p, target, up);
}

extern "C" cudaError_t kernel_score(const struct score *a, cudaStream_t s)
{
    const int chunks = (a->cols + SCORE_COLS - 1) / SCORE_COLS;
    const dim3 grid((unsigned)((chunks + CHUNKS - 1) / CHUNKS),
                    (unsigned)a->rows);

    if (a->bias != NULL)
        chunk<true><<<grid, TEAM * CHUNKS, 0, s>>>(*a);
    else
        chunk<false><<<grid, TEAM * CHUNKS, 0, s>>>(*a);
    return cudaGetLastError();
}

/* ---- all chunks of a row --------------------------------------------------- */

#define JOIN_ROWS 4 /* per block, a warp each */

/* One step of the sum: sum = sum * scale + add. */
struct link {
    double scale, add;
};

/* The maximum before each lane's chunk, *all that of all. */
static __device__ __forceinline__ float scan_max(float x, float before,
                                                 float *all)
{
    const int lane = threadIdx.x % 32;
    float up;

    for (int d = 1; d < 32; d *= 2) {
        const float other = __shfl_up_sync(ALL_LANES, x, d);

        if (lane >= d)
            x = x > other ? x : other;
    }
    *all = __shfl_sync(ALL_LANES, x, 31);
    *all = *all > before ? *all : before;
    up = __shfl_up_sync(ALL_LANES, x, 1);
    return lane > 0 && up > before ? up : before;
}

/* The factors, 32 chunks at a time, then one thread's chain of sums. */
static __global__ void __launch_bounds__(32 * JOIN_ROWS)
    join(int rows, int n_part, const struct score_part *part,
         struct score_result *out)
{
    __shared__ struct link links[JOIN_ROWS][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row = blockIdx.x * JOIN_ROWS + warp;
    float max_x = -INFINITY;
    double sum = 0;
    int best = INT32_MAX, finite = 1;

    if (row >= rows)
        return;
    part += (size_t)row * n_part;
    for (int first = 0; first < n_part; first += 32) {
        struct score_part p = {-INFINITY, 0.0f, INT32_MAX, 1};
        struct link link = {1.0, 0.0};
        float before, all;
        unsigned bad, on_top;

        if (first + lane < n_part)
            p = part[first + lane];
        before = scan_max(p.max, max_x, &all);
        if (p.max > before)
            link =
                (struct link){(double)math_exp(before - p.max), (double)p.sum};
        else
            link.add = (double)p.sum * (double)math_exp(p.max - before);
        links[warp][lane] = link;
        bad = __ballot_sync(ALL_LANES, !p.finite);
        on_top = __ballot_sync(ALL_LANES, p.max == all && p.max > max_x);
        if (on_top != 0)
            best = __shfl_sync(ALL_LANES, p.best, __ffs((int)on_top) - 1);
        finite = finite && bad == 0;
        max_x = all;
        __syncwarp();
        for (int i = 0; lane == 0 && i < 32; i++)
            sum = sum * links[warp][i].scale + links[warp][i].add;
        __syncwarp();
    }
    if (lane > 0)
        return;
    out[row].max = max_x;
    out[row].log_sum = math_log((float)sum);
    out[row].best = best;
    out[row].finite = finite;
}

extern "C" cudaError_t kernel_score_join(int rows, int n_part,
                                         const struct score_part *part,
                                         struct score_result *out,
                                         cudaStream_t s)
{
    join<<<(rows + JOIN_ROWS - 1) / JOIN_ROWS, 32 * JOIN_ROWS, 0, s>>>(
        rows, n_part, part, out);
    return cudaGetLastError();
}
