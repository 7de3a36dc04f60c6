#include "proto/record.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/hash.h"
#include "proto/json_span.h"
#include "proto/utf8_check.h"

#define MAX_TOKENS_DEFAULT 256
#define TEMPERATURE_MAX 100.0

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
    KEY_SEED,
    KEY_STOP,
    KEY_METADATA,
    N_KEYS,
};

static const char *const key_names[N_KEYS + 1] = {
    "id",      "context",     "context_ids", "target",      "target_ids",
    "choices", "choices_ids", "gold",        "text",        "text_ids",
    "prompt",  "prompt_ids",  "max_tokens",  "temperature", "top_p",
    "top_k",   "seed",        "stop",        "metadata",    NULL,
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
    [KEY_SEED] = BIT(RECORD_GENERATE),
    [KEY_STOP] = BIT(RECORD_GENERATE),
    [KEY_METADATA] = EVERY,
};

static const char *const kind_names[] = {
    [RECORD_SCORE] = "a line with \"target\"",
    [RECORD_CHOICE] = "a line with \"choices\"",
    [RECORD_ROLLING] = "a line with \"text\"",
    [RECORD_GENERATE] = "a line with \"prompt\"",
};

/* A line's members, sorted by key. */
struct line {
    const char *text;
    size_t len;
    json_t *value[N_KEYS]; /* borrowed; NULL when absent */
    size_t metadata_at;    /* which member of the line is "metadata" */
    struct record_error *e;
};

int record_error_set(struct record_error *e, const char *code,
                     const char *field, const char *fmt, ...)
{
    va_list ap;

    e->code = code;
    snprintf(e->field, sizeof e->field, "%s", field);
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    /* Both may quote the line, and are cut where they are full. */
    utf8_mend(e->field, strlen(e->field));
    utf8_mend(e->message, strlen(e->message));
    return -1;
}

static int fail(struct line *l, enum key key, const char *code,
                const char *what)
{
    return record_error_set(l->e, code, key_names[key], "\"%s\" %s",
                            key_names[key], what);
}

static const char *type_name(const json_t *v)
{
    static const char *const name[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };

    return name[json_typeof(v)];
}

/* `nth` < 0: the value itself is meant, not one of its elements. */
static int fail_type(struct line *l, enum key key, long nth, const char *wanted,
                     const json_t *got)
{
    char element[32] = "";

    if (nth >= 0)
        snprintf(element, sizeof element, "[%ld]", nth);
    return record_error_set(l->e, "wrong_type", key_names[key],
                            "\"%s\"%s must be %s, not %s", key_names[key],
                            element, wanted, type_name(got));
}

/* ---- JSON and keys ---- */

/* The key in jansson's `duplicate object key near '"KEY"'`. */
static void duplicate_key(const json_error_t *je, char *key, size_t size)
{
    const char *from = strstr(je->text, "near '\"");
    const char *to = strrchr(je->text, '"');

    key[0] = '\0';
    if (from != NULL && to > from + 7)
        snprintf(key, size, "%.*s", (int)(to - from - 7), from + 7);
}

static int fail_json(const json_error_t *je, struct record_error *e)
{
    char key[sizeof e->field];

    switch (json_error_code(je)) {
    case json_error_duplicate_key:
        duplicate_key(je, key, sizeof key);
        return record_error_set(e, "duplicate_key", key,
                                "\"%s\" is given more than once", key);
    case json_error_numeric_overflow:
        return record_error_set(e, "invalid_value", "",
                                "column %d: a number is too large (integers "
                                "have 64 bits)",
                                je->column);
    default:
        return record_error_set(e, "invalid_json", "", "column %d: %s",
                                je->column, je->text);
    }
}

static json_t *parse_json(const char *line, size_t len, struct record_error *e)
{
    const char *nul = len > 0 ? memchr(line, '\0', len) : NULL;
    json_error_t je;
    size_t bad;
    json_t *root;

    if (len > RECORD_BYTES_MAX) {
        record_error_set(e, "too_large", "",
                         "a line of %zu bytes, at most %u are allowed", len,
                         RECORD_BYTES_MAX);
        return NULL;
    }
    bad = utf8_check(line, len);
    if (bad < len) {
        record_error_set(e, "not_utf8", "", "byte %zu (0x%02x) is not UTF-8",
                         bad + 1, (unsigned char)line[bad]);
        return NULL;
    }
    /* jansson 2.14 skips a NUL that follows a number or a word. */
    if (nul != NULL) {
        record_error_set(e, "invalid_json", "", "byte %zu is NUL",
                         (size_t)(nul - line) + 1);
        return NULL;
    }
    root = json_loadb(line, len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
                      &je);
    if (root == NULL) {
        fail_json(&je, e);
        return NULL;
    }
    if (!json_is_object(root)) {
        record_error_set(e, "wrong_type", "",
                         "a line must be a JSON object, not %s",
                         type_name(root));
        json_decref(root);
        return NULL;
    }
    return root;
}

