#include "model/export.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/weights_names.h"

#define BLOCK_ELEMENTS 65536 /* converted at a time, or one row */

/* A tensor on its way out. */
struct item {
    char name[WEIGHTS_NAME_MAX];
    struct weight from; /* in the orientation of the file */
    enum dtype dtype;
    int ndim;
    int64_t shape[3];
};

/* r_k is [H, N] but elementwise: no product multiplies by it. */
static bool is_matrix(const struct weights_row *row)
{
    return row->rows != DIM_ONE && row->rows != DIM_H;
}

/* BlinkDL keeps (1, 1, C) for what is no nn.Linear, LayerNorm or GroupNorm. */
static bool is_blink_parameter(const struct weights_row *row)
{
    const char *leaf = strrchr(row->blink, '.');

    return strcmp(leaf, ".weight") != 0 && strcmp(leaf, ".bias") != 0;
}

static void item_make(struct item *it, const struct weights_iter *at,
                      const struct export_options *o)
{
    const struct weights_row *row = at->row;
    bool fla = o->format == EXPORT_FLA;

    (fla ? weights_name_fla : weights_name_blink)(row, at->layer, it->name);
    it->from = *at->weight;
    if (row->lora && !fla) {
        it->from.rows = at->weight->cols;
        it->from.cols = at->weight->rows;
        it->from.transposed = !at->weight->transposed;
    }
    it->dtype = is_matrix(row) ? o->matrix : o->vector;
    if (o->keep_dtype)
        it->dtype = at->weight->tensor->dtype;
    if (row->rows != DIM_ONE) {
        it->ndim = 2;
        it->shape[0] = it->from.rows;
        it->shape[1] = it->from.cols;
    } else if (fla ? row->mix : is_blink_parameter(row)) {
        it->ndim = 3;
        it->shape[0] = it->shape[1] = 1;
        it->shape[2] = it->from.cols;
    } else {
        it->ndim = 1;
        it->shape[0] = it->from.cols;
    }
}

/* The nearest float towards odd: rounding it again to a narrower format gives
 * what rounding the double at once would have given.
 */
static float round_to_odd(double x)
{
    float f = (float)x;
    uint32_t bits;

    if (!isfinite(x) || (double)f == x)
        return f;
    memcpy(&bits, &f, 4);
    if ((bits & 1) == 0)
        f = nextafterf(f, (double)f < x ? INFINITY : -INFINITY);
    return f;
}

/* One element to its bytes. -1 when a finite value becomes infinite. */
static int convert(double x, enum dtype dtype, uint8_t *out)
{
    uint16_t half;
    float f = (float)x;

    switch (dtype) {
    case DTYPE_F64:
        memcpy(out, &x, 8);
        return 0;
    case DTYPE_F32:
        memcpy(out, &f, 4);
        return isinf(f) && !isinf(x) ? -1 : 0;
    case DTYPE_F16:
        half = f32_to_f16(round_to_odd(x));
        memcpy(out, &half, 2);
        return (half & 0x7FFF) == 0x7C00 && !isinf(x) ? -1 : 0;
    default: /* DTYPE_BF16: weights hold no other dtypes */
        half = f32_to_bf16(round_to_odd(x));
        memcpy(out, &half, 2);
        return (half & 0x7FFF) == 0x7F80 && !isinf(x) ? -1 : 0;
    }
}

/* The stored bytes, where they are what the file wants. */
static const uint8_t *stored_bytes(const struct item *it)
{
    const struct tensor *t = it->from.tensor;
    int64_t stride = 1;

    if (it->from.transposed || it->dtype != t->dtype)
        return NULL;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] > 1 && t->stride[i] != stride)
            return NULL;
        stride *= t->shape[i];
    }
    return t->data + (size_t)it->from.offset * dtype_size(t->dtype);
}

