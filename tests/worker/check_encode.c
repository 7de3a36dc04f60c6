/* The start token policy is a table; here it is. */
#include "worker/encode.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "worker/vocab.h"
#include "worker/work.h"

static struct tokenizer *tokenizer; /* byte b is token b + 1 */

static void setup(void)
{
    ck_assert_int_eq(vocab_open("null", "", &tokenizer, NULL), 0);
}

static void teardown(void)
{
    tokenizer_close(tokenizer);
}

/* Encode a line and write it as "prefix|branch|branch..", or the error code. */
static const char *encode_as(const char *line, Skein__Bos bos, int32_t vocab,
                             const struct tokenizer *t, struct encoded *e)
{
    static char text[512];
    const struct encode_rules rules = {
        .tokenizer = t, .vocab = vocab, .bos = bos, .job_seed = 5};
    static struct encode_scratch scratch;
    struct record_error why = {0};
    struct record *r = record_parse(NULL, line, strlen(line), 1, NULL, &why);
    struct buf out = BUF_INIT, request = BUF_INIT;
    struct work w;

    ck_assert_msg(r != NULL, "%s: %s", line, why.message);
    if (encode_record(&rules, r, 77, &scratch, &request, e, &why) < 0) {
        snprintf(text, sizeof text, "%s %s", why.code, why.field);
    } else {
        const int32_t *at;

        ck_assert_int_eq(work_read(request.data, request.len, &w), 0);
        ck_assert_uint_eq(w.head.id, 77);
        at = w.token;
        for (uint32_t i = 0; i < w.head.n_prefix; i++)
            buf_addf(&out, "%d ", *at++);
        for (uint32_t b = 0; b < w.head.n_branch; b++) {
            buf_addc(&out, '|');
            for (int32_t i = 0; i < w.branch_len[b]; i++)
                buf_addf(&out, "%d ", *at++);
        }
        snprintf(text, sizeof text, "%s", out.data);
    }
    record_free(r);
    encode_scratch_free(&scratch);
    buf_free(&out);
    buf_free(&request);
    return text;
}

#define COMPLETION(members)                     \
    "{\"custom_id\":\"c\",\"method\":\"POST\"," \
    "\"url\":\"/v1/completions\",\"body\":{\"model\":\"m\"," members "}}"

/* "A" is token 66, "B" 67, "C" 68. */
static const struct policy {
    const char *line;
    const char *want[3]; /* always, if-empty, never */
} policies[] = {
    {"{\"context\":\"AB\",\"target\":\"C\"}",
     {"0 66 |67 68 ", "66 |67 68 ", "66 |67 68 "}},
    {"{\"context\":\"\",\"target\":\"C\"}",
     {"|0 68 ", "|0 68 ", "nothing_to_condition_on context"}},
    {"{\"context_ids\":[66,67],\"target\":\"C\"}",
     {"66 |67 68 ", "66 |67 68 ", "66 |67 68 "}},
    {"{\"context_ids\":[],\"target\":\"C\"}",
     {"nothing_to_condition_on context", "nothing_to_condition_on context",
      "nothing_to_condition_on context"}},
    {"{\"context\":\"\",\"target_ids\":[9,8]}",
     {"|0 9 8 ", "|0 9 8 ", "nothing_to_condition_on context"}},
    {"{\"context\":\"AB\",\"choices\":[\"C\",\"AA\"]}",
     {"0 66 |67 68 |67 66 66 ", "66 |67 68 |67 66 66 ",
      "66 |67 68 |67 66 66 "}},
    {"{\"context\":\"\",\"choices\":[\"C\",\"A\"]}",
     {"|0 68 |0 66 ", "|0 68 |0 66 ", "nothing_to_condition_on context"}},
    {"{\"context_ids\":[7],\"choices_ids\":[[1],[2]]}",
     {"|7 1 |7 2 ", "|7 1 |7 2 ", "|7 1 |7 2 "}},
    {"{\"text\":\"AB\"}", {"|0 66 67 ", "|0 66 67 ", "|66 67 "}},
    {"{\"text_ids\":[66,67]}", {"|66 67 ", "|66 67 ", "|66 67 "}},
    {"{\"prompt\":\"AB\"}", {"0 66 |67 ", "66 |67 ", "66 |67 "}},
    {"{\"prompt\":\"\"}", {"|0 ", "|0 ", "nothing_to_condition_on prompt"}},
    {"{\"prompt_ids\":[66]}", {"|66 ", "|66 ", "|66 "}},
    /* n samples share the prompt's state; several prompts share nothing, nor
     * does one that is scored itself. */
    {COMPLETION("\"prompt\":\"AB\",\"n\":3"),
     {"0 66 |67 |67 |67 ", "66 |67 |67 |67 ", "66 |67 |67 |67 "}},
    {COMPLETION("\"prompt\":[\"AB\",[68],\"\"],\"n\":2"),
     {"|0 66 67 |0 66 67 |68 |68 |0 |0 ", "|66 67 |66 67 |68 |68 |0 |0 ",
      "nothing_to_condition_on prompt"}},
    {COMPLETION("\"prompt\":\"AB\",\"echo\":true,\"logprobs\":1"),
     {"|0 66 67 ", "|66 67 ", "|66 67 "}},
    {COMPLETION("\"prompt\":\"AB\",\"echo\":true"),
     {"0 66 |67 ", "66 |67 ", "66 |67 "}},
    {COMPLETION("\"prompt\":\"AB\",\"max_tokens\":0"),
     {"|0 66 67 ", "|66 67 ", "|66 67 "}},
    {COMPLETION("\"top_k\":1"), {"|0 ", "|0 ", "|0 "}},
};

