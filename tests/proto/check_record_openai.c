/* Lines of OpenAI batches: what they ask for, what is refused, how the lines
 * around answers and errors look.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "proto/record.h"
#include "tests/common/run.h"

#define COMPLETIONS "/v1/completions"
#define CHAT "/v1/chat/completions"
#define LOGLIKELIHOOD "/v1/loglikelihood"
#define ROLLING "/v1/loglikelihood_rolling"

static const struct record_job job = {.model = "m@0123"};

/* A line whose body is {"model":"m",MEMBERS}. */
static const char *line_of(const char *url, const char *members)
{
    static char line[4096];

    snprintf(line, sizeof line,
             "{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"%s\","
             "\"body\":{\"model\":\"m\"%s%s}}",
             url, members[0] != '\0' ? "," : "", members);
    return line;
}

static struct record *good(const char *url, const char *members)
{
    const char *line = line_of(url, members);
    struct record_error e = {0};
    struct record *r = record_parse(&job, line, strlen(line), 5, NULL, &e);

    ck_assert_msg(r != NULL, "%s: %s %s", line, e.code, e.message);
    ck_assert_int_eq(r->form, RECORD_OPENAI);
    ck_assert_str_eq(r->id, "c");
    ck_assert_str_eq(r->model, "m");
    ck_assert_uint_eq(r->n_warnings, 0);
    return r;
}

START_TEST(completion_defaults)
{
    struct record *r = good(COMPLETIONS, "\"prompt\":\"a\"");

    ck_assert_int_eq(r->kind, RECORD_GENERATE);
    ck_assert_uint_eq(r->n_prompt, 1);
    ck_assert_str_eq(r->prompt->text, "a");
    ck_assert_int_eq(r->max_tokens, 16);
    ck_assert_double_eq(r->temperature, 1);
    ck_assert_double_eq(r->top_p, 1);
    ck_assert_uint_eq(r->n, 1);
    ck_assert(!r->echo && !r->token_logprobs && !r->has_seed);
    record_free(r);
    r = good(COMPLETIONS, ""); /* "<|endoftext|>" */
    ck_assert(r->prompt->is_ids);
    ck_assert_uint_eq(r->prompt->n, 1);
    ck_assert_int_eq(r->prompt->id[0], 0);
    record_free(r);
}
END_TEST

START_TEST(prompts)
{
    struct record *r = good(COMPLETIONS, "\"prompt\":[1,2]");

    ck_assert_uint_eq(r->n_prompt, 1);
    ck_assert_uint_eq(r->prompt->n, 2);
    ck_assert(!record_has_text(r));
    record_free(r);
    r = good(COMPLETIONS, "\"prompt\":[\"a\",[3],\"\"],\"n\":2,\"best_of\":2");
    ck_assert_uint_eq(r->n_prompt, 3);
    ck_assert_int_eq(r->prompt[1].id[0], 3);
    ck_assert_uint_eq(record_samples(r), 6);
    ck_assert(record_has_text(r));
    record_free(r);
}
END_TEST

START_TEST(completion_everything)
{
    struct record *r = good(
        COMPLETIONS,
        "\"prompt\":[[0]],\"max_tokens\":0,\"temperature\":2,\"top_p\":0,"
        "\"top_k\":-1,\"n\":128,\"seed\":-1,\"stop\":[\"a\",\"b\"],"
        "\"echo\":true,\"logprobs\":0,\"return_tokens_as_token_ids\":true");

    ck_assert_int_eq(r->max_tokens, 0);
    ck_assert_double_gt(r->top_p, 0);
    ck_assert_double_lt(r->top_p, 1e-300);
    ck_assert_int_eq(r->top_k, 0);
    ck_assert_uint_eq(record_samples(r), 128);
    ck_assert(r->has_seed);
    ck_assert_uint_eq(r->seed, UINT64_MAX);
    ck_assert_uint_eq(r->n_stop, 2);
    ck_assert(r->echo && r->token_logprobs && r->tokens_as_ids);
    ck_assert_int_eq(r->top_logprobs, 0);
    record_free(r);
}
END_TEST

