/* model/tensor.h - named tensors inside memory-mapped checkpoint files
 *
 * Pure data plus dtype conversion. Readers: model/safetensors.c, model/pth.c.
 */
#ifndef MODEL_TENSOR_H
#define MODEL_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/file.h"
#include "common/hash.h"

#define TENSOR_DIMS_MAX 8
#define TENSORS_MAX 65536u /* in a checkpoint: 256 layers x 40 is 10,240 */
#define TENSOR_NAME_BYTES_MAX 512u

enum dtype {
    DTYPE_F64,
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_BOOL,
};

size_t dtype_size(enum dtype d);
const char *dtype_name(enum dtype d); /* "F32": the spelling of safetensors */
bool dtype_is_float(enum dtype d);
/* 0 and *out, or -1 when `name` is not one of the above. */
int dtype_parse(const char *name, enum dtype *out);

struct tensor {
    char *name;
    enum dtype dtype;
    int ndim;
    int64_t shape[TENSOR_DIMS_MAX];
    int64_t stride[TENSOR_DIMS_MAX]; /* in elements; row-major in safetensors */
    const uint8_t *data;             /* of element 0; may be unaligned */
};

struct tensor_map {
    struct file_map bytes;
    char *path;
};

/* All tensors of a checkpoint, sorted by name, and what they point into. */
struct tensor_file {
    struct tensor *tensor; /* [n] */
    size_t n;
    char *path;         /* as opened */
    const char *format; /* "safetensors", "safetensors sharded", "pth" */
    size_t cap;
    struct tensor_map *map; /* [n_map] what the tensors point into */
    size_t n_map;
};

/* Open by content: a directory (safetensors, with or without an index), a
 * safetensors file or index, a torch zip. NULL: ERR_NOT_FOUND, ERR_INVALID,
 * ERR_LIMIT, ERR_IO.
 */
struct tensor_file *tensor_file_open(const char *path, struct err *err);
void tensor_file_close(struct tensor_file *f); /* NULL is allowed */

const struct tensor *tensor_file_find(const struct tensor_file *f,
                                      const char *name);

int64_t tensor_count(const struct tensor *t); /* elements */

/* "[2, 3]" into out[size]; returns out. Cut when it does not fit. */
char *tensor_shape_text(const struct tensor *t, char *out, size_t size);
#define TENSOR_SHAPE_TEXT_MAX 192 /* 8 x 20 digits, separators */

/* Elements first..first+n-1 in row-major order of the tensor's own shape,
 * whatever its strides, as fp32 or fp64. Integer dtypes convert by value.
 */
void tensor_read_f32(const struct tensor *t, int64_t first, int64_t n,
                     float *out);
void tensor_read_f64(const struct tensor *t, int64_t first, int64_t n,
                     double *out);

/* BLAKE2b-256 of the elements as stored, in row-major order. */
void tensor_hash(const struct tensor *t, uint8_t out[HASH_BYTES]);

float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float x); /* nearest even; NaN stays NaN */
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float x); /* nearest even; overflow to infinity */

/* For readers of file formats. */
struct tensor_file *tensor_file_new(const char *path, const char *format);

/* A zeroed tensor with a copy of the name, valid until the next add; or NULL:
 * ERR_LIMIT (too many, name too long).
 */
struct tensor *tensor_file_add(struct tensor_file *f, const char *name,
                               size_t name_len, struct err *err);

/* The file owns the mapping from now on. */
void tensor_file_own(struct tensor_file *f, struct file_map map,
                     const char *path);

/* Sort. ERR_INVALID when two tensors share a name. */
int tensor_file_seal(struct tensor_file *f, struct err *err);

/* Strides from the shape, whose count is known to be within bounds. */
void tensor_set_row_major(struct tensor *t);

/* Elements of a shape, or -1 when that exceeds TENSOR_ELEMENTS_MAX. Sizes >= 0.
 */
#define TENSOR_ELEMENTS_MAX ((int64_t)1 << 48) /* bytes still fit int64 */
int64_t tensor_shape_count(const int64_t *shape, int ndim);

#endif /* MODEL_TENSOR_H */
