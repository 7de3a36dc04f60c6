#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/hash.h"
#include "model/weights.h"
#include "model/weights_config.h"

#define GOLDEN "tests/golden/"

static struct tensor_file *open_file(const char *path)
{
    struct err err = {0};
    struct tensor_file *f = tensor_file_open(path, &err);

    ck_assert_msg(f != NULL, "%s", err.text);
    return f;
}

static struct tensor *tensor_of(struct tensor_file *f, const char *name)
{
    struct tensor *t = (struct tensor *)(uintptr_t)tensor_file_find(f, name);

    ck_assert_msg(t != NULL, "no %s", name);
    return t;
}

static void rename_tensor(struct tensor_file *f, const char *from,
                          const char *to)
{
    struct tensor *t = tensor_of(f, from);

    free(t->name);
    t->name = xstrdup(to);
    ck_assert_int_eq(tensor_file_seal(f, NULL), 0);
}

static void expect_refused(struct tensor_file *f, enum err_code code,
                           const char *says)
{
    struct err err = {0};

    ck_assert_ptr_null(weights_bind(f, &err));
    ck_assert_msg(err.code == code && strstr(err.text, says) != NULL,
                  "expected \"%s\", got %s: %s", says, err_name(err.code),
                  err.text);
}

/* One model in every layout: the same dimensions, values and hash. */
START_TEST(layouts_hold_the_same_model)
{
    static const char *const path[] = {
        GOLDEN "small16-blink.safetensors", GOLDEN "small16-fla.safetensors",
        GOLDEN "small16-xx-fla.safetensors", GOLDEN "small16-fla-sharded",
        GOLDEN "small16.pth"};
    uint8_t first[HASH_BYTES], hash[HASH_BYTES];

    for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
        struct err err = {0};
        struct weights *w = weights_open(path[i], &err);

        ck_assert_msg(w != NULL, "%s", err.text);
        ck_assert_int_eq(w->L, 3);
        ck_assert_int_eq(w->C, 48);
        ck_assert_int_eq(w->H, 3);
        ck_assert_int_eq(w->N, 16);
        ck_assert_int_eq(w->F, 80);
        ck_assert_int_eq(w->V, 101);
        ck_assert_int_eq(w->rank_w, 12);
        ck_assert_int_eq(w->rank_a, 8);
        ck_assert_int_eq(w->rank_v, 4);
        ck_assert_int_eq(w->rank_g, 20);
        ck_assert(!weight_present(&w->layer[0].v0));
        ck_assert(weight_present(&w->layer[1].v0));
        ck_assert(weight_present(&w->ln0_w));
        ck_assert(!weight_present(&w->head_bias));
        ck_assert_int_eq(weights_hash(w, i == 0 ? first : hash, &err), 0);
        if (i > 0)
            ck_assert_mem_eq(first, hash, HASH_BYTES);
        weights_close(w);
    }
}
END_TEST

START_TEST(what_nothing_reads_is_listed)
{
    struct weights *w;
    struct err err = {0};
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");
    struct tensor *copy = tensor_file_add(f, "zz.extra", 8, &err);
    char *name = copy->name;

    *copy = *tensor_file_find(f, "emb.weight");
    copy->name = name;
    w = weights_bind(f, &err);
    ck_assert_msg(w != NULL, "%s", err.text);
    ck_assert_uint_eq(w->n_unused, 4);
    ck_assert_str_eq(w->unused[0], "blocks.0.att.v0");
    ck_assert_str_eq(w->unused[3], "zz.extra");
    weights_close(w);
}
END_TEST

START_TEST(variants_without_ln0_and_with_biases)
{
    struct err err = {0};
    struct weights *w =
        weights_open(GOLDEN "small32-noln0-bias-blink.safetensors", &err);

    ck_assert_msg(w != NULL, "%s", err.text);
    ck_assert(!weight_present(&w->ln0_w));
    ck_assert(weight_present(&w->head_bias));
    ck_assert_int_eq(w->head_bias.cols, w->V);
    ck_assert(weight_present(&w->layer[1].output_bias));
    ck_assert_int_eq(w->N, 32);
    weights_close(w);
}
END_TEST