/* What clients send without meaning anything by it. */
START_TEST(ignored_and_neutral)
{
    static const char *const members[] = {
        "\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"store\":true,"
        "\"service_tier\":\"auto\",\"priority\":3",
        "\"stream\":false,\"suffix\":null,\"best_of\":1,\"logit_bias\":{},"
        "\"presence_penalty\":0,\"frequency_penalty\":0.0",
        "\"repetition_penalty\":1.0,\"min_p\":0,\"stop_token_ids\":[],"
        "\"ignore_eos\":false,\"skip_special_tokens\":true,\"suffix\":\"\"",
        "\"max_tokens\":null,\"n\":null,\"logprobs\":null,\"stop\":null,"
        "\"seed\":null,\"prompt\":null,\"echo\":null,\"temperature\":null",
        "\"stop\":[],\"response_format\":{\"type\":\"text\"}",
    };

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        record_free(good(COMPLETIONS, members[i]));
    record_free(good(CHAT, "\"messages\":[{\"role\":\"user\",\"content\":"
                           "\"a\"}],\"tools\":[],\"tool_choice\":\"none\","
                           "\"parallel_tool_calls\":true,\"logprobs\":false"));
}
END_TEST

START_TEST(chat)
{
    struct record *r =
        good(CHAT, "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                   "{\"role\":\"user\",\"name\":\"x\",\"content\":["
                   "{\"type\":\"text\",\"text\":\"a\"},"
                   "{\"type\":\"text\",\"text\":\"b\"}]}],\"logprobs\":true,"
                   "\"top_logprobs\":20,\"max_completion_tokens\":7");

    ck_assert_int_eq(r->kind, RECORD_GENERATE);
    ck_assert_uint_eq(r->n_message, 2);
    ck_assert_str_eq(r->message[0].role, "system");
    ck_assert_str_eq(r->message[1].content.text, "ab");
    ck_assert_uint_eq(r->message[1].content.len, 2);
    ck_assert_int_eq(r->max_tokens, 7);
    ck_assert_int_eq(r->top_logprobs, 20);
    ck_assert_uint_eq(record_samples(r), 1);
    ck_assert(record_has_text(r));
    record_free(r);
}
END_TEST

START_TEST(scoring)
{
    struct record *r =
        good(LOGLIKELIHOOD, "\"context\":[1],\"continuations\":[\" a\",[5,6]]");

    ck_assert_int_eq(r->kind, RECORD_CHOICE);
    ck_assert(r->context.is_ids);
    ck_assert_uint_eq(r->n_target, 2);
    ck_assert_str_eq(r->target[0].text, " a");
    ck_assert_uint_eq(r->target[1].n, 2);
    ck_assert_int_eq(r->gold, -1);
    ck_assert(!r->token_logprobs);
    record_free(r);
    r = good(ROLLING, "\"text\":\"abc\",\"top_logprobs\":3");
    ck_assert_int_eq(r->kind, RECORD_ROLLING);
    ck_assert_str_eq(r->context.text, "abc");
    ck_assert(r->token_logprobs);
    ck_assert_int_eq(r->top_logprobs, 3);
    record_free(r);
}
END_TEST

static const struct bad {
    const char *url, *members, *code, *field;
} bad[] = {
    {"/v1/embeddings", "", "invalid_value", "url"},
    {COMPLETIONS, "\"tempratur\":1", "unknown_key", "tempratur"},
    {COMPLETIONS, "\"messages\":[]", "unknown_key", "messages"},
    {COMPLETIONS, "\"top_logprobs\":1", "unknown_key", "top_logprobs"},
    {COMPLETIONS, "\"prompt\":5", "wrong_type", "prompt"},
    {COMPLETIONS, "\"prompt\":[]", "invalid_value", "prompt"},
    {COMPLETIONS, "\"prompt\":[1,\"a\"]", "wrong_type", "prompt"},
    {COMPLETIONS, "\"prompt\":[\"a\",1]", "wrong_type", "prompt"},
    {COMPLETIONS, "\"prompt\":[[1],[-2]]", "invalid_value", "prompt"},
    {COMPLETIONS, "\"max_tokens\":-1", "invalid_value", "max_tokens"},
    {COMPLETIONS, "\"max_tokens\":1.5", "wrong_type", "max_tokens"},
    {COMPLETIONS, "\"temperature\":2.1", "invalid_value", "temperature"},
    {COMPLETIONS, "\"top_p\":-0.1", "invalid_value", "top_p"},
    {COMPLETIONS, "\"n\":0", "invalid_value", "n"},
    {COMPLETIONS, "\"n\":129", "invalid_value", "n"},
    {COMPLETIONS, "\"n\":2,\"best_of\":3", "unsupported_parameter", "best_of"},
    {COMPLETIONS, "\"n\":128,\"max_tokens\":1000000", "too_large",
     "max_tokens"},
    {COMPLETIONS, "\"logprobs\":6", "invalid_value", "logprobs"},
    {COMPLETIONS, "\"logprobs\":true", "wrong_type", "logprobs"},
    {COMPLETIONS, "\"echo\":1", "wrong_type", "echo"},
    {COMPLETIONS, "\"stream\":true", "unsupported_parameter", "stream"},
    {COMPLETIONS, "\"suffix\":\"s\"", "unsupported_parameter", "suffix"},
    {COMPLETIONS, "\"min_tokens\":1", "unsupported_parameter", "min_tokens"},
    {COMPLETIONS, "\"ignore_eos\":true", "unsupported_parameter", "ignore_eos"},
    {COMPLETIONS, "\"stop_token_ids\":[5]", "unsupported_parameter",
     "stop_token_ids"},
    {COMPLETIONS, "\"add_special_tokens\":false", "unsupported_parameter",
     "add_special_tokens"},
    {COMPLETIONS, "\"response_format\":{\"type\":\"json_object\"}",
     "unsupported_parameter", "response_format"},
    {COMPLETIONS, "\"stop\":[\"a\",\"\"]", "invalid_value", "stop"},
    {CHAT, "", "missing_field", "messages"},
    {CHAT, "\"messages\":[]", "invalid_value", "messages"},
    {CHAT, "\"messages\":{}", "wrong_type", "messages"},
    {CHAT, "\"messages\":[1]", "wrong_type", "messages"},
    {CHAT, "\"messages\":[{\"content\":\"a\"}]", "missing_field", "messages"},
    {CHAT, "\"messages\":[{\"role\":\"me\",\"content\":\"a\"}]",
     "invalid_value", "messages"},
    {CHAT, "\"messages\":[{\"role\":\"user\"}]", "missing_field", "messages"},
    {CHAT, "\"messages\":[{\"role\":\"user\",\"content\":null}]", "wrong_type",
     "messages"},
    {CHAT,
     "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_url\":{\"url\":\"x\"}}]}]",
     "invalid_value", "messages"},
    {CHAT, "\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"nme\":\"\"}]",
     "unknown_key", "nme"},
    {CHAT, "\"prompt\":\"a\"", "unknown_key", "prompt"},
    {CHAT,
     "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
     "\"top_logprobs\":2",
     "invalid_value", "top_logprobs"},
    {CHAT,
     "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
     "\"tools\":[{}]",
     "unsupported_parameter", "tools"},
    {LOGLIKELIHOOD, "", "missing_field", "context"},
    {LOGLIKELIHOOD, "\"context\":\"a\"", "missing_field", "continuations"},
    {LOGLIKELIHOOD, "\"context\":\"a\",\"continuations\":\"b\"", "wrong_type",
     "continuations"},
    {LOGLIKELIHOOD, "\"context\":\"a\",\"continuations\":[]", "invalid_value",
     "continuations"},
    {LOGLIKELIHOOD, "\"context\":\"a\",\"continuations\":[\"\"]",
     "invalid_value", "continuations"},
    {LOGLIKELIHOOD, "\"context\":\"a\",\"continuations\":[[]]", "invalid_value",
     "continuations"},
    {LOGLIKELIHOOD,
     "\"context\":\"a\",\"continuations\":[\"b\"],"
     "\"top_logprobs\":21",
     "invalid_value", "top_logprobs"},
    {LOGLIKELIHOOD,
     "\"context\":\"a\",\"continuations\":[\"b\"],"
     "\"temperature\":0",
     "unknown_key", "temperature"},
    {ROLLING, "", "missing_field", "text"},
    {ROLLING, "\"text\":\"\"", "invalid_value", "text"},
    {ROLLING, "\"text\":[]", "invalid_value", "text"},
};

START_TEST(refused)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *line = line_of(bad[i].url, bad[i].members);
        struct record partial;
        struct record_error e = {0};

        ck_assert_msg(record_parse(&job, line, strlen(line), 1, &partial, &e)
                          == NULL,
                      "%s is accepted", line);
        ck_assert_msg(strcmp(e.code, bad[i].code) == 0
                          && strcmp(e.field, bad[i].field) == 0,
                      "%s: %s %s %s", line, e.code, e.field, e.message);
        ck_assert_int_eq(partial.form, RECORD_OPENAI);
        record_clear(&partial);
    }
}
END_TEST

