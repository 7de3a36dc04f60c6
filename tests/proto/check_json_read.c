#include <string.h>

#include "common/buf.h"
#include "proto/json_read.h"
#include "tests/common/run.h"
#include "tests/proto/jansson_read.h"

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

/* ---- lists of texts, by category as JSONTestSuite has them ---------------- */

/* Arrays, numbers, objects, strings, structure. */
static const char *const accepted[] = {
    "[[]   ]",
    "[]",
    "[\"\"]",
    "[\"a\"]",
    "[false]",
    "[null, 1, \"1\", {}]",
    "[null]",
    "[1\n]",
    " [1]",
    "[1,null,null,null,2]",
    "[2] ",
    "[\t1\r,\n2 ]",
    "[[[[[[]]]]]]",
    "[{},[],\"\",0]",
    "[123e65]",
    "[0e+1]",
    "[0e1]",
    "[ 4]",
    "[-0.000000000000000000000000000000000000000000000000001]",
    "[20e1]",
    "[-0]",
    "[-123]",
    "[-1]",
    "[-0.0]",
    "[1E22]",
    "[1E-2]",
    "[1E+2]",
    "[123e45]",
    "[123.456e78]",
    "[1e-2]",
    "[1e+2]",
    "[123]",
    "[123.456789]",
    "[0.1]",
    "[0]",
    "[10.00]",
    "[9223372036854775807]",
    "[-9223372036854775808]",
    "[1e-400]",
    "[4.9e-324]",
    "[1.7976931348623157e308]",
    "[0.5e-0]",
    "[0.01E01]",
    "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
    "{\"asd\":\"sdf\"}",
    "{}",
    "{\"\":0}",
    "{\"foo\\u0062ar\": 42}",
    "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }",
    "{\"x\":[{\"id\": \"xxxxxxxx\"}], \"id\": \"xxxxxxxx\"}",
    "{\"a\":[]}",
    "{\"title\":\"\\u041f\\u043e\" }",
    "{\n\"a\": \"b\"\n}",
    "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":2}}",
    "[\"\\u0060\\u012a\\u12AB\"]",
    "[\"\\uD801\\udc37\"]",
    "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\\\u0000\"]",
    "[\"\\\"\"]",
    "[\"a/*b*/c/*d//e\"]",
    "[\"\\\\a\"]",
    "[\"\\\\n\"]",
    "[\"\\u0012\"]",
    "[\"\\uFFFF\"]",
    "[\"asd\"]",
    "[ \"asd\"]",
    "[\"\\uDBFF\\uDFFF\"]",
    "[\"new\\u00A0line\"]",
    "[\"\364\217\277\277\"]",
    "[\"\357\277\277\"]",
    "[\"\\u0000\"]",
    "[\"\\u002c\"]",
    "[\"\317\200\"]",
    "[\"\360\233\277\277\"]",
    "[\"asd \"]",
    "\" \"",
    "[\"\\uD834\\uDd1e\"]",
    "[\"\\u0821\"]",
    "[\"\\u0123\"]",
    "[\"\342\200\250\"]",
    "[\"\342\200\251\"]",
    "[\"\\u0061\\u30af\\u30EA\\u30b9\"]",
    "[\"new\\u000Aline\"]",
    "[\"\177\"]",
    "[\"\\uA66D\"]",
    "[\"\\u005C\"]",
    "[\"\342\215\202\343\210\265\342\215\202\"]",
    "[\"\\u200B\"]",
    "[\"\\u2064\"]",
    "[\"\\uFDD0\"]",
    "[\"\\uFFFE\"]",
    "[\"\\u0022\"]",
    "[\"\342\202\254\360\235\204\236\"]",
    "[\"a\177a\"]",
    "[\"aa\"]",
    "[\"\\uD800\\uDC00\"]",
    "false",
    "42",
    "-0.1",
    "null",
    "\"asd\"",
    "true",
    "\"\"",
    "[\"a\"]\n",
    "[true]",
    " [] ",
    "\r\n{}\r\n",
    "\t1",
};

