#include "proto/json_span.h"
#include "proto/members.h"
#include "proto/record_impl.h"

#define MAX_TOKENS_DEFAULT 256

/* Every key a line may have, and the kinds it belongs to. Order: as a reader
 * would write them.
 */
#define BIT(kind) (1u << (kind))
#define SCORED (BIT(RECORD_SCORE) | BIT(RECORD_CHOICE))
#define EVERY (SCORED | BIT(RECORD_ROLLING) | BIT(RECORD_GENERATE))

enum key {
    KEY_ID,
    KEY_CONTEXT,
    KEY_CONTEXT_IDS,
    KEY_TARGET,
    KEY_TARGET_IDS,
    KEY_CHOICES,
    KEY_CHOICES_IDS,
    KEY_GOLD,
    KEY_TEXT,
    KEY_TEXT_IDS,
    KEY_PROMPT,
    KEY_PROMPT_IDS,
    KEY_MAX_TOKENS,
    KEY_TEMPERATURE,
    KEY_TOP_P,
    KEY_TOP_K,
    KEY_MIN_P, /* to KEY_LOGIT_BIAS: members_penalties() */
    KEY_PRESENCE_PENALTY,
    KEY_FREQUENCY_PENALTY,
    KEY_REPETITION_PENALTY,
    KEY_LOGIT_BIAS,
    KEY_SEED,
    KEY_STOP,
    KEY_TOKEN_LOGPROBS,
    KEY_TOP_LOGPROBS,
    KEY_METADATA,
    N_KEYS,
};

static const char *const key_names[N_KEYS + 1] = {
    "id",
    "context",
    "context_ids",
    "target",
    "target_ids",
    "choices",
    "choices_ids",
    "gold",
    "text",
    "text_ids",
    "prompt",
    "prompt_ids",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "seed",
    "stop",
    "token_logprobs",
    "top_logprobs",
    "metadata",
    NULL,
};

static const unsigned key_kinds[N_KEYS] = {
    [KEY_ID] = EVERY,
    [KEY_CONTEXT] = SCORED,
    [KEY_CONTEXT_IDS] = SCORED,
    [KEY_TARGET] = BIT(RECORD_SCORE),
    [KEY_TARGET_IDS] = BIT(RECORD_SCORE),
    [KEY_CHOICES] = BIT(RECORD_CHOICE),
    [KEY_CHOICES_IDS] = BIT(RECORD_CHOICE),
    [KEY_GOLD] = BIT(RECORD_CHOICE),
    [KEY_TEXT] = BIT(RECORD_ROLLING),
    [KEY_TEXT_IDS] = BIT(RECORD_ROLLING),
    [KEY_PROMPT] = BIT(RECORD_GENERATE),
    [KEY_PROMPT_IDS] = BIT(RECORD_GENERATE),
    [KEY_MAX_TOKENS] = BIT(RECORD_GENERATE),
    [KEY_TEMPERATURE] = BIT(RECORD_GENERATE),
    [KEY_TOP_P] = BIT(RECORD_GENERATE),
    [KEY_TOP_K] = BIT(RECORD_GENERATE),
    [KEY_MIN_P] = BIT(RECORD_GENERATE),
    [KEY_PRESENCE_PENALTY] = BIT(RECORD_GENERATE),
    [KEY_FREQUENCY_PENALTY] = BIT(RECORD_GENERATE),
    [KEY_REPETITION_PENALTY] = BIT(RECORD_GENERATE),
    [KEY_LOGIT_BIAS] = BIT(RECORD_GENERATE),
    [KEY_SEED] = BIT(RECORD_GENERATE),
    [KEY_STOP] = BIT(RECORD_GENERATE),
    [KEY_TOKEN_LOGPROBS] = EVERY,
    [KEY_TOP_LOGPROBS] = EVERY,
    [KEY_METADATA] = EVERY,
};

static const char *const kind_names[] = {
    [RECORD_SCORE] = "a line with \"target\"",
    [RECORD_CHOICE] = "a line with \"choices\"",
    [RECORD_ROLLING] = "a line with \"text\"",
    [RECORD_GENERATE] = "a line with \"prompt\"",
};

/* ---- values ---- */

