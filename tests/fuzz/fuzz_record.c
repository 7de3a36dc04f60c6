/* tests/fuzz/fuzz_record.c - input lines from anybody
 *
 * A line that is a record gets an answer of its kind, any other an error line:
 * each must be one line of valid JSON that carries the id. Metadata must still
 * mean the same.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"
#include "proto/utf8_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int fine)
{
    if (!fine)
        abort();
}

static void check_id(const struct record *r, const json_t *id)
{
    switch (r->id_kind) {
    case RECORD_ID_STRING:
        must(json_string_length(id) == r->id_len && r->id_len >= 1
             && r->id_len <= RECORD_ID_BYTES_MAX
             && memcmp(json_string_value(id), r->id, r->id_len) == 0);
        break;
    case RECORD_ID_INT:
        must(json_is_integer(id) && json_integer_value(id) == r->id_int);
        break;
    case RECORD_ID_LINE:
        if (r->form == RECORD_OPENAI)
            must(json_is_null(id));
        else
            must(json_is_integer(id)
                 && json_integer_value(id) == (json_int_t)r->line);
        break;
    }
}

static void check_answer(const struct record *r, struct buf *out,
                         const json_t *metadata)
{
    json_t *v = json_loadb(out->data, out->len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

    must(v != NULL && memchr(out->data, '\n', out->len) == NULL);
    if (r->form == RECORD_OPENAI) {
        check_id(r, json_object_get(v, "custom_id"));
        must(json_integer_value(json_object_get(v, "line"))
             == (json_int_t)r->line);
        must(json_is_object(
            json_object_get(json_object_get(v, "response"), "body")));
    } else {
        check_id(r, json_object_get(v, "id"));
        must(json_equal(json_object_get(v, "metadata"), metadata)
             || metadata == NULL);
    }
    json_decref(v);
    buf_free(out);
}

static void check_texts(const struct record_text *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (t[i].is_ids)
            for (size_t j = 0; j < t[i].n; j++)
                must(t[i].id[j] >= 0);
        else
            must(t[i].text[t[i].len] == '\0'
                 && utf8_check(t[i].text, t[i].len) == t[i].len);
    }
}

static void check_generate(const struct record *r)
{
    must(r->max_tokens >= (r->form == RECORD_OPENAI ? 0 : 1)
         && r->max_tokens <= RECORD_MAX_TOKENS_MAX);
    must(r->top_p > 0 && r->top_p <= 1 && r->temperature >= 0);
    must((r->n_prompt == 0) == (r->n_message > 0));
    must(r->n >= 1 && record_samples(r) <= RECORD_SAMPLES_MAX);
    must(record_samples(r) * (size_t)r->max_tokens <= RECORD_GENERATED_MAX
         || r->form == RECORD_NATIVE);
    check_texts(r->prompt, r->n_prompt);
    for (size_t i = 0; i < r->n_message; i++)
        check_texts(&r->message[i].content, 1);
}

static void write_answer(const struct record *r, struct buf *out)
{
    static const struct token_logprob at[2 * (1 + RECORD_TOP_MAX)];
    struct record_detail detail[RECORD_CHOICES_MAX];
    double logprob[RECORD_CHOICES_MAX];

    for (size_t i = 0; i < RECORD_CHOICES_MAX; i++) {
        detail[i] =
            (struct record_detail){at, i % 3, (uint32_t)r->top_logprobs};
        logprob[i] = -(double)i;
    }
    if (r->form == RECORD_OPENAI) {
        openai_begin(r, out);
        buf_adds(out, "{}");
        openai_end(r, out);
    } else if (r->kind == RECORD_SCORE) {
        record_write_score(r, -1.0 / 3, true, 3, detail, out);
    } else if (r->kind == RECORD_CHOICE) {
        record_write_choice(r, logprob, detail, out);
    } else if (r->kind == RECORD_ROLLING) {
        record_write_rolling(r, -2.5, 3, r->context.len, 1, true, detail, out);
    } else {
        record_write_generate(r, r->prompt->text, r->prompt->len, "stop", 5,
                              detail, out);
    }
}

static void check_record(const struct record *r, const json_t *metadata)
{
    static const uint8_t key[16];
    uint8_t hash[16];
    struct buf out = BUF_INIT;

    check_texts(&r->context, r->kind != RECORD_GENERATE);
    check_texts(r->target, r->n_target);
    check_texts(r->stop, r->n_stop);
    must(r->top_logprobs >= 0 && r->top_logprobs <= RECORD_TOP_MAX);
    must((r->n_warnings > 0) == (r->warning != NULL));
    record_id_hash(r, key, hash);
    record_stream_key(r, 1);
    record_has_text(r);
    if (r->kind == RECORD_SCORE)
        must(r->n_target == 1);
    if (r->kind == RECORD_CHOICE) {
        must(r->n_target >= 1 && r->n_target <= RECORD_CHOICES_MAX);
        must(r->gold >= -1 && r->gold < (int32_t)r->n_target);
    }
    if (r->kind == RECORD_GENERATE)
        check_generate(r);
    write_answer(r, &out);
    check_answer(r, &out, metadata);
}

static void parse_as(const struct record_job *job, const char *line,
                     size_t size)
{
    struct record partial;
    struct record_error e;
    struct record *r = record_parse(job, line, size, 7, &partial, &e);

    if (r != NULL) {
        json_t *v = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
        const json_t *metadata = json_object_get(v, "metadata");

        must(v != NULL && r->form_known);
        must(r->n_warnings == 0 || job != NULL);
        if (r->form == RECORD_NATIVE)
            must((metadata != NULL) == (r->metadata != NULL));
        check_record(r, metadata);
        json_decref(v);
        record_free(r);
    } else {
        struct buf out = BUF_INIT;

        must(e.code != NULL && e.message[0] != '\0');
        record_write_error(&partial, &e, &out);
        check_answer(&partial, &out, NULL);
        record_clear(&partial);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record_job lenient = {.lenient = true, .model = "m@1"};

    parse_as(NULL, (const char *)data, size);
    parse_as(&lenient, (const char *)data, size);
    return 0;
}
