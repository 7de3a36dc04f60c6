#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/decoder.h"
#include "text/template.h"
#include "text/utf8.h"
#include "worker/output.h"

#define END_TEXT "<|endoftext|>" /* token 0, which has no bytes */
#define FINGERPRINT_BYTES 8      /* of system_fingerprint */

/* ---- tokens as text ---- */

static const char *token_bytes(const struct output *o, int32_t id, size_t *len)
{
    const char *bytes = tokenizer_bytes(o->rules->tokenizer, id, len);

    if (bytes == NULL)
        *len = 0;
    return bytes;
}

/* What stands for the token in "tokens" and as a key of "top_logprobs". A token
 * that is a part of a character is U+FFFD.
 */
static void add_token_text(const struct output *o, int32_t id, struct buf *out)
{
    const char *bytes;
    size_t len;

    if (o->record->tokens_as_ids) {
        buf_addf(out, "token_id:%" PRId32, id);
        return;
    }
    bytes = token_bytes(o, id, &len);
    if (len > 0)
        utf8_repair(bytes, len, out);
    else if (id == TOKENIZER_END)
        buf_adds(out, END_TEXT);
}

static void add_token(const struct output *o, int32_t id, struct buf *out)
{
    struct buf text = BUF_INIT;

    add_token_text(o, id, &text);
    json_add_string(out, text.data, text.len);
    buf_free(&text);
}

