/* Grouped products by wgmma: one warp copies, one or two warpgroups multiply.
 *
 * Cost: 2 rows n k operations at the tensor cores' rate; the copies of a 128 by
 * 256 tile in a cluster of two are 32 KB per 4.2 M operations.
 *
 * A tile's inputs arrive in stages of 64 columns of k. `full` counts a stage's
 * bytes, `empty` the warpgroups of both blocks that are done with it, as either
 * block's copies land in both.
 */
#include "cuda/group_finish.cuh"
#include "cuda/launch.cuh"

#define BOX_BYTES (GROUP_BOX * GROUP_BOX * 2)
#define SHARED_BYTES (226 * 1024)
#define BAND 8 /* tiles along rows that run beside each other, for the L2 */

template <int CONSUMERS, int WIDTH, bool ALONG_ROWS> struct tiling {
    static constexpr int rows = 64 * CONSUMERS;
    static constexpr int x_boxes = CONSUMERS, w_boxes = WIDTH / GROUP_BOX;
    static constexpr int stage_bytes = (x_boxes + w_boxes) * BOX_BYTES;
    static constexpr int slab_bytes = CONSUMERS * SLABS * SLAB_BYTES;
    static constexpr int stages =
        (SHARED_BYTES - 1024 - slab_bytes) / (stage_bytes + 16);
    static constexpr int pair_rows = ALONG_ROWS ? 2 * rows : rows;
    static constexpr int pair_width = ALONG_ROWS ? WIDTH : 2 * WIDTH;
    static constexpr int threads = 128 * (1 + CONSUMERS);
    static constexpr int shared =
        stages * (stage_bytes + 16) + slab_bytes + 1024;
};

struct tile {
    const struct group_item *item;
    int row, col;
};

template <typename S>
static __device__ __forceinline__ int tiles_of(const struct group_item &p,
                                               int rows)
{
    return (rows + S::pair_rows - 1) / S::pair_rows
           * ((p.n + S::pair_width - 1) / S::pair_width);
}

/* The `index`th pair of tiles of the group, this block's half. False: none. */
template <typename S, bool ALONG_ROWS, int WIDTH>
static __device__ __forceinline__ bool
find_tile(const struct group &g, int rows, int index, int rank, struct tile *t)
{
    const int down = (rows + S::pair_rows - 1) / S::pair_rows;
    int i = 0, across, band, in_band, height;

    while (i < g.n_item && index >= tiles_of<S>(g.item[i], rows))
        index -= tiles_of<S>(g.item[i++], rows);
    if (i == g.n_item)
        return false;
    t->item = &g.item[i];
    across = (g.item[i].n + S::pair_width - 1) / S::pair_width;
    band = index / (BAND * across);
    in_band = index - band * BAND * across;
    height = down - band * BAND < BAND ? down - band * BAND : BAND;
    t->row = (band * BAND + in_band % height) * S::pair_rows;
    t->col = in_band / height * S::pair_width;
    if (ALONG_ROWS)
        t->row += rank * S::rows;
    else
        t->col += rank * WIDTH;
    return true;
}

/* ---- copies ---------------------------------------------------------------- */

/* `boxes` boxes of 64 rows: this block's own, or those that both blocks need,
 * which they take in turn.
 */
template <int BOXES, bool COMMON>
static __device__ __forceinline__ void
load_boxes(const CUtensorMap *map, int x, int y, uint32_t to, uint32_t full,
           int rank, int turn)
{
#pragma unroll
    for (int i = 0; i < BOXES; i++) {
        if (!COMMON)
            tensor_load(to + i * BOX_BYTES, map, x, y + i * GROUP_BOX, full);
        else if (((i + turn) & 1) == rank)
            tensor_load_all(to + i * BOX_BYTES, map, x, y + i * GROUP_BOX, full,
                            3);
    }
}

