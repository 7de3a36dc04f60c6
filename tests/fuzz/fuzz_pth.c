/* A torch checkpoint in memory: the archive as a whole when the input begins
 * with "PK", else the pickle inside one, which the fuzzer would hardly keep in
 * an intact archive.
 */
#include <stdint.h>
#include <stdlib.h>

#include "model/pickle.h"
#include "model/pth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct tensor_file *f)
{
    for (size_t i = 0; i < f->n; i++) {
        int64_t n = tensor_count(&f->tensor[i]);
        double last;

        if (n > 0)
            tensor_read_f64(&f->tensor[i], n - 1, 1, &last);
        if (n > 0 && n < 10000) {
            uint8_t hash[HASH_BYTES];

            tensor_hash(&f->tensor[i], hash);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;

    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
        struct tensor_file *f = pth_parse("fuzz", data, size, &err);

        if (f != NULL)
            read_all(f);
        tensor_file_close(f);
    } else {
        size_t n;

        free(pickle_parse(data, size, &n, &err));
    }
    return 0;
}
