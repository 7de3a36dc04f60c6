#include "text/utf8.h"

#include <string.h>

#include "tests/common/run.h"

START_TEST(decoding)
{
    static const struct {
        const char *bytes;
        int length;
        uint32_t cp;
    } cases[] = {
        {"a", 1, 'a'},
        {"\x7f", 1, 0x7F},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7FF},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xD7FF},
        {"\xee\x80\x80", 3, 0xE000},
        {"\xef\xbf\xbf", 3, 0xFFFF},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10FFFF},
        /* Unfinished, but so far right. */
        {"", -1, 0},
        {"\xc3", -1, 0},
        {"\xe4\xb8", -1, 0},
        {"\xf0\x9f\x98", -1, 0},
        /* Wrong: alone, overlong, surrogate, too large, broken off. */
        {"\x80", 0, 0},
        {"\xbf", 0, 0},
        {"\xc0\x80", 0, 0},
        {"\xc1\xbf", 0, 0},
        {"\xe0\x9f\xbf", 0, 0},
        {"\xe0\x80", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xf0\x8f\xbf\xbf", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
        {"\xf5\x80\x80\x80", 0, 0},
        {"\xff", 0, 0},
        {"\xc3(", 0, 0},
        {"\xe4\xb8(", 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t cp = 0;
        int n = utf8_decode(cases[i].bytes, strlen(cases[i].bytes), &cp);

        ck_assert_msg(n == cases[i].length, "case %zu: %d", i, n);
        if (n > 0)
            ck_assert_uint_eq(cp, cases[i].cp);
        ck_assert(utf8_valid(cases[i].bytes, strlen(cases[i].bytes))
                  == (n > 0 || *cases[i].bytes == '\0'));
    }
}
END_TEST

START_TEST(every_code_point_comes_back)
{
    for (uint32_t cp = 0; cp < 0x110005; cp++) {
        bool scalar = cp < 0xD800 || (cp > 0xDFFF && cp < 0x110000);
        char utf8[4];
        uint32_t back = 0;
        int n = utf8_encode(cp, utf8);

        if ((n > 0) != scalar)
            ck_abort_msg("U+%04X: length %d", cp, n);
        if (scalar && (utf8_decode(utf8, (size_t)n, &back) != n || back != cp))
            ck_abort_msg("U+%04X came back as U+%04X", cp, back);
    }
}
END_TEST

#define FFFD UTF8_REPLACEMENT

START_TEST(repairing)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80"},
        {"a\x80z", "a" FFFD "z"},
        {"\x80\x80", FFFD FFFD},
        {"\xe4\xb8", FFFD},
        {"\xe4\xb8z", FFFD "z"},
        {"\xf0\x9f\x98\xe4\xb8\xad", FFFD "\xe4\xb8\xad"},
        /* From the Unicode standard, table 3-8. */
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
         FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
         FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
         FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", FFFD FFFD FFFD FFFD "A"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;

        buf_adds(&out, "<");
        utf8_repair(cases[i].bytes, strlen(cases[i].bytes), &out);
        ck_assert_str_eq(out.data + 1, cases[i].text);
        buf_free(&out);
    }
}
END_TEST

/* Expected numbers are those of Python's len(re.split(r"\s+", s)). */
START_TEST(words)
{
    static const struct {
        const char *text;
        size_t words;
    } cases[] = {
        {"", 1},
        {"one", 1},
        {"one two", 2},
        {"one  \t\n two", 2},
        {" one", 2},
        {"one ", 2},
        {" ", 2},
        {"a\x1c"
         "b\x1f"
         "c",
         3},
        {"a\xc2\x85"
         "b\xc2\xa0"
         "c",
         3},
        {"a\xe2\x80\x83"
         "b\xe3\x80\x80"
         "c",
         3},
        {"a\xe2\x80\x8b"
         "b",
         1}, /* zero width space is none */
        {"a\xff \x80", 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(utf8_words(cases[i].text, strlen(cases[i].text))
                          == cases[i].words,
                      "case %zu", i);
}
END_TEST

START_TEST(columns)
{
    static const struct {
        uint32_t cp;
        int columns;
    } row[] = {{'a', 1},    {0xe9, 1},   {0x301, 0},   {0x65e5, 2},
               {0xff21, 2}, {0x200b, 0}, {0x1f600, 2}, {0x44f, 1}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ck_assert_msg(utf8_columns(row[i].cp) == row[i].columns, "U+%04X: %d",
                      row[i].cp, utf8_columns(row[i].cp));
}
END_TEST

int main(void)
{
    return RUN_TESTS("utf8", decoding, every_code_point_comes_back, repairing,
                     words, columns);
}
