/* client/table.h - text in aligned columns
 *
 * Cells are text for people: control characters in them (names come from other
 * people) and what is not UTF-8 are replaced by '?', so that no cell can steer
 * the terminal. Widths are those of a terminal.
 */
#ifndef CLIENT_TABLE_H
#define CLIENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define TABLE_COLUMNS_MAX 32

struct table_column {
    const char *title; /* NULL ends a list of columns */
    bool right;        /* numbers stand right */
};

struct table {
    const struct table_column *column;
    size_t columns;
    struct table_cell {
        char *text;
        const char *paint; /* NULL: none */
    } * cell;              /* [n] row by row */
    size_t n, cap;
};

void table_init(struct table *t, const struct table_column *column);

/* The next cell, left to right, then the next row. An empty one shows as "-".
 */
void table_add(struct table *t, const char *text);

/* Colour the last cell: parameters of an SGR escape sequence, "31;1"; static,
 * or NULL.
 */
void table_paint(struct table *t, const char *sgr);

/* Append all of it, titles first, two spaces between columns. The last row
 * must be complete. What is wider than `columns` (0: no bound) loses the ends
 * of its longest texts, as far as TABLE_TEXT_MIN allows; numbers are never cut.
 */
#define TABLE_TEXT_MIN 8
void table_write(const struct table *t, size_t columns, struct buf *out);

void table_free(struct table *t);

/* Append `s` with control characters and invalid UTF-8 replaced. */
void table_clean(const char *s, struct buf *out);

/* Append as much of one line, `len` bytes, as fits `columns`; its colours take
 * no room, and end where it ends.
 */
void table_clip(const char *line, size_t len, size_t columns, struct buf *out);

#endif /* CLIENT_TABLE_H */
