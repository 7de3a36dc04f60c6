/* Draws and top-k lists from whole rows of logits, one block per row.
 *
 * Weights are whole numbers (model/draw.h), so any order of a sum gives the
 * CPU's bits. A token's place in the order of rule 4 is a number, its rank key:
 * the logit as an ordered integer above the complement of the id, all different.
 * A cut is then one threshold on rank keys.
 *
 * The chunks' largest logits, which the log-softmax has left (score.cu), say
 * where to look: the k-th largest of them bounds the k-th largest logit from
 * below, and few tokens are above it. These candidates come to shared memory
 * and are compared with each other. Where they are too many (ties) or weigh too
 * little (flat distributions), a radix search over the row finds the threshold.
 */
#include "cuda/kernels.h"
#include "cuda/math.cuh"

#define THREADS 512
#define WARPS (THREADS / 32)
#define EACH (SCORE_COLS / 32) /* columns of a chunk per lane */
#define CANDIDATES 1024
#define PEAKS 1024  /* chunks whose largest logit is kept */
#define REACH 28.0f /* where exp() has no weight left: 39 ln 2 = 27.03 */
#define ID_BITS 24  /* of the largest vocabulary */
#define ID_MASK ((1u << ID_BITS) - 1)
#define KEY_BITS (32 + ID_BITS)
#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

typedef unsigned long long u64; /* what atomicAdd() knows */

struct shared {
    float peak[PEAKS];
    u64 key[CANDIDATES], weight[CANDIDATES];
    u64 sum[DIGITS]; /* of a digit's tokens, or of a group of chunks */
    u64 part[WARPS];
    float largest[WARPS];
    u64 answer, before;
    int n, id;
};

/* A row as its draw sees it. */
struct view {
    const float *x;       /* [V] */
    const uint32_t *seen; /* [V], NULL: no penalties */
    const struct draw_bias *bias;
    struct draw_penalty penalty;
    int vocab, chunks;
    float scale, min_p, largest;
    float steps; /* of distance_of(), per unit of a logit */
};

static __device__ __forceinline__ u64 key_of(float x, int id)
{
    const uint32_t bits = __float_as_uint(x + 0.0f); /* -0 is 0 */
    const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;

    return (u64)ordered << ID_BITS | (ID_MASK - (uint32_t)id);
}

static __device__ __forceinline__ int id_of(u64 key)
{
    return (int)(ID_MASK - ((uint32_t)key & ID_MASK));
}

static __device__ float bias_of(const struct draw_bias *b, int id)
{
    int low = 0, high = b->n - 1;

    while (low < high) {
        int middle = (low + high) / 2;

        if (b->at[middle].token < id)
            low = middle + 1;
        else
            high = middle;
    }
    return b->at[low].bias;
}

static __device__ __forceinline__ float penalized(const struct view &v, float x,
                                                  uint32_t seen, int id)
{
    if (seen == 0)
        return x;
    return draw_penalize(
        x, seen, seen & DRAW_HAS_BIAS ? bias_of(v.bias, id) : 0.0f, v.penalty);
}

/* Columns of a chunk, lane by lane; beyond the vocabulary -inf, which has no
 * weight.
 */
static __device__ __forceinline__ void load(const struct view &v, int chunk,
                                            int lane, float x[EACH])
{
    const int from = chunk * SCORE_COLS + lane;

#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int id = from + i * 32;

        x[i] = id < v.vocab ? v.x[id] : -INFINITY;
    }
    if (v.seen == NULL)
        return;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int id = from + i * 32;

        if (id < v.vocab)
            x[i] = penalized(v, x[i], v.seen[id], id);
    }
}

static __device__ __forceinline__ u64 weight_of(const struct view &v, float x)
{
    const float z = (x - v.largest) * v.scale;

    return z < -REACH ? 0 : draw_weight(math_exp_near(z), v.min_p);
}

