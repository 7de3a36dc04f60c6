#include "worker/encode.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"
#include "worker/work.h"

#define TOKENS_MAX \
    (64 << 20) /* of a record, choices counted with their copy
                               * of the context's last token: 256 MiB of ids */

/* Name of a text in the record, as the user wrote it: "context_ids[3]". */
struct place {
    const char *name; /* "context" */
    bool is_ids;
    bool native; /* token ids have a key of their own */
    int64_t nth; /* >= 0: which of the choices */
};

static void place_name(const struct place *p, int64_t at, char *out,
                       size_t size)
{
    int n = snprintf(out, size, "%s%s", p->name,
                     p->is_ids && p->native ? "_ids" : "");

    if (p->nth >= 0 && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, "[%" PRId64 "]", p->nth);
    if (p->is_ids && at >= 0 && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, "[%" PRId64 "]", at);
}

static int check_ids(const struct encode_rules *rules, const struct place *p,
                     const int32_t *id, size_t n, struct record_error *why)
{
    for (size_t i = 0; i < n; i++) {
        char name[sizeof why->field];

        if (id[i] >= 0 && id[i] < rules->vocab)
            continue;
        place_name(p, (int64_t)i, name, sizeof name);
        return record_error_set(
            why, "token_out_of_range", name,
            "token %" PRId32 "%s; the model has tokens 0 to %" PRId32, id[i],
            p->is_ids ? "" : " of the tokenizer", rules->vocab - 1);
    }
    return 0;
}

static int no_tokenizer(const char *field, struct record_error *why)
{
    return record_error_set(why, "no_tokenizer", field,
                            "this worker has no tokenizer for the model: give"
                            " token ids (no generation), or start it with"
                            " --tokenizer");
}

/* Append the ids of a text. */
static int add_text(const struct encode_rules *rules, const struct place *p,
                    const struct record_text *text, struct ids *out,
                    struct record_error *why)
{
    size_t before = out->n;
    struct err err = {0};

    if (text->is_ids) {
        ids_append(out, text->id, text->n);
    } else if (rules->tokenizer == NULL) {
        return no_tokenizer(p->name, why);
    } else if (tokenizer_encode(rules->tokenizer, text->text, text->len, out,
                                &err)
               < 0) {
        return record_error_set(why, "invalid_value", p->name, "%s", err.text);
    }
    return check_ids(rules, p, out->id + before, out->n - before, why);
}

/* Does the start token come before a text of n tokens? */
static bool wants_start(Skein__Bos bos, const struct record *r,
                        const struct record_text *text, size_t n)
{
    if (text->is_ids || bos == SKEIN__BOS__BOS_NEVER)
        return false;
    return bos == SKEIN__BOS__BOS_ALWAYS || r->kind == RECORD_ROLLING || n == 0;
}

/* Append a context, text or prompt with its start token. */
static int add_start(const struct encode_rules *rules, const struct record *r,
                     const struct place *place, const struct record_text *text,
                     struct ids *out, struct record_error *why)
{
    size_t before = out->n;

    ids_add(out, TOKENIZER_END);
    if (add_text(rules, place, text, out, why) < 0)
        return -1;
    if (!wants_start(rules->bos, r, text, out->n - before - 1)) {
        out->n--;
        memmove(out->id + before, out->id + before + 1,
                (out->n - before) * sizeof *out->id);
    }
    if (out->n > before || r->kind == RECORD_ROLLING)
        return 0;
    return record_error_set(why, "nothing_to_condition_on", place->name,
                            "the %s is empty%s, so there is nothing to"
                            " predict the first token from",
                            place->name,
                            place->is_ids ? "" : " and no start token is used");
}

/* The context's last token and a target, as one branch. */
static int add_branch(const struct encode_rules *rules, const struct record *r,
                      size_t i, struct encode_scratch *s,
                      struct record_error *why)
{
    const struct record_text *target = &r->target[i];
    const bool native = r->form == RECORD_NATIVE;
    const struct place place = {r->kind == RECORD_SCORE ? "target"
                                : native                ? "choices"
                                                        : "continuations",
                                target->is_ids, native,
                                r->kind == RECORD_CHOICE ? (int64_t)i : -1};
    size_t before = s->token.n;

    ids_add(&s->token, s->context.id[s->context.n - 1]);
    if (add_text(rules, &place, target, &s->token, why) < 0)
        return -1;
    s->len[i] = (int32_t)(s->token.n - before);
    return 0;
}

