/* text/trie.h - which of many byte strings is the longest prefix of a text
 *
 * Immutable after trie_build(); knows nothing of tokens. Keys are not copied
 * into it.
 */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

struct trie;

struct trie_key {
    const char *bytes;
    uint32_t len;  /* >= 1 */
    int32_t value; /* >= 0 */
};

/* Build from keys[n], which are sorted in place and not needed afterwards. Two
 * equal keys: returns NULL, and `twin` (may be NULL) gets their values, the
 * smaller one first. Time n log n, memory about 14 bytes per distinct prefix.
 */
struct trie *trie_build(struct trie_key *keys, size_t n, int32_t twin[2]);

void trie_destroy(struct trie *t); /* NULL is allowed */

/* Length of the longest key that is a prefix of s[len], with its value; 0 when
 * there is none.
 */
size_t trie_longest(const struct trie *t, const char *s, size_t len,
                    int32_t *value);

/* The value of the key that equals s[len], or -1. */
int32_t trie_find(const struct trie *t, const char *s, size_t len);

#endif /* TEXT_TRIE_H */
