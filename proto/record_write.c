#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"

/* Longest: -1.2345678901234567e-308 */
#define NUMBER_BYTES_MAX 32

void json_add_double(struct buf *out, double x)
{
    char text[NUMBER_BYTES_MAX], shorter[NUMBER_BYTES_MAX];

    assert(isfinite(x));
    /* Most doubles need 16 or 17 digits, and 17 always do: start between. */
    snprintf(text, sizeof text, "%.16g", x);
    if (strtod(text, NULL) != x) {
        snprintf(text, sizeof text, "%.17g", x);
    } else {
        snprintf(shorter, sizeof shorter, "%.15g", x);
        if (strtod(shorter, NULL) == x)
            memcpy(text, shorter, sizeof text);
    }
    buf_adds(out, text);
}

void json_add_float(struct buf *out, float x)
{
    char text[NUMBER_BYTES_MAX];

    assert(isfinite(x));
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    buf_adds(out, text);
}

/* What to write instead of `c`, or NULL when it stands for itself. */
static const char *escape(unsigned char c, char room[8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7F)
            return NULL;
        snprintf(room, 8, "\\u%04x", c);
        return room;
    }
}

void json_add_string(struct buf *out, const char *s, size_t len)
{
    size_t plain = 0; /* start of what was not copied yet */

    buf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        char room[8];
        const char *instead = escape((unsigned char)s[i], room);

        if (instead == NULL)
            continue;
        buf_add(out, s + plain, i - plain);
        buf_adds(out, instead);
        plain = i + 1;
    }
    if (len > plain) /* `s` may be NULL otherwise */
        buf_add(out, s + plain, len - plain);
    buf_addc(out, '"');
}

static void add_id(const struct record *r, struct buf *out)
{
    buf_adds(out, "{\"id\":");
    switch (r->id_kind) {
    case RECORD_ID_STRING:
        json_add_string(out, r->id, r->id_len);
        break;
    case RECORD_ID_INT:
        buf_addf(out, "%lld", (long long)r->id_int);
        break;
    case RECORD_ID_LINE:
        buf_addf(out, "%llu", (unsigned long long)r->line);
        break;
    }
}

static void add_logprob(const struct token_logprob *t, struct buf *out)
{
    buf_addf(out, "[%d,", t->id);
    json_add_float(out, t->logprob);
    buf_addc(out, ']');
}

void record_add_detail(const struct record *r, const struct record_detail *d,
                       struct buf *out)
{
    size_t step;

    if (!r->token_logprobs)
        return;
    step = (size_t)d->k + 1;
    buf_adds(out, ",\"token_ids\":[");
    for (size_t i = 0; i < d->n; i++)
        buf_addf(out, i == 0 ? "%d" : ",%d", d->at[i * step].id);
    buf_adds(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            buf_addc(out, ',');
        json_add_float(out, d->at[i * step].logprob);
    }
    buf_addc(out, ']');
    if (r->top_logprobs == 0)
        return;
    buf_adds(out, ",\"top_logprobs\":[");
    for (size_t i = 0; i < d->n; i++) {
        buf_adds(out, i == 0 ? "[" : ",[");
        for (uint32_t k = 1; k <= d->k; k++) {
            if (k > 1)
                buf_addc(out, ',');
            add_logprob(&d->at[i * step + k], out);
        }
        buf_addc(out, ']');
    }
    buf_addc(out, ']');
}

static void add_end(const struct record *r, struct buf *out)
{
    if (r->metadata != NULL) {
        buf_adds(out, ",\"metadata\":");
        buf_adds(out, r->metadata);
    }
    buf_addc(out, '}');
}

void record_write_score(const struct record *r, double logprob, bool greedy,
                        size_t tokens, const struct record_detail *detail,
                        struct buf *out)
{
    add_id(r, out);
    buf_adds(out, ",\"logprob\":");
    json_add_double(out, logprob);
    buf_addf(out, ",\"greedy\":%s,\"tokens\":%zu", greedy ? "true" : "false",
             tokens);
    record_add_detail(r, detail, out);
    add_end(r, out);
}

/* One object for each choice. */
static void add_choice_details(const struct record *r,
                               const struct record_detail *detail,
                               struct buf *out)
{
    struct buf one = BUF_INIT;

    if (!r->token_logprobs)
        return;
    for (size_t i = 0; i < r->n_target; i++) {
        buf_clear(&one);
        record_add_detail(r, &detail[i], &one);
        buf_adds(out, i == 0 ? ",\"details\":[{" : ",{");
        buf_add(out, one.data + 1, one.len - 1); /* less its comma */
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
    buf_free(&one);
}

void record_write_choice(const struct record *r, const double *logprob,
                         const struct record_detail *detail, struct buf *out)
{
    size_t best = 0;

    assert(r->n_target > 0);
    add_id(r, out);
    for (size_t i = 0; i < r->n_target; i++) {
        buf_adds(out, i == 0 ? ",\"logprobs\":[" : ",");
        json_add_double(out, logprob[i]);
        if (logprob[i] > logprob[best])
            best = i;
    }
    buf_addf(out, "],\"choice\":%zu", best);
    if (r->gold >= 0)
        buf_addf(out, ",\"correct\":%s",
                 best == (size_t)r->gold ? "true" : "false");
    add_choice_details(r, detail, out);
    add_end(r, out);
}

void record_write_rolling(const struct record *r, double logprob, size_t tokens,
                          size_t bytes, size_t words, bool first_unscored,
                          const struct record_detail *detail, struct buf *out)
{
    add_id(r, out);
    buf_adds(out, ",\"logprob\":");
    json_add_double(out, logprob);
    buf_addf(out, ",\"tokens\":%zu,\"bytes\":%zu,\"words\":%zu", tokens, bytes,
             words);
    if (first_unscored)
        buf_adds(out, ",\"first_unscored\":true");
    record_add_detail(r, detail, out);
    add_end(r, out);
}

void record_write_generate(const struct record *r, const char *text, size_t len,
                           const char *finish_reason, size_t tokens,
                           const struct record_detail *detail, struct buf *out)
{
    add_id(r, out);
    buf_adds(out, ",\"text\":");
    json_add_string(out, text, len);
    buf_adds(out, ",\"finish_reason\":");
    json_add_string(out, finish_reason, strlen(finish_reason));
    buf_addf(out, ",\"tokens\":%zu", tokens);
    record_add_detail(r, detail, out);
    add_end(r, out);
}

static void write_native_error(const struct record *r,
                               const struct record_error *e, struct buf *out)
{
    add_id(r, out);
    buf_addf(out, ",\"line\":%llu,\"error\":{\"code\":",
             (unsigned long long)r->line);
    json_add_string(out, e->code, strlen(e->code));
    buf_adds(out, ",\"message\":");
    json_add_string(out, e->message, strlen(e->message));
    if (e->field[0] != '\0') {
        buf_adds(out, ",\"field\":");
        json_add_string(out, e->field, strlen(e->field));
    }
    buf_adds(out, "}}");
}

void record_write_error(const struct record *r, const struct record_error *e,
                        struct buf *out)
{
    if (r->form == RECORD_OPENAI)
        openai_write_error(r, e, out);
    else
        write_native_error(r, e, out);
}
