#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/safetensors.h"

/* A file of a header and `body` bytes 0, 1, 2, ... */
static void make_file(struct buf *out, const char *header, size_t body)
{
    uint64_t len = strlen(header);

    buf_add(out, &len, 8);
    buf_adds(out, header);
    for (size_t i = 0; i < body; i++)
        buf_addc(out, (char)i);
}

static struct tensor_file *parse(const struct buf *b, struct err *err)
{
    return safetensors_parse("t", (const uint8_t *)b->data, b->len, err);
}

START_TEST(a_good_file_is_read)
{
    struct buf b = BUF_INIT;
    struct err err = {0};
    struct tensor_file *f;
    const struct tensor *t;

    make_file(&b,
              "{\"__metadata__\":{\"format\":\"pt\"},"
              "\"b\":{\"dtype\":\"U8\",\"shape\":[2,2],"
              "\"data_offsets\":[4,8]},"
              "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
              "\"c\":{\"dtype\":\"F64\",\"shape\":[9223372036854775807,0,9,"
              "4611686018427387904],"
              "\"data_offsets\":[8,8]}}   ",
              8);
    f = parse(&b, &err);
    ck_assert_msg(f != NULL, "%s", err.text);
    ck_assert_uint_eq(f->n, 3);
    ck_assert_str_eq(f->tensor[0].name, "a"); /* sorted */
    t = tensor_file_find(f, "b");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->ndim, 2);
    ck_assert_int_eq(t->stride[0], 2);
    ck_assert_int_eq(t->data[0], 4);
    ck_assert_int_eq(tensor_count(tensor_file_find(f, "a")), 1);
    ck_assert_int_eq(tensor_count(tensor_file_find(f, "c")), 0);
    ck_assert_ptr_null(tensor_file_find(f, "d"));
    tensor_file_close(f);
    buf_free(&b);
}
END_TEST

#define T(name, dtype, shape, begin, end)                    \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
    ",\"data_offsets\":[" #begin "," #end "]}"

static const struct {
    const char *header;
    size_t body;
    enum err_code code;
    const char *says;
} bad[] = {
    {"{" T("a", "F32", "[2]", 0, 8) "}", 7, ERR_INVALID, "outside the 7 bytes"},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 9, ERR_INVALID,
     "1 bytes at the end belong to no tensor"},
    {"{" T("a", "F32", "[3]", 0, 8) "}", 8, ERR_INVALID,
     "tensor a: 8 bytes stored, its shape and dtype need 12"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 3, 7) "}", 7,
     ERR_INVALID, "tensors a and b overlap"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4,
     ERR_INVALID, "overlap"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 5, 9) "}", 9,
     ERR_INVALID, "1 bytes before tensor b"},
    {"{" T("a", "U8", "[4]", 0, 4) "," T("a", "U8", "[4]", 4, 8) "}", 8,
     ERR_INVALID, "duplicate"},
    {"{" T("a", "U8", "[4]", 4, 0) "}", 4, ERR_INVALID, "data_offsets"},
    {"{" T("a", "U8", "[4]", -4, 0) "}", 4, ERR_INVALID, "data_offsets"},
    {"{" T("a", "U8", "[4]", 0, 1e9) "}", 4, ERR_INVALID, "data_offsets"},
    {"{" T("a", "U8", "[4]", 0, 99999999999999999999) "}", 4, ERR_INVALID,
     "too big"},
    {"{" T("a", "F8_E4M3", "[4]", 0, 4) "}", 4, ERR_INVALID,
     "dtype F8_E4M3 is not supported"},
    {"{" T("a", "U8", "[-4]", 0, 4) "}", 4, ERR_INVALID, "shape"},
    {"{" T("a", "U8", "[4.0]", 0, 4) "}", 4, ERR_INVALID, "shape"},
    {"{" T("a", "U8", "4", 0, 4) "}", 4, ERR_INVALID, "shape"},
    {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,4]", 0, 4) "}", 4, ERR_LIMIT,
     "9 dimensions"},
    {"{" T("a", "F64", "[4294967296,4294967296,16]", 0, 0) "}", 0, ERR_LIMIT,
     "elements"},
    {"{" T("a", "F64", "[9223372036854775807,2]", 0, 8) "}", 8, ERR_LIMIT,
     "elements"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, ERR_INVALID,
     "expected {\"dtype\""},
    {"{\"a\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
     ERR_INVALID, "expected {\"dtype\""},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],"
     "\"x\":1}}",
     4, ERR_INVALID, "expected {\"dtype\""},
    {"{\"a\":5}", 0, ERR_INVALID, "tensor a"},
    {"{\"a\":{}", 0, ERR_INVALID, "header"},
    {"{} {}", 0, ERR_INVALID, "header"},
    {"{\"a\\u0000b\":{}}", 0, ERR_INVALID, "header"},
    {"{\"\xff\":{}}", 0, ERR_INVALID, "header"},
    {"[]", 0, ERR_INVALID, "neither safetensors"},
    {"", 0, ERR_INVALID, "neither safetensors"},
};

