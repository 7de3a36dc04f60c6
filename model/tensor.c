#include "model/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/pth.h"
#include "model/safetensors.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "checkpoints are little-endian and read in place");

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [DTYPE_F64] = {"F64", 8}, [DTYPE_F32] = {"F32", 4},
    [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4},
    [DTYPE_I16] = {"I16", 2}, [DTYPE_I8] = {"I8", 1},
    [DTYPE_U8] = {"U8", 1},   [DTYPE_BOOL] = {"BOOL", 1},
};

size_t dtype_size(enum dtype d)
{
    return dtypes[d].size;
}

const char *dtype_name(enum dtype d)
{
    return dtypes[d].name;
}

bool dtype_is_float(enum dtype d)
{
    return d <= DTYPE_BF16;
}

int dtype_parse(const char *name, enum dtype *out)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (enum dtype)i;
            return 0;
        }
    }
    return -1;
}

/* Conversions of one element. */

static uint32_t f32_bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, 4);
    return u;
}

static float f32_of(uint32_t u)
{
    float x;

    memcpy(&x, &u, 4);
    return x;
}

float bf16_to_f32(uint16_t bits)
{
    return f32_of((uint32_t)bits << 16);
}

uint16_t f32_to_bf16(float x)
{
    uint32_t u = f32_bits(x);

    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(u >> 16 | 0x40); /* quiet: its payload may be cut */
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

float f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t mag = (uint32_t)(bits & 0x7FFFu) << 13;

    if (mag >= 0x0F800000u) /* infinity, NaN */
        return f32_of(sign | 0x7F800000u | mag);
    /* The exponent of fp16 read as that of fp32 is too small by 112: exact,
     * subnormals too. */
    return f32_of(sign | f32_bits(f32_of(mag) * 0x1p112f));
}

uint16_t f32_to_f16(float x)
{
    uint32_t u = f32_bits(x);
    uint32_t sign = u >> 16 & 0x8000u;
    uint32_t mag = u & 0x7FFFFFFFu;

    if (mag > 0x7F800000u)
        mag = 0x7E00u | (mag >> 13 & 0x3FFu);
    else if (mag >= 0x477FF000u) /* 65520 rounds to infinity */
        mag = 0x7C00u;
    else if (mag >= 0x38800000u) /* 2^-14: normal in fp16 */
        mag = (mag - 0x38000000u + 0xFFFu + (mag >> 13 & 1)) >> 13;
    else /* ulp(0.5) is 2^-24, the smallest fp16: the adder rounds for us */
        mag = f32_bits(f32_of(mag) + 0.5f) - f32_bits(0.5f);
    return (uint16_t)(sign | mag);
}

/* Runs of elements: n of them, `step` elements apart, from p on. */

#define LOAD(type, p, i) load_##type((p) + (i)*step * sizeof(type))
#define DEFINE_LOAD(type)                            \
    static inline type load_##type(const uint8_t *p) \
    {                                                \
        type x;                                      \
                                                     \
        memcpy(&x, p, sizeof x);                     \
        return x;                                    \
    }
DEFINE_LOAD(double)
DEFINE_LOAD(float)
DEFINE_LOAD(uint16_t)
DEFINE_LOAD(int64_t)
DEFINE_LOAD(int32_t)
DEFINE_LOAD(int16_t)
DEFINE_LOAD(int8_t)
DEFINE_LOAD(uint8_t)

#define DEFINE_RUN(out_t, suffix)                                         \
    static void run_##suffix(enum dtype d, const uint8_t *p, size_t step, \
                             size_t n, out_t *out)                        \
    {                                                                     \
        switch (d) {                                                      \
        case DTYPE_F64:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(double, p, i);                       \
            break;                                                        \
        case DTYPE_F32:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = LOAD(float, p, i);                               \
            break;                                                        \
        case DTYPE_F16:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = f16_to_f32(LOAD(uint16_t, p, i));                \
            break;                                                        \
        case DTYPE_BF16:                                                  \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = bf16_to_f32(LOAD(uint16_t, p, i));               \
            break;                                                        \
        case DTYPE_I64:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(int64_t, p, i);                      \
            break;                                                        \
        case DTYPE_I32:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(int32_t, p, i);                      \
            break;                                                        \
        case DTYPE_I16:                                                   \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(int16_t, p, i);                      \
            break;                                                        \
        case DTYPE_I8:                                                    \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(int8_t, p, i);                       \
            break;                                                        \
        case DTYPE_U8:                                                    \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = (out_t)LOAD(uint8_t, p, i);                      \
            break;                                                        \
        case DTYPE_BOOL:                                                  \
            for (size_t i = 0; i < n; i++)                                \
                out[i] = LOAD(uint8_t, p, i) != 0;                        \
            break;                                                        \
        }                                                                 \
    }
DEFINE_RUN(float, f32)
DEFINE_RUN(double, f64)

