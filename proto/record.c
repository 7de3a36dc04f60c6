#include "proto/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/json_read.h"
#include "proto/members.h"

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

static struct json_tree *read_object(const char *line, size_t len,
                                     struct record_error *e)
{
    struct json_tree *t;

    if (len > RECORD_BYTES_MAX) {
        record_error_set(e, "too_large", "",
                         "a line of %zu bytes, at most %u are allowed", len,
                         RECORD_BYTES_MAX);
        return NULL;
    }
    t = json_read(line, len, e);
    if (t == NULL || json_root(t)->is == JSON_IS_OBJECT)
        return t;
    record_error_set(e, "wrong_type", "",
                     "a line must be a JSON object, not %s",
                     json_is_name(json_root(t)->is));
    json_tree_free(t);
    return NULL;
}

/* ---- values ---- */

static int read_id(struct members *m, struct record *r)
{
    const struct json_value *v = m->value[KEY_ID];

    if (v == NULL)
        return 0;
    if (v->is == JSON_IS_INTEGER) {
        r->id_kind = RECORD_ID_INT;
        r->id_int = v->integer;
        return 0;
    }
    if (v->is != JSON_IS_STRING)
        return members_fail_type(m, KEY_ID, -1, "a string or an integer", v);
    if (v->len == 0)
        return members_fail(m, KEY_ID, "invalid_value", "is empty");
    if (v->len > RECORD_ID_BYTES_MAX)
        return record_error_set(m->e, "too_large", "id",
                                "\"id\" has %zu bytes, at most %u are allowed",
                                v->len, RECORD_ID_BYTES_MAX);
    r->id_kind = RECORD_ID_STRING;
    r->id = members_copy(v);
    r->id_len = v->len;
    return 0;
}

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
static int pick(struct members *m, enum key key, enum key *got)
{
    if (m->value[key] != NULL && m->value[key + 1] != NULL)
        return record_error_set(m->e, "invalid_value", key_names[key + 1],
                                "\"%s\" and \"%s\" exclude each other",
                                key_names[key], key_names[key + 1]);
    if (m->value[key] == NULL && m->value[key + 1] == NULL)
        return record_error_set(m->e, "missing_field", key_names[key],
                                "\"%s\" is missing", key_names[key]);
    *got = m->value[key] != NULL ? key : (enum key)(key + 1);
    return 0;
}

static int read_either(struct members *m, enum key key, struct record_text *out)
{
    enum key got;

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
    enum key got = m->value[KEY_TARGET] ? KEY_TARGET : KEY_TARGET_IDS;

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
    enum key got;

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

static int read_sampling(struct members *m, struct record *r)
{
    int64_t max_tokens = MAX_TOKENS_DEFAULT, top_k = 0, seed = 0;

    if (members_int(m, KEY_MAX_TOKENS, 1, RECORD_MAX_TOKENS_MAX, &max_tokens)
            < 0
        || members_real(m, KEY_TEMPERATURE, 0, false, TEMPERATURE_MAX,
                        &r->temperature)
               < 0
        || members_real(m, KEY_TOP_P, 0, true, 1.0, &r->top_p) < 0
        || members_int(m, KEY_TOP_K, 0, INT32_MAX, &top_k) < 0
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
        if (m->value[i] != NULL && (key_kinds[i] & BIT(kind)) == 0)
            return record_error_set(m->e, "unknown_key", key_names[i],
                                    "\"%s\" does not belong in %s",
                                    key_names[i], kind_names[kind]);
    return 0;
}

static int read_kind(struct members *m, struct record *r)
{
    if (find_kind(m, &r->kind) < 0 || check_keys(m, r->kind) < 0)
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
        if (read_either(m, KEY_PROMPT, &r->context) < 0)
            return -1;
        return read_sampling(m, r);
    }
    return -1;
}

/* The id is read even when something else is wrong: the error line needs it. */
static int read_line(struct members *m, const struct json_value *root,
                     struct record *r)
{
    const struct json_value *unknown = members_sort(m, root);
    struct record_error also;

    if (unknown != NULL) {
        members_unknown(m, unknown->name);
        m->e = &also;
        read_id(m, r);
        return -1;
    }
    if (read_id(m, r) < 0 || read_metadata(m, r) < 0)
        return -1;
    return read_kind(m, r);
}

struct record *record_parse(const char *line, size_t len, uint64_t number,
                            struct record *partial, struct record_error *e)
{
    struct members m = {.name = key_names, .e = e};
    struct record *r = xcalloc(1, sizeof *r);
    struct json_tree *t = read_object(line, len, e);
    int status = -1;

    r->line = number;
    r->gold = -1;
    r->top_p = 1;
    if (t != NULL) {
        status = read_line(&m, json_root(t), r);
        json_tree_free(t);
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
