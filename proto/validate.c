#include "proto/validate.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/hash.h"
#include "proto/limits.h"
#include "proto/utf8_check.h"

#define ANY UINT64_MAX
#define ID_BYTES 16        /* incarnation, request id */
#define NAME_BYTES_MAX 256 /* hosts, workers, devices: for people */
#define TEXT_BYTES_MAX 512 /* reasons and messages: one line, like struct err */
#define PATH_BYTES_MAX 4096 /* PATH_MAX */
#define METADATA_BYTES_MAX (16u << 10)
#define INTERVAL_MS_MAX 3600000 /* an hour */

/* What min and max mean depends on the field: bytes of a string or of bytes,
 * elements of a list, the value of a number; for a submessage min = 1 says that
 * it must be there. Rows are in the order of the fields in skein.proto.
 */
struct rule {
    const char *field;
    uint64_t min;
    uint64_t max;
    bool or_empty; /* 0 is fine too, though below min */
};

#define RULES_MAX 16 /* per message */

struct rules {
    const ProtobufCMessageDescriptor *type;
    struct rule rule[RULES_MAX];
};

static const struct rules all_rules[] = {
    {&skein__token__descriptor,
     {{"epoch", 1, ANY, 0}, {"job", 1, ANY, 0}, {"attempt", 1, ANY, 0}}},
    {&skein__job_spec__descriptor,
     {{"name", 0, JOB_NAME_BYTES_MAX, 0},
      {"model", 0, MODEL_NAME_BYTES_MAX, 0},
      {"user", 0, 64, 0},
      {"metadata", 0, METADATA_BYTES_MAX, 0}}},
    {&skein__error__descriptor,
     {{"code", 1, 255, 0},
      {"message", 0, TEXT_BYTES_MAX, 0},
      {"retry_ms", 0, INTERVAL_MS_MAX, 0}}},
    {&skein__model__descriptor,
     {{"name", 1, MODEL_NAME_BYTES_MAX, 0},
      {"fingerprint", HASH_BYTES, HASH_BYTES, 0},
      {"vocab", 1, INT32_MAX, 0}}},
    {&skein__device__descriptor,
     {{"name", 1, NAME_BYTES_MAX, 0},
      {"state", 1, NAME_BYTES_MAX, 0},
      {"model", 0, NAME_BYTES_MAX, 0}}},
    {&skein__held__descriptor, {{"token", 1, 1, 0}}},
    {&skein__hello__descriptor,
     {{"incarnation", ID_BYTES, ID_BYTES, 0},
      {"name", 1, NAME_BYTES_MAX, 0},
      {"host", 0, NAME_BYTES_MAX, 0},
      {"version", 0, NAME_BYTES_MAX, 0},
      {"model", 0, MODELS_MAX, 0},
      {"device", 0, DEVICES_MAX, 0},
      {"held", 0, HELD_MAX, 0},
      {"capacity", 1, 1, 0}}},
    {&skein__welcome__descriptor,
     {{"epoch", 1, ANY, 0},
      {"beat_ms", 1, INTERVAL_MS_MAX, 0},
      {"lease_ms", 1, INTERVAL_MS_MAX, 0},
      {"drop", 0, HELD_MAX, 0}}},
    {&skein__beat__descriptor,
     {{"epoch", 1, ANY, 0},
      {"seq", 1, ANY, 0},
      {"held", 0, HELD_MAX, 0},
      {"capacity", 1, 1, 0},
      {"device", 0, DEVICES_MAX, 0}}},
    {&skein__beat_ack__descriptor,
     {{"epoch", 1, ANY, 0}, {"seq", 1, ANY, 0}, {"drop", 0, HELD_MAX, 0}}},
    {&skein__hello_again__descriptor, {{"epoch", 1, ANY, 0}}},
    {&skein__probe__descriptor, {{"epoch", 1, ANY, 0}}},
    {&skein__grant__descriptor,
     {{"token", 1, 1, 0},
      {"spec", 1, 1, 0},
      {"model", 1, MODEL_NAME_BYTES_MAX, 0},
      {"n_records", 1, SHARD_RECORDS_MAX, 0},
      {"input_bytes", 1, BLOB_BYTES_MAX, 0},
      {"input_hash", HASH_BYTES, HASH_BYTES, 0}}},
    {&skein__release__descriptor,
     {{"token", 1, 1, 0},
      {"message", 0, TEXT_BYTES_MAX, 0},
      {"in_flight", 0, SHARD_RECORDS_MAX, 0}}},
    {&skein__committed__descriptor, {{"token", 1, 1, 0}}},
    {&skein__stale__descriptor, {{"token", 1, 1, 0}}},
    {&skein__revoke__descriptor,
     {{"token", 1, 1, 0}, {"reason", 0, TEXT_BYTES_MAX, 0}}},
    {&skein__submit__descriptor,
     {{"request_id", ID_BYTES, ID_BYTES, 0}, {"spec", 1, 1, 0}}},
    {&skein__upload__descriptor,
     {{"token", 1, 1, 0},
      {"n_records", 1, SHARD_RECORDS_MAX, 0},
      {"n_errors", 0, SHARD_RECORDS_MAX, 0},
      {"fingerprint", HASH_BYTES, HASH_BYTES, 0}}},
    {&skein__xfer_begin__descriptor,
     {{"xfer", 1, ANY, 0}, {"hash", HASH_BYTES, HASH_BYTES, 1}}},
    {&skein__xfer_go__descriptor,
     {{"xfer", 1, ANY, 0}, {"window", 0, XFER_WINDOW_BYTES, 0}}},
    {&skein__xfer_chunk__descriptor,
     {{"xfer", 1, ANY, 0}, {"data", 1, CHUNK_BYTES_MAX, 0}}},
    {&skein__xfer_ack__descriptor,
     {{"xfer", 1, ANY, 0}, {"window", 0, XFER_WINDOW_BYTES, 0}}},
    {&skein__xfer_end__descriptor,
     {{"xfer", 1, ANY, 0}, {"hash", HASH_BYTES, HASH_BYTES, 1}}},
    {&skein__fetch__descriptor,
     {{"xfer", 1, ANY, 0}, {"window", 1, XFER_WINDOW_BYTES, 0}}},
    {&skein__blob_ref__descriptor, {{"job", 1, ANY, 0}}},
    {&skein__warning__descriptor,
     {{"line", 1, ANY, 0}, {"text", 0, TEXT_BYTES_MAX, 0}}},
    {&skein__submitted__descriptor,
     {{"xfer", 1, ANY, 0},
      {"job", 1, ANY, 0},
      {"warning", 0, WARNINGS_MAX, 0}}},
    {&skein__job_info__descriptor,
     {{"job", 1, ANY, 0},
      {"fingerprint", HASH_BYTES, HASH_BYTES, 1},
      {"message", 0, TEXT_BYTES_MAX, 0}}},
    {&skein__jobs_query__descriptor, {{"job", 0, JOBS_PER_REPLY_MAX, 0}}},
    {&skein__jobs__descriptor, {{"job", 0, JOBS_PER_REPLY_MAX, 0}}},
    {&skein__cancel__descriptor,
     {{"job", 1, ANY, 0}, {"reason", 0, TEXT_BYTES_MAX, 0}}},
    {&skein__order__descriptor, {{"job", 1, ANY, 0}}},
    {&skein__worker_info__descriptor,
     {{"name", 1, NAME_BYTES_MAX, 0},
      {"host", 0, NAME_BYTES_MAX, 0},
      {"version", 0, NAME_BYTES_MAX, 0},
      {"state", 1, NAME_BYTES_MAX, 0},
      {"model", 0, MODELS_MAX, 0},
      {"device", 0, DEVICES_MAX, 0}}},
    {&skein__workers__descriptor, {{"worker", 0, WORKERS_PER_REPLY_MAX, 0}}},
    {&skein__server_info__descriptor,
     {{"version", 0, NAME_BYTES_MAX, 0},
      {"health", 0, NAME_BYTES_MAX, 0},
      {"spool", 0, PATH_BYTES_MAX, 0}}},
};

