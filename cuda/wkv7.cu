/* The recurrence with everything around it that belongs to one head.
 *
 * A block is one head of one piece. CHUNK tokens at a time come into shared
 * memory, the next chunk while this one is worked on. Groups of 16 lanes make
 * of a token's inputs what the recurrence needs (value residual, key norm, key
 * update, bonus), in place; then each thread carries its value channels through
 * the chunk with their part of the state in registers; then the groups
 * normalise, gate and narrow.
 *
 * Sums over keys are one chain each, j ascending, as on the CPU; the pass that
 * updates the state for a token also sums the next token's s. The first of a
 * chunk has a pass of its own, with the same chain. Nothing here looks at how
 * many tokens there are but the loops' ends.
 *
 * Cost per token and head of 64: 5 x 4096 operations on fp32 units (160 cycles
 * of a multiprocessor) and 2 KB read, 128 B to 256 B written; per piece and
 * head 32 KB of state.
 */
#include "cuda/launch.cuh"
#include "cuda/narrow.cuh"

/* A token's vectors in shared memory: as loaded, and what they become. */
enum {
    IN_R,
    IN_DECAY,
    IN_KEY,  /* k, then the updated key */
    IN_V,    /* v, then with the residual */
    IN_RATE, /* a, then kk a */
    IN_G,
    IN_GATE,  /* of the value residual, then y */
    IN_FIRST, /* first v, then -kk */
    INPUTS
};
#define OUT_B IN_RATE
#define OUT_Y IN_GATE
#define OUT_NEG_KK IN_FIRST

/* 16 floats of padding: two groups of a warp at the same place of neighbouring
 * tokens meet no bank twice.
 */
template <int N, int CHUNK> struct staged {
    struct {
        float in[INPUTS][N];
        float pad[16];
    } token[CHUNK];
    float beta[CHUNK];
};

/* Tokens first.. of a piece: what one head's threads do to them. */
struct chunk {
    size_t row; /* of the first */
    int n;
    int head;
};

template <int CHUNK>
static __device__ __forceinline__ struct chunk
chunk_at(const struct cuda_piece &p, int first, int head)
{
    int left = p.n - first;

    return {(size_t)(p.first + first), left < CHUNK ? left : CHUNK, head};
}

/* ---- in -------------------------------------------------------------------- */

static __device__ __forceinline__ void copy_16(float *to, const float *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from)
                 : "memory");
}

static __device__ __forceinline__ void copies_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void copies_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* Threads thread.. of `threads` begin to copy the chunk. */
template <int N, int CHUNK>
static __device__ __forceinline__ void
begin_load(const struct wkv7 &a, const struct chunk &c,
           struct staged<N, CHUNK> *s, int thread, int threads)
{
    const float *const from[INPUTS] = {a.r,    a.decay, a.k,      a.v,
                                       a.rate, a.g,     a.gate_v, a.first_v};
    const int each = N / 4;

    for (int u = thread; u < c.n * each; u += threads) {
        const int t = u / each, j = u % each * 4;
        const size_t at = (c.row + t) * a.c + c.head * N + j;

#pragma unroll
        for (int i = 0; i < INPUTS; i++)
            if (i < IN_GATE || a.gate_v != NULL)
                copy_16(&s->token[t].in[i][j], from[i] + at);
    }
    copies_commit();
}

/* Steps 10-12 and the bonus of one token, by 16 lanes, in place. */
template <int N, int CHUNK>
static __device__ __forceinline__ void
stage(const struct wkv7 &a, struct staged<N, CHUNK> *s, int t, int head)
{
    const int lane = threadIdx.x & 15;
    float(*in)[N] = s->token[t].in;
    float sum = 0.0f, norm, beta = 0.0f;
    float k[N / 16], u[N / 16];

#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int j = q * 16 + lane;

        k[q] = in[IN_KEY][j];
        u[q] = k[q] * a.k_k[head * N + j];
        sum = math_fma(u[q], u[q], sum);
    }
    norm = math_max(KEY_NORM_MIN, sqrtf(math_sum16(sum)));
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int j = q * 16 + lane, c = head * N + j;
        float kk = u[q] / norm, rate = in[IN_RATE][j];
        float key = k[q] * math_fma(rate - 1.0f, a.k_a[c], 1.0f);

        beta = math_fma(in[IN_R][j] * key, a.r_k[c], beta);
        if (a.gate_v != NULL) {
            float v = in[IN_V][j];

            in[IN_V][j] = math_fma(in[IN_FIRST][j] - v, in[IN_GATE][j], v);
        }
        in[IN_KEY][j] = key;
        in[OUT_B][j] = kk * rate;
        in[OUT_NEG_KK][j] = 0.0f - kk;
    }
    beta = math_sum16(beta);
    if (lane == 0)
        s->beta[t] = beta;
}