/* How far a logit is from the largest, in steps: a monotone function of it, the
 * last step without end. Tokens with a weight are near.
 */
static __device__ __forceinline__ int distance_of(const struct view &v, float x)
{
    return (int)fminf((v.largest - x) * v.steps, DIGITS - 1);
}

/* ---- sums and searches of a block ------------------------------------------ */

static __device__ u64 warp_sum(u64 x)
{
    for (int half = 16; half > 0; half /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, half);
    return x;
}

static __device__ u64 block_sum(struct shared *s, u64 x)
{
    u64 all = 0;

    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        s->part[threadIdx.x / 32] = x;
    __syncthreads();
    for (int i = 0; i < WARPS; i++)
        all += s->part[i];
    return all;
}

/* The first lane at which the running sum exceeds `aim`, *before being the sum
 * before it; or -1, with all lanes added to *before.
 */
static __device__ int warp_find(u64 x, u64 aim, u64 *before)
{
    const int lane = threadIdx.x % 32;
    u64 sum = x;
    unsigned hit;
    int first;

    for (int d = 1; d < 32; d *= 2) {
        u64 other = __shfl_up_sync(ALL_LANES, sum, d);

        if (lane >= d)
            sum += other;
    }
    hit = __ballot_sync(ALL_LANES, *before + sum > aim);
    if (hit == 0) {
        *before += __shfl_sync(ALL_LANES, sum, 31);
        return -1;
    }
    first = __ffs((int)hit) - 1;
    *before += __shfl_sync(ALL_LANES, sum - x, first);
    return first;
}

/* The same over s->sum[DIGITS], from the last to the first when `down`. All
 * threads call it and get the answer; s->before is the sum before it.
 */
static __device__ int find_sum(struct shared *s, bool down, u64 aim)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int span = DIGITS / WARPS;
    u64 x = 0;

    __syncthreads();
    for (int i = lane; i < span; i += 32) {
        int at = warp * span + i;

        x += s->sum[down ? DIGITS - 1 - at : at];
    }
    x = warp_sum(x);
    if (lane == 0)
        s->part[warp] = x;
    __syncthreads();
    if (warp == 0) {
        u64 before = 0;
        int in = warp_find(lane < WARPS ? s->part[lane] : 0, aim, &before);
        int found = -1, at = 0;

        for (int i = lane; found < 0 && i < span; i += 32) {
            at = max(in, 0) * span + i;
            found =
                warp_find(s->sum[down ? DIGITS - 1 - at : at], aim, &before);
        }
        at = at - lane + max(found, 0);
        if (lane == 0) {
            s->id = down ? DIGITS - 1 - at : at;
            s->before = before;
        }
    }
    __syncthreads();
    return s->id;
}

static __device__ void clear_sums(struct shared *s)
{
    __syncthreads();
    for (int i = threadIdx.x; i < DIGITS; i += THREADS)
        s->sum[i] = 0;
    __syncthreads();
}

/* ---- candidates ------------------------------------------------------------ */

/* Tokens from the key `low` on, as far from the largest as `distance` unless
 * that is below 0, into s->key and s->weight. Returns how many there are; only
 * the first CANDIDATES to come are kept.
 */
static __device__ int gather(struct shared *s, const struct view &v, u64 low,
                             int distance)
{
    const int lane = threadIdx.x % 32;

    __syncthreads();
    if (threadIdx.x == 0)
        s->n = 0;
    __syncthreads();
    for (int c = threadIdx.x / 32; c < v.chunks; c += WARPS) {
        float x[EACH];

        if (c < PEAKS && key_of(s->peak[c], 0) < low)
            continue;
        load(v, c, lane, x);
        for (int i = 0; i < EACH; i++) {
            const int id = c * SCORE_COLS + i * 32 + lane;
            const u64 key = key_of(x[i], id);
            int at;

            if (id >= v.vocab || key < low
                || (distance >= 0 && distance_of(v, x[i]) != distance))
                continue;
            at = atomicAdd(&s->n, 1);
            if (at >= CANDIDATES)
                continue;
            s->key[at] = key;
            s->weight[at] = v.scale > 0 ? weight_of(v, x[i]) : 0;
        }
    }
    __syncthreads();
    return s->n;
}

