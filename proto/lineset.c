#include "proto/lineset.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

#define LINESET_MAGIC 0x534C4B53u /* "SKLS" */
#define HEAD_BYTES 16
#define ITEM_BYTES 8
#define ERROR_FLAG 0x80000000u

static void put32(struct buf *b, uint32_t v)
{
    uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                     (uint8_t)(v >> 24)};

    buf_add(b, le, sizeof le);
}

static uint32_t get32(const char *s)
{
    const uint8_t *p = (const uint8_t *)s;

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

void lineset_add(struct lineset_writer *w, uint64_t line, const char *text,
                 size_t len, bool error)
{
    assert(w->n == 0 || line > w->last_line);
    assert(len < ERROR_FLAG);
    if (w->n == 0)
        w->first_line = line;
    assert(line - w->first_line <= UINT32_MAX);
    put32(&w->table, (uint32_t)(line - w->first_line));
    put32(&w->table, (uint32_t)len | (error ? ERROR_FLAG : 0));
    buf_add(&w->text, text, len);
    w->last_line = line;
    w->n++;
}

void lineset_pack(struct lineset_writer *w, struct buf *out)
{
    struct buf plain = BUF_INIT;

    put32(&plain, LINESET_MAGIC);
    put32(&plain, w->n);
    put32(&plain, (uint32_t)w->first_line);
    put32(&plain, (uint32_t)(w->first_line >> 32));
    buf_add(&plain, w->table.data, w->table.len);
    buf_add(&plain, w->text.data, w->text.len);
    zst_pack(plain.data, plain.len, out);
    buf_free(&plain);
    buf_clear(&w->table);
    buf_clear(&w->text);
    w->n = 0;
    w->first_line = w->last_line = 0;
}

/* Turn the table into items; `s->bytes` is decompressed and its head checked. */
static int read_table(struct lineset *s, uint64_t first_line, struct err *err)
{
    const char *table = s->bytes.data + HEAD_BYTES;
    const char *text = table + (size_t)s->n * ITEM_BYTES;
    size_t left = s->bytes.len - HEAD_BYTES - (size_t)s->n * ITEM_BYTES;
    uint64_t last = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t delta = get32(table + (size_t)i * ITEM_BYTES);
        uint32_t len = get32(table + (size_t)i * ITEM_BYTES + 4);
        struct lineset_item *item = &s->item[i];

        item->error = (len & ERROR_FLAG) != 0;
        item->len = len & ~ERROR_FLAG;
        if (first_line > UINT64_MAX - delta)
            return err_set(err, ERR_CORRUPT, "lineset: line number overflow");
        item->line = first_line + delta;
        if (item->line == 0 || item->line <= last)
            return err_set(err, ERR_CORRUPT,
                           "lineset: line %" PRIu64 " after %" PRIu64,
                           item->line, last);
        if (item->len > left)
            return err_set(err, ERR_CORRUPT,
                           "lineset: line %" PRIu64 " ends beyond the data",
                           item->line);
        last = item->line;
        item->text = text;
        text += item->len;
        left -= item->len;
        s->n_error += item->error;
    }
    if (left != 0)
        return err_set(err, ERR_CORRUPT, "lineset: %zu bytes too many", left);
    return 0;
}

int lineset_unpack(const void *data, size_t len, struct lineset *out,
                   struct err *err)
{
    struct lineset s = {0};
    uint64_t first_line;

    if (zst_unpack(data, len, LINESET_BYTES_MAX, &s.bytes, err) < 0)
        goto fail;
    if (s.bytes.len < HEAD_BYTES || get32(s.bytes.data) != LINESET_MAGIC) {
        err_set(err, ERR_CORRUPT, "not a lineset");
        goto fail;
    }
    s.n = get32(s.bytes.data + 4);
    first_line =
        get32(s.bytes.data + 8) | (uint64_t)get32(s.bytes.data + 12) << 32;
    if (s.n > (s.bytes.len - HEAD_BYTES) / ITEM_BYTES) {
        err_set(err, ERR_CORRUPT, "lineset: %" PRIu32 " lines do not fit", s.n);
        goto fail;
    }
    s.item = xcalloc(s.n, sizeof *s.item);
    if (read_table(&s, first_line, err) < 0)
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

    for (uint32_t i = 0; i < n; i++) {
        if (input->item[i].line != result->item[i].line)
            return err_set(err, ERR_INVALID,
                           "answer for line %" PRIu64 " where line %" PRIu64
                           " was asked",
                           result->item[i].line, input->item[i].line);
    }
    if (input->n != result->n)
        return err_set(err, ERR_INVALID,
                       "%" PRIu32 " answers for %" PRIu32 " records", result->n,
                       input->n);
    return 0;
}
