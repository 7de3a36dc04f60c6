/* proto/json_span.h - pieces of JSON text as they were written
 *
 * A parsed number loses its spelling (0.10 becomes 0.1); what is carried through
 * unchanged is cut out of the text instead. Only for text that a parser has
 * accepted.
 */
#ifndef PROTO_JSON_SPAN_H
#define PROTO_JSON_SPAN_H

#include <stddef.h>

#include "common/buf.h"

struct json_span {
    const char *text;
    size_t len;
};

/* The value of the next member of the object that is `json`; *at is 0 before
 * the first. There must be one.
 */
struct json_span json_span_next(const char *json, size_t len, size_t *at);

/* Append it without the white space between its tokens. */
void json_span_compact(struct json_span span, struct buf *out);

#endif /* PROTO_JSON_SPAN_H */