/* The key of the candidate with which, in order, the count or the weight of
 * what comes first reaches `goal`; `above` come before all of them.
 */
static __device__ u64 resolve(struct shared *s, int n, bool by_weight, u64 goal,
                              u64 above)
{
    __syncthreads();
    if (threadIdx.x == 0)
        s->answer = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const u64 key = s->key[i];
        u64 before = above;

        for (int j = 0; j < n; j++)
            if (s->key[j] > key)
                before += by_weight ? s->weight[j] : 1;
        if (before < goal && before + (by_weight ? s->weight[i] : 1) >= goal)
            s->answer = key;
    }
    __syncthreads();
    return s->answer;
}

/* Candidates below the key weigh nothing. Returns what all weigh. */
static __device__ u64 drop_below(struct shared *s, int n, u64 key)
{
    u64 sum = 0;

    for (int i = threadIdx.x; i < n; i += THREADS) {
        if (s->key[i] < key)
            s->weight[i] = 0;
        sum += s->weight[i];
    }
    return block_sum(s, sum);
}

/* Rule 5 among the candidates. */
static __device__ int draw_candidate(struct shared *s, int n, u64 aim)
{
    for (int i = threadIdx.x; i < n; i += THREADS) {
        const u64 key = s->key[i], weight = s->weight[i];
        const int id = id_of(key);
        u64 before = 0;

        for (int j = 0; j < n; j++)
            if (id_of(s->key[j]) < id)
                before += s->weight[j];
        if (before <= aim && aim < before + weight)
            s->id = id;
    }
    __syncthreads();
    return s->id;
}

/* ---- whole rows ------------------------------------------------------------ */

/* Largest logits of the chunks and of the row. */
static __device__ float find_peaks(struct shared *s, const struct view &v,
                                   const struct score_part *part)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float largest = -INFINITY;

    for (int c = warp; v.seen != NULL && c < v.chunks; c += WARPS) {
        float x[EACH], peak = -INFINITY;

        load(v, c, lane, x);
        for (int i = 0; i < EACH; i++)
            peak = math_max(peak, x[i]);
        for (int half = 16; half > 0; half /= 2)
            peak = math_max(peak, __shfl_xor_sync(ALL_LANES, peak, half));
        if (lane == 0 && c < PEAKS)
            s->peak[c] = peak;
        largest = math_max(largest, peak);
    }
    for (int c = threadIdx.x; v.seen == NULL && c < v.chunks; c += THREADS) {
        if (c < PEAKS)
            s->peak[c] = part[c].max;
        largest = math_max(largest, part[c].max);
    }
    for (int half = 16; half > 0; half /= 2)
        largest = math_max(largest, __shfl_xor_sync(ALL_LANES, largest, half));
    if (lane == 0)
        s->largest[warp] = largest;
    __syncthreads();
    for (int i = 0; i < WARPS; i++)
        largest = math_max(largest, s->largest[i]);
    return largest;
}

/* A key that at least k tokens have reached, and few more; ~0 if the peaks do
 * not tell.
 */
static __device__ u64 bound_of(struct shared *s, const struct view &v, int k)
{
    __syncthreads();
    if (threadIdx.x == 0)
        s->answer = v.vocab <= CANDIDATES ? 0 : ~(u64)0;
    __syncthreads();
    for (int i = threadIdx.x; v.vocab > CANDIDATES && k <= v.chunks
                              && v.chunks <= PEAKS && i < v.chunks;
         i += THREADS) {
        const float x = s->peak[i];
        int rank = 0;

        for (int j = 0; j < v.chunks; j++)
            rank += s->peak[j] > x || (s->peak[j] == x && j < i);
        if (rank == k - 1)
            s->answer = key_of(x, ID_MASK);
    }
    __syncthreads();
    return s->answer;
}

