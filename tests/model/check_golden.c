/* The CPU backend against fp64 goldens: every logit, the final states, scored
 * continuations and greedy texts. tests/golden/README.md says how they were
 * made; those of ../shared/rwkv7/data are skipped where it is absent.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/file.h"
#include "model/backend.h"
#include "model/weights.h"

#define SHARED "../shared/rwkv7/data/"
#define TOKENS_MAX 512

static const struct set {
    const char *weights;
    const char *expected; /* + "-expected.json", "-expected.safetensors" */
    double logits_max, state_max;
} sets[] = {
    {"tests/golden/small16-blink.safetensors", "tests/golden/small16", 2e-5,
     2e-5},
    {"tests/golden/small16-xx-fla.safetensors", "tests/golden/small16", 2e-5,
     2e-5},
    {"tests/golden/small32-noln0-bias-blink.safetensors",
     "tests/golden/small32-noln0-bias", 2e-5, 2e-5},
    {SHARED "tiny/tiny-blink.safetensors", SHARED "tiny/tiny", 2e-5, 1e-4},
    {SHARED "tiny/fla", SHARED "tiny/tiny", 2e-5, 1e-4},
    {SHARED "synth/synth-blink-bf16.safetensors", SHARED "synth/synth", 3e-5,
     3e-4},
    {SHARED "reverse-l2/reverse-blink.safetensors", SHARED "reverse-l2/reverse",
     5e-3, 5e-3},
};

static struct set set; /* the one under test */
static struct weights *weights;
static struct backend *backend;
static struct tensor_file *expected;
static json_t *json;
static struct err err;

static void open_set(void)
{
    char path[256];
    json_error_t bad;

    weights = weights_open(set.weights, &err);
    ck_assert_msg(weights != NULL, "%s", err.text);
    backend = backend_create(
        &backend_cpu, weights,
        &(struct backend_limits){.slots = 2, .tokens_per_step = TOKENS_MAX},
        NULL, &err);
    ck_assert_msg(backend != NULL, "%s", err.text);
    snprintf(path, sizeof path, "%s-expected.safetensors", set.expected);
    expected = tensor_file_open(path, &err);
    ck_assert_msg(expected != NULL, "%s", err.text);
    snprintf(path, sizeof path, "%s-expected.json", set.expected);
    json = json_load_file(path, 0, &bad);
    ck_assert_msg(json != NULL, "%s: %s", path, bad.text);
}

static void close_set(void)
{
    json_decref(json);
    tensor_file_close(expected);
    backend_destroy(backend);
    weights_close(weights);
}

static int32_t read_tokens(const json_t *array, int32_t *token)
{
    size_t n = json_array_size(array);

    ck_assert_uint_le(n, TOKENS_MAX);
    for (size_t i = 0; i < n; i++)
        token[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return (int32_t)n;
}

static void run(const struct step *step)
{
    int64_t ticket = backend_submit(backend, step, &err);

    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_msg(backend_wait(backend, ticket, &err) == 0, "%s", err.text);
}

static double *read_expected(const char *prompt, const char *what, size_t count)
{
    char name[128];
    const struct tensor *t;
    double *x = malloc(count * sizeof *x);

    snprintf(name, sizeof name, "%s.%s", prompt, what);
    t = tensor_file_find(expected, name);
    ck_assert_msg(t != NULL && (size_t)tensor_count(t) == count,
                  "%s: no %s of %zu", set.expected, name, count);
    tensor_read_f64(t, 0, (int64_t)count, x);
    return x;
}

/* Largest difference; `stride` floats from one row of x to the next. */
static double distance(const double *want, const float *x, size_t rows,
                       size_t cols, size_t stride)
{
    double max = 0;

    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            double d = fabs(want[i * cols + j] - (double)x[i * stride + j]);

            if (!(d <= max))
                max = d; /* NaN too */
        }
    }
    return max;
}

static void check_logits(const char *prompt, const int32_t *token, int32_t n)
{
    size_t v = (size_t)backend->vocab;
    float *logits = malloc((size_t)n * v * sizeof *logits);
    int32_t row[TOKENS_MAX];
    double *want = read_expected(prompt, "logits", (size_t)n * v), far;

    for (int32_t i = 0; i < n; i++)
        row[i] = i;
    run(&(struct step){.piece = &(struct piece){0, n, token},
                       .n_piece = 1,
                       .logit_row = row,
                       .n_logit = n,
                       .logits = logits});
    far = distance(want, logits, 1, (size_t)n * v, 0);
    ck_assert_msg(far <= set.logits_max, "%s %s: logits differ by %.2e > %.0e",
                  set.weights, prompt, far, set.logits_max);
    printf("%s %s: logits within %.1e", set.weights, prompt, far);
    free(want);
    free(logits);
}

static void check_state(const char *prompt)
{
    size_t c = (size_t)weights->C, n = (size_t)weights->N;
    size_t layers = (size_t)weights->L, stride = 2 * c + c * n;
    float *state = malloc(backend->state_bytes);
    const struct {
        const char *name;
        size_t at, size;
    } part[] = {
        {"att_shift", 0, c}, {"S", c, c * n}, {"ffn_shift", c + c * n, c}};
    double worst = 0;

    ck_assert_uint_eq(backend->state_bytes, layers * stride * sizeof *state);
    ck_assert_int_eq(backend_save(backend, 0, state, &err), 0);
    for (size_t i = 0; i < 3; i++) {
        double *want =
            read_expected(prompt, part[i].name, layers * part[i].size);
        double far =
            distance(want, state + part[i].at, layers, part[i].size, stride);

        ck_assert_msg(far <= set.state_max, "%s %s: %s differs by %.2e > %.0e",
                      set.weights, prompt, part[i].name, far, set.state_max);
        worst = far > worst ? far : worst;
        free(want);
    }
    printf(", states within %.1e\n", worst);
    free(state);
}

