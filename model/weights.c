#include "model/weights.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/weights_config.h"
#include "model/weights_names.h"

/* Bounds that keep every product of two sizes far below 2^63. */
#define WIDTH_MAX 65536 /* C, F, ranks; the largest release has F = 16,384 */
#define VOCAB_MAX (1 << 24)
#define MISSING_NAMED 5 /* missing tensors spelled out in an error */

struct binder {
    struct weights *w;
    bool fla;               /* which family of names */
    bool *used;             /* [file->n] */
    int64_t dim[DIM_COUNT]; /* 0: not known yet */
    struct buf missing;
    size_t n_missing;
};

static const struct tensor *bind_find(struct binder *b, const char *name)
{
    const struct tensor *t = tensor_file_find(b->w->file, name);

    if (t != NULL)
        b->used[t - b->w->file->tensor] = true;
    return t;
}

static int shape_error(const struct binder *b, const struct weights_row *row,
                       const struct tensor *t, bool transposed, struct err *err)
{
    char found[TENSOR_SHAPE_TEXT_MAX];
    enum weights_dim first = transposed ? row->cols : row->rows;
    enum weights_dim second = transposed ? row->rows : row->cols;

    tensor_shape_text(t, found, sizeof found);
    if (row->rows == DIM_ONE)
        return err_set(err, ERR_INVALID,
                       "tensor %s has shape %s, expected %s = %lld elements",
                       t->name, found, weights_dim_name(row->cols),
                       (long long)b->dim[row->cols]);
    if (b->dim[first] == 0 || b->dim[second] == 0)
        return err_set(
            err, ERR_INVALID, "tensor %s has shape %s, expected [%s, %s]",
            t->name, found, weights_dim_name(first), weights_dim_name(second));
    return err_set(err, ERR_INVALID,
                   "tensor %s has shape %s, expected [%s, %s] = [%lld, %lld]",
                   t->name, found, weights_dim_name(first),
                   weights_dim_name(second), (long long)b->dim[first],
                   (long long)b->dim[second]);
}

/* A size named by a tensor's shape: remembered when seen first, else equal. */
static bool take_dim(struct binder *b, enum weights_dim d, int64_t size)
{
    if (b->dim[d] == 0 && size >= 1
        && size <= (d == DIM_V ? VOCAB_MAX : WIDTH_MAX))
        b->dim[d] = size;
    return b->dim[d] == size && size > 0;
}

static int check_shape(struct binder *b, const struct weights_row *row,
                       const struct tensor *t, bool transposed, struct err *err)
{
    bool ok;

    if (!dtype_is_float(t->dtype))
        return err_set(err, ERR_INVALID,
                       "tensor %s has dtype %s, expected F64, F32, F16 or BF16",
                       t->name, dtype_name(t->dtype));
    if (row->rows == DIM_ONE)
        ok = tensor_count(t) == b->dim[row->cols];
    else
        ok = t->ndim == 2 && take_dim(b, row->rows, t->shape[transposed])
             && take_dim(b, row->cols, t->shape[!transposed]);
    return ok ? 0 : shape_error(b, row, t, transposed, err);
}

static void note_missing(struct binder *b, const char *name)
{
    if (b->n_missing++ < MISSING_NAMED)
        buf_addf(&b->missing, "%s%s", b->n_missing > 1 ? ", " : "", name);
}

/* A row of attn.x_x [6, C], which FLA wrote before April 2025. */
static int bind_old_mix(struct binder *b, const struct weights_row *row,
                        int32_t layer, struct weight *out, struct err *err)
{
    static const struct weights_row x_x = {.blink = "att.x_x",
                                           .fla = "attn.x_x"};
    char name[WEIGHTS_NAME_MAX], found[TENSOR_SHAPE_TEXT_MAX];
    const struct tensor *t;

    weights_name_fla(&x_x, layer, name);
    t = bind_find(b, name);
    if (t == NULL)
        return 0;
    if (!dtype_is_float(t->dtype) || tensor_count(t) != 6 * b->dim[DIM_C])
        return err_set(err, ERR_INVALID,
                       "tensor %s has shape %s and dtype %s, expected floats "
                       "[6, C] = [6, %lld]",
                       name, tensor_shape_text(t, found, sizeof found),
                       dtype_name(t->dtype), (long long)b->dim[DIM_C]);
    *out = (struct weight){.tensor = t,
                           .rows = 1,
                           .cols = b->dim[DIM_C],
                           .offset = row->x_x * b->dim[DIM_C]};
    return 0;
}

