#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/tensor.h"

static uint32_t bits(float x)
{
    uint32_t u;

    memcpy(&u, &x, 4);
    return u;
}

/* fp16 by definition: sign, 2^(e - 15), 10 bits of mantissa. */
static double f16_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);

    return h & 0x8000 ? -v : v;
}

START_TEST(every_f16_reads_and_writes_back)
{
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        float x = f16_to_f32((uint16_t)h);

        if ((h & 0x7C00) == 0x7C00) {
            ck_assert_int_eq((h & 0x3FF) != 0, isnan(x));
            ck_assert_int_eq((h & 0x8000) != 0, signbit(x) != 0);
        } else {
            ck_assert_double_eq((double)x, f16_value((uint16_t)h));
        }
        if ((h & 0x7FFF) <= 0x7C00)
            ck_assert_uint_eq(f32_to_f16(x), h);
        else
            ck_assert(isnan(f16_to_f32(f32_to_f16(x))));
    }
}
END_TEST

/* Between two neighbours the nearer one wins, halfway the even one. */
START_TEST(f32_to_f16_rounds_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7BFF; h++) {
        double low = f16_value((uint16_t)h);
        double high = f16_value((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* exact in fp32 */

        ck_assert_uint_eq(f32_to_f16(middle), (h & 1) != 0 ? h + 1 : h);
        ck_assert_uint_eq(f32_to_f16(nextafterf(middle, 0)), h);
        ck_assert_uint_eq(f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
    }
    ck_assert_uint_eq(f32_to_f16(65519.996f), 0x7BFF);
    ck_assert_uint_eq(f32_to_f16(65520.0f), 0x7C00);
    ck_assert_uint_eq(f32_to_f16(-1e30f), 0xFC00);
}
END_TEST

START_TEST(every_bf16_reads_and_writes_back)
{
    for (uint32_t h = 0; h <= 0xFFFF; h++) {
        float x = bf16_to_f32((uint16_t)h);

        ck_assert_uint_eq(bits(x), h << 16);
        if (isnan(x))
            ck_assert(isnan(bf16_to_f32(f32_to_bf16(x))));
        else
            ck_assert_uint_eq(f32_to_bf16(x), h);
    }
}
END_TEST

START_TEST(f32_to_bf16_rounds_to_nearest_even)
{
    ck_assert_uint_eq(f32_to_bf16(0x1.010000p0f), 0x3F80); /* half: even */
    ck_assert_uint_eq(f32_to_bf16(0x1.010002p0f), 0x3F81);
    ck_assert_uint_eq(f32_to_bf16(0x1.030000p0f), 0x3F82);   /* half: even */
    ck_assert_uint_eq(f32_to_bf16(0x1.fffffep127f), 0x7F80); /* infinity */
}
END_TEST

/* [2, 3, 4] in a storage whose order is [4, 3, 2]. */
START_TEST(strided_reads_follow_the_shape)
{
    int16_t storage[24];
    struct tensor t = {.dtype = DTYPE_I16,
                       .ndim = 3,
                       .shape = {2, 3, 4},
                       .stride = {1, 2, 6},
                       .data = (const uint8_t *)storage};
    float got[24];
    double wide[24];

    for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 3; j++) {
            for (int k = 0; k < 4; k++)
                storage[i + 2 * j + 6 * k] = (int16_t)(12 * i + 4 * j + k);
        }
    }
    for (int first = 0; first < 24; first++) {
        for (int n = 0; n <= 24 - first; n++) {
            memset(got, 0, sizeof got);
            tensor_read_f32(&t, first, n, got);
            tensor_read_f64(&t, first, n, wide);
            for (int i = 0; i < n; i++) {
                ck_assert_float_eq(got[i], (float)(first + i));
                ck_assert_double_eq(wide[i], first + i);
            }
        }
    }
}
END_TEST

