/* model/pickle.h - a torch state dict out of its pickle, executing nothing
 *
 * A stack machine for the few opcodes torch.save writes for a dictionary of
 * tensors (protocols 2 to 4). Globals are names compared with a short list and
 * stand for what this file knows how to build; nothing is looked up, imported
 * or called. Stack, memo, marks and values are bounded. Pure.
 */
#ifndef MODEL_PICKLE_H
#define MODEL_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "model/tensor.h"

#define PICKLE_BYTES_MAX (32u << 20) /* TENSORS_MAX x 512 */
#define PICKLE_STACK_MAX 65536u      /* torch flushes every 1,000 items */
#define PICKLE_MARKS_MAX 1024u
#define PICKLE_MEMO_MAX (1u << 20)   /* TENSORS_MAX x 16 */
#define PICKLE_VALUES_MAX (1u << 21) /* items of all tuples and dictionaries */

/* A tensor of the dictionary: a view of a storage. Offsets and strides are in
 * elements and not yet checked against the storage.
 */
struct pickle_tensor {
    const char *name; /* into the pickle, not terminated */
    size_t name_len;
    const char *key; /* of the storage: its entry is data/KEY; likewise */
    size_t key_len;
    enum dtype dtype;
    int64_t count;  /* elements of the storage */
    int64_t offset; /* >= 0 */
    int ndim;
    int64_t shape[TENSOR_DIMS_MAX];  /* >= 0 */
    int64_t stride[TENSOR_DIMS_MAX]; /* >= 0 */
};

/* Returns a malloc'ed array of *n tensors in the order of the dictionary, or
 * NULL: ERR_INVALID (text gives opcode and position), ERR_LIMIT.
 */
struct pickle_tensor *pickle_parse(const uint8_t *data, size_t len, size_t *n,
                                   struct err *err);

#endif /* MODEL_PICKLE_H */
