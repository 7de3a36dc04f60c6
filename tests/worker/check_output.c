/* A line, its request and what a rank would answer, as the output line. */
#include "worker/output.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/vocab.h"

static struct tokenizer *tokenizer; /* byte b is token b + 1 */
static const uint8_t fingerprint[HASH_BYTES] = {0xAB, 0xCD};
static struct encode_rules rules;
static struct shard_item item;
static struct encode_scratch scratch;
static struct buf request, payload, out;

static void setup(void)
{
    ck_assert_int_eq(hash_init(NULL), 0);
    ck_assert_int_eq(vocab_open("null", "", &tokenizer, NULL), 0);
    rules = (struct encode_rules){
        .tokenizer = tokenizer,
        .vocab = 300,
        .job = {.fingerprint = fingerprint, .created_s = 1234}};
}

static void clear(void)
{
    record_free(item.record);
    item = (struct shard_item){0};
    buf_free(&request);
    buf_free(&payload);
    buf_free(&out);
}

static void teardown(void)
{
    clear();
    encode_scratch_free(&scratch);
    tokenizer_close(tokenizer);
}

static void ask(const char *line)
{
    struct record_error e;

    clear();
    item.record = record_parse(&rules.job, line, strlen(line), 9, NULL, &e);
    ck_assert_msg(item.record != NULL, "%s", e.message);
    ck_assert_msg(encode_record(&rules, item.record, 1, &scratch, &request,
                                &item.encoded, &e)
                      == 0,
                  "%s", e.message);
    item.request_len = (uint32_t)request.len;
}

/* One branch of the answer; k alternatives of each token of `detail`. */
static void branch(struct answer_branch b, const char *text,
                   const struct token_logprob *detail, uint32_t k)
{
    b.text_bytes = (uint32_t)strlen(text);
    answer_add_branch(&payload, &b, detail, k, text);
}

static const char *answer(void)
{
    item.answer_len = payload.len;
    output_write(&rules, &item, request.data, payload.data, &out);
    return out.data;
}

/* The body of an answer to an OpenAI line, whose ids are replaced by TAG. */
static const char *body(void)
{
    static char text[2048];
    char hex[2 * RECORD_TAG_BYTES + 1], *at;

    snprintf(text, sizeof text, "%s", answer());
    hash_hex(item.record->tag, RECORD_TAG_BYTES, hex);
    while ((at = strstr(text, hex)) != NULL) {
        memcpy(at, "TAG", 3);
        memmove(at + 3, at + strlen(hex), strlen(at + strlen(hex)) + 1);
    }
    at = strstr(text, "\"body\":");
    ck_assert_ptr_nonnull(at);
    ck_assert_ptr_nonnull(strstr(at, "},\"error\":null,\"line\":9}"));
    *strstr(at, "},\"error\":null,\"line\":9}") = '\0';
    return at + strlen("\"body\":");
}

#define LINE(url, members)                                    \
    "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" url \
    "\",\"body\":{\"model\":\"m\"," members "}}"
#define CHOICES                                            \
    "{\"id\":\"cmpl-TAG\",\"object\":\"text_completion\"," \
    "\"created\":1234,\"model\":\"m\","                    \
    "\"system_fingerprint\":\"fp_abcd000000000000\",\"choices\":["

/* The prompt is <start> a and the two bytes of U+00E9; "b" and the end token
 * are drawn.
 */
