#include <string.h>

#include "tests/common/run.h"
#include "tests/text/small.h"

START_TEST(the_longest_token_is_taken)
{
    struct tokenizer *t = small_world();

    ck_assert_str_eq(tokenizer_family(t), "world");
    ck_assert_int_eq(tokenizer_size(t), 270);
    ck_assert_int_eq(small_expect(t, "", 0, ""), 0);
    ck_assert_int_eq(small_expect(t, "a", 1, "98"), 0);
    ck_assert_int_eq(small_expect(t, "ab", 2, "257"), 0);
    ck_assert_int_eq(small_expect(t, "abcd", 4, "258 101"), 0);
    ck_assert_int_eq(small_expect(t, "abcde", 5, "259"), 0);
    ck_assert_int_eq(small_expect(t, "\n\n\n", 3, "260 11"), 0);
    ck_assert_int_eq(small_expect(t, "it's the\"", 9, "265 261 35"), 0);
    ck_assert_int_eq(small_expect(t, "'\"", 2, "266"), 0);
    ck_assert_int_eq(small_expect(t, "  a  ", 5, "267"), 0);
    ck_assert_int_eq(small_expect(t, "\0\xff", 2, "1 256"), 0);
    /* No normalisation: e and a combining acute stay two characters. */
    ck_assert_int_eq(small_expect(t, "e\xcc\x81\xc3\xa9", 5, "102 205 130 262"),
                     0);
    ck_assert_int_eq(
        small_expect(t, "\xe4\xb8\xad\xe4\xb8\xae", 6, "263 264 175"), 0);
    ck_assert_int_eq(
        small_expect(t, "\xe2\x80\xa8\xf0\x9f\x98\x80", 7, "268 269"), 0);
    tokenizer_close(t);
}
END_TEST

START_TEST(decoding_inverts_encoding_for_any_bytes)
{
    struct tokenizer *t = small_world();
    uint64_t seed = 1;

    for (int round = 0; round < 2000; round++) {
        char text[200];
        size_t len = small_random(&seed) % sizeof text;
        unsigned letters = round % 2 == 0 ? 256 : 6;
        struct ids ids = {0};
        struct buf back = BUF_INIT;

        for (size_t i = 0; i < len; i++)
            text[i] = (char)((letters == 6 ? 'a' : 0)
                             + (int)(small_random(&seed) % letters));
        ck_assert_int_eq(tokenizer_encode(t, text, len, &ids, NULL), 0);
        tokenizer_decode(t, ids.id, ids.n, &back);
        ck_assert_uint_eq(back.len, len);
        ck_assert(len == 0 || memcmp(back.data, text, len) == 0);
        ids_free(&ids);
        buf_free(&back);
    }
    tokenizer_close(t);
}
END_TEST

START_TEST(ids_without_bytes)
{
    struct tokenizer *t = small_world();
    static const int32_t ids[] = {0, 98, -1, 270, 99, INT32_MAX, INT32_MIN};
    struct buf out = BUF_INIT;
    size_t len = 9;

    ck_assert_ptr_nonnull(tokenizer_bytes(t, 0, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert_ptr_null(tokenizer_bytes(t, 270, &len));
    ck_assert_ptr_null(tokenizer_bytes(t, -1, &len));
    tokenizer_decode(t, ids, sizeof ids / sizeof *ids, &out);
    ck_assert_str_eq(out.data, "ab");
    buf_free(&out);
    tokenizer_close(t);
}
END_TEST

START_TEST(crlf_and_a_missing_last_line_end_are_accepted)
{
    struct buf lf = BUF_INIT, crlf = BUF_INIT;
    struct tokenizer *t;

    small_world_text(&lf);
    for (size_t i = 0; i + 1 < lf.len; i++) {
        if (lf.data[i] == '\n')
            buf_addc(&crlf, '\r');
        buf_addc(&crlf, lf.data[i]);
    }
    t = tokenizer_parse("crlf", crlf.data, crlf.len, NULL);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(small_expect(t, "abcde\r\n", 7, "259 14 11"), 0);
    tokenizer_close(t);
    buf_free(&lf);
    buf_free(&crlf);
}
END_TEST

/* Lines put behind the small vocabulary, whose last one is line 269. */
static const struct {
    const char *lines, *error;
} refused[] = {
    {"\n", "v:270: expected `ID LITERAL BYTELENGTH`"},
    {"270\n", "v:270: expected `ID LITERAL BYTELENGTH`"},
    {"270 'zz'\n", "v:270: expected `ID LITERAL BYTELENGTH`"},
    {"271 'zz' 2\n", "v:270: expected the id 270"},
    {"269 'zz' 2\n", "v:270: expected the id 270"},
    {"0270 'zz' 2\n", "v:270: expected the id 270"},
    {"+270 'zz' 2\n", "v:270: expected the id 270"},
    {" 270 'zz' 2\n", "v:270: expected the id 270"},
    {"99999999999999999999 'zz' 2\n", "v:270: expected the id 270"},
    {"270 'zz' 3\n", "v:270: the literal has 2 bytes, the line says 3"},
    {"270 '\\xe9\\xe9' 2\n", "v:270: the literal has 4 bytes, the line says 2"},
    {"270 'zz' x\n", "v:270: expected a byte length 1..256"},
    {"270 'zz' \n", "v:270: expected a byte length 1..256"},
    {"270 'zz' 257\n", "v:270: expected a byte length 1..256"},
    {"270 '' 0\n", "v:270: expected a byte length 1..256"},
    {"270 zz 2\n", "v:270: expected a quoted literal"},
    {"270  'zz' 2\n", "v:270: expected a quoted literal"},
    {"270 'zz\\q' 3\n", "v:270: unknown escape \\q in a str literal"},
    {"270 'abc' 3\n", "v:270: the same token as on line 258"},
    {"270 'zz' 2\n271 'zz' 2\n", "v:271: the same token as on line 270"},
    {"270 '\xff' 1\n", "v:270: byte 0xff is not UTF-8"},
    {"270 'zz' 2\n\n", "v:271: expected `ID LITERAL BYTELENGTH`"},
};

START_TEST(what_is_refused_and_where)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct buf text = BUF_INIT;
        struct err err = {0};

        small_world_text(&text);
        buf_adds(&text, refused[i].lines);
        ck_assert_msg(tokenizer_parse("v", text.data, text.len, &err) == NULL,
                      "accepted: %s", refused[i].lines);
        ck_assert_str_eq(err.text, refused[i].error);
        ck_assert_int_eq(err.code, ERR_INVALID);
        buf_free(&text);
    }
}
END_TEST

START_TEST(a_vocabulary_without_all_bytes_is_refused)
{
    struct err err;

    ck_assert_ptr_null(tokenizer_parse("v", "", 0, &err));
    ck_assert_str_eq(err.text, "v: no token is the single byte 0x00");
    ck_assert_ptr_null(tokenizer_parse("v", "1 '\\x00' 1\n", 11, &err));
    ck_assert_str_eq(err.text, "v: no token is the single byte 0x01");
}
END_TEST

int main(void)
{
    return RUN_TESTS("world", the_longest_token_is_taken,
                     decoding_inverts_encoding_for_any_bytes, ids_without_bytes,
                     crlf_and_a_missing_last_line_end_are_accepted,
                     what_is_refused_and_where,
                     a_vocabulary_without_all_bytes_is_refused);
}