static int key_find(const char *name)
{
    for (int i = 0; i < N_KEYS; i++)
        if (strcmp(name, key_names[i]) == 0)
            return i;
    return -1;
}

static int fail_unknown(struct line *l, const char *name)
{
    const char *near = conf_nearest(name, key_names);

    if (near != NULL)
        return record_error_set(l->e, "unknown_key", name,
                                "unknown key \"%s\"; did you mean \"%s\"?",
                                name, near);
    return record_error_set(l->e, "unknown_key", name,
                            "unknown key \"%s\" (own data may travel in "
                            "\"metadata\")",
                            name);
}

/* Sort all members; the first unknown key is reported, after the rest was
 * sorted, so that the error line can carry the id.
 */
static int line_sort(struct line *l, json_t *root)
{
    const char *name;
    json_t *value;
    size_t at = 0;
    int status = 0;

    json_object_foreach(root, name, value)
    {
        int key = key_find(name);

        if (key >= 0)
            l->value[key] = value;
        else if (status == 0)
            status = fail_unknown(l, name);
        if (key == KEY_METADATA)
            l->metadata_at = at;
        at++;
    }
    return status;
}

/* ---- values ---- */

static char *copy(const char *s, size_t len)
{
    char *to = xcalloc(1, len + 1);

    memcpy(to, s, len);
    return to;
}

static int read_id(struct line *l, struct record *r)
{
    const json_t *v = l->value[KEY_ID];
    size_t len;

    if (v == NULL)
        return 0;
    if (json_is_integer(v)) {
        r->id_kind = RECORD_ID_INT;
        r->id_int = json_integer_value(v);
        return 0;
    }
    if (!json_is_string(v))
        return fail_type(l, KEY_ID, -1, "a string or an integer", v);
    len = json_string_length(v);
    if (len == 0)
        return fail(l, KEY_ID, "invalid_value", "is empty");
    if (len > RECORD_ID_BYTES_MAX)
        return record_error_set(l->e, "too_large", "id",
                                "\"id\" has %zu bytes, at most %u are allowed",
                                len, RECORD_ID_BYTES_MAX);
    r->id_kind = RECORD_ID_STRING;
    r->id = copy(json_string_value(v), len);
    r->id_len = len;
    return 0;
}

static int read_metadata(struct line *l, struct record *r)
{
    const json_t *v = l->value[KEY_METADATA];
    struct buf compact = BUF_INIT;

    if (v == NULL)
        return 0;
    if (!json_is_object(v))
        return fail_type(l, KEY_METADATA, -1, "an object", v);
    json_span_compact(json_span_member(l->text, l->len, l->metadata_at),
                      &compact);
    r->metadata = compact.data;
    return 0;
}

/* `nth` as in fail_type(). */
static int read_text(struct line *l, enum key key, long nth, const json_t *v,
                     struct record_text *out)
{
    if (!json_is_string(v))
        return fail_type(l, key, nth, "a string", v);
    out->is_ids = false;
    out->len = json_string_length(v);
    out->text = copy(json_string_value(v), out->len);
    return 0;
}

static int read_ids(struct line *l, enum key key, long nth, const json_t *v,
                    struct record_text *out)
{
    if (!json_is_array(v))
        return fail_type(l, key, nth, "an array of token ids", v);
    out->is_ids = true;
    out->n = json_array_size(v);
    out->id = xcalloc(out->n, sizeof *out->id);
    for (size_t i = 0; i < out->n; i++) {
        const json_t *id = json_array_get(v, i);
        json_int_t value = json_integer_value(id);

        if (!json_is_integer(id))
            return record_error_set(l->e, "wrong_type", key_names[key],
                                    "\"%s\": token id %zu must be an integer, "
                                    "not %s",
                                    key_names[key], i + 1, type_name(id));
        if (value < 0 || value > INT32_MAX)
            return record_error_set(l->e, "invalid_value", key_names[key],
                                    "\"%s\": token id %zu is %lld, allowed "
                                    "0..%d",
                                    key_names[key], i + 1, (long long)value,
                                    INT32_MAX);
        out->id[i] = (int32_t)value;
    }
    return 0;
}