START_TEST(echo_with_logprobs)
{
    static const struct token_logprob detail[] = {
        {98, -1},     {1, -0.5f},   {2, -0.75f},  /* a */
        {196, -2},    {196, -2},    {5, -3},      /* first byte */
        {170, -4},    {196, -1},    {197, -1.5f}, /* second byte */
        {99, -0.25f}, {99, -0.25f}, {0, -2},      /* b */
        {0, -0.125f}, {0, -0.125f}, {99, -9},     /* the end */
    };

    ask(LINE("/v1/completions",
             "\"prompt\":\"a\\u00e9\",\"max_tokens\":5,\"echo\":true,"
             "\"logprobs\":2"));
    branch((struct answer_branch){.n_detail = 5, .sampled = 1, .ended = 1}, "b",
           detail, 2);
    ck_assert_str_eq(
        body(),
        CHOICES "{\"index\":0,\"text\":\"a\xC3\xA9"
                "b\",\"finish_reason\":\"stop\",\"logprobs\":{\"tokens\":["
                "\"<|endoftext|>\",\"a\",\"\xEF\xBF\xBD\",\"\xEF\xBF\xBD\","
                "\"b\",\"<|endoftext|>\"],\"token_logprobs\":[null,-1,-2,-4,"
                "-0.25,-0.125],\"top_logprobs\":[null,{\"\\u0000\":-0.5,"
                "\"\\u0001\":-0.75,\"a\":-1},{\"\xEF\xBF\xBD\":-2,\"\\u0004\":"
                "-3},{\"\xEF\xBF\xBD\":-1},{\"b\":-0.25,\"<|endoftext|>\":-2},"
                "{\"<|endoftext|>\":-0.125,\"b\":-9}],"
                "\"text_offset\":[0,0,1,1,2,3]}}],\"usage\":{"
                "\"prompt_tokens\":4,\"completion_tokens\":2,"
                "\"total_tokens\":6}}");
}
END_TEST

/* Texts that collide are told apart as ids. */
START_TEST(tokens_as_ids)
{
    static const struct token_logprob detail[] = {
        {170, -4}, {196, -1}, {197, -1.5f}};

    ask(LINE("/v1/completions",
             "\"prompt\":[7],\"max_tokens\":1,\"logprobs\":2,"
             "\"return_tokens_as_token_ids\":true"));
    branch((struct answer_branch){.n_detail = 1,
                                  .sampled = 1,
                                  .finish = ANSWER_LENGTH},
           "\xEF\xBF\xBD", detail, 2);
    ck_assert_str_eq(body(), CHOICES
                     "{\"index\":0,\"text\":\"\xEF\xBF\xBD\","
                     "\"finish_reason\":\"length\",\"logprobs\":{"
                     "\"tokens\":[\"token_id:170\"],\"token_logprobs\":[-4],"
                     "\"top_logprobs\":[{\"token_id:196\":-1,"
                     "\"token_id:197\":-1.5,\"token_id:170\":-4}],"
                     "\"text_offset\":[0]}}],\"usage\":{\"prompt_tokens\":1,"
                     "\"completion_tokens\":1,\"total_tokens\":2}}");
}
END_TEST

/* Two prompts, two samples each: prompts count once in the usage. */
START_TEST(several_choices)
{
    ask(LINE("/v1/completions",
             "\"prompt\":[\"ab\",[1,2,3]],\"n\":2,\"echo\":true"));
    for (uint8_t i = 0; i < 4; i++)
        branch((struct answer_branch){.sampled = 1, .finish = i & 1},
               i == 3 ? "" : "x", NULL, 0);
    ck_assert_str_eq(
        body(), CHOICES
        "{\"index\":0,\"text\":\"abx\",\"finish_reason\":\"stop\","
        "\"logprobs\":null},{\"index\":1,\"text\":\"abx\","
        "\"finish_reason\":\"length\",\"logprobs\":null},{\"index\":2,"
        "\"text\":\"\\u0000\\u0001\\u0002x\",\"finish_reason\":\"stop\","
        "\"logprobs\":null},{\"index\":3,\"text\":"
        "\"\\u0000\\u0001\\u0002\",\"finish_reason\":\"length\","
        "\"logprobs\":null}],\"usage\":{\"prompt_tokens\":6,"
        "\"completion_tokens\":4,\"total_tokens\":10}}");
}
END_TEST

/* The space behind "Assistant:" is not part of the answer. */
START_TEST(chat)
{
    static const struct token_logprob detail[] = {{33, -1}, {33, -1}};

    ask(LINE("/v1/chat/completions",
             "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
             "\"logprobs\":true,\"top_logprobs\":1"));
    branch((struct answer_branch){.n_detail = 1, .sampled = 1}, " ", detail, 1);
    ck_assert_str_eq(
        body(),
        "{\"id\":\"chatcmpl-TAG\",\"object\":\"chat.completion\","
        "\"created\":1234,\"model\":\"m\","
        "\"system_fingerprint\":\"fp_abcd000000000000\",\"choices\":["
        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\","
        "\"refusal\":null},\"finish_reason\":\"stop\",\"logprobs\":{"
        "\"content\":[{\"token\":\" \",\"logprob\":-1,\"bytes\":[32],"
        "\"top_logprobs\":[{\"token\":\" \",\"logprob\":-1,\"bytes\":[32]}]}],"
        "\"refusal\":null}}],\"usage\":{\"prompt_tokens\":20,"
        "\"completion_tokens\":1,\"total_tokens\":21}}");
}
END_TEST