/* What each token from `least` on counts for, or weighs, into s->sum: by how far
 * its logit is from the largest when shift < 0, else by a digit of its key,
 * where the digits above are `prefix`.
 */
static __device__ void sort_tokens(struct shared *s, const struct view &v,
                                   bool by_weight, u64 least, int shift,
                                   int bits, u64 prefix)
{
    const int lane = threadIdx.x % 32;

    clear_sums(s);
    for (int c = threadIdx.x / 32; c < v.chunks; c += WARPS) {
        float x[EACH];

        load(v, c, lane, x);
        for (int i = 0; i < EACH; i++) {
            const int id = c * SCORE_COLS + i * 32 + lane;
            const u64 key = key_of(x[i], id);
            int at;

            if (id >= v.vocab || key < least)
                continue;
            if (shift >= 0 && key >> (shift + bits) != prefix)
                continue;
            at = shift < 0 ? distance_of(v, x[i])
                           : (int)(key >> shift) & ((1 << bits) - 1);
            atomicAdd(&s->sum[at], by_weight ? weight_of(v, x[i]) : 1);
        }
    }
    __syncthreads();
}

/* As resolve(), over all tokens from `least` on. Distances first: what is as far
 * as the answer fits among the candidates unless most logits are alike. Then
 * digit by digit.
 */
static __device__ u64 search(struct shared *s, const struct view &v,
                             bool by_weight, u64 goal, u64 least)
{
    u64 prefix = 0, above;
    int distance, n;

    sort_tokens(s, v, by_weight, least, -1, 0, 0);
    distance = find_sum(s, false, goal - 1);
    above = s->before;
    n = gather(s, v, least, distance);
    if (n <= CANDIDATES)
        return resolve(s, n, by_weight, goal, above);
    above = 0;
    for (int shift = KEY_BITS; shift > 0;) {
        const int bits = shift < DIGIT_BITS ? shift : DIGIT_BITS;

        shift -= bits;
        sort_tokens(s, v, by_weight, least, shift, bits, prefix);
        prefix = prefix << bits | (u64)find_sum(s, true, goal - 1 - above);
        above += s->before;
    }
    return prefix;
}

/* Chunks per element of s->sum. */
static __device__ __forceinline__ int group_of(const struct view &v)
{
    return (v.chunks + DIGITS - 1) / DIGITS;
}

/* Weights of the tokens from `least` on, by groups of chunks, into s->sum;
 * returns that of all.
 */
static __device__ u64 weigh(struct shared *s, const struct view &v, u64 least)
{
    const int lane = threadIdx.x % 32, group = group_of(v);
    u64 all = 0;

    clear_sums(s);
    for (int c = threadIdx.x / 32; c < v.chunks; c += WARPS) {
        float x[EACH];
        u64 sum = 0;

        load(v, c, lane, x);
        for (int i = 0; i < EACH; i++)
            if (key_of(x[i], c * SCORE_COLS + i * 32 + lane) >= least)
                sum += weight_of(v, x[i]);
        sum = warp_sum(sum);
        if (lane == 0) {
            atomicAdd(&s->sum[c / group], sum);
            all += sum;
        }
    }
    return block_sum(s, all);
}

/* Rule 5, after weigh(). */
static __device__ int draw_token(struct shared *s, const struct view &v,
                                 u64 least, u64 aim)
{
    const int lane = threadIdx.x % 32, group = group_of(v);
    const int first = find_sum(s, false, aim) * group;
    u64 before = s->before;
    int token = -1;

    for (int c = first;
         threadIdx.x < 32 && token < 0 && c < first + group && c < v.chunks;
         c++) {
        float x[EACH];

        load(v, c, lane, x);
        for (int i = 0; token < 0 && i < EACH; i++) {
            const int id = c * SCORE_COLS + i * 32;
            const bool kept = key_of(x[i], id + lane) >= least;
            int at = warp_find(kept ? weight_of(v, x[i]) : 0, aim, &before);

            token = at < 0 ? -1 : id + at;
        }
    }
    if (threadIdx.x == 0)
        s->answer = (u64)max(token, 0);
    __syncthreads();
    return (int)s->answer;
}