/* The value of `key`, or of its twin with token ids, which directly follows in
 * enum key. One must be there, not both.
 */
static int pick(struct line *l, enum key key, enum key *got)
{
    if (l->value[key] != NULL && l->value[key + 1] != NULL)
        return record_error_set(l->e, "invalid_value", key_names[key + 1],
                                "\"%s\" and \"%s\" exclude each other",
                                key_names[key], key_names[key + 1]);
    if (l->value[key] == NULL && l->value[key + 1] == NULL)
        return record_error_set(l->e, "missing_field", key_names[key],
                                "\"%s\" is missing", key_names[key]);
    *got = l->value[key] != NULL ? key : (enum key)(key + 1);
    return 0;
}

static int read_either(struct line *l, enum key key, struct record_text *out)
{
    enum key got;

    if (pick(l, key, &got) < 0)
        return -1;
    return got == key ? read_text(l, got, -1, l->value[got], out)
                      : read_ids(l, got, -1, l->value[got], out);
}

static bool text_empty(const struct record_text *t)
{
    return t->is_ids ? t->n == 0 : t->len == 0;
}

static int read_target(struct line *l, struct record *r)
{
    enum key got = l->value[KEY_TARGET] ? KEY_TARGET : KEY_TARGET_IDS;

    r->target = xcalloc(1, sizeof *r->target);
    r->n_target = 1;
    if (read_either(l, KEY_TARGET, r->target) < 0)
        return -1;
    if (text_empty(r->target))
        return fail(l, got, "invalid_value", "is empty: nothing to score");
    return 0;
}

static int read_choices(struct line *l, struct record *r)
{
    const json_t *v;
    enum key got;

    if (pick(l, KEY_CHOICES, &got) < 0)
        return -1;
    v = l->value[got];
    if (!json_is_array(v))
        return fail_type(l, got, -1, "an array", v);
    if (json_array_size(v) == 0)
        return fail(l, got, "invalid_value", "is empty: nothing to choose");
    if (json_array_size(v) > RECORD_CHOICES_MAX)
        return record_error_set(l->e, "too_large", key_names[got],
                                "\"%s\" has %zu entries, at most %u are "
                                "allowed",
                                key_names[got], json_array_size(v),
                                RECORD_CHOICES_MAX);
    r->target = xcalloc(json_array_size(v), sizeof *r->target);
    r->n_target = json_array_size(v);
    for (size_t i = 0; i < r->n_target; i++) {
        const json_t *one = json_array_get(v, i);
        int status = got == KEY_CHOICES
                         ? read_text(l, got, (long)i, one, &r->target[i])
                         : read_ids(l, got, (long)i, one, &r->target[i]);

        if (status < 0)
            return -1;
        if (text_empty(&r->target[i]))
            return record_error_set(l->e, "invalid_value", key_names[got],
                                    "\"%s\"[%zu] is empty: nothing to score",
                                    key_names[got], i);
    }
    return 0;
}

/* ---- numbers ---- */

static int read_int(struct line *l, enum key key, int64_t min, int64_t max,
                    int64_t *out)
{
    const json_t *v = l->value[key];

    if (v == NULL)
        return 0;
    if (!json_is_integer(v))
        return fail_type(l, key, -1, "an integer", v);
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return record_error_set(
            l->e, "invalid_value", key_names[key],
            "\"%s\" is %lld, allowed %lld..%lld", key_names[key],
            (long long)json_integer_value(v), (long long)min, (long long)max);
    *out = json_integer_value(v);
    return 0;
}

/* 0 itself is allowed only with `zero`. */
static int read_real(struct line *l, enum key key, bool zero, double max,
                     double *out)
{
    const json_t *v = l->value[key];
    double x = json_number_value(v);

    if (v == NULL)
        return 0;
    if (!json_is_number(v))
        return fail_type(l, key, -1, "a number", v);
    if (x < 0 || x > max || (x == 0 && !zero))
        return record_error_set(l->e, "invalid_value", key_names[key],
                                "\"%s\" is %g, allowed %s %g", key_names[key],
                                x, zero ? "0 to" : "above 0, up to", max);
    *out = x;
    return 0;
}

static int read_gold(struct line *l, struct record *r)
{
    int64_t gold = -1;

    if (read_int(l, KEY_GOLD, 0, (int64_t)r->n_target - 1, &gold) < 0)
        return -1;
    r->gold = (int32_t)gold;
    return 0;
}

