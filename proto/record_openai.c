#include <assert.h>
#include <float.h>
#include <string.h>

#include "proto/members.h"
#include "proto/record_impl.h"

#define N_MAX 128
#define TEMPERATURE_OPENAI_MAX 2.0
#define LOGPROBS_MAX 5
#define MAX_TOKENS_COMPLETION 16 /* OpenAI's default */
#define MAX_TOKENS_CHAT 256      /* OpenAI has none */
#define END_TOKEN 0

/* ---- the line ---- */

enum line_key {
    LINE_CUSTOM_ID,
    LINE_METHOD,
    LINE_URL,
    LINE_BODY,
};

static const char *const line_keys[] = {
    "custom_id", "method", "url", "body", NULL,
};

enum url {
    URL_COMPLETIONS,
    URL_CHAT,
    URL_LOGLIKELIHOOD,
    URL_ROLLING,
};

static const char *const urls[] = {
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/loglikelihood",
    "/v1/loglikelihood_rolling",
    NULL,
};

/* ---- parameters of the body ---- */

#define AT(url) (1u << (url))
#define COMPLETIONS AT(URL_COMPLETIONS)
#define CHAT AT(URL_CHAT)
#define GENERATED (COMPLETIONS | CHAT)
#define SCORED (AT(URL_LOGLIKELIHOOD) | AT(URL_ROLLING))
#define EVERY (GENERATED | SCORED)

/* name of the enum, name, where it may be */
#define READ_PARAMETERS(X)                                      \
    X(MODEL, "model", EVERY)                                    \
    X(PROMPT, "prompt", COMPLETIONS)                            \
    X(MESSAGES, "messages", CHAT)                               \
    X(CONTEXT, "context", AT(URL_LOGLIKELIHOOD))                \
    X(CONTINUATIONS, "continuations", AT(URL_LOGLIKELIHOOD))    \
    X(TEXT, "text", AT(URL_ROLLING))                            \
    X(MAX_TOKENS, "max_tokens", GENERATED)                      \
    X(MAX_COMPLETION_TOKENS, "max_completion_tokens", CHAT)     \
    X(TEMPERATURE, "temperature", GENERATED)                    \
    X(TOP_P, "top_p", GENERATED)                                \
    X(TOP_K, "top_k", GENERATED)                                \
    X(MIN_P, "min_p", GENERATED)                                \
    X(PRESENCE_PENALTY, "presence_penalty", GENERATED)          \
    X(FREQUENCY_PENALTY, "frequency_penalty", GENERATED)        \
    X(REPETITION_PENALTY, "repetition_penalty", GENERATED)      \
    X(LOGIT_BIAS, "logit_bias", GENERATED)                      \
    X(N, "n", GENERATED)                                        \
    X(BEST_OF, "best_of", COMPLETIONS)                          \
    X(SEED, "seed", GENERATED)                                  \
    X(STOP, "stop", GENERATED)                                  \
    X(ECHO, "echo", COMPLETIONS)                                \
    X(LOGPROBS, "logprobs", GENERATED)                          \
    X(TOP_LOGPROBS, "top_logprobs", CHAT | SCORED)              \
    X(TOKEN_LOGPROBS, "token_logprobs", SCORED)                 \
    X(TOKENS_AS_IDS, "return_tokens_as_token_ids", COMPLETIONS) \
    X(RESPONSE_FORMAT, "response_format", GENERATED)

enum parameter {
#define ENUM(id, name, where) P_##id,
    READ_PARAMETERS(ENUM)
#undef ENUM
    N_READ,
};

/* Accepted, and without influence on the answer. */
#define IGNORED_PARAMETERS(X)   \
    X("user")                   \
    X("metadata")               \
    X("store")                  \
    X("service_tier")           \
    X("safety_identifier")      \
    X("prompt_cache_key")       \
    X("prompt_cache_retention") \
    X("priority")               \
    X("request_id")

/* Known to OpenAI's or vLLM's API, but not done here: only the value that asks
 * for nothing is taken.
 */