#define N_RULES (sizeof all_rules / sizeof all_rules[0])

static const struct rule *rules_of(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < N_RULES; i++)
        if (all_rules[i].type == type)
            return all_rules[i].rule;
    return NULL;
}

static bool rule_names(const struct rule *rule, const char *field)
{
    return rule != NULL && rule->field != NULL
           && strcmp(rule->field, field) == 0;
}

int validate_has_rule(const ProtobufCMessageDescriptor *type, const char *field)
{
    const struct rule *rule = rules_of(type);

    for (size_t i = 0; rule != NULL && i < RULES_MAX; i++)
        if (rule_names(rule + i, field))
            return 1;
    return 0;
}

size_t validate_stray_rules(void)
{
    size_t strays = 0;

    for (size_t i = 0; i < N_RULES; i++) {
        const ProtobufCMessageDescriptor *type = all_rules[i].type;
        const struct rule *rule = all_rules[i].rule;

        for (unsigned f = 0; f < type->n_fields; f++)
            if (rule_names(rule, type->fields[f].name))
                rule++;
        strays += rule->field != NULL;
    }
    return strays;
}

struct check {
    validate_strlen *len;
    enum err_code code;
    struct err *err;
};

static int refuse(const struct check *c, const ProtobufCMessageDescriptor *type,
                  const ProtobufCFieldDescriptor *field, const char *what)
{
    return err_set(c->err, c->code, "message %s: field %s %s", type->short_name,
                   field->name, what);
}

