#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/pickle.h"
#include "model/pth.h"
#include "model/zip.h"

/* A zip archive being written: local entries, then the directory. */
struct archive {
    struct buf out, central;
    uint16_t n;
    uint16_t method, flags;
    uint64_t declared; /* size in the directory instead of the true one */
};

static void add16(struct buf *b, uint16_t x)
{
    buf_add(b, &x, 2);
}

static void add32(struct buf *b, uint32_t x)
{
    buf_add(b, &x, 4);
}

static void add64(struct buf *b, uint64_t x)
{
    buf_add(b, &x, 8);
}

/* As torch writes it: sizes 0 in the local header, a padding extra field, a
 * data descriptor behind the data.
 */
static void zip_add(struct archive *a, const char *name, const void *data,
                    size_t len)
{
    uint32_t at = (uint32_t)a->out.len;
    uint16_t name_len = (uint16_t)strlen(name);
    uint32_t size = (uint32_t)(a->declared != 0 ? a->declared : len);

    buf_add(&a->out, "PK\3\4\0\0", 6);
    add16(&a->out, a->flags != 0 ? a->flags : 0x0808);
    buf_add(&a->out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
    add16(&a->out, name_len);
    add16(&a->out, 7);
    buf_adds(&a->out, name);
    buf_add(&a->out, "FB\3\0ZZZ", 7);
    buf_add(&a->out, data, len);
    buf_add(&a->out, "PK\7\x08", 4);

    buf_add(&a->central, "PK\1\2\0\0\0\0", 8);
    add16(&a->central, a->flags != 0 ? a->flags : 0x0808);
    add16(&a->central, a->method);
    buf_add(&a->central, "\0\0\0\0\0\0\0\0", 8);
    add32(&a->central, size);
    add32(&a->central, size);
    add16(&a->central, name_len);
    buf_add(&a->central, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    add32(&a->central, at);
    buf_adds(&a->central, name);
    a->n++;
}

static void zip_end(struct archive *a)
{
    uint32_t at = (uint32_t)a->out.len;

    buf_add(&a->out, a->central.data, a->central.len);
    buf_add(&a->out, "PK\5\6\0\0\0\0", 8);
    add16(&a->out, a->n);
    add16(&a->out, a->n);
    add32(&a->out, (uint32_t)a->central.len);
    add32(&a->out, at);
    add16(&a->out, 0);
}

static void archive_free(struct archive *a)
{
    buf_free(&a->out);
    buf_free(&a->central);
}

/* Pieces of pickles. A tensor "t" of floats: storage "0" of 4 elements. */
#define PROTO "\x80\x02"
#define TEXT(len, s) "X" len "\0\0\0" s
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define STORAGE                                                        \
    "(" TEXT("\7", "storage") "ctorch\nFloatStorage\n" TEXT("\1", "0") \
        TEXT("\3", "cpu") "K\4tQ"
#define DICT0 "ccollections\nOrderedDict\n)R"
#define TENSOR(offset, size, stride) \
    REBUILD "(" STORAGE "K" offset size stride "\x89" DICT0 "tR"
#define HEAD PROTO "}(" TEXT("\1", "t")
#define P(s) s, sizeof(s) - 1

static const char good_pickle[] =
    HEAD TENSOR("\0", "K\2K\2\x86", "K\1K\2\x86") "u.";

static struct tensor_file *parse_archive(struct archive *a, struct err *err)
{
    zip_end(a);
    return pth_parse("t", (const uint8_t *)a->out.data, a->out.len, err);
}

static const float four[4] = {1, 2, 3, 4};

/* An archive of this pickle and storage 0. */
static struct tensor_file *parse_pickle(const void *pickle, size_t len,
                                        struct archive *a, struct err *err)
{
    *a = (struct archive){0};
    zip_add(a, "m/data.pkl", pickle, len);
    zip_add(a, "m/byteorder", "little", 6);
    zip_add(a, "m/data/0", four, sizeof four);
    return parse_archive(a, err);
}

START_TEST(a_transposed_tensor_is_read)
{
    struct archive a;
    struct err err = {0};
    struct tensor_file *f = parse_pickle(P(good_pickle), &a, &err);
    float got[4];

    ck_assert_msg(f != NULL, "%s", err.text);
    ck_assert_uint_eq(f->n, 1);
    ck_assert_str_eq(f->tensor[0].name, "t");
    tensor_read_f32(&f->tensor[0], 0, 4, got);
    ck_assert_float_eq(got[0], 1);
    ck_assert_float_eq(got[1], 3);
    ck_assert_float_eq(got[2], 2);
    ck_assert_float_eq(got[3], 4);
    tensor_file_close(f);
    archive_free(&a);
}
END_TEST

/* Protocol 4: FRAME, short strings, STACK_GLOBAL, MEMOIZE; a Parameter. */
START_TEST(protocol_4_is_read)
{
    static const char pickle[] =
        "\x80\4\x95\0\0\0\0\0\0\0\0}\x94\x8c\1t\x94\x8c\x0ctorch._utils\x94"
        "\x8c\x12_rebuild_parameter\x94\x93\x94\x8c\x0ctorch._utils"
        "\x8c\x12_rebuild_tensor_v2\x93((\x8c\7storage\x8c\5torch"
        "\x8c\x0c"
        "FloatStorage\x93\x8c\1"
        "0\x8c\6"
        "cuda:0\x8a\1\4tQJ\1\0\0\0K\3\x85K\1\x85\x89\x8c\x0b"
        "collections\x8c\x0bOrderedDict\x93)RNtR\x88}\x87Rs.";
    struct archive a;
    struct err err = {0};
    struct tensor_file *f = parse_pickle(P(pickle), &a, &err);
    float got[3];

    ck_assert_msg(f != NULL, "%s", err.text);
    tensor_read_f32(&f->tensor[0], 0, 3, got);
    ck_assert_float_eq(got[0], 2); /* offset 1 */
    ck_assert_float_eq(got[2], 4);
    tensor_file_close(f);
    archive_free(&a);
}
END_TEST

static const struct {
    const char *pickle;
    size_t len;
    enum err_code code;
    const char *says;
} bad[] = {
    {P(PROTO "cos\nsystem\n" TEXT("\2", "id") "\x85R."), ERR_INVALID,
     "wants to use os.system"},
    {P("\x80\4\x8c\5posix\x8c\6system\x93\x8c\2id\x85R."), ERR_INVALID,
     "wants to use posix.system"},
    {P(PROTO "cbuiltins\neval\n."), ERR_INVALID, "builtins.eval"},
    {P(PROTO "ctorch._utils\n_rebuild_tensor_v2x\n."), ERR_INVALID,
     "_rebuild_tensor_v2x"},
    {P(PROTO "cos\nsystem"), ERR_INVALID, "cut short"},
    {P("cos\nsystem\n(S'id'\ntR."), ERR_INVALID, "os.system"},
    {P(PROTO "(i__main__\nx\n."), ERR_INVALID, "opcode 0x69 at byte 3"},
    {P(PROTO "}\x81."), ERR_INVALID, "opcode 0x81"},
    {P("\x80\5}."), ERR_INVALID, "protocol 5"},
    {P(PROTO "ctorch\nFloatStorage\n)R."), ERR_INVALID,
     "FloatStorage: refused"},
    {P(PROTO "))R."), ERR_INVALID, "function of REDUCE is a tuple"},
    {P(PROTO "ccollections\nOrderedDict\nK\1\x85R."), ERR_INVALID,
     "OrderedDict with arguments"},
    {P(PROTO "R."), ERR_INVALID, "empty stack"},
    {P(PROTO "}t."), ERR_INVALID, "no mark"},
    {P(PROTO "}(K\1u."), ERR_INVALID, "a key without a value"},
    {P(PROTO "K\1(K\1K\2u."), ERR_INVALID, "target of an item is an int"},
    {P(PROTO "K\1(\x85."), ERR_INVALID, "empty stack"}, /* below the mark */
    {P(PROTO "}}" TEXT("\1", "x") "K\1sb."), ERR_INVALID, "_metadata"},
    {P(PROTO "h\7."), ERR_INVALID, "memo has no value 7"},
    {P(PROTO "Kr\xff\xff\xff\xff."), ERR_INVALID, "opcode 0xff"},
    {P(PROTO "K\1r\xff\xff\xff\xff."), ERR_LIMIT, "memo of more than"},
    {P(PROTO "\x8a\x09"
             "123456789."),
     ERR_LIMIT, "a number of 9 bytes"},
    {P(PROTO "X\xff\xff\xff\xff."), ERR_INVALID, "cut short"},
    {P(PROTO "K\1Q."), ERR_INVALID, "persistent id is an int"},
    {P(PROTO "K\1\x85Q."), ERR_INVALID, "persistent id is not"},
    {P(PROTO ")Q."), ERR_INVALID, "persistent id is not"},
    {P(PROTO "ctorch._utils\n_rebuild_tensor_v2\n)R."), ERR_INVALID,
     "_rebuild_tensor_v2 with 0 arguments"},
    {P(PROTO "ctorch._utils\n_rebuild_parameter\n)R."), ERR_INVALID,
     "_rebuild_parameter without a tensor"},
    {P(PROTO "(" TEXT("\7", "storage") DICT0 TEXT("\1", "0")
           TEXT("\3", "cpu") "K\4tQ."),
     ERR_INVALID, "persistent id is not"},
    {P(PROTO "(" TEXT("\7", "storage") "ctorch\nFloatStorage\n" TEXT("\1", "0")
           TEXT("\3", "cpu") "J\xff\xff\xff\xfftQ."),
     ERR_INVALID, "bad storage type or element count"},
    {P(HEAD "K\1u."), ERR_INVALID, "key t: value is an int"},
    {P(PROTO "}(K\1K\1u."), ERR_INVALID, "key of the dictionary is an int"},
    {P(PROTO "K\1."), ERR_INVALID, "content is an int"},
    {P(PROTO "."), ERR_INVALID, "empty stack"},
    {P(PROTO "}(" TEXT("\2", "t\0") TENSOR("\0", "K\4\x85", "K\1\x85") "u."),
     ERR_INVALID, "a key is not UTF-8"},
    {P(PROTO "}(" TEXT("\1", "\xff") TENSOR("\0", "K\4\x85", "K\1\x85") "u."),
     ERR_INVALID, "a key is not UTF-8"},
    {P(HEAD TENSOR("\0", "K\4\x85", "K\1\x85") TEXT("\1", "t")
           TENSOR("\0", "K\4\x85", "K\1\x85") "u."),
     ERR_INVALID, "two tensors are named t"},
    /* Views that leave their storage, also by overflow. */
    {P(HEAD TENSOR("\1", "K\4\x85", "K\1\x85") "u."), ERR_INVALID, "beyond"},
    {P(HEAD TENSOR("\0", "K\2\x85", "K\4\x85") "u."), ERR_INVALID, "beyond"},
    {P(HEAD TENSOR("\5", ")", ")") "u."), ERR_INVALID, "beyond"},
    {P(HEAD TENSOR("\0", "K\5\x85", "K\0\x85") "u."), ERR_INVALID,
     "more elements than"},
    {P(HEAD TENSOR("\0", "K\2\x85", "\x8a\x08\0\0\0\0\0\0\0\x7f\x85") "u."),
     ERR_INVALID, "beyond"},
    {P(HEAD TENSOR("\0", "K\2K\2\x86",
                   "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
                   "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86") "u."),
     ERR_INVALID, "beyond"},
    {P(HEAD TENSOR("\0",
                   "\x8a\x05\0\0\0\0\1\x8a\x05\0\0\0\0\1\x8a\x05\0\0\0\0\1\x87",
                   "K\1K\1K\1\x87") "u."),
     ERR_INVALID, "more elements than"},
    {P(HEAD TENSOR("\0", "K\2\x85", "J\xff\xff\xff\xff\x85") "u."), ERR_INVALID,
     "stride of a tensor holds a negative number"},
    {P(HEAD TENSOR("\0", "J\xff\xff\xff\xff\x85", "K\1\x85") "u."), ERR_INVALID,
     "size of a tensor holds a negative number"},
    {P(HEAD TENSOR("\0", "K\2K\2\x86", "K\1\x85") "u."), ERR_INVALID,
     "2 sizes, 1 strides"},
    {P(HEAD TENSOR("\0", "K\2", "K\1\x85") "u."), ERR_INVALID,
     "size of a tensor is an int"},
    {P(HEAD TENSOR("\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t",
                   "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t") "u."),
     ERR_LIMIT, "9 dimensions"},
};

START_TEST(bad_pickles_are_refused)
{
    struct archive a;
    struct err err = {0};

    ck_assert_ptr_null(parse_pickle(bad[_i].pickle, bad[_i].len, &a, &err));
    ck_assert_msg(err.code == bad[_i].code
                      && strstr(err.text, bad[_i].says) != NULL,
                  "case %d: expected \"%s\", got %s: %s", _i, bad[_i].says,
                  err_name(err.code), err.text);
    archive_free(&a);
}
END_TEST

/* A pickle of `head`, then `n` times `part`, then `tail`. */
static void check_bound(const char *head, const char *part, size_t part_len,
                        int n, const char *says)
{
    struct buf b = BUF_INIT;
    struct err err = {0};
    size_t count;

    buf_adds(&b, head);
    for (int i = 0; i < n; i++)
        buf_add(&b, part, part_len);
    buf_addc(&b, '.');
    ck_assert_ptr_null(
        pickle_parse((const uint8_t *)b.data, b.len, &count, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
    buf_free(&b);
}

START_TEST(everything_is_bounded)
{
    check_bound(PROTO, "(", 1, PICKLE_MARKS_MAX + 1, "nested deeper");
    check_bound(PROTO, "N", 1, PICKLE_STACK_MAX + 1, "stack of more than");
    check_bound(PROTO ")", "\x85", 1, PICKLE_VALUES_MAX, "values");
    check_bound(PROTO "}", "K\1K\1s", 5, PICKLE_VALUES_MAX / 2, "values");
    check_bound(PROTO "N", "\x94", 1, PICKLE_MEMO_MAX + 1, "memo of more");
    check_bound(PROTO "N", "N", 1, PICKLE_BYTES_MAX, "bytes");
}
END_TEST

START_TEST(every_truncation_of_a_pickle_is_refused)
{
    struct err err;
    size_t n;

    for (size_t len = 0; len < sizeof good_pickle - 1; len++)
        ck_assert_ptr_null(
            pickle_parse((const uint8_t *)good_pickle, len, &n, &err));
}
END_TEST

/* Zips. */

static void expect_archive(struct archive *a, const char *says)
{
    struct err err = {0};

    ck_assert_ptr_null(parse_archive(a, &err));
    ck_assert_msg(strstr(err.text, says) != NULL, "expected \"%s\", got: %s",
                  says, err.text);
    archive_free(a);
}

START_TEST(bad_archives_are_refused)
{
    struct archive a = {.method = 8};

    zip_add(&a, "m/data.pkl", P(good_pickle));
    expect_archive(&a, "compressed entry (method 8)");

    a = (struct archive){.flags = 0x0809};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    expect_archive(&a, "encrypted");

    a = (struct archive){.declared = 1u << 20};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    expect_archive(&a, "data outside the file");

    a = (struct archive){0};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    zip_add(&a, "m/data.pkl", P(good_pickle));
    expect_archive(&a, "two entries are named m/data.pkl");

    a = (struct archive){0};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    zip_add(&a, "n/data.pkl", P(good_pickle));
    expect_archive(&a, "more than one data.pkl");

    a = (struct archive){0};
    zip_add(&a, "word/document.xml", "<x/>", 4);
    expect_archive(&a, "not a torch checkpoint");

    a = (struct archive){0};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    expect_archive(&a, "its storage data/0 is missing");

    a = (struct archive){0};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    zip_add(&a, "m/data/0", four, 12);
    expect_archive(&a, "12 bytes, 4 elements of F32 need 16");

    a = (struct archive){0};
    zip_add(&a, "m/data.pkl", P(good_pickle));
    zip_add(&a, "m/byteorder", "big", 3);
    zip_add(&a, "m/data/0", four, 16);
    expect_archive(&a, "byteorder");
}
END_TEST

/* The directory names another file than the local header. */
START_TEST(names_must_agree)
{
    struct archive a = {0};
    char *name;

    zip_add(&a, "m/data.pkl", P(good_pickle));
    name = strstr(a.out.data + 30, "data.pkl");
    ck_assert_ptr_nonnull(name);
    name[0] = 'D';
    expect_archive(&a, "different names");
}
END_TEST

/* Sizes, offsets and counts in ZIP64 fields. */
START_TEST(zip64_is_read)
{
    struct archive a = {0};
    struct buf central = BUF_INIT, *out = &a.out;
    struct zip z;
    struct err err = {0};
    uint64_t at, end;

    zip_add(&a, "m/x", "hello", 5);
    at = out->len;
    buf_add(&central, "PK\1\2\0\0\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0", 20);
    buf_add(&central, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    add16(&central, 3);
    add16(&central, 4 + 4 + 28);
    buf_add(&central, "\0\0\0\0\0\0\0\0\0\0", 10);
    buf_add(&central, "\xff\xff\xff\xff", 4);
    buf_adds(&central, "m/x");
    buf_add(&central, "ZZ\0\0", 4); /* another extra field first */
    add16(&central, 1);
    add16(&central, 28);
    add64(&central, 5);
    add64(&central, 5);
    add64(&central, 0);
    add32(&central, 0);
    buf_add(out, central.data, central.len);
    end = out->len;
    buf_add(out, "PK\6\6", 4);
    add64(out, 44);
    buf_add(out, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    add64(out, 1);
    add64(out, 1);
    add64(out, central.len);
    add64(out, at);
    buf_add(out, "PK\6\7\0\0\0\0", 8);
    add64(out, end);
    add32(out, 1);
    buf_add(out, "PK\5\6\0\0\0\0\xff\xff\xff\xff", 12);
    buf_add(out, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 10);

    ck_assert_msg(zip_parse(&z, (const uint8_t *)out->data, out->len, &err)
                      == 0,
                  "%s", err.text);
    ck_assert_uint_eq(z.n, 1);
    ck_assert_uint_eq(z.entry[0].size, 5);
    ck_assert_mem_eq(z.entry[0].data, "hello", 5);
    ck_assert_ptr_nonnull(zip_find(&z, "m/x", 3));
    ck_assert_ptr_null(zip_find(&z, "m/", 2));
    zip_free(&z);

    memcpy(out->data + out->len - 34, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
    ck_assert_int_eq(zip_parse(&z, (const uint8_t *)out->data, out->len, &err),
                     -1);
    buf_free(&central);
    archive_free(&a);
}
END_TEST

/* A checkpoint that torch wrote; then the same, cut and damaged. */
START_TEST(damaged_checkpoints_never_crash)
{
    struct buf whole = BUF_INIT;
    struct tensor_file *f;
    struct err err = {0};
    uint32_t x = 12345;
    int accepted = 0;

    ck_assert_int_eq(
        file_read("tests/golden/small16.pth", 1u << 20, &whole, &err), 0);
    for (size_t len = 0; len < whole.len; len += 977)
        ck_assert_ptr_null(
            pth_parse("t", (const uint8_t *)whole.data, len, &err));
    for (int i = 0; i < 3000; i++) {
        size_t at;
        char old;

        x = x * 1664525u + 1013904223u;
        /* the pickle at the front, or the directory at the end */
        at = x % 2 == 0 ? (x >> 8) % 10600 : whole.len - 1 - (x >> 8) % 9000;
        old = whole.data[at];
        whole.data[at] = (char)(x >> 24);
        f = pth_parse("t", (const uint8_t *)whole.data, whole.len, &err);
        for (size_t k = 0; f != NULL && k < f->n; k++) {
            uint8_t hash[HASH_BYTES];

            tensor_hash(&f->tensor[k], hash); /* touches every element */
        }
        accepted += f != NULL;
        tensor_file_close(f);
        whole.data[at] = old;
    }
    ck_assert_int_gt(accepted, 0); /* harmless bytes: dates, versions */
    ck_assert_int_lt(accepted, 3000);
    buf_free(&whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pth");
    TCase *tc = tcase_create("pth");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_transposed_tensor_is_read);
    tcase_add_test(tc, protocol_4_is_read);
    tcase_add_loop_test(tc, bad_pickles_are_refused, 0,
                        (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tc, everything_is_bounded);
    tcase_add_test(tc, every_truncation_of_a_pickle_is_refused);
    tcase_add_test(tc, bad_archives_are_refused);
    tcase_add_test(tc, names_must_agree);
    tcase_add_test(tc, zip64_is_read);
    tcase_add_test(tc, damaged_checkpoints_never_crash);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