/* A context and its targets, or a rolling text. */
static int encode_scored(const struct encode_rules *rules,
                         const struct record *r, struct encode_scratch *s,
                         struct work_head *head, struct record_error *why)
{
    const struct place place = {r->kind == RECORD_ROLLING ? "text" : "context",
                                r->context.is_ids, r->form == RECORD_NATIVE,
                                -1};

    ids_clear(&s->context);
    if (add_start(rules, r, &place, &r->context, &s->context, why) < 0)
        return -1;
    head->scored = 1;
    head->n_branch = 1;
    if (r->kind == RECORD_ROLLING) {
        ids_append(&s->token, s->context.id, s->context.n);
        s->len[0] = (int32_t)s->context.n;
        return 0;
    }
    head->n_prefix = (uint32_t)s->context.n - 1;
    ids_append(&s->token, s->context.id, head->n_prefix);
    head->n_branch = (uint32_t)r->n_target;
    for (size_t i = 0; i < r->n_target; i++) {
        if (add_branch(rules, r, i, s, why) < 0)
            return -1;
    }
    return 0;
}

/* Each prompt n times, as branches of their own. */
static int encode_prompts(const struct encode_rules *rules,
                          const struct record *r, struct encode_scratch *s,
                          struct record_error *why)
{
    for (size_t i = 0; i < r->n_prompt; i++) {
        const struct place place = {"prompt", r->prompt[i].is_ids,
                                    r->form == RECORD_NATIVE,
                                    r->n_prompt > 1 ? (int64_t)i : -1};

        ids_clear(&s->context);
        if (add_start(rules, r, &place, &r->prompt[i], &s->context, why) < 0)
            return -1;
        for (uint32_t k = 0; k < r->n; k++) {
            ids_append(&s->token, s->context.id, s->context.n);
            s->len[i * r->n + k] = (int32_t)s->context.n;
        }
    }
    return 0;
}

/* One prompt that its n samples share. */
static int encode_shared(const struct encode_rules *rules,
                         const struct record *r,
                         const struct record_text *prompt, const char *name,
                         struct encode_scratch *s, struct work_head *head,
                         struct record_error *why)
{
    const struct place place = {name, prompt->is_ids, r->form == RECORD_NATIVE,
                                -1};

    if (add_start(rules, r, &place, prompt, &s->token, why) < 0)
        return -1;
    head->n_prefix = (uint32_t)s->token.n - 1;
    s->len[0] = 1;
    for (uint32_t k = 1; k < r->n; k++) {
        ids_add(&s->token, s->token.id[head->n_prefix]);
        s->len[k] = 1;
    }
    return 0;
}

/* Where the parser allows what the backend cannot hold in fp32. */
static float to_float(double x)
{
    if (x > (double)FLT_MAX)
        return FLT_MAX;
    return x > 0 && x < (double)FLT_MIN ? FLT_MIN : (float)x;
}

_Static_assert(RECORD_BIAS_MAX <= BACKEND_BIAS_MAX, "a bias must fit");

static int add_bias(const struct encode_rules *rules, const struct record *r,
                    struct encode_scratch *s, struct work_head *head,
                    struct record_error *why)
{
    for (size_t i = 0; i < r->n_bias; i++) {
        const struct record_bias *b = &r->bias[i];
        const struct logit_bias to = {b->token, (float)b->bias};

        if (b->token >= rules->vocab)
            return record_error_set(why, "token_out_of_range", "logit_bias",
                                    "token %" PRId32
                                    "; the model has tokens 0 to %" PRId32,
                                    b->token, rules->vocab - 1);
        buf_add(&s->bias, &to, sizeof to);
    }
    head->n_bias = (uint32_t)r->n_bias;
    return 0;
}

static void add_stop(const char *text, size_t len, struct encode_scratch *s,
                     struct work_head *head)
{
    uint32_t bytes = (uint32_t)len;

    buf_add(&s->stop, &bytes, sizeof bytes);
    buf_add(&s->stop, text, len);
    head->n_stop++;
    head->stop_bytes = (uint32_t)s->stop.len;
}

/* Messages, as the prompt that the model's template makes of them. */
static int encode_chat(const struct encode_rules *rules, const struct record *r,
                       struct encode_scratch *s, struct work_head *head,
                       struct record_error *why)
{
    const struct chat_template *t = template_of(rules->tokenizer);
    struct chat_message *m;
    struct buf text = BUF_INIT;
    struct record_text prompt;
    size_t known;
    int rc = -1;

