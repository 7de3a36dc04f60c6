/* model/tensor.h - named tensors inside memory-mapped checkpoint files
 *
 * Pure data plus dtype conversion. Readers: model/safetensors.c, model/pth.c.
 */
#ifndef MODEL_TENSOR_H
#define MODEL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define TENSOR_DIMS_MAX 8

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

struct tensor {
    char *name;
    enum dtype dtype;
    int ndim;
    int64_t shape[TENSOR_DIMS_MAX];
    int64_t stride[TENSOR_DIMS_MAX]; /* in elements; row-major in safetensors */
    const uint8_t *data;             /* of element 0; may be unaligned */
};

/* All tensors of a checkpoint, sorted by name, and what they point into. */
struct tensor_file {
    struct tensor *tensor; /* [n] */
    size_t n;
    char *path;   /* as opened */
    char *format; /* "safetensors", "safetensors sharded", "pth" */
    void *impl;   /* the mappings */
    void (*close)(struct tensor_file *f);
};

/* Open by content: directory, .safetensors or torch zip. NULL: ERR_NOT_FOUND,
 * ERR_INVALID, ERR_LIMIT, ERR_IO.
 */
struct tensor_file *tensor_file_open(const char *path, struct err *err);
void tensor_file_close(struct tensor_file *f); /* NULL is allowed */

const struct tensor *tensor_file_find(const struct tensor_file *f,
                                      const char *name);

int64_t tensor_count(const struct tensor *t); /* elements */

/* Elements first..first+n-1 in row-major order of the tensor's own shape,
 * whatever its strides, as fp32 or fp64. Integer dtypes convert by value.
 */
void tensor_read_f32(const struct tensor *t, int64_t first, int64_t n,
                     float *out);
void tensor_read_f64(const struct tensor *t, int64_t first, int64_t n,
                     double *out);

float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float x); /* nearest even; NaN stays NaN */
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float x); /* nearest even; overflow to infinity */

#endif /* MODEL_TENSOR_H */