#define NEUTRAL_PARAMETERS(X)             \
    X("stream", 0)                        \
    X("stream_options", 0)                \
    X("suffix", 0)                        \
    X("stop_token_ids", 0)                \
    X("include_stop_str_in_output", 0)    \
    X("ignore_eos", 0)                    \
    X("min_tokens", 0)                    \
    X("skip_special_tokens", 1)           \
    X("spaces_between_special_tokens", 1) \
    X("add_special_tokens", 1)            \
    X("truncate_prompt_tokens", 0)        \
    X("allowed_token_ids", 0)             \
    X("prompt_logprobs", 0)               \
    X("return_token_ids", 0)              \
    X("use_beam_search", 0)               \
    X("length_penalty", 1)                \
    X("tools", 0)                         \
    X("tool_choice", 0)                   \
    X("parallel_tool_calls", 1)           \
    X("functions", 0)                     \
    X("function_call", 0)

#define READ_NAME(id, name, where) name,
#define IGNORED_NAME(name) name,
#define NEUTRAL_NAME(name, neutral) name,
static const char *const parameters[] = {
    READ_PARAMETERS(READ_NAME)       //
    IGNORED_PARAMETERS(IGNORED_NAME) //
    NEUTRAL_PARAMETERS(NEUTRAL_NAME) //
    NULL,
};

#define READ_WHERE(id, name, where) where,
static const unsigned read_where[N_READ] = {READ_PARAMETERS(READ_WHERE)};

#define NEUTRAL_VALUE(name, neutral) neutral,
static const double neutral_values[] = {NEUTRAL_PARAMETERS(NEUTRAL_VALUE)};

enum {
    N_PARAMETERS = sizeof parameters / sizeof parameters[0] - 1,
    N_NEUTRAL = sizeof neutral_values / sizeof neutral_values[0],
    FIRST_NEUTRAL = N_PARAMETERS - N_NEUTRAL,
};

_Static_assert(N_PARAMETERS <= MEMBERS_MAX, "members.h is too small");

static int unsupported(struct members *m, int key, const char *what)
{
    return members_fail(m, key, "unsupported_parameter", what);
}

/* false, {}, [], "", "none", "auto", or the number that changes nothing. */
static bool is_neutral(const struct json_value *v, double neutral)
{
    switch (v->is) {
    case JSON_IS_TRUE:
    case JSON_IS_FALSE:
        return (v->is == JSON_IS_TRUE) == (neutral != 0);
    case JSON_IS_INTEGER:
    case JSON_IS_REAL:
        return v->number == neutral;
    case JSON_IS_STRING:
        return v->len == 0 || strcmp(v->text, "none") == 0;
    case JSON_IS_ARRAY:
    case JSON_IS_OBJECT:
        return v->n == 0;
    case JSON_IS_NULL:
        return true;
    }
    return false;
}

static int check_neutral(struct members *m)
{
    for (int key = FIRST_NEUTRAL; key < N_PARAMETERS; key++) {
        if (m->value[key] != NULL
            && !is_neutral(m->value[key], neutral_values[key - FIRST_NEUTRAL]))
            return unsupported(m, key, "is not supported");
    }
    return 0;
}

/* null is OpenAI's way to say that a parameter is not given. */
static void drop_nulls(struct members *m)
{
    for (int key = 0; key < N_PARAMETERS; key++) {
        if (m->value[key] != NULL && m->value[key]->is == JSON_IS_NULL)
            m->value[key] = NULL;
    }
}

static int check_places(struct members *m, enum url url)
{
    for (int key = 0; key < N_READ; key++) {
        if (m->value[key] != NULL && (read_where[key] & AT(url)) == 0
            && members_misplaced(m, key, urls[url]) < 0)
            return -1;
    }
    return 0;
}

static int need(struct members *m, int key)
{
    if (m->value[key] != NULL)
        return 0;
    return members_fail(m, key, "missing_field", "is missing");
}

/* ---- what every body has ---- */

static int read_model(const struct record_job *job, struct members *m,
                      struct record *r)
{
    const struct json_value *v = m->value[P_MODEL];
    size_t len;