/* weight_read() undoes BlinkDL's orientation of the LoRA matrices. */
START_TEST(orientation_is_undone)
{
    struct err err = {0};
    struct weights *a = weights_open(GOLDEN "small16-blink.safetensors", &err);
    struct weights *b = weights_open(GOLDEN "small16-fla.safetensors", &err);
    float x[48 * 20], y[48 * 20];
    double wide[48];

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert(a->layer[1].g1.transposed);
    ck_assert(!b->layer[1].g1.transposed);
    weight_read(&a->layer[1].g1, x);
    weight_read(&b->layer[1].g1, y);
    ck_assert_mem_eq(x, y, sizeof x);
    weight_read_rows(&a->layer[1].g1, 7, 2, y);
    ck_assert_mem_eq(x + 7 * 48, y, 2 * 48 * sizeof *x);
    weight_read_rows_f64(&a->layer[1].g1, 9, 1, wide);
    for (int i = 0; i < 48; i++)
        ck_assert_double_eq(wide[i], (double)x[9 * 48 + i]);
    weights_close(a);
    weights_close(b);
}
END_TEST

/* One tensor of a good model given another shape. */
static const struct {
    const char *name;
    int ndim;
    int64_t shape[3];
    enum err_code code;
    const char *says;
} bad_shape[] = {
    {"blocks.1.att.key.weight",
     2,
     {48, 47},
     ERR_INVALID,
     "tensor blocks.1.att.key.weight has shape [48, 47], expected [C, C] = "
     "[48, 48]"},
    {"blocks.1.att.key.weight",
     1,
     {48 * 48},
     ERR_INVALID,
     "expected [C, C] = [48, 48]"},
    {"blocks.2.att.w2",
     2,
     {11, 48},
     ERR_INVALID,
     "tensor blocks.2.att.w2 has shape [11, 48], expected [R_w, C] = [12, 48]"},
    {"blocks.2.att.w1",
     2,
     {12, 48},
     ERR_INVALID,
     "shape [12, 48], expected [C, R_w]"},
    {"blocks.1.att.r_k", 2, {2, 24}, ERR_INVALID, "expected [H, N] = [3, 16]"},
    {"blocks.1.ffn.value.weight",
     2,
     {80, 48},
     ERR_INVALID,
     "expected [C, F] = [48, 80]"},
    {"ln_out.bias", 1, {47}, ERR_INVALID, "expected C = 48 elements"},
    {"head.weight", 2, {100, 48}, ERR_INVALID, "[101, 48]"},
    {"emb.weight", 2, {101, 0}, ERR_INVALID, "expected [V, C]"},
    {"emb.weight", 2, {101, 1 << 20}, ERR_INVALID, "expected [V, C]"},
};

START_TEST(every_shape_is_checked)
{
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");
    struct tensor *t = tensor_of(f, bad_shape[_i].name);

    t->ndim = bad_shape[_i].ndim;
    memcpy(t->shape, bad_shape[_i].shape, sizeof bad_shape[_i].shape);
    expect_refused(f, bad_shape[_i].code, bad_shape[_i].says);
}
END_TEST

static struct tensor_file *with_heads(int64_t heads, int64_t size)
{
    static const char *const name[] = {"blocks.0.att.r_k", "blocks.1.att.r_k",
                                       "blocks.2.att.r_k"};
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");

    for (int i = 0; i < 3; i++) {
        tensor_of(f, name[i])->shape[0] = heads;
        tensor_of(f, name[i])->shape[1] = size;
    }
    return f;
}

START_TEST(head_sizes_are_checked)
{
    expect_refused(with_heads(6, 8), ERR_INVALID,
                   "head size 8 is not supported");
    expect_refused(with_heads(2, 16), ERR_INVALID,
                   "2 heads of size 16 do not make the width 48");
}
END_TEST

START_TEST(integers_are_no_weights)
{
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");

    tensor_of(f, "blocks.1.att.w0")->dtype = DTYPE_I16;
    expect_refused(f, ERR_INVALID, "tensor blocks.1.att.w0 has dtype I16");
}
END_TEST

START_TEST(missing_tensors_are_named)
{
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");

    rename_tensor(f, "blocks.1.att.g2", "g2");
    expect_refused(f, ERR_INVALID, "1 tensor is missing: blocks.1.att.g2");

    f = open_file(GOLDEN "small16-xx-fla.safetensors");
    rename_tensor(f, "model.layers.2.attn.x_x", "x");
    expect_refused(f, ERR_INVALID,
                   "6 tensors are missing: model.layers.2.attn.x_r, "
                   "model.layers.2.attn.x_w");

    f = open_file(GOLDEN "small16-blink.safetensors");
    rename_tensor(f, "blocks.0.ln0.bias", "x");
    expect_refused(f, ERR_INVALID, "only one of weight and bias");

    /* A layer number far away is a hole, not a model of that many layers. */
    f = open_file(GOLDEN "small16-blink.safetensors");
    rename_tensor(f, "blocks.2.ln1.bias", "blocks.4.ln1.bias");
    expect_refused(f, ERR_INVALID, "tensors are missing: blocks.2.ln1.bias");
    f = open_file(GOLDEN "small16-blink.safetensors");
    rename_tensor(f, "blocks.2.ln1.bias", "blocks.99999999999999.ln1.bias");
    expect_refused(f, ERR_LIMIT, "256 layers are allowed");
}
END_TEST

