#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"
#include "proto/utf8_check.h"
#include "tests/common/run.h"

static struct record *parse(const char *line)
{
    struct record_error e = {0};
    struct record *r = record_parse(NULL, line, strlen(line), 42, NULL, &e);

    ck_assert_msg(r != NULL, "%s: %s", line, e.message);
    return r;
}

/* Exact bytes, one line, valid JSON. */
static void expect(struct buf *out, const char *want)
{
    json_t *v = json_loadb(out->data, out->len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    ck_assert_str_eq(out->data, want);
    ck_assert_msg(v != NULL, "not JSON: %s", out->data);
    json_decref(v);
    buf_free(out);
}

START_TEST(score)
{
    struct record *r = parse("{\"context\":\"a\",\"target\":\"b\"}");
    struct buf out = BUF_INIT;

    record_write_score(r, -1.5, true, 2, NULL, &out);
    expect(&out, "{\"id\":42,\"logprob\":-1.5,\"greedy\":true,\"tokens\":2}");
    record_free(r);
    r = parse("{\"id\":\"q\\\"1\",\"context\":\"a\",\"target\":\"b\","
              "\"metadata\":{\"x\": 0.10}}");
    record_write_score(r, -0.1, false, 1, NULL, &out);
    expect(&out, "{\"id\":\"q\\\"1\",\"logprob\":-0.1,\"greedy\":false,"
                 "\"tokens\":1,\"metadata\":{\"x\":0.10}}");
    record_free(r);
}
END_TEST

START_TEST(choice)
{
    static const double logprob[] = {-3, -1.25, -1.25};
    struct record *r = parse("{\"id\":-7,\"context\":\"a\","
                             "\"choices\":[\"b\",\"c\",\"d\"],\"gold\":1}");
    struct buf out = BUF_INIT;

    record_write_choice(r, logprob, NULL, &out); /* of equals, the first */
    expect(&out, "{\"id\":-7,\"logprobs\":[-3,-1.25,-1.25],\"choice\":1,"
                 "\"correct\":true}");
    r->gold = 2;
    record_write_choice(r, logprob, NULL, &out);
    expect(&out, "{\"id\":-7,\"logprobs\":[-3,-1.25,-1.25],\"choice\":1,"
                 "\"correct\":false}");
    r->gold = -1;
    record_write_choice(r, logprob, NULL, &out);
    expect(&out, "{\"id\":-7,\"logprobs\":[-3,-1.25,-1.25],\"choice\":1}");
    record_free(r);
}
END_TEST

START_TEST(rolling)
{
    struct record *r = parse("{\"text\":\"a b\",\"metadata\":{}}");
    struct buf out = BUF_INIT;

    record_write_rolling(r, -12.0625, 3, 9, 2, false, NULL, &out);
    expect(&out, "{\"id\":42,\"logprob\":-12.0625,\"tokens\":3,\"bytes\":9,"
                 "\"words\":2,\"metadata\":{}}");
    record_write_rolling(r, 0, 0, 3, 2, true, NULL, &out);
    expect(&out, "{\"id\":42,\"logprob\":0,\"tokens\":0,\"bytes\":3,"
                 "\"words\":2,\"first_unscored\":true,\"metadata\":{}}");
    record_free(r);
}
END_TEST

START_TEST(generate)
{
    struct record *r = parse("{\"id\":\"g\",\"prompt\":\"a\"}");
    struct buf out = BUF_INIT;

    record_write_generate(r, "one\n\"two\"\\\t\0\x1F\x7F \xE2\x82\xAC", 18,
                          "stop", 5, NULL, &out);
    expect(&out, "{\"id\":\"g\",\"text\":\"one\\n\\\"two\\\"\\\\\\t\\u0000"
                 "\\u001f\\u007f \xE2\x82\xAC\",\"finish_reason\":\"stop\","
                 "\"tokens\":5}");
    record_write_generate(r, NULL, 0, "length", 0, NULL, &out);
    expect(&out, "{\"id\":\"g\",\"text\":\"\",\"finish_reason\":\"length\","
                 "\"tokens\":0}");
    record_free(r);
}
END_TEST

START_TEST(errors)
{
    struct record r = {.line = 17};
    struct record_error e;
    struct buf out = BUF_INIT;

    record_error_set(&e, "invalid_json", "", "column %d: \"%s\"", 5, "x");
    record_write_error(&r, &e, &out);
    expect(&out, "{\"id\":17,\"line\":17,\"error\":{\"code\":\"invalid_json\","
                 "\"message\":\"column 5: \\\"x\\\"\"}}");
    r.id_kind = RECORD_ID_STRING;
    r.id = (char *)"a\xC3\xA9";
    r.id_len = 3;
    record_error_set(&e, "missing_field", "target", "it is missing");
    record_write_error(&r, &e, &out);
    expect(&out, "{\"id\":\"a\xC3\xA9\",\"line\":17,\"error\":{\"code\":"
                 "\"missing_field\",\"message\":\"it is missing\",\"field\":"
                 "\"target\"}}");
}
END_TEST

/* Texts that quote a line may be cut anywhere and stay UTF-8. */
START_TEST(long_messages)
{
    for (size_t pad = 0; pad < 4; pad++) {
        struct record r = {.line = 1};
        struct record_error e;
        struct buf text = BUF_INIT, out = BUF_INIT;
        json_t *v;

        for (size_t i = 0; i < pad; i++)
            buf_addc(&text, 'x');
        for (int i = 0; i < 300; i++)
            buf_adds(&text, "\xF0\x9F\xAA\xBF");
        record_error_set(&e, "unknown_key", text.data, "%s", text.data);
        ck_assert_uint_eq(utf8_check(e.message, strlen(e.message)),
                          strlen(e.message));
        record_write_error(&r, &e, &out);
        v = json_loadb(out.data, out.len, 0, NULL);
        ck_assert_ptr_nonnull(v);
        json_decref(v);
        buf_free(&text);
        buf_free(&out);
    }
}
END_TEST

/* Answers stay one line whatever the text is, and read back. */
START_TEST(strings_read_back)
{
    for (unsigned c = 0; c < 0x3000; c++) {
        char s[4] = {0};
        size_t len;
        struct buf out = BUF_INIT;
        json_t *v;

        if (c < 0x80) {
            s[0] = (char)c;
            len = 1;
        } else if (c < 0x800) {
            s[0] = (char)(0xC0 | c >> 6);
            s[1] = (char)(0x80 | (c & 63));
            len = 2;
        } else {
            s[0] = (char)(0xE0 | c >> 12);
            s[1] = (char)(0x80 | (c >> 6 & 63));
            s[2] = (char)(0x80 | (c & 63));
            len = 3;
        }
        json_add_string(&out, s, len);
        for (size_t i = 0; i < out.len; i++)
            ck_assert_uint_ge((unsigned char)out.data[i], 0x20);
        v = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                       NULL);
        ck_assert_msg(v != NULL, "U+%04X", c);
        ck_assert_uint_eq(json_string_length(v), len);
        ck_assert_mem_eq(json_string_value(v), s, len);
        json_decref(v);
        buf_free(&out);
    }
}
END_TEST