/* ---- a draw ---------------------------------------------------------------- */

static __device__ int draw_cut(struct shared *s, const struct view &v,
                               const struct draw_row &how)
{
    const bool by_k = how.top_k > 0 && how.top_k < v.vocab;
    const bool by_p = how.top_p < 1;
    u64 all = by_k ? 0 : weigh(s, v, 0), least = 0;
    u64 goal = by_k ? (u64)how.top_k : draw_enough(how.top_p, all), low;
    int n;

    if (!by_k && !by_p)
        return draw_token(s, v, 0, draw_aim(how.random, all));
    low = bound_of(s, v, by_k ? how.top_k : max(v.chunks * 7 / 8, 1));
    n = low == ~(u64)0 ? CANDIDATES + 1 : gather(s, v, low, -1);
    if (n <= CANDIDATES && (by_k || drop_below(s, n, 0) >= goal)) {
        least = resolve(s, n, !by_k, goal, 0);
        all = drop_below(s, n, least);
        if (by_k && by_p) {
            goal = draw_enough(how.top_p, all);
            least = resolve(s, n, true, goal, 0);
            all = drop_below(s, n, least);
        }
        return draw_candidate(s, n, draw_aim(how.random, all));
    }
    least = search(s, v, !by_k, goal, 0);
    all = weigh(s, v, least);
    if (by_k && by_p) {
        least = search(s, v, true, draw_enough(how.top_p, all), least);
        all = weigh(s, v, least);
    }
    return draw_token(s, v, least, draw_aim(how.random, all));
}

/* The lowest id of the largest logit. */
static __device__ int find_largest(struct shared *s, const struct view &v)
{
    const int lane = threadIdx.x % 32;

    __syncthreads();
    if (threadIdx.x == 0)
        s->id = INT32_MAX;
    __syncthreads();
    for (int c = threadIdx.x / 32; c < v.chunks; c += WARPS) {
        float x[EACH];

        if (c < PEAKS && s->peak[c] < v.largest)
            continue;
        load(v, c, lane, x);
        for (int i = 0; i < EACH; i++)
            if (x[i] == v.largest)
                atomicMin(&s->id, c * SCORE_COLS + i * 32 + lane);
    }
    __syncthreads();
    return s->id;
}

static __device__ struct view view_of(const struct sampling &a, int whole)
{
    struct view v = {};

    v.x = a.logits + (size_t)whole * a.ld;
    v.vocab = a.vocab;
    v.chunks = (a.vocab + SCORE_COLS - 1) / SCORE_COLS;
    v.steps = DIGITS / REACH;
    return v;
}

static __device__ int draw_whole(struct shared *s, const struct sampling &a,
                                 const struct draw_row &how)
{
    struct view v = view_of(a, how.whole);

    if (how.penalized) {
        v.seen = a.seen + (size_t)how.history * a.vocab;
        v.bias = &a.bias[how.history];
        v.penalty = how.penalty;
    }
    v.scale = how.scale;
    if (how.top_k == 0)
        v.steps = fminf(fmaxf(how.scale, 1.0f) * v.steps, FLT_MAX);
    v.min_p = how.min_p;
    v.largest = find_peaks(s, v, a.part + (size_t)how.row * a.n_part);
    return v.scale > 0 ? draw_cut(s, v, how) : find_largest(s, v);
}

static __device__ void count(uint32_t *seen)
{
    if ((*seen & DRAW_TIMES) < DRAW_TIMES)
        ++*seen;
}