static int write_converted(int fd, const struct item *it, struct err *err)
{
    int64_t cols = it->from.cols;
    int64_t step = cols > BLOCK_ELEMENTS ? 1 : BLOCK_ELEMENTS / cols;
    size_t size = dtype_size(it->dtype);
    double *value = xcalloc((size_t)(step * cols), sizeof *value);
    uint8_t *bytes = xcalloc((size_t)(step * cols), size);
    int rc = 0;

    for (int64_t r = 0; r < it->from.rows && rc == 0; r += step) {
        int64_t rows = it->from.rows - r < step ? it->from.rows - r : step;
        size_t n = (size_t)(rows * cols);

        weight_read_rows_f64(&it->from, r, rows, value);
        for (size_t i = 0; i < n && rc == 0; i++) {
            if (convert(value[i], it->dtype, bytes + i * size) < 0)
                rc = err_set(err, ERR_INVALID,
                             "tensor %s: %g is too large for %s", it->name,
                             value[i], dtype_name(it->dtype));
        }
        if (rc == 0 && file_write_all(fd, bytes, n * size) < 0)
            rc = err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
    }
    free(value);
    free(bytes);
    return rc;
}

static int write_item(int fd, const struct item *it, struct err *err)
{
    const uint8_t *stored = stored_bytes(it);
    size_t elements = (size_t)(it->from.rows * it->from.cols);

    if (stored == NULL)
        return write_converted(fd, it, err);
    if (file_write_all(fd, stored, elements * dtype_size(it->dtype)) < 0)
        return err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
    return 0;
}

/* Header length, header; padded with spaces to a multiple of 8. */
static void make_header(const struct item *item, size_t n, struct buf *out)
{
    uint64_t at = 0, len;

    buf_add(out, "\0\0\0\0\0\0\0\0", 8);
    buf_adds(out, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        uint64_t end = at
                       + (uint64_t)(item[i].from.rows * item[i].from.cols)
                             * dtype_size(item[i].dtype);

        buf_addf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", item[i].name,
                 dtype_name(item[i].dtype));
        for (int k = 0; k < item[i].ndim; k++)
            buf_addf(out, "%s%lld", k > 0 ? "," : "",
                     (long long)item[i].shape[k]);
        buf_addf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                 (unsigned long long)end);
        at = end;
    }
    buf_addc(out, '}');
    while (out->len % 8 != 0)
        buf_addc(out, ' ');
    len = out->len - 8;
    memcpy(out->data, &len, 8);
}

static int write_content(int fd, const struct item *item, size_t n,
                         struct err *err)
{
    struct buf header = BUF_INIT;
    int rc = 0;

    make_header(item, n, &header);
    if (file_write_all(fd, header.data, header.len) < 0)
        rc = err_set(err, ERR_IO, "cannot write: %s", strerror(errno));
    buf_free(&header);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = write_item(fd, &item[i], err);
    return rc;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? xstrdup(".")
                         : xstrndup(path, (size_t)(slash - path) + 1);
}

/* Write a safetensors file so that it is there whole or not at all. */
static int write_file(const char *path, const struct item *item, size_t n,
                      struct err *err)
{
    struct buf temp = BUF_INIT;
    char *parent = parent_of(path);
    int fd, rc;

