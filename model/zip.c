#include "model/zip.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define END_BYTES 22      /* end of central directory record */
#define COMMENT_MAX 65535 /* that may follow it */
#define END64_BYTES 56    /* the same of ZIP64 */
#define LOCATOR_BYTES 20  /* points to END64, lies before END */
#define CENTRAL_BYTES 46  /* directory entry before its name */
#define LOCAL_BYTES 30    /* header in front of the data, likewise */
#define EXTRA_ZIP64 1
#define SHORT_ESCAPE 0xFFFFu /* "see ZIP64" */
#define LONG_ESCAPE 0xFFFFFFFFu

static uint16_t u16_at(const uint8_t *p)
{
    uint16_t x;

    memcpy(&x, p, 2);
    return x;
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, 4);
    return x;
}

static uint64_t u64_at(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, 8);
    return x;
}

/* The central directory: where, and how many entries. */
struct directory {
    uint64_t at, size, n;
};

/* The end record: the last one whose comment reaches exactly to the end. */
static const uint8_t *find_end(const uint8_t *data, size_t size)
{
    size_t least =
        size > END_BYTES + COMMENT_MAX ? size - END_BYTES - COMMENT_MAX : 0;

    for (size_t at = size < END_BYTES ? 0 : size - END_BYTES + 1;
         at-- > least;) {
        if (memcmp(data + at, "PK\5\6", 4) == 0
            && u16_at(data + at + 20) == size - at - END_BYTES)
            return data + at;
    }
    return NULL;
}

static int read_end64(const uint8_t *data, const uint8_t *end,
                      struct directory *dir, struct err *err)
{
    const uint8_t *locator = end - LOCATOR_BYTES;
    uint64_t before = (uint64_t)(locator - data);
    uint64_t at = u64_at(locator + 8);

    if (before < END64_BYTES || at > before - END64_BYTES
        || memcmp(data + at, "PK\6\6", 4) != 0)
        return err_set(err, ERR_INVALID, "zip: bad ZIP64 end record");
    dir->n = u64_at(data + at + 32);
    dir->size = u64_at(data + at + 40);
    dir->at = u64_at(data + at + 48);
    return 0;
}

static int find_directory(const uint8_t *data, size_t size,
                          struct directory *dir, struct err *err)
{
    const uint8_t *end = find_end(data, size);

    if (end == NULL)
        return err_set(err, ERR_INVALID,
                       "zip: no end of central directory: cut short?");
    dir->n = u16_at(end + 10);
    dir->size = u32_at(end + 12);
    dir->at = u32_at(end + 16);
    if (end - data >= LOCATOR_BYTES
        && memcmp(end - LOCATOR_BYTES, "PK\6\7", 4) == 0) {
        if (read_end64(data, end, dir, err) < 0)
            return -1;
    } else if (dir->n == SHORT_ESCAPE || dir->at == LONG_ESCAPE) {
        return err_set(err, ERR_INVALID, "zip: no ZIP64 end record");
    }
    if (dir->at > (uint64_t)(end - data)
        || dir->size > (uint64_t)(end - data) - dir->at)
        return err_set(err, ERR_INVALID,
                       "zip: central directory outside the file");
    if (dir->n > ZIP_ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "zip: %llu entries, %u are allowed",
                       (unsigned long long)dir->n, ZIP_ENTRIES_MAX);
    return 0;
}

/* The fields of an entry that ZIP64 may widen. */
struct extent {
    uint64_t size, stored, header;
};

/* Replace the escaped fields by those of the ZIP64 extra field, which holds
 * just the escaped ones, in this order.
 */
static int widen(struct extent *x, const uint8_t *extra, size_t len)
{
    uint64_t *field[] = {&x->size, &x->stored, &x->header};
    size_t at = 0;

    while (at + 4 <= len && u16_at(extra + at) != EXTRA_ZIP64)
        at += 4u + u16_at(extra + at + 2);
    if (at + 4 <= len) {
        size_t n = u16_at(extra + at + 2);

        if (n > len - at - 4)
            return -1;
        extra += at + 4;
        len = n;
    } else {
        len = 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (*field[i] != LONG_ESCAPE)
            continue;
        if (len < 8)
            return -1;
        *field[i] = u64_at(extra);
        extra += 8;
        len -= 8;
    }
    return 0;
}

