#include <stdlib.h>
#include <string.h>

#include "proto/members.h"
#include "tests/common/run.h"

enum {
    KEY_A,
    KEY_B,
    KEY_SOME
};

static const char *const names[] = {"a", "b", "some", NULL};

static struct json_tree *tree;
static struct record r;
static struct record_error e;
static struct members m;

static int sort(const char *json, bool lenient)
{
    json_tree_free(tree);
    record_clear(&r);
    e = (struct record_error){0};
    m = (struct members){.name = names, .lenient = lenient, .r = &r, .e = &e};
    tree = json_read(json, strlen(json), &e);
    ck_assert_msg(tree != NULL, "%s", e.message);
    return members_sort(&m, json_root(tree));
}

static void teardown(void)
{
    json_tree_free(tree);
    record_clear(&r);
}

START_TEST(sorted)
{
    ck_assert_int_eq(sort("{\"some\":1,\"a\":2}", false), 0);
    ck_assert_int_eq(m.value[KEY_A]->integer, 2);
    ck_assert_ptr_null(m.value[KEY_B]);
    ck_assert_int_eq(m.value[KEY_SOME]->integer, 1);
    /* The rest is sorted even then. */
    ck_assert_int_eq(sort("{\"sone\":1,\"x\":0,\"a\":2}", false), -1);
    ck_assert_str_eq(e.code, "unknown_key");
    ck_assert_str_eq(e.field, "sone");
    ck_assert_ptr_nonnull(strstr(e.message, "did you mean \"some\""));
    ck_assert_ptr_nonnull(m.value[KEY_A]);
    sort("{\"quite\":1}", false);
    ck_assert_str_eq(e.message, "unknown key \"quite\" (own data may travel in "
                                "\"metadata\")");
    teardown();
}
END_TEST

START_TEST(warned)
{
    ck_assert_int_eq(sort("{\"sone\":1,\"x\":0,\"a\":2}", true), 0);
    ck_assert_uint_eq(r.n_warnings, 2);
    ck_assert_ptr_nonnull(strstr(r.warning, "sone"));
    ck_assert_int_eq(members_misplaced(&m, KEY_A, "here"), 0);
    ck_assert_ptr_null(m.value[KEY_A]);
    ck_assert_uint_eq(r.n_warnings, 3);
    sort("{\"a\":2}", false);
    ck_assert_int_eq(members_misplaced(&m, KEY_A, "here"), -1);
    ck_assert_str_eq(e.message, "\"a\" does not belong in here");
    teardown();
}
END_TEST

START_TEST(numbers)
{
    double x = 7;
    int64_t n = 7;
    bool flag = true;

    sort("{\"a\":5,\"b\":0.5,\"some\":false}", false);
    ck_assert_int_eq(members_int(&m, KEY_A, 0, 5, &n), 0);
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(members_int(&m, KEY_A, 6, 9, &n), -1);
    ck_assert_str_eq(e.message, "\"a\" is 5, allowed 6..9");
    ck_assert_int_eq(members_int(&m, KEY_B, 0, 9, &n), -1);
    ck_assert_str_eq(e.code, "wrong_type");
    ck_assert_int_eq(members_real(&m, KEY_B, 0, false, 1, &x), 0);
    ck_assert_double_eq(x, 0.5);
    ck_assert_int_eq(members_real(&m, KEY_A, 5, false, 5, &x), 0);
    ck_assert_int_eq(members_real(&m, KEY_A, 5, true, 6, &x), -1);
    ck_assert_str_eq(e.message, "\"a\" is 5, allowed above 5, up to 6");
    ck_assert_int_eq(members_bool(&m, KEY_SOME, &flag), 0);
    ck_assert(!flag);
    ck_assert_int_eq(members_bool(&m, KEY_A, &flag), -1);
    teardown();
}
END_TEST

START_TEST(texts)
{
    struct record_text t = {0};

    sort("{\"a\":\"x\\u0000y\",\"b\":[3,-1],\"some\":[[4],5]}", false);
    ck_assert_int_eq(members_either(&m, KEY_A, -1, m.value[KEY_A], &t), 0);
    ck_assert(!t.is_ids);
    ck_assert_uint_eq(t.len, 3);
    ck_assert_mem_eq(t.text, "x\0y", 4);
    free(t.text);
    ck_assert_int_eq(members_either(&m, KEY_B, -1, m.value[KEY_B], &t), -1);
    ck_assert_str_eq(e.message,
                     "\"b\": token id 2 is -1, allowed 0..2147483647");
    free(t.id);
    ck_assert_int_eq(
        members_either(&m, KEY_SOME, 0, m.value[KEY_SOME]->first, &t), 0);
    ck_assert(t.is_ids);
    ck_assert_int_eq(t.id[0], 4);
    free(t.id);
    ck_assert_int_eq(
        members_either(&m, KEY_SOME, 1, m.value[KEY_SOME]->first->next, &t),
        -1);
    ck_assert_str_eq(e.message, "\"some\"[1] must be a string or an array of "
                                "token ids, not an integer");
    teardown();
}
END_TEST

START_TEST(ids)
{
    sort("{\"a\":-3,\"b\":\"id\",\"some\":\"\"}", false);
    ck_assert_int_eq(members_id(&m, KEY_A, true, &r), 0);
    ck_assert_int_eq(r.id_kind, RECORD_ID_INT);
    ck_assert_int_eq(r.id_int, -3);
    ck_assert_int_eq(members_id(&m, KEY_A, false, &r), -1);
    ck_assert_int_eq(members_id(&m, KEY_B, false, &r), 0);
    ck_assert_str_eq(r.id, "id");
    ck_assert_int_eq(members_id(&m, KEY_SOME, false, &r), -1);
    teardown();
}
END_TEST

int main(void)
{
    return RUN_TESTS("members", sorted, warned, numbers, texts, ids);
}