/* A position in row-major order of a strided tensor. Neighbouring dimensions
 * that lie densely are one: the common tensor is a single run.
 */
struct walk {
    int ndim;
    int64_t shape[TENSOR_DIMS_MAX + 1];
    int64_t stride[TENSOR_DIMS_MAX + 1];
    int64_t at[TENSOR_DIMS_MAX + 1];
    int64_t offset; /* elements from tensor->data */
};

static void walk_start(struct walk *w, const struct tensor *t, int64_t first)
{
    *w = (struct walk){.ndim = 1, .shape = {1}, .stride = {1}};
    for (int i = 0; i < t->ndim; i++) {
        int last = w->ndim - 1;

        if (t->shape[i] == 1)
            continue;
        if (w->shape[last] == 1
            || w->stride[last] == t->stride[i] * t->shape[i]) {
            w->shape[last] *= t->shape[i];
            w->stride[last] = t->stride[i];
        } else {
            w->shape[w->ndim] = t->shape[i];
            w->stride[w->ndim++] = t->stride[i];
        }
    }
    for (int i = w->ndim - 1; i >= 0; i--) {
        w->at[i] = first % w->shape[i];
        first /= w->shape[i];
        w->offset += w->at[i] * w->stride[i];
    }
}

/* The longest run from here, at most n. */
static int64_t walk_run(const struct walk *w, int64_t n)
{
    int last = w->ndim - 1;
    int64_t left = w->shape[last] - w->at[last];

    return left < n ? left : n;
}

static void walk_advance(struct walk *w, int64_t n)
{
    int i = w->ndim - 1;

    w->at[i] += n;
    w->offset += n * w->stride[i];
    while (i > 0 && w->at[i] == w->shape[i]) {
        w->offset -= w->shape[i] * w->stride[i];
        w->at[i--] = 0;
        w->at[i]++;
        w->offset += w->stride[i];
    }
}

static const uint8_t *walk_data(const struct walk *w, const struct tensor *t)
{
    return t->data + (size_t)w->offset * dtype_size(t->dtype);
}

#define DEFINE_READ(out_t, suffix)                                        \
    void tensor_read_##suffix(const struct tensor *t, int64_t first,      \
                              int64_t n, out_t *out)                      \
    {                                                                     \
        struct walk w;                                                    \
                                                                          \
        assert(first >= 0);                                               \
        assert(n >= 0);                                                   \
        assert(first + n <= tensor_count(t));                             \
        if (n == 0)                                                       \
            return;                                                       \
        walk_start(&w, t, first);                                         \
        while (n > 0) {                                                   \
            int64_t run = walk_run(&w, n);                                \
                                                                          \
            run_##suffix(t->dtype, walk_data(&w, t),                      \
                         (size_t)w.stride[w.ndim - 1], (size_t)run, out); \
            out += run;                                                   \
            n -= run;                                                     \
            if (n > 0)                                                    \
                walk_advance(&w, run);                                    \
        }                                                                 \
    }
DEFINE_READ(float, f32)
DEFINE_READ(double, f64)

static void hash_run(struct hash_ctx *ctx, const uint8_t *p, size_t step,
                     size_t n, size_t size)
{
    if (step == 1) {
        hash_update(ctx, p, n * size);
        return;
    }
    for (size_t i = 0; i < n; i++)
        hash_update(ctx, p + i * step * size, size);
}

void tensor_hash(const struct tensor *t, uint8_t out[HASH_BYTES])
{
    struct hash_ctx *ctx = hash_begin();
    int64_t n = tensor_count(t);
    struct walk w;

    if (n > 0)
        walk_start(&w, t, 0);
    while (n > 0) {
        int64_t run = walk_run(&w, n);

        hash_run(ctx, walk_data(&w, t), (size_t)w.stride[w.ndim - 1],
                 (size_t)run, dtype_size(t->dtype));
        n -= run;
        if (n > 0)
            walk_advance(&w, run);
    }
    hash_end(ctx, out);
}

/* Shapes. */

int64_t tensor_shape_count(const int64_t *shape, int ndim)
{
    int64_t n = 1;

    for (int i = 0; i < ndim; i++) {
        if (shape[i] == 0)
            return 0;
    }
    for (int i = 0; i < ndim; i++) {
        if (shape[i] > TENSOR_ELEMENTS_MAX / n)
            return -1;
        n *= shape[i];
    }
    return n;
}

int64_t tensor_count(const struct tensor *t)
{
    return tensor_shape_count(t->shape, t->ndim);
}

char *tensor_shape_text(const struct tensor *t, char *out, size_t size)
{
    size_t len = 0;

    for (int i = 0; i < t->ndim && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%lld",
                                i == 0 ? "[" : ", ", (long long)t->shape[i]);
    if (len < size)
        snprintf(out + len, size - len, t->ndim == 0 ? "[]" : "]");
    return out;
}

