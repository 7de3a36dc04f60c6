#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"
#include "proto/record.h"
#include "tests/common/run.h"

/* ---- what is refused, with code and field ---- */

static const struct bad {
    const char *line;
    const char *code;
    const char *field;
    const char *text; /* part of the message; NULL: any */
} bad[] = {
    /* not JSON */
    {"", "invalid_json", "", NULL},
    {"   ", "invalid_json", "", NULL},
    {"{", "invalid_json", "", NULL},
    {"{}{}", "invalid_json", "", NULL},
    {"{\"text\":\"a\"} x", "invalid_json", "", NULL},
    {"{\"text\":\"a\",}", "invalid_json", "", NULL},
    {"{\"text\":'a'}", "invalid_json", "", NULL},
    {"{text:\"a\"}", "invalid_json", "", NULL},
    {"{\"text\":\"a}", "invalid_json", "", NULL},
    {"{\"text\":\"a\tb\"}", "invalid_json", "", NULL},
    {"{\"text\":\"\\x41\"}", "invalid_json", "", NULL},
    {"{\"text\":\"\\ud800\"}", "invalid_json", "", NULL},
    {"{\"text\":\"\\udc00\\ud800\"}", "invalid_json", "", NULL},
    {"{\"prompt\":\"a\",\"temperature\":NaN}", "invalid_json", "", NULL},
    {"{\"prompt\":\"a\",\"temperature\":.5}", "invalid_json", "", NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":+5}", "invalid_json", "", NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":05}", "invalid_json", "", NULL},
    {"{\"text\":\"a\"\"id\":1}", "invalid_json", "", NULL},
    {"plain text", "invalid_json", "", NULL},
    {"{\"te\\u0000xt\":\"a\"}", "invalid_json", "", NULL},
    {"\xEF\xBB\xBF{\"text\":\"a\"}", "invalid_json", "", NULL},
    /* not UTF-8 */
    {"{\"text\":\"\xFF\"}", "not_utf8", "", "byte 10 (0xff)"},
    {"{\"text\":\"\xC3\"}", "not_utf8", "", "byte 10"},
    {"{\"text\":\"\xED\xA0\x80\"}", "not_utf8", "", NULL},
    {"{\"text\":\"\xC0\xAF\"}", "not_utf8", "", NULL},
    {"\xFE\xFF", "not_utf8", "", "byte 1 "},
    /* not an object */
    {"[]", "wrong_type", "", "not an array"},
    {"[1,2]", "wrong_type", "", "not an array"},
    {"\"text\"", "wrong_type", "", "not a string"},
    {"17", "wrong_type", "", "not an integer"},
    {"1.5", "wrong_type", "", "not a number"},
    {"null", "wrong_type", "", "not null"},
    {"true", "wrong_type", "", "not true"},
    /* nothing to do */
    {"{}", "missing_field", "", "nothing to do"},
    {"{\"id\":1}", "missing_field", "", "nothing to do"},
    {"{\"metadata\":{}}", "missing_field", "", "nothing to do"},
    {"{\"max_tokens\":5}", "missing_field", "", NULL},
    {"{\"gold\":0}", "missing_field", "", NULL},
    {"{\"context\":\"a\"}", "missing_field", "target",
     "\"target\" is missing (a line with \"context\" is scored: it needs "
     "\"target\" or \"choices\")"},
    {"{\"context_ids\":[1]}", "missing_field", "target", NULL},
    {"{\"target\":\"a\"}", "missing_field", "context",
     "\"context\" is missing"},
    {"{\"target_ids\":[1]}", "missing_field", "context", NULL},
    {"{\"choices\":[\"a\"]}", "missing_field", "context", NULL},
    {"{\"choices_ids\":[[1]],\"gold\":0}", "missing_field", "context", NULL},
    /* two things at once */
    {"{\"context\":\"a\",\"target\":\"b\",\"choices\":[\"c\"]}",
     "invalid_value", "choices", "exclude each other"},
    {"{\"context\":\"a\",\"target\":\"b\",\"text\":\"c\"}", "invalid_value",
     "text", NULL},
    {"{\"text\":\"a\",\"prompt\":\"b\"}", "invalid_value", "prompt", NULL},
    {"{\"text\":\"a\",\"text_ids\":[1]}", "invalid_value", "text_ids", NULL},
    {"{\"prompt\":\"a\",\"prompt_ids\":[1]}", "invalid_value", "prompt_ids",
     NULL},
    {"{\"context\":\"a\",\"context_ids\":[1],\"target\":\"b\"}",
     "invalid_value", "context_ids",
     "\"context\" and \"context_ids\" exclude each other"},
    {"{\"context\":\"a\",\"target\":\"b\",\"target_ids\":[1]}", "invalid_value",
     "target_ids", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"choices_ids\":[[1]]}",
     "invalid_value", "choices_ids", NULL},
    /* unknown keys */
    {"{\"contxt\":\"a\",\"target\":\"b\"}", "unknown_key", "contxt",
     "did you mean \"context\"?"},
    {"{\"context\":\"a\",\"Target\":\"b\"}", "unknown_key", "Target",
     "did you mean \"target\"?"},
    {"{\"prompt\":\"a\",\"max_token\":5}", "unknown_key", "max_token",
     "did you mean \"max_tokens\"?"},
    {"{\"prompt\":\"a\",\"temprature\":1}", "unknown_key", "temprature",
     "did you mean \"temperature\"?"},
    {"{\"text\":\"a\",\"xyzzy\":1}", "unknown_key", "xyzzy", "\"metadata\""},
    {"{\"text\":\"a\",\"\":1}", "unknown_key", "", "unknown key \"\""},
    {"{\"Text\":\"a\"}", "unknown_key", "Text", NULL},
    {"{\"text\":\"a\",\"top_K\":1}", "unknown_key", "top_K", NULL},
    /* known keys at the wrong kind of line */
    {"{\"text\":\"a\",\"max_tokens\":5}", "unknown_key", "max_tokens",
     "does not belong in a line with \"text\""},
    {"{\"text\":\"a\",\"context\":\"b\"}", "unknown_key", "context", NULL},
    {"{\"text\":\"a\",\"gold\":0}", "unknown_key", "gold", NULL},
    {"{\"context\":\"a\",\"target\":\"b\",\"gold\":0}", "unknown_key", "gold",
     "does not belong in a line with \"target\""},
    {"{\"context\":\"a\",\"target\":\"b\",\"stop\":\"c\"}", "unknown_key",
     "stop", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"seed\":1}", "unknown_key",
     "seed", NULL},
    {"{\"prompt\":\"a\",\"context\":\"b\"}", "unknown_key", "context", NULL},
    {"{\"prompt\":\"a\",\"context_ids\":[1]}", "unknown_key", "context_ids",
     NULL},
    /* duplicate keys */
    {"{\"text\":\"a\",\"text\":\"b\"}", "duplicate_key", "text",
     "\"text\" is given more than once"},
    {"{\"id\":1,\"text\":\"a\",\"id\":1}", "duplicate_key", "id", NULL},
    {"{\"text\":\"a\",\"metadata\":{\"k\":1,\"k\":2}}", "duplicate_key", "k",
     NULL},
    {"{\"text\":\"a\",\"t\\u0065xt\":\"b\"}", "duplicate_key", NULL, NULL},
    /* id */
    {"{\"id\":\"\",\"text\":\"a\"}", "invalid_value", "id", "is empty"},
    {"{\"id\":1.5,\"text\":\"a\"}", "wrong_type", "id",
     "\"id\" must be a string or an integer, not a number"},
    {"{\"id\":1.0,\"text\":\"a\"}", "wrong_type", "id", NULL},
    {"{\"id\":null,\"text\":\"a\"}", "wrong_type", "id", NULL},
    {"{\"id\":true,\"text\":\"a\"}", "wrong_type", "id", NULL},
    {"{\"id\":[1],\"text\":\"a\"}", "wrong_type", "id", NULL},
    {"{\"id\":{},\"text\":\"a\"}", "wrong_type", "id", NULL},
    {"{\"id\":9223372036854775808,\"text\":\"a\"}", "invalid_value", "",
     "too large"},
    {"{\"id\":-9223372036854775809,\"text\":\"a\"}", "invalid_value", "", NULL},
    /* metadata */
    {"{\"metadata\":1,\"text\":\"a\"}", "wrong_type", "metadata", NULL},
    {"{\"metadata\":null,\"text\":\"a\"}", "wrong_type", "metadata", NULL},
    {"{\"metadata\":[],\"text\":\"a\"}", "wrong_type", "metadata", NULL},
    {"{\"metadata\":\"x\",\"text\":\"a\"}", "wrong_type", "metadata", NULL},
    {"{\"metadata\":{\"x\":1e999},\"text\":\"a\"}", "invalid_value", "", NULL},
    /* texts */
    {"{\"text\":1}", "wrong_type", "text",
     "\"text\" must be a string, not an integer"},
    {"{\"text\":null}", "wrong_type", "text", NULL},
    {"{\"text\":[\"a\"]}", "wrong_type", "text", NULL},
    {"{\"text\":[1,2]}", "wrong_type", "text", NULL},
    {"{\"text\":\"\"}", "invalid_value", "text", "nothing to score"},
    {"{\"text_ids\":[]}", "invalid_value", "text_ids", NULL},
    {"{\"prompt\":false}", "wrong_type", "prompt", NULL},
    {"{\"context\":1,\"target\":\"b\"}", "wrong_type", "context", NULL},
    {"{\"context\":\"a\",\"target\":1}", "wrong_type", "target", NULL},
    {"{\"context\":\"a\",\"target\":[\"b\"]}", "wrong_type", "target", NULL},
    {"{\"context\":\"a\",\"target\":\"\"}", "invalid_value", "target",
     "nothing to score"},
    {"{\"context\":\"a\",\"target_ids\":[]}", "invalid_value", "target_ids",
     NULL},
    /* token ids */
    {"{\"text_ids\":\"a\"}", "wrong_type", "text_ids",
     "must be an array of token ids"},
    {"{\"text_ids\":5}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":{}}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":[1,\"2\"]}", "wrong_type", "text_ids",
     "token id 2 must be an integer, not a string"},
    {"{\"text_ids\":[1.0]}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":[[1]]}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":[null]}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":[true]}", "wrong_type", "text_ids", NULL},
    {"{\"text_ids\":[0,-1]}", "invalid_value", "text_ids",
     "token id 2 is -1, allowed 0..2147483647"},
    {"{\"text_ids\":[2147483648]}", "invalid_value", "text_ids", NULL},
    {"{\"text_ids\":[9223372036854775807]}", "invalid_value", "text_ids", NULL},
    {"{\"prompt_ids\":[-5]}", "invalid_value", "prompt_ids", NULL},
    {"{\"context_ids\":[-5],\"target_ids\":[1]}", "invalid_value",
     "context_ids", NULL},
    {"{\"context_ids\":[5],\"target_ids\":[1,-1]}", "invalid_value",
     "target_ids", NULL},
    {"{\"context_ids\":[5],\"choices_ids\":[[1],[4294967296]]}",
     "invalid_value", "choices_ids", NULL},
    /* choices */
    {"{\"context\":\"a\",\"choices\":[]}", "invalid_value", "choices",
     "nothing to choose"},
    {"{\"context\":\"a\",\"choices\":\"b\"}", "wrong_type", "choices", NULL},
    {"{\"context\":\"a\",\"choices\":{}}", "wrong_type", "choices", NULL},
    {"{\"context\":\"a\",\"choices\":[1]}", "wrong_type", "choices",
     "\"choices\"[0] must be a string, not an integer"},
    {"{\"context\":\"a\",\"choices\":[\"b\",null]}", "wrong_type", "choices",
     "\"choices\"[1]"},
    {"{\"context\":\"a\",\"choices\":[\"b\",\"\"]}", "invalid_value", "choices",
     "\"choices\"[1] is empty"},
    {"{\"context_ids\":[1],\"choices_ids\":[1]}", "wrong_type", "choices_ids",
     NULL},
    {"{\"context_ids\":[1],\"choices_ids\":[[]]}", "invalid_value",
     "choices_ids", NULL},
    {"{\"context_ids\":[1],\"choices_ids\":[]}", "invalid_value", "choices_ids",
     NULL},
    /* gold */
    {"{\"context\":\"a\",\"choices\":[\"b\",\"c\"],\"gold\":2}",
     "invalid_value", "gold", "\"gold\" is 2, allowed 0..1"},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":-1}", "invalid_value",
     "gold", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":4294967296}",
     "invalid_value", "gold", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":\"0\"}", "wrong_type",
     "gold", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":0.0}", "wrong_type",
     "gold", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":null}", "wrong_type",
     "gold", NULL},
    {"{\"context\":\"a\",\"choices\":[\"b\"],\"gold\":false}", "wrong_type",
     "gold", NULL},
    /* sampling */
    {"{\"prompt\":\"a\",\"max_tokens\":0}", "invalid_value", "max_tokens",
     "allowed 1..1048576"},
    {"{\"prompt\":\"a\",\"max_tokens\":-1}", "invalid_value", "max_tokens",
     NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":1048577}", "invalid_value", "max_tokens",
     NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":1.5}", "wrong_type", "max_tokens", NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":5.0}", "wrong_type", "max_tokens", NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":\"5\"}", "wrong_type", "max_tokens",
     NULL},
    {"{\"prompt\":\"a\",\"max_tokens\":null}", "wrong_type", "max_tokens",
     NULL},
    {"{\"prompt\":\"a\",\"temperature\":-0.1}", "invalid_value", "temperature",
     "allowed 0 to 100"},
    {"{\"prompt\":\"a\",\"temperature\":100.1}", "invalid_value", "temperature",
     NULL},
    {"{\"prompt\":\"a\",\"temperature\":\"1\"}", "wrong_type", "temperature",
     NULL},
    {"{\"prompt\":\"a\",\"temperature\":true}", "wrong_type", "temperature",
     NULL},
    {"{\"prompt\":\"a\",\"top_p\":0}", "invalid_value", "top_p",
     "allowed above 0, up to 1"},
    {"{\"prompt\":\"a\",\"top_p\":1.01}", "invalid_value", "top_p", NULL},
    {"{\"prompt\":\"a\",\"top_p\":-1}", "invalid_value", "top_p", NULL},
    {"{\"prompt\":\"a\",\"top_p\":\"x\"}", "wrong_type", "top_p", NULL},
    {"{\"prompt\":\"a\",\"min_p\":1.5}", "invalid_value", "min_p", NULL},
    {"{\"prompt\":\"a\",\"presence_penalty\":-2.1}", "invalid_value",
     "presence_penalty", "-2 to 2"},
    {"{\"prompt\":\"a\",\"frequency_penalty\":\"1\"}", "wrong_type",
     "frequency_penalty", NULL},
    {"{\"prompt\":\"a\",\"repetition_penalty\":0}", "invalid_value",
     "repetition_penalty", "above 0"},
    {"{\"prompt\":\"a\",\"logit_bias\":[]}", "wrong_type", "logit_bias", NULL},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"x\":1}}", "invalid_value",
     "logit_bias", "\"x\" is not a token id"},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"05\":1}}", "invalid_value",
     "logit_bias", NULL},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"2147483648\":1}}", "invalid_value",
     "logit_bias", NULL},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"5\":101}}", "invalid_value",
     "logit_bias", "token 5 is 101"},
    {"{\"prompt\":\"a\",\"logit_bias\":{\"5\":true}}", "wrong_type",
     "logit_bias", NULL},
    {"{\"text\":\"a\",\"min_p\":0}", "unknown_key", "min_p", NULL},
    {"{\"prompt\":\"a\",\"top_k\":-1}", "invalid_value", "top_k", NULL},
    {"{\"prompt\":\"a\",\"top_k\":2147483648}", "invalid_value", "top_k", NULL},
    {"{\"prompt\":\"a\",\"top_k\":1.5}", "wrong_type", "top_k", NULL},
    {"{\"prompt\":\"a\",\"seed\":-1}", "invalid_value", "seed", NULL},
    {"{\"prompt\":\"a\",\"seed\":1.0}", "wrong_type", "seed", NULL},
    {"{\"prompt\":\"a\",\"seed\":\"1\"}", "wrong_type", "seed", NULL},
    {"{\"prompt\":\"a\",\"seed\":18446744073709551615}", "invalid_value", "",
     NULL},
    {"{\"prompt\":\"a\",\"stop\":\"\"}", "invalid_value", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":[]}", "invalid_value", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":[\"b\",\"\"]}", "invalid_value", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":[1]}", "wrong_type", "stop", "\"stop\"[0]"},
    {"{\"prompt\":\"a\",\"stop\":1}", "wrong_type", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":null}", "wrong_type", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":{}}", "wrong_type", "stop", NULL},
    {"{\"prompt\":\"a\",\"stop\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
     "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}",
     "too_large", "stop", "17 entries"},
};