/* Arrays, words, numbers, objects, strings, structure. */
static const char *const refused_texts[] = {
    "[1 true]",
    "[a\303\245]",
    "[\"\": 1]",
    "[\"\"],",
    "[,1]",
    "[1,,2]",
    "[\"x\",,]",
    "[\"x\"]]",
    "[\"\",]",
    "[\"x\"",
    "[x",
    "[3[4]]",
    "[,]",
    "[-]",
    "[   , \"\"]",
    "[\"a\",\n4\n,1,",
    "[1,]",
    "[1,,]",
    "[\"\013a\"\\f]",
    "[*]",
    "[\"\"",
    "[1,",
    "[1,\n1\n,1",
    "[{}",
    "[",
    "[[",
    "[\"a\" \"b\"]",
    "[1;2]",
    "[1)",
    "(1)",
    "<1>",
    "[1}",
    "[;]",
    "[fals]",
    "[nul]",
    "[tru]",
    "[True]",
    "[NULL]",
    "[FALSE]",
    "[nulll]",
    "[truefalse]",
    "[undefined]",
    "nul",
    "tru",
    "fals",
    "TRUE",
    "[n]",
    "[t]",
    "[f]",
    "[++1234]",
    "[+1]",
    "[+Inf]",
    "[-01]",
    "[-1.0.]",
    "[-2.]",
    "[-NaN]",
    "[.-1]",
    "[.2e-3]",
    "[0.1.2]",
    "[0.3e+]",
    "[0.3e]",
    "[0.e1]",
    "[0E+]",
    "[0E]",
    "[0e+]",
    "[0e]",
    "[1.0e+]",
    "[1.0e-]",
    "[1.0e]",
    "[1 000.0]",
    "[1eE2]",
    "[2.e+3]",
    "[2.e-3]",
    "[2.e3]",
    "[9.e+]",
    "[Inf]",
    "[NaN]",
    "[\357\274\221]",
    "[1+2]",
    "[0x1]",
    "[0x42]",
    "[Infinity]",
    "[0e+-1]",
    "[-123.123foo]",
    "[123.321foo]",
    "[-Infinity]",
    "[-foo]",
    "[- 1]",
    "[-012]",
    "[-.123]",
    "[-1x]",
    "[1ea]",
    "[1.]",
    "[.123]",
    "[1.2a-3]",
    "[1.8011670033376514H-308]",
    "[012]",
    "[00]",
    "[-00]",
    "[0 1]",
    "[1e]",
    "[e1]",
    "-",
    "[1_000]",
    "[1,2.]",
    "[0b1]",
    "[0o7]",
    "[1f]",
    "[1L]",
    "[--1]",
    "[1e1.5]",
    "[\331\241]",
    "[\"x\", truth]",
    "{[: \"x\"}\n",
    "{\"x\", null}",
    "{\"x\"::\"b\"}",
    "{\360\237\207\250\360\237\207\255}",
    "{\"a\":\"a\" 123}",
    "{key: 'value'}",
    "{\"a\" b}",
    "{:\"b\"}",
    "{\"a\":",
    "{\"a\"",
    "{1:1}",
    "{9999E9999:1}",
    "{null:null,null:null}",
    "{\"id\":0,,,,,}",
    "{'a':0}",
    "{\"id\":0,}",
    "{\"a\":\"b\"}/**/",
    "{\"a\":\"b\"}/**//",
    "{\"a\":\"b\"}//",
    "{\"a\":\"b\"}/",
    "{\"a\":\"b\",,\"c\":\"d\"}",
    "{a: \"b\"}",
    "{\"a\":\"a",
    "{ \"foo\" : \"bar\", \"a\" }",
    "{\"a\":\"b\"}#",
    "{",
    "{]",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1]",
    "{\"a\";1}",
    "{true:1}",
    "{\"a\":1,\"b\"",
    "{\"a\":1,\"b\":",
    "{{}:1}",
    "{[]:1}",
    "{\"a\"=1}",
    " ",
    "[\"\\uD800\\\"]",
    "[\"\\uD800\\u\"]",
    "[\"\\uD800\\u1\"]",
    "[\"\\uD800\\u1x\"]",
    "[\303\251]",
    "[\"\\x00\"]",
    "[\"\\\\\\\"]",
    "[\"\\\t\"]",
    "[\"\\\360\237\214\200\"]",
    "[\"\\\"]",
    "[\"\\u00A\"]",
    "[\"\\uD834\\uDd\"]",
    "[\"\\uD800\\uD800\\x\"]",
    "[\"\\u\303\245\"]",
    "[\"\\a\"]",
    "[\"\\uqqqq\"]",
    "[\"\\\303\245\"]",
    "[\\u0020\"asd\"]",
    "[\\n]",
    "\"",
    "['single quote']",
    "abc",
    "[\"\\",
    "[\"new\nline\"]",
    "[\"\t\"]",
    "[\"\037\"]",
    "[\"\001\"]",
    "\"\\UA66D\"",
    "\"\"x",
    "[\"\\u{61}\"]",
    "[\"\\v\"]",
    "[\"\\0\"]",
    "[\"\\8\"]",
    "[\"a\rb\"]",
    "\"a",
    "\"a\\",
    "\"a\\u",
    "\"a\\u0",
    "\"a\\u00",
    "\"a\\u006",
    "[\"\\ud800\"]",
    "[\"\\udc00\"]",
    "[\"\\ud800x\"]",
    "[\"\\ud800\\n\"]",
    "[\"\\ud800\\u0041\"]",
    "[\"\\udfff\\udfff\"]",
    "[\"\\ud800\\ud800\"]",
    "[\"\\udc00\\ud800\"]",
    "<.>",
    "[<null>]",
    "[1]x",
    "[1]]",
    "[\"asd]",
    "a\303\245",
    "1]",
    "{\"x\": true,",
    "[][]",
    "]",
    "\303\257\302\273{}",
    "\357\273\277[]",
    "\342\201\240",
    "[\342\201\240]",
    "",
    "{}}",
    "[\014]",
    "[\302\240]",
    "{\"\":",
    "{\"a\":/*comment*/\"b\"}",
    "{\"a\": true} \"x\"",
    "['",
    "[,",
    "[{",
    "[{\"",
    "[\"a",
    "[\"\\a",
    "[{\"a\":\"b\"#",
    "{}[]",
    "{'",
    "{\"a",
    "[\"\\{[\"\\{[\"\\{[\"\\{",
    "*",
    "{\"a\":\"b\"}#{}",
    "[\\u000A\"\"]",
    "[1",
    "[ false, nul",
    "[ true, fals",
    "[ false, tru",
    "{\"asd\":\"asd\"",
    "1 2",
    "null null",
    "/**/1",
    "1//",
    "#1",
    "\0131",
    "@",
    "\\",
    "&quot;",
    "{\"a\":1};",
    ",",
    ":",
    "}",
};

