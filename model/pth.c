#include "model/pth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "model/pickle.h"
#include "model/zip.h"

#define KEY_BYTES_MAX 64   /* of a storage; torch numbers them */
#define ROOT_BYTES_MAX 512 /* folder in front of all entries */
#define PATH_BYTES_MAX (ROOT_BYTES_MAX + KEY_BYTES_MAX + 16)

/* An archive and the folder, with its slash, that all its entries lie in. */
struct archive {
    struct zip zip;
    char root[ROOT_BYTES_MAX + 1];
};

static const struct zip_entry *archive_find(const struct archive *a,
                                            const char *folder,
                                            const char *name, size_t name_len)
{
    char path[PATH_BYTES_MAX];
    int len = snprintf(path, sizeof path, "%s%s%.*s", a->root, folder,
                       (int)name_len, name);

    return zip_find(&a->zip, path, (size_t)len);
}

/* The only entry ROOT/data.pkl. */
static const struct zip_entry *find_pickle(struct archive *a, struct err *err)
{
    static const char tail[] = "/data.pkl";
    const size_t tail_len = sizeof tail - 1;
    const struct zip_entry *found = NULL;

    for (size_t i = 0; i < a->zip.n; i++) {
        const struct zip_entry *e = &a->zip.entry[i];

        if (e->name_len <= tail_len
            || memcmp(e->name + e->name_len - tail_len, tail, tail_len) != 0
            || memchr(e->name, '/', e->name_len - tail_len) != NULL)
            continue;
        if (found != NULL) {
            err_set(err, ERR_INVALID, "more than one data.pkl");
            return NULL;
        }
        found = e;
    }
    if (found == NULL) {
        err_set(err, ERR_INVALID,
                "a zip without FOLDER/data.pkl is not a torch checkpoint");
        return NULL;
    }
    if (found->name_len - tail_len >= ROOT_BYTES_MAX) {
        err_set(err, ERR_LIMIT, "the archive's folder has too long a name");
        return NULL;
    }
    memcpy(a->root, found->name, found->name_len - tail_len + 1);
    return found;
}

static int check_byteorder(const struct archive *a, struct err *err)
{
    const struct zip_entry *e = archive_find(a, "", "byteorder", 9);

    if (e != NULL && (e->size != 6 || memcmp(e->data, "little", 6) != 0))
        return err_set(err, ERR_INVALID,
                       "byteorder is not \"little\": not supported");
    return 0;
}

/* The last element that a view reaches lies in the storage. No product
 * overflows: each step is checked against what is left.
 */
static int check_view(const struct pickle_tensor *t, struct err *err)
{
    int64_t n = tensor_shape_count(t->shape, t->ndim);
    int64_t left = t->count - t->offset;

    if (n < 0 || n > t->count)
        return err_set(err, ERR_INVALID,
                       "a shape with more elements than the %lld of its "
                       "storage",
                       (long long)t->count);
    if (n == 0)
        return 0;
    left--; /* the first element */
    for (int i = 0; i < t->ndim && left >= 0; i++) {
        int64_t steps = t->shape[i] - 1;

        left = steps > 0 && t->stride[i] > left / steps
                   ? -1
                   : left - steps * t->stride[i];
    }
    if (left >= 0)
        return 0;
    return err_set(err, ERR_INVALID,
                   "offset and strides reach beyond the %lld elements of its "
                   "storage",
                   (long long)t->count);
}

static int add_tensor(struct tensor_file *f, const struct archive *a,
                      const struct pickle_tensor *p, struct err *err)
{
    const struct zip_entry *e;
    struct tensor *t = tensor_file_add(f, p->name, p->name_len, err);
    size_t want = (size_t)p->count * dtype_size(p->dtype);

    if (t == NULL)
        return -1;
    if (p->key_len > KEY_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "storage key of %zu bytes", p->key_len);
    e = archive_find(a, "data/", p->key, p->key_len);
    if (e == NULL)
        return err_set(err, ERR_INVALID, "its storage data/%.*s is missing",
                       (int)p->key_len, p->key);
    if (e->size != want)
        return err_set(err, ERR_INVALID,
                       "storage data/%.*s has %zu bytes, %lld elements of %s "
                       "need %zu",
                       (int)p->key_len, p->key, e->size, (long long)p->count,
                       dtype_name(p->dtype), want);
    if (check_view(p, err) < 0)
        return -1;
    t->dtype = p->dtype;
    t->ndim = p->ndim;
    memcpy(t->shape, p->shape, sizeof t->shape);
    memcpy(t->stride, p->stride, sizeof t->stride);
    t->data = e->data;
    if (tensor_count(t) > 0)
        t->data += (size_t)p->offset * dtype_size(p->dtype);
    return 0;
}

static int add_tensors(struct tensor_file *f, const struct archive *a,
                       const struct zip_entry *pickle, struct err *err)
{
    struct pickle_tensor *tensor;
    size_t n;
    int rc = 0;

    tensor = pickle_parse(pickle->data, pickle->size, &n, err);
    if (tensor == NULL)
        return err_wrap(err, "data.pkl");
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = add_tensor(f, a, &tensor[i], err);
        if (rc < 0)
            err_wrap(err, "tensor %.*s",
                     (int)(tensor[i].name_len < 128 ? tensor[i].name_len : 128),
                     tensor[i].name);
    }
    free(tensor);
    return rc;
}

struct tensor_file *pth_parse(const char *path, const uint8_t *data,
                              size_t size, struct err *err)
{
    struct tensor_file *f = tensor_file_new(path, "pth");
    struct archive a = {0};
    const struct zip_entry *pickle;
    int rc = zip_parse(&a.zip, data, size, err);

    if (rc == 0) {
        pickle = find_pickle(&a, err);
        if (pickle == NULL || check_byteorder(&a, err) < 0
            || add_tensors(f, &a, pickle, err) < 0
            || tensor_file_seal(f, err) < 0)
            rc = -1;
        zip_free(&a.zip);
    }
    if (rc < 0) {
        err_wrap(err, "%s", path);
        tensor_file_close(f);
        return NULL;
    }
    return f;
}
