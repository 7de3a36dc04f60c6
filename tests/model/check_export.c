#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"
#include "model/export.h"

static char dir[64];
static char *out;

static void setup(void)
{
    strcpy(dir, "/tmp/skein-check-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    out = file_join(dir, "out");
}

static void teardown(void)
{
    free(out);
    ck_assert_int_eq(file_remove_tree(dir, NULL), 0);
}

static void remove_out(void)
{
    if (file_is_dir(out))
        ck_assert_int_eq(file_remove_tree(out, NULL), 0);
    else
        unlink(out);
}

static struct weights *open_weights(const char *path)
{
    struct err err = {0};
    struct weights *w = weights_open(path, &err);

    ck_assert_msg(w != NULL, "%s", err.text);
    return w;
}

static void expect_same_hash(const struct weights *a, const struct weights *b)
{
    uint8_t x[HASH_BYTES], y[HASH_BYTES];

    ck_assert_int_eq(weights_hash(a, x, NULL), 0);
    ck_assert_int_eq(weights_hash(b, y, NULL), 0);
    ck_assert_mem_eq(x, y, HASH_BYTES);
}

static const char *const sources[] = {
    "tests/golden/small16.pth", "tests/golden/small16-xx-fla.safetensors",
    "tests/golden/small32-noln0-bias-blink.safetensors"};

/* Every source in both formats and every dtype: these models' values are exact
 * in bf16 and in fp16, so nothing may change.
 */
START_TEST(conversions_are_exact)
{
    static const struct export_options options[] = {
        {EXPORT_FLA, .keep_dtype = true},
        {EXPORT_FLA, .matrix = DTYPE_BF16, .vector = DTYPE_F32},
        {EXPORT_BLINK, .keep_dtype = true},
        {EXPORT_BLINK, .matrix = DTYPE_F16, .vector = DTYPE_F32},
        {EXPORT_BLINK, .matrix = DTYPE_F32, .vector = DTYPE_F32},
        {EXPORT_BLINK, .matrix = DTYPE_BF16, .vector = DTYPE_BF16},
    };
    struct weights *a = open_weights(sources[_i]);

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const struct export_options *o = &options[i];
        struct err err = {0};
        struct weights *b;

        ck_assert_msg(export_write(a, out, o, &err) == 0, "%s", err.text);
        b = open_weights(out);
        ck_assert_int_eq(b->fla, o->format == EXPORT_FLA);
        ck_assert_uint_eq(b->n_unused, 0);
        expect_same_hash(a, b);
        ck_assert_int_eq(b->emb.tensor->dtype,
                         o->keep_dtype ? a->emb.tensor->dtype : o->matrix);
        ck_assert_int_eq(b->layer[0].r_k.tensor->dtype,
                         o->keep_dtype ? a->layer[0].r_k.tensor->dtype
                                       : o->vector);
        weights_close(b);
        remove_out();
    }
    weights_close(a);
}
END_TEST

/* Shapes as BlinkDL and FLA have them. */
START_TEST(shapes_are_those_of_the_format)
{
    static const struct {
        enum export_format format;
        const char *name;
        const char *shape;
    } want[] = {
        {EXPORT_BLINK, "blocks.1.att.x_r", "[1, 1, 48]"},
        {EXPORT_BLINK, "blocks.1.att.w0", "[1, 1, 48]"},
        {EXPORT_BLINK, "blocks.1.att.w1", "[48, 12]"},
        {EXPORT_BLINK, "blocks.1.att.k_k", "[1, 1, 48]"},
        {EXPORT_BLINK, "blocks.1.att.r_k", "[3, 16]"},
        {EXPORT_BLINK, "blocks.1.ffn.x_k", "[1, 1, 48]"},
        {EXPORT_BLINK, "blocks.1.att.ln_x.bias", "[48]"},
        {EXPORT_FLA, "model.layers.1.attn.x_r", "[1, 1, 48]"},
        {EXPORT_FLA, "model.layers.1.attn.w_lora.lora.0.weight", "[12, 48]"},
        {EXPORT_FLA, "model.layers.1.attn.w_lora.lora.2.weight", "[48, 12]"},
        {EXPORT_FLA, "model.layers.1.attn.w_lora.lora.2.bias", "[48]"},
        {EXPORT_FLA, "model.layers.1.attn.k_a", "[48]"},
        {EXPORT_FLA, "model.layers.1.attn.r_k", "[3, 16]"},
        {EXPORT_FLA, "model.layers.1.ffn.x_k", "[48]"},
        {EXPORT_FLA, "model.layers.0.pre_norm.bias", "[48]"},
        {EXPORT_FLA, "lm_head.weight", "[101, 48]"},
    };
    struct weights *a = open_weights(sources[0]);

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct export_options o = {want[i].format, .keep_dtype = true};
        char shape[TENSOR_SHAPE_TEXT_MAX];
        const struct tensor *t;
        struct weights *b;

        ck_assert_int_eq(export_write(a, out, &o, NULL), 0);
        b = open_weights(out);
        t = tensor_file_find(b->file, want[i].name);
        ck_assert_msg(t != NULL, "no %s", want[i].name);
        ck_assert_str_eq(tensor_shape_text(t, shape, sizeof shape),
                         want[i].shape);
        weights_close(b);
        remove_out();
    }
    weights_close(a);
}
END_TEST