static int bind_row(struct binder *b, const struct weights_row *row,
                    int32_t layer, void *base, struct err *err)
{
    struct weight *out = (struct weight *)(void *)((char *)base + row->offset);
    bool transposed = row->lora && !b->fla;
    char name[WEIGHTS_NAME_MAX];
    const struct tensor *t;

    if (row->need == NEED_LATER && layer == 0)
        return 0;
    (b->fla ? weights_name_fla : weights_name_blink)(row, layer, name);
    t = bind_find(b, name);
    if (t == NULL && row->mix && b->fla
        && bind_old_mix(b, row, layer, out, err) < 0)
        return -1;
    if (t == NULL) {
        if (!weight_present(out) && row->need != NEED_NEVER)
            note_missing(b, name);
        return 0;
    }
    if (check_shape(b, row, t, transposed, err) < 0)
        return -1;
    b->dim[DIM_ONE] = 1;
    *out = (struct weight){.tensor = t,
                           .rows = b->dim[row->rows],
                           .cols = b->dim[row->cols],
                           .transposed = transposed};
    return 0;
}

static int bind_layer(struct binder *b, int32_t n, struct err *err)
{
    for (int d = DIM_RANK_W; d <= DIM_RANK_G; d++)
        b->dim[d] = 0; /* may differ from layer to layer */
    for (size_t i = 0; i < weights_per_layer_n; i++) {
        if (bind_row(b, &weights_per_layer[i], n, &b->w->layer[n], err) < 0)
            return -1;
    }
    if (b->dim[DIM_RANK_W] > b->w->rank_w)
        b->w->rank_w = (int32_t)b->dim[DIM_RANK_W];
    if (b->dim[DIM_RANK_A] > b->w->rank_a)
        b->w->rank_a = (int32_t)b->dim[DIM_RANK_A];
    if (b->dim[DIM_RANK_V] > b->w->rank_v)
        b->w->rank_v = (int32_t)b->dim[DIM_RANK_V];
    if (b->dim[DIM_RANK_G] > b->w->rank_g)
        b->w->rank_g = (int32_t)b->dim[DIM_RANK_G];
    return 0;
}

/* The layer number in "blocks.12.ln1.weight", or -1. */
static int64_t layer_of(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    int64_t n = 0;
    const char *p;

    if (strncmp(name, prefix, len) != 0)
        return -1;
    for (p = name + len; *p >= '0' && *p <= '9'; p++) {
        if (n < WEIGHTS_LAYERS_MAX)
            n = 10 * n + (*p - '0');
    }
    return p > name + len && *p == '.' ? n : -1;
}

static int count_layers(struct binder *b, struct err *err)
{
    const char *prefix = b->fla ? "model.layers." : "blocks.";
    const struct tensor_file *f = b->w->file;
    int64_t last = -1;

    for (size_t i = 0; i < f->n; i++) {
        int64_t n = layer_of(f->tensor[i].name, prefix);

        if (n > last)
            last = n;
    }
    if (last < 0)
        return err_set(err, ERR_INVALID, "no tensor is named %s0.*", prefix);
    if (last >= WEIGHTS_LAYERS_MAX)
        return err_set(err, ERR_LIMIT,
                       "a tensor of layer %d or above; %d layers are allowed",
                       WEIGHTS_LAYERS_MAX, WEIGHTS_LAYERS_MAX);
    b->w->L = (int32_t)last + 1;
    return 0;
}

static int check_missing(struct binder *b, struct err *err)
{
    if (b->n_missing == 0)
        return 0;
    return err_set(err, ERR_INVALID, "%zu tensor%s missing: %s%s", b->n_missing,
                   b->n_missing == 1 ? " is" : "s are", b->missing.data,
                   b->n_missing > MISSING_NAMED ? ", ..." : "");
}

static int check_dims(struct binder *b, struct err *err)
{
    struct weights *w = b->w;

    w->V = (int32_t)b->dim[DIM_V];
    w->C = (int32_t)b->dim[DIM_C];
    w->H = (int32_t)b->dim[DIM_H];
    w->N = (int32_t)b->dim[DIM_N];
    w->F = (int32_t)b->dim[DIM_F];
    if (w->N != 16 && w->N != 32 && w->N != 64 && w->N != 128)
        return err_set(err, ERR_INVALID,
                       "head size %d is not supported (16, 32, 64, 128)", w->N);
    if ((int64_t)w->H * w->N != w->C)
        return err_set(err, ERR_INVALID,
                       "%d heads of size %d do not make the width %d", w->H,
                       w->N, w->C);
    if (weight_present(&w->ln0_w) != weight_present(&w->ln0_b))
        return err_set(err, ERR_INVALID,
                       "the norm after the embedding (ln0, pre_norm) has only "
                       "one of weight and bias");
    return 0;
}

