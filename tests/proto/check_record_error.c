#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "proto/record_error.h"
#include "proto/utf8_check.h"
#include "tests/common/run.h"

START_TEST(filled)
{
    struct record_error e;

    ck_assert_int_eq(
        record_error_set(&e, "too_large", "field", "%d of %s", 3, "x"), -1);
    ck_assert_str_eq(e.code, "too_large");
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
    record_error_set(&e, "too_large", text, ".%s", text);
    ck_assert_uint_eq(strlen(e.field), sizeof e.field - 1);
    ck_assert_uint_eq(strlen(e.message), sizeof e.message - 1);
    ck_assert_uint_eq(utf8_check(e.field, strlen(e.field)), strlen(e.field));
    ck_assert_uint_eq(utf8_check(e.message, strlen(e.message)),
                      strlen(e.message));
}
END_TEST

/* Is `code`, written as in that file, in it? */
static bool mentions(const char *path, const char *code, const char *quote,
                     const char *underscore)
{
    struct buf text = BUF_INIT, want = BUF_INIT;
    bool found;

    ck_assert_int_eq(file_read(path, 1 << 20, &text, NULL), 0);
    buf_adds(&want, quote);
    for (; *code != '\0'; code++) {
        if (*code == '_')
            buf_adds(&want, underscore);
        else
            buf_addc(&want, *code);
    }
    buf_adds(&want, quote);
    found = strstr(text.data, want.data) != NULL;
    buf_free(&text);
    buf_free(&want);
    return found;
}

START_TEST(documented)
{
    for (size_t i = 0; record_error_codes[i] != NULL; i++) {
        const char *code = record_error_codes[i];

        ck_assert_msg(mentions("docs/records.md", code, "`", "_"),
                      "docs/records.md lacks %s", code);
        ck_assert_msg(mentions("man/skein-batch.5.scd", code, "*", "\\_"),
                      "man/skein-batch.5.scd lacks %s", code);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("record_error", filled, cut, documented);
}