    if (need(m, P_MODEL) < 0)
        return -1;
    if (v->is != JSON_IS_STRING)
        return members_fail_type(m, P_MODEL, -1, "a string", v);
    r->model = members_copy(v);
    if (job->model == NULL)
        return 0;
    len = strcspn(job->model, "@");
    if (v->len == strlen(v->text)
        && (strcmp(v->text, job->model) == 0
            || (v->len == len && memcmp(v->text, job->model, len) == 0)))
        return 0;
    return record_error_set(m->e, "model_not_found", "model",
                            "the model \"%s\" does not exist: this job runs "
                            "\"%.*s\"",
                            v->text, (int)len, job->model);
}

static int read_top(struct members *m, int key, int64_t max, struct record *r)
{
    int64_t k = 0;

    if (members_int(m, key, 0, max, &k) < 0)
        return -1;
    r->top_logprobs = (int32_t)k;
    return 0;
}

/* ---- scoring ---- */

static int read_scored_detail(struct members *m, struct record *r)
{
    if (members_bool(m, P_TOKEN_LOGPROBS, &r->token_logprobs) < 0
        || read_top(m, P_TOP_LOGPROBS, RECORD_TOP_MAX, r) < 0)
        return -1;
    r->token_logprobs |= r->top_logprobs > 0;
    return 0;
}

static bool text_empty(const struct record_text *t)
{
    return t->is_ids ? t->n == 0 : t->len == 0;
}

static int read_continuations(struct members *m, struct record *r)
{
    const struct json_value *v = m->value[P_CONTINUATIONS], *one;

    if (v->is != JSON_IS_ARRAY)
        return members_fail_type(m, P_CONTINUATIONS, -1, "an array", v);
    if (v->n == 0)
        return members_fail(m, P_CONTINUATIONS, "invalid_value",
                            "is empty: nothing to score");
    if (v->n > RECORD_CHOICES_MAX)
        return record_error_set(m->e, "too_large", "continuations",
                                "\"continuations\" has %zu entries, at most "
                                "%u are allowed",
                                v->n, RECORD_CHOICES_MAX);
    r->target = xcalloc(v->n, sizeof *r->target);
    r->n_target = v->n;
    one = v->first;
    for (size_t i = 0; i < r->n_target; i++, one = one->next) {
        if (members_either(m, P_CONTINUATIONS, (long)i, one, &r->target[i]) < 0)
            return -1;
        if (text_empty(&r->target[i]))
            return record_error_set(m->e, "invalid_value", "continuations",
                                    "\"continuations\"[%zu] is empty: nothing "
                                    "to score",
                                    i);
    }
    return 0;
}

static int read_loglikelihood(struct members *m, struct record *r)
{
    r->kind = RECORD_CHOICE;
    if (need(m, P_CONTEXT) < 0 || need(m, P_CONTINUATIONS) < 0
        || members_either(m, P_CONTEXT, -1, m->value[P_CONTEXT], &r->context)
               < 0
        || read_continuations(m, r) < 0)
        return -1;
    return read_scored_detail(m, r);
}

static int read_rolling(struct members *m, struct record *r)
{
    r->kind = RECORD_ROLLING;
    if (need(m, P_TEXT) < 0
        || members_either(m, P_TEXT, -1, m->value[P_TEXT], &r->context) < 0)
        return -1;
    if (text_empty(&r->context))
        return members_fail(m, P_TEXT, "invalid_value",
                            "is empty: nothing to score");
    return read_scored_detail(m, r);
}

/* ---- generation ---- */

static struct record_text *add_prompts(struct record *r, size_t n)
{
    r->prompt = xcalloc(n, sizeof *r->prompt);
    r->n_prompt = n;
    return r->prompt;
}

/* A string, a list of token ids, or a list of either. */
static int read_prompts(struct members *m, struct record *r)
{
    static const int32_t end[] = {END_TOKEN};
    const struct json_value *v = m->value[P_PROMPT], *one;

    if (v == NULL) { /* OpenAI: "<|endoftext|>" */
        struct record_text *p = add_prompts(r, 1);

        p->is_ids = true;
        p->n = 1;
        p->id = xcalloc(1, sizeof end);
        memcpy(p->id, end, sizeof end);
        return 0;
    }
    if (v->is == JSON_IS_ARRAY && v->n == 0)
        return members_fail(m, P_PROMPT, "invalid_value", "is empty");
    if (v->is != JSON_IS_ARRAY || v->first->is == JSON_IS_INTEGER)
        return members_either(m, P_PROMPT, -1, v, add_prompts(r, 1));
    if (v->n > RECORD_SAMPLES_MAX)
        return record_error_set(m->e, "too_large", "prompt",
                                "\"prompt\" has %zu entries, at most %u are "
                                "allowed",
                                v->n, RECORD_SAMPLES_MAX);
    add_prompts(r, v->n);
    one = v->first;
    for (size_t i = 0; i < r->n_prompt; i++, one = one->next) {
        if (members_either(m, P_PROMPT, (long)i, one, &r->prompt[i]) < 0)
            return -1;
    }
    return 0;
}

