#include "model/weights_random.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "model/weights_names.h"

struct maker {
    const struct weights_shape *shape;
    struct tensor_file *file;
    uint64_t random;
    float *at; /* NULL while sizes are counted */
    size_t floats;
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

/* Uniform in (-1, 1): xorshift64*. */
static float uniform(struct maker *m)
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return (float)((m->random * 0x2545f4914f6cdd1d) >> 40) * 0x1p-23f - 1.0f
           + 0x1p-24f;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* Norm weights about 1, mixes and k_a in (0, 1), decay logits about -2, and
 * matrices that keep the size of what they multiply.
 */
static void fill(struct maker *m, const struct weights_row *row, int64_t n)
{
    const char *name = row->blink;
    float mean = 0, spread = 0.5f;

    if (row->rows != DIM_ONE)
        spread = 1.7f / sqrtf((float)size_of(m->shape, row->cols));
    if (ends_with(name, ".weight") && row->rows == DIM_ONE)
        mean = 1;
    else if (row->mix || ends_with(name, "k_a") || ends_with(name, "x_k"))
        mean = 0.5f;
    else if (ends_with(name, "w0"))
        mean = -2;
    else if (ends_with(name, "emb.weight"))
        spread = 1;
    for (int64_t i = 0; i < n; i++)
        *m->at++ = mean + spread * uniform(m);
}

static int make(struct maker *m, const struct weights_row *row, int32_t layer,
                struct err *err)
{
    int64_t rows = size_of(m->shape, row->rows);
    int64_t cols = size_of(m->shape, row->cols);
    char name[WEIGHTS_NAME_MAX];
    struct tensor *t;

    if ((row->need == NEED_LATER && layer == 0)
        || (strstr(row->blink, "ln0") != NULL && !m->shape->ln0)
        || (row->need == NEED_NEVER && strstr(row->blink, "ln0") == NULL
            && !m->shape->bias))
        return 0;
    m->floats += (size_t)(rows * cols);
    if (m->at == NULL)
        return 0;
    weights_name_blink(row, layer, name);
    t = tensor_file_add(m->file, name, strlen(name), err);
    if (t == NULL)
        return -1;
    t->dtype = DTYPE_F32;
    t->ndim = row->rows == DIM_ONE ? 1 : 2;
    t->shape[0] = row->rows == DIM_ONE ? cols : row->lora ? cols : rows;
    t->shape[1] = row->lora ? rows : cols;
    tensor_set_row_major(t);
    t->data = (const uint8_t *)m->at;
    fill(m, row, rows * cols);
    return 0;
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

struct weights *weights_random(const struct weights_shape *shape, uint64_t seed,
                               struct err *err)
{
    struct maker m = {.shape = shape, .random = seed * 2 + 1};
    struct weights *w;
    size_t bytes;
    void *p;

    make_all(&m, err); /* counts */
    bytes = m.floats * sizeof(float);
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
