/* A list of tensors, one line each: NAME DTYPE SIZE SIZE ... Their data are
 * zeros. Bound to a model; an accepted one is hashed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/weights.h"

#define ELEMENTS_MAX 65536
#define LINES_MAX 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t zeros[8 * ELEMENTS_MAX];

static void add_line(struct tensor_file *f, char *line)
{
    char *save, *name = strtok_r(line, " ", &save);
    char *dtype = strtok_r(NULL, " ", &save), *word;
    struct tensor *t;
    enum dtype d;

    if (dtype == NULL || dtype_parse(dtype, &d) < 0)
        return;
    t = tensor_file_add(f, name, strlen(name), NULL);
    if (t == NULL)
        return;
    t->dtype = d;
    t->data = zeros;
    while (t->ndim < TENSOR_DIMS_MAX
           && (word = strtok_r(NULL, " ", &save)) != NULL)
        t->shape[t->ndim++] = (int64_t)(strtoul(word, NULL, 10) % 1000000);
    if (tensor_count(t) < 0 || tensor_count(t) > ELEMENTS_MAX)
        t->ndim = 0;
    tensor_set_row_major(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_file *f = tensor_file_new("fuzz", "list");
    char *text = xstrndup((const char *)data, size);
    char *save, *line = strtok_r(text, "\n", &save);
    struct weights *w = NULL;
    uint8_t hash[HASH_BYTES];

    for (int i = 0; i < LINES_MAX && line != NULL; i++) {
        add_line(f, line);
        line = strtok_r(NULL, "\n", &save);
    }
    free(text);
    if (tensor_file_seal(f, NULL) < 0)
        tensor_file_close(f);
    else
        w = weights_bind(f, NULL);
    if (w != NULL)
        weights_hash(w, hash, NULL);
    weights_close(w);
    return 0;
}
