/* client/table.h - text in aligned columns
 *
 * Cells are text for people: control characters in them (names come from other
 * people) are replaced by '?', so that no cell can steer the terminal. Widths
 * count code points.
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
    char **cell; /* [n] row by row */
    size_t n, cap;
};

void table_init(struct table *t, const struct table_column *column);

/* The next cell, left to right, then the next row. An empty one shows as "-".
 */
void table_add(struct table *t, const char *text);

/* Append all of it, titles first, two spaces between columns. The last row
 * must be complete.
 */
void table_write(const struct table *t, struct buf *out);

void table_free(struct table *t);

/* Append `s` with control characters replaced. */
void table_clean(const char *s, struct buf *out);

#endif /* CLIENT_TABLE_H */
