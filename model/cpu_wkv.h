/* model/cpu_wkv.h - the recurrence (docs/model.md, step 13) of one head
 *
 *   s_i     = sum_j S[j][i] a_j                  the state before decay
 *   S[j][i] = S[j][i] w_j + s_i b_j + v_i k_j
 *   y_i     = sum_j S[j][i] r_j                  the state after
 *
 * The state is kept key by value, so both sums are chains over j = 0..N-1 in
 * order with sixteen values i side by side: no sums across lanes, and the same
 * bits for any register width, for prefill and decode. The pass that updates
 * the state for a token also sums the next token's s: per token and element one
 * load, one store and 5 flops of the vector unit (N = 64, AVX-512: 640 cycles),
 * out of L1, since all tokens of a piece pass over one head's state (16 KiB).
 *
 * Included by cpu_isa_*.c only.
 */
#ifndef MODEL_CPU_WKV_H
#define MODEL_CPU_WKV_H

#include "model/cpu_kernels.h"
#include "model/cpu_vec.h"

/* Vectors of values taken together; they, their sums and the broadcasts of one
 * j must fit the registers (32 of 16 lanes, or 16 of 8).
 */
#define UNROLL _Pragma("GCC unroll 4")
#if defined CPU_ISA_AVX512
#define WKV_WIDTH 4
#else
#define WKV_WIDTH 1
#endif

/* One token for the values i..i+16*width-1, whose state is at `state`. On entry
 * and exit `sa` is s of this and of the next token, whose -kk is `next`.
 */
INLINE void wkv_token(const struct cpu_wkv *s, size_t at, size_t i,
                      const float *next, vec *sa, int width)
{
    const size_t n = s->n;
    const float *r = s->r + at, *w = s->w + at, *k = s->k + at, *b = s->b + at;
    float *state = s->state + i;
    vec y[WKV_WIDTH], ahead[WKV_WIDTH], v[WKV_WIDTH];

    UNROLL for (int c = 0; c < width; c++)
    {
        y[c] = ahead[c] = vec_zero();
        v[c] = vec_load(s->v + at + i + c * LANES);
    }
    for (size_t j = 0; j < n; j++) {
        vec wj = vec_set1(w[j]), bj = vec_set1(b[j]), kj = vec_set1(k[j]);
        vec rj = vec_set1(r[j]), aj = vec_set1(next[j]);

        UNROLL for (int c = 0; c < width; c++)
        {
            vec x = vec_mul(vec_load(state + c * LANES), wj);

            x = vec_fma(sa[c], bj, x);
            x = vec_fma(v[c], kj, x);
            vec_store(state + c * LANES, x);
            y[c] = vec_fma(x, rj, y[c]);
            ahead[c] = vec_fma(x, aj, ahead[c]);
        }
        state += n;
    }
    UNROLL for (int c = 0; c < width; c++)
    {
        vec_store(s->y + at + i + c * LANES, y[c]);
        sa[c] = ahead[c];
    }
}

INLINE void wkv_values(const struct cpu_wkv *s, size_t i, int width)
{
    const size_t n = s->n, ld = s->ld;
    vec sa[WKV_WIDTH];

    UNROLL for (int c = 0; c < width; c++) sa[c] = vec_zero();
    for (size_t j = 0; j < n; j++) {
        vec aj = vec_set1(s->a[j]);

        UNROLL for (int c = 0; c < width; c++) sa[c] =
            vec_fma(vec_load(s->state + j * n + i + c * LANES), aj, sa[c]);
    }
    for (size_t t = 0; t < s->tokens; t++) {
        size_t following = t + 1 < s->tokens ? t + 1 : t; /* else unused */

        wkv_token(s, t * ld, i, s->a + following * ld, sa, width);
    }
}

static void wkv(const struct cpu_wkv *s)
{
    const size_t step = WKV_WIDTH * LANES;
    size_t i = 0;

    for (; i + step <= s->n; i += step)
        wkv_values(s, i, WKV_WIDTH);
    for (; i < s->n; i += LANES)
        wkv_values(s, i, 1);
}

#endif /* MODEL_CPU_WKV_H */
