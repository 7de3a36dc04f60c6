/* The whole worker with the cpu engine: real models, two ranks, against the
 * float64 goldens of tests/golden.
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator.h"

#define LOGPROB_MAX_DIFF 1e-4

static struct coordinator *c;

static void setup(void)
{
    c = coordinator_open();
}

static void teardown(void)
{
    coordinator_close(c);
}

static json_t *golden(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);

    ck_assert_msg(root != NULL, "%s: %s", path, error.text);
    return root;
}

/* One shard with a line for each entry of the array, made by `make`. */
static void add_lines(json_t *array, json_t *(*make)(json_t *entry))
{
    const char **line = xcalloc(json_array_size(array), sizeof *line);
    json_t *entry;
    size_t i;

    json_array_foreach(array, i, entry)
    {
        json_t *record = make(entry);

        line[i] = json_dumps(record, JSON_COMPACT);
        json_decref(record);
    }
    coordinator_add(c, 1, line, json_array_size(array));
    for (i = 0; i < json_array_size(array); i++)
        free((void *)line[i]);
    free(line);
}

static void serve(const char *model, const char *devices)
{
    coordinator_start(
        c, (const char *const[]){"--model", model, "--devices", devices, NULL});
    ck_assert_msg(coordinator_serve(c, 60000, all_committed),
                  "not all shards were committed within 60 s");
}

/* The answer to line i + 1. */
static json_t *answer(size_t i)
{
    struct lineset set;
    json_t *json;

    ck_assert_int_eq(lineset_unpack(c->plan[0].result.data,
                                    c->plan[0].result.len, &set, NULL),
                     0);
    json = json_loadb(set.item[i].text, set.item[i].len, 0, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_msg(!set.item[i].error, "line %zu: %.*s", i + 1,
                  (int)set.item[i].len, set.item[i].text);
    lineset_free(&set);
    return json;
}

static double number(json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void check_scores(json_t *scoring)
{
    json_t *entry;
    size_t i;

    json_array_foreach(scoring, i, entry)
    {
        json_t *got = answer(i);
        double want = number(entry, "sum_logprob");

        ck_assert_msg(fabs(number(got, "logprob") - want) <= LOGPROB_MAX_DIFF,
                      "line %zu: %.9g, float64 says %.9g", i + 1,
                      number(got, "logprob"), want);
        ck_assert_int_eq(json_is_true(json_object_get(got, "greedy")),
                         json_is_true(json_object_get(entry, "is_greedy")));
        ck_assert_int_eq(json_integer_value(json_object_get(got, "tokens")),
                         (json_int_t)json_array_size(
                             json_object_get(entry, "continuation")));
        json_decref(got);
    }
}

static json_t *make_ids(json_t *e)
{
    return json_pack("{s:O,s:O}", "context_ids", json_object_get(e, "context"),
                     "target_ids", json_object_get(e, "continuation"));
}

/* Token ids, exactly as they are; no tokenizer beside the model. */
START_TEST(scores_ids)
{
    json_t *root = golden("tests/golden/small16-expected.json");

    add_lines(json_object_get(root, "scoring"), make_ids);
    serve("m=tests/golden/small16-blink.safetensors", "cpu,cpu");
    check_scores(json_object_get(root, "scoring"));
    json_decref(root);
}
END_TEST

static json_t *make_text(json_t *e)
{
    return json_pack("{s:O,s:O}", "context", json_object_get(e, "context_text"),
                     "target", json_object_get(e, "continuation_text"));
}

/* Text through the tokenizer, with the start token. */
START_TEST(scores_text)
{
    json_t *root = golden("tests/golden/demo-expected.json");

    add_lines(json_object_get(root, "scoring"), make_text);
    serve("m=examples/model", "cpu,cpu");
    check_scores(json_object_get(root, "scoring"));
    json_decref(root);
}
END_TEST

static json_t *make_prompt(json_t *e)
{
    return json_pack("{s:O,s:I}", "prompt", json_object_get(e, "prompt_text"),
                     "max_tokens",
                     (json_int_t)json_array_size(json_object_get(e, "ids")));
}

static json_t *make_prompt_with_stop(json_t *e)
{
    json_t *record = make_prompt(e);

    json_object_set_new(record, "stop", json_string("\n\n"));
    return record;
}

static void check_texts(json_t *greedy, const char *key)
{
    json_t *entry;
    size_t i;

    json_array_foreach(greedy, i, entry)
    {
        json_t *got = answer(i);

        ck_assert_str_eq(json_string_value(json_object_get(got, "text")),
                         json_string_value(json_object_get(entry, key)));
        json_decref(got);
    }
}

START_TEST(generates_text)
{
    json_t *root = golden("tests/golden/demo-expected.json");

    add_lines(json_object_get(root, "greedy"),
              _i == 0 ? make_prompt : make_prompt_with_stop);
    serve("m=examples/model", "cpu,cpu");
    check_texts(json_object_get(root, "greedy"),
                _i == 0 ? "text" : "text_before_blank_line");
    json_decref(root);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker_cpu");
    TCase *t = tcase_create("cpu");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 90);
    tcase_add_test(t, scores_ids);
    tcase_add_test(t, scores_text);
    tcase_add_loop_test(t, generates_text, 0, 2);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
