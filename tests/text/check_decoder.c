#include "text/decoder.h"

#include <string.h>

#include "common/buf.h"
#include "tests/common/run.h"
#include "tests/text/small.h"
#include "text/utf8.h"

/* Up to four stop strings, NULL-terminated. */
static struct decoder *create(const char *const *stop)
{
    size_t len[4] = {0}, n = 0;

    for (; stop != NULL && stop[n] != NULL; n++)
        len[n] = strlen(stop[n]);
    return decoder_create(stop, len, n);
}

static void expect_text(const struct decoder *d, const char *want)
{
    size_t len;
    const char *text = decoder_text(d, &len);

    ck_assert_str_eq(text, want);
    ck_assert_uint_eq(len, strlen(want));
}

static bool feed(struct decoder *d, const char *bytes)
{
    return decoder_feed(d, bytes, strlen(bytes));
}

START_TEST(characters_split_over_tokens)
{
    struct decoder *d = create(NULL);

    expect_text(d, "");
    ck_assert(!feed(d, "a\xe4"));
    expect_text(d, "a");
    ck_assert(!feed(d, "\xb8"));
    expect_text(d, "a");
    ck_assert(!feed(d, "\xad\xf0\x9f"));
    expect_text(d, "a\xe4\xb8\xad");
    ck_assert(!feed(d, ""));
    ck_assert(!feed(d, "\x98\x80"));
    expect_text(d, "a\xe4\xb8\xad\xf0\x9f\x98\x80");
    decoder_finish(d);
    expect_text(d, "a\xe4\xb8\xad\xf0\x9f\x98\x80");
    decoder_destroy(d);
    decoder_destroy(NULL);
}
END_TEST

START_TEST(an_unfinished_character_at_the_end_is_replaced)
{
    struct decoder *d = create(NULL);

    feed(d, "a\xe4\xb8");
    expect_text(d, "a");
    decoder_finish(d);
    expect_text(d, "a" UTF8_REPLACEMENT);
    decoder_destroy(d);
}
END_TEST

START_TEST(invalid_bytes_are_replaced_once_they_are_certain)
{
    struct decoder *d = create(NULL);

    feed(d, "\xe4\xb8");
    expect_text(d, "");
    feed(d, "\xff"
            "b");
    expect_text(d, UTF8_REPLACEMENT UTF8_REPLACEMENT "b");
    decoder_destroy(d);
}
END_TEST

START_TEST(a_stop_string_over_three_tokens)
{
    static const char *const stop[] = {"\n\nUser:", NULL};
    struct decoder *d = create(stop);

    ck_assert(!feed(d, "yes.\n"));
    expect_text(d, "yes.");
    ck_assert(!feed(d, "\nUs"));
    expect_text(d, "yes.");
    ck_assert(feed(d, "er: what"));
    expect_text(d, "yes.");
    ck_assert(feed(d, "ignored"));
    decoder_finish(d);
    expect_text(d, "yes.");
    decoder_destroy(d);
}
END_TEST

START_TEST(a_beginning_that_comes_to_nothing_is_given)
{
    static const char *const stop[] = {"STOP", NULL};
    struct decoder *d = create(stop);

    ck_assert(!feed(d, "aST"));
    expect_text(d, "a");
    ck_assert(!feed(d, "STO"));
    expect_text(d, "aST");
    ck_assert(!feed(d, "x"));
    expect_text(d, "aSTSTOx");
    ck_assert(!feed(d, "ST"));
    decoder_finish(d);
    expect_text(d, "aSTSTOxST");
    decoder_destroy(d);
}
END_TEST

START_TEST(the_earliest_match_cuts)
{
    static const char *const stop[] = {"c", "abcd", "", NULL};
    struct decoder *d = create(stop);

    /* Both end in this token; "abcd" begins first. */
    ck_assert(feed(d, "xabcde"));
    decoder_finish(d);
    expect_text(d, "x");
    decoder_destroy(d);

    /* Here the text is over before "abcd" can be. */
    d = create(stop);
    ck_assert(!feed(d, "xab"));
    expect_text(d, "x");
    ck_assert(feed(d, "c"));
    expect_text(d, "xab");
    decoder_destroy(d);

    /* The first of several occurrences. */
    d = create(stop);
    ck_assert(feed(d, "1c2c3c"));
    expect_text(d, "1");
    decoder_destroy(d);
}
END_TEST