static int read_metadata(struct members *m, struct record *r)
{
    const struct json_value *v = m->value[KEY_METADATA];
    struct buf compact = BUF_INIT;

    if (v == NULL)
        return 0;
    if (v->is != JSON_IS_OBJECT)
        return members_fail_type(m, KEY_METADATA, -1, "an object", v);
    json_span_compact(v->span, &compact);
    r->metadata = compact.data;
    return 0;
}

/* The value of `key`, or of its twin with token ids, which directly follows in
 * enum key. One must be there, not both.
 */
static int pick(struct members *m, int key, int *got)
{
    if (m->value[key] != NULL && m->value[key + 1] != NULL)
        return record_error_set(m->e, "invalid_value", key_names[key + 1],
                                "\"%s\" and \"%s\" exclude each other",
                                key_names[key], key_names[key + 1]);
    if (m->value[key] == NULL && m->value[key + 1] == NULL)
        return record_error_set(m->e, "missing_field", key_names[key],
                                "\"%s\" is missing", key_names[key]);
    *got = m->value[key] != NULL ? key : key + 1;
    return 0;
}

static int read_either(struct members *m, int key, struct record_text *out)
{
    int got;

    if (pick(m, key, &got) < 0)
        return -1;
    return got == key ? members_text(m, got, -1, m->value[got], out)
                      : members_ids(m, got, -1, m->value[got], out);
}

static bool text_empty(const struct record_text *t)
{
    return t->is_ids ? t->n == 0 : t->len == 0;
}

static int read_target(struct members *m, struct record *r)
{
    int got = m->value[KEY_TARGET] ? KEY_TARGET : KEY_TARGET_IDS;

    r->target = xcalloc(1, sizeof *r->target);
    r->n_target = 1;
    if (read_either(m, KEY_TARGET, r->target) < 0)
        return -1;
    if (text_empty(r->target))
        return members_fail(m, got, "invalid_value",
                            "is empty: nothing to score");
    return 0;
}

static int read_choices(struct members *m, struct record *r)
{
    const struct json_value *v, *one;
    int got;

    if (pick(m, KEY_CHOICES, &got) < 0)
        return -1;
    v = m->value[got];
    if (v->is != JSON_IS_ARRAY)
        return members_fail_type(m, got, -1, "an array", v);
    if (v->n == 0)
        return members_fail(m, got, "invalid_value",
                            "is empty: nothing to choose");
    if (v->n > RECORD_CHOICES_MAX)
        return record_error_set(m->e, "too_large", key_names[got],
                                "\"%s\" has %zu entries, at most %u are "
                                "allowed",
                                key_names[got], v->n, RECORD_CHOICES_MAX);
    r->target = xcalloc(v->n, sizeof *r->target);
    r->n_target = v->n;
    one = v->first;
    for (size_t i = 0; i < r->n_target; i++, one = one->next) {
        int status = got == KEY_CHOICES
                         ? members_text(m, got, (long)i, one, &r->target[i])
                         : members_ids(m, got, (long)i, one, &r->target[i]);

        if (status < 0)
            return -1;
        if (text_empty(&r->target[i]))
            return record_error_set(m->e, "invalid_value", key_names[got],
                                    "\"%s\"[%zu] is empty: nothing to score",
                                    key_names[got], i);
    }
    return 0;
}

static int read_gold(struct members *m, struct record *r)
{
    int64_t gold = -1;

    if (members_int(m, KEY_GOLD, 0, (int64_t)r->n_target - 1, &gold) < 0)
        return -1;
    r->gold = (int32_t)gold;
    return 0;
}

static int read_generate(struct members *m, struct record *r)
{
    int64_t max_tokens = MAX_TOKENS_DEFAULT, top_k = 0, seed = 0;

    r->prompt = xcalloc(1, sizeof *r->prompt);
    r->n_prompt = 1;
    if (read_either(m, KEY_PROMPT, r->prompt) < 0)
        return -1;
    if (members_int(m, KEY_MAX_TOKENS, 1, RECORD_MAX_TOKENS_MAX, &max_tokens)
            < 0
        || members_real(m, KEY_TEMPERATURE, 0, false, TEMPERATURE_MAX,
                        &r->temperature)
               < 0
        || members_real(m, KEY_TOP_P, 0, true, 1.0, &r->top_p) < 0
        || members_int(m, KEY_TOP_K, 0, INT32_MAX, &top_k) < 0
        || members_penalties(m, KEY_MIN_P, r) < 0
        || members_int(m, KEY_SEED, 0, INT64_MAX, &seed) < 0)
        return -1;
    r->max_tokens = (int32_t)max_tokens;
    r->top_k = (int32_t)top_k;
    r->has_seed = m->value[KEY_SEED] != NULL;
    r->seed = (uint64_t)seed;
    return members_stops(m, KEY_STOP, r);
}

