/* text/utf8.h - UTF-8 checks and repairs, and lm-eval's idea of words
 *
 * Pure. "Valid" is RFC 3629: no surrogates, nothing above U+10FFFF, no overlong
 * forms.
 */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Decode one code point at s[0..len). Returns its length 1..4, 0 when the bytes
 * are invalid, -1 when they are a valid beginning that needs more bytes.
 */
int utf8_decode(const char *s, size_t len, uint32_t *cp);

/* Write `cp` to out. Returns its length, 0 when it is no scalar value. */
int utf8_encode(uint32_t cp, char out[4]);

/* The White_Space property. */
bool utf8_is_space(uint32_t cp);

bool utf8_valid(const char *s, size_t len);

/* How many columns of a terminal the code point takes: 0 (combining), 1 or 2
 * (most of East Asia's).
 */
int utf8_columns(uint32_t cp);

/* Append s, with U+FFFD for each maximal invalid part (as Python's
 * errors="replace" and the Unicode standard, 3.9, recommend).
 */
void utf8_repair(const char *s, size_t len, struct buf *out);

/* len(re.split(r"\s+", s)) of Python: the word count of word perplexity. Each
 * byte that is not UTF-8 counts as a letter.
 */
size_t utf8_words(const char *s, size_t len);

#endif /* TEXT_UTF8_H */