START_TEST(bad_headers_are_refused)
{
    struct buf b = BUF_INIT;
    struct err err = {0};

    make_file(&b, bad[_i].header, bad[_i].body);
    ck_assert_ptr_null(parse(&b, &err));
    ck_assert_msg(err.code == bad[_i].code
                      && strstr(err.text, bad[_i].says) != NULL,
                  "%s\nexpected \"%s\", got %s: %s", bad[_i].header,
                  bad[_i].says, err_name(err.code), err.text);
    buf_free(&b);
}
END_TEST

START_TEST(header_lengths_are_bounded)
{
    static const uint64_t len[] = {UINT64_MAX, (uint64_t)1 << 63,
                                   SAFETENSORS_HEADER_BYTES_MAX + 1, 100, 3};

    for (size_t i = 0; i < sizeof len / sizeof *len; i++) {
        struct buf b = BUF_INIT;
        struct err err = {0};

        make_file(&b, "{}", 0);
        memcpy(b.data, &len[i], 8);
        ck_assert_ptr_null(parse(&b, &err));
        ck_assert_msg(strstr(err.text, "header of") != NULL, "%s", err.text);
        buf_free(&b);
    }
}
END_TEST

/* Deep nesting must end in an error, not in a deep stack. */
START_TEST(deep_nesting_is_refused)
{
    struct buf b = BUF_INIT, header = BUF_INIT;
    struct err err = {0};

    buf_adds(&header, "{\"a\":");
    for (int i = 0; i < 1000000; i++)
        buf_addc(&header, '[');
    make_file(&b, header.data, 0);
    ck_assert_ptr_null(parse(&b, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    buf_free(&b);
    buf_free(&header);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct buf b = BUF_INIT;
    struct err err;

    make_file(&b,
              "{" T("a", "F32", "[2]", 0, 8) "," T("b", "U8", "[3]", 8, 11) "}",
              11);
    for (size_t n = 0; n < b.len; n++)
        ck_assert_ptr_null(
            safetensors_parse("t", (const uint8_t *)b.data, n, &err));
    buf_free(&b);
}
END_TEST

/* Shards. */

static char dir[64];

static void write_file(const char *name, const void *data, size_t len)
{
    char *path = file_join(dir, name);

    ck_assert_int_eq(file_replace(path, data, len, NULL), 0);
    free(path);
}

static void write_shard(const char *name, const char *header, size_t body)
{
    struct buf b = BUF_INIT;

    make_file(&b, header, body);
    write_file(name, b.data, b.len);
    buf_free(&b);
}

static void setup(void)
{
    strcpy(dir, "/tmp/skein-check-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_shard("one.safetensors", "{" T("a", "U8", "[4]", 0, 4) "}", 4);
    write_shard("two.safetensors", "{" T("b", "U8", "[4]", 0, 4) "}", 4);
}

static void teardown(void)
{
    ck_assert_int_eq(file_remove_tree(dir, NULL), 0);
}

static struct tensor_file *open_index(const char *text, struct err *err)
{
    write_file("model.safetensors.index.json", text, strlen(text));
    return tensor_file_open(dir, err);
}

START_TEST(shards_are_found)
{
    struct err err = {0};
    struct tensor_file *f =
        open_index("{\"metadata\":{\"total_size\":8},\"weight_map\":"
                   "{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}",
                   &err);

    ck_assert_msg(f != NULL, "%s", err.text);
    ck_assert_str_eq(f->format, "safetensors sharded");
    ck_assert_uint_eq(f->n, 2);
    ck_assert_uint_eq(f->n_map, 2);
    tensor_file_close(f);
}
END_TEST

static const struct {
    const char *index;
    enum err_code code;
    const char *says;
} bad_index[] = {
    {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", ERR_INVALID,
     "not a plain file name"},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", ERR_INVALID,
     "not a plain file name"},
    {"{\"weight_map\":{\"a\":\"x\\\\y\"}}", ERR_INVALID,
     "not a plain file name"},
    {"{\"weight_map\":{\"a\":\"..\"}}", ERR_INVALID, "not a plain file name"},
    {"{\"weight_map\":{\"a\":\"\"}}", ERR_INVALID, "not a plain file name"},
    {"{\"weight_map\":{\"a\":7}}", ERR_INVALID, "not mapped to a file name"},
    {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", ERR_NOT_FOUND,
     "gone.safetensors"},
    {"{\"weight_map\":{\"a\":\"two.safetensors\"}}", ERR_INVALID,
     "tensor a is not in two.safetensors"},
    {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":"
     "\"one.safetensors\"}}",
     ERR_INVALID, "tensor b is not in one.safetensors"},
    {"{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":"
     "\"one.safetensors\"}}",
     ERR_INVALID, "where the index puts it"},
    {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":"
     "\"one.safetensors\"}}",
     ERR_INVALID, "duplicate"},
    {"{\"weight_map\":{}}", ERR_INVALID, "no weight_map"},
    {"[1]", ERR_INVALID, "no weight_map"},
    {"{\"weight_map\"", ERR_INVALID, "index.json:1:"},
};

START_TEST(bad_indexes_are_refused)
{
    struct err err = {0};

    ck_assert_ptr_null(open_index(bad_index[_i].index, &err));
    ck_assert_msg(err.code == bad_index[_i].code
                      && strstr(err.text, bad_index[_i].says) != NULL,
                  "%s\nexpected \"%s\", got %s: %s", bad_index[_i].index,
                  bad_index[_i].says, err_name(err.code), err.text);
}
END_TEST

START_TEST(a_tensor_in_two_shards_is_refused)
{
    struct err err = {0};

    write_shard("two.safetensors",
                "{" T("a", "U8", "[1]", 0, 1) "," T("b", "U8", "[3]", 1, 4) "}",
                4);
    ck_assert_ptr_null(
        open_index("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":"
                   "\"two.safetensors\"}}",
                   &err));
    ck_assert_msg(strstr(err.text, "two tensors are named a") != NULL, "%s",
                  err.text);
}
END_TEST

START_TEST(a_directory_holds_one_checkpoint)
{
    struct tensor_file *f;
    struct err err = {0};

    ck_assert_ptr_null(tensor_file_open(dir, &err));
    ck_assert_msg(strstr(err.text, "several") != NULL, "%s", err.text);
    write_shard("model.safetensors", "{" T("m", "U8", "[1]", 0, 1) "}", 1);
    f = tensor_file_open(dir, &err);
    ck_assert_msg(f != NULL, "%s", err.text);
    ck_assert_str_eq(f->tensor[0].name, "m");
    tensor_file_close(f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tc = tcase_create("file");
    TCase *shards = tcase_create("shards");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, a_good_file_is_read);
    tcase_add_loop_test(tc, bad_headers_are_refused, 0,
                        (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tc, header_lengths_are_bounded);
    tcase_add_test(tc, deep_nesting_is_refused);
    tcase_add_test(tc, every_truncation_is_refused);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(shards, setup, teardown);
    tcase_add_test(shards, shards_are_found);
    tcase_add_loop_test(shards, bad_indexes_are_refused, 0,
                        (int)(sizeof bad_index / sizeof *bad_index));
    tcase_add_test(shards, a_tensor_in_two_shards_is_refused);
    tcase_add_test(shards, a_directory_holds_one_checkpoint);
    suite_add_tcase(suite, shards);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
