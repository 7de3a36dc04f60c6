#include "text/pretoken.h"

#include <string.h>

#include "common/buf.h"
#include "tests/common/run.h"
#include "tests/text/small.h"

/* The pieces of `text`, joined by '|'. */
static void expect(const char *text, const char *want)
{
    size_t len = strlen(text);
    struct buf got = BUF_INIT;

    while (len > 0) {
        size_t n = pretoken_next(text, len);

        ck_assert_uint_ge(n, 1);
        ck_assert_uint_le(n, len);
        if (got.len > 0)
            buf_addc(&got, '|');
        buf_add(&got, text, n);
        text += n;
        len -= n;
    }
    ck_assert_str_eq(got.data, want);
    buf_free(&got);
}

START_TEST(words_numbers_and_the_rest)
{
    expect("Hello world", "Hello| world");
    expect("abc123 456", "abc|123| 456");
    expect("a, b...c", "a|,| b|...|c");
    expect(" !?", " !?");
    expect("x=1;", "x|=|1|;");
    expect("\xd9\xa1\xe2\x85\xa7\xc2\xbd"
           "z",
           "\xd9\xa1\xe2\x85\xa7\xc2\xbd|z");
    expect("caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\xe3\x80\x82",
           "caf\xc3\xa9| \xe4\xb8\xad\xe6\x96\x87|\xe3\x80\x82");
    /* A combining mark is neither a letter nor a number. */
    expect("e\xcc\x81"
           "e",
           "e|\xcc\x81|e");
}
END_TEST

START_TEST(contractions)
{
    expect("it's", "it|'s");
    expect("we're they've I'm you'll he'd don't",
           "we|'re| they|'ve| I|'m| you|'ll| he|'d| don|'t");
    expect("'sure", "'s|ure");
    expect("'rex", "'re|x");
    expect("'r", "'|r");
    expect("'S", "'|S");
    expect("x' s", "x|'| s");
    expect("''s", "''|s");
    expect(" 's", " '|s");
    expect("'", "'");
}
END_TEST

START_TEST(white_space)
{
    expect(" ", " ");
    expect("   ", "   ");
    expect("a   ", "a|   ");
    expect("a  b", "a| | b");
    expect("a   b", "a|  | b");
    expect("a \n b", "a| \n| b");
    expect("a\nb", "a|\n|b");
    expect("a\n\nb", "a|\n|\n|b");
    expect("\t\tx", "\t|\t|x");
    /* Only U+0020 joins what follows. */
    expect("a\xc2\xa0"
           "b",
           "a|\xc2\xa0|b");
    expect("a \xc2\xa0"
           "b",
           "a| |\xc2\xa0|b");
    expect("a\xe3\x80\x80\xe3\x80\x80"
           "b",
           "a|\xe3\x80\x80|\xe3\x80\x80|b");
    /* U+200B and the separators U+001C.. are not \s here. */
    expect("a\xe2\x80\x8b"
           "b",
           "a|\xe2\x80\x8b|b");
    expect("a\x1c"
           "b",
           "a|\x1c|b");
}
END_TEST

START_TEST(pieces_end_between_characters)
{
    uint64_t seed = 5;

    for (int round = 0; round < 2000; round++) {
        struct buf text = BUF_INIT;
        size_t at = 0;

        small_random_text(&seed, 30, &text);
        while (at < text.len) {
            at += pretoken_next(text.data + at, text.len - at);
            ck_assert_uint_le(at, text.len);
            ck_assert(at == text.len || (text.data[at] & 0xC0) != 0x80);
        }
        buf_free(&text);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("pretoken", words_numbers_and_the_rest, contractions,
                     white_space, pieces_end_between_characters);
}
