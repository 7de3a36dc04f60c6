/* text/bpe.h - the GPT-NeoX family; private to text/
 *
 * bpe_json.c reads tokenizer.json into this, bpe.c encodes with it.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "text/family.h"
#include "text/merge.h"
#include "text/trie.h"

#define BPE_TOKEN_BYTES_MAX 1024

struct bpe {
    struct tokenizer base;
    struct merges *merges;
    int32_t byte_id[256]; /* token of each byte, -1 if it has none */
    /* Tokens that merging makes of their own bytes: no need to merge them. */
    struct trie *whole;
    struct trie *special; /* added tokens searched in the text as it comes */
    struct trie *added;   /* added tokens searched in its NFC */
};

extern const struct family bpe_family;

/* Fill `whole` from all tokens. To be called when the rest is there. */
void bpe_find_whole(struct bpe *b);

#endif /* TEXT_BPE_H */
