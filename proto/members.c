#include "proto/members.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"

#define PENALTY_MAX 2.0 /* OpenAI's limits */
#define BIAS_MAX 100.0
#define REPETITION_MAX 100.0

/* It is an error, or a warning of the record. */
static int object_to(struct members *m)
{
    struct record *r = m->r;

    if (!m->lenient)
        return -1;
    if (r->n_warnings++ == 0)
        r->warning = xstrdup(m->e->message);
    return 0;
}

static int unknown(struct members *m, const char *name)
{
    const char *near = conf_nearest(name, m->name);

    if (near != NULL)
        record_error_set(m->e, "unknown_key", name,
                         "unknown key \"%s\"; did you mean \"%s\"?", name,
                         near);
    else
        record_error_set(m->e, "unknown_key", name, "unknown key \"%s\"%s",
                         name,
                         m->r->form == RECORD_NATIVE
                             ? " (own data may travel in \"metadata\")"
                             : "");
    return object_to(m);
}

int members_misplaced(struct members *m, int key, const char *where)
{
    record_error_set(m->e, "unknown_key", m->name[key],
                     "\"%s\" does not belong in %s", m->name[key], where);
    m->value[key] = NULL;
    return object_to(m);
}

int members_sort(struct members *m, const struct json_value *object)
{
    const struct json_value *first = NULL;

    for (const struct json_value *v = object->first; v; v = v->next) {
        int key = 0;

        while (m->name[key] != NULL && strcmp(m->name[key], v->name) != 0)
            key++;
        if (m->name[key] != NULL)
            m->value[key] = v;
        else if (m->lenient)
            unknown(m, v->name);
        else if (first == NULL)
            first = v;
    }
    return first == NULL ? 0 : unknown(m, first->name);
}

int members_fail(struct members *m, int key, const char *code, const char *what)
{
    return record_error_set(m->e, code, m->name[key], "\"%s\" %s", m->name[key],
                            what);
}

int members_fail_type(struct members *m, int key, long nth, const char *wanted,
                      const struct json_value *got)
{
    char element[32] = "";

    if (nth >= 0)
        snprintf(element, sizeof element, "[%ld]", nth);
    return record_error_set(m->e, "wrong_type", m->name[key],
                            "\"%s\"%s must be %s, not %s", m->name[key],
                            element, wanted, json_is_name(got->is));
}

int members_int(struct members *m, int key, int64_t min, int64_t max,
                int64_t *out)
{
    const struct json_value *v = m->value[key];

    if (v == NULL)
        return 0;
    if (v->is != JSON_IS_INTEGER)
        return members_fail_type(m, key, -1, "an integer", v);
    if (v->integer < min || v->integer > max)
        return record_error_set(m->e, "invalid_value", m->name[key],
                                "\"%s\" is %lld, allowed %lld..%lld",
                                m->name[key], (long long)v->integer,
                                (long long)min, (long long)max);
    *out = v->integer;
    return 0;
}

int members_real(struct members *m, int key, double min, bool above, double max,
                 double *out)
{
    const struct json_value *v = m->value[key];

    if (v == NULL)
        return 0;
    if (v->is != JSON_IS_INTEGER && v->is != JSON_IS_REAL)
        return members_fail_type(m, key, -1, "a number", v);
    if (v->number < min || v->number > max || (v->number <= min && above))
        return record_error_set(m->e, "invalid_value", m->name[key],
                                "\"%s\" is %g, allowed %s%g%s %g", m->name[key],
                                v->number, above ? "above " : "", min,
                                above ? ", up to" : " to", max);
    *out = v->number;
    return 0;
}

int members_bool(struct members *m, int key, bool *out)
{
    const struct json_value *v = m->value[key];

    if (v == NULL)
        return 0;
    if (v->is != JSON_IS_TRUE && v->is != JSON_IS_FALSE)
        return members_fail_type(m, key, -1, "true or false", v);
    *out = v->is == JSON_IS_TRUE;
    return 0;
}

char *members_copy(const struct json_value *string)
{
    char *to = xcalloc(1, string->len + 1);

    memcpy(to, string->text, string->len);
    return to;
}

int members_id(struct members *m, int key, bool integers, struct record *r)
{
    const struct json_value *v = m->value[key];

    if (v == NULL)
        return 0;
    if (v->is == JSON_IS_INTEGER && integers) {
        r->id_kind = RECORD_ID_INT;
        r->id_int = v->integer;
        return 0;
    }
    if (v->is != JSON_IS_STRING)
        return members_fail_type(
            m, key, -1, integers ? "a string or an integer" : "a string", v);
    if (v->len == 0)
        return members_fail(m, key, "invalid_value", "is empty");
    if (v->len > RECORD_ID_BYTES_MAX)
        return record_error_set(m->e, "too_large", m->name[key],
                                "\"%s\" has %zu bytes, at most %u are allowed",
                                m->name[key], v->len, RECORD_ID_BYTES_MAX);
    r->id_kind = RECORD_ID_STRING;
    r->id = members_copy(v);
    r->id_len = v->len;
    return 0;
}

int members_text(struct members *m, int key, long nth,
                 const struct json_value *v, struct record_text *out)
{
    if (v->is != JSON_IS_STRING)
        return members_fail_type(m, key, nth, "a string", v);
    out->is_ids = false;
    out->len = v->len;
    out->text = members_copy(v);
    return 0;
}

