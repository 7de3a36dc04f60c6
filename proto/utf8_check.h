/* proto/utf8_check.h - is this UTF-8? One answer for frames and records
 *
 * Strict: no overlong forms, no surrogates, nothing above U+10FFFF. (text/utf8.h
 * repairs and counts; this folder may not use it.)
 */
#ifndef PROTO_UTF8_CHECK_H
#define PROTO_UTF8_CHECK_H

#include <stddef.h>

/* Offset of the first byte that is not part of valid UTF-8; `len` when all are.
 */
size_t utf8_check(const char *s, size_t len);

/* Replace every byte that is not part of valid UTF-8 by '?'. For error texts
 * that quote their input and may be cut anywhere.
 */
void utf8_mend(char *s, size_t len);

#endif /* PROTO_UTF8_CHECK_H */
