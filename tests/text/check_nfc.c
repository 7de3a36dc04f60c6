#include "text/nfc.h"

#include <string.h>
#include <utf8proc.h>

#include "common/clock.h"
#include "tests/common/run.h"
#include "tests/text/small.h"

START_TEST(known_forms)
{
    static const struct {
        const char *text, *nfc;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"e\xcc\x81", "\xc3\xa9"},
        /* Marks are ordered by class before composing: dot below first. */
        {"s\xcc\x87\xcc\xa3", "\xe1\xb9\xa9"},
        {"s\xcc\xa3\xcc\x87", "\xe1\xb9\xa9"},
        /* The angstrom and ohm signs are other characters. */
        {"\xe2\x84\xab", "\xc3\x85"},
        {"\xe2\x84\xa6", "\xce\xa9"},
        /* Hangul: three jamo are one syllable. */
        {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"},
        /* A composition exclusion stays decomposed. */
        {"\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"},
        /* U+0344 becomes two marks. */
        {"\xcd\x84", "\xcc\x88\xcc\x81"},
        /* Compatibility characters are none of NFC's business. */
        {"\xef\xac\x81\xc2\xb2", "\xef\xac\x81\xc2\xb2"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;

        buf_adds(&out, "<");
        nfc_append(cases[i].text, strlen(cases[i].text), &out);
        ck_assert_msg(strcmp(out.data + 1, cases[i].nfc) == 0, "case %zu", i);
        buf_free(&out);
    }
}
END_TEST

/* The library's own ordering is the oracle, where runs are short enough. */
START_TEST(like_the_library)
{
    uint64_t seed = 3;

    for (int round = 0; round < 3000; round++) {
        struct buf text = BUF_INIT, out = BUF_INIT;
        utf8proc_uint8_t *want = NULL;
        utf8proc_ssize_t n;

        small_random_text(&seed, 1 + small_random(&seed) % 40, &text);
        n = utf8proc_map((const utf8proc_uint8_t *)text.data,
                         (utf8proc_ssize_t)text.len, &want,
                         UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        ck_assert_int_ge(n, 0);
        nfc_append(text.data, text.len, &out);
        ck_assert_uint_eq(out.len, (size_t)n);
        ck_assert_mem_eq(out.data, want, out.len);
        free(want);
        buf_free(&text);
        buf_free(&out);
    }
}
END_TEST

/* One starter and a megabyte of marks in the worst order. */
START_TEST(long_runs_of_marks_take_linear_time)
{
    struct buf text = BUF_INIT, out = BUF_INIT;
    int64_t start;

    buf_adds(&text, "a");
    while (text.len < 1 << 20)
        buf_adds(&text, "\xcc\x81\xcc\xa3\xcc\xb4");
    start = clock_now_ms();
    nfc_append(text.data, text.len, &out);
    ck_assert_int_lt(clock_now_ms() - start, 3000);
    /* a with dot below; the overlays (class 1) come before it. */
    ck_assert_mem_eq(out.data, "\xe1\xba\xa1\xcc\xb4\xcc\xb4", 7);
    buf_free(&text);
    buf_free(&out);
}
END_TEST

int main(void)
{
    return RUN_TESTS("nfc", known_forms, like_the_library,
                     long_runs_of_marks_take_linear_time);
}
