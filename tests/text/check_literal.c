#include "text/literal.h"

#include <string.h>

#include "tests/common/run.h"

START_TEST(accepted)
{
    static const struct {
        const char *literal, *bytes;
    } cases[] = {
        {"''", ""},
        {"'abc'", "abc"},
        {"\"it's\"", "it's"},
        {"'say \"x\"'", "say \"x\""},
        {"b'abc'", "abc"},
        {"b\"a'\"", "a'"},
        {"'\\n\\t\\r\\\\\\'\\\"'", "\n\t\r\\'\""},
        {"b'\\n\\\\'", "\n\\"},
        /* The same escape is a code point here and a byte there. */
        {"'\\xe9'", "\xc3\xa9"},
        {"b'\\xe9'", "\xe9"},
        {"'\\xE9\\x41'", "\xc3\xa9"
                         "A"},
        {"'\\u4e2d'", "\xe4\xb8\xad"},
        {"'\\U0001f600'", "\xf0\x9f\x98\x80"},
        {"'\xe4\xb8\xad b'", "\xe4\xb8\xad b"},
        {"' '", " "},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;
        struct err err = {0};

        buf_adds(&out, "");
        ck_assert_msg(literal_parse(cases[i].literal, strlen(cases[i].literal),
                                    &out, &err)
                          == 0,
                      "%s: %s", cases[i].literal, err.text);
        ck_assert_str_eq(out.data, cases[i].bytes);
        buf_free(&out);
    }
}
END_TEST

START_TEST(the_nul_byte_counts)
{
    struct buf out = BUF_INIT;

    ck_assert_int_eq(literal_parse("'\\x00a'", 7, &out, NULL), 0);
    ck_assert_uint_eq(out.len, 2);
    ck_assert_mem_eq(out.data, "\0a", 2);
    buf_free(&out);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *literal, *error;
    } cases[] = {
        {"", "expected a quoted literal"},
        {"b", "expected a quoted literal"},
        {"'", "expected a quoted literal"},
        {"b'", "expected a quoted literal"},
        {"abc", "expected a quoted literal"},
        {"'abc", "expected a quoted literal"},
        {"abc'", "expected a quoted literal"},
        {"'abc\"", "expected a quoted literal"},
        {"u'a'", "expected a quoted literal"},
        {"bb'a'", "expected a quoted literal"},
        {"'a'b'", "a quote within the literal"},
        {"'''a'''", "a quote within the literal"},
        {"'a\\'", "the literal ends in a backslash"},
        {"'\\a'", "unknown escape \\a in a str literal"},
        {"'\\0'", "unknown escape \\0 in a str literal"},
        {"'\\N'", "unknown escape \\N in a str literal"},
        {"'\\\xc3\xa9'", "unknown escape \\? in a str literal"},
        {"b'\\u0041'", "unknown escape \\u in a bytes literal"},
        {"b'\\U00000041'", "unknown escape \\U in a bytes literal"},
        {"'\\x4'", "\\x needs 2 hex digits"},
        {"'\\x4g'", "\\x needs 2 hex digits"},
        {"'\\u12'", "\\u needs 4 hex digits"},
        {"'\\U0001f60'", "\\U needs 8 hex digits"},
        {"'\\ud800'", "U+D800 is no character"},
        {"'\\U00110000'", "U+110000 is no character"},
        {"'\t'", "control character 0x09"},
        {"b'\xc3\xa9'", "byte 0xc3 in a bytes literal is not ASCII"},
        {"'\xff'", "byte 0xff is not UTF-8"},
        {"'\xe4\xb8'", "byte 0xe4 is not UTF-8"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;
        struct err err = {0};

        ck_assert_msg(literal_parse(cases[i].literal, strlen(cases[i].literal),
                                    &out, &err)
                          < 0,
                      "accepted: %s", cases[i].literal);
        ck_assert_str_eq(err.text, cases[i].error);
        ck_assert_int_eq(err.code, ERR_INVALID);
        buf_free(&out);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("literal", accepted, the_nul_byte_counts, refused);
}
