#include <stdbool.h>
#include <string.h>

#include "proto/utf8_check.h"
#include "tests/common/run.h"

START_TEST(offsets)
{
    static const struct {
        const char *text;
        size_t ok; /* bytes before the first bad one */
    } cases[] = {
        {"", 0},
        {"plain ASCII, longer than eight", 30},
        {"\xE2\x82\xAC", 3},
        {"\xF0\x9F\xAA\xBF", 4},
        {"\xEF\xBB\xBF", 3},
        {"\xF4\x8F\xBF\xBF", 4},     /* U+10FFFF */
        {"0123456\xE2\x82\xAC", 10}, /* across an eight-byte step */
        {"\x80", 0},                 /* continuation alone */
        {"ab\xC3", 2},               /* cut */
        {"ab\xE2\x82", 2},
        {"ab\xF0\x9F\xAA", 2},
        {"\xC0\x80", 0},         /* overlong NUL */
        {"\xC1\xBF", 0},         /* overlong */
        {"\xE0\x9F\xBF", 0},     /* overlong */
        {"\xF0\x8F\xBF\xBF", 0}, /* overlong */
        {"\xED\xA0\x80", 0},     /* surrogate */
        {"\xED\xBF\xBF", 0},     /* surrogate */
        {"\xF4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\xF8\x88\x80\x80\x80", 0},
        {"12345678\xFF", 8},
        {"\xE2\x28\xA1", 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t got = utf8_check(cases[i].text, strlen(cases[i].text));

        ck_assert_msg(got == cases[i].ok, "case %zu: %zu, not %zu", i, got,
                      cases[i].ok);
    }
    ck_assert_uint_eq(utf8_check("a\0b", 3), 3); /* NUL is a character */
}
END_TEST

/* Against the definition: every two-byte string, and every lead byte with every
 * second byte followed by two good ones.
 */
START_TEST(second_bytes)
{
    for (unsigned a = 0x80; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            const char s[] = {(char)a, (char)b, '\x80', '\x80'};
            bool cont = b >= 0x80 && b < 0xC0;
            bool ok;

            if (a < 0xC2 || a > 0xF4)
                ok = false;
            else if (a < 0xE0)
                ok = cont; /* what follows is bad by itself */
            else if (a < 0xF0)
                ok =
                    cont && (a != 0xE0 || b >= 0xA0) && (a != 0xED || b < 0xA0);
            else
                ok =
                    cont && (a != 0xF0 || b >= 0x90) && (a != 0xF4 || b < 0x90);
            ck_assert_msg((utf8_check(s, 4) > 0) == ok, "%02x %02x", a, b);
        }
}
END_TEST

START_TEST(mend)
{
    char text[] = "a\xC3'\xFF\xE2\x82\xAC\xE2\x82";

    utf8_mend(text, strlen(text));
    ck_assert_str_eq(text, "a?'?\xE2\x82\xAC??");
}
END_TEST

int main(void)
{
    return RUN_TESTS("utf8_check", offsets, second_bytes, mend);
}
