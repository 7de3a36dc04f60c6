#include "client/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void table_clean(const char *s, struct buf *out)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        buf_addc(out, c < 0x20 || c == 0x7f ? '?' : *s);
    }
}

void table_init(struct table *t, const struct table_column *column)
{
    *t = (struct table){.column = column};
    while (column[t->columns].title != NULL)
        t->columns++;
    assert(t->columns <= TABLE_COLUMNS_MAX);
}

void table_add(struct table *t, const char *text)
{
    struct buf clean = BUF_INIT;

    table_clean(text[0] != '\0' ? text : "-", &clean);
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->cell = xrealloc(t->cell, t->cap * sizeof *t->cell);
    }
    t->cell[t->n++] = clean.data;
}

/* Code points of UTF-8: every byte that does not continue one. */
static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void write_row(const struct table *t, const size_t *width,
                      char *const *cell, struct buf *out)
{
    for (size_t c = 0; c < t->columns; c++) {
        const char *s = cell != NULL ? cell[c] : t->column[c].title;
        int pad = (int)(width[c] - width_of(s));

        if (t->column[c].right)
            buf_addf(out, "%*s%s", pad, "", s);
        else if (c + 1 < t->columns)
            buf_addf(out, "%s%*s", s, pad, "");
        else
            buf_adds(out, s);
        buf_adds(out, c + 1 < t->columns ? "  " : "\n");
    }
}

void table_write(const struct table *t, struct buf *out)
{
    size_t width[TABLE_COLUMNS_MAX] = {0};

    assert(t->n % t->columns == 0);
    for (size_t c = 0; c < t->columns; c++)
        width[c] = width_of(t->column[c].title);
    for (size_t i = 0; i < t->n; i++) {
        size_t w = width_of(t->cell[i]);

        if (w > width[i % t->columns])
            width[i % t->columns] = w;
    }
    write_row(t, width, NULL, out);
    for (size_t i = 0; i < t->n; i += t->columns)
        write_row(t, width, t->cell + i, out);
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cell[i]);
    free(t->cell);
    *t = (struct table){0};
}
