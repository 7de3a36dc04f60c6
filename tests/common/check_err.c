#include "common/err.h"

#include <string.h>

#include "tests/common/run.h"

START_TEST(the_cause_is_set_once_and_wrapped)
{
    struct err err;

    ck_assert_int_eq(err_set(&err, ERR_IO, "cannot read %s", "x"), -1);
    ck_assert_int_eq(err_wrap(&err, "job %d", 7), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_str_eq(err.text, "job 7: cannot read x");
}
END_TEST

START_TEST(nobody_needs_to_ask_for_the_text)
{
    ck_assert_int_eq(err_set(NULL, ERR_IO, "x"), -1);
    ck_assert_int_eq(err_wrap(NULL, "x"), -1);
}
END_TEST

START_TEST(a_text_is_one_line)
{
    struct err err;

    err_set(&err, ERR_INVALID, "key \"a\nb\x7f\"");
    err_wrap(&err, "f\r.yaml");
    ck_assert_str_eq(err.text, "f?.yaml: key \"a?b?\"");
}
END_TEST

START_TEST(long_texts_are_cut_between_characters)
{
    struct err err;
    char text[2 * ERR_TEXT_MAX];

    /* An odd offset makes the cut fall into a two-byte character. */
    for (size_t shift = 0; shift < 2; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 < sizeof text; i += 2)
            memcpy(text + i, "\xC3\xA9", 2);
        text[sizeof text - 2 - shift % 2] = '\0';
        err_set(&err, ERR_INVALID, "%s", text);
        ck_assert_uint_lt(strlen(err.text), ERR_TEXT_MAX);
        ck_assert_uint_gt(strlen(err.text), ERR_TEXT_MAX - 5);
        ck_assert_int_eq((unsigned char)err.text[strlen(err.text) - 1], 0xA9);
        err_wrap(&err, "context");
        ck_assert_uint_lt(strlen(err.text), ERR_TEXT_MAX);
        ck_assert_int_eq(strncmp(err.text, "context: ", 9), 0);
    }
}
END_TEST

START_TEST(every_code_has_its_own_name)
{
    static const enum err_code codes[] = {
        ERR_NONE,      ERR_LINES,     ERR_USAGE,   ERR_JOB_FAILED,
        ERR_CANCELLED, ERR_NOT_FOUND, ERR_INVALID, ERR_UNREACHABLE,
        ERR_INTERNAL,  ERR_OS,        ERR_IO,      ERR_AGAIN,
        ERR_PROTOCOL,  ERR_DENIED,    ERR_CONFIG,  ERR_NOMEM,
        ERR_TIMEOUT,   ERR_CONFLICT,  ERR_LIMIT,   ERR_CORRUPT,
        ERR_CUDA,      ERR_NCCL,
    };
    size_t n = sizeof codes / sizeof *codes;

    for (size_t i = 0; i < n; i++) {
        ck_assert_str_ne(err_name(codes[i]), "unknown");
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(err_name(codes[i]), err_name(codes[k]));
    }
    ck_assert_str_eq(err_name((enum err_code)99), "unknown");
}
END_TEST

int main(void)
{
    return RUN_TESTS("err", the_cause_is_set_once_and_wrapped,
                     nobody_needs_to_ask_for_the_text, a_text_is_one_line,
                     long_texts_are_cut_between_characters,
                     every_code_has_its_own_name);
}