/* The line around the body: what is missing or odd in it. */
START_TEST(envelope)
{
    static const struct {
        const char *line, *code, *field;
        bool has_id;
    } cases[] = {
        {"{\"custom_id\":\"c\"}", "missing_field", "method", true},
        {"{\"method\":\"POST\"}", "missing_field", "custom_id", false},
        {"{\"body\":{}}", "missing_field", "custom_id", false},
        {"{\"custom_id\":5,\"method\":\"POST\"}", "wrong_type", "custom_id",
         false},
        {"{\"custom_id\":\"\",\"method\":\"POST\"}", "invalid_value",
         "custom_id", false},
        {"{\"custom_id\":\"c\",\"method\":\"GET\"}", "invalid_value", "method",
         true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\"}", "missing_field", "url",
         true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":1}", "wrong_type",
         "url", true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" ROLLING "\"}",
         "missing_field", "body", true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" ROLLING
         "\",\"body\":[]}",
         "wrong_type", "body", true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" ROLLING
         "\",\"body\":{}}",
         "missing_field", "model", true},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"" ROLLING
         "\",\"body\":{\"model\":\"M\"}}",
         "model_not_found", "model", true},
        {"{\"id\":1,\"custom_id\":\"c\"}", "unknown_key", "id", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *line = cases[i].line;
        struct record partial;
        struct record_error e = {0};

        ck_assert_ptr_null(
            record_parse(&job, line, strlen(line), 1, &partial, &e));
        ck_assert_msg(strcmp(e.code, cases[i].code) == 0
                          && strcmp(e.field, cases[i].field) == 0,
                      "%s: %s %s %s", line, e.code, e.field, e.message);
        ck_assert_msg((partial.id_kind == RECORD_ID_STRING) == cases[i].has_id,
                      "%s", line);
        record_clear(&partial);
    }
}
END_TEST

