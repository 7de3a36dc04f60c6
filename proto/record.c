#include "proto/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/json_read.h"
#include "proto/record_impl.h"

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

static void put_u64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static void make_tag(const struct record_job *job, const char *line, size_t len,
                     struct record *r)
{
    struct hash_ctx *ctx = hash_begin();
    uint8_t number[8], hash[HASH_BYTES];

    put_u64(number, r->line);
    hash_update(ctx, line, len);
    hash_update(ctx, number, sizeof number);
    if (job->fingerprint != NULL)
        hash_update(ctx, job->fingerprint, HASH_BYTES);
    hash_end(ctx, hash);
    memcpy(r->tag, hash, sizeof r->tag);
}

static int read_line(const struct record_job *job, const char *line, size_t len,
                     struct record *r, struct record_error *e)
{
    struct json_tree *t = read_object(line, len, e);
    int status;

    if (t == NULL)
        return -1;
    r->form_known = true;
    if (record_is_openai(json_root(t))) {
        r->form = RECORD_OPENAI;
        status = record_read_openai(job, json_root(t), r, e);
    } else {
        status = record_read_native(job, json_root(t), r, e);
    }
    json_tree_free(t);
    return status;
}

struct record *record_parse(const struct record_job *job, const char *line,
                            size_t len, uint64_t number, struct record *partial,
                            struct record_error *e)
{
    static const struct record_job none;
    struct record *r = xcalloc(1, sizeof *r);
    int status;

    if (job == NULL)
        job = &none;

    r->line = number;
    r->gold = -1;
    r->n = 1;
    r->top_p = 1;
    r->repetition_penalty = 1;
    status = read_line(job, line, len, r, e);
    if (r->form == RECORD_OPENAI || status < 0)
        make_tag(job, line, len, r);
    if (status == 0)
        return r;
    if (partial != NULL) {
        *partial = (struct record){.line = number,
                                   .form = r->form,
                                   .form_known = r->form_known,
                                   .gold = -1,
                                   .id_kind = r->id_kind,
                                   .id = r->id,
                                   .id_len = r->id_len,
                                   .id_int = r->id_int};
        memcpy(partial->tag, r->tag, sizeof r->tag);
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

static void texts_free(struct record_text *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_free(&t[i]);
    free(t);
}

void record_clear(struct record *r)
{
    text_free(&r->context);
    texts_free(r->target, r->n_target);
    texts_free(r->prompt, r->n_prompt);
    texts_free(r->stop, r->n_stop);
    free(r->bias);
    for (size_t i = 0; i < r->n_message; i++)
        text_free(&r->message[i].content);
    free(r->message);
    free(r->id);
    free(r->model);
    free(r->metadata);
    free(r->warning);
    *r = (struct record){0};
}

void record_free(struct record *r)
{
    if (r == NULL)
        return;
    record_clear(r);
    free(r);
}

static bool any_text(const struct record_text *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!t[i].is_ids)
            return true;
    return false;
}

bool record_has_text(const struct record *r)
{
    if (r->kind == RECORD_GENERATE)
        return r->n_message > 0 || any_text(r->prompt, r->n_prompt);
    return any_text(&r->context, 1) || any_text(r->target, r->n_target);
}

size_t record_samples(const struct record *r)
{
    return r->n_message > 0 ? r->n : r->n * r->n_prompt;
}

/* ---- ids ---- */

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
