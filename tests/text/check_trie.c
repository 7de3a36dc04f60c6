#include "text/trie.h"

#include <string.h>

#include "common/buf.h"
#include "tests/common/run.h"
#include "tests/text/small.h"

static struct trie *build(const char *const *words, size_t n, int32_t twin[2])
{
    struct trie_key *keys = xcalloc(n, sizeof *keys);
    struct trie *t;

    for (size_t i = 0; i < n; i++)
        keys[i] =
            (struct trie_key){words[i], (uint32_t)strlen(words[i]), (int32_t)i};
    t = trie_build(keys, n, twin);
    free(keys);
    return t;
}

START_TEST(the_longest_key_wins)
{
    static const char *const words[] = {"a", "abc", "abcdef", "b"};
    struct trie *t = build(words, 4, NULL);
    int32_t value = -7;

    ck_assert_uint_eq(trie_longest(t, "abcdefg", 7, &value), 6);
    ck_assert_int_eq(value, 2);
    ck_assert_uint_eq(trie_longest(t, "abcdex", 6, &value), 3);
    ck_assert_int_eq(value, 1);
    /* The text may end within a longer key. */
    ck_assert_uint_eq(trie_longest(t, "abcdef", 2, &value), 1);
    ck_assert_int_eq(value, 0);
    value = -7;
    ck_assert_uint_eq(trie_longest(t, "xa", 2, &value), 0);
    ck_assert_int_eq(value, -7);
    ck_assert_uint_eq(trie_longest(t, "", 0, &value), 0);
    trie_destroy(t);
    trie_destroy(NULL);
}
END_TEST

START_TEST(only_whole_keys_are_found)
{
    static const char *const words[] = {"ab", "abcd"};
    struct trie *t = build(words, 2, NULL);

    ck_assert_int_eq(trie_find(t, "ab", 2), 0);
    ck_assert_int_eq(trie_find(t, "abcd", 4), 1);
    ck_assert_int_eq(trie_find(t, "abc", 3), -1);
    ck_assert_int_eq(trie_find(t, "abcde", 5), -1);
    ck_assert_int_eq(trie_find(t, "", 0), -1);
    trie_destroy(t);
}
END_TEST

START_TEST(twins_are_named)
{
    static const char *const words[] = {"a", "xy", "b", "xy"};
    int32_t twin[2];

    ck_assert_ptr_null(build(words, 4, twin));
    ck_assert_int_eq(twin[0], 1);
    ck_assert_int_eq(twin[1], 3);
    ck_assert_ptr_null(build(words, 4, NULL));
}
END_TEST

START_TEST(nothing_is_in_an_empty_trie)
{
    struct trie *t = trie_build(NULL, 0, NULL);
    int32_t value;

    ck_assert_uint_eq(trie_longest(t, "abc", 3, &value), 0);
    ck_assert_int_eq(trie_find(t, "a", 1), -1);
    trie_destroy(t);
}
END_TEST

#define KEYS 4000
#define KEY_BYTES 6

/* Random keys over few letters, so that prefixes, long child lists (the first
 * byte is any of 256) and dead ends all occur; compared with a linear search.
 */
START_TEST(like_a_linear_search)
{
    static char bytes[KEYS][KEY_BYTES];
    static struct trie_key keys[KEYS], unique[KEYS];
    uint64_t seed = 42;
    size_t n = 0;
    struct trie *t;

    for (size_t i = 0; i < KEYS; i++) {
        uint32_t len = 1 + small_random(&seed) % KEY_BYTES;
        bool seen = false;

        for (uint32_t k = 0; k < len; k++)
            bytes[i][k] = (char)(small_random(&seed) % (k == 0 ? 256 : 3));
        for (size_t k = 0; k < n && !seen; k++)
            seen = unique[k].len == len
                   && memcmp(unique[k].bytes, bytes[i], len) == 0;
        if (!seen) {
            unique[n] = (struct trie_key){bytes[i], len, (int32_t)n};
            n++;
        }
    }
    memcpy(keys, unique, sizeof keys);
    t = trie_build(keys, n, NULL);
    ck_assert_ptr_nonnull(t);
    for (int round = 0; round < 3000; round++) {
        char text[8];
        size_t want = 0;
        int32_t want_value = -1, value = -1;

        for (size_t k = 0; k < sizeof text; k++)
            text[k] = (char)(small_random(&seed) % (k == 0 ? 256 : 3));
        for (size_t k = 0; k < n; k++) {
            if (unique[k].len > want
                && memcmp(unique[k].bytes, text, unique[k].len) == 0) {
                want = unique[k].len;
                want_value = unique[k].value;
            }
        }
        ck_assert_uint_eq(trie_longest(t, text, sizeof text, &value), want);
        ck_assert_int_eq(value, want_value);
        ck_assert_int_eq(trie_find(t, text, want), want > 0 ? value : -1);
    }
    trie_destroy(t);
}
END_TEST

int main(void)
{
    return RUN_TESTS("trie", the_longest_key_wins, only_whole_keys_are_found,
                     twins_are_named, nothing_is_in_an_empty_trie,
                     like_a_linear_search);
}