/* The name, or all of NAME@FINGERPRINT, as the job has it. */
START_TEST(models)
{
    const char *line = line_of(ROLLING, "\"text\":\"a\"");
    static const struct {
        const char *model;
        bool fits;
    } cases[] = {{"m", true},   {"m@0123", true}, {NULL, true},
                 {"mm", false}, {"n@m", false},   {"", false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct record_job j = {.model = cases[i].model};
        struct record_error e = {0};
        struct record *r = record_parse(&j, line, strlen(line), 1, NULL, &e);

        ck_assert_msg((r != NULL) == cases[i].fits, "%s",
                      cases[i].model != NULL ? cases[i].model : "any");
        record_free(r);
    }
}
END_TEST

START_TEST(lenient)
{
    const struct record_job j = {.lenient = true};
    const char *line = line_of(COMPLETIONS, "\"tempratur\":1,\"text\":\"a\","
                                            "\"messages\":[],\"foo\":{}");
    struct record_error e = {0};
    struct record *r = record_parse(&j, line, strlen(line), 1, NULL, &e);

    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->n_warnings, 4);
    ck_assert_str_eq(r->warning, "unknown key \"tempratur\"; did you mean "
                                 "\"temperature\"?");
    ck_assert_double_eq(r->temperature, 1);
    record_free(r);
    /* What would change the answer is no small thing. */
    line = line_of(COMPLETIONS, "\"ignore_eos\":true");
    ck_assert_ptr_null(record_parse(&j, line, strlen(line), 1, NULL, &e));
    ck_assert_str_eq(e.code, "unsupported_parameter");
    line = "{\"text\":\"a\",\"gold\":1,\"foo\":2}";
    r = record_parse(&j, line, strlen(line), 1, NULL, &e);
    ck_assert_ptr_nonnull(r);
    ck_assert_uint_eq(r->n_warnings, 2);
    record_free(r);
}
END_TEST

