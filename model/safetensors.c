#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"

/* Where a tensor's bytes lie in the data part, for the overlap check. */
struct span {
    int64_t begin, end;
    const char *name; /* key of the header object */
};

/* {"shape": [...]} into t. */
static int parse_shape(struct tensor *t, const json_t *shape, struct err *err)
{
    size_t ndim = json_array_size(shape);

    if (!json_is_array(shape))
        return err_set(err, ERR_INVALID, "shape is not an array");
    if (ndim > TENSOR_DIMS_MAX)
        return err_set(err, ERR_LIMIT, "%zu dimensions, %d are allowed", ndim,
                       TENSOR_DIMS_MAX);
    for (size_t i = 0; i < ndim; i++) {
        const json_t *n = json_array_get(shape, i);

        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return err_set(err, ERR_INVALID,
                           "shape holds something else than sizes");
        t->shape[i] = json_integer_value(n);
    }
    t->ndim = (int)ndim;
    if (tensor_count(t) < 0)
        return err_set(err, ERR_LIMIT, "more than 2^48 elements");
    tensor_set_row_major(t);
    return 0;
}

static int parse_offsets(const json_t *offsets, size_t body, struct span *span,
                         struct err *err)
{
    const json_t *begin = json_array_get(offsets, 0);
    const json_t *end = json_array_get(offsets, 1);

    if (json_array_size(offsets) != 2 || !json_is_integer(begin)
        || !json_is_integer(end))
        return err_set(err, ERR_INVALID, "data_offsets is not [begin, end]");
    span->begin = json_integer_value(begin);
    span->end = json_integer_value(end);
    if (span->begin < 0 || span->begin > span->end
        || (uint64_t)span->end > body)
        return err_set(err, ERR_INVALID,
                       "data_offsets [%lld, %lld] outside the %zu bytes of "
                       "data",
                       (long long)span->begin, (long long)span->end, body);
    return 0;
}

/* One entry of the header: {"dtype", "shape", "data_offsets"}. */
static int parse_entry(struct tensor *t, const json_t *entry, size_t body,
                       struct span *span, struct err *err)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    int64_t want;

    if (json_object_size(entry) != 3 || dtype == NULL)
        return err_set(err, ERR_INVALID,
                       "expected {\"dtype\", \"shape\", \"data_offsets\"}");
    if (dtype_parse(dtype, &t->dtype) < 0)
        return err_set(err, ERR_INVALID, "dtype %.32s is not supported", dtype);
    if (parse_shape(t, json_object_get(entry, "shape"), err) < 0
        || parse_offsets(json_object_get(entry, "data_offsets"), body, span,
                         err)
               < 0)
        return -1;
    want = tensor_count(t) * (int64_t)dtype_size(t->dtype);
    if (span->end - span->begin != want)
        return err_set(err, ERR_INVALID,
                       "%lld bytes stored, its shape and dtype need %lld",
                       (long long)(span->end - span->begin), (long long)want);
    return 0;
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return 0;
}

/* The tensors cover the data exactly once. */
static int check_spans(struct span *span, size_t n, size_t body,
                       struct err *err)
{
    int64_t at = 0;

    if (n > 0)
        qsort(span, n, sizeof *span, compare_spans);
    for (size_t i = 0; i < n; i++) {
        if (span[i].begin < at)
            return err_set(err, ERR_INVALID, "tensors %s and %s overlap",
                           span[i - 1].name, span[i].name);
        if (span[i].begin > at)
            return err_set(err, ERR_INVALID,
                           "%lld bytes before tensor %s belong to no tensor",
                           (long long)(span[i].begin - at), span[i].name);
        at = span[i].end;
    }
    if ((uint64_t)at != body)
        return err_set(err, ERR_INVALID,
                       "%zu bytes at the end belong to no tensor",
                       body - (size_t)at);
    return 0;
}

