#include "model/philox.h"

#include <check.h>

/* Random123's kat_vectors, philox4x32 with 10 rounds. */
static const struct {
    uint32_t counter[4], key[2], want[4];
} vectors[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(known_answers)
{
    uint32_t out[4];

    philox4x32(vectors[_i].key, vectors[_i].counter, out);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(out[i], vectors[_i].want[i]);
}
END_TEST

/* The words behind a uniform number, and where each argument goes. */
START_TEST(bits_are_two_words_of_their_counter)
{
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    const uint32_t counter[4] = {3, 5, 7, 0};
    uint32_t word[4];

    philox4x32(key, counter, word);
    ck_assert_uint_eq(philox_bits(0x0123456789abcdef, 3, 5, 7),
                      (uint64_t)word[0] << 32 | word[1]);
    ck_assert_uint_eq(philox_bits(0, 0, 0, 0), 0x6627e8d5e169c58d);
}
END_TEST

START_TEST(bits_are_uniform)
{
    int bin[16] = {0};
    double square = 0;

    for (uint32_t i = 0; i < 160000; i++)
        bin[philox_bits(42, i & 3, i >> 2, 0) >> 60]++;
    for (int i = 0; i < 16; i++)
        square += (bin[i] - 10000.0) * (bin[i] - 10000.0) / 10000.0;
    ck_assert_msg(square < 37.7, "chi-square %.1f of 15", square); /* 0.999 */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("philox");
    TCase *c = tcase_create("philox");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, c);
    tcase_add_loop_test(c, known_answers, 0, sizeof vectors / sizeof *vectors);
    tcase_add_test(c, bits_are_two_words_of_their_counter);
    tcase_add_test(c, bits_are_uniform);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
