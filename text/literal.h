/* text/literal.h - Python str and bytes literals, as in World vocabularies
 *
 * One quoted literal on one line: 'abc', "it's", b'\xe4\xb8'. No prefixes but
 * b, no triple quotes, no raw literals, no octal and no named escapes: what
 * repr() never writes is refused.
 */
#ifndef TEXT_LITERAL_H
#define TEXT_LITERAL_H

#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"

/* Append the bytes of the literal s[len] to `out`. A str is given as UTF-8;
 * `\xe9` is the code point U+00E9 in a str (two bytes) and the byte E9 in a
 * bytes literal. 0, or -1 with ERR_INVALID; `out` may have grown then.
 */
int literal_parse(const char *s, size_t len, struct buf *out, struct err *err);

#endif /* TEXT_LITERAL_H */