/* Characters of valid UTF-8. */
static size_t count_chars(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

/* ---- the tokens of a choice ---- */

/* A choice's tokens: those of the prompt when it is echoed, then the generated
 * ones. at[i] is where log-probabilities of token i are; NULL: it has none.
 */
struct told {
    int32_t *id;
    const struct token_logprob **at;
    size_t n;
};

/* The prompt of branch `b`. */
static const int32_t *prompt_tokens(const struct work *w, uint32_t b, size_t *n)
{
    const int32_t *at = w->token;

    *n = w->head.n_prefix + (size_t)w->branch_len[b];
    if (w->head.n_prefix > 0)
        return at; /* all branches begin with the prompt's last token */
    for (uint32_t i = 0; i < b; i++)
        at += w->branch_len[i];
    return at;
}

static void told_make(const struct output *o, uint32_t b, struct told *t)
{
    const struct record_detail *d = &o->view[b].detail;
    size_t n_prompt, step = (size_t)d->k + 1, from = 0;
    const int32_t *prompt = prompt_tokens(&o->work, b, &n_prompt);

    t->id = xcalloc(n_prompt + d->n, sizeof *t->id);
    t->at = xcalloc(n_prompt + d->n, sizeof *t->at);
    t->n = 0;
    if (o->record->echo) {
        t->id[t->n++] = prompt[0]; /* nothing predicts it */
        from = n_prompt - 1;
        for (size_t i = 0; i < from; i++, t->n++) {
            t->id[t->n] = prompt[i + 1];
            t->at[t->n] = &d->at[i * step];
        }
    }
    for (size_t i = from; i < d->n; i++, t->n++) {
        t->id[t->n] = d->at[i * step].id;
        t->at[t->n] = &d->at[i * step];
    }
}

static void told_free(struct told *t)
{
    free(t->id);
    free(t->at);
}

/* ---- logprobs of a completion ---- */

/* One key of a "top_logprobs" object, unless an earlier one has the same text:
 * then the likelier token stays. `seen` has the keys so far, each behind a
 * newline, which no key contains.
 */
static void add_top(const struct output *o, const struct token_logprob *t,
                    struct buf *seen, struct buf *out)
{
    struct buf key = BUF_INIT;

    buf_addc(&key, '\n');
    add_token(o, t->id, &key);
    buf_addc(&key, ':');
    if (seen->len == 0
        || memmem(seen->data, seen->len, key.data, key.len) == NULL) {
        buf_addc(out, seen->len == 0 ? '{' : ',');
        buf_add(out, key.data + 1, key.len - 1);
        json_add_float(out, t->logprob);
        buf_add(seen, key.data, key.len);
    }
    buf_free(&key);
}

/* The likeliest tokens, and the token itself if it is none of them. */
static void add_tops(const struct output *o, const struct token_logprob *at,
                     struct buf *out)
{
    const uint32_t k = o->work.head.top_logprobs;
    struct buf seen = BUF_INIT;

    for (uint32_t i = 1; i <= k; i++)
        add_top(o, &at[i], &seen, out);
    add_top(o, &at[0], &seen, out);
    buf_addc(out, '}');
    buf_free(&seen);
}

/* Characters of the text before each token; a token that begins within one is
 * where that one is.
 */
static void add_offsets(const struct output *o, const struct told *t,
                        struct buf *out)
{
    struct decoder *d = decoder_create(NULL, NULL, 0);
    size_t chars = 0, counted = 0, len;

    for (size_t i = 0; i < t->n; i++) {
        const char *bytes = token_bytes(o, t->id[i], &len);

        buf_addf(out, i == 0 ? "%zu" : ",%zu", chars);
        if (len > 0)
            decoder_feed(d, bytes, len);
        bytes = decoder_text(d, &len);
        chars += count_chars(bytes + counted, len - counted);
        counted = len;
    }
    decoder_destroy(d);
}

static void add_logprobs(const struct output *o, uint32_t b, struct buf *out)
{
    struct told t;

    told_make(o, b, &t);
    buf_adds(out, "{\"tokens\":[");
    for (size_t i = 0; i < t.n; i++) {
        buf_adds(out, i == 0 ? "" : ",");
        add_token(o, t.id[i], out);
    }
    buf_adds(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < t.n; i++) {
        buf_adds(out, i == 0 ? "" : ",");
        if (t.at[i] != NULL)
            json_add_float(out, t.at[i]->logprob);
        else
            buf_adds(out, "null");
    }
    buf_adds(out, "],\"top_logprobs\":[");
    for (size_t i = 0; i < t.n; i++) {
        buf_adds(out, i == 0 ? "" : ",");
        if (t.at[i] != NULL)
            add_tops(o, t.at[i], out);
        else
            buf_adds(out, "null");
    }
    buf_adds(out, "],\"text_offset\":[");
    add_offsets(o, &t, out);
    buf_adds(out, "]}");
    told_free(&t);
}

/* ---- logprobs of a chat ---- */

static void add_chat_token(const struct output *o,
                           const struct token_logprob *t, struct buf *out)
{
    size_t len;
    const char *bytes = token_bytes(o, t->id, &len);

    buf_adds(out, "{\"token\":");
    add_token(o, t->id, out);
    buf_adds(out, ",\"logprob\":");
    json_add_float(out, t->logprob);
    buf_adds(out, ",\"bytes\":");
    if (len == 0)
        buf_adds(out, "null");
    for (size_t i = 0; i < len; i++)
        buf_addf(out, i == 0 ? "[%u" : ",%u", (unsigned char)bytes[i]);
    if (len > 0)
        buf_addc(out, ']');
}

static void add_chat_logprobs(const struct output *o, uint32_t b,
                              struct buf *out)
{
    const struct record_detail *d = &o->view[b].detail;
    const size_t step = (size_t)d->k + 1;

    buf_adds(out, "{\"content\":[");
    for (size_t i = 0; i < d->n; i++) {
        buf_adds(out, i == 0 ? "" : ",");
        add_chat_token(o, &d->at[i * step], out);
        buf_adds(out, ",\"top_logprobs\":[");
        for (uint32_t k = 1; k <= d->k; k++) {
            buf_adds(out, k == 1 ? "" : ",");
            add_chat_token(o, &d->at[i * step + k], out);
            buf_addc(out, '}');
        }
        buf_adds(out, "]}");
    }
    buf_adds(out, "],\"refusal\":null}");
}

/* ---- bodies ---- */

static void add_usage(size_t prompt, size_t completion, struct buf *out)
{
    buf_addf(out,
             ",\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
             "\"total_tokens\":%zu}}",
             prompt, completion, prompt + completion);
}

static void add_fingerprint(const struct output *o, struct buf *out)
{
    char hex[2 * FINGERPRINT_BYTES + 1];

    if (o->rules->job.fingerprint == NULL)
        return;
    hash_hex(o->rules->job.fingerprint, FINGERPRINT_BYTES, hex);
    buf_addf(out, ",\"system_fingerprint\":\"fp_%s\"", hex);
}

/* Spaces before the answer proper. */
static size_t chat_lead(const struct output *o, const struct answer_view *v)
{
    const size_t most = template_of(o->rules->tokenizer)->lead;
    size_t n = 0;

    while (n < most && n < v->branch.text_bytes && v->text[n] == ' ')
        n++;
    return n;
}

/* The text of choice `b`, the prompt first when it is echoed. */
static void add_text(const struct output *o, uint32_t b, struct buf *out)
{
    const struct answer_view *v = &o->view[b];
    const struct record *r = o->record;
    struct buf text = BUF_INIT, bytes = BUF_INIT;
    size_t lead = r->n_message > 0 ? chat_lead(o, v) : 0;

    if (r->echo) {
        const struct record_text *prompt = &r->prompt[b / r->n];

        if (prompt->is_ids)
            tokenizer_decode(o->rules->tokenizer, prompt->id, prompt->n,
                             &bytes);
        else
            buf_add(&bytes, prompt->text, prompt->len);
        if (bytes.len > 0)
            utf8_repair(bytes.data, bytes.len, &text);
    }
    buf_add(&text, v->text + lead, v->branch.text_bytes - lead);
    json_add_string(out, text.data, text.len);
    buf_free(&bytes);
    buf_free(&text);
}

static void add_choice(const struct output *o, uint32_t b, struct buf *out)
{
    const struct answer_branch *branch = &o->view[b].branch;
    const bool chat = o->record->n_message > 0;

    buf_addf(out, b == 0 ? "{\"index\":%u" : ",{\"index\":%u", b);
    if (chat) {
        buf_adds(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
        add_text(o, b, out);
        buf_adds(out, ",\"refusal\":null}");
    } else {
        buf_adds(out, ",\"text\":");
        add_text(o, b, out);
    }
    buf_addf(out,
             ",\"finish_reason\":\"%s\",\"logprobs\":", output_finish(branch));
    if (!o->record->token_logprobs)
        buf_adds(out, "null");
    else if (chat)
        add_chat_logprobs(o, b, out);
    else
        add_logprobs(o, b, out);
    buf_addc(out, '}');
}

static void add_generated(const struct output *o, struct buf *out)
{
    const struct record *r = o->record;
    const bool chat = r->n_message > 0;
    size_t prompt = 0, completion = 0, n;

    buf_adds(out, "{\"id\":");
    openai_add_id(r, chat ? "chatcmpl-" : "cmpl-", out);
    buf_addf(out, ",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":",
             chat ? "chat.completion" : "text_completion",
             o->rules->job.created_s);
    json_add_string(out, r->model, strlen(r->model));
    add_fingerprint(o, out);
    buf_adds(out, ",\"choices\":[");
    for (uint32_t b = 0; b < o->work.head.n_branch; b++) {
        const struct answer_branch *branch = &o->view[b].branch;

        add_choice(o, b, out);
        completion += branch->sampled + branch->ended;
        prompt_tokens(&o->work, b, &n);
        prompt += b % r->n == 0 ? n : 0; /* n samples share one */
    }
    buf_addc(out, ']');
    add_usage(prompt, completion, out);
}

static void add_loglikelihood(const struct output *o, struct buf *out)
{
    const struct record *r = o->record;
    size_t fed = o->work.head.n_prefix + 1;

    buf_adds(out, "{\"object\":\"loglikelihood\",\"choices\":[");
    for (uint32_t i = 0; i < o->work.head.n_branch; i++) {
        const struct answer_view *v = &o->view[i];
        const struct record_text *t = &r->target[i];
        size_t tokens = (size_t)o->work.branch_len[i] - 1;

        fed += tokens;
        buf_addf(out, i == 0 ? "{\"index\":%u" : ",{\"index\":%u", i);
        buf_adds(out, ",\"logprob\":");
        json_add_double(out, v->branch.logprob);
        buf_addf(out,
                 ",\"is_greedy\":%s,\"tokens\":%zu,\"chars\":%zu,"
                 "\"bytes\":%zu",
                 v->branch.greedy ? "true" : "false", tokens,
                 t->is_ids ? 0 : count_chars(t->text, t->len), output_bytes(t));
        record_add_detail(r, &v->detail, out);
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
    add_usage(fed, 0, out);
}

static void add_rolling(const struct output *o, struct buf *out)
{
    const struct record_text *text = &o->record->context;

    buf_adds(out, "{\"object\":\"loglikelihood_rolling\",\"logprob\":");
    json_add_double(out, o->view->branch.logprob);
    buf_addf(out, ",\"tokens\":%u,\"words\":%zu,\"bytes\":%zu",
             o->item->encoded.n_scored, output_words(text), output_bytes(text));
    if (o->item->encoded.first_unscored)
        buf_adds(out, ",\"first_unscored\":true");
    record_add_detail(o->record, &o->view->detail, out);
    add_usage((size_t)o->work.branch_len[0], 0, out);
}

void output_openai(const struct output *o, struct buf *out)
{
    openai_begin(o->record, out);
    if (o->record->kind == RECORD_GENERATE)
        add_generated(o, out);
    else if (o->record->kind == RECORD_ROLLING)
        add_rolling(o, out);
    else
        add_loglikelihood(o, out);
    openai_end(o->record, out);
}