static void expect_bad(const struct bad *b, size_t len)
{
    struct record_error e = {0};
    struct record *r = record_parse(NULL, b->line, len, 3, NULL, &e);

    ck_assert_msg(r == NULL, "accepted: %s", b->line);
    ck_assert_msg(strcmp(e.code, b->code) == 0, "%s: %s, not %s (%s)", b->line,
                  e.code, b->code, e.message);
    if (b->field != NULL)
        ck_assert_msg(strcmp(e.field, b->field) == 0,
                      "%s: field \"%s\", not \"%s\"", b->line, e.field,
                      b->field);
    if (b->text != NULL)
        ck_assert_msg(strstr(e.message, b->text) != NULL,
                      "%s: '%s' does not say '%s'", b->line, e.message,
                      b->text);
    ck_assert_uint_gt(strlen(e.message), 0);
    ck_assert_ptr_null(strchr(e.message, '\n'));
}

START_TEST(bad_lines)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_bad(&bad[i], strlen(bad[i].line));
}
END_TEST

START_TEST(a_nul_byte_ends_no_line)
{
    const struct bad b = {"{\"text\":\"a\"}\0", "invalid_json", "", NULL};
    /* jansson takes this one: to it the NUL ends a number and is gone. */
    const struct bad number = {"{\"text\":\"a\",\"metadata\":{\"x\":0.1\0}}",
                               "invalid_json", "", "byte 32 is NUL"};

    expect_bad(&b, 13);
    expect_bad(&number, 34);
}
END_TEST

