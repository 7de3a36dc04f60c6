/* cuda/group_finish.cuh - what follows a product, before it leaves the chip
 *
 * A warpgroup has 64 rows of a tile in its accumulators. They go through their
 * function into shared memory, a slab of 128 bytes of each row at a time, and
 * from there to device memory by bulk copies, so that the next tile's products
 * begin while the last one's results still travel. Rows beyond the step's are
 * written too, as far as there is memory for them.
 */
#ifndef CUDA_GROUP_FINISH_CUH
#define CUDA_GROUP_FINISH_CUH

#include "cuda/approx.cuh"
#include "cuda/group.h"
#include "cuda/hopper.cuh"
#include "cuda/narrow.cuh"

#define SLAB_BYTES (64 * 128)
#define SLABS 2 /* of a warpgroup: one is filled while the other is read */

/* A warpgroup's part of a tile. A thread's rows in it are `row` and `row` + 8;
 * of every 32 columns it has eight neighbours, see group_place().
 */
struct part {
    const struct group_item *p;
    int first, col; /* row and column of the step's result */
    int row;        /* 0..63 */
    int rows;       /* of the step */
    float up[2];    /* factors of the thread's rows */
    uint32_t slabs; /* shared memory */
};

/* Eight columns of `half`'s row, from 32 * i on. */
template <int WIDTH>
static __device__ __forceinline__ void
eight_of(const float (&d)[WIDTH / 2], int i, int half, float up, float x[8])
{
#pragma unroll
    for (int j = 0; j < 8; j++)
        x[j] = d[16 * i + j / 2 * 4 + 2 * half + j % 2] * up;
}

/* ---- slabs ----------------------------------------------------------------- */

/* 16 bytes to place `chunk` of a row, where the copy's swizzle expects it. */
static __device__ __forceinline__ void put_chunk(uint32_t slab, int row,
                                                 int chunk, const uint32_t x[4])
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(
                     slab + row * 128 + ((chunk ^ (row & 7)) * 16)),
                 "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
                 : "memory");
}

static __device__ __forceinline__ void put_wide(uint32_t slab, int row,
                                                const float x[8])
{
    const int chunk = threadIdx.x % 4 * 2;
    uint32_t bits[8];

#pragma unroll
    for (int j = 0; j < 8; j++)
        bits[j] = __float_as_uint(x[j]);
    put_chunk(slab, row, chunk, bits);
    put_chunk(slab, row, chunk + 1, bits + 4);
}

template <typename T>
static __device__ __forceinline__ void put_narrow(uint32_t slab, int row, int i,
                                                  const float x[8])
{
    union {
        T narrow[8];
        uint32_t bits[4];
    } eight;

#pragma unroll
    for (int j = 0; j < 8; j++)
        eight.narrow[j] = narrow<T>(x[j]);
    put_chunk(slab, row, i % 2 * 4 + threadIdx.x % 4, eight.bits);
}

/* The warpgroup's threads alone; a named barrier each. */
static __device__ __forceinline__ void meet_warpgroup(void)
{
    asm volatile("bar.sync %0, 128;" ::"r"(threadIdx.x / 128) : "memory");
}

/* Before a slab is filled: the copy that read it last is done. */
static __device__ __forceinline__ void begin_slab(void)
{
    if (threadIdx.x % 128 == 0)
        copies_read<SLABS - 1>();
    meet_warpgroup();
}

static __device__ __forceinline__ void end_slab(const struct part &a,
                                                uint32_t slab, int col)
{
    copies_see_shared();
    meet_warpgroup();
    if (threadIdx.x % 128 == 0) {
        if (col < a.p->n)
            tensor_store(&a.p->out, slab, col, a.first);
        copies_end_group();
    }
}

/* ---- results --------------------------------------------------------------- */

/* fp32 f(value, column) */
template <int WIDTH, typename F>
static __device__ __forceinline__ void finish_wide(const float (&d)[WIDTH / 2],
                                                   const struct part &a, F f)
{
#pragma unroll
    for (int i = 0; i < WIDTH / 32; i++) {
        const uint32_t slab = a.slabs + i % SLABS * SLAB_BYTES;
        const int col = a.col + 32 * i, mine = col + threadIdx.x % 4 * 8;

        begin_slab();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x[8];

            eight_of<WIDTH>(d, i, half, a.up[half], x);
            if (mine < a.p->n)
                f(x, mine);
            put_wide(slab, a.row + 8 * half, x);
        }
        end_slab(a, slab, col);
    }
}

/* narrow f(value, which of the thread's rows) */
template <typename T, int WIDTH, typename F>
static __device__ __forceinline__ void
finish_narrow(const float (&d)[WIDTH / 2], const struct part &a, F f)
{
#pragma unroll
    for (int i = 0; i < WIDTH / 32; i++) {
        const uint32_t slab = a.slabs + i / 2 % SLABS * SLAB_BYTES;

        if (i % 2 == 0)
            begin_slab();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x[8];

            eight_of<WIDTH>(d, i, half, a.up[half], x);
            f(x, half);
            put_narrow<T>(slab, a.row + 8 * half, i, x);
        }
        if (i % 2 == 1)
            end_slab(a, slab, a.col + 32 * (i - 1));
    }
}

/* ---- functions ------------------------------------------------------------- */

