#include "worker/encode.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "worker/work.h"

#define TOKENS_MAX \
    (64 << 20) /* of a record, choices counted with their copy
                               * of the context's last token: 256 MiB of ids */

/* Name of a text in the record, as the user wrote it: "context_ids[3]". */
struct place {
    const char *name; /* "context" */
    bool is_ids;
    int64_t choice; /* >= 0: which of the choices */
};

static void place_name(const struct place *p, int64_t at, char *out,
                       size_t size)
{
    int n = snprintf(out, size, "%s%s", p->name, p->is_ids ? "_ids" : "");

    if (p->choice >= 0 && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, "[%" PRId64 "]", p->choice);
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

static bool wants_start(Skein__Bos bos, const struct record *r, size_t n)
{
    if (r->context.is_ids || bos == SKEIN__BOS__BOS_NEVER)
        return false;
    return bos == SKEIN__BOS__BOS_ALWAYS || r->kind == RECORD_ROLLING || n == 0;
}

/* The context, with its start token. */
static int encode_context(const struct encode_rules *rules,
                          const struct record *r, struct ids *out,
                          struct record_error *why)
{
    static const char *const name[] = {
        [RECORD_SCORE] = "context",
        [RECORD_CHOICE] = "context",
        [RECORD_ROLLING] = "text",
        [RECORD_GENERATE] = "prompt",
    };
    const struct place place = {name[r->kind], r->context.is_ids, -1};

    ids_clear(out);
    ids_add(out, TOKENIZER_END);
    if (add_text(rules, &place, &r->context, out, why) < 0)
        return -1;
    if (!wants_start(rules->bos, r, out->n - 1)) {
        out->n--;
        memmove(out->id, out->id + 1, out->n * sizeof *out->id);
    }
    if (out->n > 0 || r->kind == RECORD_ROLLING)
        return 0;
    return record_error_set(why, "nothing_to_condition_on", place.name,
                            "the %s is empty%s, so there is nothing to"
                            " predict the first token from",
                            place.name,
                            place.is_ids ? "" : " and no start token is used");
}

/* The context's last token and a target, as one branch. */
static int add_branch(const struct encode_rules *rules, const struct record *r,
                      size_t i, struct encode_scratch *s, int32_t *len,
                      struct record_error *why)
{
    const struct record_text *target = &r->target[i];
    const struct place place = {r->kind == RECORD_CHOICE ? "choices" : "target",
                                target->is_ids,
                                r->kind == RECORD_CHOICE ? (int64_t)i : -1};
    size_t before = s->token.n;

    ids_add(&s->token, s->context.id[s->context.n - 1]);
    if (add_text(rules, &place, target, &s->token, why) < 0)
        return -1;
    *len = (int32_t)(s->token.n - before);
    return 0;
}

/* Where the parser allows what the backend cannot hold in fp32. */
static float to_float(double x)
{
    if (x > (double)FLT_MAX)
        return FLT_MAX;
    return x > 0 && x < (double)FLT_MIN ? FLT_MIN : (float)x;
}

static void fill_generate(const struct encode_rules *rules,
                          const struct record *r, struct encode_scratch *s,
                          struct work_head *head)
{
    buf_clear(&s->stop);
    for (size_t i = 0; i < r->n_stop; i++) {
        uint32_t len = (uint32_t)r->stop[i].len;

        buf_add(&s->stop, &len, sizeof len);
        buf_add(&s->stop, r->stop[i].text, len);
    }
    head->kind = WORK_GENERATE;
    head->n_stop = (uint32_t)r->n_stop;
    head->stop_bytes = (uint32_t)s->stop.len;
    head->max_tokens = r->max_tokens;
    head->temperature = to_float(r->temperature);
    head->top_p = to_float(r->top_p);
    head->top_k = r->top_k;
    head->key = record_stream_key(r, rules->job_seed);
}

/* Tokens and branches of a record into s->token and len[]. */
static int encode_tree(const struct encode_rules *rules, const struct record *r,
                       struct encode_scratch *s, struct work_head *head,
                       int32_t *len, struct record_error *why)
{
    const struct ids *context = &s->context;

    if (r->kind == RECORD_GENERATE && rules->tokenizer == NULL)
        return no_tokenizer("prompt", why); /* nor text to answer with */
    if (encode_context(rules, r, &s->context, why) < 0)
        return -1;
    ids_clear(&s->token);
    head->n_branch = 1;
    if (r->kind == RECORD_ROLLING) {
        ids_append(&s->token, context->id, context->n);
        len[0] = (int32_t)context->n;
        return 0;
    }
    head->n_prefix = (uint32_t)context->n - 1;
    ids_append(&s->token, context->id, head->n_prefix);
    if (r->kind == RECORD_GENERATE) {
        ids_add(&s->token, context->id[head->n_prefix]);
        len[0] = 1;
        return 0;
    }
    head->n_branch = (uint32_t)r->n_target;
    for (size_t i = 0; i < r->n_target; i++) {
        if (add_branch(rules, r, i, s, &len[i], why) < 0)
            return -1;
    }
    return 0;
}

void encode_scratch_free(struct encode_scratch *s)
{
    ids_free(&s->context);
    ids_free(&s->token);
    buf_free(&s->stop);
}

int encode_record(const struct encode_rules *rules, const struct record *r,
                  uint64_t id, struct encode_scratch *s, struct buf *out,
                  struct encoded *e, struct record_error *why)
{
    struct work_head head = {.kind = WORK_SCORE, .id = id};
    int32_t len[RECORD_CHOICES_MAX];

    assert(r->n_target <= RECORD_CHOICES_MAX);
    *e = (struct encoded){0};
    buf_clear(&s->stop);
    if (encode_tree(rules, r, s, &head, len, why) < 0)
        return -1;
    if (s->token.n > TOKENS_MAX)
        return record_error_set(why, "too_large", "",
                                "%zu tokens; a record may have %d", s->token.n,
                                TOKENS_MAX);
    if (r->kind == RECORD_GENERATE)
        fill_generate(rules, r, s, &head);
    else if (len[0] > 0)
        e->n_scored = (uint32_t)len[0] - 1;
    e->first_unscored = r->kind == RECORD_ROLLING && s->context.n > 0
                        && !wants_start(rules->bos, r, s->context.n);
    e->cost = s->token.n + (uint64_t)head.max_tokens;
    head.cost = e->cost;
    work_write(out, &head, len, s->token.id, s->stop.data);
    return 0;
}
