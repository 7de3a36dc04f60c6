/* model/cpu_sgemm.h - y = x W^T, one FMA chain per output, k ascending
 *
 * A chain in a fixed order makes a row's result independent of everything else
 * in the batch; so chains are never split, and speed comes from running many at
 * once: a tile of TILE_ROWS rows by TILE_PANELS panels of 16 outputs lives in
 * registers. Per k it loads the panels' weights once and broadcasts one x per
 * row: 12 x 32 outputs are 24 FMAs for 14 loads, 6 x 16 with AVX2 12 for 8.
 *
 * K is cut into blocks of K_BLOCK, so that two panels' block (96 KiB) stays in
 * L2 while it passes over all rows and 12 rows' block (36 KiB) in L1. Between
 * blocks the sums rest in y, which changes no bit.
 *
 * Included by cpu_isa_*.c only.
 */
#ifndef MODEL_CPU_SGEMM_H
#define MODEL_CPU_SGEMM_H

#include "model/cpu_kernels.h"
#include "model/cpu_vec.h"

#if defined CPU_ISA_AVX512
#define TILE_ROWS 12
#define TILE_PANELS 2
#elif defined CPU_ISA_AVX2
#define TILE_ROWS 6
#define TILE_PANELS 1
#else
#define TILE_ROWS 2
#define TILE_PANELS 1
#endif

#define K_BLOCK 768

struct tile {
    size_t k;           /* length of the chain's next part */
    const float *x;     /* first row */
    const float *panel; /* first panel */
    const float *next;  /* second panel */
    float *y;
    size_t ldx, ldy;
    bool resume; /* go on from the sums in y */
};

typedef void tile_fn(const struct tile *t);

#if TILE_ROWS == 12
#define EACH_ROW(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#elif TILE_ROWS == 6
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#else
#define EACH_ROW(DO) DO(0) DO(1)
#endif

/* rows and panels are constants at every call, so each call site becomes a loop
 * over registers. The sums are indexed by constants only: with a run-time index
 * they would live in memory, at a third of the speed.
 */
INLINE void tile_body(const struct tile *t, int rows, int panels)
{
    const size_t ldx = t->ldx, ldy = t->ldy;
    const float *x[3] = {t->x, t->x + 4 * ldx, t->x + 8 * ldx};
    const float *p = t->panel, *q = t->next;
    vec sum[TILE_ROWS][2];

#define START(i)                                                         \
    if (i < rows) {                                                      \
        const float *from = t->y + i * ldy;                              \
        sum[i][0] = t->resume ? vec_load(from) : vec_zero();             \
        if (panels > 1)                                                  \
            sum[i][1] = t->resume ? vec_load(from + LANES) : vec_zero(); \
    }
    EACH_ROW(START)
    for (size_t k = 0; k < t->k; k++) {
        vec w0 = vec_load(p), w1 = panels > 1 ? vec_load(q) : w0;

#define STEP(i)                                    \
    if (i < rows) {                                \
        vec b = vec_set1(x[i / 4][i % 4 * ldx]);   \
        sum[i][0] = vec_fma(b, w0, sum[i][0]);     \
        if (panels > 1)                            \
            sum[i][1] = vec_fma(b, w1, sum[i][1]); \
    }
        EACH_ROW(STEP)
        p += LANES;
        q += LANES;
        x[0]++;
        x[1]++;
        x[2]++;
    }
#define STORE(i)                                          \
    if (i < rows) {                                       \
        vec_store(t->y + i * ldy, sum[i][0]);             \
        if (panels > 1)                                   \
            vec_store(t->y + i * ldy + LANES, sum[i][1]); \
    }
    EACH_ROW(STORE)
}

#define TILE(i)                                    \
    static void tile_##i##_1(const struct tile *t) \
    {                                              \
        tile_body(t, i + 1, 1);                    \
    }                                              \
    static void tile_##i##_2(const struct tile *t) \
    {                                              \
        tile_body(t, i + 1, TILE_PANELS);          \
    }
EACH_ROW(TILE)

#define NAME(i) {tile_##i##_1, tile_##i##_2},
static tile_fn *const tiles[TILE_ROWS][2] = {EACH_ROW(NAME)};

static void sgemm(size_t m, const struct cpu_matrix *w, size_t first,
                  size_t count, struct cpu_rows x, struct cpu_rows y)
{
    const size_t panels = cpu_pad(count) / LANES;
    const float *base = w->panel + first * w->k;

    for (size_t k = 0; k < w->k; k += K_BLOCK) {
        struct tile t = {.ldx = x.ld, .ldy = y.ld, .resume = k > 0};

        t.k = w->k - k < K_BLOCK ? w->k - k : K_BLOCK;
        for (size_t p = 0; p < panels; p += TILE_PANELS) {
            size_t wide = TILE_PANELS > 1 && panels - p > 1;

            t.panel = base + (p * w->k + k) * LANES;
            t.next = wide ? t.panel + w->k * LANES : t.panel;
            for (size_t i = 0; i < m; i += TILE_ROWS) {
                size_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;

                t.x = x.at + i * x.ld + k;
                t.y = y.at + i * y.ld + p * LANES;
                tiles[rows - 1][wide](&t);
            }
        }
    }
}

#endif /* MODEL_CPU_SGEMM_H */