static void judge(const char *text, size_t len, bool accept)
{
    struct record_error e = {0};
    struct json_tree *t = json_read(text, len, &e);
    const char *why;

    ck_assert_msg((t != NULL) == accept, "%s: %s", text,
                  t != NULL ? "accepted" : e.message);
    ck_assert_msg(jansson_agrees(text, len, t, &why), "%s: %s", text, why);
    json_tree_free(t);
}

START_TEST(accepts)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++)
        judge(accepted[i], strlen(accepted[i]), true);
}
END_TEST

START_TEST(refuses)
{
    for (size_t i = 0; i < sizeof refused_texts / sizeof refused_texts[0]; i++)
        judge(refused_texts[i], strlen(refused_texts[i]), false);
}
END_TEST

/* Every beginning of a text that is accepted is refused, scalars excepted. */
START_TEST(refuses_beginnings)
{
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        size_t start = strspn(accepted[i], " \t\r\n");
        size_t len = strlen(accepted[i]);

        while (len > 0 && strchr(" \t\r\n", accepted[i][len - 1]) != NULL)
            len--;
        if (accepted[i][start] != '[' && accepted[i][start] != '{')
            continue;
        for (size_t n = 0; n < len; n++)
            judge(accepted[i], n, false);
    }
}
END_TEST

