#include <string.h>

#include "proto/record_error.h"
#include "proto/utf8_check.h"
#include "tests/common/run.h"

START_TEST(filled)
{
    struct record_error e;

    ck_assert_int_eq(record_error_set(&e, "code", "field", "%d of %s", 3, "x"),
                     -1);
    ck_assert_str_eq(e.code, "code");
    ck_assert_str_eq(e.field, "field");
    ck_assert_str_eq(e.message, "3 of x");
}
END_TEST

/* What is too long is cut, and stays UTF-8. */
START_TEST(cut)
{
    char text[1024] = "";
    struct record_error e;

    for (int i = 0; i < 250; i++)
        strcat(text, "\xF0\x9F\xAA\xBF");
    record_error_set(&e, "code", text, ".%s", text);
    ck_assert_uint_eq(strlen(e.field), sizeof e.field - 1);
    ck_assert_uint_eq(strlen(e.message), sizeof e.message - 1);
    ck_assert_uint_eq(utf8_check(e.field, strlen(e.field)), strlen(e.field));
    ck_assert_uint_eq(utf8_check(e.message, strlen(e.message)),
                      strlen(e.message));
}
END_TEST

int main(void)
{
    return RUN_TESTS("record_error", filled, cut);
}
