#include "worker/shard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lineset.h"
#include "worker/output.h"

struct shard *shard_create(const Skein__Grant *grant, uint32_t number,
                           const struct encode_rules *rules)
{
    struct shard *s = xcalloc(1, sizeof *s);

    assert(grant->input_hash.len == HASH_BYTES);
    s->token = *grant->token;
    s->number = number;
    s->rules = *rules;
    s->rules.bos = grant->spec->bos;
    s->rules.job_seed = grant->spec->seed;
    s->model = xstrdup(grant->spec->model);
    s->rules.job.model = s->model[0] != '\0' ? s->model : NULL;
    s->rules.job.lenient = grant->spec->lenient;
    s->rules.job.created_s = grant->spec->created_s;
    s->n_records = grant->n_records;
    s->cost = grant->cost;
    s->input_bytes = grant->input_bytes;
    memcpy(s->input_hash, grant->input_hash.data, HASH_BYTES);
    return s;
}

static void free_items(struct shard *s)
{
    for (uint32_t i = 0; s->item != NULL && i < s->n; i++)
        record_free(s->item[i].record);
    free(s->item);
    s->item = NULL;
    buf_free(&s->requests);
    buf_free(&s->answers);
}

void shard_free(struct shard *s)
{
    if (s == NULL)
        return;
    free_items(s);
    buf_free(&s->input);
    buf_free(&s->result);
    free(s->model);
    free(s);
}

uint64_t shard_id(const struct shard *s, const struct shard_item *item)
{
    return (uint64_t)s->number << 32 | (uint64_t)(item - s->item);
}

struct shard_item *shard_item(struct shard *s, uint64_t id)
{
    uint32_t i = (uint32_t)id;

    return id >> 32 == s->number && i < s->n ? &s->item[i] : NULL;
}

bool shard_complete(const struct shard *s)
{
    return s->n_answered == s->n;
}

static void keep_error(struct shard *s, struct shard_item *item,
                       const struct record *r, const struct record_error *e)
{
    item->is_error = true;
    item->answer_at = s->answers.len;
    record_write_error(r, e, &s->answers);
    item->answer_len = s->answers.len - item->answer_at;
    item->state = ITEM_ANSWERED;
    s->n_answered++;
}

/* Parse and encode one line; whatever is wrong with it becomes its answer. */
static void prepare_item(struct shard *s, struct shard_item *item,
                         const struct lineset_item *in,
                         struct encode_scratch *scratch)
{
    struct record partial = {.line = in->line};
    struct record_error e;

    item->line = in->line;
    item->record =
        record_parse(&s->rules.job, in->text, in->len, in->line, &partial, &e);
    if (item->record == NULL) {
        partial.line = in->line;
        keep_error(s, item, &partial, &e);
        record_clear(&partial);
        return;
    }
    item->request_at = s->requests.len;
    if (encode_record(&s->rules, item->record, shard_id(s, item), scratch,
                      &s->requests, &item->encoded, &e)
        < 0) {
        keep_error(s, item, item->record, &e);
        return;
    }
    item->request_len = (uint32_t)(s->requests.len - item->request_at);
}

static int unpack(struct shard *s, struct lineset *lines)
{
    uint8_t hash[HASH_BYTES];

    hash_bytes(s->input.data, s->input.len, hash);
    if (memcmp(hash, s->input_hash, HASH_BYTES) != 0)
        return err_set(&s->err, ERR_CORRUPT,
                       "the input does not have the hash of its grant");
    if (lineset_unpack(s->input.data, s->input.len, lines, &s->err) < 0)
        return -1;
    if (lines->n == s->n_records)
        return 0;
    err_set(&s->err, ERR_CORRUPT, "%u lines in the input, %u in its grant",
            lines->n, s->n_records);
    lineset_free(lines);
    return -1;
}