static int add_tensors(struct tensor_file *f, json_t *header,
                       const uint8_t *body, size_t body_size, struct err *err)
{
    struct span *span = xcalloc(json_object_size(header) + 1, sizeof *span);
    const char *name;
    json_t *entry;
    size_t n = 0;
    int rc = -1;

    json_object_foreach(header, name, entry)
    {
        struct tensor *t;

        if (strcmp(name, "__metadata__") == 0)
            continue;
        t = tensor_file_add(f, name, strlen(name), err);
        if (t == NULL)
            goto out;
        if (parse_entry(t, entry, body_size, &span[n], err) < 0) {
            err_wrap(err, "tensor %s", name);
            goto out;
        }
        t->data = body + span[n].begin;
        span[n++].name = name;
    }
    rc = check_spans(span, n, body_size, err);
out:
    free(span);
    return rc;
}

/* Add the tensors of one file in memory to `f`. */
static int read_file(struct tensor_file *f, const uint8_t *data, size_t size,
                     struct err *err)
{
    json_error_t why;
    json_t *header;
    uint64_t len;
    int rc;

    if (size < 8)
        return err_set(err, ERR_INVALID,
                       "%zu bytes are too few for a checkpoint", size);
    memcpy(&len, data, 8);
    if (size == 8 || data[8] != '{')
        return err_set(err, ERR_INVALID,
                       "neither safetensors nor a torch zip (unknown first "
                       "bytes)");
    if (len > SAFETENSORS_HEADER_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "header of %llu bytes, %u are allowed",
                       (unsigned long long)len, SAFETENSORS_HEADER_BYTES_MAX);
    if (len > size - 8)
        return err_set(err, ERR_INVALID,
                       "header of %llu bytes in a file of %zu: cut short?",
                       (unsigned long long)len, size);
    header = json_loadb((const char *)data + 8, (size_t)len,
                        JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(header)) {
        rc = err_set(err, ERR_INVALID, "header: %s at byte %d",
                     header == NULL ? why.text : "not an object",
                     header == NULL ? why.position : 0);
    } else {
        rc =
            add_tensors(f, header, data + 8 + len, size - 8 - (size_t)len, err);
    }
    json_decref(header);
    return rc;
}

struct tensor_file *safetensors_parse(const char *path, const uint8_t *data,
                                      size_t size, struct err *err)
{
    struct tensor_file *f = tensor_file_new(path, "safetensors");

    if (read_file(f, data, size, err) < 0 || tensor_file_seal(f, err) < 0) {
        err_wrap(err, "%s", path);
        tensor_file_close(f);
        return NULL;
    }
    return f;
}

/* Shards. */

struct index {
    json_t *root;
    const json_t *weight_map;
    const char **shard; /* [n] distinct file names */
    size_t n;
};

static void index_free(struct index *index)
{
    json_decref(index->root);
    free(index->shard);
}

static int find_shard(const struct index *index, const char *name)
{
    for (size_t i = 0; i < index->n; i++) {
        if (strcmp(index->shard[i], name) == 0)
            return (int)i;
    }
    return -1;
}

/* A plain name in the index's own directory, whatever the index wishes. */
static int check_shard_name(const char *name, struct err *err)
{
    if (name[0] == '\0' || strchr(name, '/') != NULL
        || strchr(name, '\\') != NULL || strcmp(name, ".") == 0
        || strcmp(name, "..") == 0 || strlen(name) > 255)
        return err_set(err, ERR_INVALID,
                       "shard \"%.64s\" is not a plain file name", name);
    return 0;
}

static int index_add_shards(struct index *index, struct err *err)
{
    const char *tensor;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)index->weight_map, tensor, value)
    {
        const char *name = json_string_value(value);

        if (name == NULL)
            return err_set(err, ERR_INVALID,
                           "weight_map: %s is not mapped to a file name",
                           tensor);
        if (find_shard(index, name) >= 0)
            continue;
        if (check_shard_name(name, err) < 0)
            return -1;
        if (index->n == SAFETENSORS_SHARDS_MAX)
            return err_set(err, ERR_LIMIT, "more than %u shards",
                           SAFETENSORS_SHARDS_MAX);
        index->shard[index->n++] = name;
    }
    return 0;
}