/* ---- what is accepted ---- */

static struct record *good(const char *line)
{
    struct record_error e = {0};
    struct record *r = record_parse(NULL, line, strlen(line), 42, NULL, &e);

    ck_assert_msg(r != NULL, "%s: %s: %s", line, e.code, e.message);
    ck_assert_uint_eq(r->line, 42);
    return r;
}

START_TEST(score)
{
    struct record *r = good("{\"context\":\"The cat\",\"target\":\" sat\"}");

    ck_assert_int_eq(r->kind, RECORD_SCORE);
    ck_assert_int_eq(r->id_kind, RECORD_ID_LINE);
    ck_assert_str_eq(r->context.text, "The cat");
    ck_assert_uint_eq(r->context.len, 7);
    ck_assert_uint_eq(r->n_target, 1);
    ck_assert(!r->target[0].is_ids);
    ck_assert_str_eq(r->target[0].text, " sat");
    ck_assert_int_eq(r->gold, -1);
    ck_assert_ptr_null(r->metadata);
    record_free(r);
}
END_TEST

START_TEST(score_of_ids)
{
    struct record *r = good("{\"id\":-5,\"context_ids\":[0,2147483647],"
                            "\"target_ids\":[65]}");

    ck_assert_int_eq(r->kind, RECORD_SCORE);
    ck_assert_int_eq(r->id_kind, RECORD_ID_INT);
    ck_assert_int_eq(r->id_int, -5);
    ck_assert(r->context.is_ids);
    ck_assert_uint_eq(r->context.n, 2);
    ck_assert_int_eq(r->context.id[0], 0);
    ck_assert_int_eq(r->context.id[1], 2147483647);
    ck_assert_uint_eq(r->target[0].n, 1);
    ck_assert_int_eq(r->target[0].id[0], 65);
    record_free(r);
}
END_TEST