/* Follow the local header to the data. */
static int locate(struct zip_entry *e, const struct extent *x,
                  const uint8_t *data, uint64_t limit, struct err *err)
{
    const uint8_t *local;
    uint64_t start;

    if (limit < LOCAL_BYTES || x->header > limit - LOCAL_BYTES
        || memcmp(data + x->header, "PK\3\4", 4) != 0)
        return err_set(err, ERR_INVALID, "bad local header");
    local = data + x->header;
    start = x->header + LOCAL_BYTES + u16_at(local + 26) + u16_at(local + 28);
    if (start > limit || x->size > limit - start)
        return err_set(err, ERR_INVALID, "data outside the file");
    if (u16_at(local + 26) != e->name_len
        || memcmp(local + LOCAL_BYTES, e->name, e->name_len) != 0)
        return err_set(err, ERR_INVALID,
                       "local header and directory give different names");
    e->data = data + start;
    e->size = (size_t)x->size;
    return 0;
}

/* One directory entry at `p`, of which `left` bytes remain. Returns its length.
 */
static int64_t read_entry(struct zip_entry *e, const uint8_t *p, uint64_t left,
                          const uint8_t *data, uint64_t limit, struct err *err)
{
    struct extent x;
    uint64_t len;
    size_t extra;

    if (left < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4) != 0)
        return err_set(err, ERR_INVALID, "zip: bad central directory");
    e->name = (const char *)p + CENTRAL_BYTES;
    e->name_len = u16_at(p + 28);
    extra = u16_at(p + 30);
    len = CENTRAL_BYTES + e->name_len + extra + u16_at(p + 32);
    if (len > left)
        return err_set(err, ERR_INVALID, "zip: bad central directory");
    x = (struct extent){u32_at(p + 24), u32_at(p + 20), u32_at(p + 42)};
    if (u16_at(p + 8) & 1)
        err_set(err, ERR_INVALID, "encrypted entry");
    else if (u16_at(p + 10) != 0)
        err_set(err, ERR_INVALID,
                "compressed entry (method %u); torch stores entries as they "
                "are",
                u16_at(p + 10));
    else if (widen(&x, p + CENTRAL_BYTES + e->name_len, extra) < 0)
        err_set(err, ERR_INVALID, "bad ZIP64 sizes");
    else if (x.size != x.stored)
        err_set(err, ERR_INVALID, "stored entry with two sizes");
    else if (locate(e, &x, data, limit, err) == 0)
        return (int64_t)len;
    return err_wrap(err, "zip: %.*s", (int)(e->name_len % 256), e->name);
}

static int compare_entries(const void *a, const void *b)
{
    const struct zip_entry *x = a, *y = b;
    size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(x->name, y->name, len);

    if (c != 0)
        return c;
    return x->name_len < y->name_len ? -1 : x->name_len > y->name_len;
}

static int read_directory(struct zip *z, const struct directory *dir,
                          const uint8_t *data, struct err *err)
{
    uint64_t at = dir->at, left = dir->size;

    for (size_t i = 0; i < dir->n; i++) {
        int64_t len =
            read_entry(&z->entry[i], data + at, left, data, dir->at, err);

        if (len < 0)
            return -1;
        at += (uint64_t)len;
        left -= (uint64_t)len;
        z->n++;
    }
    if (z->n > 0)
        qsort(z->entry, z->n, sizeof *z->entry, compare_entries);
    for (size_t i = 1; i < z->n; i++) {
        if (compare_entries(&z->entry[i - 1], &z->entry[i]) == 0)
            return err_set(err, ERR_INVALID, "zip: two entries are named %.*s",
                           (int)(z->entry[i].name_len % 256), z->entry[i].name);
    }
    return 0;
}

int zip_parse(struct zip *z, const uint8_t *data, size_t size, struct err *err)
{
    struct directory dir = {0};

    *z = (struct zip){0};
    if (find_directory(data, size, &dir, err) < 0)
        return -1;
    z->entry = xcalloc((size_t)dir.n, sizeof *z->entry);
    if (read_directory(z, &dir, data, err) < 0) {
        zip_free(z);
        return -1;
    }
    return 0;
}

void zip_free(struct zip *z)
{
    free(z->entry);
    *z = (struct zip){0};
}

const struct zip_entry *zip_find(const struct zip *z, const char *name,
                                 size_t name_len)
{
    struct zip_entry key = {.name = name, .name_len = name_len};

    if (z->n == 0)
        return NULL;
    return bsearch(&key, z->entry, z->n, sizeof key, compare_entries);
}
