/* model/safetensors.h - reader of safetensors: a file, an index with shards
 *
 * u64 header length, JSON header, data; docs/model.md, "Files". Every offset is
 * checked against the file before anything points there; time and memory are
 * linear in the header, whose length is bounded.
 */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "model/tensor.h"

#define SAFETENSORS_HEADER_BYTES_MAX (16u << 20) /* TENSORS_MAX x 256 */
#define SAFETENSORS_INDEX_BYTES_MAX (16u << 20)
#define SAFETENSORS_SHARDS_MAX 1024u

/* Parse one file in memory, which must outlive the result. `path` is for error
 * texts. NULL: ERR_INVALID, ERR_LIMIT.
 */
struct tensor_file *safetensors_parse(const char *path, const uint8_t *data,
                                      size_t size, struct err *err);

/* Open the shards named by `path` (model.safetensors.index.json); they lie
 * beside it. NULL also: ERR_NOT_FOUND, ERR_IO.
 */
struct tensor_file *safetensors_open_index(const char *path, struct err *err);

/* A directory: its index if there is one, else model.safetensors, else its only
 * *.safetensors or *.pth file.
 */
struct tensor_file *safetensors_open_dir(const char *path, struct err *err);

#endif /* MODEL_SAFETENSORS_H */
