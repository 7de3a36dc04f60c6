/* The recurrence of RWKV-7 and its gradient, float32, for training.

   One block per (sequence, head), one thread per channel. With S[i][j] (i value channel, j key channel):
       sa_i = sum_j S[i][j] a_j;  S[i][j] = S[i][j] w_j + sa_i b_j + v_i k_j;  y_i = sum_j S[i][j] r_j
   All inputs are [B, T, H, N]; a = -kk, b = kk * iclr, w is the decay itself, in (0.545, 1).
   The forward pass keeps sa and every CHUNK-th state; the backward pass walks the state back by
   S' = (S - v k - sa b) / w and starts anew at every kept state, so that errors grow over CHUNK steps only. */

#define N 64
#define CHUNK 16

typedef const float *__restrict__ in_t;
typedef float *__restrict__ out_t;

__global__ void wkv7_forward(int T, int H, in_t r_, in_t w_, in_t k_, in_t v_, in_t a_, in_t b_, out_t y_, out_t sa_, out_t kept)
{
    int h = blockIdx.x % H, i = threadIdx.x;
    size_t base = (size_t)(blockIdx.x / H) * T * H * N + h * N + i;
    float S[N] = {0};
    __shared__ float r[N], w[N], k[N], a[N], b[N];

    for (int t = 0; t < T; t++) {
        size_t at = base + (size_t)t * H * N;
        __syncthreads();
        r[i] = r_[at], w[i] = w_[at], k[i] = k_[at], a[i] = a_[at], b[i] = b_[at];
        __syncthreads();
        float v = v_[at], sa = 0, y = 0;
#pragma unroll
        for (int j = 0; j < N; j++)
            sa += S[j] * a[j];
#pragma unroll
        for (int j = 0; j < N; j++) {
            S[j] = S[j] * w[j] + sa * b[j] + v * k[j];
            y += S[j] * r[j];
        }
        y_[at] = y;
        sa_[at] = sa;
        if ((t + 1) % CHUNK == 0) { /* kept[block][t / CHUNK][j][i] */
            size_t to = ((size_t)blockIdx.x * (T / CHUNK) + t / CHUNK) * N * N + i;
#pragma unroll
            for (int j = 0; j < N; j++)
                kept[to + j * N] = S[j];
        }
    }
}

/* Thread i owns row i of dS (as dS[j] = dS[i][j]) and column i of dS and S (dST[j] = dS[j][i], ST[j] = S[j][i]). */
__global__ void wkv7_backward(int T, int H, in_t r_, in_t w_, in_t k_, in_t v_, in_t a_, in_t b_, in_t sa_, in_t kept, in_t dy_,
                              out_t dr_, out_t dw_, out_t dk_, out_t dv_, out_t da_, out_t db_)
{
    int h = blockIdx.x % H, i = threadIdx.x;
    size_t base = (size_t)(blockIdx.x / H) * T * H * N + h * N + i;
    float ST[N], dS[N] = {0}, dST[N] = {0};
    __shared__ float r[N], w[N], k[N], v[N], a[N], b[N], sa[N], dy[N], dsa[N];

    for (int t = T - 1; t >= 0; t--) {
        size_t at = base + (size_t)t * H * N;
        __syncthreads();
        float ri = r_[at], wi = w_[at], ki = k_[at], ai = a_[at], bi = b_[at], dyi = dy_[at];
        r[i] = ri, w[i] = wi, k[i] = ki, a[i] = ai, b[i] = bi, dy[i] = dyi;
        v[i] = v_[at], sa[i] = sa_[at];
        __syncthreads();
        if ((t + 1) % CHUNK == 0) {
            size_t from = ((size_t)blockIdx.x * (T / CHUNK) + t / CHUNK) * N * N + i * N;
#pragma unroll
            for (int j = 0; j < N; j++)
                ST[j] = kept[from + j];
        }
        float dr = 0, dw = 0, dk = 0, dv = 0, da = 0, db = 0, dsai = 0, inverse = 1.0f / wi;
#pragma unroll
        for (int j = 0; j < N; j++) {
            dr += ST[j] * dy[j];
            ST[j] = (ST[j] - ki * v[j] - bi * sa[j]) * inverse; /* the state before this token */
            dS[j] += dyi * r[j];
            dST[j] += ri * dy[j];
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
            dw += dST[j] * ST[j];
            dk += dST[j] * v[j];
            db += dST[j] * sa[j];
            dv += dS[j] * k[j];
            dsai += dS[j] * b[j];
        }
        dsa[i] = dsai;
        __syncthreads();
#pragma unroll
        for (int j = 0; j < N; j++) {
            da += ST[j] * dsa[j];
            dS[j] = dS[j] * w[j] + dsai * a[j];
            dST[j] = dST[j] * wi + ai * dsa[j];
        }
        dr_[at] = dr, dw_[at] = dw, dk_[at] = dk, dv_[at] = dv, da_[at] = da, db_[at] = db;
    }
}

extern "C" void forward(void *stream, int B, int T, int H, in_t r, in_t w, in_t k, in_t v, in_t a, in_t b, out_t y, out_t sa, out_t kept)
{
    wkv7_forward<<<B * H, N, 0, (cudaStream_t)stream>>>(T, H, r, w, k, v, a, b, y, sa, kept);
}

extern "C" void backward(void *stream, int B, int T, int H, in_t r, in_t w, in_t k, in_t v, in_t a, in_t b, in_t sa, in_t kept, in_t dy,
                         out_t dr, out_t dw, out_t dk, out_t dv, out_t da, out_t db)
{
    wkv7_backward<<<B * H, N, 0, (cudaStream_t)stream>>>(T, H, r, w, k, v, a, b, sa, kept, dy, dr, dw, dk, dv, da, db);
}