START_TEST(hash_does_not_see_strides)
{
    const float rows[6] = {1, 2, 3, 4, 5, 6};
    const float columns[6] = {1, 4, 2, 5, 3, 6};
    struct tensor a = {.dtype = DTYPE_F32,
                       .ndim = 2,
                       .shape = {2, 3},
                       .stride = {3, 1},
                       .data = (const uint8_t *)rows};
    struct tensor b = a;
    uint8_t x[HASH_BYTES], y[HASH_BYTES], plain[HASH_BYTES];

    b.stride[0] = 1;
    b.stride[1] = 2;
    b.data = (const uint8_t *)columns;
    tensor_hash(&a, x);
    tensor_hash(&b, y);
    hash_bytes(rows, sizeof rows, plain);
    ck_assert_mem_eq(x, y, HASH_BYTES);
    ck_assert_mem_eq(x, plain, HASH_BYTES);
}
END_TEST

START_TEST(every_dtype_is_read_by_value)
{
    static const uint8_t byte[8] = {0xFF, 0, 2, 0, 0, 0, 0, 0};
    static const struct {
        enum dtype dtype;
        const char *name;
        double first;
    } c[] = {
        {DTYPE_U8, "U8", 255},
        {DTYPE_I8, "I8", -1},
        {DTYPE_BOOL, "BOOL", 1},
        {DTYPE_I16, "I16", 255},
        {DTYPE_I32, "I32", 0x200FF},
        {DTYPE_I64, "I64", 0x200FF},
        {DTYPE_F64, "F64", 0x200FFp-1074},
    };

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct tensor t = {.dtype = c[i].dtype,
                           .ndim = 1,
                           .shape = {1},
                           .stride = {1},
                           .data = byte};
        enum dtype parsed;
        double got;

        tensor_read_f64(&t, 0, 1, &got);
        ck_assert_double_eq(got, c[i].first);
        ck_assert_str_eq(dtype_name(c[i].dtype), c[i].name);
        ck_assert_int_eq(dtype_parse(c[i].name, &parsed), 0);
        ck_assert_int_eq(parsed, c[i].dtype);
    }
}
END_TEST

START_TEST(shape_counts_do_not_overflow)
{
    const int64_t large[3] = {INT64_MAX, INT64_MAX, 2};
    const int64_t empty[3] = {INT64_MAX, 0, INT64_MAX};
    struct tensor t = {.ndim = 2, .shape = {7, 9}};
    char text[TENSOR_SHAPE_TEXT_MAX];

    ck_assert_int_eq(tensor_shape_count(large, 3), -1);
    ck_assert_int_eq(tensor_shape_count(empty, 3), 0);
    ck_assert_int_eq(tensor_shape_count(large, 0), 1);
    ck_assert_str_eq(tensor_shape_text(&t, text, sizeof text), "[7, 9]");
    t.ndim = 0;
    ck_assert_str_eq(tensor_shape_text(&t, text, sizeof text), "[]");
}
END_TEST

/* What files are that are not checkpoints. */
START_TEST(foreign_files_are_named)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } c[] = {
        {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80", 16,
         "before 2020"},
        {"\x80\x02}q", 4, "bare pickle"},
        {"GGUF\3\0\0\0", 8, "GGUF"},
        {"fmgg\x65\0\0\0", 8, "rwkv.cpp"},
        {"\x1f\x8b\x08\0", 4, "gzip"},
        {"hello world", 11, "neither safetensors nor a torch zip"},
        {"", 0, "too few"},
    };

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[] = "/tmp/skein-check-XXXXXX";
        int fd = mkstemp(path);
        struct err err = {0};

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(file_write_all(fd, c[i].bytes, c[i].len), 0);
        close(fd);
        ck_assert_ptr_null(tensor_file_open(path, &err));
        unlink(path);
        ck_assert_msg(err.code == ERR_INVALID
                          && strstr(err.text, c[i].says) != NULL,
                      "expected \"%s\" in: %s", c[i].says, err.text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *tc = tcase_create("tensor");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, every_f16_reads_and_writes_back);
    tcase_add_test(tc, f32_to_f16_rounds_to_nearest_even);
    tcase_add_test(tc, every_bf16_reads_and_writes_back);
    tcase_add_test(tc, f32_to_bf16_rounds_to_nearest_even);
    tcase_add_test(tc, strided_reads_follow_the_shape);
    tcase_add_test(tc, hash_does_not_see_strides);
    tcase_add_test(tc, every_dtype_is_read_by_value);
    tcase_add_test(tc, shape_counts_do_not_overflow);
    tcase_add_test(tc, foreign_files_are_named);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