START_TEST(choice)
{
    struct record *r =
        good("{\"id\":\"q\",\"context\":\"2+2=\",\"choices\":[\"3\",\"4\"],"
             "\"gold\":1}");

    ck_assert_int_eq(r->kind, RECORD_CHOICE);
    ck_assert_int_eq(r->id_kind, RECORD_ID_STRING);
    ck_assert_str_eq(r->id, "q");
    ck_assert_uint_eq(r->id_len, 1);
    ck_assert_uint_eq(r->n_target, 2);
    ck_assert_str_eq(r->target[1].text, "4");
    ck_assert_int_eq(r->gold, 1);
    record_free(r);
    r = good("{\"context_ids\":[1],\"choices_ids\":[[2],[3,4]]}");
    ck_assert_int_eq(r->kind, RECORD_CHOICE);
    ck_assert_int_eq(r->gold, -1);
    ck_assert_uint_eq(r->target[1].n, 2);
    ck_assert_int_eq(r->target[1].id[1], 4);
    record_free(r);
}
END_TEST

START_TEST(rolling)
{
    struct record *r = good("{\"text\":\"a\\u0000b \\ud83e\\udebf\"}");

    ck_assert_int_eq(r->kind, RECORD_ROLLING);
    ck_assert_uint_eq(r->context.len, 8);
    ck_assert_mem_eq(r->context.text, "a\0b \xF0\x9F\xAA\xBF", 9);
    record_free(r);
    r = good(" { \"text_ids\" : [ 1 , 2 ] } \r");
    ck_assert_int_eq(r->kind, RECORD_ROLLING);
    ck_assert_uint_eq(r->context.n, 2);
    record_free(r);
}
END_TEST

