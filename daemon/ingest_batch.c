#include "daemon/ingest_batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"

/* About four bytes of text are a token. The estimate orders work and feeds
 * progress; nothing depends on its being right. */
#define BYTES_PER_TOKEN 4

struct batch *batch_create(struct ingest *ingest)
{
    struct batch *b = xcalloc(1, sizeof *b);

    b->ingest = ingest;
    return b;
}

void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    buf_free(&b->text);
    buf_free(&b->errors);
    warnings_clear(&b->warnings);
    free(b->item);
    free(b);
}

static uint64_t text_cost(const struct record_text *t)
{
    return t->is_ids ? t->n : t->len / BYTES_PER_TOKEN + 1;
}

static uint64_t record_cost(const struct record *r)
{
    uint64_t cost = 0;

    if (r->kind != RECORD_GENERATE) {
        cost += text_cost(&r->context);
        for (size_t i = 0; i < r->n_target; i++)
            cost += text_cost(&r->target[i]);
        return cost;
    }
    for (size_t i = 0; i < r->n_prompt; i++)
        cost += text_cost(&r->prompt[i]);
    for (size_t i = 0; i < r->n_message; i++)
        cost += text_cost(&r->message[i].content);
    return cost + record_samples(r) * (uint64_t)r->max_tokens;
}

/* A shard is bounded by its lines, which bounds its answers, but for those that
 * tell each token: about 25 bytes for every number, here in units of the plain
 * answer's few bytes for each byte of its line.
 */
static uint64_t record_weight(const struct record *r, size_t len, uint64_t cost)
{
    if (!r->token_logprobs)
        return len;
    return len + cost * BYTES_PER_TOKEN * (uint64_t)(r->top_logprobs + 2);
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
            return false;
    }
    return true;
}

static struct batch_item *add_item(struct batch *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? 256 : 2 * b->cap;
        b->item = xrealloc(b->item, b->cap * sizeof *b->item);
    }
    b->item[b->n] = (struct batch_item){0};
    return &b->item[b->n++];
}

static void reject(struct batch *b, struct batch_item *item,
                   struct record *partial, const struct record_error *e)
{
    if (!partial->form_known)
        partial->form = b->form;
    item->rejected = true;
    item->start = (uint32_t)b->errors.len;
    record_write_error(partial, e, &b->errors);
    item->len = (uint32_t)(b->errors.len - item->start);
}

/* The line at `at`, less its end; returns where the next one begins. */
static size_t next_line(const struct batch *b, size_t at, size_t *len)
{
    const char *s = b->text.data + at;
    const char *end = memchr(s, '\n', b->text.len - at);
    size_t n = end == NULL ? b->text.len - at : (size_t)(end - s);

    *len = n > 0 && s[n - 1] == '\r' ? n - 1 : n;
    return at + n + 1;
}

/* The first lines are not readable: look for one that is, once. */
static void guess_form(struct batch *b, const struct record_job *job, size_t at)
{
    b->form_known = true;
    for (size_t len, next; at < b->text.len; at = next) {
        struct record partial = {0};
        struct record_error e;
        struct record *r;
        bool known;

        next = next_line(b, at, &len);
        r = record_parse(job, b->text.data + at, len, 1, &partial, &e);
        known = r != NULL || partial.form_known;
        if (known)
            b->form = r != NULL ? r->form : partial.form;
        record_free(r);
        record_clear(&partial);
        if (known)
            return;
    }
}

static void validate_line(struct batch *b, const struct record_job *job,
                          const uint8_t key[16], size_t start, size_t len,
                          uint64_t line)
{
    struct batch_item *item = add_item(b);
    struct record partial = {0};
    struct record_error e;
    struct record *r =
        record_parse(job, b->text.data + start, len, line, &partial, &e);

    if (r != NULL || partial.form_known) {
        b->form = r != NULL ? r->form : partial.form;
        b->form_known = true;
    } else if (!b->form_known) {
        guess_form(b, job, start + len);
    }
    item->line = line;
    if (r == NULL) {
        reject(b, item, &partial, &e);
        record_clear(&partial);
        return;
    }
    item->start = (uint32_t)start;
    item->len = (uint32_t)len;
    item->generates = r->kind == RECORD_GENERATE;
    item->kind = (uint8_t)(r->kind + 1);
    item->cost = record_cost(r);
    item->weight = record_weight(r, len, item->cost);
    if (r->n_warnings > 0)
        warnings_add(&b->warnings, line, r->n_warnings, r->warning);
    record_id_hash(r, key, item->id_hash);
    record_free(r);
}

void batch_validate(struct batch *b, const struct record_job *job,
                    const uint8_t key[16])
{
    uint64_t line = b->first_line;
    size_t at = 0;

    if (line == 1 && b->text.len >= 3
        && memcmp(b->text.data, "\xEF\xBB\xBF", 3) == 0)
        at = 3;
    for (; at < b->text.len; line++) {
        size_t len;
        size_t next = next_line(b, at, &len);

        if (!is_blank(b->text.data + at, len))
            validate_line(b, job, key, at, len, line);
        at = next;
    }
}

uint64_t duplicate_error(const char *text, size_t len,
                         const struct idset_duplicate *d, struct buf *out)
{
    const struct record_job any = {.lenient = true};
    struct record_error e;
    struct record *r = record_parse(&any, text, len, d->line, NULL, &e);
    uint64_t cost;

    assert(r != NULL); /* it was valid when it was submitted */
    record_error_set(
        &e, "duplicate_id", r->form == RECORD_OPENAI ? "custom_id" : "id",
        "this id was given on line %" PRIu64 " already", d->first_line);
    record_write_error(r, &e, out);
    cost = record_cost(r);
    record_free(r);
    return cost;
}