static int bind_all(struct binder *b, struct err *err)
{
    struct weights *w = b->w;

    if (count_layers(b, err) < 0)
        return -1;
    w->layer = xcalloc((size_t)w->L, sizeof *w->layer);
    for (size_t i = 0; i < weights_top_n; i++) {
        if (bind_row(b, &weights_top[i], -1, w, err) < 0)
            return -1;
    }
    for (int32_t n = 0; n < w->L; n++) {
        if (bind_layer(b, n, err) < 0)
            return -1;
    }
    if (check_missing(b, err) < 0)
        return -1;
    return check_dims(b, err);
}

static void list_unused(struct weights *w, const bool *used)
{
    w->unused = xcalloc(w->file->n + 1, sizeof *w->unused);
    for (size_t i = 0; i < w->file->n; i++) {
        if (!used[i])
            w->unused[w->n_unused++] = w->file->tensor[i].name;
    }
}

/* Which family the names belong to: 1 FLA, 0 BlinkDL, -1 neither. */
static int name_family(const struct tensor_file *f, struct err *err)
{
    const char *what = weights_foreign(f);

    if (what != NULL)
        return err_set(err, ERR_INVALID,
                       "not a plain RWKV-7 language model but %s", what);
    if (tensor_file_find(f, "model.embeddings.weight") != NULL)
        return 1;
    if (tensor_file_find(f, "emb.weight") != NULL)
        return 0;
    return err_set(err, ERR_INVALID,
                   "not a plain RWKV-7 language model: neither emb.weight "
                   "(BlinkDL) nor model.embeddings.weight (FLA) among its %zu "
                   "tensors",
                   f->n);
}

struct weights *weights_bind(struct tensor_file *f, struct err *err)
{
    struct weights *w = xcalloc(1, sizeof *w);
    struct binder b = {.w = w, .dim = {[DIM_ONE] = 1}};
    int rc;

    w->file = f;
    rc = name_family(f, err);
    if (rc >= 0) {
        b.fla = rc == 1;
        w->fla = b.fla;
        b.used = xcalloc(f->n, sizeof *b.used);
        rc = bind_all(&b, err);
    }
    if (rc >= 0)
        list_unused(w, b.used);
    free(b.used);
    buf_free(&b.missing);
    if (rc < 0) {
        weights_close(w);
        return NULL;
    }
    return w;
}

struct weights *weights_open(const char *path, struct err *err)
{
    struct tensor_file *f = tensor_file_open(path, err);
    struct weights *w;

    if (f == NULL || weights_check_config(path, f, err) < 0) {
        tensor_file_close(f);
        return NULL;
    }
    w = weights_bind(f, err);
    if (w == NULL)
        err_wrap(err, "%s", path);
    return w;
}

void weights_close(struct weights *w)
{
    if (w == NULL)
        return;
    tensor_file_close(w->file);
    free(w->unused);
    free(w->layer);
    free(w);
}

bool weight_present(const struct weight *w)
{
    return w->tensor != NULL;
}

/* The engine's orientation of a matrix stored the other way round. */
static struct tensor transposed_view(const struct tensor *t)
{
    struct tensor view = *t;

    view.shape[0] = t->shape[1];
    view.shape[1] = t->shape[0];
    view.stride[0] = t->stride[1];
    view.stride[1] = t->stride[0];
    return view;
}

static void check_rows(const struct weight *w, int64_t first, int64_t n)
{
    assert(first >= 0);
    assert(n >= 0);
    assert(first + n <= w->rows);
    assert(!w->transposed || w->tensor->ndim == 2);
}

void weight_read_rows(const struct weight *w, int64_t first, int64_t n,
                      float *out)
{
    struct tensor view;

    check_rows(w, first, n);
    view = w->transposed ? transposed_view(w->tensor) : *w->tensor;
    tensor_read_f32(&view, w->offset + first * w->cols, n * w->cols, out);
}

static bool is_row_major(const struct tensor *t)
{
    int64_t stride = 1;

    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != stride)
            return false;
        stride *= t->shape[i];
    }
    return true;
}

const void *weight_stored_rows(const struct weight *w, int64_t first, int64_t n,
                               enum dtype *dtype)
{
    check_rows(w, first, n);
    if (w->transposed || !is_row_major(w->tensor))
        return NULL;
    *dtype = w->tensor->dtype;
    return w->tensor->data
           + (size_t)(w->offset + first * w->cols) * dtype_size(*dtype);
}

void weight_read_rows_f64(const struct weight *w, int64_t first, int64_t n,
                          double *out)
{
    struct tensor view;

    check_rows(w, first, n);
    view = w->transposed ? transposed_view(w->tensor) : *w->tensor;
    tensor_read_f64(&view, w->offset + first * w->cols, n * w->cols, out);
}

void weight_read(const struct weight *w, float *out)
{
    weight_read_rows(w, 0, w->rows, out);
}