    buf_addf(&temp, "%s.XXXXXX", path);
    fd = mkstemp(temp.data);
    if (fd < 0) {
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    rc = write_content(fd, item, n, err);
    if (rc < 0)
        err_wrap(err, "%s", path);
    if (rc == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    if (close(fd) < 0 && rc == 0)
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    if (rc == 0 && rename(temp.data, path) < 0)
        rc = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    if (rc < 0)
        unlink(temp.data);
    else
        rc = file_sync_dir(parent, err);
out:
    buf_free(&temp);
    free(parent);
    return rc;
}

static const char *torch_dtype(enum dtype d)
{
    static const char *const name[] = {[DTYPE_F64] = "float64",
                                       [DTYPE_F32] = "float32",
                                       [DTYPE_F16] = "float16",
                                       [DTYPE_BF16] = "bfloat16"};

    return name[d];
}

/* Hugging Face's config.json for FLA; docs/model.md, "config.json". */
static void make_config(const struct weights *w, enum dtype dtype,
                        struct buf *out)
{
    buf_addf(out,
             "{\n"
             "  \"architectures\": [\"RWKV7ForCausalLM\"],\n"
             "  \"model_type\": \"rwkv7\",\n"
             "  \"attn\": null,\n"
             "  \"attn_mode\": \"fused_recurrent\",\n"
             "  \"vocab_size\": %d,\n"
             "  \"hidden_size\": %d,\n"
             "  \"num_hidden_layers\": %d,\n"
             "  \"head_dim\": %d,\n"
             "  \"num_heads\": %d,\n"
             "  \"value_dim\": [",
             w->V, w->C, w->L, w->N, w->H);
    for (int32_t n = 0; n < w->L; n++)
        buf_addf(out, "%s%d", n > 0 ? ", " : "", w->C);
    buf_addf(out,
             "],\n"
             "  \"intermediate_size\": %d,\n"
             "  \"hidden_ratio\": %.17g,\n"
             "  \"decay_low_rank_dim\": %d,\n"
             "  \"a_low_rank_dim\": %d,\n"
             "  \"v_low_rank_dim\": %d,\n"
             "  \"gate_low_rank_dim\": %d,\n",
             w->F, (double)w->F / w->C, w->rank_w, w->rank_a, w->rank_v,
             w->rank_g);
    buf_addf(out,
             "  \"hidden_act\": \"sqrelu\",\n"
             "  \"norm_first\": %s,\n"
             "  \"norm_bias\": true,\n"
             "  \"norm_eps\": 1e-05,\n"
             "  \"fuse_norm\": false,\n"
             "  \"tie_word_embeddings\": false,\n"
             "  \"use_cache\": true,\n"
             "  \"bos_token_id\": 0,\n"
             "  \"eos_token_id\": 0,\n"
             "  \"torch_dtype\": \"%s\"\n"
             "}\n",
             weight_present(&w->ln0_w) ? "true" : "false", torch_dtype(dtype));
}

/* The model comes last: a directory with one is complete. */
static int write_fla(const struct weights *w, const char *dir,
                     const struct item *item, size_t n, struct err *err)
{
    char *config = file_join(dir, "config.json");
    char *model = file_join(dir, "model.safetensors");
    char *index = file_join(dir, "model.safetensors.index.json");
    struct buf text = BUF_INIT;
    int rc = -1;

    if (file_exists(dir) && !file_is_dir(dir)) {
        err_set(err, ERR_INVALID, "%s: exists and is not a directory", dir);
        goto out;
    }
    if (file_exists(index)) {
        err_set(err, ERR_INVALID,
                "%s: exists and would hide what is written beside it", index);
        goto out;
    }
    if (!file_exists(dir) && mkdir(dir, 0755) < 0) {
        err_set(err, ERR_IO, "%s: %s", dir, strerror(errno));
        goto out;
    }
    make_config(w, item[0].dtype, &text);
    if (file_replace(config, text.data, text.len, err) == 0)
        rc = write_file(model, item, n, err);
out:
    buf_free(&text);
    free(config);
    free(model);
    free(index);
    return rc;
}

int export_write(const struct weights *w, const char *path,
                 const struct export_options *options, struct err *err)
{
    size_t most = weights_top_n + (size_t)w->L * weights_per_layer_n;
    struct item *item = xcalloc(most, sizeof *item);
    struct weights_iter it = {0};
    size_t n = 0;
    int rc;

    while (weights_next(w, &it))
        item_make(&item[n++], &it, options);
    if (options->format == EXPORT_FLA)
        rc = write_fla(w, path, item, n, err);
    else if (file_is_dir(path))
        rc = err_set(err, ERR_INVALID,
                     "%s: is a directory; a file name expected", path);
    else
        rc = write_file(path, item, n, err);
    free(item);
    return rc;
}
