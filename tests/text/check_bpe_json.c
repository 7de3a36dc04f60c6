#include <string.h>

#include "tests/common/run.h"
#include "tests/text/small.h"

/* The small tokenizer.json with the first `from` replaced by `to`. */
static struct tokenizer *parse_changed(const char *from, const char *to,
                                       struct err *err)
{
    struct buf text = BUF_INIT, changed = BUF_INIT;
    struct tokenizer *t;
    const char *at;

    small_bpe_text(&text);
    at = strstr(text.data, from);
    ck_assert_msg(at != NULL, "the file has no %s", from);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_adds(&changed, to);
    buf_adds(&changed, at + strlen(from));
    t = tokenizer_parse("t", changed.data, changed.len, err);
    buf_free(&text);
    buf_free(&changed);
    return t;
}

static const struct {
    const char *from, *to, *error;
} refused[] = {
    {"{\"version\"", "{version",
     "t:1:8: string or '}' expected near 'version'"},
    {"\"truncation\": null", "\"truncation\": {\"max_length\":7}",
     "t: truncation: expected null, found {\"max_length\":7}"},
    {"\"padding\": null", "\"padding\": true",
     "t: padding: expected null, found true"},
    {"NFC", "NFD", "t: normalizer.type: expected \"NFC\", found \"NFD\""},
    {"{\"type\": \"NFC\"}", "null",
     "t: normalizer.type: expected \"NFC\", found null"},
    {"\"pre_tokenizer\"", "\"pretokenizer\"",
     "t: pre_tokenizer.type: expected \"ByteLevel\", found null"},
    {"\"add_prefix_space\": false", "\"add_prefix_space\": true",
     "t: pre_tokenizer.add_prefix_space: expected false, found true"},
    {"\"trim_offsets\": true", "\"use_regex\": false",
     "t: pre_tokenizer.use_regex: expected true, found false"},
    {"\"post_processor\": {\"type\": \"ByteLevel\"",
     "\"post_processor\": {\"type\": \"TemplateProcessing\"",
     "t: post_processor.type: expected \"ByteLevel\", found "
     "\"TemplateProcessing\""},
    {"\"decoder\": {\"type\": \"ByteLevel\"}", "\"decoder\": null",
     "t: decoder.type: expected \"ByteLevel\", found null"},
    {"\"BPE\"", "\"Unigram\"",
     "t: model.type: expected \"BPE\", found \"Unigram\""},
    {"\"dropout\": null", "\"dropout\": 0.1",
     "t: model.dropout: expected null, found 0.10000000000000001"},
    {"\"unk_token\": null", "\"unk_token\": \"?\"",
     "t: model.unk_token: expected null, found \"?\""},
    {"\"unk_token\": null", "\"continuing_subword_prefix\": \"##\"",
     "t: model.continuing_subword_prefix: expected null, found \"##\""},
    {"\"unk_token\": null", "\"end_of_word_suffix\": \"$\"",
     "t: model.end_of_word_suffix: expected null, found \"$\""},
    {"\"unk_token\": null", "\"byte_fallback\": true",
     "t: model.byte_fallback: expected false, found true"},
    {"\"unk_token\": null", "\"ignore_merges\": true",
     "t: model.ignore_merges: expected false, found true"},
    {"\"added_tokens\": [", "\"added_tokens\": 7, \"x\": [",
     "t: added_tokens: expected an array"},
    {"{\"id\": 1, ", "{\"id\": -1, ",
     "t: added_tokens[1].id: expected 0..1048575"},
    {"{\"id\": 1, ", "{\"id\": 1048576, ",
     "t: added_tokens[1].id: expected 0..1048575"},
    {"{\"id\": 1, ", "{\"id\": \"1\", ",
     "t: added_tokens[1].id: expected 0..1048575"},
    {"{\"id\": 1, ", "{\"id\": 0, ", "t: added_tokens[1].id: 0 a second time"},
    {"\"content\": \"<|padding|>\"", "\"content\": \"\"",
     "t: added_tokens[1].content: expected 1..1024 bytes"},
    {"\"content\": \"<|padding|>\"", "\"content\": 7",
     "t: added_tokens[1].content: expected 1..1024 bytes"},
    {"\"content\": \"<|padding|>\"", "\"content\": \"<|endoftext|>\"",
     "t: added_tokens: ids 0 and 1 have the same content"},
    {"\"content\": \"  \"", "\"content\": \"e\xcc\x81\"",
     "t: added_tokens[2].content: normalized, but not NFC"},
    {"\"normalized\": false", "\"normalized\": 0",
     "t: added_tokens[0].normalized: expected true or false"},
    {"\"normalized\": false, ", "",
     "t: added_tokens[0].normalized: expected true or false"},
    {"\"lstrip\": false", "\"lstrip\": true",
     "t: added_tokens[0].lstrip: expected false"},
    {"\"rstrip\": false", "\"rstrip\": \"no\"",
     "t: added_tokens[0].rstrip: expected true or false"},
    {"\"vocab\": {", "\"vocab\": [], \"x\": {",
     "t: model.vocab: expected an object"},
    {"\"ab\": 245", "\"ab\": -1",
     "t: model.vocab[\"ab\"]: expected 0..1048575"},
    {"\"ab\": 245", "\"ab\": 2.5",
     "t: model.vocab[\"ab\"]: expected 0..1048575"},
    {"\"ab\": 245", "\"ab\": 244",
     "t: model.vocab[\"ab\"]: id 244 a second time"},
    {"\"ab\": 245", "\"a b\": 245",
     "t: model.vocab[\"a b\"]: not 1..1024 byte characters"},
    {"\"ab\": 245", "\"\": 245",
     "t: model.vocab[\"\"]: not 1..1024 byte characters"},
    {"\"ab\": 245", "\"\xe4\xb8\xad\": 245",
     "t: model.vocab[\"\xe4\xb8\xad\"]: not 1..1024 byte characters"},
    {", \"\\u0061\": 99", "", "t: model.vocab: no token is the byte 0x61"},
    {"\"merges\": [", "\"merges\": {}, \"x\": [",
     "t: model.merges: expected an array"},
    {"\"a b\"", "\"a\"", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "\"a b c\"", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "\" b\"", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "\"a \"", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "[\"a\"]", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "[\"a\", 1]", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "7", "t: model.merges[0]: expected two tokens"},
    {"\"a b\"", "\"a z\"", "t: model.merges[0]: a token is not in model.vocab"},
    {"\"ab c\"", "\"a b\"", "t: model.merges[1]: the pair a second time"},
};