/* ---- the recurrence -------------------------------------------------------- */

/* ROWS value channels of one thread: ROWS * i .. of its head. */
template <int N, int ROWS> struct column {
    float S[ROWS][N]; /* of the state */
    float sa[ROWS];   /* s of the next token */
};

template <int ROWS>
static __device__ __forceinline__ void load_rows(const float *from,
                                                 float to[ROWS])
{
    if (ROWS == 2) {
        float2 x = *(const float2 *)from;

        to[0] = x.x;
        to[ROWS - 1] = x.y;
    } else {
        to[0] = from[0];
    }
}

template <int ROWS>
static __device__ __forceinline__ void store_rows(float *to,
                                                  const float from[ROWS])
{
    if (ROWS == 2)
        *(float2 *)to = make_float2(from[0], from[ROWS - 1]);
    else
        to[0] = from[0];
}

/* s of a token, from the state before it. */
template <int N, int ROWS>
static __device__ __forceinline__ void look(struct column<N, ROWS> *c,
                                            const float *neg_kk)
{
#pragma unroll
    for (int q = 0; q < ROWS; q++)
        c->sa[q] = 0.0f;
#pragma unroll
    for (int j = 0; j < N; j += 4) {
        float x[4];

        math_load4(neg_kk + j, x);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int q = 0; q < ROWS; q++)
                c->sa[q] = math_fma(c->S[q][j + e], x[e], c->sa[q]);
    }
}

/* Four keys' places in a token's vectors, and in the next one's -kk. */
struct keys {
    float w[4], b[4], k[4], r[4], next[4];
};

template <int N>
static __device__ __forceinline__ void
load_keys(const float (*now)[N], const float (*next)[N], int j, struct keys *x)
{
    math_load4(&now[IN_DECAY][j], x->w);
    math_load4(&now[OUT_B][j], x->b);
    math_load4(&now[IN_KEY][j], x->k);
    math_load4(&now[IN_R][j], x->r);
    math_load4(&next[OUT_NEG_KK][j], x->next);
}

/* Token t for the value channels from i on, and s of the token after it. */
template <int N, int ROWS, int CHUNK>
static __device__ __forceinline__ void
advance(struct staged<N, CHUNK> *s, struct column<N, ROWS> *c, int t, int i)
{
    const int after = t + 1 < CHUNK ? t + 1 : t; /* else unused */
    float(*now)[N] = s->token[t].in, (*next)[N] = s->token[after].in;
    float v[ROWS], y[ROWS], ahead[ROWS];
    struct keys x[2];

    load_rows<ROWS>(&now[IN_V][i], v);
#pragma unroll
    for (int q = 0; q < ROWS; q++)
        y[q] = ahead[q] = 0.0f;
    load_keys<N>(now, next, 0, &x[0]);
#pragma unroll
    for (int j = 0; j < N; j += 4) {
        struct keys *k = &x[j / 4 % 2];

        if (j + 4 < N) /* while these four are worked on */
            load_keys<N>(now, next, j + 4, &x[1 - j / 4 % 2]);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int q = 0; q < ROWS; q++) {
                float s = c->S[q][j + e] * k->w[e];

                s = math_fma(c->sa[q], k->b[e], s);
                s = math_fma(v[q], k->k[e], s);
                c->S[q][j + e] = s;
                y[q] = math_fma(s, k->r[e], y[q]);
                ahead[q] = math_fma(s, k->next[e], ahead[q]);
            }
    }
    store_rows<ROWS>(&now[OUT_Y][i], y);
#pragma unroll
    for (int q = 0; q < ROWS; q++)
        c->sa[q] = ahead[q];
}

/* ---- out ------------------------------------------------------------------- */

static __device__ __forceinline__ uint32_t peak16(uint32_t m)
{
#pragma unroll
    for (int half = 8; half > 0; half /= 2) {
        uint32_t other = __shfl_xor_sync(ALL_LANES, m, half);

        m = m > other ? m : other;
    }
    return m;
}