int members_ids(struct members *m, int key, long nth,
                const struct json_value *v, struct record_text *out)
{
    size_t i = 0;

    if (v->is != JSON_IS_ARRAY)
        return members_fail_type(m, key, nth, "an array of token ids", v);
    out->is_ids = true;
    out->n = v->n;
    out->id = xcalloc(out->n, sizeof *out->id);
    for (const struct json_value *id = v->first; id != NULL; id = id->next) {
        if (id->is != JSON_IS_INTEGER)
            return record_error_set(m->e, "wrong_type", m->name[key],
                                    "\"%s\": token id %zu must be an integer, "
                                    "not %s",
                                    m->name[key], i + 1, json_is_name(id->is));
        if (id->integer < 0 || id->integer > INT32_MAX)
            return record_error_set(m->e, "invalid_value", m->name[key],
                                    "\"%s\": token id %zu is %lld, allowed "
                                    "0..%d",
                                    m->name[key], i + 1, (long long)id->integer,
                                    INT32_MAX);
        out->id[i++] = (int32_t)id->integer;
    }
    return 0;
}

int members_either(struct members *m, int key, long nth,
                   const struct json_value *v, struct record_text *out)
{
    if (v->is == JSON_IS_ARRAY)
        return members_ids(m, key, nth, v, out);
    if (v->is == JSON_IS_STRING)
        return members_text(m, key, nth, v, out);
    return members_fail_type(m, key, nth, "a string or an array of token ids",
                             v);
}

static int read_stop(struct members *m, int key, long nth,
                     const struct json_value *v, struct record_text *out)
{
    if (members_text(m, key, nth, v, out) < 0)
        return -1;
    if (out->len == 0)
        return members_fail(m, key, "invalid_value",
                            "contains an empty string");
    if (out->len > RECORD_STOP_BYTES_MAX)
        return record_error_set(m->e, "too_large", m->name[key],
                                "a stop string has %zu bytes, at most %u are "
                                "allowed",
                                out->len, RECORD_STOP_BYTES_MAX);
    return 0;
}

int members_stops(struct members *m, int key, struct record *r)
{
    const struct json_value *v = m->value[key], *one;
    bool list = v != NULL && v->is == JSON_IS_ARRAY;
    size_t n = list ? v->n : 1;

    if (v == NULL)
        return 0;
    if (!list && v->is != JSON_IS_STRING)
        return members_fail_type(m, key, -1, "a string or an array of strings",
                                 v);
    if (n == 0)
        return members_fail(m, key, "invalid_value", "is empty");
    if (n > RECORD_STOPS_MAX)
        return record_error_set(m->e, "too_large", m->name[key],
                                "\"%s\" has %zu entries, at most %u are "
                                "allowed",
                                m->name[key], n, RECORD_STOPS_MAX);
    r->stop = xcalloc(n, sizeof *r->stop);
    r->n_stop = n;
    one = list ? v->first : v;
    for (size_t i = 0; i < n; i++, one = one->next) {
        if (read_stop(m, key, list ? (long)i : -1, one, &r->stop[i]) < 0)
            return -1;
    }
    return 0;
}

/* The token that a member of logit_bias is named after, or -1. */
static int64_t token_named(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    if (digits == 0 || digits > 10 || name[digits] != '\0'
        || (name[0] == '0' && digits > 1))
        return -1;
    return strtoll(name, NULL, 10);
}

static int by_token(const void *a, const void *b)
{
    const struct record_bias *x = a, *y = b;

    return (x->token > y->token) - (x->token < y->token);
}

static int read_bias(struct members *m, int key, struct record *r)
{
    const struct json_value *v = m->value[key];

    if (v == NULL)
        return 0;
    if (v->is != JSON_IS_OBJECT)
        return members_fail_type(m, key, -1, "an object", v);
    if (v->n > RECORD_BIAS_MAX)
        return record_error_set(m->e, "too_large", m->name[key],
                                "\"%s\" has %zu tokens, at most %u are allowed",
                                m->name[key], v->n, RECORD_BIAS_MAX);
    r->bias = xcalloc(v->n, sizeof *r->bias);
    for (v = v->first; v != NULL; v = v->next) {
        int64_t token = token_named(v->name);

        if (token < 0 || token > INT32_MAX)
            return record_error_set(m->e, "invalid_value", m->name[key],
                                    "\"%s\": \"%.32s\" is not a token id",
                                    m->name[key], v->name);
        if (v->is != JSON_IS_INTEGER && v->is != JSON_IS_REAL)
            return record_error_set(m->e, "wrong_type", m->name[key],
                                    "\"%s\": the bias of token %lld must be a"
                                    " number, not %s",
                                    m->name[key], (long long)token,
                                    json_is_name(v->is));
        if (!(fabs(v->number) <= BIAS_MAX))
            return record_error_set(m->e, "invalid_value", m->name[key],
                                    "\"%s\": the bias of token %lld is %g,"
                                    " allowed %g to %g",
                                    m->name[key], (long long)token, v->number,
                                    -BIAS_MAX, BIAS_MAX);
        r->bias[r->n_bias++] = (struct record_bias){(int32_t)token, v->number};
    }
    qsort(r->bias, r->n_bias, sizeof *r->bias, by_token);
    return 0;
}

int members_penalties(struct members *m, int first, struct record *r)
{
    if (members_real(m, first, 0, false, 1, &r->min_p) < 0
        || members_real(m, first + 1, -PENALTY_MAX, false, PENALTY_MAX,
                        &r->presence_penalty)
               < 0
        || members_real(m, first + 2, -PENALTY_MAX, false, PENALTY_MAX,
                        &r->frequency_penalty)
               < 0
        || members_real(m, first + 3, 0, true, REPETITION_MAX,
                        &r->repetition_penalty)
               < 0)
        return -1;
    return read_bias(m, first + 4, r);
}