static const struct {
    const char *from, *to, *says;
} foreign[] = {
    {"blocks.0.att.v0", "blocks.0.att.time_maa_x", "RWKV-6"},
    {"blocks.0.att.v0", "blocks.0.att.time_faaaa", "RWKV-5"},
    {"blocks.0.att.v0", "blocks.0.att.time_decay", "RWKV-4 or RWKV-5"},
    {"blocks.0.att.v0", "blocks.0.ffn.s_emb.weight", "RWKV-7a"},
    {"blocks.0.att.v0", "blocks.0.qkv.q.weight", "RWKV-7b"},
    {"blocks.0.att.v0", "model.layers.0.attn.q_proj.weight", "hybrid"},
    {"emb.weight", "embedding", "neither emb.weight"},
};

START_TEST(other_architectures_are_named)
{
    struct tensor_file *f = open_file(GOLDEN "small16-blink.safetensors");

    rename_tensor(f, foreign[_i].from, foreign[_i].to);
    expect_refused(f, ERR_INVALID, foreign[_i].says);
}
END_TEST

static const struct {
    const char *text, *says; /* NULL: accepted */
} config[] = {
    {"{}", NULL},
    {"{\"model_type\":\"rwkv7\",\"attn\":null,\"hidden_size\":64,"
     "\"value_dim\":[64,64],\"hidden_act\":\"sqrelu\",\"norm_eps\":1e-05,"
     "\"tie_word_embeddings\":false}",
     NULL},
    {"{\"hidden_size\":64,\"value_dim\":64}", NULL},
    {"{\"hidden_size\":64,\"value_dim\":null}", NULL},
    {"{\"hidden_size\":64,\"value_dim\":128}", "expanded state"},
    {"{\"hidden_size\":64,\"value_dim\":[64,128]}", "expanded state"},
    {"{\"model_type\":\"rwkv6\"}", "model_type is rwkv6"},
    {"{\"model_type\":7}", "model_type"},
    {"{\"hidden_act\":\"relu\"}", "hidden_act is relu"},
    {"{\"attn\":{\"layers\":[3]}}", "hybrids with attention"},
    {"{\"norm_eps\":1e-6}", "norm_eps"},
    {"{\"tie_word_embeddings\":true}", "tie_word_embeddings"},
    {"[]", "not a JSON object"},
    {"{\"a\":1,\"a\":2}", "duplicate"},
    {"{", "line 1"},
};

START_TEST(config_json_may_forbid)
{
    struct err err = {0};
    int rc =
        weights_parse_config(config[_i].text, strlen(config[_i].text), &err);

    if (config[_i].says == NULL)
        ck_assert_msg(rc == 0, "%s", err.text);
    else
        ck_assert_msg(rc < 0 && strstr(err.text, config[_i].says) != NULL,
                      "%s: %s", config[_i].text, err.text);
}
END_TEST

#define COUNT(list) ((int)(sizeof list / sizeof *list))

int main(void)
{
    Suite *suite = suite_create("weights");
    TCase *tc = tcase_create("weights");
    SRunner *runner;
    int failed;

    if (hash_init(NULL) < 0)
        return 1;
    tcase_add_test(tc, layouts_hold_the_same_model);
    tcase_add_test(tc, what_nothing_reads_is_listed);
    tcase_add_test(tc, variants_without_ln0_and_with_biases);
    tcase_add_test(tc, orientation_is_undone);
    tcase_add_loop_test(tc, every_shape_is_checked, 0, COUNT(bad_shape));
    tcase_add_test(tc, head_sizes_are_checked);
    tcase_add_test(tc, integers_are_no_weights);
    tcase_add_test(tc, missing_tensors_are_named);
    tcase_add_loop_test(tc, other_architectures_are_named, 0, COUNT(foreign));
    tcase_add_loop_test(tc, config_json_may_forbid, 0, COUNT(config));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