static void expect_double(double x, const char *want)
{
    struct buf out = BUF_INIT;

    json_add_double(&out, x);
    ck_assert_str_eq(out.data, want);
    buf_free(&out);
}

START_TEST(doubles)
{
    expect_double(0, "0");
    expect_double(-0.0, "-0");
    expect_double(0.1, "0.1");
    expect_double(-3, "-3");
    expect_double(1.0 / 3, "0.3333333333333333");
    expect_double(0.1 + 0.2, "0.30000000000000004");
    expect_double(1e300, "1e+300");
    expect_double(123456789012345678.0, "1.2345678901234568e+17");
    expect_double(DBL_MAX, "1.7976931348623157e+308");
    expect_double(DBL_MIN, "2.2250738585072014e-308");
}
END_TEST

/* xorshift64: the seed is printed so that a failure can be repeated. */
static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

START_TEST(random_numbers_read_back)
{
    uint64_t state = 0x9E3779B97F4A7C15u;

    for (int i = 0; i < 20000; i++) {
        struct buf out = BUF_INIT;
        uint64_t bits = next(&state);
        uint32_t low = (uint32_t)bits;
        double d, back;
        float f, fback;

        memcpy(&d, &bits, sizeof d);
        memcpy(&f, &low, sizeof f);
        if (isfinite(d)) {
            json_add_double(&out, d);
            back = strtod(out.data, NULL);
            ck_assert_msg(memcmp(&d, &back, sizeof d) == 0, "%a -> %s", d,
                          out.data);
            buf_clear(&out);
        }
        if (isfinite(f)) {
            json_add_float(&out, f);
            fback = strtof(out.data, NULL);
            ck_assert_msg(memcmp(&f, &fback, sizeof f) == 0, "%a -> %s",
                          (double)f, out.data);
            ck_assert_uint_le(strlen(out.data), 15);
        }
        buf_free(&out);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("record_write", score, choice, rolling, generate, errors,
                     long_messages, strings_read_back, doubles,
                     random_numbers_read_back);
}
