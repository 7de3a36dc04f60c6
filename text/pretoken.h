/* text/pretoken.h - GPT-2's pre-tokenizer: text into pieces that BPE never joins
 *
 * The pieces are the matches of
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Pure. Unicode categories are libutf8proc's.
 */
#ifndef TEXT_PRETOKEN_H
#define TEXT_PRETOKEN_H

#include <stddef.h>

/* Length of the first piece of s[len], which is valid UTF-8 and not empty. */
size_t pretoken_next(const char *s, size_t len);

#endif /* TEXT_PRETOKEN_H */
