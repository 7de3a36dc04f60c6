#include <string.h>

#include "proto/json_read.h"
#include "tests/common/run.h"

static struct json_tree *read_text(const char *text)
{
    struct record_error e = {0};
    struct json_tree *t = json_read(text, strlen(text), &e);

    ck_assert_msg(t != NULL, "%s: %s", text, e.message);
    return t;
}

START_TEST(values)
{
    struct json_tree *t = read_text("[\"a\\u0000\\u00e9\",-7,1.5,true,false,"
                                    "null,[],{},1e2]");
    const struct json_value *v = json_root(t);
    static const enum json_is is[] = {
        JSON_IS_STRING, JSON_IS_INTEGER, JSON_IS_REAL,
        JSON_IS_TRUE,   JSON_IS_FALSE,   JSON_IS_NULL,
        JSON_IS_ARRAY,  JSON_IS_OBJECT,  JSON_IS_REAL,
    };
    size_t i = 0;

    ck_assert_int_eq(v->is, JSON_IS_ARRAY);
    ck_assert_uint_eq(v->n, 9);
    for (v = v->first; v != NULL; v = v->next) {
        ck_assert_int_eq(v->is, is[i++]);
        ck_assert_ptr_null(v->name);
    }
    ck_assert_uint_eq(i, 9);
    v = json_root(t)->first;
    ck_assert_uint_eq(v->len, 4);
    ck_assert_mem_eq(v->text, "a\0\xC3\xA9", 5);
    ck_assert_int_eq(v->next->integer, -7);
    ck_assert(v->next->number == -7.0);
    ck_assert(v->next->next->number == 1.5);
    json_tree_free(t);
}
END_TEST

START_TEST(members_in_order)
{
    struct json_tree *t = read_text("{\"b\":1, \"a\" :{\"x\":[2]} ,\"\":3}");
    const struct json_value *v = json_root(t);

    ck_assert_int_eq(v->is, JSON_IS_OBJECT);
    ck_assert_uint_eq(v->n, 3);
    v = v->first;
    ck_assert_str_eq(v->name, "b");
    ck_assert_uint_eq(v->span.len, 1);
    v = v->next;
    ck_assert_str_eq(v->name, "a");
    ck_assert_str_eq(v->first->name, "x");
    ck_assert_int_eq(v->first->first->integer, 2);
    ck_assert_int_eq(strncmp(v->span.text, "{\"x\":[2]} ", v->span.len), 0);
    v = v->next;
    ck_assert_str_eq(v->name, "");
    ck_assert_ptr_null(v->next);
    json_tree_free(t);
}
END_TEST

/* Strictness and the codes; check_record.c has the messages. */
START_TEST(refused)
{
    static const struct {
        const char *text, *code;
    } bad[] = {
        {"", "invalid_json"},
        {"{\"a\":1,}", "invalid_json"},
        {"[1] 2", "invalid_json"},
        {"[01]", "invalid_json"},
        {"[\"\\ud800\"]", "invalid_json"},
        {"{\"a\\u0000\":1}", "invalid_json"},
        {"[\"\x01\"]", "invalid_json"},
        {"[\"\xFF\"]", "not_utf8"},
        {"{\"a\":{\"b\":1,\"b\":2}}", "duplicate_key"},
        {"[9223372036854775808]", "invalid_value"},
        {"[1e999]", "invalid_value"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct record_error e = {0};

        ck_assert_ptr_null(json_read(bad[i].text, strlen(bad[i].text), &e));
        ck_assert_str_eq(e.code, bad[i].code);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("json_read", values, members_in_order, refused);
}
