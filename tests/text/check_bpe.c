#include <string.h>

#include "common/clock.h"
#include "tests/common/run.h"
#include "tests/text/small.h"
#include "text/nfc.h"

static struct tokenizer *t;

/* Encoding of a string. */
static void expect(const char *text, const char *want)
{
    ck_assert_int_eq(small_expect(t, text, strlen(text), want), 0);
}

START_TEST(merging)
{
    t = small_bpe();
    ck_assert_str_eq(tokenizer_family(t), "bpe");
    ck_assert_int_eq(tokenizer_size(t), 260);
    expect("", "");
    expect("ab", "245");
    expect("abc", "246");
    /* b c could merge too, but a b has the better rank. */
    expect("xabcx", "122 246 122");
    expect("bc", "247");
    /* Five a: two pairs from the left merge, and those again. */
    expect("aaaaa", "252 99");
    expect("the", "118 249");
    expect(" the", "250");
    /* Pieces are never merged across: the second 1 2 is one, 2 1 is not. */
    expect("12 21", "254 34 52 51");
    expect("a's", "99 255");
    tokenizer_close(t);
}
END_TEST

START_TEST(text_is_normalised_first)
{
    t = small_bpe();
    expect("\xc3\xa9", "253");
    expect("e\xcc\x81", "253");
    tokenizer_close(t);
}
END_TEST

START_TEST(added_tokens)
{
    t = small_bpe();
    expect("<|endoftext|>", "0");
    expect("a<|endoftext|>ab<|padding|>", "99 0 245 1");
    expect("<|endoftext|<|endoftext|>",
           "62 126 103 112 102 113 104 118 103 122 118 126 0");
    /* The longest first: four, two, and one space that joins the word. */
    expect("       the", "259 258 250");
    expect("    a", "259 99");
    expect("a\n  \nb", "99 12 258 12 100");
    /* Special tokens are searched before normalisation, others after it. */
    expect("e<|padding|>\xcc\x81", "103 1 204 131");
    tokenizer_close(t);
}
END_TEST

START_TEST(bytes_of_ids)
{
    static const int32_t ids[] = {0, 1, 246, 253, 258, 999, -1};
    struct buf out = BUF_INIT;
    size_t len = 9;

    t = small_bpe();
    ck_assert_ptr_nonnull(tokenizer_bytes(t, TOKENIZER_END, &len));
    ck_assert_uint_eq(len, 0);
    tokenizer_decode(t, ids, sizeof ids / sizeof *ids, &out);
    ck_assert_str_eq(out.data, "<|padding|>abc\xc3\xa9  ");
    buf_free(&out);
    tokenizer_close(t);
}
END_TEST

START_TEST(text_that_is_not_utf8_is_refused)
{
    struct ids ids = {0};
    struct err err;

    t = small_bpe();
    ids_add(&ids, 7);
    ck_assert_int_eq(tokenizer_encode(t, "ab\xff", 3, &ids, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_str_eq(err.text, "the text is not UTF-8 at byte 2");
    ck_assert_int_eq(tokenizer_encode(t, "\xe4\xb8", 2, &ids, &err), -1);
    ck_assert_uint_eq(ids.n, 1);
    ids_free(&ids);
    tokenizer_close(t);
}
END_TEST

START_TEST(decoding_gives_the_normal_form)
{
    uint64_t seed = 9;

    t = small_bpe();
    for (int round = 0; round < 2000; round++) {
        struct buf text = BUF_INIT, nfc = BUF_INIT, back = BUF_INIT;
        struct ids ids = {0};

        small_random_text(&seed, 1 + small_random(&seed) % 60, &text);
        nfc_append(text.data, text.len, &nfc);
        ck_assert_int_eq(tokenizer_encode(t, text.data, text.len, &ids, NULL),
                         0);
        tokenizer_decode(t, ids.id, ids.n, &back);
        ck_assert_uint_eq(back.len, nfc.len);
        ck_assert_mem_eq(back.data, nfc.data, nfc.len);
        buf_free(&text);
        buf_free(&nfc);
        buf_free(&back);
        ids_free(&ids);
    }
    tokenizer_close(t);
}
END_TEST

/* One piece, and one with as many pieces as bytes. */
START_TEST(long_texts_take_no_quadratic_time)
{
    static const char letters[] = {'a', ' ', '\n', '\''};
    static char text[1 << 20];

    t = small_bpe();
    for (size_t i = 0; i < sizeof letters; i++) {
        int64_t start = clock_now_ms();
        struct ids ids = {0};

        memset(text, letters[i], sizeof text);
        ck_assert_int_eq(tokenizer_encode(t, text, sizeof text, &ids, NULL), 0);
        ck_assert_int_lt(clock_now_ms() - start, 5000);
        ids_free(&ids);
    }
    tokenizer_close(t);
}
END_TEST

int main(void)
{
    return RUN_TESTS("bpe", merging, text_is_normalised_first, added_tokens,
                     bytes_of_ids, text_that_is_not_utf8_is_refused,
                     decoding_gives_the_normal_form,
                     long_texts_take_no_quadratic_time);
}
