#include "client/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

/* The next code point of a string, and its bytes; what is not UTF-8 is one byte
 * and U+FFFFFFFF.
 */
static size_t next(const char *s, size_t len, uint32_t *cp)
{
    int n = utf8_decode(s, len, cp);

    if (n > 0)
        return (size_t)n;
    *cp = UINT32_MAX;
    return 1;
}

void table_clean(const char *s, struct buf *out)
{
    size_t len = strlen(s);

    while (len > 0) {
        uint32_t cp;
        size_t n = next(s, len, &cp);

        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == UINT32_MAX)
            buf_addc(out, '?');
        else
            buf_add(out, s, n);
        s += n;
        len -= n;
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
    t->cell[t->n++] = (struct table_cell){.text = clean.data};
}

void table_paint(struct table *t, const char *sgr)
{
    assert(t->n > 0);
    t->cell[t->n - 1].paint = sgr;
}

static size_t width_of(const char *s)
{
    size_t len = strlen(s), width = 0;

    while (len > 0) {
        uint32_t cp;
        size_t n = next(s, len, &cp);

        width += cp == UINT32_MAX ? 1 : (size_t)utf8_columns(cp);
        s += n;
        len -= n;
    }
    return width;
}

/* A cell within its column: what is too long ends in "..". */
static void write_text(const char *s, size_t room, struct buf *out)
{
    if (width_of(s) <= room) {
        buf_adds(out, s);
        return;
    }
    table_clip(s, strlen(s), room - 2, out);
    buf_adds(out, "..");
}

static void write_row(const struct table *t, const size_t *width,
                      const struct table_cell *cell, struct buf *out)
{
    for (size_t c = 0; c < t->columns; c++) {
        const char *s = cell != NULL ? cell[c].text : t->column[c].title;
        const char *paint = cell != NULL ? cell[c].paint : NULL;
        size_t len = width_of(s);
        int pad = len < width[c] ? (int)(width[c] - len) : 0;

        if (t->column[c].right)
            buf_addf(out, "%*s", pad, "");
        if (paint != NULL)
            buf_addf(out, "\033[%sm", paint);
        write_text(s, width[c], out);
        if (paint != NULL)
            buf_adds(out, "\033[0m");
        if (!t->column[c].right && c + 1 < t->columns)
            buf_addf(out, "%*s", pad, "");
        buf_adds(out, c + 1 < t->columns ? "  " : "\n");
    }
}

/* The widest column of texts that may still be cut, or t->columns. */
static size_t widest_text(const struct table *t, const size_t *width)
{
    size_t widest = t->columns;

    for (size_t c = 0; c < t->columns; c++) {
        if (t->column[c].right || width[c] <= TABLE_TEXT_MIN
            || width[c] <= width_of(t->column[c].title))
            continue;
        if (widest == t->columns || width[c] > width[widest])
            widest = c;
    }
    return widest;
}

static void fit(const struct table *t, size_t columns, size_t *width)
{
    size_t total = 2 * (t->columns - 1);

    for (size_t c = 0; c < t->columns; c++)
        total += width[c];
    while (total > columns) {
        size_t c = widest_text(t, width);

        if (c == t->columns)
            return;
        width[c]--;
        total--;
    }
}

void table_write(const struct table *t, size_t columns, struct buf *out)
{
    size_t width[TABLE_COLUMNS_MAX] = {0};

    assert(t->n % t->columns == 0);
    for (size_t c = 0; c < t->columns; c++)
        width[c] = width_of(t->column[c].title);
    for (size_t i = 0; i < t->n; i++) {
        size_t w = width_of(t->cell[i].text);

        if (w > width[i % t->columns])
            width[i % t->columns] = w;
    }
    if (columns > 0)
        fit(t, columns, width);
    write_row(t, width, NULL, out);
    for (size_t i = 0; i < t->n; i += t->columns)
        write_row(t, width, t->cell + i, out);
}

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cell[i].text);
    free(t->cell);
    *t = (struct table){0};
}

/* The bytes of a colour's escape sequence that `s` begins with, or 0. */
static size_t escape_length(const char *s, size_t len)
{
    size_t n = 2;

    if (len < 3 || s[0] != '\033' || s[1] != '[')
        return 0;
    while (n < len && strchr("0123456789;", s[n]) != NULL)
        n++;
    return n < len && s[n] == 'm' ? n + 1 : 0;
}

void table_clip(const char *line, size_t len, size_t columns, struct buf *out)
{
    bool painted = false;
    size_t width = 0;

    while (len > 0) {
        size_t n = escape_length(line, len);
        uint32_t cp = 0;

        if (n > 0) {
            painted = strncmp(line, "\033[0m", n) != 0;
        } else {
            n = next(line, len, &cp);
            width += cp == UINT32_MAX ? 1 : (size_t)utf8_columns(cp);
            if (width > columns)
                break;
        }
        buf_add(out, line, n);
        line += n;
        len -= n;
    }
    if (painted)
        buf_adds(out, "\033[0m");
}