/* One value of the head replaced. */
static struct weights *with_value(double value, double *data)
{
    struct weights *w = open_weights(sources[0]);
    struct tensor *t = (struct tensor *)(uintptr_t)w->head.tensor;

    memset(data, 0, 101 * 48 * sizeof *data);
    data[17] = value;
    t->dtype = DTYPE_F64;
    tensor_set_row_major(t);
    t->data = (const uint8_t *)data;
    return w;
}

START_TEST(overflow_names_the_tensor_and_leaves_nothing)
{
    static const struct {
        double value;
        enum dtype dtype;
        bool fits;
    } c[] = {
        {65519.9, DTYPE_F16, true},  {65520, DTYPE_F16, false},
        {-1e6, DTYPE_F16, false},    {1e6, DTYPE_BF16, true},
        {3.4e38, DTYPE_BF16, false}, {3.4e38, DTYPE_F32, true},
        {1e39, DTYPE_F32, false},    {INFINITY, DTYPE_F16, true},
    };
    double *data = xcalloc(101 * 48, sizeof *data);

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct export_options o = {EXPORT_BLINK, .matrix = c[i].dtype,
                                   .vector = DTYPE_F32};
        struct weights *w = with_value(c[i].value, data);
        struct err err = {0};
        int rc = export_write(w, out, &o, &err);

        ck_assert_msg((rc == 0) == c[i].fits, "%g: %s", c[i].value, err.text);
        ck_assert_int_eq(file_exists(out), c[i].fits);
        if (rc < 0)
            ck_assert_msg(strstr(err.text, "tensor head.weight") != NULL, "%s",
                          err.text);
        weights_close(w);
        remove_out();
    }
    free(data);
}
END_TEST

/* A double just above the middle of two fp16 values, which rounding to fp32
 * first would put on the middle and then on the wrong, even one.
 */
START_TEST(doubles_are_rounded_once)
{
    double *data = xcalloc(101 * 48, sizeof *data);
    struct weights *w = with_value(1 + 0x1p-11 + 0x1p-40, data), *b;
    struct export_options o = {EXPORT_BLINK, .matrix = DTYPE_F16,
                               .vector = DTYPE_F32};
    double got;

    ck_assert_int_eq(export_write(w, out, &o, NULL), 0);
    b = open_weights(out);
    tensor_read_f64(b->head.tensor, 17, 1, &got);
    ck_assert_double_eq(got, 1 + 0x1p-10);
    weights_close(b);
    weights_close(w);
    free(data);
}
END_TEST

START_TEST(targets_of_the_wrong_kind_are_refused)
{
    struct export_options fla = {EXPORT_FLA, .keep_dtype = true};
    struct export_options blink = {EXPORT_BLINK, .keep_dtype = true};
    struct weights *w = open_weights(sources[0]);
    char *index = file_join(dir, "model.safetensors.index.json");
    struct err err = {0};

    ck_assert_int_eq(export_write(w, dir, &blink, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(file_replace(out, "x", 1, NULL), 0);
    ck_assert_int_eq(export_write(w, out, &fla, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(file_replace(index, "{}", 2, NULL), 0);
    ck_assert_int_eq(export_write(w, dir, &fla, &err), -1);
    ck_assert_msg(strstr(err.text, "would hide") != NULL, "%s", err.text);
    ck_assert_int_eq(export_write(w, "/nonexistent/x", &blink, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    free(index);
    weights_close(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("export");
    TCase *tc = tcase_create("export");
    SRunner *runner;
    int failed;

    if (hash_init(NULL) < 0)
        return 1;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, conversions_are_exact, 0,
                        (int)(sizeof sources / sizeof *sources));
    tcase_add_test(tc, shapes_are_those_of_the_format);
    tcase_add_test(tc, overflow_names_the_tensor_and_leaves_nothing);
    tcase_add_test(tc, doubles_are_rounded_once);
    tcase_add_test(tc, targets_of_the_wrong_kind_are_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
