#include "proto/validate.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/wire.h"

#define TEXT_BYTES_MAX 512 /* names, reasons, messages */
#define METADATA_BYTES_MAX (16u << 10)
#define HASH_SIZE 32
#define ID_SIZE 16
#define IN_FLIGHT_MAX 4096 /* rows of a step that a crash may name */
#define SCALE_MAX 1e15     /* of doubles that are rates */

static int bad(struct err *err, const char *field, const char *why)
{
    return err_set(err, ERR_PROTOCOL, "%s: %s", field, why);
}

/* Well-formed UTF-8 without control characters. (text/ is not ours to use.) */
static bool plain_text(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p != 0) {
        unsigned n = *p < 0x80   ? 0
                     : *p < 0xC2 ? 9
                     : *p < 0xE0 ? 1
                     : *p < 0xF0 ? 2
                     : *p < 0xF5 ? 3
                                 : 9;

        if (n == 9 || *p < 0x20 || *p == 0x7F)
            return false;
        if ((*p == 0xE0 && p[1] < 0xA0) || (*p == 0xED && p[1] > 0x9F)
            || (*p == 0xF0 && p[1] < 0x90) || (*p == 0xF4 && p[1] > 0x8F))
            return false;
        for (p++; n > 0; n--, p++) {
            if ((*p & 0xC0) != 0x80)
                return false;
        }
    }
    return true;
}

static int check_text(const char *s, size_t min, size_t max, const char *field,
                      struct err *err)
{
    size_t len = strlen(s);

    if (len < min)
        return bad(err, field, "empty");
    if (len > max)
        return bad(err, field, "too long");
    if (!plain_text(s))
        return bad(err, field, "not plain UTF-8 text");
    return 0;
}

static int check_size(const ProtobufCBinaryData *b, size_t size,
                      const char *field, struct err *err)
{
    return b->len == size ? 0 : bad(err, field, "wrong length");
}

static int check_count(size_t n, size_t max, const char *field, struct err *err)
{
    return n <= max ? 0 : bad(err, field, "too many");
}

static int check_enum(const ProtobufCEnumDescriptor *d, int value,
                      const char *field, struct err *err)
{
    return protobuf_c_enum_descriptor_get_value(d, value) != NULL
               ? 0
               : bad(err, field, "unknown value");
}

static int check_token(const Skein__Token *t, const char *field,
                       struct err *err)
{
    if (t == NULL)
        return bad(err, field, "missing");
    if (t->epoch == 0 || t->job == 0 || t->attempt == 0)
        return bad(err, field, "epoch, job and attempt count from 1");
    return 0;
}