START_TEST(start_token)
{
    const struct policy *p = &policies[_i / 3];
    struct encoded e;

    ck_assert_str_eq(
        encode_as(p->line, (Skein__Bos)(_i % 3), 300, tokenizer, &e),
        p->want[_i % 3]);
}
END_TEST

START_TEST(what_the_answer_needs)
{
    struct encoded e;

    encode_as("{\"context\":\"AB\",\"target\":\"CCC\"}", 0, 300, tokenizer, &e);
    ck_assert_uint_eq(e.n_scored, 3);
    ck_assert_uint_eq(e.cost, 6);
    encode_as("{\"text\":\"ABC\"}", 0, 300, tokenizer, &e);
    ck_assert_uint_eq(e.n_scored, 3);
    ck_assert(!e.first_unscored);
    encode_as("{\"text\":\"ABC\"}", SKEIN__BOS__BOS_NEVER, 300, tokenizer, &e);
    ck_assert_uint_eq(e.n_scored, 2);
    ck_assert(e.first_unscored);
    encode_as("{\"text_ids\":[1,2,3]}", 0, 300, tokenizer, &e);
    ck_assert_uint_eq(e.n_scored, 2);
    ck_assert(e.first_unscored);
    encode_as("{\"prompt\":\"A\",\"max_tokens\":50}", 0, 300, tokenizer, &e);
    ck_assert_uint_eq(e.cost, 52);
}
END_TEST

START_TEST(ids_outside_the_vocabulary)
{
    struct encoded e;

    ck_assert_str_eq(
        encode_as(COMPLETION("\"prompt\":[[1],[2,99]]"), 0, 68, tokenizer, &e),
        "token_out_of_range prompt[1][1]");

    ck_assert_str_eq(encode_as("{\"context_ids\":[1,68],\"target_ids\":[1]}", 0,
                               68, tokenizer, &e),
                     "token_out_of_range context_ids[1]");
    ck_assert_str_eq(
        encode_as("{\"context\":\"A\",\"choices_ids\":[[1],[67,99]]}", 0, 68,
                  tokenizer, &e),
        "token_out_of_range choices_ids[1][1]");
    ck_assert_str_eq(encode_as("{\"text\":\"AC\"}", 0, 68, tokenizer, &e),
                     "token_out_of_range text");
}
END_TEST

START_TEST(without_tokenizer)
{
    struct encoded e;

    ck_assert_str_eq(
        encode_as("{\"context_ids\":[1],\"target\":\"C\"}", 0, 300, NULL, &e),
        "no_tokenizer target");
    ck_assert_str_eq(
        encode_as("{\"context_ids\":[1],\"target_ids\":[2]}", 0, 300, NULL, &e),
        "|1 2 ");
    ck_assert_str_eq(encode_as("{\"prompt_ids\":[1]}", 0, 300, NULL, &e),
                     "no_tokenizer prompt");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encode");
    TCase *t = tcase_create("encode");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, start_token, 0,
                        3 * (int)(sizeof policies / sizeof *policies));
    tcase_add_test(t, what_the_answer_needs);
    tcase_add_test(t, ids_outside_the_vocabulary);
    tcase_add_test(t, without_tokenizer);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
