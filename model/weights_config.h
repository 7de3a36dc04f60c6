/* model/weights_config.h - what a Hugging Face config.json may forbid
 *
 * Sizes never come from there; it is read only to refuse models that its
 * tensors' names do not tell apart from RWKV-7. docs/model.md, "config.json".
 */
#ifndef MODEL_WEIGHTS_CONFIG_H
#define MODEL_WEIGHTS_CONFIG_H

#include "common/err.h"
#include "model/tensor.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* Look for config.json in the directory `path`, or beside the file `path`, when
 * the names in `f` are FLA's. Absent: success. ERR_INVALID names the key.
 */
int weights_check_config(const char *path, const struct tensor_file *f,
                         struct err *err);

/* The same for a text in memory. */
int weights_parse_config(const char *text, size_t len, struct err *err);

#endif /* MODEL_WEIGHTS_CONFIG_H */
