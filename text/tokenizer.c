#include "text/tokenizer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "text/family.h"

#define VOCABULARY_BYTES_MAX (32u << 20) /* the largest known has 17 MiB */
#define TEXT_BYTES_MAX (1u << 30)        /* positions fit in 32 bits */

void ids_add(struct ids *ids, int32_t id)
{
    ids_append(ids, &id, 1);
}

void ids_append(struct ids *ids, const int32_t *id, size_t n)
{
    if (n == 0)
        return;
    if (n > ids->cap - ids->n) {
        size_t cap = ids->cap < 32 ? 64 : ids->cap + ids->cap / 2;

        if (cap < ids->n + n)
            cap = ids->n + n;
        ids->id = xrealloc(ids->id, cap * sizeof *ids->id);
        ids->cap = cap;
    }
    memcpy(ids->id + ids->n, id, n * sizeof *id);
    ids->n += n;
}

void ids_clear(struct ids *ids)
{
    ids->n = 0;
}

void ids_free(struct ids *ids)
{
    free(ids->id);
    *ids = (struct ids){0};
}

void tokenizer_set_bytes(struct tokenizer *t, int32_t id, const char *bytes,
                         size_t len)
{
    assert(id >= 0);
    assert(id < TOKENIZER_IDS_MAX);
    if (id >= t->span_cap) {
        int32_t cap = t->span_cap * 2;

        if (cap <= id)
            cap = id + 1024;
        t->span = xrealloc(t->span, (size_t)cap * sizeof *t->span);
        memset(t->span + t->span_cap, 0,
               (size_t)(cap - t->span_cap) * sizeof *t->span);
        t->span_cap = cap;
    }
    if (id >= t->size)
        t->size = id + 1;
    t->span[id] = (struct token_span){(uint32_t)t->pool.len, (uint32_t)len};
    buf_add(&t->pool, bytes, len);
}

static bool is_json(const char *data, size_t len)
{
    size_t i = 0;

    while (i < len && strchr(" \t\r\n", data[i]) != NULL && data[i] != '\0')
        i++;
    return i < len && data[i] == '{';
}

struct tokenizer *tokenizer_parse(const char *name, const void *data,
                                  size_t len, struct err *err)
{
    struct tokenizer *t;

    if (len > VOCABULARY_BYTES_MAX) {
        err_set(err, ERR_LIMIT, "%s: a vocabulary of %zu bytes, %u allowed",
                name, len, VOCABULARY_BYTES_MAX);
        return NULL;
    }
    t = is_json(data, len) ? bpe_parse(name, data, len, err)
                           : world_parse(name, data, len, err);
    if (t != NULL)
        hash_bytes(data, len, t->hash);
    return t;
}

struct tokenizer *tokenizer_open(const char *path, struct err *err)
{
    struct tokenizer *t;
    struct file_map map;

    if (file_map(path, &map, err) < 0)
        return NULL;
    t = tokenizer_parse(path, map.data != NULL ? (const char *)map.data : "",
                        map.size, err);
    file_unmap(&map);
    return t;
}

void tokenizer_close(struct tokenizer *t)
{
    if (t == NULL)
        return;
    t->family->destroy(t);
    buf_free(&t->pool);
    free(t->span);
    free(t);
}

/* The directory that holds the model's other files, malloc'ed. */
static char *model_dir(const char *model)
{
    const char *slash = strrchr(model, '/');

    if (file_is_dir(model))
        return xstrdup(model);
    if (slash == NULL)
        return xstrdup(".");
    return xstrndup(model, slash == model ? 1 : (size_t)(slash - model));
}

/* The one rwkv_vocab*.txt in `dir`: malloc'ed path or NULL. */
static char *find_world(const char *dir, struct err *err)
{
    struct dirent *entry;
    char *found = NULL;
    DIR *d = opendir(dir);

    if (d == NULL) {
        err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                "%s: cannot read the directory: %s", dir, strerror(errno));
        return NULL;
    }
    while ((entry = readdir(d)) != NULL) {
        if (fnmatch("rwkv_vocab*.txt", entry->d_name, 0) != 0)
            continue;
        if (found != NULL) {
            err_set(err, ERR_INVALID,
                    "%s: several rwkv_vocab*.txt; name the tokenizer", dir);
            free(found);
            closedir(d);
            return NULL;
        }
        found = file_join(dir, entry->d_name);
    }
    closedir(d);
    if (found == NULL)
        err_set(err, ERR_NOT_FOUND,
                "%s: no tokenizer: neither tokenizer.json nor rwkv_vocab*.txt",
                dir);
    return found;
}

char *tokenizer_find(const char *model, struct err *err)
{
    char *dir, *path;

    if (!file_exists(model)) {
        err_set(err, ERR_NOT_FOUND, "%s: no such model", model);
        return NULL;
    }
    dir = model_dir(model);
    path = file_join(dir, "tokenizer.json");
    if (!file_exists(path)) {
        free(path);
        path = find_world(dir, err);
    }
    free(dir);
    return path;
}

const char *tokenizer_family(const struct tokenizer *t)
{
    return t->family->name;
}

int32_t tokenizer_size(const struct tokenizer *t)
{
    return t->size;
}

const uint8_t *tokenizer_hash(const struct tokenizer *t)
{
    return t->hash;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     struct ids *out, struct err *err)
{
    size_t before = out->n;

    if (len > TEXT_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a text of %zu bytes, %u allowed", len,
                       TEXT_BYTES_MAX);
    if (t->family->encode(t, text, len, out, err) < 0) {
        out->n = before;
        return -1;
    }
    return 0;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len)
{
    if (id < 0 || id >= t->size) {
        *len = 0;
        return NULL;
    }
    *len = t->span[id].len;
    return t->pool.data + t->span[id].start;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n,
                      struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = tokenizer_bytes(t, id[i], &len);

        if (len > 0)
            buf_add(out, bytes, len);
    }
}
