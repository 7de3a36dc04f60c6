/* tests/text/small.h - two small vocabularies of our own
 *
 * World: ids 1..256 are the bytes, then the literals of small_literals.
 * BPE: <|endoftext|> 0, <|padding|> 1, the bytes of UTF-8 from id 2 on, then
 * one token per merge of small_merges; added tokens follow.
 */
#ifndef TESTS_TEXT_SMALL_H
#define TESTS_TEXT_SMALL_H

#include "common/buf.h"
#include "text/tokenizer.h"

/* Append the lines of the World vocabulary. */
void small_world_text(struct buf *out);

/* Append the tokenizer.json. */
void small_bpe_text(struct buf *out);

/* The opened vocabularies; a failure ends the program. */
struct tokenizer *small_world(void);
struct tokenizer *small_bpe(void);

/* Id of the first World token after the bytes, of the first BPE merge, and of
 * the first added BPE token, "  " (two spaces), which "    " (four) follows.
 */
#define SMALL_WORLD_FIRST 257
#define SMALL_BPE_FIRST_MERGE 245
#define SMALL_BPE_FIRST_ADDED 258

/* 0 when the encoding of text[len] is `want`, ids separated by blanks; prints
 * what differs otherwise.
 */
int small_expect(const struct tokenizer *t, const char *text, size_t len,
                 const char *want);

/* Random numbers that are the same everywhere. */
uint32_t small_random(uint64_t *state);

/* Append n random code points: valid UTF-8, all planes, many marks. */
void small_random_text(uint64_t *state, size_t n, struct buf *out);

#endif /* TESTS_TEXT_SMALL_H */
