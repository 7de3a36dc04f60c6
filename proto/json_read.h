/* proto/json_read.h - one JSON text as a tree of values
 *
 * The seam between reading JSON and what a record means: record*.c see values,
 * never a JSON library. Strict: RFC 8259 in UTF-8, no key twice in one object,
 * integers of 64 bits, no NUL in keys. Pure.
 */
#ifndef PROTO_JSON_READ_H
#define PROTO_JSON_READ_H

#include <stddef.h>
#include <stdint.h>

#include "proto/json_span.h"
#include "proto/record_error.h"

enum json_is {
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_STRING,
    JSON_IS_INTEGER, /* written without fraction and exponent */
    JSON_IS_REAL,
    JSON_IS_TRUE,
    JSON_IS_FALSE,
    JSON_IS_NULL,
};

struct json_value {
    enum json_is is;
    const char *name;               /* of an object's member; else NULL */
    const struct json_value *next;  /* element or member after this one */
    const struct json_value *first; /* of an object or array */
    size_t n;                       /* how many it has */
    const char *text;               /* string: UTF-8, NUL after len; may */
    size_t len;                     /* contain NUL */
    int64_t integer;
    double number;         /* of an integer, too */
    struct json_span span; /* as written, white space around it included; set
                            * for the members of the outermost object only */
};

/* 88 MiB of tree; a line of short token ids could have 8 million. */
#define JSON_VALUES_MAX (1u << 20)

struct json_tree;

/* Read text[len]. Returns a tree for json_tree_free() that borrows the text, or
 * NULL with *e filled: not_utf8, invalid_json, duplicate_key, invalid_value (a
 * number out of range), too_large (more than JSON_VALUES_MAX values).
 */
struct json_tree *json_read(const char *text, size_t len,
                            struct record_error *e);
const struct json_value *json_root(const struct json_tree *t);
void json_tree_free(struct json_tree *t); /* NULL is allowed */

/* "an object", "a string", ...: for messages. */
const char *json_is_name(enum json_is is);

#endif /* PROTO_JSON_READ_H */