void tensor_set_row_major(struct tensor *t)
{
    /* Sizes beside a 0 are unbounded, and nobody walks over no elements. */
    int64_t stride = tensor_count(t) > 0 ? 1 : 0;

    for (int i = t->ndim - 1; i >= 0; i--) {
        t->stride[i] = stride;
        stride *= t->shape[i];
    }
}

/* The list. */

struct tensor_file *tensor_file_new(const char *path, const char *format)
{
    struct tensor_file *f = xcalloc(1, sizeof *f);

    f->path = xstrdup(path);
    f->format = format;
    return f;
}

struct tensor *tensor_file_add(struct tensor_file *f, const char *name,
                               size_t name_len, struct err *err)
{
    struct tensor *t;

    if (f->n == TENSORS_MAX) {
        err_set(err, ERR_LIMIT, "more than %u tensors", TENSORS_MAX);
        return NULL;
    }
    if (name_len > TENSOR_NAME_BYTES_MAX) {
        err_set(err, ERR_LIMIT, "a tensor name has %zu bytes, %u are allowed",
                name_len, TENSOR_NAME_BYTES_MAX);
        return NULL;
    }
    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 64 : 2 * f->cap;
        f->tensor = xrealloc(f->tensor, f->cap * sizeof *f->tensor);
    }
    t = &f->tensor[f->n++];
    *t = (struct tensor){.name = xstrndup(name, name_len)};
    return t;
}

void tensor_file_own(struct tensor_file *f, struct file_map map,
                     const char *path)
{
    f->map = xrealloc(f->map, (f->n_map + 1) * sizeof *f->map);
    f->map[f->n_map++] =
        (struct tensor_map){.bytes = map, .path = xstrdup(path)};
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

int tensor_file_seal(struct tensor_file *f, struct err *err)
{
    if (f->n > 0)
        qsort(f->tensor, f->n, sizeof *f->tensor, compare_names);
    for (size_t i = 1; i < f->n; i++) {
        if (strcmp(f->tensor[i - 1].name, f->tensor[i].name) == 0)
            return err_set(err, ERR_INVALID, "two tensors are named %s",
                           f->tensor[i].name);
    }
    return 0;
}

const struct tensor *tensor_file_find(const struct tensor_file *f,
                                      const char *name)
{
    struct tensor key = {.name = (char *)(uintptr_t)name};

    if (f->n == 0)
        return NULL;
    return bsearch(&key, f->tensor, f->n, sizeof key, compare_names);
}

void tensor_file_close(struct tensor_file *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n; i++)
        free(f->tensor[i].name);
    for (size_t i = 0; i < f->n_map; i++) {
        file_unmap(&f->map[i].bytes);
        free(f->map[i].path);
    }
    free(f->tensor);
    free(f->map);
    free(f->path);
    free(f);
}

/* Formats known by their first bytes, so that a refusal can name them. */
static const struct {
    size_t at;
    const char *bytes;
    size_t len;
    const char *what;
} foreign[] = {
    {0, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14,
     "the torch format of before 2020, which is not a zip; load and save it "
     "again with torch >= 1.6"},
    {0, "\x80", 1, "a bare pickle, not a torch zip"},
    {0, "GGUF", 4, "a GGUF file"},
    {0, "fmgg", 4, "an rwkv.cpp (ggmf) file"},
    {0, "\x1f\x8b", 2, "a gzip file; unpack it first"},
    {257, "ustar", 5, "a tar file"},
};

static const char *foreign_format(const struct file_map *map)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (map->size >= foreign[i].at + foreign[i].len
            && memcmp(map->data + foreign[i].at, foreign[i].bytes,
                      foreign[i].len)
                   == 0)
            return foreign[i].what;
    }
    return NULL;
}

static struct tensor_file *open_file(const char *path, struct err *err)
{
    struct tensor_file *f = NULL;
    struct file_map map;
    const char *what;

    if (file_map(path, &map, err) < 0)
        return NULL;
    what = foreign_format(&map);
    if (what != NULL)
        err_set(err, ERR_INVALID, "%s: this is %s", path, what);
    else if (map.size >= 4 && memcmp(map.data, "PK\3\4", 4) == 0)
        f = pth_parse(path, map.data, map.size, err);
    else
        f = safetensors_parse(path, map.data, map.size, err);
    if (f == NULL) {
        file_unmap(&map);
        return NULL;
    }
    tensor_file_own(f, map, path);
    return f;
}

struct tensor_file *tensor_file_open(const char *path, struct err *err)
{
    size_t len = strlen(path);

    if (file_is_dir(path))
        return safetensors_open_dir(path, err);
    if (len >= 11 && strcmp(path + len - 11, ".index.json") == 0)
        return safetensors_open_index(path, err);
    return open_file(path, err);
}
