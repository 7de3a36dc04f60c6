/* model/pth.h - reader of torch checkpoints (.pth, .pt, .bin)
 *
 * A zip of stored entries: data.pkl, a pickle that is interpreted by a machine
 * which knows tensors and dictionaries and executes nothing, and data/KEY, raw
 * little-endian storages, which tensors point into. docs/model.md, "Files".
 */
#ifndef MODEL_PTH_H
#define MODEL_PTH_H

#include <stddef.h>
#include <stdint.h>

#include "model/tensor.h"

/* Parse a file in memory, which must outlive the result. `path` is for error
 * texts. NULL: ERR_INVALID, ERR_LIMIT.
 */
struct tensor_file *pth_parse(const char *path, const uint8_t *data,
                              size_t size, struct err *err);

#endif /* MODEL_PTH_H */