START_TEST(generate_defaults)
{
    struct record *r = good("{\"prompt\":\"Once\"}");

    ck_assert_int_eq(r->kind, RECORD_GENERATE);
    ck_assert_uint_eq(r->n_prompt, 1);
    ck_assert_str_eq(r->prompt->text, "Once");
    ck_assert_int_eq(r->max_tokens, 256);
    ck_assert_double_eq(r->temperature, 0);
    ck_assert_double_eq(r->top_p, 1);
    ck_assert_int_eq(r->top_k, 0);
    ck_assert(r->min_p == 0 && r->presence_penalty == 0
              && r->frequency_penalty == 0 && r->repetition_penalty == 1);
    ck_assert_uint_eq(r->n_bias, 0);
    ck_assert(!r->has_seed);
    ck_assert_uint_eq(r->n_stop, 0);
    record_free(r);
}
END_TEST

START_TEST(generate_everything)
{
    struct record *r =
        good("{\"prompt_ids\":[],\"max_tokens\":1048576,\"temperature\":1,"
             "\"top_p\":0.25,\"top_k\":2147483647,\"min_p\":0.5,"
             "\"presence_penalty\":-2,\"frequency_penalty\":0.25,"
             "\"repetition_penalty\":1.5,"
             "\"logit_bias\":{\"10\":-100,\"9\":0.5,\"0\":7},"
             "\"seed\":9223372036854775807,\"stop\":[\"\\n\",\"END\"]}");

    ck_assert(r->prompt->is_ids);
    ck_assert_uint_eq(r->prompt->n, 0);
    ck_assert_int_eq(r->max_tokens, 1048576);
    ck_assert_double_eq(r->temperature, 1);
    ck_assert_double_eq(r->top_p, 0.25);
    ck_assert_int_eq(r->top_k, 2147483647);
    ck_assert_double_eq(r->min_p, 0.5);
    ck_assert_double_eq(r->presence_penalty, -2);
    ck_assert_double_eq(r->frequency_penalty, 0.25);
    ck_assert_double_eq(r->repetition_penalty, 1.5);
    ck_assert_uint_eq(r->n_bias, 3);
    ck_assert(r->bias[0].token == 0 && r->bias[0].bias == 7);
    ck_assert(r->bias[1].token == 9 && r->bias[2].token == 10);
    ck_assert(r->has_seed);
    ck_assert_uint_eq(r->seed, 9223372036854775807u);
    ck_assert_uint_eq(r->n_stop, 2);
    ck_assert_str_eq(r->stop[0].text, "\n");
    ck_assert_str_eq(r->stop[1].text, "END");
    record_free(r);
    r = good("{\"prompt\":\"\",\"stop\":\"x\",\"seed\":0,\"max_tokens\":1,"
             "\"temperature\":100,\"top_p\":1,\"top_k\":0}");
    ck_assert_uint_eq(r->n_stop, 1);
    ck_assert_str_eq(r->stop[0].text, "x");
    ck_assert(r->has_seed);
    ck_assert_uint_eq(r->seed, 0);
    record_free(r);
}
END_TEST

