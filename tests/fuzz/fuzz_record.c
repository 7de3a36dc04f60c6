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
    check_id(r, json_object_get(v, "id"));
    must(json_equal(json_object_get(v, "metadata"), metadata)
         || metadata == NULL);
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

static void check_record(const struct record *r, const json_t *metadata)
{
    static const uint8_t key[16];
    uint8_t hash[16];
    double logprob[RECORD_CHOICES_MAX];
    struct buf out = BUF_INIT;

    check_texts(&r->context, 1);
    check_texts(r->target, r->n_target);
    check_texts(r->stop, r->n_stop);
    record_id_hash(r, key, hash);
    record_stream_key(r, 1);
    switch (r->kind) {
    case RECORD_SCORE:
        must(r->n_target == 1);
        record_write_score(r, -1.0 / 3, true, 3, &out);
        break;
    case RECORD_CHOICE:
        must(r->n_target >= 1 && r->n_target <= RECORD_CHOICES_MAX);
        must(r->gold >= -1 && r->gold < (int32_t)r->n_target);
        for (size_t i = 0; i < r->n_target; i++)
            logprob[i] = -(double)i;
        record_write_choice(r, logprob, &out);
        break;
    case RECORD_ROLLING:
        record_write_rolling(r, -2.5, 3, r->context.len, 1, true, &out);
        break;
    case RECORD_GENERATE:
        must(r->max_tokens >= 1 && r->max_tokens <= RECORD_MAX_TOKENS_MAX);
        must(r->top_p > 0 && r->top_p <= 1 && r->temperature >= 0);
        record_write_generate(r, r->context.text, r->context.len, "stop", 5,
                              &out);
        break;
    }
    check_answer(r, &out, metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line = (const char *)data;
    struct record partial;
    struct record_error e;
    struct record *r = record_parse(line, size, 7, &partial, &e);

    if (r != NULL) {
        json_t *v = json_loadb(line, size, JSON_ALLOW_NUL, NULL);

        must(v != NULL);
        must((json_object_get(v, "metadata") != NULL) == (r->metadata != NULL));
        check_record(r, json_object_get(v, "metadata"));
        json_decref(v);
        record_free(r);
    } else {
        struct buf out = BUF_INIT;

        must(e.code != NULL && e.message[0] != '\0');
        record_write_error(&partial, &e, &out);
        check_answer(&partial, &out, NULL);
        record_clear(&partial);
    }
    return 0;
}