static const void *member(const ProtobufCMessage *msg, unsigned offset)
{
    return (const char *)msg + offset;
}

/* Length of a valid string, or -1 with `*what` wrong with it. */
static int64_t string_length(const struct check *c, const char *s,
                             const void *absent, const char **what)
{
    size_t len;

    if (s == NULL || s == absent)
        return 0;
    len = c->len != NULL ? c->len(s) : strlen(s);
    if (strlen(s) != len) {
        *what = "contains a NUL byte";
        return -1;
    }
    if (utf8_check(s, len) != len) {
        *what = "is not UTF-8";
        return -1;
    }
    return (int64_t)len;
}

/* The number a rule bounds, of one field that is not repeated. Negative values
 * of signed fields have no rules but are outside of every range. -1: `*what` is
 * wrong.
 */
static int field_measure(const struct check *c,
                         const ProtobufCFieldDescriptor *f, const void *at,
                         uint64_t *value, const char **what)
{
    int64_t n;

    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        n = string_length(c, *(char *const *)at, f->default_value, what);
        *value = (uint64_t)n;
        return n < 0 ? -1 : 0;
    case PROTOBUF_C_TYPE_BYTES:
        *value = ((const ProtobufCBinaryData *)at)->len;
        return 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        *value = *(ProtobufCMessage *const *)at != NULL;
        return 0;
    case PROTOBUF_C_TYPE_ENUM:
        if (protobuf_c_enum_descriptor_get_value(f->descriptor,
                                                 *(const int *)at)
            == NULL) {
            *what = "has an unknown value";
            return -1;
        }
        *value = (uint64_t) * (const int *)at;
        return 0;
    case PROTOBUF_C_TYPE_DOUBLE:
        *what = "is not a finite number";
        *value = 0;
        return isfinite(*(const double *)at) ? 0 : -1;
    case PROTOBUF_C_TYPE_INT32:
        *value = (uint64_t)(int64_t) * (const int32_t *)at;
        return 0;
    case PROTOBUF_C_TYPE_UINT32:
        *value = *(const uint32_t *)at;
        return 0;
    case PROTOBUF_C_TYPE_BOOL:
        *value = 0;
        return 0;
    default: /* (u)int64, fixed64: skein.proto has no others */
        *value = *(const uint64_t *)at;
        return 0;
    }
}

static int check_range(const struct check *c,
                       const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *f,
                       const struct rule *rule, uint64_t value)
{
    char what[96];

    if ((value >= rule->min && value <= rule->max)
        || (value == 0 && rule->or_empty))
        return 0;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && value == 0 && rule->min == 1)
        return refuse(c, type, f, "is missing");
    snprintf(what, sizeof what,
             "is outside of its bounds: %llu, allowed %llu..%llu%s",
             (unsigned long long)value, (unsigned long long)rule->min,
             (unsigned long long)rule->max, rule->or_empty ? " or none" : "");
    return refuse(c, type, f, what);
}

static int check_message(const struct check *c, const ProtobufCMessage *msg);

