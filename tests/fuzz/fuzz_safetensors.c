/* A safetensors file in memory; what was accepted is read to the last byte. An
 * input that begins with '{' is an index instead, in a directory that holds the
 * shards "one" (tensor a) and "two" (tensor b), and also a config.json.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/safetensors.h"
#include "model/weights_config.h"

static char dir[] = "/tmp/skein-fuzz-XXXXXX";
static char *index_path;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void remove_dir(void)
{
    file_remove_tree(dir, NULL);
}

static void write_file(const char *name, const void *data, size_t len)
{
    char *path = file_join(dir, name);

    if (file_replace(path, data, len, NULL) < 0)
        abort();
    free(path);
}

/* One tensor of four bytes. */
static void write_shard(const char *name, char tensor)
{
    struct buf b = BUF_INIT;
    uint64_t len;

    buf_add(&b, "\0\0\0\0\0\0\0\0", 8);
    buf_addf(&b,
             "{\"%c\":{\"dtype\":\"F32\",\"shape\":[1],"
             "\"data_offsets\":[0,4]}}",
             tensor);
    len = b.len - 8;
    memcpy(b.data, &len, 8);
    buf_add(&b, "\0\0\0\0", 4);
    write_file(name, b.data, b.len);
    buf_free(&b);
}

static void prepare(void)
{
    if (index_path != NULL)
        return;
    if (mkdtemp(dir) == NULL)
        abort();
    atexit(remove_dir);
    write_shard("one", 'a');
    write_shard("two", 'b');
    index_path = file_join(dir, "model.safetensors.index.json");
}

static void try_index(const uint8_t *data, size_t size)
{
    FILE *f = fopen(index_path, "w");
    struct err err;

    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    tensor_file_close(tensor_file_open(dir, &err));
    weights_parse_config((const char *)data, size, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_file *f;
    struct err err;

    prepare();
    if (size > 0 && data[0] == '{') {
        try_index(data, size);
        return 0;
    }
    f = safetensors_parse("fuzz", data, size, &err);
    for (size_t i = 0; f != NULL && i < f->n; i++) {
        uint8_t hash[HASH_BYTES];

        tensor_hash(&f->tensor[i], hash);
    }
    tensor_file_close(f);
    return 0;
}
