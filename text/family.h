/* text/family.h - what a tokenizer family implements; private to text/ */
#ifndef TEXT_FAMILY_H
#define TEXT_FAMILY_H

#include "text/tokenizer.h"

#define TOKENIZER_IDS_MAX (1 << 20) /* ids of one vocabulary; V is 65,536 */

struct family {
    const char *name;
    int (*encode)(const struct tokenizer *t, const char *text, size_t len,
                  struct ids *out, struct err *err);
    void (*destroy)(struct tokenizer *t); /* its own part only */
};

/* First member of every family's struct. */
struct tokenizer {
    const struct family *family;
    struct buf pool; /* bytes of all tokens */
    struct token_span {
        uint32_t start, len; /* in the pool */
    } * span;                /* [span_cap], zeros from `size` on */
    int32_t size;            /* largest id + 1 */
    int32_t span_cap;
    uint8_t hash[HASH_BYTES];
};

/* Give `id` its bytes, growing the table. 0 <= id < TOKENIZER_IDS_MAX. */
void tokenizer_set_bytes(struct tokenizer *t, int32_t id, const char *bytes,
                         size_t len);

/* Both return an object whose `hash` is still empty, or NULL: ERR_INVALID. */
struct tokenizer *world_parse(const char *name, const char *data, size_t len,
                              struct err *err);
struct tokenizer *bpe_parse(const char *name, const char *data, size_t len,
                            struct err *err);

#endif /* TEXT_FAMILY_H */
