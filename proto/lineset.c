#include "proto/lineset.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

#define MAGIC 0x534C4B53u /* "SKLS" */
#define HEAD_BYTES 16u
#define ROW_BYTES 8u
#define ERROR_FLAG 0x80000000u
#define KIND_SHIFT 28
#define LENGTH_MASK (LINESET_BYTES_MAX - 1)

_Static_assert(LINESET_BYTES_MAX == 1u << KIND_SHIFT,
               "a length leaves room for the kind");

static void put_u32(struct buf *out, uint32_t value)
{
    uint8_t le[4];

    for (int i = 0; i < 4; i++)
        le[i] = (uint8_t)(value >> (8 * i));
    buf_add(out, le, sizeof le);
}

static uint32_t get_u32(const char *at)
{
    const uint8_t *p = (const uint8_t *)at;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16
           | (uint32_t)p[3] << 24;
}

void lineset_writer_init(struct lineset_writer *w)
{
    *w = (struct lineset_writer){0};
}

void lineset_writer_free(struct lineset_writer *w)
{
    buf_free(&w->table);
    buf_free(&w->text);
    lineset_writer_init(w);
}

static void add(struct lineset_writer *w, uint64_t line, const char *text,
                size_t len, uint32_t flags)
{
    assert(line > w->last_line);
    assert(len < LINESET_BYTES_MAX);
    assert(w->n < LINESET_ITEMS_MAX);
    if (w->n == 0)
        w->first_line = line;
    assert(line - w->first_line <= UINT32_MAX);
    put_u32(&w->table, (uint32_t)(line - w->first_line));
    put_u32(&w->table, (uint32_t)len | flags);
    buf_add(&w->text, text, len);
    w->last_line = line;
    w->n++;
}

void lineset_add(struct lineset_writer *w, uint64_t line, const char *text,
                 size_t len, bool error)
{
    add(w, line, text, len, error ? ERROR_FLAG : 0);
}

void lineset_add_record(struct lineset_writer *w, uint64_t line,
                        const char *text, size_t len, unsigned kind)
{
    assert(kind <= LINESET_KIND_MAX);
    add(w, line, text, len, kind << KIND_SHIFT);
}

void lineset_add_item(struct lineset_writer *w, const struct lineset_item *item)
{
    add(w, item->line, item->text, item->len,
        (uint32_t)item->kind << KIND_SHIFT | (item->error ? ERROR_FLAG : 0));
}

void lineset_pack(struct lineset_writer *w, struct buf *out)
{
    struct buf raw = BUF_INIT;

    buf_reserve(&raw, HEAD_BYTES + w->table.len + w->text.len);
    put_u32(&raw, MAGIC);
    put_u32(&raw, w->n);
    put_u32(&raw, (uint32_t)w->first_line);
    put_u32(&raw, (uint32_t)(w->first_line >> 32));
    buf_add(&raw, w->table.data, w->table.len);
    buf_add(&raw, w->text.data, w->text.len);
    zst_pack(raw.data, raw.len, out);
    buf_free(&raw);
    buf_clear(&w->table);
    buf_clear(&w->text);
    w->first_line = 0;
    w->last_line = 0;
    w->n = 0;
}

/* The head of s->bytes; fills *n and *first_line. */
static int read_head(const struct lineset *s, uint32_t *n, uint64_t *first_line,
                     struct err *err)
{
    const char *head = s->bytes.data;

    if (s->bytes.len < HEAD_BYTES || get_u32(head) != MAGIC)
        return err_set(err, ERR_CORRUPT, "not a lineset");
    *n = get_u32(head + 4);
    *first_line = (uint64_t)get_u32(head + 12) << 32 | get_u32(head + 8);
    if (*n > (s->bytes.len - HEAD_BYTES) / ROW_BYTES)
        return err_set(err, ERR_CORRUPT,
                       "lineset of %u lines has a table for %zu", *n,
                       (s->bytes.len - HEAD_BYTES) / ROW_BYTES);
    if (*n > LINESET_ITEMS_MAX)
        return err_set(err, ERR_LIMIT, "lineset of %u lines, at most %u", *n,
                       LINESET_ITEMS_MAX);
    if ((*n == 0) != (*first_line == 0)
        || *first_line > UINT64_MAX - UINT32_MAX)
        return err_set(err, ERR_CORRUPT,
                       "lineset of %u lines starts at line %llu", *n,
                       (unsigned long long)*first_line);
    return 0;
}

/* The table and the texts it describes, which must fill the rest exactly. */
static int read_items(struct lineset *s, uint32_t n, uint64_t first_line,
                      struct err *err)
{
    const char *row = s->bytes.data + HEAD_BYTES;
    const char *text = row + (size_t)n * ROW_BYTES;
    size_t left = s->bytes.len - HEAD_BYTES - (size_t)n * ROW_BYTES;

    for (uint32_t i = 0; i < n; i++, row += ROW_BYTES) {
        struct lineset_item *item = &s->item[i];
        uint32_t len = get_u32(row + 4);

        item->line = first_line + get_u32(row);
        item->error = (len & ERROR_FLAG) != 0;
        item->kind = (uint8_t)(len >> KIND_SHIFT & LINESET_KIND_MAX);
        item->len = len & LENGTH_MASK;
        item->text = text;
        if (i == 0 ? item->line != first_line
                   : item->line <= s->item[i - 1].line)
            return err_set(err, ERR_CORRUPT,
                           "lineset: line %llu is out of order",
                           (unsigned long long)item->line);
        if (item->len > left)
            return err_set(err, ERR_CORRUPT,
                           "lineset: line %llu has %u bytes, %zu are left",
                           (unsigned long long)item->line, item->len, left);
        text += item->len;
        left -= item->len;
        s->n_error += item->error;
    }
    s->n = n;
    if (left > 0)
        return err_set(err, ERR_CORRUPT, "lineset: %zu bytes of no line", left);
    return 0;
}

int lineset_unpack(const void *data, size_t len, struct lineset *out,
                   struct err *err)
{
    struct lineset s = {0};
    uint64_t first_line = 0;
    uint32_t n = 0;

    if (zst_unpack(data, len, LINESET_BYTES_MAX, &s.bytes, err) < 0)
        goto fail;
    if (read_head(&s, &n, &first_line, err) < 0)
        goto fail;
    s.item = xcalloc(n, sizeof *s.item);
    if (read_items(&s, n, first_line, err) < 0)
        goto fail;
    *out = s;
    return 0;

fail:
    lineset_free(&s);
    return -1;
}

void lineset_free(struct lineset *s)
{
    buf_free(&s->bytes);
    free(s->item);
    *s = (struct lineset){0};
}

int lineset_match(const struct lineset *input, const struct lineset *result,
                  struct err *err)
{
    uint32_t n = input->n < result->n ? input->n : result->n;

    for (uint32_t i = 0; i < n; i++)
        if (input->item[i].line != result->item[i].line)
            return err_set(err, ERR_INVALID,
                           "answer %u is to line %llu instead of line %llu",
                           i + 1, (unsigned long long)result->item[i].line,
                           (unsigned long long)input->item[i].line);
    if (input->n != result->n)
        return err_set(err, ERR_INVALID, "%u answers to %u lines", result->n,
                       input->n);
    return 0;
}
