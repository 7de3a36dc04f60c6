#include "cuda/group.h"

#include "cuda/cu.h"

/* Microseconds on an H100 at about 1.7 GHz (docs/perf.md): of one step of 64
 * columns of k in a tile, and of what a tile costs besides. Only the choice of
 * tiles depends on them, so a card on which they are wrong is slower, no more.
 */
static const struct {
    int rows, width;
    bool along_rows; /* how two tiles lie beside each other */
    float step, rest;
} tiles[GROUP_TILES] = {
    [GROUP_128X256] = {128, 256, true, 0.80f, 3.0f},
    [GROUP_128X128] = {128, 128, true, 0.46f, 1.6f},
    [GROUP_128X64] = {128, 64, false, 0.36f, 1.0f},
    [GROUP_64X256] = {64, 256, false, 0.46f, 1.8f},
    [GROUP_64X128] = {64, 128, false, 0.38f, 1.0f},
    [GROUP_64X64] = {64, 64, false, 0.26f, 0.7f},
};

static int parts(int n, int size)
{
    return (n + size - 1) / size;
}

/* What the busiest multiprocessor has to do, were all tiles equal. */
static float cost(const struct grouper *g, const struct group *group, int rows,
                  int tile)
{
    const int down = tiles[tile].rows * (tiles[tile].along_rows ? 2 : 1);
    const int across = tiles[tile].width * (tiles[tile].along_rows ? 1 : 2);
    const int pairs = g->multiprocessors / 2;
    int count = 0;
    float sum = 0;

    for (int i = 0; i < group->n_item; i++) {
        const struct group_item *p = &group->item[i];
        int n = parts(rows, down) * parts(p->n, across);

        sum += (float)n
               * ((float)parts(p->k, GROUP_BOX) * tiles[tile].step
                  + tiles[tile].rest);
        count += n;
    }
    return sum / (float)count * (float)parts(count, pairs);
}

/* A row of a narrow copy has to lie in one tile. */
static bool fits(const struct group *group, int tile)
{
    for (int i = 0; i < group->n_item; i++)
        if (group->item[i].op == GROUP_COPY
            && group->item[i].n > tiles[tile].width)
            return false;
    return true;
}

static enum group_tile choose(const struct grouper *g,
                              const struct group *group, int rows)
{
    int best = GROUP_128X256;

    for (int i = 0; i < GROUP_TILES; i++)
        if (fits(group, i)
            && cost(g, group, rows, i) < cost(g, group, rows, best))
            best = i;
    return (enum group_tile)best;
}

/* The driver's function, without linking the driver. */
static int find_encode(struct grouper *g, struct err *err)
{
    enum cudaDriverEntryPointQueryResult found;
    union {
        void *data;
        PFN_cuTensorMapEncodeTiled_v12000 function;
    } entry = {NULL};

    if (CU(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled",
                                            &entry.data, 12000,
                                            cudaEnableDefault, &found),
           err)
        < 0)
        return -1;
    if (found != cudaDriverEntryPointSuccess || entry.data == NULL)
        return err_set(err, ERR_CUDA,
                       "the driver has no tensor maps (CUDA 12)");
    g->encode = entry.function;
    return 0;
}

int grouper_init(struct grouper *g, enum narrow_type type, cudaStream_t stream,
                 struct err *err)
{
    int device;

    *g = (struct grouper){.type = type, .stream = stream};
    if (CU(cudaGetDevice(&device), err) < 0
        || CU(cudaDeviceGetAttribute(&g->multiprocessors,
                                     cudaDevAttrMultiProcessorCount, device),
              err)
               < 0
        || (type != NARROW_FP32 && find_encode(g, err) < 0))
        return -1;
    return CU(kernel_group_prepare(), err);
}

/* ---- tensor maps ----------------------------------------------------------- */

/* A matrix [rows][cols] in boxes of GROUP_BOX rows, 128 bytes of each. */
static int map_matrix(const struct grouper *g, CUtensorMapDataType type,
                      int each, const void *at, int rows, int cols,
                      CUtensorMap *map, struct err *err)
{
    const cuuint64_t size[] = {(cuuint64_t)cols, (cuuint64_t)rows};
    const cuuint64_t pitch[] = {(cuuint64_t)cols * (cuuint64_t)each};
    const cuuint32_t box[] = {128 / (cuuint32_t)each, GROUP_BOX};
    const cuuint32_t step[] = {1, 1};
    CUresult rc;

    rc = g->encode(map, type, 2, (void *)(uintptr_t)at, size, pitch, box, step,
                   CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                   CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (rc != CUDA_SUCCESS)
        return err_set(err, ERR_CUDA, "tensor map of %d x %d: error %d", rows,
                       cols, (int)rc);
    return 0;
}

static int map_item(const struct grouper *g, struct group_item *p, int rows,
                    struct err *err)
{
    const CUtensorMapDataType narrow = g->type == NARROW_FP16
                                           ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                           : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    const int places = p->op == GROUP_NATURAL ? p->n : parts(p->n, 32) * 32;

    if (map_matrix(g, narrow, 2, p->x_at, rows, p->k, &p->x, err) < 0
        || map_matrix(g, narrow, 2, p->w_at, places, p->k, &p->w, err) < 0)
        return -1;
    if (p->op == GROUP_NATURAL) /* written without a map */
        return 0;
    if (p->op >= GROUP_COPY)
        return map_matrix(g, narrow, 2, p->y, rows, p->n, &p->out, err);
    return map_matrix(g, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, p->y, rows, p->n,
                      &p->out, err);
}

int grouper_add(const struct grouper *g, struct group *group,
                const struct group_item *item, int rows, struct err *err)
{
    struct group_item *p = &group->item[group->n_item];

    *p = *item;
    if (g->type != NARROW_FP32 && map_item(g, p, rows, err) < 0)
        return -1;
    group->n_item++;
    return 0;
}

/* ---- products -------------------------------------------------------------- */

/* The CPU's bits: one product and one function after the other. */
static int run_fp32(const struct grouper *g, const struct group_item *p,
                    int rows, struct err *err)
{
    float *y = p->y;

    if (CU(kernel_product(NARROW_FP32, rows, p->n, p->k, p->w_at, p->x_at, y,
                          g->stream),
           err)
            < 0
        || CU(kernel_function(NARROW_FP32, rows, p->n, p->op, p->bias, y,
                              g->stream),
              err)
               < 0)
        return -1;
    return 0;
}

static int run_16(const struct grouper *g, const struct group *group, int rows,
                  struct err *err)
{
    if (CU(kernel_group(g->type, group, rows, choose(g, group, rows),
                        g->multiprocessors, g->stream),
           err)
        < 0)
        return -1;
    for (int i = 0; i < group->n_item && g->type == NARROW_FP16; i++)
        if (group->item[i].op == GROUP_RELU2
            && CU(kernel_refit_relu2(&group->item[i], rows, g->stream), err)
                   < 0)
            return -1;
    return 0;
}

int grouper_run(const struct grouper *g, const struct group *group, int rows,
                struct err *err)
{
    if (g->type != NARROW_FP32)
        return run_16(g, group, rows, err);
    for (int i = 0; i < group->n_item; i++)
        if (run_fp32(g, &group->item[i], rows, err) < 0)
            return -1;
    return 0;
}