void shard_prepare(struct pool_job *job)
{
    struct shard *s = (struct shard *)job;
    struct encode_scratch *scratch;
    struct lineset lines = {0};

    s->after = SHARD_BROKEN;
    if (unpack(s, &lines) < 0)
        return;
    scratch = xcalloc(1, sizeof *scratch);
    buf_free(&s->input);
    s->n = lines.n;
    s->item = xcalloc(s->n > 0 ? s->n : 1, sizeof *s->item);
    for (uint32_t i = 0; i < s->n; i++)
        prepare_item(s, &s->item[i], &lines.item[i], scratch);
    encode_scratch_free(scratch);
    free(scratch);
    lineset_free(&lines);
    s->after = SHARD_COMPUTING;
}

void shard_assemble(struct pool_job *job)
{
    struct shard *s = (struct shard *)job;
    struct lineset_writer w;
    struct buf text = BUF_INIT;

    lineset_writer_init(&w);
    for (uint32_t i = 0; i < s->n; i++) {
        struct shard_item *item = &s->item[i];
        const char *payload = s->answers.data + item->answer_at;

        if (item->is_error) {
            lineset_add(&w, item->line, payload, item->answer_len, true);
            s->n_errors++;
            continue;
        }
        buf_clear(&text);
        output_write(&s->rules, item, s->requests.data + item->request_at,
                     payload, &text);
        lineset_add(&w, item->line, text.data, text.len, false);
    }
    lineset_pack(&w, &s->result);
    lineset_writer_free(&w);
    buf_free(&text);
    hash_bytes(s->result.data, s->result.len, s->result_hash);
    free_items(s);
    s->after = SHARD_DONE;
}

struct shard_item *shard_next(struct shard *s)
{
    for (; s->cursor < s->n; s->cursor++) {
        struct shard_item *item = &s->item[s->cursor];

        if (item->state == ITEM_WAITING && !item->suspect)
            return item;
    }
    return NULL;
}

void shard_given(struct shard *s, struct shard_item *item)
{
    assert(item->state == ITEM_WAITING);
    item->state = ITEM_GIVEN;
    s->n_given++;
}

void shard_lost(struct shard *s)
{
    for (uint32_t i = 0; i < s->n && s->n_given > 0; i++) {
        if (s->item[i].state != ITEM_GIVEN)
            continue;
        s->item[i].state = ITEM_WAITING;
        s->n_given--;
    }
    s->cursor = 0;
}

static void answered(struct shard *s, struct shard_item *item)
{
    if (item->state == ITEM_GIVEN)
        s->n_given--;
    s->n_answered++;
    item->state = ITEM_ANSWERED;
}

void shard_fail(struct shard *s, struct shard_item *item,
                const struct record_error *e)
{
    if (item->state == ITEM_ANSWERED)
        return;
    if (item->state == ITEM_GIVEN)
        s->n_given--;
    keep_error(s, item, item->record, e);
}

/* Does the payload hold as many branches as the request has? */
static bool fits(const struct shard *s, const struct shard_item *item,
                 const void *payload, size_t len)
{
    struct answer_view view;
    struct work w;
    size_t at = 0;

    if (work_read(s->requests.data + item->request_at, item->request_len, &w)
        < 0)
        return false;
    for (uint32_t i = 0; i < w.head.n_branch; i++) {
        if (answer_next_branch(payload, len, &at, w.head.top_logprobs, &view)
            < 0)
            return false;
    }
    return at == len;
}

/* Answers are read where they lie. */
static void align(struct buf *b)
{
    while (b->len % 8 != 0)
        buf_addc(b, '\0');
}

void shard_answer(struct shard *s, struct shard_item *item,
                  const struct answer_head *head, const void *payload)
{
    struct record_error e;

    if (item->state != ITEM_GIVEN)
        return;
    if (head->status == ANSWER_NON_FINITE) {
        record_error_set(&e, "non_finite", "",
                         "the model's output is not finite (infinity or NaN)");
        shard_fail(s, item, &e);
        return;
    }
    if (head->status != ANSWER_OK
        || !fits(s, item, payload, (size_t)head->payload_bytes))
        return;
    align(&s->answers);
    item->answer_at = s->answers.len;
    item->answer_len = (size_t)head->payload_bytes;
    buf_add(&s->answers, payload, item->answer_len);
    s->fed += head->fed;
    s->sampled += head->sampled;
    answered(s, item);
}
