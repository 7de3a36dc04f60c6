/* common/manual.h - option tables as scdoc text, for man pages
 *
 * The sources in man/ hold what people write; their lines that begin with '@'
 * are replaced by this when the pages are built (man/manual.c).
 */
#ifndef COMMON_MANUAL_H
#define COMMON_MANUAL_H

#include "common/buf.h"
#include "common/options.h"

/* Append rows as definitions: name, meaning, default. The table ends with a row
 * without name; NULL is an empty table.
 */
void manual_rows(const struct option_row *rows, struct buf *out);

/* Append what one row means, and its default. */
void manual_meaning(const struct option_row *row, struct buf *out);

/* Append a command as a subsection: usage, what it does, its own options (not
 * the common ones), examples. `alias` are other names of it, `n` of them at
 * most; NULLs are skipped.
 */
void manual_command(const struct option_spec *spec, const char *const *alias,
                    size_t n, struct buf *out);

/* Append prose, as it stands in a table: lines that begin with a space are
 * literal, and everything that scdoc would take for markup is escaped.
 */
void manual_text(const char *text, struct buf *out);

#endif /* COMMON_MANUAL_H */