START_TEST(a_cut_keeps_what_was_unfinished_before_it)
{
    static const char *const stop[] = {"|", NULL};
    struct decoder *d = create(stop);

    ck_assert(feed(d, "a\xe4\xb8|b"));
    decoder_finish(d);
    expect_text(d, "a" UTF8_REPLACEMENT);
    decoder_destroy(d);
}
END_TEST

START_TEST(self_overlapping_stop_strings)
{
    static const char *const stop[] = {"aab", "abaab", NULL};
    struct decoder *d = create(stop);

    ck_assert(!feed(d, "xaa"));
    ck_assert(feed(d, "ab"));
    expect_text(d, "xa");
    decoder_destroy(d);
    d = create(stop);
    ck_assert(!feed(d, "aba"));
    expect_text(d, "");
    ck_assert(feed(d, "ab"));
    expect_text(d, "");
    decoder_destroy(d);
}
END_TEST

/* Where the text of all tokens fed so far has to be cut, by plain search. */
static size_t search(const struct buf *text, const char *const *stop)
{
    size_t cut = SIZE_MAX;

    for (; *stop != NULL; stop++) {
        size_t n = strlen(*stop);
        const char *at = memmem(text->data, text->len, *stop, n);

        if (n > 0 && at != NULL && (size_t)(at - text->data) < cut)
            cut = (size_t)(at - text->data);
    }
    return cut;
}

static void play_random_tokens(uint64_t *seed, const char *const *stop)
{
    struct decoder *d = create(stop);
    struct buf all = BUF_INIT, want = BUF_INIT, shown = BUF_INIT;
    size_t cut = SIZE_MAX, len;
    const char *text;

    for (int token = 0; token < 40 && cut == SIZE_MAX; token++) {
        static const char letters[] = "aabb\xe4\xb8\xad\xff";
        char bytes[6];
        size_t n = small_random(seed) % sizeof bytes;

        for (size_t i = 0; i < n; i++)
            bytes[i] = letters[small_random(seed) % (sizeof letters - 1)];
        buf_add(&all, bytes, n);
        cut = search(&all, stop);
        ck_assert(decoder_feed(d, bytes, n) == (cut != SIZE_MAX));
        /* What was shown stays. */
        text = decoder_text(d, &len);
        ck_assert(utf8_valid(text, len));
        ck_assert_uint_ge(len, shown.len);
        ck_assert(shown.len == 0 || memcmp(text, shown.data, shown.len) == 0);
        buf_clear(&shown);
        buf_add(&shown, text, len);
    }
    decoder_finish(d);
    utf8_repair(all.data, cut < all.len ? cut : all.len, &want);
    buf_add(&want, "", 0);
    expect_text(d, want.data);
    decoder_destroy(d);
    buf_free(&all);
    buf_free(&want);
    buf_free(&shown);
}

START_TEST(like_a_plain_search)
{
    static const char *const stops[][4] = {
        {NULL},
        {"abab", NULL},
        {"aabaa", "bbbb",
         "\xe4\xb8\xad"
         "a",
         NULL},
        {"abababab", "babb", NULL},
    };
    uint64_t seed = 77;

    for (int round = 0; round < 4000; round++)
        play_random_tokens(&seed, stops[round % 4]);
}
END_TEST

int main(void)
{
    return RUN_TESTS("decoder", characters_split_over_tokens,
                     an_unfinished_character_at_the_end_is_replaced,
                     invalid_bytes_are_replaced_once_they_are_certain,
                     a_stop_string_over_three_tokens,
                     a_beginning_that_comes_to_nothing_is_given,
                     the_earliest_match_cuts,
                     a_cut_keeps_what_was_unfinished_before_it,
                     self_overlapping_stop_strings, like_a_plain_search);
}