START_TEST(what_is_refused_and_where)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct err err = {0};

        ck_assert_msg(parse_changed(refused[i].from, refused[i].to, &err)
                          == NULL,
                      "accepted: %s", refused[i].to);
        ck_assert_str_eq(err.text, refused[i].error);
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
}
END_TEST

START_TEST(variants_that_mean_the_same)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"a b\"", "[\"a\", \"b\"]"},
        {"\"unk_token\": null", "\"continuing_subword_prefix\": \"\""},
        {"\"unk_token\": null", "\"byte_fallback\": false"},
        {"\"trim_offsets\": true", "\"use_regex\": true"},
        {"\"post_processor\"", "\"x\""},
        {"{\"version\"", " \n{\"version\""},
        {"\"single_word\": false, ", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        struct tokenizer *t = parse_changed(cases[i].from, cases[i].to, &err);

        ck_assert_msg(t != NULL, "%s: %s", cases[i].to, err.text);
        ck_assert_int_eq(small_expect(t, "abc  ", 5, "246 258"), 0);
        tokenizer_close(t);
    }
}
END_TEST

START_TEST(truncated_files_are_refused)
{
    struct buf text = BUF_INIT;
    struct err err;

    small_bpe_text(&text);
    for (size_t len = 1; len + 2 < text.len; len += 7) {
        ck_assert_ptr_null(tokenizer_parse("t", text.data, len, &err));
        ck_assert_int_eq(err.code, ERR_INVALID);
    }
    buf_free(&text);
}
END_TEST

int main(void)
{
    return RUN_TESTS("bpe_json", what_is_refused_and_where,
                     variants_that_mean_the_same, truncated_files_are_refused);
}