static int read_n(struct members *m, struct record *r)
{
    int64_t n = 1, best_of = 0;

    if (members_int(m, P_N, 1, N_MAX, &n) < 0
        || members_int(m, P_BEST_OF, 0, INT32_MAX, &best_of) < 0)
        return -1;
    if (m->value[P_BEST_OF] != NULL && best_of > 1 && best_of != n)
        return unsupported(m, P_BEST_OF, "is supported only when it equals n");
    r->n = (uint32_t)n;
    return 0;
}

static int read_max_tokens(struct members *m, int key, int64_t least,
                           struct record *r)
{
    int64_t max_tokens = r->max_tokens;

    if (members_int(m, key, least, RECORD_MAX_TOKENS_MAX, &max_tokens) < 0)
        return -1;
    r->max_tokens = (int32_t)max_tokens;
    return 0;
}

/* All choices of a line together. */
static int check_amount(struct members *m, struct record *r)
{
    size_t n = record_samples(r);

    if (n > RECORD_SAMPLES_MAX)
        return record_error_set(m->e, "too_large", "n",
                                "%zu choices (prompts times \"n\"), at most "
                                "%u are allowed",
                                n, RECORD_SAMPLES_MAX);
    if (n * (size_t)r->max_tokens > RECORD_GENERATED_MAX)
        return record_error_set(m->e, "too_large", "max_tokens",
                                "%zu choices of %d tokens, at most %u tokens "
                                "in all are allowed",
                                n, r->max_tokens, RECORD_GENERATED_MAX);
    return 0;
}

static int read_stops(struct members *m, struct record *r)
{
    const struct json_value *v = m->value[P_STOP];

    if (v != NULL && v->is == JSON_IS_ARRAY && v->n == 0)
        return 0;
    return members_stops(m, P_STOP, r);
}

/* {"type":"text"} is what everybody gets. */
static int read_response_format(struct members *m)
{
    const struct json_value *v = m->value[P_RESPONSE_FORMAT];

    if (v == NULL)
        return 0;
    if (v->is == JSON_IS_OBJECT && v->n == 1
        && strcmp(v->first->name, "type") == 0 && v->first->is == JSON_IS_STRING
        && strcmp(v->first->text, "text") == 0)
        return 0;
    return unsupported(m, P_RESPONSE_FORMAT,
                       "is supported only as {\"type\":\"text\"}");
}

static int read_sampling(struct members *m, struct record *r)
{
    int64_t top_k = 0, seed = 0;

    r->temperature = 1;
    if (members_real(m, P_TEMPERATURE, 0, false, TEMPERATURE_OPENAI_MAX,
                     &r->temperature)
            < 0
        || members_real(m, P_TOP_P, 0, false, 1.0, &r->top_p) < 0
        || members_int(m, P_TOP_K, -1, INT32_MAX, &top_k) < 0
        || members_penalties(m, P_MIN_P, r) < 0
        || members_int(m, P_SEED, INT64_MIN, INT64_MAX, &seed) < 0
        || read_n(m, r) < 0 || read_response_format(m) < 0)
        return -1;
    if (r->top_p == 0) /* the likeliest token alone */
        r->top_p = DBL_MIN;
    r->top_k = top_k < 0 ? 0 : (int32_t)top_k; /* vLLM: -1 is off, too */
    r->has_seed = m->value[P_SEED] != NULL;
    r->seed = (uint64_t)seed;
    return read_stops(m, r);
}