template <int CONSUMERS, int WIDTH, bool ALONG_ROWS>
static __device__ void produce(const struct group &g, int rows, uint32_t data,
                               uint32_t full, uint32_t empty, int rank)
{
    using S = tiling<CONSUMERS, WIDTH, ALONG_ROWS>;
    int stage = 0, phase = 0;
    struct tile t;

    for (int i = blockIdx.x / 2;
         find_tile<S, ALONG_ROWS, WIDTH>(g, rows, i, rank, &t);
         i += gridDim.x / 2) {
        for (int k = 0, turn = 0; k < t.item->k; k += GROUP_BOX, turn++) {
            const uint32_t x = data + stage * S::stage_bytes;
            const uint32_t w = x + S::x_boxes * BOX_BYTES;

            barrier_wait(empty + 8 * stage, phase ^ 1);
            barrier_expect(full + 8 * stage, S::stage_bytes);
            load_boxes<S::x_boxes, !ALONG_ROWS>(&t.item->x, k, t.row, x,
                                                full + 8 * stage, rank, turn);
            load_boxes<S::w_boxes, ALONG_ROWS>(&t.item->w, k, t.col, w,
                                               full + 8 * stage, rank, turn);
            if (++stage == S::stages) {
                stage = 0;
                phase ^= 1;
            }
        }
    }
}

/* ---- products -------------------------------------------------------------- */

/* Where a warpgroup is in the ring of stages. */
struct ring {
    int stage, phase;
};

/* A stage is free again: to be told to both blocks' copying threads. */
static __device__ __forceinline__ void release(uint32_t empty, int stage)
{
    if (threadIdx.x % 128 < 2)
        barrier_arrive(empty + 8 * stage, threadIdx.x % 128);
}

/* d = the product of a tile's stages: 64 rows of x at `x` in each, w at `w`. */
template <typename T, typename S, int WIDTH>
static __device__ __forceinline__ void
multiply(float (&d)[WIDTH / 2], int k_all, uint32_t x, uint32_t w,
         uint32_t full, uint32_t empty, struct ring *at)
{
    int before = -1;

    for (int k = 0; k < k_all; k += GROUP_BOX) {
        const int stage = at->stage;
        const uint64_t a = mma_descriptor(x + stage * S::stage_bytes);
        const uint64_t b = mma_descriptor(w + stage * S::stage_bytes);

        barrier_wait(full + 8 * stage, at->phase);
        mma_begin();
#pragma unroll
        for (int j = 0; j < 4; j++)
            mma_issue<T, WIDTH>(d, a + 2 * j, b + 2 * j, k + j > 0);
        mma_commit();
        mma_wait<1>();
        if (before >= 0)
            release(empty, before);
        before = stage;
        if (++at->stage == S::stages) {
            at->stage = 0;
            at->phase ^= 1;
        }
    }
    mma_wait<0>();
    release(empty, before);
}

static __device__ __forceinline__ float up_of(const struct group_item &p,
                                              int row, int rows)
{
    return p.x_up != NULL && row < rows ? p.x_up[row] : 1.0f;
}

template <typename T, int CONSUMERS, int WIDTH, bool ALONG_ROWS>
static __device__ void consume(const struct group &g, int rows, uint32_t data,
                               uint32_t full, uint32_t empty, int rank)
{
    using S = tiling<CONSUMERS, WIDTH, ALONG_ROWS>;
    const int thread = threadIdx.x - 128, group = thread / 128;
    const int row = thread % 128 / 32 * 16 + thread % 32 / 4;
    const uint32_t slabs =
        data + S::stages * S::stage_bytes + group * SLABS * SLAB_BYTES;
    struct ring ring = {0, 0};
    float d[WIDTH / 2];
    struct tile t;

    for (int i = blockIdx.x / 2;
         find_tile<S, ALONG_ROWS, WIDTH>(g, rows, i, rank, &t);
         i += gridDim.x / 2) {
        const int first = t.row + group * 64;
        /* Factors early, to be there when the product is. */
        const struct part part = {t.item,
                                  first,
                                  t.col,
                                  row,
                                  rows,
                                  {up_of(*t.item, first + row, rows),
                                   up_of(*t.item, first + row + 8, rows)},
                                  slabs};

        multiply<T, S, WIDTH>(d, t.item->k, data + group * BOX_BYTES,
                              data + S::x_boxes * BOX_BYTES, full, empty,
                              &ring);
        finish<T, WIDTH>(d, part);
    }
    if (thread % 128 == 0)
        copies_read<0>(); /* before the memory goes */
}

