/* client/fields.h - things in lists, by named fields: columns and filters
 *
 * What --format prints and --filter compares are the same texts, so whatever
 * can be seen can be asked for. Pure.
 */
#ifndef CLIENT_FIELDS_H
#define CLIENT_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/options.h"

#define FIELDS_MAX 32       /* of one kind of thing, and columns of a table */
#define FIELDS_RULES_MAX 64 /* values in filters of one command line */

enum field_type {
    FIELD_CUSTOM, /* `text` says it */
    FIELD_STRING, /* char * */
    FIELD_I32,
    FIELD_U32,
    FIELD_U64,
    FIELD_TIME, /* int64_t of Unix milliseconds, as ISO 8601; 0 is nothing */
};

struct field {
    const char *name;  /* "state"; NULL ends a list */
    const char *title; /* "STATE" */
    enum field_type type;
    size_t offset; /* within the thing, or what `part` makes of it */
    /* The struct that holds the field, where it is not the thing itself; NULL:
     * there is none, and the field is empty.
     */
    const void *(*part)(const void *item);
    void (*text)(const void *item, struct buf *out); /* FIELD_CUSTOM */
    /* The values there are, or NULL when there are any: a filter that names
     * another is a mistake.
     */
    const char *const *values;
    bool right; /* numbers stand right */
    /* A colour of this field of this thing (table_paint), or NULL. */
    const char *(*paint)(const void *item);
};

/* Append the text of one field. */
void field_text(const struct field *f, const void *item, struct buf *out);

/* ---- columns ------------------------------------------------------------ */

struct fields {
    const struct field *column[FIELDS_MAX];
    size_t n;
};

/* Choose columns by names with commas between. ERR_USAGE: names the nearest. */
int fields_choose(const struct field *known, const char *list,
                  struct fields *out, struct err *err);

/* Append a table of `n` things, with titles, aligned, coloured if `color`, and
 * no wider than `columns` (table_write).
 */
void fields_table(const struct fields *f, const void *const *item, size_t n,
                  bool color, size_t columns, struct buf *out);

/* The same for scripts: no titles, no colours, and one tab between fields. */
void fields_tabs(const struct fields *f, const void *const *item, size_t n,
                 struct buf *out);

/* ---- filters ------------------------------------------------------------ */

struct fields_rule {
    const struct field *field;
    bool other;    /* "!=" */
    bool begins;   /* a new condition, not another value of the one before */
    char *pattern; /* of fnmatch(3) */
};

/* Zero-initialise. */
struct fields_filter {
    struct fields_rule rule[FIELDS_RULES_MAX];
    size_t n;
};

/* Read conditions: "state=failed,cancelled,model=rwkv*" and "user!=me". All
 * must hold; of several values of "=" one suffices, and of "!=" none may be.
 * Values are patterns. ERR_USAGE, naming the nearest field or value. Free in
 * any case.
 */
int fields_filter_parse(const struct field *known,
                        const struct option_list *list,
                        struct fields_filter *out, struct err *err);

/* Do all conditions hold? Without any they do. */
bool fields_filter_match(const struct fields_filter *f, const void *item);

void fields_filter_free(struct fields_filter *f);

#endif /* CLIENT_FIELDS_H */
