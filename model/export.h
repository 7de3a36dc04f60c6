/* model/export.h - write a model as FLA directory or BlinkDL safetensors
 *
 * Tensors that RWKV-7 does not use are left out. Files appear complete or not
 * at all: temporary file, fsync, rename.
 */
#ifndef MODEL_EXPORT_H
#define MODEL_EXPORT_H

#include <stdbool.h>

#include "common/err.h"
#include "model/weights.h"

enum export_format {
    EXPORT_FLA,   /* a directory: config.json, model.safetensors */
    EXPORT_BLINK, /* one safetensors file with BlinkDL's names and shapes */
};

struct export_options {
    enum export_format format;
    bool keep_dtype;   /* every tensor as it is stored; else: */
    enum dtype matrix; /* dtype of matrices (what products multiply by) */
    enum dtype vector; /* of everything else */
};

/* Write `w` to `path`. Values are exact where the target dtype can hold them,
 * else rounded to nearest even. 0, or -1: ERR_INVALID (a finite value becomes
 * infinite: text names the tensor; `path` is of the wrong kind), ERR_IO.
 */
int export_write(const struct weights *w, const char *path,
                 const struct export_options *options, struct err *err);

#endif /* MODEL_EXPORT_H */