/* Whether nothing to condition on is an error depends on the job. */
START_TEST(empty_contexts)
{
    record_free(good("{\"context\":\"\",\"target\":\"a\"}"));
    record_free(good("{\"context_ids\":[],\"target_ids\":[1]}"));
    record_free(good("{\"context\":\"\",\"choices\":[\"a\"]}"));
    record_free(good("{\"context\":\"text\",\"target_ids\":[1]}"));
    record_free(good("{\"prompt_ids\":[]}"));
}
END_TEST

START_TEST(metadata_is_unchanged)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"{\"text\":\"a\",\"metadata\":{}}", "{}"},
        {"{\"metadata\" : { \"x\" : 0.10, \"big\": 1E5 } ,\"text\":\"a\"}",
         "{\"x\":0.10,\"big\":1E5}"},
        {"{\"id\":\"}{\\\"metadata\\\":\",\"metadata\":{\"a b\":[\" \",{}]},"
         "\"text\":\"\\\\\"}",
         "{\"a b\":[\" \",{}]}"},
        {"{\"text\":\"a\",\"meta\\u0064ata\":{\"k\":\"\\u00e9\\/\"}}",
         "{\"k\":\"\\u00e9\\/\"}"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct record *r = good(cases[i].line);

        ck_assert_str_eq(r->metadata, cases[i].want);
        record_free(r);
    }
}
END_TEST

/* ---- bounds at one below, at, one above ---- */

static void add_repeated(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_adds(b, s);
}

/* `head`, n x `unit`, `tail`: the code, or "" when accepted. */
static const char *verdict(const char *head, const char *unit, size_t n,
                           const char *tail)
{
    struct buf b = BUF_INIT;
    struct record_error e = {.code = ""};
    struct record *r;

    buf_adds(&b, head);
    add_repeated(&b, unit, n);
    buf_adds(&b, tail);
    r = record_parse(NULL, b.data, b.len, 1, NULL, &e);
    ck_assert((r != NULL) == (e.code[0] == '\0'));
    record_free(r);
    buf_free(&b);
    return e.code;
}