static int read_stops(struct line *l, struct record *r)
{
    const json_t *v = l->value[KEY_STOP];
    size_t n = json_is_array(v) ? json_array_size(v) : 1;

    if (v == NULL)
        return 0;
    if (!json_is_array(v) && !json_is_string(v))
        return fail_type(l, KEY_STOP, -1, "a string or an array of strings", v);
    if (n == 0)
        return fail(l, KEY_STOP, "invalid_value", "is empty");
    if (n > RECORD_STOPS_MAX)
        return record_error_set(l->e, "too_large", "stop",
                                "\"stop\" has %zu entries, at most %u are "
                                "allowed",
                                n, RECORD_STOPS_MAX);
    r->stop = xcalloc(n, sizeof *r->stop);
    r->n_stop = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;

        if (read_text(l, KEY_STOP, json_is_array(v) ? (long)i : -1, one,
                      &r->stop[i])
            < 0)
            return -1;
        if (r->stop[i].len == 0)
            return fail(l, KEY_STOP, "invalid_value",
                        "contains an empty string");
        if (r->stop[i].len > RECORD_STOP_BYTES_MAX)
            return record_error_set(l->e, "too_large", "stop",
                                    "a stop string has %zu bytes, at most %u "
                                    "are allowed",
                                    r->stop[i].len, RECORD_STOP_BYTES_MAX);
    }
    return 0;
}

static int read_sampling(struct line *l, struct record *r)
{
    int64_t max_tokens = MAX_TOKENS_DEFAULT, top_k = 0, seed = 0;

    if (read_int(l, KEY_MAX_TOKENS, 1, RECORD_MAX_TOKENS_MAX, &max_tokens) < 0
        || read_real(l, KEY_TEMPERATURE, true, TEMPERATURE_MAX, &r->temperature)
               < 0
        || read_real(l, KEY_TOP_P, false, 1.0, &r->top_p) < 0
        || read_int(l, KEY_TOP_K, 0, INT32_MAX, &top_k) < 0
        || read_int(l, KEY_SEED, 0, INT64_MAX, &seed) < 0)
        return -1;
    r->max_tokens = (int32_t)max_tokens;
    r->top_k = (int32_t)top_k;
    r->has_seed = l->value[KEY_SEED] != NULL;
    r->seed = (uint64_t)seed;
    return read_stops(l, r);
}

/* ---- the line as a whole ---- */

static bool has(const struct line *l, enum key key)
{
    return l->value[key] != NULL || l->value[key + 1] != NULL;
}

/* Which kind of line this is: each has one key that no other has. */
static int find_kind(struct line *l, enum record_kind *kind)
{
    static const enum key mark[] = {
        [RECORD_SCORE] = KEY_TARGET,
        [RECORD_CHOICE] = KEY_CHOICES,
        [RECORD_ROLLING] = KEY_TEXT,
        [RECORD_GENERATE] = KEY_PROMPT,
    };
    int found = -1;

    for (int k = 0; k < 4; k++) {
        if (!has(l, mark[k]))
            continue;
        if (found >= 0)
            return record_error_set(l->e, "invalid_value", key_names[mark[k]],
                                    "\"%s\" and \"%s\" exclude each other",
                                    key_names[mark[found]], key_names[mark[k]]);
        found = k;
    }
    if (found >= 0) {
        *kind = (enum record_kind)found;
        return 0;
    }
    if (has(l, KEY_CONTEXT))
        return record_error_set(l->e, "missing_field", "target",
                                "\"target\" is missing (a line with "
                                "\"context\" is scored: it needs \"target\" or "
                                "\"choices\")");
    return record_error_set(l->e, "missing_field", "",
                            "nothing to do: a line needs \"target\", "
                            "\"choices\", \"text\" or \"prompt\"");
}

/* Known keys that this kind of line has no use for are mistakes too. */
static int check_keys(struct line *l, enum record_kind kind)
{
    for (int i = 0; i < N_KEYS; i++)
        if (l->value[i] != NULL && (key_kinds[i] & BIT(kind)) == 0)
            return record_error_set(l->e, "unknown_key", key_names[i],
                                    "\"%s\" does not belong in %s",
                                    key_names[i], kind_names[kind]);
    return 0;
}

