/* A safetensors file in memory; what was accepted is read to the last byte. */
#include <stdint.h>

#include "model/safetensors.h"
#include "model/weights_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    struct tensor_file *f = safetensors_parse("fuzz", data, size, &err);

    for (size_t i = 0; f != NULL && i < f->n; i++) {
        uint8_t hash[HASH_BYTES];

        tensor_hash(&f->tensor[i], hash);
    }
    tensor_file_close(f);
    weights_parse_config((const char *)data, size, &err);
    return 0;
}