static __global__ void __launch_bounds__(THREADS, 2)
    draw(struct sampling a, const struct draw_row *all_how, int32_t *last,
         struct sample_out *out)
{
    __shared__ struct shared s;
    const struct draw_row how = all_how[blockIdx.x];
    struct sample_out drawn = {0, NAN, false};

    if (how.row < 0)
        return;
    if (a.score[how.row].finite) {
        const struct score_result r = a.score[how.row];
        float logit = r.max;

        drawn.token = r.best;
        drawn.finite = true;
        if (how.whole >= 0) {
            drawn.token = draw_whole(&s, a, how);
            logit = a.logits[(size_t)how.whole * a.ld + drawn.token];
        }
        drawn.logprob = (logit - r.max) - r.log_sum;
    }
    __syncthreads(); /* all have read the history */
    if (threadIdx.x > 0)
        return;
    if (how.history >= 0 && drawn.finite)
        count(&a.seen[(size_t)how.history * a.vocab + drawn.token]);
    last[how.slot] = drawn.token;
    out[blockIdx.x] = drawn;
}

extern "C" cudaError_t kernel_draw(const struct sampling *a, int n,
                                   const struct draw_row *how, int32_t *last,
                                   struct sample_out *out, cudaStream_t s)
{
    draw<<<n, THREADS, 0, s>>>(*a, how, last, out);
    return cudaGetLastError();
}

/* ---- top-k ----------------------------------------------------------------- */

static __global__ void __launch_bounds__(THREADS, 2)
    top(struct sampling a, const struct top_row *all_top, int32_t *id,
        float *logprob)
{
    __shared__ struct shared s;
    const struct top_row t = all_top[blockIdx.x];
    int n = 0;

    if (t.row < 0)
        return;
    id += (size_t)blockIdx.x * BACKEND_TOPK_MAX;
    logprob += (size_t)blockIdx.x * BACKEND_TOPK_MAX;
    const struct score_result r = a.score[t.row];
    struct view v = view_of(a, t.whole);

    if (!r.finite) {
        for (int i = threadIdx.x; i < t.k; i += THREADS) {
            id[i] = i;
            logprob[i] = NAN;
        }
        return;
    }
    v.largest = find_peaks(&s, v, a.part + (size_t)t.row * a.n_part);
    u64 low = bound_of(&s, v, t.k);

    n = low == ~(u64)0 ? CANDIDATES + 1 : gather(&s, v, low, -1);
    if (n > CANDIDATES)
        n = gather(&s, v, search(&s, v, false, (u64)t.k, 0), -1);
    for (int i = threadIdx.x; i < n; i += THREADS) {
        int rank = 0;

        for (int j = 0; j < n; j++)
            rank += s.key[j] > s.key[i];
        if (rank >= t.k)
            continue;
        id[rank] = id_of(s.key[i]);
        logprob[rank] = (v.x[id_of(s.key[i])] - r.max) - r.log_sum;
    }
}

extern "C" cudaError_t kernel_top(const struct sampling *a, int n,
                                  const struct top_row *rows, int32_t *id,
                                  float *logprob, cudaStream_t s)
{
    top<<<n, THREADS, 0, s>>>(*a, rows, id, logprob);
    return cudaGetLastError();
}

/* ---- histories ------------------------------------------------------------- */

static __global__ void remember(int n, const int32_t *token, uint32_t flag,
                                uint32_t *seen)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= n)
        return;
    if (flag != 0)
        atomicOr(&seen[token[i]], flag);
    else
        atomicAdd(&seen[token[i]], 1);
}

extern "C" cudaError_t kernel_remember(int n, const int32_t *token,
                                       uint32_t flag, uint32_t *seen,
                                       cudaStream_t s)
{
    remember<<<(n + 255) / 256, 256, 0, s>>>(n, token, flag, seen);
    return cudaGetLastError();
}