static int read_kind(struct line *l, struct record *r)
{
    if (find_kind(l, &r->kind) < 0 || check_keys(l, r->kind) < 0)
        return -1;
    switch (r->kind) {
    case RECORD_SCORE:
        if (read_either(l, KEY_CONTEXT, &r->context) < 0)
            return -1;
        return read_target(l, r);
    case RECORD_CHOICE:
        if (read_either(l, KEY_CONTEXT, &r->context) < 0
            || read_choices(l, r) < 0)
            return -1;
        return read_gold(l, r);
    case RECORD_ROLLING:
        if (read_either(l, KEY_TEXT, &r->context) < 0)
            return -1;
        if (text_empty(&r->context))
            return fail(l, r->context.is_ids ? KEY_TEXT_IDS : KEY_TEXT,
                        "invalid_value", "is empty: nothing to score");
        return 0;
    case RECORD_GENERATE:
        if (read_either(l, KEY_PROMPT, &r->context) < 0)
            return -1;
        return read_sampling(l, r);
    }
    return -1;
}

/* The id is read even when something else is wrong: the error line needs it. */
static int read_line(struct line *l, json_t *root, struct record *r)
{
    struct record_error also;

    if (line_sort(l, root) < 0) {
        l->e = &also;
        read_id(l, r);
        return -1;
    }
    if (read_id(l, r) < 0 || read_metadata(l, r) < 0)
        return -1;
    return read_kind(l, r);
}

struct record *record_parse(const char *line, size_t len, uint64_t number,
                            struct record *partial, struct record_error *e)
{
    struct line l = {.text = line, .len = len, .e = e};
    struct record *r = xcalloc(1, sizeof *r);
    json_t *root = parse_json(line, len, e);
    int status = -1;

    r->line = number;
    r->gold = -1;
    r->top_p = 1;
    if (root != NULL) {
        status = read_line(&l, root, r);
        json_decref(root);
    }
    if (status == 0)
        return r;
    if (partial != NULL) {
        *partial = (struct record){.line = number,
                                   .gold = -1,
                                   .id_kind = r->id_kind,
                                   .id = r->id,
                                   .id_len = r->id_len,
                                   .id_int = r->id_int};
        r->id = NULL;
    }
    record_free(r);
    return NULL;
}

static void text_free(struct record_text *t)
{
    free(t->text);
    free(t->id);
}

void record_clear(struct record *r)
{
    text_free(&r->context);
    for (size_t i = 0; i < r->n_target; i++)
        text_free(&r->target[i]);
    for (size_t i = 0; i < r->n_stop; i++)
        text_free(&r->stop[i]);
    free(r->target);
    free(r->stop);
    free(r->id);
    free(r->metadata);
    *r = (struct record){0};
}

void record_free(struct record *r)
{
    if (r == NULL)
        return;
    record_clear(r);
    free(r);
}

/* ---- ids ---- */

static void put_u64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* BLAKE2b of key, kind and value; a prefix key suffices, as BLAKE2b cannot be
 * extended.
 */
void record_id_hash(const struct record *r, const uint8_t key[16],
                    uint8_t out[16])
{
    uint8_t in[16 + 1 + RECORD_ID_BYTES_MAX];
    uint8_t hash[HASH_BYTES];
    size_t len = 17;

    memcpy(in, key, 16);
    if (r->id_kind == RECORD_ID_STRING) {
        assert(r->id_len <= RECORD_ID_BYTES_MAX);
        in[16] = 's';
        memcpy(in + len, r->id, r->id_len);
        len += r->id_len;
    } else {
        in[16] = 'i';
        put_u64(in + len,
                r->id_kind == RECORD_ID_INT ? (uint64_t)r->id_int : r->line);
        len += 8;
    }
    hash_bytes(in, len, hash);
    memcpy(out, hash, 16);
}

uint64_t record_stream_key(const struct record *r, uint64_t job_seed)
{
    uint8_t seed[8];
    char digits[24];
    struct hash_part part[2] = {{seed, sizeof seed}, {digits, 0}};

    if (r->has_seed)
        return r->seed;
    put_u64(seed, job_seed);
    if (r->id_kind == RECORD_ID_STRING)
        part[1] = (struct hash_part){r->id, r->id_len};
    else if (r->id_kind == RECORD_ID_INT)
        part[1].len = (size_t)snprintf(digits, sizeof digits, "%lld",
                                       (long long)r->id_int);
    else
        part[1].len = (size_t)snprintf(digits, sizeof digits, "%llu",
                                       (unsigned long long)r->line);
    return hash_u64(part, 2);
}