static int read_completion(struct members *m, struct record *r)
{
    r->kind = RECORD_GENERATE;
    r->max_tokens = MAX_TOKENS_COMPLETION;
    if (read_prompts(m, r) < 0 || read_sampling(m, r) < 0
        || read_max_tokens(m, P_MAX_TOKENS, 0, r) < 0
        || members_bool(m, P_ECHO, &r->echo) < 0
        || members_bool(m, P_TOKENS_AS_IDS, &r->tokens_as_ids) < 0
        || read_top(m, P_LOGPROBS, LOGPROBS_MAX, r) < 0)
        return -1;
    r->token_logprobs = m->value[P_LOGPROBS] != NULL;
    return check_amount(m, r);
}

/* ---- chat ---- */

static const char *const roles[] = {
    "system", "developer", "user", "assistant", "tool", NULL,
};

enum message_key {
    MESSAGE_ROLE,
    MESSAGE_CONTENT,
    MESSAGE_NAME,
    MESSAGE_REFUSAL,
};

static const char *const message_keys[] = {
    "role", "content", "name", "refusal", NULL,
};

/* A message is an object of its own: its errors name it. */
static int fail_message(struct members *m, size_t i, const char *code,
                        const char *what)
{
    return record_error_set(m->e, code, "messages", "\"messages\"[%zu]%s", i,
                            what);
}

static const struct json_value *member(const struct json_value *object,
                                       const char *name)
{
    const struct json_value *v = object->first;

    while (v != NULL && strcmp(v->name, name) != 0)
        v = v->next;
    return v;
}

/* [{"type":"text","text":".."}, ..] joined. */
static int read_parts(struct members *m, size_t i, const struct json_value *v,
                      struct record_text *out)
{
    struct buf text = BUF_INIT;

    buf_reserve(&text, 0)[0] = '\0';
    for (const struct json_value *p = v->first; p != NULL; p = p->next) {
        const struct json_value *type, *part;

        type = p->is == JSON_IS_OBJECT ? member(p, "type") : NULL;
        part = type != NULL ? member(p, "text") : NULL;
        if (part == NULL || part->is != JSON_IS_STRING
            || type->is != JSON_IS_STRING || strcmp(type->text, "text") != 0) {
            buf_free(&text);
            return fail_message(m, i, "invalid_value",
                                ": only content parts of type \"text\" are "
                                "supported");
        }
        buf_add(&text, part->text, part->len);
    }
    out->text = text.data;
    out->len = text.len;
    return 0;
}

static int read_message(struct members *m, size_t i, const struct json_value *v,
                        struct record *r)
{
    struct members own = {
        .name = message_keys, .lenient = m->lenient, .r = r, .e = m->e};
    const struct json_value *role, *content;
    int k = 0;

    if (v->is != JSON_IS_OBJECT)
        return fail_message(m, i, "wrong_type", " must be an object");
    if (members_sort(&own, v) < 0)
        return -1;
    role = own.value[MESSAGE_ROLE];
    content = own.value[MESSAGE_CONTENT];
    if (role == NULL || role->is != JSON_IS_STRING)
        return fail_message(m, i, "missing_field", ": \"role\" is missing");
    while (roles[k] != NULL && strcmp(roles[k], role->text) != 0)
        k++;
    if (roles[k] == NULL)
        return fail_message(m, i, "invalid_value",
                            ": \"role\" must be system, developer, user, "
                            "assistant or tool");
    r->message[i].role = roles[k];
    if (content == NULL)
        return fail_message(m, i, "missing_field", ": \"content\" is missing");
    if (content->is == JSON_IS_ARRAY)
        return read_parts(m, i, content, &r->message[i].content);
    if (content->is != JSON_IS_STRING)
        return fail_message(m, i, "wrong_type",
                            ": \"content\" must be a string or an array of "
                            "parts");
    return members_text(&own, MESSAGE_CONTENT, -1, content,
                        &r->message[i].content);
}

static int read_messages(struct members *m, struct record *r)
{
    const struct json_value *v = m->value[P_MESSAGES], *one;

    if (need(m, P_MESSAGES) < 0)
        return -1;
    if (v->is != JSON_IS_ARRAY)
        return members_fail_type(m, P_MESSAGES, -1, "an array", v);
    if (v->n == 0)
        return members_fail(m, P_MESSAGES, "invalid_value", "is empty");
    r->message = xcalloc(v->n, sizeof *r->message);
    r->n_message = v->n;
    one = v->first;
    for (size_t i = 0; i < r->n_message; i++, one = one->next) {
        if (read_message(m, i, one, r) < 0)
            return -1;
    }
    return 0;
}