/* One head of one row, narrowed. Values beyond fp16 go to `spill`, and the head
 * is marked by infinities: kernel_refit_spilled() does the rest.
 */
template <typename T, int N>
static __device__ __forceinline__ void
put_head(const struct wkv7 &a, size_t row, int head, const float y[N / 16],
         bool valid)
{
    const size_t at = row * a.c + head * N + (threadIdx.x & 15);
    bool spilled = false;
    uint32_t max = 0;

    if (narrow_scales<T>::yes) {
#pragma unroll
        for (int q = 0; q < N / 16; q++) {
            uint32_t m = narrow_magnitude(y[q]);

            max = m > max ? m : max;
        }
        max = peak16(max);
        spilled = max >= NARROW_LIMIT_BITS;
    }
    if (!valid)
        return;
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        ((T *)a.y)[at + q * 16] = narrow<T>(spilled ? INFINITY : y[q]);
        if (spilled)
            a.spill[at + q * 16] = y[q];
    }
    if (spilled && (threadIdx.x & 15) == 0)
        atomicMax(a.over + row, max);
}

/* Steps 14, 15 and the gate, by 16 lanes. */
template <typename T, int N, int CHUNK>
static __device__ __forceinline__ void
finish(const struct wkv7 &a, const struct staged<N, CHUNK> *s, int t,
       size_t row, int head, bool valid)
{
    const int lane = threadIdx.x & 15;
    const float(*in)[N] = s->token[t].in;
    float sum = 0.0f, mean, scale, out[N / 16];

#pragma unroll
    for (int q = 0; q < N / 16; q++)
        sum = sum + in[OUT_Y][q * 16 + lane];
    mean = math_sum16(sum) / (float)N;
    sum = 0.0f;
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        float d = in[OUT_Y][q * 16 + lane] - mean;

        sum = math_fma(d, d, sum);
    }
    sum = math_sum16(sum) / (float)N;
    scale = 1.0f / sqrtf(sum + GROUP_NORM_EPS);
#pragma unroll
    for (int q = 0; q < N / 16; q++) {
        int j = q * 16 + lane, c = head * N + j;
        float y =
            math_fma((in[OUT_Y][j] - mean) * scale, a.weight[c], a.bias[c]);

        y = math_fma(s->beta[t], in[IN_V][j], y);
        out[q] = y * in[IN_G][j];
    }
    put_head<T, N>(a, row, head, out, valid);
}

/* ---- chunks of tokens ------------------------------------------------------ */

/* State is read and written once: it should push nothing else out of the L2. */
template <int ROWS>
static __device__ __forceinline__ void stream_in(const float *from,
                                                 float to[ROWS])
{
    if (ROWS == 2) {
        float2 x = __ldcs((const float2 *)from);

        to[0] = x.x;
        to[ROWS - 1] = x.y;
    } else {
        to[0] = __ldcs(from);
    }
}

template <int ROWS>
static __device__ __forceinline__ void stream_out(float *to,
                                                  const float from[ROWS])
{
    if (ROWS == 2)
        __stcs((float2 *)to, make_float2(from[0], from[ROWS - 1]));
    else
        __stcs(to, from[0]);
}

template <int N, int ROWS>
static __device__ __forceinline__ void load_state(const float *state, int i,
                                                  struct column<N, ROWS> *c)
{
#pragma unroll
    for (int j = 0; j < N; j++) {
        float x[ROWS];

        stream_in<ROWS>(state + j * N + i, x);
#pragma unroll
        for (int q = 0; q < ROWS; q++)
            c->S[q][j] = x[q];
    }
}

template <int N, int ROWS>
static __device__ __forceinline__ void
store_state(float *state, int i, const struct column<N, ROWS> *c)
{
#pragma unroll
    for (int j = 0; j < N; j++) {
        float x[ROWS];

#pragma unroll
        for (int q = 0; q < ROWS; q++)
            x[q] = c->S[q][j];
        stream_out<ROWS>(state + j * N + i, x);
    }
}

/* Groups of 16 lanes take the chunk's tokens in turn; both halves of a warp go
 * round together, the second beyond the last token without effect.
 */