START_TEST(limits)
{
    const size_t around = strlen("{\"text\":\"\"}");

    for (int d = -1; d <= 1; d++) {
        const char *want = d == 1 ? "too_large" : "";

        ck_assert_str_eq(
            verdict("{\"text\":\"x\",\"id\":\"", "i", (size_t)(512 + d), "\"}"),
            want);
        ck_assert_str_eq(verdict("{\"prompt\":\"\",\"stop\":\"", "s",
                                 (size_t)(1024 + d), "\"}"),
                         want);
        ck_assert_str_eq(verdict("{\"prompt\":\"\",\"stop\":[\"a\"", ",\"b\"",
                                 (size_t)(15 + d), "]}"),
                         want);
        ck_assert_str_eq(verdict("{\"context\":\"\",\"choices\":[\"a\"",
                                 ",\"b\"", (size_t)(255 + d), "]}"),
                         want);
        ck_assert_str_eq(verdict("{\"text\":\"", "x",
                                 (16u << 20) - around + (size_t)(long)d, "\"}"),
                         want);
    }
}
END_TEST

/* jansson bounds the depth; a line must not overflow anybody's stack. */
START_TEST(deep_nesting)
{
    struct buf b = BUF_INIT;
    struct record_error e = {0};

    buf_adds(&b, "{\"text\":\"a\",\"metadata\":");
    add_repeated(&b, "{\"a\":", 100000);
    ck_assert_ptr_null(record_parse(NULL, b.data, b.len, 1, NULL, &e));
    ck_assert_str_eq(e.code, "invalid_json");
    buf_free(&b);
}
END_TEST

/* ---- the id of a bad line ---- */