static int index_read(const char *path, struct index *index, struct err *err)
{
    struct buf text = BUF_INIT;
    json_error_t why;
    int rc = -1;

    *index = (struct index){0};
    if (file_read(path, SAFETENSORS_INDEX_BYTES_MAX, &text, err) < 0)
        goto out;
    index->root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
    if (index->root == NULL) {
        err_set(err, ERR_INVALID, "%s:%d: %s", path, why.line, why.text);
        goto out;
    }
    index->weight_map = json_object_get(index->root, "weight_map");
    if (json_object_size(index->weight_map) == 0) {
        err_set(err, ERR_INVALID, "%s: no weight_map", path);
        goto out;
    }
    index->shard = xcalloc(SAFETENSORS_SHARDS_MAX, sizeof *index->shard);
    rc = index_add_shards(index, err);
    if (rc < 0)
        err_wrap(err, "%s", path);
out:
    buf_free(&text);
    if (rc < 0)
        index_free(index);
    return rc;
}

/* Map one shard and add its tensors. */
static int add_shard(struct tensor_file *f, const char *dir, const char *name,
                     struct err *err)
{
    char *path = file_join(dir, name);
    struct file_map map;
    int rc = file_map(path, &map, err);

    if (rc == 0) {
        tensor_file_own(f, map, path);
        rc = read_file(f, map.data, map.size, err);
        if (rc < 0)
            err_wrap(err, "%s", path);
    }
    free(path);
    return rc;
}

/* Each tensor of the index is in the shard that the index names. */
static int check_index(const struct tensor_file *f, const struct index *index,
                       struct err *err)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)index->weight_map, name, value)
    {
        const char *shard = json_string_value(value);
        const struct tensor *t = tensor_file_find(f, name);
        const struct file_map *map = &f->map[find_shard(index, shard)].bytes;

        if (t == NULL || t->data < map->data || t->data > map->data + map->size)
            return err_set(err, ERR_INVALID,
                           "tensor %s is not in %s, where the index puts it",
                           name, shard);
    }
    return 0;
}

struct tensor_file *safetensors_open_index(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? xstrdup(".")
                              : xstrndup(path, (size_t)(slash - path) + 1);
    struct tensor_file *f = NULL;
    struct index index;
    int rc;

    if (index_read(path, &index, err) < 0)
        goto out;
    f = tensor_file_new(path, "safetensors sharded");
    rc = 0;
    for (size_t i = 0; i < index.n && rc == 0; i++)
        rc = add_shard(f, dir, index.shard[i], err);
    if (rc == 0
        && (tensor_file_seal(f, err) < 0 || check_index(f, &index, err) < 0))
        rc = err_wrap(err, "%s", path);
    index_free(&index);
    if (rc < 0) {
        tensor_file_close(f);
        f = NULL;
    }
out:
    free(dir);
    return f;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);

    return n > k && strcmp(name + n - k, suffix) == 0;
}

/* The only checkpoint file of a directory without the usual names. */
static char *only_checkpoint(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char *found = NULL;

    if (dir == NULL) {
        err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (!has_suffix(entry->d_name, ".safetensors")
            && !has_suffix(entry->d_name, ".pth"))
            continue;
        if (found != NULL) {
            err_set(err, ERR_INVALID,
                    "%s holds several checkpoints; name the file", path);
            free(found);
            closedir(dir);
            return NULL;
        }
        found = file_join(path, entry->d_name);
    }
    closedir(dir);
    if (found == NULL)
        err_set(err, ERR_NOT_FOUND,
                "%s: no model.safetensors.index.json, no *.safetensors and no "
                "*.pth",
                path);
    return found;
}

struct tensor_file *safetensors_open_dir(const char *path, struct err *err)
{
    char *index = file_join(path, "model.safetensors.index.json");
    char *file = file_join(path, "model.safetensors");
    struct tensor_file *f = NULL;

    if (file_exists(index)) {
        f = safetensors_open_index(index, err);
    } else {
        if (!file_exists(file)) {
            free(file);
            file = only_checkpoint(path, err);
        }
        if (file != NULL)
            f = tensor_file_open(file, err);
    }
    free(index);
    free(file);
    return f;
}