template <int N, int CHUNK>
static __device__ __forceinline__ void
stage_all(const struct wkv7 &a, const struct chunk &c,
          struct staged<N, CHUNK> *s, int group, int groups)
{
#pragma unroll 1
    for (int t = group; (t & ~1) < c.n; t += groups)
        stage<N, CHUNK>(a, s, t, c.head);
}

template <typename T, int N, int CHUNK>
static __device__ __forceinline__ void
finish_all(const struct wkv7 &a, const struct chunk &c,
           const struct staged<N, CHUNK> *s, int group, int groups)
{
#pragma unroll 1
    for (int t = group; (t & ~1) < c.n; t += groups)
        finish<T, N, CHUNK>(a, s, t, c.row + t, c.head, t < c.n);
}

template <int N, int ROWS, int CHUNK>
static __device__ __forceinline__ void
advance_all(const struct chunk &c, struct staged<N, CHUNK> *s,
            struct column<N, ROWS> *column, int i)
{
    look<N, ROWS>(column, s->token[0].in[OUT_NEG_KK]);
#pragma unroll 1
    for (int t = 0; t < c.n; t++)
        advance<N, ROWS, CHUNK>(s, column, t, i);
}

static __device__ __forceinline__ float *
state_of(const struct wkv7 &a, const struct cuda_piece &p, int n)
{
    return a.state + (size_t)p.slot * a.stride + (size_t)blockIdx.x * n * n;
}

template <int THREADS> static __device__ __forceinline__ void meet(void)
{
    if (THREADS == 32)
        __syncwarp();
    else
        __syncthreads();
}

#define PLAIN_THREADS(n, rows) ((n) / (rows) < 32 ? 32 : (n) / (rows))

/* All threads do everything in turn. With ROWS 2 and N 64 a block is one warp:
 * what it reads of a token from shared memory serves 128 states at a time, and
 * it waits for nobody.
 */
template <typename T, int N, int ROWS, int CHUNK, int BLOCKS>
static __global__ void __launch_bounds__(PLAIN_THREADS(N, ROWS), BLOCKS)
    wkv(const __grid_constant__ struct wkv7 a)
{
    constexpr int threads = PLAIN_THREADS(N, ROWS);
    const int thread = threadIdx.x, i = ROWS * thread;
    const struct cuda_piece p = a.piece[blockIdx.y];
    const int head = blockIdx.x;
    float *state = state_of(a, p, N);
    extern __shared__ __align__(16) uint8_t memory[];
    struct staged<N, CHUNK> *s = (struct staged<N, CHUNK> *)memory;
    struct column<N, ROWS> column;

    if (p.n == 0)
        return;
    /* Lists and state are older than the kernel before this one. */
    launch_release();
    if (i < N)
        load_state<N, ROWS>(state, i, &column);
    launch_wait();
    begin_load<N, CHUNK>(a, chunk_at<CHUNK>(p, 0, head), s, thread, threads);
#pragma unroll 1
    for (int first = 0, turn = 0; first < p.n; first += CHUNK, turn ^= 1) {
        const struct chunk c = chunk_at<CHUNK>(p, first, head);
        struct staged<N, CHUNK> *now = s + turn;

        if (first + CHUNK < p.n) {
            begin_load<N, CHUNK>(a, chunk_at<CHUNK>(p, first + CHUNK, head),
                                 s + (turn ^ 1), thread, threads);
            copies_wait<1>();
        } else {
            copies_wait<0>();
        }
        meet<threads>();
        stage_all<N, CHUNK>(a, c, now, thread / 16, threads / 16);
        meet<threads>();
        if (i < N)
            advance_all<N, ROWS, CHUNK>(c, now, &column, i);
        meet<threads>();
        finish_all<T, N, CHUNK>(a, c, now, thread / 16, threads / 16);
        meet<threads>();
    }
    if (i < N)
        store_state<N, ROWS>(state, i, &column);
}

/* For few blocks: N threads advance one chunk while 8 groups finish the chunk
 * before it and fetch and stage the one after it.
 */
#define SPLIT_CHUNK 8
#define HELPERS (SPLIT_CHUNK * 16)

/* By the helpers alone: named barrier 1. */
static __device__ __forceinline__ void meet_helpers(void)
{
    asm volatile("bar.sync 1, %0;" ::"n"(HELPERS) : "memory");
}