START_TEST(logits_and_states_match)
{
    json_t *prompts, *prompt;
    const char *name;

    set = sets[_i];
    open_set();
    prompts = json_object_get(json, "prompts");
    ck_assert_uint_gt(json_object_size(prompts), 0);
    json_object_foreach(prompts, name, prompt)
    {
        int32_t token[TOKENS_MAX];
        int32_t n = read_tokens(json_object_get(prompt, "tokens"), token);

        ck_assert_int_eq(backend_reset(backend, 0, &err), 0);
        check_logits(name, token, n);
        check_state(name);
    }
    close_set();
}
END_TEST

static void check_scoring(const json_t *item)
{
    int32_t token[TOKENS_MAX];
    int32_t n = read_tokens(json_object_get(item, "context"), token);
    int32_t k = read_tokens(json_object_get(item, "continuation"), token + n);
    double want = json_real_value(json_object_get(item, "sum_logprob")),
           sum = 0;
    struct score_row row[TOKENS_MAX];
    struct score_out out[TOKENS_MAX];
    bool greedy = true;

    for (int32_t i = 0; i < k; i++)
        row[i] = (struct score_row){.row = n - 1 + i, .target = token[n + i]};
    ck_assert_int_eq(backend_reset(backend, 1, &err), 0);
    run(&(struct step){.piece = &(struct piece){1, n + k - 1, token},
                       .n_piece = 1,
                       .score = row,
                       .n_score = k,
                       .score_out = out});
    for (int32_t i = 0; i < k; i++) {
        ck_assert(out[i].finite);
        sum += (double)out[i].logprob;
        greedy = greedy && out[i].argmax;
    }
    ck_assert_msg(fabs(sum - want) <= 2 * k * set.logits_max,
                  "%s: scored %.8f, expected %.8f", set.weights, sum, want);
    ck_assert_int_eq(greedy, json_is_true(json_object_get(item, "is_greedy")));
}

START_TEST(scores_match)
{
    json_t *list, *item;
    size_t i;

    set = sets[_i];
    open_set();
    list = json_object_get(json, "scoring");
    json_array_foreach(list, i, item) check_scoring(item);
    close_set();
}
END_TEST

/* Two steps in flight: each is submitted before the one before it is read. */
static void check_greedy(const json_t *item)
{
    const json_t *ids = json_object_get(item, "ids");
    int32_t token[TOKENS_MAX], want[TOKENS_MAX], n, n_want;
    struct sample_out out[TOKENS_MAX];
    struct sample_row row = {.slot = 1, .top_p = 1};
    struct piece piece = {.slot = 1, .token = token};
    int64_t ticket[TOKENS_MAX];

    ids = ids != NULL ? ids : json_object_get(item, "greedy");
    n = read_tokens(json_object_get(item, "prompt"), token);
    n_want = read_tokens(ids, want);
    ck_assert_int_gt(n_want, 0);
    ck_assert_int_eq(backend_reset(backend, 1, &err), 0);
    piece.n = n;
    row.row = n - 1;
    for (int32_t i = 0; i < n_want; i++) {
        ticket[i] = backend_submit(backend,
                                   &(struct step){.piece = &piece,
                                                  .n_piece = 1,
                                                  .sample = &row,
                                                  .n_sample = 1,
                                                  .sample_out = &out[i]},
                                   &err);
        ck_assert_msg(ticket[i] > 0, "%s", err.text);
        if (i > 0)
            ck_assert_int_eq(backend_wait(backend, ticket[i - 1], &err), 0);
        piece = (struct piece){.slot = 1, .n = 1};
        row.row = 0;
    }
    ck_assert_int_eq(backend_wait(backend, ticket[n_want - 1], &err), 0);
    for (int32_t i = 0; i < n_want; i++)
        ck_assert_msg(out[i].finite && out[i].token == want[i],
                      "%s: token %d is %d, expected %d", set.weights, i,
                      out[i].token, want[i]);
}

START_TEST(greedy_texts_match)
{
    json_t *list, *item;
    size_t i;

    set = sets[_i];
    open_set();
    list = json_object_get(json, "greedy");
    ck_assert_uint_gt(json_array_size(list), 0);
    json_array_foreach(list, i, item) check_greedy(item);
    close_set();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("golden");
    TCase *c = tcase_create("cpu");
    SRunner *r = srunner_create(s);
    int n = (int)(sizeof sets / sizeof *sets), failed;

    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    for (int i = 0; i < n; i++) {
        if (!file_exists(sets[i].weights)) {
            printf("SKIP %s is absent\n", sets[i].weights);
            continue;
        }
        tcase_add_loop_test(c, logits_and_states_match, i, i + 1);
        tcase_add_loop_test(c, scores_match, i, i + 1);
        tcase_add_loop_test(c, greedy_texts_match, i, i + 1);
    }
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
