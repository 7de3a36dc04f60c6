/* The recurrence with everything around it that belongs to one head.
 *
 * A block is one head of one piece. CHUNK tokens at a time are staged in shared
 * memory by groups of 16 lanes (decay, rate, value residual, key norm, key
 * update, bonus), then thread i carries the value channel i through them with
 * its column of the state in registers, then the groups normalise and gate.
 *
 * Sums over keys are one chain each, j ascending, as on the CPU; the pass that
 * updates the state for a token also sums the next token's s. The first of a
 * chunk has a pass of its own, with the same chain. Nothing here looks at how
 * many tokens there are but the loops' ends.
 */
#include "cuda/kernels.h"
#include "cuda/math.cuh"

#define CHUNK 8

template <int N> struct staged {
    float r[CHUNK][N], w[CHUNK][N], k[CHUNK][N], neg_kk[CHUNK][N], b[CHUNK][N];
    float v[CHUNK][N], y[CHUNK][N];
    float beta[CHUNK];
};

static __device__ __forceinline__ float up_of(const struct wide_rows &x,
                                              size_t row)
{
    return x.up != NULL ? x.up[row] : 1.0f;
}

/* Steps 7, 8, 10: all that belongs to one channel of one token. */
static __device__ __forceinline__ float value_of(const struct wkv7 &a,
                                                 size_t row, int c, bool write)
{
    size_t at = row * a.c + c;
    float v = a.v.at[at] * up_of(a.v, row), z;

    if (a.mix_v.at == NULL) {
        if (write)
            a.first_v[at] = v;
        return v;
    }
    z = a.v0[c] + a.mix_v.at[at] * up_of(a.mix_v, row);
    return math_fma(a.first_v[at] - v, math_sigmoid(z), v);
}

/* One token into `s`, by 16 lanes. Not `valid`: a token beyond the piece, whose
 * place nothing reads; its lanes take part in the sums.
 */
template <int N>
static __device__ __forceinline__ void stage(const struct wkv7 &a,
                                             struct staged<N> *s, int t,
                                             size_t row, int head, bool valid)
{
    const int lane = threadIdx.x & 15;
    float sum = 0.0f, norm, beta = 0.0f;
    float k[N / 16], u[N / 16];

#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int c = head * N + q * 16 + lane;

        k[q] = a.k.at[row * a.c + c] * up_of(a.k, row);
        u[q] = k[q] * a.k_k[c];
        sum = math_fma(u[q], u[q], sum);
    }
    norm = math_max(KEY_NORM_MIN, sqrtf(math_sum16(sum)));
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int j = q * 16 + lane, c = head * N + j;
        size_t at = row * a.c + c;
        float kk = u[q] / norm;
        float rate = math_sigmoid(a.a0[c] + a.a.at[at] * up_of(a.a, row));
        float keep = math_fma(rate - 1.0f, a.k_a[c], 1.0f);
        float key = k[q] * keep, r = a.r.at[at] * up_of(a.r, row);
        float z = math_sigmoid(a.w0[c] + a.w.at[at] * up_of(a.w, row));

        beta = math_fma(r * key, a.r_k[c], beta);
        s->r[t][j] = r;
        s->w[t][j] = math_exp(DECAY_SCALE * z);
        s->k[t][j] = key;
        s->neg_kk[t][j] = 0.0f - kk;
        s->b[t][j] = kk * rate;
        s->v[t][j] = value_of(a, row, c, valid);
    }
    beta = math_sum16(beta);
    if (lane == 0)
        s->beta[t] = beta;
}