template <int N>
static __device__ __forceinline__ void
fetch(const struct wkv7 &a, const struct chunk &c,
      struct staged<N, SPLIT_CHUNK> *s, int helper)
{
    begin_load<N, SPLIT_CHUNK>(a, c, s, helper, HELPERS);
    copies_wait<0>();
    meet_helpers();
    stage_all<N, SPLIT_CHUNK>(a, c, s, helper / 16, SPLIT_CHUNK);
}

template <typename T, int N>
static __global__ void __launch_bounds__(N + HELPERS)
    wkv_split(const __grid_constant__ struct wkv7 a)
{
    const int i = threadIdx.x, helper = i - N, head = blockIdx.x;
    const struct cuda_piece p = a.piece[blockIdx.y];
    const int chunks = (p.n + SPLIT_CHUNK - 1) / SPLIT_CHUNK;
    float *state = state_of(a, p, N);
    __shared__ __align__(16) struct staged<N, SPLIT_CHUNK> s[2];
    struct column<N, 1> column;

    if (p.n == 0)
        return;
    /* Its few blocks are long at work: a successor that waits beside them is in
     * their way, so it is not let in early.
     */
    launch_wait();
    if (i < N)
        load_state<N, 1>(state, i, &column);
    else
        fetch<N>(a, chunk_at<SPLIT_CHUNK>(p, 0, head), &s[0], helper);
    __syncthreads();
    for (int n = 0; n <= chunks; n++) {
        struct staged<N, SPLIT_CHUNK> *now = &s[n & 1], *other = &s[~n & 1];
        const int first = n * SPLIT_CHUNK;

        if (i < N) {
            if (n < chunks)
                advance_all<N, 1, SPLIT_CHUNK>(
                    chunk_at<SPLIT_CHUNK>(p, first, head), now, &column, i);
        } else {
            if (n > 0)
                finish_all<T, N, SPLIT_CHUNK>(
                    a, chunk_at<SPLIT_CHUNK>(p, first - SPLIT_CHUNK, head),
                    other, helper / 16, SPLIT_CHUNK);
            meet_helpers();
            if (n + 1 < chunks)
                fetch<N>(a, chunk_at<SPLIT_CHUNK>(p, first + SPLIT_CHUNK, head),
                         other, helper);
        }
        __syncthreads();
    }
    if (i < N)
        store_state<N, 1>(state, i, &column);
}

/* ---- launches -------------------------------------------------------------- */

extern "C" bool kernel_wkv7_has(int n)
{
    return n == 16 || n == 32 || n == 64 || n == 128;
}

template <typename T, int N, int ROWS, int CHUNK, int BLOCKS>
static cudaError_t plain(const struct wkv7 *a, cudaStream_t s)
{
    const dim3 grid((unsigned)a->h, (unsigned)a->pieces);

    return launch_next(wkv<T, N, ROWS, CHUNK, BLOCKS>, grid,
                       PLAIN_THREADS(N, ROWS),
                       2 * sizeof(struct staged<N, CHUNK>), s, *a);
}

/* Heads of 64. More blocks beside each other have fewer registers to load ahead
 * with: better where there are many of them.
 */
template <typename T>
static cudaError_t launch_64(const struct wkv7 *a, cudaStream_t s)
{
    const dim3 grid((unsigned)a->h, (unsigned)a->pieces);
    const int blocks = a->h * a->pieces;

    if (blocks > 24 * a->multiprocessors)
        return plain<T, 64, 2, 4, 12>(a, s);
    if (blocks > a->split_max)
        return plain<T, 64, 2, 4, 8>(a, s);
    return launch_next(wkv_split<T, 64>, grid, 64 + HELPERS, 0, s, *a);
}

template <typename T>
static cudaError_t launch(const struct wkv7 *a, cudaStream_t s)
{
    if (a->n == 16)
        return plain<T, 16, 1, 8, 16>(a, s);
    if (a->n == 32)
        return plain<T, 32, 1, 8, 12>(a, s);
    if (a->n == 64)
        return launch_64<T>(a, s);
    return plain<T, 128, 1, 4, 2>(a, s);
}

extern "C" cudaError_t kernel_wkv7(const struct wkv7 *a, cudaStream_t s)
{
    if (a->type == NARROW_FP16)
        return launch<__half>(a, s);
    if (a->type == NARROW_BF16)
        return launch<__nv_bfloat16>(a, s);
    return launch<float>(a, s);
}