START_TEST(scoring)
{
    static const struct token_logprob detail[] = {{67, -0.5f}, {9, -0.25f}};

    ask(LINE("/v1/loglikelihood",
             "\"context\":\"A\",\"continuations\":[\"\\u00e9\",[7]]"));
    branch((struct answer_branch){.logprob = -3.5, .greedy = 1}, "", NULL, 0);
    branch((struct answer_branch){.logprob = -1}, "", NULL, 0);
    ck_assert_str_eq(
        body(), "{\"object\":\"loglikelihood\",\"choices\":[{\"index\":0,"
                "\"logprob\":-3.5,\"is_greedy\":true,\"tokens\":2,\"chars\":1,"
                "\"bytes\":2},{\"index\":1,\"logprob\":-1,\"is_greedy\":false,"
                "\"tokens\":1,\"chars\":0,\"bytes\":0}],\"usage\":{"
                "\"prompt_tokens\":5,\"completion_tokens\":0,"
                "\"total_tokens\":5}}");
    ask(LINE("/v1/loglikelihood_rolling", "\"text\":\"B\",\"top_logprobs\":1"));
    branch((struct answer_branch){.logprob = -0.5, .n_detail = 1}, "", detail,
           1);
    ck_assert_str_eq(body(),
                     "{\"object\":\"loglikelihood_rolling\",\"logprob\":-0.5,"
                     "\"tokens\":1,\"words\":1,\"bytes\":1,\"token_ids\":[67],"
                     "\"token_logprobs\":[-0.5],\"top_logprobs\":[[[9,-0.25]]],"
                     "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":0,"
                     "\"total_tokens\":2}}");
}
END_TEST

START_TEST(native_details)
{
    static const struct token_logprob detail[] = {
        {67, -0.5f}, {9, -0.25f}, {0, -1}, {0, -1}};

    ask("{\"context\":\"A\",\"target\":\"B\",\"top_logprobs\":1}");
    branch((struct answer_branch){.logprob = -0.5, .n_detail = 1}, "", detail,
           1);
    ck_assert_str_eq(answer(),
                     "{\"id\":9,\"logprob\":-0.5,\"greedy\":false,\"tokens\":1,"
                     "\"token_ids\":[67],\"token_logprobs\":[-0.5],"
                     "\"top_logprobs\":[[[9,-0.25]]]}");
    ask("{\"context\":\"A\",\"choices\":[\"B\"],\"token_logprobs\":true,"
        "\"metadata\":{}}");
    branch((struct answer_branch){.logprob = -0.5, .n_detail = 1}, "", detail,
           0);
    ck_assert_str_eq(answer(),
                     "{\"id\":9,\"logprobs\":[-0.5],\"choice\":0,\"details\":["
                     "{\"token_ids\":[67],\"token_logprobs\":[-0.5]}],"
                     "\"metadata\":{}}");
    /* The end token is not one of the generated ones. */
    ask("{\"prompt\":\"A\",\"top_logprobs\":1}");
    branch((struct answer_branch){.sampled = 1, .n_detail = 2, .ended = 1}, "B",
           detail, 1);
    ck_assert_str_eq(answer(),
                     "{\"id\":9,\"text\":\"B\",\"finish_reason\":\"stop\","
                     "\"tokens\":1,\"token_ids\":[67],"
                     "\"token_logprobs\":[-0.5],"
                     "\"top_logprobs\":[[[9,-0.25]]]}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output");
    TCase *tc = tcase_create("output");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, echo_with_logprobs);
    tcase_add_test(tc, tokens_as_ids);
    tcase_add_test(tc, several_choices);
    tcase_add_test(tc, chat);
    tcase_add_test(tc, scoring);
    tcase_add_test(tc, native_details);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