static int check_list(const struct check *c, const ProtobufCMessage *msg,
                      const ProtobufCFieldDescriptor *f,
                      const struct rule *rule)
{
    size_t n = *(const size_t *)member(msg, f->quantifier_offset);
    ProtobufCMessage *const *item;

    if (rule != NULL && check_range(c, msg->descriptor, f, rule, n) < 0)
        return -1;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return 0; /* lists of numbers only: any value */
    item = *(ProtobufCMessage *const *const *)member(msg, f->offset);
    for (size_t i = 0; i < n; i++)
        if (check_message(c, item[i]) < 0)
            return -1;
    return 0;
}

static int check_field(const struct check *c, const ProtobufCMessage *msg,
                       const ProtobufCFieldDescriptor *f,
                       const struct rule *rule)
{
    const void *at = member(msg, f->offset);
    const char *what = "";
    uint64_t value;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return check_list(c, msg, f, rule);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t chosen = *(const uint32_t *)member(msg, f->quantifier_offset);

        if (chosen == 0)
            return refuse(c, msg->descriptor, f,
                          "or its alternative is missing");
        if (chosen != f->id)
            return 0;
    }
    if (field_measure(c, f, at, &value, &what) < 0)
        return refuse(c, msg->descriptor, f, what);
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0
        && f->type == PROTOBUF_C_TYPE_MESSAGE && value == 0)
        return refuse(c, msg->descriptor, f, "is missing");
    if (rule != NULL && check_range(c, msg->descriptor, f, rule, value) < 0)
        return -1;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && value != 0)
        return check_message(c, *(ProtobufCMessage *const *)at);
    return 0;
}

/* A job is asked for by name and model; a listing of a job whose file cannot be
 * read knows neither, so this is no rule of JobSpec.
 */
static int check_spec(const struct check *c, const Skein__JobSpec *spec)
{
    if (spec->name == NULL || spec->name[0] == '\0')
        return err_set(c->err, c->code, "message JobSpec: field name is empty");
    if (spec->model == NULL || spec->model[0] == '\0')
        return err_set(c->err, c->code,
                       "message JobSpec: field model is empty");
    return 0;
}

/* What concerns more than one field. */
static int check_whole(const struct check *c, const ProtobufCMessage *msg)
{
    if (msg->descriptor == &skein__submit__descriptor)
        return check_spec(c, ((const Skein__Submit *)msg)->spec);
    if (msg->descriptor == &skein__grant__descriptor)
        return check_spec(c, ((const Skein__Grant *)msg)->spec);
    if (msg->descriptor == &skein__xfer_begin__descriptor) {
        const Skein__XferBegin *begin = (const Skein__XferBegin *)msg;

        if (begin->what_case != SKEIN__XFER_BEGIN__WHAT_SUBMIT
            && begin->size > BLOB_BYTES_MAX)
            return err_set(c->err, c->code,
                           "message XferBegin: a blob of %llu bytes, at most "
                           "%u are allowed",
                           (unsigned long long)begin->size, BLOB_BYTES_MAX);
    }
    return 0;
}

/* Fields of a newer peer are skipped, within reason. protobuf-c lets field
 * number 0 pass, which no encoder writes.
 */
static int check_unknown(const struct check *c, const ProtobufCMessage *msg)
{
    if (msg->n_unknown_fields > UNKNOWN_FIELDS_MAX)
        return err_set(c->err, c->code, "message %s: %u unknown fields",
                       msg->descriptor->short_name, msg->n_unknown_fields);
    for (unsigned i = 0; i < msg->n_unknown_fields; i++)
        if (msg->unknown_fields[i].tag == 0)
            return err_set(c->err, c->code, "message %s: a field numbered 0",
                           msg->descriptor->short_name);
    return 0;
}

/* Types do not nest in themselves, so the depth is that of skein.proto: 4. */
static int check_message(const struct check *c, const ProtobufCMessage *msg)
{
    const ProtobufCMessageDescriptor *type = msg->descriptor;
    const struct rule *rule = rules_of(type);

    if (check_unknown(c, msg) < 0)
        return -1;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        const bool ruled = rule_names(rule, f->name);

        if (check_field(c, msg, f, ruled ? rule : NULL) < 0)
            return -1;
        if (ruled)
            rule++;
    }
    return check_whole(c, msg);
}

int validate(const ProtobufCMessage *msg, validate_strlen *len,
             enum err_code code, struct err *err)
{
    const struct check c = {len, code, err};

    return check_message(&c, msg);
}
