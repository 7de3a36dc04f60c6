#include "proto/json_read.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "proto/utf8_check.h"

struct json_tree {
    json_t *parsed;          /* owns all strings */
    struct json_value *free; /* the next value not used yet */
    struct json_value value[];
};

const char *json_is_name(enum json_is is)
{
    static const char *const name[] = {
        [JSON_IS_OBJECT] = "an object", [JSON_IS_ARRAY] = "an array",
        [JSON_IS_STRING] = "a string",  [JSON_IS_INTEGER] = "an integer",
        [JSON_IS_REAL] = "a number",    [JSON_IS_TRUE] = "true",
        [JSON_IS_FALSE] = "false",      [JSON_IS_NULL] = "null",
    };

    return name[is];
}

/* ---- what is refused ---- */

/* The key in jansson's `duplicate object key near '"KEY"'`. */
static void duplicate_key(const json_error_t *je, char *key, size_t size)
{
    const char *from = strstr(je->text, "near '\"");
    const char *to = strrchr(je->text, '"');

    key[0] = '\0';
    if (from != NULL && to > from + 7)
        snprintf(key, size, "%.*s", (int)(to - from - 7), from + 7);
}

static int fail_json(const json_error_t *je, struct record_error *e)
{
    char key[sizeof e->field];

    switch (json_error_code(je)) {
    case json_error_duplicate_key:
        duplicate_key(je, key, sizeof key);
        return record_error_set(e, "duplicate_key", key,
                                "\"%s\" is given more than once", key);
    case json_error_numeric_overflow:
        return record_error_set(e, "invalid_value", "",
                                "column %d: a number is too large (integers "
                                "have 64 bits)",
                                je->column);
    default:
        return record_error_set(e, "invalid_json", "", "column %d: %s",
                                je->column, je->text);
    }
}

static json_t *parse(const char *text, size_t len, struct record_error *e)
{
    const char *nul = len > 0 ? memchr(text, '\0', len) : NULL;
    size_t bad = utf8_check(text, len);
    json_error_t je;
    json_t *root;

    if (bad < len) {
        record_error_set(e, "not_utf8", "", "byte %zu (0x%02x) is not UTF-8",
                         bad + 1, (unsigned char)text[bad]);
        return NULL;
    }
    /* jansson 2.14 skips a NUL that follows a number or a word. */
    if (nul != NULL) {
        record_error_set(e, "invalid_json", "", "byte %zu is NUL",
                         (size_t)(nul - text) + 1);
        return NULL;
    }
    root = json_loadb(text, len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
                      &je);
    if (root == NULL)
        fail_json(&je, e);
    return root;
}

/* ---- jansson's values into ours ---- */

static size_t count_values(json_t *v)
{
    size_t n = 1, i;
    const char *name;
    json_t *one;

    json_array_foreach(v, i, one)
    {
        n += count_values(one);
    }
    json_object_foreach(v, name, one)
    {
        n += count_values(one);
    }
    return n;
}

static enum json_is is_of(const json_t *v)
{
    static const enum json_is is[] = {
        [JSON_OBJECT] = JSON_IS_OBJECT, [JSON_ARRAY] = JSON_IS_ARRAY,
        [JSON_STRING] = JSON_IS_STRING, [JSON_INTEGER] = JSON_IS_INTEGER,
        [JSON_REAL] = JSON_IS_REAL,     [JSON_TRUE] = JSON_IS_TRUE,
        [JSON_FALSE] = JSON_IS_FALSE,   [JSON_NULL] = JSON_IS_NULL,
    };

    return is[json_typeof(v)];
}

static struct json_value *add_value(struct json_tree *t, json_t *v,
                                    const char *name)
{
    struct json_value *to = t->free++;
    const struct json_value **link = &to->first;
    const char *member;
    json_t *one;
    size_t i;

    to->is = is_of(v);
    to->name = name;
    to->text = json_string_value(v);
    to->len = json_string_length(v);
    to->integer = json_integer_value(v);
    to->number = json_number_value(v);
    to->n = json_array_size(v) + json_object_size(v);
    json_array_foreach(v, i, one)
    {
        struct json_value *child = add_value(t, one, NULL);

        *link = child;
        link = &child->next;
    }
    json_object_foreach(v, member, one)
    {
        struct json_value *child = add_value(t, one, member);

        *link = child;
        link = &child->next;
    }
    return to;
}

/* jansson keeps the order of members: it is that of the text. */
static void add_spans(struct json_tree *t, const char *text, size_t len)
{
    size_t at = 0;

    if (t->value[0].is != JSON_IS_OBJECT)
        return;
    for (const struct json_value *v = t->value[0].first; v; v = v->next) {
        struct json_value *member = &t->value[v - t->value];

        member->span = json_span_next(text, len, &at);
    }
}

struct json_tree *json_read(const char *text, size_t len,
                            struct record_error *e)
{
    json_t *parsed = parse(text, len, e);
    struct json_tree *t;

    if (parsed == NULL)
        return NULL;
    t = xcalloc(1, sizeof *t + count_values(parsed) * sizeof *t->value);
    t->parsed = parsed;
    t->free = t->value;
    add_value(t, parsed, NULL);
    add_spans(t, text, len);
    return t;
}

const struct json_value *json_root(const struct json_tree *t)
{
    return &t->value[0];
}

void json_tree_free(struct json_tree *t)
{
    if (t == NULL)
        return;
    json_decref(t->parsed);
    free(t);
}