/* W's rows lie in their own order: pairs of columns, eight apart. */
template <int WIDTH>
static __device__ __forceinline__ void
finish_natural(const float (&d)[WIDTH / 2], const struct part &a)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = a.first + a.row + 8 * half;
        float *to = (float *)a.p->y + (size_t)row * a.p->n;

        if (row >= a.rows)
            continue;
#pragma unroll
        for (int i = 0; i < WIDTH / 8; i++) {
            const int col = a.col + 8 * i + threadIdx.x % 4 * 2;

            if (col < a.p->n)
                *(float2 *)(to + col) =
                    make_float2(d[4 * i + 2 * half] * a.up[half],
                                d[4 * i + 2 * half + 1] * a.up[half]);
        }
    }
}

template <int WIDTH, typename F>
static __device__ __forceinline__ void
finish_biased(const float (&d)[WIDTH / 2], const struct part &a, F f)
{
    finish_wide<WIDTH>(d, a, [&](float x[8], int col) {
        float bias[8];

        math_load4(a.p->bias + col, bias);
        math_load4(a.p->bias + col + 4, bias + 4);
#pragma unroll
        for (int j = 0; j < 8; j++)
            x[j] = f(bias[j] + x[j]);
    });
}

/* The factor of one of the thread's rows, by the first tile of a row. */
static __device__ __forceinline__ void put_up(const struct part &a, int half,
                                              float up)
{
    const int row = a.first + a.row + 8 * half;

    if (threadIdx.x % 4 == 0 && a.col == 0 && row < a.rows)
        a.p->y_up[row] = up;
}

template <typename T, int WIDTH, typename F>
static __device__ __forceinline__ void
finish_bounded(const float (&d)[WIDTH / 2], const struct part &a, F f)
{
    finish_narrow<T, WIDTH>(d, a, [&](float x[8], int) {
#pragma unroll
        for (int j = 0; j < 8; j++)
            x[j] = f(x[j]);
    });
    put_up(a, 0, 1.0f);
    put_up(a, 1, 1.0f);
}

/* The largest magnitude of a row, all of whose columns the four lanes hold. */
template <int WIDTH>
static __device__ __forceinline__ uint32_t row_peak(const float (&d)[WIDTH / 2],
                                                    int half, float up)
{
    uint32_t max = 0;

#pragma unroll
    for (int i = 0; i < WIDTH / 32; i++) {
        float x[8];

        eight_of<WIDTH>(d, i, half, up, x);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            uint32_t size = narrow_magnitude(x[j]);

            max = max > size ? max : size;
        }
    }
#pragma unroll
    for (int lane = 1; lane < 4; lane *= 2) {
        uint32_t other = __shfl_xor_sync(ALL_LANES, max, lane);

        max = max > other ? max : other;
    }
    return max;
}

template <typename T, int WIDTH>
static __device__ __forceinline__ void finish_copy(const float (&d)[WIDTH / 2],
                                                   const struct part &a)
{
    float down[2] = {1.0f, 1.0f}, up[2] = {1.0f, 1.0f};

    if (narrow_scales<T>::yes)
        for (int half = 0; half < 2; half++)
            narrow_factors(row_peak<WIDTH>(d, half, a.up[half]), &down[half],
                           &up[half]);
    finish_narrow<T, WIDTH>(d, a, [&](float x[8], int half) {
#pragma unroll
        for (int j = 0; j < 8; j++)
            x[j] = x[j] * down[half];
    });
    put_up(a, 0, up[0]);
    put_up(a, 1, up[1]);
}

/* max(z, 0)^2; the largest magnitude is that of the largest z. */
template <typename T, int WIDTH>
static __device__ __forceinline__ void finish_relu2(const float (&d)[WIDTH / 2],
                                                    const struct part &a)
{
    float max[2] = {0.0f, 0.0f};

    finish_narrow<T, WIDTH>(d, a, [&](float x[8], int half) {
#pragma unroll
        for (int j = 0; j < 8; j++) {
            x[j] = math_larger(x[j], 0.0f);
            if (narrow_scales<T>::yes)
                max[half] = math_larger(max[half], x[j]);
            x[j] = x[j] * x[j];
        }
    });
    for (int half = 0; half < 2 && narrow_scales<T>::yes; half++) {
        const uint32_t size = narrow_magnitude(max[half] * max[half]);
        const int row = a.first + a.row + 8 * half;

        if (size >= NARROW_LIMIT_BITS && row < a.rows)
            atomicMax(a.p->over + row, size);
    }
}

template <typename T, int WIDTH>
static __device__ __forceinline__ void finish(const float (&d)[WIDTH / 2],
                                              const struct part &a)
{
    switch (a.p->op) {
    case GROUP_NATURAL:
        finish_natural<WIDTH>(d, a);
        break;
    case GROUP_WIDE:
        finish_wide<WIDTH>(d, a, [](float *, int) {});
        break;
    case GROUP_DECAY:
        finish_biased<WIDTH>(d, a, approx_decay);
        break;
    case GROUP_RATE:
        finish_biased<WIDTH>(d, a, approx_sigmoid);
        break;
    case GROUP_COPY:
        finish_copy<T, WIDTH>(d, a);
        break;
    case GROUP_TANH:
        finish_bounded<T, WIDTH>(d, a, approx_tanh);
        break;
    case GROUP_SIGMOID:
        finish_bounded<T, WIDTH>(d, a, approx_sigmoid);
        break;
    default:
        finish_relu2<T, WIDTH>(d, a);
    }
}

#endif /* CUDA_GROUP_FINISH_CUH */