START_TEST(partial_ids)
{
    static const struct {
        const char *line;
        enum record_id_kind kind;
        const char *id;
        int64_t number;
    } cases[] = {
        {"{\"id\":\"a\"}", RECORD_ID_STRING, "a", 0},
        {"{\"id\":7,\"text\":5}", RECORD_ID_INT, NULL, 7},
        {"{\"contxt\":1,\"id\":\"late\"}", RECORD_ID_STRING, "late", 0},
        {"{\"id\":\"\",\"text\":\"a\"}", RECORD_ID_LINE, NULL, 0},
        {"{\"id\":{},\"xx\":1}", RECORD_ID_LINE, NULL, 0},
        {"{\"id\":1", RECORD_ID_LINE, NULL, 0},
        {"[]", RECORD_ID_LINE, NULL, 0},
        {"{\"id\":\"x\",\"metadata\":5}", RECORD_ID_STRING, "x", 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct record partial;
        struct record_error e;

        ck_assert_ptr_null(record_parse(
            NULL, cases[i].line, strlen(cases[i].line), 9, &partial, &e));
        ck_assert_msg(partial.id_kind == cases[i].kind, "%s", cases[i].line);
        ck_assert_uint_eq(partial.line, 9);
        if (cases[i].id != NULL)
            ck_assert_str_eq(partial.id, cases[i].id);
        ck_assert_int_eq(partial.id_int, cases[i].number);
        record_clear(&partial);
    }
}
END_TEST

/* The first mistake is reported, not one it led to. */
START_TEST(unknown_key_beats_bad_id)
{
    const struct bad b = {"{\"id\":{},\"xyzzy\":1,\"text\":5}", "unknown_key",
                          "xyzzy", NULL};

    expect_bad(&b, strlen(b.line));
}
END_TEST

START_TEST(long_keys_are_cut_at_a_character)
{
    struct buf b = BUF_INIT;
    struct record_error e = {0};

    buf_adds(&b, "{\"");
    add_repeated(&b, "\xE2\x82\xAC", 300); /* 3 does not divide 63 or 399 - n */
    buf_adds(&b, "\":1}");
    ck_assert_ptr_null(record_parse(NULL, b.data, b.len, 1, NULL, &e));
    ck_assert_str_eq(e.code, "unknown_key");
    ck_assert_uint_eq(strlen(e.field), 63);
    ck_assert_uint_eq(strlen(e.message), 399);
    buf_free(&b);
}
END_TEST

/* ---- ids as numbers ---- */

static void id_hash(const char *line, uint64_t number, uint8_t out[16])
{
    static const uint8_t key[16] = "0123456789abcdef";
    struct record_error e;
    struct record *r = record_parse(NULL, line, strlen(line), number, NULL, &e);

    ck_assert_ptr_nonnull(r);
    record_id_hash(r, key, out);
    record_free(r);
}

START_TEST(id_hashes)
{
    static const char *const distinct[] = {
        "{\"text\":\"a\"}",
        "{\"id\":4,\"text\":\"a\"}",
        "{\"id\":-3,\"text\":\"a\"}",
        "{\"id\":\"3\",\"text\":\"a\"}",
        "{\"id\":\"03\",\"text\":\"a\"}",
        "{\"id\":\"3\\u0000\",\"text\":\"a\"}",
        ("{\"id\":\"\\u0003\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\","
         "\"text\":\"a\"}"),
    };
    enum {
        N = sizeof distinct / sizeof distinct[0]
    };
    uint8_t hash[N][16], other[16];

    for (size_t i = 0; i < N; i++) {
        id_hash(distinct[i], 3, hash[i]);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(memcmp(hash[i], hash[j], 16) != 0, "%s %s",
                          distinct[i], distinct[j]);
    }
    /* An absent id is the integer of its line number. */
    id_hash("{\"id\":3,\"text\":\"b\"}", 99, other);
    ck_assert_mem_eq(other, hash[0], 16);
    id_hash("{\"id\":\"3\",\"prompt\":\"b\"}", 99, other);
    ck_assert_mem_eq(other, hash[3], 16);
}
END_TEST

START_TEST(id_hash_depends_on_the_key)
{
    static const uint8_t a[16] = {1}, b[16] = {2};
    uint8_t out_a[16], out_b[16];
    struct record *r = good("{\"id\":\"x\",\"text\":\"a\"}");

    record_id_hash(r, a, out_a);
    record_id_hash(r, b, out_b);
    ck_assert_mem_ne(out_a, out_b, 16);
    record_free(r);
}
END_TEST

/* Vectors computed by python3:
 *   int.from_bytes(hashlib.blake2b(struct.pack('<Q', seed) + id,
 *                                  digest_size=32).digest()[:8], 'little')
 */
START_TEST(stream_keys)
{
    static const struct {
        const char *line;
        uint64_t number, seed, want;
    } cases[] = {
        {"{\"prompt\":\"a\",\"seed\":77}", 1, 5, 77},
        {"{\"prompt\":\"a\",\"seed\":0}", 1, 5, 0},
        {"{\"prompt\":\"a\",\"id\":\"doc-1\"}", 1, 0, 5805028993801107867u},
        {"{\"prompt\":\"a\",\"id\":\"doc-1\"}", 2, 1, 5268367533843163565u},
        {"{\"prompt\":\"a\",\"id\":12}", 1, 0, 14195031127656571633u},
        {"{\"prompt\":\"a\",\"id\":\"12\"}", 1, 0, 14195031127656571633u},
        {"{\"prompt\":\"a\"}", 12, 0, 14195031127656571633u},
        {"{\"prompt\":\"a\",\"id\":-12}", 1, 0xFFFFFFFFFFFFFFFFu,
         15619287756716390933u},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct record_error e;
        struct record *r =
            record_parse(NULL, cases[i].line, strlen(cases[i].line),
                         cases[i].number, NULL, &e);

        ck_assert_ptr_nonnull(r);
        ck_assert_msg(record_stream_key(r, cases[i].seed) == cases[i].want,
                      "%s: %llu", cases[i].line,
                      (unsigned long long)record_stream_key(r, cases[i].seed));
        record_free(r);
    }
}
END_TEST

START_TEST(freeing_nothing)
{
    struct record r = {0};

    record_free(NULL);
    record_clear(&r);
}
END_TEST

/* Printed, not asserted: the machine may be busy. */
START_TEST(speed)
{
    struct buf b = BUF_INIT;
    const int n = 100000;
    int64_t start;

    buf_adds(&b, "{\"id\":\"doc-1\",\"context\":\"");
    add_repeated(&b, "word ", 30);
    buf_adds(&b, "\",\"target\":\" tail\"}");
    start = clock_now_us();
    for (int i = 0; i < n; i++) {
        struct record_error e;

        record_free(record_parse(NULL, b.data, b.len, 1, NULL, &e));
    }
    printf("record_parse: %zu bytes in %.2f us\n", b.len,
           (double)(clock_now_us() - start) / n);
    buf_free(&b);
}
END_TEST

int main(void)
{
    return RUN_TESTS(
        "record", bad_lines, a_nul_byte_ends_no_line, score, score_of_ids,
        choice, rolling, generate_defaults, generate_everything, empty_contexts,
        metadata_is_unchanged, limits, deep_nesting, partial_ids,
        unknown_key_beats_bad_id, long_keys_are_cut_at_a_character, id_hashes,
        id_hash_depends_on_the_key, stream_keys, freeing_nothing, speed);
}