/* ---- the line as a whole ---- */

static bool has(const struct members *m, enum key key)
{
    return m->value[key] != NULL || m->value[key + 1] != NULL;
}

/* Which kind of line this is: each has one key that no other has. */
static int find_kind(struct members *m, enum record_kind *kind)
{
    static const enum key mark[] = {
        [RECORD_SCORE] = KEY_TARGET,
        [RECORD_CHOICE] = KEY_CHOICES,
        [RECORD_ROLLING] = KEY_TEXT,
        [RECORD_GENERATE] = KEY_PROMPT,
    };
    int found = -1;

    for (int k = 0; k < 4; k++) {
        if (!has(m, mark[k]))
            continue;
        if (found >= 0)
            return record_error_set(m->e, "invalid_value", key_names[mark[k]],
                                    "\"%s\" and \"%s\" exclude each other",
                                    key_names[mark[found]], key_names[mark[k]]);
        found = k;
    }
    if (found >= 0) {
        *kind = (enum record_kind)found;
        return 0;
    }
    if (has(m, KEY_CONTEXT))
        return record_error_set(m->e, "missing_field", "target",
                                "\"target\" is missing (a line with "
                                "\"context\" is scored: it needs \"target\" or "
                                "\"choices\")");
    return record_error_set(m->e, "missing_field", "",
                            "nothing to do: a line needs \"target\", "
                            "\"choices\", \"text\" or \"prompt\"");
}

/* Known keys that this kind of line has no use for are mistakes too. */
static int check_keys(struct members *m, enum record_kind kind)
{
    for (int i = 0; i < N_KEYS; i++)
        if (m->value[i] != NULL && (key_kinds[i] & BIT(kind)) == 0
            && members_misplaced(m, i, kind_names[kind]) < 0)
            return -1;
    return 0;
}

static int read_detail(struct members *m, struct record *r)
{
    int64_t k = 0;

    if (members_bool(m, KEY_TOKEN_LOGPROBS, &r->token_logprobs) < 0
        || members_int(m, KEY_TOP_LOGPROBS, 0, RECORD_TOP_MAX, &k) < 0)
        return -1;
    r->top_logprobs = (int32_t)k;
    r->token_logprobs |= k > 0;
    return 0;
}

static int read_kind(struct members *m, struct record *r)
{
    if (find_kind(m, &r->kind) < 0 || check_keys(m, r->kind) < 0
        || read_detail(m, r) < 0)
        return -1;
    switch (r->kind) {
    case RECORD_SCORE:
        if (read_either(m, KEY_CONTEXT, &r->context) < 0)
            return -1;
        return read_target(m, r);
    case RECORD_CHOICE:
        if (read_either(m, KEY_CONTEXT, &r->context) < 0
            || read_choices(m, r) < 0)
            return -1;
        return read_gold(m, r);
    case RECORD_ROLLING:
        if (read_either(m, KEY_TEXT, &r->context) < 0)
            return -1;
        if (text_empty(&r->context))
            return members_fail(m, r->context.is_ids ? KEY_TEXT_IDS : KEY_TEXT,
                                "invalid_value", "is empty: nothing to score");
        return 0;
    case RECORD_GENERATE:
        return read_generate(m, r);
    }
    return -1;
}

int record_read_native(const struct record_job *job,
                       const struct json_value *root, struct record *r,
                       struct record_error *e)
{
    struct members m = {
        .name = key_names, .lenient = job->lenient, .r = r, .e = e};
    struct record_error also;

    if (members_sort(&m, root) < 0) {
        m.e = &also;
        members_id(&m, KEY_ID, true, r);
        return -1;
    }
    if (members_id(&m, KEY_ID, true, r) < 0 || read_metadata(&m, r) < 0)
        return -1;
    return read_kind(&m, r);
}