static void tag_of(const char *line, uint64_t number,
                   const uint8_t *fingerprint, uint8_t tag[RECORD_TAG_BYTES])
{
    const struct record_job j = {.fingerprint = fingerprint};
    struct record_error e;
    struct record *r = record_parse(&j, line, strlen(line), number, NULL, &e);

    ck_assert_ptr_nonnull(r);
    memcpy(tag, r->tag, RECORD_TAG_BYTES);
    record_free(r);
}

/* Ids depend on the line's bytes, its number and the fingerprint. */
START_TEST(tags)
{
    static const uint8_t fingerprint[HASH_BYTES] = {1};
    uint8_t want[HASH_BYTES], tag[RECORD_TAG_BYTES], other[RECORD_TAG_BYTES];
    char line[4096];
    struct buf in = BUF_INIT;

    snprintf(line, sizeof line, "%s", line_of(ROLLING, "\"text\":\"a\""));
    tag_of(line, 258, fingerprint, tag);
    buf_adds(&in, line);
    buf_add(&in, (const uint8_t[8]){2, 1}, 8);
    buf_add(&in, fingerprint, sizeof fingerprint);
    hash_bytes(in.data, in.len, want);
    ck_assert_mem_eq(tag, want, sizeof tag);
    tag_of(line, 258, NULL, other);
    ck_assert_mem_ne(tag, other, sizeof tag);
    tag_of(line, 259, fingerprint, other);
    ck_assert_mem_ne(tag, other, sizeof tag);
    strcat(line, " ");
    tag_of(line, 258, fingerprint, other);
    ck_assert_mem_ne(tag, other, sizeof tag);
    buf_free(&in);
}
END_TEST

#define HEX "000102030405060708090a0b0c0d0e0f"

static struct record numbered(void)
{
    struct record r = {.form = RECORD_OPENAI, .line = 7};

    for (uint8_t i = 0; i < sizeof r.tag; i++)
        r.tag[i] = i;
    return r;
}

START_TEST(answer_line)
{
    struct record r = numbered();
    struct buf out = BUF_INIT;
    char id[] = "q\"";

    r.id_kind = RECORD_ID_STRING;
    r.id = id;
    r.id_len = 2;
    openai_begin(&r, &out);
    buf_adds(&out, "{}");
    openai_end(&r, &out);
    ck_assert_str_eq(out.data,
                     "{\"id\":\"batch_req_" HEX "\",\"custom_id\":\"q\\\"\","
                     "\"response\":{\"status_code\":200,\"request_id\":"
                     "\"req_" HEX "\",\"body\":{}},\"error\":null,"
                     "\"line\":7}");
    buf_free(&out);
}
END_TEST

START_TEST(error_lines)
{
    static const struct {
        const char *code, *field, *want;
    } cases[] = {
        {"invalid_value", "n",
         "\"response\":{\"status_code\":400,\"request_id\":\"req_" HEX "\","
         "\"body\":{\"error\":{\"message\":\"why\",\"type\":"
         "\"invalid_request_error\",\"param\":\"n\",\"code\":"
         "\"invalid_value\"}}},\"error\":null,\"line\":7}"},
        {"invalid_json", "",
         "\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":\"invalid_json\""},
        {"duplicate_id", "custom_id", "\"code\":\"duplicate_custom_id\""},
        {"model_not_found", "model", "\"status_code\":404"},
        {"worker_crash", "", "\"code\":\"worker_lost\""},
        {"non_finite", "", "\"code\":\"nan_logits\""},
        {"worker_crash", "", "\"status_code\":500"},
        {"non_finite", "", "\"type\":\"server_error\""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct record r = numbered();
        struct buf out = BUF_INIT;
        struct record_error e;
        json_t *v;

        record_error_set(&e, cases[i].code, cases[i].field, "why");
        record_write_error(&r, &e, &out);
        ck_assert_msg(strstr(out.data, cases[i].want) != NULL, "%s", out.data);
        v = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(v);
        ck_assert(json_is_null(json_object_get(v, "custom_id")));
        json_decref(v);
        buf_free(&out);
    }
}
END_TEST

int main(void)
{
    if (hash_init(NULL) < 0)
        return 1;
    return RUN_TESTS("record_openai", completion_defaults, prompts,
                     completion_everything, ignored_and_neutral, chat, scoring,
                     refused, envelope, models, lenient, tags, answer_line,
                     error_lines);
}
