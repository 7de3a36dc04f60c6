#include "client/json_out.h"

#include <string.h>

#include "client/jobs.h"
#include "tests/common/run.h"

/* A job that is half done, with everything set. */
static Skein__JobInfo sample(Skein__JobSpec *spec)
{
    static uint8_t fingerprint[32] = {0xab, 0xcd};
    static char name[] = "lambada", model[] = "rwkv7";
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;

    skein__job_spec__init(spec);
    spec->name = name;
    spec->model = model;
    spec->bos = SKEIN__BOS__BOS_IF_EMPTY;
    spec->priority = -3;
    job.job = 12;
    job.spec = spec;
    job.state = SKEIN__JOB_STATE__JOB_RUNNING;
    job.fingerprint = (ProtobufCBinaryData){.len = 32, .data = fingerprint};
    job.lines = 103;
    job.records = 100;
    job.rejected = 2;
    job.answered = 50;
    job.failed = 5;
    job.tokens_in = 7;
    job.tokens_out = 8;
    job.submitted_unix_ms = 1700000000000;
    return job;
}

static const char *text_at(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "(absent)";
}

static json_int_t number_at(json_t *o, const char *object, const char *key)
{
    json_t *inner = object ? json_object_get(o, object) : o;

    return json_integer_value(json_object_get(inner, key));
}

START_TEST(a_job_has_the_documented_keys)
{
    Skein__JobSpec spec;
    Skein__JobInfo job = sample(&spec);
    json_t *o = json_job(&job);

    ck_assert_int_eq(number_at(o, NULL, "schema"), 1);
    ck_assert_int_eq(number_at(o, NULL, "id"), 12);
    ck_assert_str_eq(text_at(o, "status"), "running");
    ck_assert_str_eq(text_at(o, "model"), "rwkv7");
    ck_assert_str_eq(text_at(o, "bos"), "if-empty");
    ck_assert_int_eq(number_at(o, NULL, "priority"), -3);
    ck_assert_int_eq(number_at(o, "request_counts", "total"), 102);
    ck_assert_int_eq(number_at(o, "request_counts", "completed"), 45);
    ck_assert_int_eq(number_at(o, "request_counts", "failed"), 7);
    ck_assert_int_eq(number_at(o, "usage", "total_tokens"), 15);
    ck_assert_str_eq(text_at(o, "created_at"), "2023-11-14T22:13:20Z");
    ck_assert_uint_eq(strlen(text_at(o, "fingerprint")), 64);
    ck_assert_int_eq(strncmp(text_at(o, "fingerprint"), "abcd00", 6), 0);
    json_decref(o);
}
END_TEST

START_TEST(unknown_is_absent)
{
    Skein__JobInfo job = SKEIN__JOB_INFO__INIT;
    json_t *o = json_job(&job);

    ck_assert_ptr_null(json_object_get(o, "fingerprint"));
    ck_assert_ptr_null(json_object_get(o, "created_at"));
    ck_assert_ptr_null(json_object_get(o, "in_progress_at"));
    ck_assert_ptr_null(json_object_get(o, "completed_at"));
    ck_assert_ptr_null(json_object_get(o, "message"));
    json_decref(o);
}
END_TEST

START_TEST(the_end_has_the_key_of_its_state)
{
    static const struct {
        Skein__JobState state;
        const char *key;
    } row[] = {
        {SKEIN__JOB_STATE__JOB_DONE, "completed_at"},
        {SKEIN__JOB_STATE__JOB_FAILED, "failed_at"},
        {SKEIN__JOB_STATE__JOB_CANCELLED, "cancelled_at"},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Skein__JobSpec spec;
        Skein__JobInfo job = sample(&spec);
        json_t *o;

        job.state = row[i].state;
        job.finished_unix_ms = 1700000001000;
        o = json_job(&job);
        ck_assert_str_eq(text_at(o, row[i].key), "2023-11-14T22:13:21Z");
        json_decref(o);
    }
}
END_TEST

START_TEST(names_that_are_not_utf8_do_not_cost_the_answer)
{
    Skein__JobSpec spec;
    Skein__JobInfo job = sample(&spec);
    char bad[] = "\xff\xfe";
    json_t *o;

    spec.name = bad;
    o = json_job(&job);
    ck_assert_ptr_nonnull(o);
    ck_assert_str_eq(text_at(o, "name"), "(not UTF-8)");
    json_decref(o);
}
END_TEST

START_TEST(errors_have_code_and_message)
{
    struct err err;
    json_t *o;
    char *text;

    err_set(&err, ERR_NOT_FOUND, "no such job: \"12\"");
    o = json_error_of(&err);
    text = json_dumps(o, JSON_COMPACT);
    ck_assert_str_eq(text,
                     "{\"error\":{\"code\":\"not_found\",\"message\":\"no "
                     "such job: \\\"12\\\"\"}}");
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(states_beyond_the_known_have_a_name)
{
    ck_assert_str_eq(job_state_name(SKEIN__JOB_STATE__JOB_CORRUPT), "corrupt");
    ck_assert_str_eq(job_state_name((Skein__JobState)99), "unknown");
    ck_assert_str_eq(bos_name((Skein__Bos)99), "unknown");
}
END_TEST

START_TEST(exit_status_tells_the_jobs_fate)
{
    static const struct {
        Skein__JobState state;
        unsigned records, rejected, failed;
        int status;
    } row[] = {
        {SKEIN__JOB_STATE__JOB_DONE, 10, 0, 0, 0},
        {SKEIN__JOB_STATE__JOB_DONE, 10, 0, 1, 1},
        {SKEIN__JOB_STATE__JOB_DONE, 10, 1, 0, 1},
        {SKEIN__JOB_STATE__JOB_DONE, 10, 5, 10, 3},
        {SKEIN__JOB_STATE__JOB_DONE, 0, 4, 0, 3},
        {SKEIN__JOB_STATE__JOB_DONE, 0, 0, 0, 0}, /* an empty file */
        {SKEIN__JOB_STATE__JOB_FAILED, 10, 0, 0, 3},
        {SKEIN__JOB_STATE__JOB_CORRUPT, 10, 0, 0, 3},
        {SKEIN__JOB_STATE__JOB_CANCELLED, 10, 0, 0, 4},
    };

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Skein__JobInfo job = SKEIN__JOB_INFO__INIT;

        job.state = row[i].state;
        job.records = job.answered = row[i].records;
        job.rejected = row[i].rejected;
        job.failed = row[i].failed;
        ck_assert_msg(jobs_exit_status(&job) == row[i].status, "row %zu: %d", i,
                      jobs_exit_status(&job));
        ck_assert(jobs_over(&job));
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("json_out", a_job_has_the_documented_keys,
                     unknown_is_absent, the_end_has_the_key_of_its_state,
                     names_that_are_not_utf8_do_not_cost_the_answer,
                     errors_have_code_and_message,
                     states_beyond_the_known_have_a_name,
                     exit_status_tells_the_jobs_fate);
}