/* s of a token, from the state before it. */
template <int N>
static __device__ __forceinline__ float look(const float *S,
                                             const float *neg_kk)
{
    float sa = 0.0f;

#pragma unroll
    for (int j = 0; j < N; j += 4) {
        float x[4];

        math_load4(neg_kk + j, x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            sa = math_fma(S[j + i], x[i], sa);
    }
    return sa;
}

/* Token t for value channel i; returns s of the token after it. */
template <int N>
static __device__ __forceinline__ float advance(struct staged<N> *s, float *S,
                                                int t, int i, float sa)
{
    const int next = t + 1 < CHUNK ? t + 1 : t; /* else unused */
    float v = s->v[t][i], y = 0.0f, ahead = 0.0f;

#pragma unroll
    for (int j = 0; j < N; j += 4) {
        float w[4], b[4], k[4], r[4], n[4];

        math_load4(&s->w[t][j], w);
        math_load4(&s->b[t][j], b);
        math_load4(&s->k[t][j], k);
        math_load4(&s->r[t][j], r);
        math_load4(&s->neg_kk[next][j], n);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            float x = S[j + e] * w[e];

            x = math_fma(sa, b[e], x);
            x = math_fma(v, k[e], x);
            S[j + e] = x;
            y = math_fma(x, r[e], y);
            ahead = math_fma(x, n[e], ahead);
        }
    }
    s->y[t][i] = y;
    return ahead;
}

/* Steps 14, 15 and the gate, by 16 lanes. */
template <int N>
static __device__ __forceinline__ void finish(const struct wkv7 &a,
                                              const struct staged<N> *s, int t,
                                              size_t row, int head, bool valid)
{
    const int lane = threadIdx.x & 15;
    float sum = 0.0f, mean, scale;

#pragma unroll
    for (int q = 0; q < N / 16; q++)
        sum = sum + s->y[t][q * 16 + lane];
    mean = math_sum16(sum) / (float)N;
    sum = 0.0f;
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        float d = s->y[t][q * 16 + lane] - mean;

        sum = math_fma(d, d, sum);
    }
    sum = math_sum16(sum) / (float)N;
    scale = 1.0f / sqrtf(sum + GROUP_NORM_EPS);
    if (!valid)
        return;
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int j = q * 16 + lane, c = head * N + j;
        size_t at = row * a.c + c;
        float y = math_fma((s->y[t][j] - mean) * scale, a.weight[c], a.bias[c]);

        y = math_fma(s->beta[t], s->v[t][j], y);
        a.y[at] = y * (a.g.at[at] * up_of(a.g, row));
    }
}

/* The column of the state that a thread carries. */
template <int N>
static __device__ __forceinline__ void load_state(const float *state, int i,
                                                  float *S)
{
#pragma unroll
    for (int j = 0; j < N; j++)
        S[j] = state[j * N + i];
}

template <int N>
static __device__ __forceinline__ void store_state(float *state, int i,
                                                   const float *S)
{
#pragma unroll
    for (int j = 0; j < N; j++)
        state[j * N + i] = S[j];
}

/* The chunk of tokens first.. of a piece: what one head's threads do to it. */
struct chunk {
    size_t row; /* of its first token */
    int n;
    int head;
};

static __device__ __forceinline__ struct chunk
chunk_at(const struct cuda_piece &p, int first, int head)
{
    int left = p.n - first;

    return {(size_t)(p.first + first), left < CHUNK ? left : CHUNK, head};
}

/* Groups of 16 lanes take the chunk's tokens in turn. */
template <int N>
static __device__ __forceinline__ void
stage_all(const struct wkv7 &a, const struct chunk &c, struct staged<N> *s,
          int group, int groups)
{
    for (int t = group; t < CHUNK; t += groups)
        stage<N>(a, s, t, c.row + (t < c.n ? t : c.n - 1), c.head, t < c.n);
}

template <int N>
static __device__ __forceinline__ void
finish_all(const struct wkv7 &a, const struct chunk &c,
           const struct staged<N> *s, int group, int groups)
{
    for (int t = group; t < CHUNK; t += groups) {
        int inside = t < c.n ? t : c.n - 1;

        finish<N>(a, s, inside, c.row + inside, c.head, t < c.n);
    }
}