static int check_tokens(Skein__Token *const *t, size_t n, const char *field,
                        struct err *err)
{
    if (check_count(n, HELD_MAX, field, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (check_token(t[i], field, err) < 0)
            return -1;
    }
    return 0;
}

static int check_held(Skein__Held *const *h, size_t n, struct err *err)
{
    if (check_count(n, HELD_MAX, "held", err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (check_token(h[i]->token, "held.token", err) < 0
            || check_enum(&skein__held_state__descriptor, (int)h[i]->state,
                          "held.state", err)
                   < 0)
            return -1;
    }
    return 0;
}

static int check_devices(Skein__Device *const *d, size_t n, struct err *err)
{
    if (check_count(n, DEVICES_MAX, "device", err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (check_text(d[i]->name, 1, TEXT_BYTES_MAX, "device.name", err) < 0
            || check_text(d[i]->state, 0, 64, "device.state", err) < 0
            || check_text(d[i]->model, 0, TEXT_BYTES_MAX, "device.model", err)
                   < 0)
            return -1;
        if (!isfinite(d[i]->tokens_per_s) || d[i]->tokens_per_s < 0
            || d[i]->tokens_per_s > SCALE_MAX)
            return bad(err, "device.tokens_per_s", "not a rate");
    }
    return 0;
}

static int check_models(Skein__Model *const *m, size_t n, struct err *err)
{
    if (check_count(n, MODELS_MAX, "model", err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (check_text(m[i]->name, 1, MODEL_NAME_BYTES_MAX, "model.name", err)
                < 0
            || check_size(&m[i]->fingerprint, HASH_SIZE, "model.fingerprint",
                          err)
                   < 0)
            return -1;
        if (m[i]->vocab < 1)
            return bad(err, "model.vocab", "not positive");
    }
    return 0;
}

static int check_spec(const Skein__JobSpec *s, struct err *err)
{
    if (s == NULL)
        return bad(err, "spec", "missing");
    if (check_text(s->name, 1, JOB_NAME_BYTES_MAX, "spec.name", err) < 0
        || check_text(s->model, 1, MODEL_NAME_BYTES_MAX, "spec.model", err) < 0
        || check_text(s->user, 0, 64, "spec.user", err) < 0
        || check_enum(&skein__bos__descriptor, (int)s->bos, "spec.bos", err)
               < 0)
        return -1;
    if (s->metadata.len > METADATA_BYTES_MAX)
        return bad(err, "spec.metadata", "too long");
    return 0;
}

static int check_hash_or_none(const ProtobufCBinaryData *b, const char *field,
                              struct err *err)
{
    return b->len == 0 ? 0 : check_size(b, HASH_SIZE, field, err);
}

static int on_error(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Error *m = (const Skein__Error *)any;

    if (m->code == 0 || m->code > 255)
        return bad(err, "code", "not 1..255");
    return check_text(m->message, 0, TEXT_BYTES_MAX, "message", err);
}

static int on_hello(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Hello *m = (const Skein__Hello *)any;

    if (check_size(&m->incarnation, ID_SIZE, "incarnation", err) < 0
        || check_text(m->name, 1, TEXT_BYTES_MAX, "name", err) < 0
        || check_text(m->host, 0, TEXT_BYTES_MAX, "host", err) < 0
        || check_text(m->version, 0, 64, "version", err) < 0
        || check_models(m->model, m->n_model, err) < 0
        || check_devices(m->device, m->n_device, err) < 0
        || check_held(m->held, m->n_held, err) < 0)
        return -1;
    return m->capacity != NULL ? 0 : bad(err, "capacity", "missing");
}

static int on_welcome(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Welcome *m = (const Skein__Welcome *)any;

    if (m->epoch == 0 || m->beat_ms == 0 || m->lease_ms == 0)
        return bad(err, "epoch, beat_ms, lease_ms", "must be positive");
    return check_tokens(m->drop, m->n_drop, "drop", err);
}

static int on_beat(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Beat *m = (const Skein__Beat *)any;

    if (m->epoch == 0)
        return bad(err, "epoch", "missing");
    if (check_held(m->held, m->n_held, err) < 0
        || check_devices(m->device, m->n_device, err) < 0)
        return -1;
    return m->capacity != NULL ? 0 : bad(err, "capacity", "missing");
}

static int on_beat_ack(const ProtobufCMessage *any, struct err *err)
{
    const Skein__BeatAck *m = (const Skein__BeatAck *)any;

    if (m->epoch == 0)
        return bad(err, "epoch", "missing");
    return check_tokens(m->drop, m->n_drop, "drop", err);
}

static int on_grant(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Grant *m = (const Skein__Grant *)any;

    if (check_token(m->token, "token", err) < 0 || check_spec(m->spec, err) < 0
        || check_text(m->model, 1, MODEL_NAME_BYTES_MAX, "model", err) < 0
        || check_size(&m->input_hash, HASH_SIZE, "input_hash", err) < 0)
        return -1;
    if (m->n_records == 0 || m->n_records > SHARD_RECORDS_MAX)
        return bad(err, "n_records", "out of range");
    if (m->input_bytes == 0 || m->input_bytes > BLOB_BYTES_MAX)
        return bad(err, "input_bytes", "out of range");
    return 0;
}

static int on_release(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Release *m = (const Skein__Release *)any;

    if (check_token(m->token, "token", err) < 0
        || check_enum(&skein__release_reason__descriptor, (int)m->reason,
                      "reason", err)
               < 0
        || check_text(m->message, 0, TEXT_BYTES_MAX, "message", err) < 0)
        return -1;
    return check_count(m->n_in_flight, IN_FLIGHT_MAX, "in_flight", err);
}

static int on_committed(const ProtobufCMessage *any, struct err *err)
{
    return check_token(((const Skein__Committed *)any)->token, "token", err);
}

static int on_stale(const ProtobufCMessage *any, struct err *err)
{
    return check_token(((const Skein__Stale *)any)->token, "token", err);
}

static int on_revoke(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Revoke *m = (const Skein__Revoke *)any;

    if (check_token(m->token, "token", err) < 0)
        return -1;
    return check_text(m->reason, 0, TEXT_BYTES_MAX, "reason", err);
}

static int check_upload(const Skein__Upload *u, struct err *err)
{
    if (u == NULL)
        return bad(err, "upload", "missing");
    if (u->n_records == 0 || u->n_records > SHARD_RECORDS_MAX)
        return bad(err, "upload.n_records", "out of range");
    if (u->n_errors > u->n_records)
        return bad(err, "upload.n_errors", "more than records");
    if (check_token(u->token, "upload.token", err) < 0)
        return -1;
    return check_size(&u->fingerprint, HASH_SIZE, "upload.fingerprint", err);
}

static int on_begin(const ProtobufCMessage *any, struct err *err)
{
    const Skein__XferBegin *m = (const Skein__XferBegin *)any;

    if (check_hash_or_none(&m->hash, "hash", err) < 0)
        return -1;
    switch (m->what_case) {
    case SKEIN__XFER_BEGIN__WHAT_SUBMIT:
        if (m->submit == NULL)
            return bad(err, "submit", "missing");
        if (check_size(&m->submit->request_id, ID_SIZE, "submit.request_id",
                       err)
            < 0)
            return -1;
        return check_spec(m->submit->spec, err);
    case SKEIN__XFER_BEGIN__WHAT_UPLOAD:
        if (m->size == 0 || m->size > BLOB_BYTES_MAX)
            return bad(err, "size", "out of range");
        if (m->hash.len == 0)
            return bad(err, "hash", "missing");
        return check_upload(m->upload, err);
    case SKEIN__XFER_BEGIN__WHAT_BLOB:
        if (m->size > BLOB_BYTES_MAX)
            return bad(err, "size", "out of range");
        return check_enum(&skein__blob_kind__descriptor, (int)m->blob, "blob",
                          err);
    default:
        return bad(err, "what", "missing");
    }
}

static int on_chunk(const ProtobufCMessage *any, struct err *err)
{
    const Skein__XferChunk *m = (const Skein__XferChunk *)any;

    if (m->data.len == 0 || m->data.len > CHUNK_BYTES_MAX)
        return bad(err, "data", "out of range");
    if (m->offset > UINT64_MAX - m->data.len)
        return bad(err, "offset", "out of range");
    return 0;
}

static int on_end(const ProtobufCMessage *any, struct err *err)
{
    const Skein__XferEnd *m = (const Skein__XferEnd *)any;

    return check_size(&m->hash, HASH_SIZE, "hash", err);
}

static int on_fetch(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Fetch *m = (const Skein__Fetch *)any;

    switch (m->source_case) {
    case SKEIN__FETCH__SOURCE_INPUT:
        return check_token(m->input, "input", err);
    case SKEIN__FETCH__SOURCE_BLOB:
        if (m->blob == NULL || m->blob->job == 0)
            return bad(err, "blob.job", "missing");
        return check_enum(&skein__blob_kind__descriptor, (int)m->blob->kind,
                          "blob.kind", err);
    default:
        return bad(err, "source", "missing");
    }
}

static int on_submitted(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Submitted *m = (const Skein__Submitted *)any;

    return m->job > 0 ? 0 : bad(err, "job", "missing");
}

static int on_jobs_query(const ProtobufCMessage *any, struct err *err)
{
    const Skein__JobsQuery *m = (const Skein__JobsQuery *)any;

    return check_count(m->n_job, JOBS_PER_REPLY_MAX, "job", err);
}

static int on_jobs(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Jobs *m = (const Skein__Jobs *)any;

    if (check_count(m->n_job, JOBS_PER_REPLY_MAX, "job", err) < 0)
        return -1;
    for (size_t i = 0; i < m->n_job; i++) {
        const Skein__JobInfo *j = m->job[i];

        if (j->job == 0)
            return bad(err, "job.job", "missing");
        if (check_spec(j->spec, err) < 0
            || check_enum(&skein__job_state__descriptor, (int)j->state,
                          "job.state", err)
                   < 0
            || check_hash_or_none(&j->fingerprint, "job.fingerprint", err) < 0
            || check_text(j->message, 0, TEXT_BYTES_MAX, "job.message", err)
                   < 0)
            return -1;
    }
    return 0;
}

static int on_cancel(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Cancel *m = (const Skein__Cancel *)any;

    if (m->job == 0)
        return bad(err, "job", "missing");
    return check_text(m->reason, 0, 200, "reason", err);
}

static int on_workers(const ProtobufCMessage *any, struct err *err)
{
    const Skein__Workers *m = (const Skein__Workers *)any;

    for (size_t i = 0; i < m->n_worker; i++) {
        const Skein__WorkerInfo *w = m->worker[i];

        if (check_text(w->name, 1, TEXT_BYTES_MAX, "worker.name", err) < 0
            || check_text(w->host, 0, TEXT_BYTES_MAX, "worker.host", err) < 0
            || check_text(w->version, 0, 64, "worker.version", err) < 0
            || check_text(w->state, 1, 64, "worker.state", err) < 0
            || check_models(w->model, w->n_model, err) < 0
            || check_devices(w->device, w->n_device, err) < 0)
            return -1;
    }
    return 0;
}

static int on_server(const ProtobufCMessage *any, struct err *err)
{
    const Skein__ServerInfo *m = (const Skein__ServerInfo *)any;

    if (check_text(m->version, 0, 64, "version", err) < 0
        || check_text(m->health, 0, 64, "health", err) < 0)
        return -1;
    return check_text(m->spool, 0, 4096, "spool", err);
}

int validate(const ProtobufCMessage *msg, validate_strlen *len,
             enum err_code code, struct err *err)
{
    static const struct {
        const ProtobufCMessageDescriptor *type;
        int (*check)(const ProtobufCMessage *, struct err *);
    } rule[] = {
        {&skein__error__descriptor, on_error},
        {&skein__hello__descriptor, on_hello},
        {&skein__welcome__descriptor, on_welcome},
        {&skein__beat__descriptor, on_beat},
        {&skein__beat_ack__descriptor, on_beat_ack},
        {&skein__grant__descriptor, on_grant},
        {&skein__release__descriptor, on_release},
        {&skein__committed__descriptor, on_committed},
        {&skein__stale__descriptor, on_stale},
        {&skein__revoke__descriptor, on_revoke},
        {&skein__xfer_begin__descriptor, on_begin},
        {&skein__xfer_chunk__descriptor, on_chunk},
        {&skein__xfer_end__descriptor, on_end},
        {&skein__fetch__descriptor, on_fetch},
        {&skein__submitted__descriptor, on_submitted},
        {&skein__jobs_query__descriptor, on_jobs_query},
        {&skein__jobs__descriptor, on_jobs},
        {&skein__cancel__descriptor, on_cancel},
        {&skein__workers__descriptor, on_workers},
        {&skein__server_info__descriptor, on_server},
    };

    (void)len;
    (void)code;
    if (msg->n_unknown_fields > UNKNOWN_FIELDS_MAX)
        return bad(err, "unknown fields", "too many");
    for (size_t i = 0; i < sizeof rule / sizeof *rule; i++) {
        if (rule[i].type == msg->descriptor)
            return rule[i].check(msg, err);
    }
    return 0;
}