template <typename T, int CONSUMERS, int WIDTH, bool ALONG_ROWS>
static __global__ void __cluster_dims__(2, 1, 1)
    __launch_bounds__(128 * (1 + CONSUMERS), 1)
        products(const __grid_constant__ struct group g, int rows)
{
    using S = tiling<CONSUMERS, WIDTH, ALONG_ROWS>;
    extern __shared__ uint8_t memory[];
    const uint32_t data = (hopper_shared(memory) + 1023) / 1024 * 1024;
    const uint32_t full = data + S::stages * S::stage_bytes + S::slab_bytes;
    const uint32_t empty = full + 8 * S::stages;
    const int rank = (int)cluster_rank();

    if (threadIdx.x == 0) {
        for (int i = 0; i < S::stages; i++) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 2 * CONSUMERS);
        }
        barrier_init_done();
    }
    launch_release();
    cluster_sync();
    launch_wait();
    if (threadIdx.x < 128) {
        if (CONSUMERS > 1)
            registers_give<40>();
        if (threadIdx.x == 0)
            produce<CONSUMERS, WIDTH, ALONG_ROWS>(g, rows, data, full, empty,
                                                  rank);
    } else {
        if (CONSUMERS > 1)
            registers_take<232>();
        consume<T, CONSUMERS, WIDTH, ALONG_ROWS>(g, rows, data, full, empty,
                                                 rank);
    }
    cluster_sync(); /* a block that is gone cannot be written to */
}

/* ---- launches -------------------------------------------------------------- */

template <typename T, int CONSUMERS, int WIDTH, bool ALONG_ROWS>
static cudaError_t prepare(void)
{
    return cudaFuncSetAttribute(products<T, CONSUMERS, WIDTH, ALONG_ROWS>,
                                cudaFuncAttributeMaxDynamicSharedMemorySize,
                                tiling<CONSUMERS, WIDTH, ALONG_ROWS>::shared);
}

template <typename T, int CONSUMERS, int WIDTH, bool ALONG_ROWS>
static cudaError_t launch(const struct group *g, int rows, int multiprocessors,
                          cudaStream_t s)
{
    using S = tiling<CONSUMERS, WIDTH, ALONG_ROWS>;
    const int most = multiprocessors / 2;
    int pairs = 0;

    for (int i = 0; i < g->n_item; i++)
        pairs += (rows + S::pair_rows - 1) / S::pair_rows
                 * ((g->item[i].n + S::pair_width - 1) / S::pair_width);
    pairs = pairs < most ? pairs : most;
    return launch_next(products<T, CONSUMERS, WIDTH, ALONG_ROWS>,
                       dim3((unsigned)(2 * pairs)), S::threads, S::shared, s,
                       *g, rows);
}

#define TILES(X)                   \
    X(GROUP_128X256, 2, 256, true) \
    X(GROUP_128X128, 2, 128, true) \
    X(GROUP_128X64, 2, 64, false)  \
    X(GROUP_64X256, 1, 256, false) \
    X(GROUP_64X128, 1, 128, false) \
    X(GROUP_64X64, 1, 64, false)

extern "C" cudaError_t kernel_group_prepare(void)
{
    cudaError_t rc = cudaSuccess;

#define PREPARE(tile, consumers, width, along)           \
    if (rc == cudaSuccess)                               \
        rc = prepare<__half, consumers, width, along>(); \
    if (rc == cudaSuccess)                               \
        rc = prepare<__nv_bfloat16, consumers, width, along>();
    TILES(PREPARE)
    return rc;
}

template <typename T>
static cudaError_t launch_tile(const struct group *g, int rows,
                               enum group_tile tile, int multiprocessors,
                               cudaStream_t s)
{
    switch (tile) {
#define CASE(name, consumers, width, along) \
    case name:                              \
        return launch<T, consumers, width, along>(g, rows, multiprocessors, s);
        TILES(CASE)
    default:
        return cudaErrorInvalidValue;
    }
}

extern "C" cudaError_t kernel_group(enum narrow_type type,
                                    const struct group *g, int rows,
                                    enum group_tile tile, int multiprocessors,
                                    cudaStream_t s)
{
    if (type == NARROW_FP16)
        return launch_tile<__half>(g, rows, tile, multiprocessors, s);
    return launch_tile<__nv_bfloat16>(g, rows, tile, multiprocessors, s);
}