template <int N>
static __device__ __forceinline__ void
advance_all(const struct chunk &c, struct staged<N> *s, float *S, int i)
{
    float sa = look<N>(S, s->neg_kk[0]);

#pragma unroll 1
    for (int t = 0; t < c.n; t++)
        sa = advance<N>(s, S, t, i, sa);
}

/* All threads do everything in turn: least registers per block, so the choice
 * where many blocks share a multiprocessor.
 */
template <int N>
static __global__ void __launch_bounds__(N < 32 ? 32 : N) wkv(struct wkv7 a)
{
    const int i = threadIdx.x, group = i / 16, groups = blockDim.x / 16;
    const struct cuda_piece p = a.piece[blockIdx.y];
    float *state =
        a.state + (size_t)p.slot * a.stride + (size_t)blockIdx.x * N * N;
    __shared__ __align__(16) struct staged<N> s;
    float S[N];

    if (i < N)
        load_state<N>(state, i, S);
    for (int first = 0; first < p.n; first += CHUNK) {
        const struct chunk c = chunk_at(p, first, blockIdx.x);

        stage_all<N>(a, c, &s, group, groups);
        __syncthreads();
        if (i < N)
            advance_all<N>(c, &s, S, i);
        __syncthreads();
        finish_all<N>(a, c, &s, group, groups);
        __syncthreads();
    }
    if (i < N)
        store_state<N>(state, i, S);
}

/* The same for few blocks: N threads advance one chunk while 8 groups finish
 * the chunk before it and stage the one after it, each group one token, so that
 * it overwrites only what it has read.
 */
#define HELPERS (CHUNK * 16)

template <int N>
static __global__ void __launch_bounds__(N + HELPERS) wkv_split(struct wkv7 a)
{
    const int i = threadIdx.x, group = (i - N) / 16;
    const struct cuda_piece p = a.piece[blockIdx.y];
    const int chunks = (p.n + CHUNK - 1) / CHUNK;
    float *state =
        a.state + (size_t)p.slot * a.stride + (size_t)blockIdx.x * N * N;
    __shared__ __align__(16) struct staged<N> s[2];
    float S[N];

    if (i < N)
        load_state<N>(state, i, S);
    else
        stage_all<N>(a, chunk_at(p, 0, blockIdx.x), &s[0], group, CHUNK);
    __syncthreads();
    for (int n = 0; n <= chunks; n++) {
        struct staged<N> *now = &s[n & 1], *other = &s[1 - (n & 1)];

        if (i < N) {
            if (n < chunks)
                advance_all<N>(chunk_at(p, n * CHUNK, blockIdx.x), now, S, i);
        } else {
            if (n > 0)
                finish_all<N>(a, chunk_at(p, (n - 1) * CHUNK, blockIdx.x),
                              other, group, CHUNK);
            __syncwarp();
            if (n + 1 < chunks)
                stage_all<N>(a, chunk_at(p, (n + 1) * CHUNK, blockIdx.x), other,
                             group, CHUNK);
        }
        __syncthreads();
    }
    if (i < N)
        store_state<N>(state, i, S);
}

extern "C" bool kernel_wkv7_has(int n)
{
    return n == 16 || n == 32 || n == 64 || n == 128;
}

extern "C" cudaError_t kernel_wkv7(const struct wkv7 *a, cudaStream_t s)
{
    const dim3 grid((unsigned)a->h, (unsigned)a->pieces);
    const bool few = a->h * a->pieces <= a->split_max;

    if (a->n == 16)
        wkv<16><<<grid, 32, 0, s>>>(*a);
    else if (a->n == 32)
        wkv<32><<<grid, 32, 0, s>>>(*a);
    else if (a->n == 64 && few)
        wkv_split<64><<<grid, 64 + HELPERS, 0, s>>>(*a);
    else if (a->n == 64)
        wkv<64><<<grid, 64, 0, s>>>(*a);
    else
        wkv<128><<<grid, 128, 0, s>>>(*a);
    return cudaGetLastError();
}