START_TEST(refuses_bytes)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
        {"[\"\xFF\"]", 5},
        {"[\"a\xE5\"]", 6},
        {"[\xFF]", 3},
        {"[\"\xC0\xAF\"]", 6},         /* overlong */
        {"[\"\xED\xA0\x80\"]", 7},     /* a surrogate */
        {"[\"\xF4\xBF\xBF\xBF\"]", 8}, /* beyond U+10FFFF */
        {"[\"\xE0\xFF\"]", 6},
        {"{\"\xB9\":\"0\",}", 10},
        {"\xFF\xFE[\0\"\0", 6}, /* UTF-16 */
        {"[\"a\0a\"]", 7},
        {"[1\0]", 4},
        {"123\0", 4},
        {"[true\0]", 7},
        {"[]\0", 3},
        {"\0", 1},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        judge(bad[i].text, bad[i].len, false);
}
END_TEST

static void repeat(struct buf *out, const char *what, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_adds(out, what);
}

/* Nested as deeply as jansson allows, and a level more. */
START_TEST(depth)
{
    struct buf text = BUF_INIT;

    for (size_t n = 2046; n <= 2050; n++) {
        buf_clear(&text);
        repeat(&text, "[", n);
        repeat(&text, "]", n);
        judge(text.data, text.len, n <= 2048);
        buf_clear(&text);
        repeat(&text, "{\"a\":", n);
        buf_adds(&text, "1");
        repeat(&text, "}", n);
        judge(text.data, text.len, n < 2048);
    }
    buf_clear(&text);
    repeat(&text, "[", 100000);
    judge(text.data, text.len, false);
    buf_clear(&text);
    repeat(&text, "[{\"\":", 50000);
    judge(text.data, text.len, false);
    buf_free(&text);
}
END_TEST

/* More values than a tree begins with; strings of every length, so that a
 * quote, a backslash and a control character stand at every place of a word.
 */
START_TEST(sizes)
{
    struct buf text = BUF_INIT;

    for (size_t n = 0; n < 20000; n = n < 60 ? n + 1 : 2 * n + 1) {
        buf_clear(&text);
        buf_adds(&text, "[0");
        repeat(&text, ",{\"a\":-1.5}", n);
        buf_adds(&text, "]");
        judge(text.data, text.len, true);
    }
    for (size_t n = 0; n < 40; n++) {
        static const char *const end[] = {
            "\"]",     "\\n\"]",  "\\u00e9\"]", "\x7F\"]", "\xC3\xA9\"]",
            "\x1F\"]", "\x80\"]", "\\\"]",      "]"};

        for (size_t i = 0; i < sizeof end / sizeof end[0]; i++) {
            buf_clear(&text);
            buf_adds(&text, "[\"");
            repeat(&text, "!", n / 2);
            repeat(&text, "~", n - n / 2);
            buf_adds(&text, end[i]);
            judge(text.data, text.len, i < 5);
        }
    }
    buf_free(&text);
}
END_TEST

/* As many values as there may be, and one more. */
START_TEST(many_values)
{
    for (size_t n = JSON_VALUES_MAX - 1; n <= JSON_VALUES_MAX; n++) {
        struct record_error e = {0};
        struct buf text = BUF_INIT;
        struct json_tree *t;

        buf_adds(&text, "[0");
        repeat(&text, ",0", n - 1);
        buf_adds(&text, "]");
        t = json_read(text.data, text.len, &e);
        if (n < JSON_VALUES_MAX) { /* the array is one, too */
            ck_assert_ptr_nonnull(t);
            ck_assert_uint_eq(json_root(t)->n, n);
        } else {
            ck_assert_ptr_null(t);
            ck_assert_str_eq(e.code, "too_large");
        }
        json_tree_free(t);
        buf_free(&text);
    }
}
END_TEST

/* Two equal names among n, wherever they are. */
START_TEST(names)
{
    struct buf text = BUF_INIT;

    for (int n = 2; n < 40; n++) {
        for (int twin = 0; twin < n; twin++) { /* n - 1: none */
            buf_clear(&text);
            for (int i = 0; i < n; i++)
                buf_addf(&text, "%s\"k%d\":%d", i == 0 ? "{" : ",",
                         (i == n - 1 ? twin : i) * 7 % 41, i);
            buf_adds(&text, "}");
            judge(text.data, text.len, twin == n - 1);
        }
    }
    buf_free(&text);
}
END_TEST

int main(void)
{
    return RUN_TESTS("json_read", values, members_in_order, refused, accepts,
                     refuses, refuses_beginnings, refuses_bytes, depth, sizes,
                     many_values, names);
}