static int read_chat(struct members *m, struct record *r)
{
    r->kind = RECORD_GENERATE;
    r->max_tokens = MAX_TOKENS_CHAT;
    if (read_messages(m, r) < 0 || read_sampling(m, r) < 0
        || read_max_tokens(m, P_MAX_TOKENS, 1, r) < 0
        || read_max_tokens(m, P_MAX_COMPLETION_TOKENS, 1, r) < 0
        || members_bool(m, P_LOGPROBS, &r->token_logprobs) < 0
        || read_top(m, P_TOP_LOGPROBS, RECORD_TOP_MAX, r) < 0)
        return -1;
    if (r->top_logprobs > 0 && !r->token_logprobs)
        return members_fail(m, P_TOP_LOGPROBS, "invalid_value",
                            "needs \"logprobs\": true");
    return check_amount(m, r);
}

/* ---- the line as a whole ---- */

static int read_url(struct members *m, enum url *url)
{
    const struct json_value *v = m->value[LINE_URL];

    if (need(m, LINE_URL) < 0)
        return -1;
    if (v->is != JSON_IS_STRING)
        return members_fail_type(m, LINE_URL, -1, "a string", v);
    for (int i = 0; urls[i] != NULL; i++) {
        if (strcmp(urls[i], v->text) == 0) {
            *url = (enum url)i;
            return 0;
        }
    }
    return record_error_set(m->e, "invalid_value", "url",
                            "\"url\" is \"%s\"; there are /v1/completions, "
                            "/v1/chat/completions, /v1/loglikelihood and "
                            "/v1/loglikelihood_rolling",
                            v->text);
}

static int read_body(const struct record_job *job, struct members *line,
                     enum url url, struct record *r)
{
    struct members m = {
        .name = parameters, .lenient = job->lenient, .r = r, .e = line->e};

    if (need(line, LINE_BODY) < 0)
        return -1;
    if (line->value[LINE_BODY]->is != JSON_IS_OBJECT)
        return members_fail_type(line, LINE_BODY, -1, "an object",
                                 line->value[LINE_BODY]);
    if (members_sort(&m, line->value[LINE_BODY]) < 0)
        return -1;
    drop_nulls(&m);
    if (read_model(job, &m, r) < 0 || check_places(&m, url) < 0
        || check_neutral(&m) < 0)
        return -1;
    switch (url) {
    case URL_COMPLETIONS:
        return read_completion(&m, r);
    case URL_CHAT:
        return read_chat(&m, r);
    case URL_LOGLIKELIHOOD:
        return read_loglikelihood(&m, r);
    case URL_ROLLING:
        return read_rolling(&m, r);
    }
    return -1;
}

bool record_is_openai(const struct json_value *root)
{
    for (int i = 0; line_keys[i] != NULL; i++) {
        if (member(root, line_keys[i]) != NULL)
            return true;
    }
    return false;
}

int record_read_openai(const struct record_job *job,
                       const struct json_value *root, struct record *r,
                       struct record_error *e)
{
    struct members m = {
        .name = line_keys, .lenient = job->lenient, .r = r, .e = e};
    int unknown = members_sort(&m, root);
    const struct json_value *method = m.value[LINE_METHOD];
    struct record_error also;
    enum url url = URL_COMPLETIONS;

    if (unknown < 0) {
        m.e = &also;
        members_id(&m, LINE_CUSTOM_ID, false, r);
        return -1;
    }
    if (need(&m, LINE_CUSTOM_ID) < 0
        || members_id(&m, LINE_CUSTOM_ID, false, r) < 0
        || need(&m, LINE_METHOD) < 0)
        return -1;
    if (method->is != JSON_IS_STRING || strcmp(method->text, "POST") != 0)
        return members_fail(&m, LINE_METHOD, "invalid_value",
                            "must be \"POST\"");
    if (read_url(&m, &url) < 0)
        return -1;
    return read_body(job, &m, url, r);
}
