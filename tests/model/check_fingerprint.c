#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dirent.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/fingerprint.h"
#include "model/weights.h"

#define GOLDEN "tests/golden/"

static char dir[64]; /* of the cache */

static void setup(void)
{
    strcpy(dir, "/tmp/skein-check-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(setenv("XDG_CACHE_HOME", dir, 1), 0);
}

static void teardown(void)
{
    ck_assert_int_eq(file_remove_tree(dir, NULL), 0);
}

struct print {
    uint8_t hash[HASH_BYTES];
};

static struct print fingerprint(const char *path, const char *options,
                                int32_t slots, int32_t rows,
                                const uint8_t *tokenizer)
{
    struct backend_limits limits = {.slots = slots, .tokens_per_step = rows};
    uint8_t hash[HASH_BYTES];
    struct print out;
    struct err err = {0};
    struct weights *w = weights_open(path, &err);
    struct backend *b;

    ck_assert_msg(w != NULL, "%s", err.text);
    b = backend_create(&backend_cpu, w, &limits, options, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_int_eq(fingerprint_weights(path, w, hash, &err), 0);
    ck_assert_msg(
        fingerprint_compute(b, "fp32", hash, tokenizer, out.hash, &err) == 0,
        "%s", err.text);
    backend_destroy(b);
    weights_close(w);
    return out;
}

/* What a worker may be without its results changing. */
START_TEST(equal_where_results_are_equal)
{
    struct print a = fingerprint(GOLDEN "small16.pth", NULL, 3, 64, NULL);
    struct print b =
        fingerprint(GOLDEN "small16-fla-sharded", "isa=portable", 1, 1, NULL);
    struct print c =
        fingerprint(GOLDEN "small16-blink.safetensors", NULL, 9, 5, NULL);

    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_mem_eq(&a, &c, sizeof a);
}
END_TEST

START_TEST(different_for_another_model_or_tokenizer)
{
    static const uint8_t tokenizer[HASH_BYTES] = {1};
    struct print a =
        fingerprint(GOLDEN "small16-blink.safetensors", NULL, 3, 64, NULL);
    struct print b = fingerprint(GOLDEN "small32-noln0-bias-blink.safetensors",
                                 NULL, 3, 64, NULL);
    struct print c =
        fingerprint(GOLDEN "small16-blink.safetensors", NULL, 3, 64, tokenizer);

    ck_assert_mem_ne(&a, &b, sizeof a);
    ck_assert_mem_ne(&a, &c, sizeof a);
}
END_TEST

/* A backend whose log-probabilities depend on the rows of the step. */
static void liar_destroy(struct backend *b)
{
    free(b);
}

static struct backend *liar_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *options, struct err *err);

static int64_t liar_submit(struct backend *b, const struct step *step,
                           struct err *err)
{
    int32_t rows = 0;

    (void)b;
    (void)err;
    for (int32_t i = 0; i < step->n_piece; i++)
        rows += step->piece[i].n;
    for (int32_t i = 0; i < step->n_score; i++)
        step->score_out[i] = (struct score_out){
            .logprob = -1 - ldexpf((float)(rows == 1), -23), .finite = true};
    for (int32_t i = 0; i < step->n_sample; i++)
        step->sample_out[i] = (struct sample_out){.token = 1, .finite = true};
    return 1;
}

static int liar_wait(struct backend *b, int64_t ticket, struct err *err)
{
    (void)b;
    (void)ticket;
    (void)err;
    return 0;
}

static int liar_reset(struct backend *b, int32_t slot, struct err *err)
{
    (void)b;
    (void)slot;
    (void)err;
    return 0;
}

static int liar_save(struct backend *b, int32_t slot, float *state,
                     struct err *err)
{
    (void)slot;
    (void)err;
    memset(state, 0, b->state_bytes);
    return 0;
}

static const struct backend_ops liar = {.name = "liar",
                                        .create = liar_create,
                                        .destroy = liar_destroy,
                                        .submit = liar_submit,
                                        .wait = liar_wait,
                                        .reset = liar_reset,
                                        .save = liar_save};

static struct backend *liar_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *options, struct err *err)
{
    struct backend *b = xcalloc(1, sizeof *b);

    (void)w;
    (void)options;
    (void)err;
    b->ops = &liar;
    b->limits = *limits;
    b->vocab = 10;
    b->state_bytes = 64;
    return b;
}

