#include "text/tokenizer.h"

#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "tests/common/run.h"
#include "tests/text/small.h"

START_TEST(id_lists)
{
    struct ids ids = {0};
    static const int32_t more[] = {7, 8, 9};

    ids_append(&ids, NULL, 0);
    for (int32_t i = 0; i < 1000; i++)
        ids_add(&ids, i);
    ids_append(&ids, more, 3);
    ck_assert_uint_eq(ids.n, 1003);
    ck_assert_int_eq(ids.id[999], 999);
    ck_assert_int_eq(ids.id[1002], 9);
    ids_clear(&ids);
    ck_assert_uint_eq(ids.n, 0);
    ids_add(&ids, 5);
    ck_assert_int_eq(ids.id[0], 5);
    ids_free(&ids);
    ck_assert_ptr_null(ids.id);
}
END_TEST

START_TEST(the_family_is_told_from_the_content)
{
    struct tokenizer *world = small_world(), *bpe = small_bpe();
    struct err err;

    ck_assert_str_eq(tokenizer_family(world), "world");
    ck_assert_str_eq(tokenizer_family(bpe), "bpe");
    tokenizer_close(world);
    tokenizer_close(bpe);
    tokenizer_close(NULL);
    ck_assert_ptr_null(tokenizer_parse("x", "{}", 2, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "x: normalizer.type"));
    ck_assert_ptr_null(tokenizer_parse("x", "[]", 2, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "x:1: "));
}
END_TEST

START_TEST(the_hash_is_that_of_the_bytes)
{
    struct tokenizer *t = small_world();
    struct buf text = BUF_INIT;
    uint8_t want[HASH_BYTES];

    small_world_text(&text);
    hash_bytes(text.data, text.len, want);
    ck_assert_mem_eq(tokenizer_hash(t), want, HASH_BYTES);
    tokenizer_close(t);
    buf_free(&text);
}
END_TEST

static char dir[64];

static void put(const char *name, void (*text)(struct buf *))
{
    char *path = file_join(dir, name);
    struct buf b = BUF_INIT;

    buf_add(&b, "", 0);
    if (text != NULL)
        text(&b);
    ck_assert_int_eq(file_replace(path, b.data, b.len, NULL), 0);
    free(path);
    buf_free(&b);
}

/* What is found for `model`, below the directory; or the error. */
static void expect_found(const char *model, const char *name,
                         enum err_code code)
{
    char *path = model != NULL ? file_join(dir, model) : xstrdup(dir);
    char *want = file_join(dir, name != NULL ? name : "");
    struct err err = {0};
    char *found = tokenizer_find(path, &err);

    ck_assert_int_eq(err.code, code);
    if (code == ERR_NONE)
        ck_assert_str_eq(found, want);
    else
        ck_assert_ptr_null(found);
    free(found);
    free(want);
    free(path);
}

START_TEST(finding_the_vocabulary_of_a_model)
{
    strcpy(dir, "/tmp/check-tokenizer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put("model.pth", NULL);
    expect_found("model.pth", NULL, ERR_NOT_FOUND);
    expect_found("nothing.pth", NULL, ERR_NOT_FOUND);
    put("rwkv_vocab_small.txt", small_world_text);
    expect_found("model.pth", "rwkv_vocab_small.txt", ERR_NONE);
    expect_found(NULL, "rwkv_vocab_small.txt", ERR_NONE);
    put("rwkv_vocab_other.txt", small_world_text);
    expect_found("model.pth", NULL, ERR_INVALID);
    put("tokenizer.json", small_bpe_text);
    expect_found("model.pth", "tokenizer.json", ERR_NONE);
    file_remove_tree(dir, NULL);
}
END_TEST

START_TEST(opening_files)
{
    struct tokenizer *t;
    struct err err;
    char *path;

    strcpy(dir, "/tmp/check-tokenizer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put("v.txt", small_world_text);
    path = file_join(dir, "v.txt");
    t = tokenizer_open(path, &err);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(small_expect(t, "abc", 3, "258"), 0);
    tokenizer_close(t);
    put("v.txt", NULL);
    ck_assert_ptr_null(tokenizer_open(path, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(truncate(path, 65 << 20), 0);
    ck_assert_ptr_null(tokenizer_open(path, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    unlink(path);
    ck_assert_ptr_null(tokenizer_open(path, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    free(path);
    file_remove_tree(dir, NULL);
}
END_TEST

int main(void)
{
    return RUN_TESTS("tokenizer", id_lists, the_family_is_told_from_the_content,
                     the_hash_is_that_of_the_bytes,
                     finding_the_vocabulary_of_a_model, opening_files);
}
