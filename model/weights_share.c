#include "model/weights_share.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/weights_names.h"

/* Ranks are one program on one host: structs travel as they are. */
struct told {
    int32_t L, C, H, N, F, V;
    int32_t rank_w, rank_a, rank_v, rank_g;
    int32_t fla;
    uint32_t n; /* struct dims that follow */
    uint8_t hash[HASH_BYTES];
};

/* Of a tensor, in the order of weights_names.h; rows 0: absent. */
struct dims {
    int64_t rows, cols;
};

/* What a weight points at whose values are elsewhere. */
static const struct tensor elsewhere = {.name = (char *)"(on rank 0)"};

static size_t n_tensors(int32_t layers)
{
    return weights_top_n + (size_t)layers * weights_per_layer_n;
}

/* Tensor i of n_tensors(). */
static struct weight *tensor_of(struct weights *w, size_t i)
{
    const struct weights_row *row;
    struct weights_layer *layer;

    if (i < weights_top_n)
        return (struct weight *)(void *)((char *)w + weights_top[i].offset);
    i -= weights_top_n;
    row = &weights_per_layer[i % weights_per_layer_n];
    layer = &w->layer[i / weights_per_layer_n];
    return (struct weight *)(void *)((char *)layer + row->offset);
}

int weights_tell(const struct weights *w, const uint8_t hash[HASH_BYTES],
                 struct comm *c, int64_t timeout_ms, struct err *err)
{
    const size_t n = n_tensors(w->L);
    struct told told = {
        .L = w->L,
        .C = w->C,
        .H = w->H,
        .N = w->N,
        .F = w->F,
        .V = w->V,
        .rank_w = w->rank_w,
        .rank_a = w->rank_a,
        .rank_v = w->rank_v,
        .rank_g = w->rank_g,
        .fla = w->fla,
        .n = (uint32_t)n,
    };
    struct dims *dims = xcalloc(n, sizeof *dims);
    int rc;

    assert(c->rank == 0);
    memcpy(told.hash, hash, HASH_BYTES);
    for (size_t i = 0; i < n; i++) {
        const struct weight *from = tensor_of((struct weights *)w, i);

        if (weight_present(from))
            dims[i] = (struct dims){from->rows, from->cols};
    }
    rc = comm_broadcast(c, &told, sizeof told, 0, timeout_ms, err);
    if (rc == 0)
        rc = comm_broadcast(c, dims, n * sizeof *dims, 0, timeout_ms, err);
    free(dims);
    return rc;
}

static struct weights *from_told(const struct told *told)
{
    struct weights *w = xcalloc(1, sizeof *w);

    w->L = told->L;
    w->C = told->C;
    w->H = told->H;
    w->N = told->N;
    w->F = told->F;
    w->V = told->V;
    w->rank_w = told->rank_w;
    w->rank_a = told->rank_a;
    w->rank_v = told->rank_v;
    w->rank_g = told->rank_g;
    w->fla = told->fla != 0;
    w->layer = xcalloc((size_t)told->L, sizeof *w->layer);
    return w;
}

struct weights *weights_hear(uint8_t hash[HASH_BYTES], struct comm *c,
                             int64_t timeout_ms, struct err *err)
{
    struct weights *w = NULL;
    struct dims *dims;
    struct told told;

    assert(c->rank > 0);
    if (comm_broadcast(c, &told, sizeof told, 0, timeout_ms, err) < 0)
        return NULL;
    if (told.L < 1 || told.L > WEIGHTS_LAYERS_MAX
        || told.n != n_tensors(told.L)) {
        err_set(err, ERR_INTERNAL, "rank 0 speaks of a model with %d layers",
                (int)told.L);
        return NULL;
    }
    dims = xcalloc(told.n, sizeof *dims);
    if (comm_broadcast(c, dims, told.n * sizeof *dims, 0, timeout_ms, err)
        == 0) {
        w = from_told(&told);
        memcpy(hash, told.hash, HASH_BYTES);
        for (size_t i = 0; i < told.n; i++) {
            if (dims[i].rows > 0)
                *tensor_of(w, i) = (struct weight){
                    .tensor = &elsewhere,
                    .rows = dims[i].rows,
                    .cols = dims[i].cols,
                };
        }
    }
    free(dims);
    return w;
}
