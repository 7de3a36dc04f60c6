#include "tests/proto/jansson_read.h"

#include <jansson.h>
#include <string.h>

#include "proto/json_span.h"
#include "proto/utf8_check.h"

static const char *differ(const struct json_value *v, json_t *j);

static const char *elements_differ(const struct json_value *v, json_t *j)
{
    const struct json_value *one = v->first;
    const char *why = NULL;
    json_t *element;
    size_t i;

    if (v->n != json_array_size(j))
        return "the number of elements";
    json_array_foreach(j, i, element)
    {
        why = why != NULL || one == NULL ? "an element" : differ(one, element);
        if (why != NULL)
            return why;
        one = one->next;
    }
    return one == NULL ? NULL : "the end of an array";
}

static const char *members_differ(const struct json_value *v, json_t *j)
{
    const struct json_value *one = v->first;
    const char *name, *why;
    json_t *member;

    if (v->n != json_object_size(j))
        return "the number of members";
    json_object_foreach(j, name, member)
    {
        if (one == NULL || strcmp(one->name, name) != 0)
            return "the name of a member";
        why = differ(one, member);
        if (why != NULL)
            return why;
        one = one->next;
    }
    return one == NULL ? NULL : "the end of an object";
}

static const char *differ(const struct json_value *v, json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return v->is == JSON_IS_OBJECT ? members_differ(v, j) : "object";
    case JSON_ARRAY:
        return v->is == JSON_IS_ARRAY ? elements_differ(v, j) : "array";
    case JSON_STRING:
        return v->is == JSON_IS_STRING && v->len == json_string_length(j)
                       && memcmp(v->text, json_string_value(j), v->len + 1) == 0
                   ? NULL
                   : "string";
    case JSON_INTEGER:
        return v->is == JSON_IS_INTEGER && v->integer == json_integer_value(j)
                       && v->number == json_number_value(j)
                   ? NULL
                   : "integer";
    case JSON_REAL: {
        double real = json_real_value(j);

        return v->is == JSON_IS_REAL
                       && memcmp(&v->number, &real, sizeof real) == 0
                   ? NULL
                   : "real";
    }
    case JSON_TRUE:
        return v->is == JSON_IS_TRUE ? NULL : "true";
    case JSON_FALSE:
        return v->is == JSON_IS_FALSE ? NULL : "false";
    case JSON_NULL:
        return v->is == JSON_IS_NULL ? NULL : "null";
    }
    return "type";
}

/* Cut the members out of the text by themselves. */
static const char *spans_differ(const char *text, size_t len,
                                const struct json_value *root)
{
    size_t at = 0;

    if (root->is != JSON_IS_OBJECT)
        return NULL;
    for (const struct json_value *v = root->first; v != NULL; v = v->next) {
        struct json_span span = json_span_next(text, len, &at);

        if (span.text != v->span.text || span.len != v->span.len)
            return "a span";
    }
    return NULL;
}

bool jansson_agrees(const char *text, size_t len, const struct json_tree *tree,
                    const char **why)
{
    bool bytes = utf8_check(text, len) == len
                 && (len == 0 || memchr(text, '\0', len) == NULL);
    json_t *j = bytes ? json_loadb(text, len,
                                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL
                                       | JSON_DECODE_ANY,
                                   NULL)
                      : NULL;

    if (tree == NULL || j == NULL) {
        *why = (tree == NULL) == (j == NULL) ? NULL
               : tree == NULL                ? "accepted by jansson"
                                             : "refused by jansson";
    } else {
        *why = differ(json_root(tree), j);
        if (*why == NULL)
            *why = spans_differ(text, len, json_root(tree));
    }
    json_decref(j);
    return *why == NULL;
}
