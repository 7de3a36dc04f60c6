/* text/tokenizer.h - text to token ids and back
 *
 * Two families: the World vocabulary (greedy longest match over bytes) and
 * GPT-NeoX style tokenizer.json (NFC, byte-level BPE, added tokens). Neither
 * adds token 0; the start token is the caller's policy (DESIGN section 8).
 *
 * A tokenizer is immutable after opening and may be used by many threads.
 * Nothing in it knows weights. Source: ../shared/rwkv7/spec.md section 7.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/hash.h"

#define TOKENIZER_END 0 /* end of document and start token, in both families */

struct tokenizer;

/* Growable list of ids; zero-initialise, free with ids_free(). */
struct ids {
    int32_t *id;
    size_t n;
    size_t cap;
};

void ids_add(struct ids *ids, int32_t id);
void ids_append(struct ids *ids, const int32_t *id, size_t n);
void ids_clear(struct ids *ids);
void ids_free(struct ids *ids);

/* Open a vocabulary. The family is told from the content: a JSON object is
 * tokenizer.json, else World lines. Every oddity is refused with file and line
 * (or JSON path): ERR_INVALID; ERR_NOT_FOUND, ERR_IO, ERR_LIMIT.
 */
struct tokenizer *tokenizer_open(const char *path, struct err *err);

/* The same from memory (fuzzing, tests); `name` stands for the file. */
struct tokenizer *tokenizer_parse(const char *name, const void *data,
                                  size_t len, struct err *err);

void tokenizer_close(struct tokenizer *t); /* NULL is allowed */

/* Find the tokenizer that belongs to a model: `model` is a checkpoint file or
 * directory; looked for in the directory: tokenizer.json, else exactly one file
 * rwkv_vocab*.txt. Returns a malloc'ed path, or NULL: ERR_NOT_FOUND naming what
 * was looked for, ERR_INVALID when there are several.
 */
char *tokenizer_find(const char *model, struct err *err);

const char *tokenizer_family(const struct tokenizer *t); /* "world", "bpe" */
int32_t tokenizer_size(const struct tokenizer *t);       /* largest id + 1 */

/* BLAKE2b-256 of the file's bytes: part of the numerics fingerprint. */
const uint8_t *tokenizer_hash(const struct tokenizer *t);

/* Append the ids of text[len], at most 1 GiB (ERR_LIMIT), to `out`, which is
 * left as it was on failure.
 * World takes any bytes. BPE needs UTF-8 (ERR_INVALID) and normalises to NFC.
 */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     struct ids *out, struct err *err);

/* The bytes of one id: pointer into the tokenizer and length. Ids without bytes
 * (0, unused ones) give length 0. An id outside 0..size-1 gives NULL.
 */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len);

/* Append the bytes of n ids to `out`; ids outside 0..size-1 add none. Not
 * necessarily UTF-8: see text/decoder.h.
 */
void tokenizer_decode(const struct tokenizer *t, const int32_t *id, size_t n,
                      struct buf *out);

#endif /* TEXT_TOKENIZER_H */
