/* One shard from packed input to packed result, without threads or ranks. */
#include "worker/shard.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lineset.h"
#include "worker/vocab.h"

static struct tokenizer *tokenizer;
static struct buf blob;
static uint8_t hash[HASH_BYTES];
static struct shard *s;

static const char *const lines[] = {
    "{\"context\":\"a\",\"target\":\"bc\"}",
    "{\"context\":",
    "{\"id\":\"g\",\"prompt\":\"p\",\"max_tokens\":3}",
    "{\"context\":\"a\",\"choices\":[\"x\",\"y\"],\"gold\":1}",
    "{\"text_ids\":[1,999]}",
};
#define N 5

static void setup(void)
{
    struct lineset_writer w;

    ck_assert_int_eq(hash_init(NULL), 0);
    ck_assert_int_eq(vocab_open("null", "", &tokenizer, NULL), 0);
    lineset_writer_init(&w);
    for (uint64_t i = 0; i < N; i++)
        lineset_add(&w, 100 + 2 * i, lines[i], strlen(lines[i]), false);
    lineset_pack(&w, &blob);
    lineset_writer_free(&w);
    hash_bytes(blob.data, blob.len, hash);
}

static void teardown(void)
{
    shard_free(s);
    s = NULL;
    buf_free(&blob);
    tokenizer_close(tokenizer);
}

static void prepare(uint32_t n_records)
{
    const struct encode_rules rules = {.tokenizer = tokenizer, .vocab = 300};
    Skein__Grant g = SKEIN__GRANT__INIT;
    Skein__Token token = SKEIN__TOKEN__INIT;
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;

    g.token = &token;
    g.spec = &spec;
    g.n_records = n_records;
    g.input_bytes = blob.len;
    g.input_hash = (ProtobufCBinaryData){HASH_BYTES, hash};
    s = shard_create(&g, 42, &rules);
    buf_add(&s->input, blob.data, blob.len);
    s->state = SHARD_PREPARING;
    shard_prepare(&s->job);
    s->state = s->after;
}

/* Answer item i with branches of these log-probabilities, all with one text. */
static void answer(uint32_t i, const double *logprob, size_t n,
                   const char *text)
{
    struct answer_head head = {
        .id = shard_id(s, &s->item[i]), .fed = 10, .sampled = 3};
    struct buf payload = BUF_INIT;

    for (size_t k = 0; k < n; k++) {
        struct answer_branch branch = {.logprob = logprob[k],
                                       .text_bytes = (uint32_t)strlen(text),
                                       .sampled = 3,
                                       .finish = ANSWER_LENGTH};

        answer_add_branch(&payload, &branch, NULL, 0, text);
    }
    head.payload_bytes = payload.len;
    shard_answer(s, shard_item(s, head.id), &head, payload.data);
    buf_free(&payload);
}

START_TEST(every_line_in_its_place)
{
    static const char *const want[] = {
        "{\"id\":100,\"logprob\":-1.5,\"greedy\":false,\"tokens\":2}",
        "invalid_json",
        ("{\"id\":\"g\",\"text\":\"abc\",\"finish_reason\":\"length\","
         "\"tokens\":3}"),
        "\"logprobs\":[-3,-2],\"choice\":1,\"correct\":true}",
        "token_out_of_range",
    };
    struct lineset out;
    struct shard_item *item;

    prepare(N);
    ck_assert_int_eq(s->state, SHARD_COMPUTING);
    ck_assert_uint_eq(s->n_answered, 2); /* the two bad lines */
    for (int k = 0; k < 3; k++) {
        item = shard_next(s);
        ck_assert_ptr_nonnull(item);
        ck_assert_uint_gt(item->request_len, 0);
        shard_given(s, item);
    }
    ck_assert_ptr_null(shard_next(s));
    answer(3, (double[]){-3, -2}, 2, ""); /* in any order */
    answer(0, (double[]){-1.5}, 1, "");
    ck_assert(!shard_complete(s));
    answer(2, (double[]){0}, 1, "abc");
    ck_assert(shard_complete(s));
    shard_assemble(&s->job);
    ck_assert_int_eq(s->after, SHARD_DONE);
    ck_assert_uint_eq(s->n_errors, 2);
    ck_assert_uint_eq(s->fed, 30);
    ck_assert_int_eq(lineset_unpack(s->result.data, s->result.len, &out, NULL),
                     0);
    ck_assert_uint_eq(out.n, N);
    for (uint32_t i = 0; i < N; i++) {
        char text[512];

        snprintf(text, sizeof text, "%.*s", (int)out.item[i].len,
                 out.item[i].text);
        ck_assert_uint_eq(out.item[i].line, 100 + 2 * i);
        ck_assert_int_eq(out.item[i].error, i == 1 || i == 4);
        ck_assert_msg(strstr(text, want[i]) != NULL, "%s lacks %s", text,
                      want[i]);
    }
    lineset_free(&out);
}
END_TEST

/* The ranks are gone: what was given waits again, what was answered stays. */
START_TEST(lost)
{
    prepare(N);
    shard_given(s, shard_next(s));
    shard_given(s, shard_next(s));
    answer(0, (double[]){-1}, 1, "");
    shard_lost(s);
    ck_assert_uint_eq(s->n_given, 0);
    ck_assert_uint_eq(s->n_answered, 3);
    ck_assert_ptr_eq(shard_next(s), &s->item[2]);
    answer(2, (double[]){0}, 1,
           "late"); /* of the group that is gone: not given, not taken */
    ck_assert_int_eq(s->item[2].state, ITEM_WAITING);
    s->item[2].suspect = true;
    ck_assert_ptr_eq(shard_next(s), &s->item[3]);
}
END_TEST

START_TEST(an_answer_counts_once)
{
    const struct record_error e = {.code = "worker_crash"};

    prepare(N);
    shard_given(s, shard_next(s));
    answer(0, (double[]){-1, -1}, 2, ""); /* not what the record needs */
    ck_assert_int_eq(s->item[0].state, ITEM_GIVEN);
    answer(0, (double[]){-1}, 1, "");
    answer(0, (double[]){-2}, 1, "");
    shard_fail(s, &s->item[0], &e);
    ck_assert_uint_eq(s->n_answered, 3);
    ck_assert(!s->item[0].is_error);
}
END_TEST

START_TEST(input_that_is_not_what_was_promised)
{
    if (_i == 0)
        blob.data[20] ^= 1;
    prepare(_i == 0 ? N : N + 1);
    ck_assert_int_eq(s->state, SHARD_BROKEN);
    ck_assert_int_eq(s->err.code, ERR_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shard");
    TCase *t = tcase_create("shard");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_line_in_its_place);
    tcase_add_test(t, lost);
    tcase_add_test(t, an_answer_counts_once);
    tcase_add_loop_test(t, input_that_is_not_what_was_promised, 0, 2);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