    if (t == NULL)
        return record_error_set(why, "no_template", "messages",
                                "there is no chat template for models with a"
                                " tokenizer of the family %s",
                                tokenizer_family(rules->tokenizer));
    m = xcalloc(r->n_message, sizeof *m);
    for (size_t i = 0; i < r->n_message; i++)
        m[i] = (struct chat_message){r->message[i].role,
                                     r->message[i].content.text,
                                     r->message[i].content.len};
    known = template_render(t, m, r->n_message, &text);
    if (known < r->n_message) {
        record_error_set(why, "invalid_value", "messages",
                         "\"messages\"[%zu]: the chat template \"%s\" has no"
                         " role \"%s\"",
                         known, t->name, m[known].role);
    } else {
        add_stop(t->stop, strlen(t->stop), s, head);
        prompt = (struct record_text){.text = text.data, .len = text.len};
        rc = encode_shared(rules, r, &prompt, "messages", s, head, why);
    }
    buf_free(&text);
    free(m);
    return rc;
}

static int encode_generated(const struct encode_rules *rules,
                            const struct record *r, struct encode_scratch *s,
                            struct work_head *head, struct record_error *why)
{
    if (rules->tokenizer == NULL)
        return no_tokenizer("prompt", why); /* nor text to answer with */
    for (size_t i = 0; i < r->n_stop; i++)
        add_stop(r->stop[i].text, r->stop[i].len, s, head);
    head->n_branch = (uint32_t)record_samples(r);
    head->max_tokens = r->max_tokens;
    head->temperature = to_float(r->temperature);
    head->top_p = to_float(r->top_p);
    head->top_k = r->top_k;
    head->min_p = to_float(r->min_p);
    head->presence_penalty = (float)r->presence_penalty;
    head->frequency_penalty = (float)r->frequency_penalty;
    head->repetition_penalty = to_float(r->repetition_penalty);
    head->key = record_stream_key(r, rules->job_seed);
    head->scored = r->echo && r->token_logprobs;
    if (add_bias(rules, r, s, head, why) < 0)
        return -1;
    if (r->n_message > 0)
        return encode_chat(rules, r, s, head, why);
    if (r->n_prompt > 1 || head->scored || head->max_tokens == 0)
        return encode_prompts(rules, r, s, why);
    return encode_shared(rules, r, r->prompt, "prompt", s, head, why);
}

void encode_scratch_free(struct encode_scratch *s)
{
    ids_free(&s->context);
    ids_free(&s->token);
    buf_free(&s->stop);
    buf_free(&s->bias);
}

static int check_size(const struct work_head *head,
                      const struct encode_scratch *s, const struct encoded *e,
                      struct record_error *why)
{
    if (s->token.n > TOKENS_MAX)
        return record_error_set(why, "too_large", "",
                                "%zu tokens; a record may have %d", s->token.n,
                                TOKENS_MAX);
    if (head->detail && e->cost * (1 + head->top_logprobs) > ENCODE_DETAIL_MAX)
        return record_error_set(why, "too_large", "",
                                "log-probabilities of %" PRIu64 " tokens and"
                                " %" PRIu32 " alternatives each; %u in all are"
                                " allowed",
                                e->cost, head->top_logprobs, ENCODE_DETAIL_MAX);
    return 0;
}

int encode_record(const struct encode_rules *rules, const struct record *r,
                  uint64_t id, struct encode_scratch *s, struct buf *out,
                  struct encoded *e, struct record_error *why)
{
    struct work_head head = {.kind = WORK_RECORD, .id = id};
    int rc;

    *e = (struct encoded){0};
    ids_clear(&s->token);
    buf_clear(&s->stop);
    buf_clear(&s->bias);
    head.detail = r->token_logprobs;
    head.top_logprobs = (uint32_t)r->top_logprobs;
    if (head.top_logprobs > (uint32_t)rules->vocab)
        head.top_logprobs = (uint32_t)rules->vocab;
    if (r->kind == RECORD_GENERATE)
        rc = encode_generated(rules, r, s, &head, why);
    else
        rc = encode_scored(rules, r, s, &head, why);
    if (rc < 0)
        return -1;
    if (r->kind != RECORD_GENERATE && s->len[0] > 0)
        e->n_scored = (uint32_t)s->len[0] - 1;
    e->first_unscored =
        r->kind == RECORD_ROLLING && s->context.n > 0
        && !wants_start(rules->bos, r, &r->context, s->context.n);
    e->cost = s->token.n + (uint64_t)head.n_branch * (uint64_t)head.max_tokens;
    head.cost = e->cost;
    if (check_size(&head, s, e, why) < 0)
        return -1;
    work_write(out, &head, s->len, s->token.id,
               (const struct logit_bias *)(const void *)s->bias.data,
               s->stop.data);
    return 0;
}
