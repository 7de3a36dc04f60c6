#include "proto/json_span.h"

#include <assert.h>
#include <stdbool.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* After the closing quote of the string that starts at `at`. */
static size_t skip_string(const char *json, size_t len, size_t at)
{
    for (at++; at < len && json[at] != '"'; at++)
        if (json[at] == '\\')
            at++;
    return at < len ? at + 1 : len;
}

/* The comma or closing bracket that ends the value (or the colon that ends the
 * key) at `at`.
 */
static size_t skip_value(const char *json, size_t len, size_t at)
{
    size_t depth = 0;

    while (at < len) {
        char c = json[at];

        if (c == '"') {
            at = skip_string(json, len, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']'))
            break;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
    }
    return at;
}

struct json_span json_span_next(const char *json, size_t len, size_t *at)
{
    size_t start, end;

    if (*at == 0)
        while (json[*at] != '{')
            (*at)++;
    /* *at is the opening bracket or a comma: over it, the key and the colon */
    start = skip_value(json, len, *at + 1) + 1;
    end = skip_value(json, len, start);
    assert(end < len);
    *at = end;
    return (struct json_span){json + start, end - start};
}

void json_span_compact(struct json_span span, struct buf *out)
{
    size_t at = 0;

    buf_reserve(out, span.len);
    while (at < span.len) {
        size_t from = at;

        if (span.text[at] == '"')
            at = skip_string(span.text, span.len, at);
        else
            at++;
        if (!is_space(span.text[from]))
            buf_add(out, span.text + from, at - from);
    }
}