/* One bit, in one step shape, is enough. */
START_TEST(a_backend_that_depends_on_the_step_may_not_serve)
{
    struct backend_limits limits = {.slots = 3, .tokens_per_step = 64};
    struct backend *b = backend_create(&liar, NULL, &limits, NULL, NULL);
    uint8_t out[HASH_BYTES];
    struct err err = {0};

    ck_assert_ptr_nonnull(b);
    ck_assert_int_eq(fingerprint_compute(b, "fp32", NULL, NULL, out, &err), -1);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ck_assert_msg(strstr(err.text, "token by token") != NULL, "%s", err.text);
    backend_destroy(b);
}
END_TEST

/* No canary token may set off a trigger. */
START_TEST(the_null_backend_is_not_fed)
{
    struct backend_limits limits = {.slots = 1, .tokens_per_step = 1};
    struct backend *b =
        backend_create(&backend_null, NULL, &limits, "crash_after=1", NULL);
    uint8_t x[HASH_BYTES], y[HASH_BYTES];

    ck_assert_ptr_nonnull(b);
    ck_assert_int_eq(fingerprint_compute(b, "null", NULL, NULL, x, NULL), 0);
    ck_assert_int_eq(fingerprint_compute(b, "null", NULL, NULL, y, NULL), 0);
    ck_assert_mem_eq(x, y, sizeof x);
    backend_destroy(b);
}
END_TEST

/* The only file of the cache, malloc'ed. */
static char *cache_entry(void)
{
    char *folder = file_join(dir, "skein");
    DIR *d = opendir(folder);
    struct dirent *e;
    char *found = NULL;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        ck_assert_ptr_null(found);
        found = file_join(folder, e->d_name);
    }
    closedir(d);
    free(folder);
    ck_assert_ptr_nonnull(found);
    return found;
}

START_TEST(the_cache_is_used_and_follows_the_file)
{
    static const char other[] = "0123456789abcdef0123456789abcdef"
                                "0123456789abcdef0123456789abcdef\n";
    char *copy = file_join(dir, "model.safetensors"), *entry;
    struct buf bytes = BUF_INIT;
    uint8_t first[HASH_BYTES], again[HASH_BYTES];
    struct weights *w;
    struct err err;

    ck_assert_int_eq(
        file_read(GOLDEN "small16-blink.safetensors", 1u << 20, &bytes, &err),
        0);
    ck_assert_int_eq(file_replace(copy, bytes.data, bytes.len, &err), 0);
    w = weights_open(copy, &err);
    ck_assert_ptr_nonnull(w);
    ck_assert_int_eq(fingerprint_weights(copy, w, first, &err), 0);
    entry = cache_entry();
    ck_assert_int_eq(file_replace(entry, other, sizeof other - 1, &err), 0);
    ck_assert_int_eq(fingerprint_weights(copy, w, again, &err), 0);
    ck_assert_uint_eq(again[0], 0x01);
    ck_assert_uint_eq(again[31], 0xef);

    /* Damaged entries are no entries. */
    ck_assert_int_eq(file_replace(entry, other, 63, &err), 0);
    ck_assert_int_eq(fingerprint_weights(copy, w, again, &err), 0);
    ck_assert_mem_eq(first, again, sizeof first);

    /* Another file in the same place is another entry. */
    ck_assert_int_eq(file_replace(entry, other, sizeof other - 1, &err), 0);
    ck_assert_int_eq(file_replace(copy, bytes.data, bytes.len, &err), 0);
    weights_close(w);
    w = weights_open(copy, &err);
    ck_assert_int_eq(fingerprint_weights(copy, w, again, &err), 0);
    ck_assert_mem_eq(first, again, sizeof first);
    weights_close(w);
    buf_free(&bytes);
    free(entry);
    free(copy);
}
END_TEST

/* A cache that cannot be written is not an error. */
START_TEST(no_cache_is_no_error)
{
    struct err err = {0};
    struct weights *w = weights_open(GOLDEN "small16.pth", &err);
    uint8_t hash[HASH_BYTES];

    setenv("XDG_CACHE_HOME", "/proc/nonexistent", 1);
    ck_assert_int_eq(fingerprint_weights("m", w, hash, &err), 0);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    ck_assert_int_eq(fingerprint_weights("m", w, hash, &err), 0);
    weights_close(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fingerprint");
    TCase *tc = tcase_create("fingerprint");
    SRunner *runner;
    int failed;

    if (hash_init(NULL) < 0)
        return 1;
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, equal_where_results_are_equal);
    tcase_add_test(tc, different_for_another_model_or_tokenizer);
    tcase_add_test(tc, a_backend_that_depends_on_the_step_may_not_serve);
    tcase_add_test(tc, the_null_backend_is_not_fed);
    tcase_add_test(tc, the_cache_is_used_and_follows_the_file);
    tcase_add_test(tc, no_cache_is_no_error);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
