#include "model/weights_random.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "model/weights_names.h"

struct maker {
    const struct weights_random_writer *by;
    const struct weights_shape *shape;
    struct tensor_file *file;
    uint64_t seed;
    uint8_t *at; /* NULL while sizes are counted */
    size_t bytes;
    uint64_t tensors;
};

static int64_t size_of(const struct weights_shape *s, enum weights_dim d)
{
    switch (d) {
    case DIM_V:
        return s->V;
    case DIM_C:
        return (int64_t)s->H * s->N;
    case DIM_H:
        return s->H;
    case DIM_N:
        return s->N;
    case DIM_F:
        return s->F;
    case DIM_RANK_W:
        return s->rank_w;
    case DIM_RANK_A:
        return s->rank_a;
    case DIM_RANK_V:
        return s->rank_v;
    case DIM_RANK_G:
        return s->rank_g;
    case DIM_ONE:
    case DIM_COUNT:
        break;
    }
    return 1;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* ln2's bias is about OFFSET in every channel, and the rows of ffn.key lean
 * against it: -1.28 standard deviations, which nine in ten do not overcome.
 */
#define OFFSET 0.5f
#define LEAN 1.28f

/* Norm weights about 1, mixes and k_a in (0, 1), decay logits about -2, and
 * matrices that keep the size of what they multiply; those that end a branch
 * make it small beside the residual stream, so that the 2 L of them add up to
 * its size.
 */
static struct weights_random_fill recipe(const struct maker *m,
                                         const struct weights_row *row)
{
    struct weights_random_fill f = {
        .key = (m->seed + 1) * 0xd1342543de82ef95u + (m->tensors << 40),
        .spread = 0.5f,
    };
    const char *name = row->blink;
    float cols = (float)size_of(m->shape, row->cols);

    if (row->rows != DIM_ONE)
        f.spread = 1.7f / sqrtf(cols);
    if (ends_with(name, ".weight") && row->rows == DIM_ONE)
        f.mean = 1;
    else if (row->mix || ends_with(name, "k_a") || ends_with(name, "x_k"))
        f.mean = 0.5f;
    else if (ends_with(name, "w0"))
        f.mean = -2;
    else if (ends_with(name, "emb.weight"))
        f.spread = 1;
    else if (ends_with(name, "ln2.bias"))
        f.mean = OFFSET;
    else if (ends_with(name, "ffn.key.weight"))
        f.mean = -LEAN / OFFSET / cols;
    else if (ends_with(name, "output.weight")
             || ends_with(name, "ffn.value.weight"))
        f.spread /= sqrtf(2.0f * (float)m->shape->L);
    return f;
}

/* r_k is a matrix in shape only: no product multiplies by it. */
static enum dtype dtype_of(const struct maker *m, const struct weights_row *row)
{
    return m->by->matrix_bf16 && row->rows != DIM_ONE && row->rows != DIM_H
               ? DTYPE_BF16
               : DTYPE_F32;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

static int make(struct maker *m, const struct weights_row *row, int32_t layer,
                struct err *err)
{
    int64_t rows = size_of(m->shape, row->rows);
    int64_t cols = size_of(m->shape, row->cols);
    struct weights_random_fill f = recipe(m, row);
    enum dtype dtype = dtype_of(m, row);
    size_t bytes = round_up((size_t)(rows * cols) * dtype_size(dtype));
    char name[WEIGHTS_NAME_MAX];
    struct tensor *t;

    if ((row->need == NEED_LATER && layer == 0)
        || (strstr(row->blink, "ln0") != NULL && !m->shape->ln0)
        || (row->need == NEED_NEVER && strstr(row->blink, "ln0") == NULL
            && !m->shape->bias))
        return 0;
    m->tensors++;
    m->bytes += bytes;
    if (m->at == NULL)
        return 0;
    weights_name_blink(row, layer, name);
    t = tensor_file_add(m->file, name, strlen(name), err);
    if (t == NULL)
        return -1;
    t->dtype = dtype;
    t->ndim = row->rows == DIM_ONE ? 1 : 2;
    t->shape[0] = row->rows == DIM_ONE ? cols : row->lora ? cols : rows;
    t->shape[1] = row->lora ? rows : cols;
    tensor_set_row_major(t);
    t->data = m->at;
    m->at += bytes;
    return m->by->fill(m->by->context, &f, rows * cols, dtype == DTYPE_BF16,
                       (void *)(uintptr_t)t->data, err);
}

static int make_all(struct maker *m, struct err *err)
{
    for (size_t i = 0; i < weights_top_n; i++) {
        if (make(m, &weights_top[i], -1, err) < 0)
            return -1;
    }
    for (int32_t layer = 0; layer < m->shape->L; layer++) {
        for (size_t i = 0; i < weights_per_layer_n; i++) {
            if (make(m, &weights_per_layer[i], layer, err) < 0)
                return -1;
        }
    }
    return 0;
}

int weights_random_fill_host(void *context, const struct weights_random_fill *f,
                             int64_t n, bool bf16, void *to, struct err *err)
{
    uint16_t *half = to;
    float *whole = to;

    (void)context;
    (void)err;
    for (int64_t i = 0; i < n && bf16; i++)
        half[i] = f32_to_bf16(weights_random_value(f, (uint64_t)i));
    for (int64_t i = 0; i < n && !bf16; i++)
        whole[i] = weights_random_value(f, (uint64_t)i);
    return 0;
}

struct weights *weights_random_by(const struct weights_random_writer *by,
                                  const struct weights_shape *shape,
                                  uint64_t seed, struct err *err)
{
    struct maker m = {.by = by, .shape = shape, .seed = seed};
    struct weights *w;
    size_t bytes;
    void *p;

    make_all(&m, err); /* counts */
    bytes = m.bytes;
    m.tensors = 0;
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
             -1, 0);
    if (p == MAP_FAILED) {
        err_set(err, ERR_NOMEM, "random model: no memory for %zu bytes", bytes);
        return NULL;
    }
    m.file = tensor_file_new("random model", "memory");
    tensor_file_own(m.file, (struct file_map){.data = p, .size = bytes},
                    "random model");
    m.at = p;
    if (make_all(&m, err) < 0 || tensor_file_seal(m.file, err) < 0) {
        tensor_file_close(m.file);
        return NULL;
    }
    w = weights_bind(m.file, err);
    if (w == NULL)
        err_wrap(err, "random model");
    return w;
}

struct weights *weights_random(const struct weights_shape *shape, uint64_t seed,
                               struct err *err)
{
    const struct weights_random_writer by = {.fill = weights_random_fill_host};

    return weights_random_by(&by, shape, seed, err);
}
