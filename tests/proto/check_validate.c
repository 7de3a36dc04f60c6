#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "proto/limits.h"
#include "proto/validate.h"
#include "tests/common/run.h"
#include "tests/proto/sample.h"

#define NONE UINT64_MAX

/* What docs/protocol.md and skein.proto promise, written down a second time. */
static const struct bound {
    const ProtobufCMessageDescriptor *type;
    const char *field;
    uint64_t min, max; /* NONE: as far as the type goes */
    bool or_empty;
} bounds[] = {
    {&skein__token__descriptor, "epoch", 1, NONE, false},
    {&skein__token__descriptor, "job", 1, NONE, false},
    {&skein__token__descriptor, "attempt", 1, NONE, false},
    {&skein__job_spec__descriptor, "name", 0, 128, false},
    {&skein__job_spec__descriptor, "model", 0, 256, false},
    {&skein__job_spec__descriptor, "user", 0, 64, false},
    {&skein__job_spec__descriptor, "metadata", 0, 16384, false},
    {&skein__error__descriptor, "code", 1, 255, false},
    {&skein__error__descriptor, "message", 0, 512, false},
    {&skein__error__descriptor, "retry_ms", 0, 3600000, false},
    {&skein__model__descriptor, "name", 1, 256, false},
    {&skein__model__descriptor, "fingerprint", 32, 32, false},
    {&skein__model__descriptor, "vocab", 1, INT32_MAX, false},
    {&skein__device__descriptor, "name", 1, 256, false},
    {&skein__device__descriptor, "state", 1, 256, false},
    {&skein__device__descriptor, "model", 0, 256, false},
    {&skein__held__descriptor, "token", 1, NONE, false},
    {&skein__hello__descriptor, "incarnation", 16, 16, false},
    {&skein__hello__descriptor, "name", 1, 256, false},
    {&skein__hello__descriptor, "host", 0, 256, false},
    {&skein__hello__descriptor, "version", 0, 256, false},
    {&skein__hello__descriptor, "model", 0, 64, false},
    {&skein__hello__descriptor, "device", 0, 64, false},
    {&skein__hello__descriptor, "held", 0, 256, false},
    {&skein__hello__descriptor, "capacity", 1, NONE, false},
    {&skein__welcome__descriptor, "epoch", 1, NONE, false},
    {&skein__welcome__descriptor, "beat_ms", 1, 3600000, false},
    {&skein__welcome__descriptor, "lease_ms", 1, 3600000, false},
    {&skein__welcome__descriptor, "drop", 0, 256, false},
    {&skein__beat__descriptor, "epoch", 1, NONE, false},
    {&skein__beat__descriptor, "seq", 1, NONE, false},
    {&skein__beat__descriptor, "held", 0, 256, false},
    {&skein__beat__descriptor, "capacity", 1, NONE, false},
    {&skein__beat__descriptor, "device", 0, 64, false},
    {&skein__beat_ack__descriptor, "epoch", 1, NONE, false},
    {&skein__beat_ack__descriptor, "seq", 1, NONE, false},
    {&skein__beat_ack__descriptor, "drop", 0, 256, false},
    {&skein__hello_again__descriptor, "epoch", 1, NONE, false},
    {&skein__probe__descriptor, "epoch", 1, NONE, false},
    {&skein__grant__descriptor, "token", 1, NONE, false},
    {&skein__grant__descriptor, "spec", 1, NONE, false},
    {&skein__grant__descriptor, "model", 1, 256, false},
    {&skein__grant__descriptor, "n_records", 1, 1024, false},
    {&skein__grant__descriptor, "input_bytes", 1, 256 << 20, false},
    {&skein__grant__descriptor, "input_hash", 32, 32, false},
    {&skein__release__descriptor, "token", 1, NONE, false},
    {&skein__release__descriptor, "message", 0, 512, false},
    {&skein__release__descriptor, "in_flight", 0, 1024, false},
    {&skein__committed__descriptor, "token", 1, NONE, false},
    {&skein__stale__descriptor, "token", 1, NONE, false},
    {&skein__revoke__descriptor, "token", 1, NONE, false},
    {&skein__revoke__descriptor, "reason", 0, 512, false},
    {&skein__submit__descriptor, "request_id", 16, 16, false},
    {&skein__submit__descriptor, "spec", 1, NONE, false},
    {&skein__upload__descriptor, "token", 1, NONE, false},
    {&skein__upload__descriptor, "n_records", 1, 1024, false},
    {&skein__upload__descriptor, "n_errors", 0, 1024, false},
    {&skein__upload__descriptor, "fingerprint", 32, 32, false},
    {&skein__xfer_begin__descriptor, "xfer", 1, NONE, false},
    {&skein__xfer_begin__descriptor, "hash", 32, 32, true},
    {&skein__xfer_go__descriptor, "xfer", 1, NONE, false},
    {&skein__xfer_go__descriptor, "window", 0, 8 * 240 * 1024, false},
    {&skein__xfer_chunk__descriptor, "xfer", 1, NONE, false},
    {&skein__xfer_chunk__descriptor, "data", 1, 240 * 1024, false},
    {&skein__xfer_ack__descriptor, "xfer", 1, NONE, false},
    {&skein__xfer_ack__descriptor, "window", 0, 8 * 240 * 1024, false},
    {&skein__xfer_end__descriptor, "xfer", 1, NONE, false},
    {&skein__xfer_end__descriptor, "hash", 32, 32, true},
    {&skein__fetch__descriptor, "xfer", 1, NONE, false},
    {&skein__fetch__descriptor, "window", 1, 8 * 240 * 1024, false},
    {&skein__blob_ref__descriptor, "job", 1, NONE, false},
    {&skein__submitted__descriptor, "xfer", 1, NONE, false},
    {&skein__submitted__descriptor, "job", 1, NONE, false},
    {&skein__submitted__descriptor, "warning", 0, 10, false},
    {&skein__warning__descriptor, "line", 1, NONE, false},
    {&skein__warning__descriptor, "text", 0, 512, false},
    {&skein__job_info__descriptor, "job", 1, NONE, false},
    {&skein__job_info__descriptor, "spec", 0, NONE, false},
    {&skein__job_info__descriptor, "fingerprint", 32, 32, true},
    {&skein__job_info__descriptor, "message", 0, 512, false},
    {&skein__jobs_query__descriptor, "job", 0, 256, false},
    {&skein__jobs__descriptor, "job", 0, 256, false},
    {&skein__cancel__descriptor, "job", 1, NONE, false},
    {&skein__cancel__descriptor, "reason", 0, 512, false},
    {&skein__worker_info__descriptor, "name", 1, 256, false},
    {&skein__worker_info__descriptor, "host", 0, 256, false},
    {&skein__worker_info__descriptor, "version", 0, 256, false},
    {&skein__worker_info__descriptor, "state", 1, 256, false},
    {&skein__worker_info__descriptor, "model", 0, 64, false},
    {&skein__worker_info__descriptor, "device", 0, 64, false},
    {&skein__workers__descriptor, "worker", 0, 1024, false},
    {&skein__server_info__descriptor, "version", 0, 256, false},
    {&skein__server_info__descriptor, "health", 0, 256, false},
    {&skein__server_info__descriptor, "spool", 0, 4096, false},
};

static void expect(const struct bound *b, uint64_t n, bool allowed)
{
    const ProtobufCFieldDescriptor *f = sample_field(b->type, b->field);
    ProtobufCMessage *msg = sample_make(b->type, 0);
    struct err err = {0};
    int status;

    ck_assert_msg(f != NULL, "%s has no %s", b->type->short_name, b->field);
    sample_set(msg, f, n);
    status = validate(msg, NULL, ERR_PROTOCOL, &err);
    ck_assert_msg((status == 0) == allowed, "%s.%s = %llu is %s: %s",
                  b->type->short_name, b->field, (unsigned long long)n,
                  status == 0 ? "allowed" : "refused", err.text);
    if (!allowed)
        ck_assert_msg(strstr(err.text, b->field) != NULL, "%s", err.text);
    sample_free(msg);
}

START_TEST(at_below_and_above_every_bound)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const struct bound *b = &bounds[i];

        expect(b, b->min, true);
        if (b->min > 0)
            expect(b, b->min - 1, false);
        if (b->min > 1)
            expect(b, 0, b->or_empty);
        if (b->max != NONE) {
            expect(b, b->max, true);
            expect(b, b->max + 1, false);
            if (b->max > b->min)
                expect(b, b->max - 1, true);
        }
    }
}
END_TEST

static bool is_bounded(const ProtobufCMessageDescriptor *type,
                       const char *field)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
        if (bounds[i].type == type && strcmp(bounds[i].field, field) == 0)
            return true;
    return false;
}

/* Everything that can be long has a rule, here and in validate.c. */
static void check_fields(const ProtobufCMessageDescriptor *type)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];

        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            check_fields(f->descriptor);
        if (f->label != PROTOBUF_C_LABEL_REPEATED
            && f->type != PROTOBUF_C_TYPE_STRING
            && f->type != PROTOBUF_C_TYPE_BYTES)
            continue;
        ck_assert_msg(validate_has_rule(type, f->name), "%s.%s has no bound",
                      type->short_name, f->name);
        ck_assert_msg(is_bounded(type, f->name), "%s.%s is not tested",
                      type->short_name, f->name);
    }
}

START_TEST(no_length_is_unbounded)
{
    for (const struct sample_type *t = sample_types; t->descriptor; t++)
        check_fields(t->descriptor);
    ck_assert_uint_eq(validate_stray_rules(), 0);
}
END_TEST

static void expect_text(const ProtobufCMessage *msg, const char *text)
{
    struct err err = {0};

    ck_assert_int_eq(validate(msg, NULL, ERR_PROTOCOL, &err), -1);
    ck_assert_int_eq(err.code, ERR_PROTOCOL);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' does not say '%s'",
                  err.text, text);
}

START_TEST(unknown_enum_values)
{
    Skein__Release *r =
        (Skein__Release *)sample_make(&skein__release__descriptor, 0);

    r->reason = (Skein__ReleaseReason)4;
    expect_text(&r->base, "field reason has an unknown value");
    r->reason = (Skein__ReleaseReason)-1;
    expect_text(&r->base, "field reason has an unknown value");
    sample_free(&r->base);
}
END_TEST

START_TEST(strings_are_utf8)
{
    static const char *const bad[] = {
        "\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\xE2\x82",
    };
    Skein__Cancel c = SKEIN__CANCEL__INIT;
    struct err err = {0};

    c.job = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        c.reason = (char *)bad[i];
        expect_text(&c.base, "field reason is not UTF-8");
    }
    c.reason = (char *)"\xE2\x82\xAC \xF0\x9F\xAA\xBF \x01";
    ck_assert_msg(validate(&c.base, NULL, ERR_PROTOCOL, &err) == 0, "%s",
                  err.text);
}
END_TEST

START_TEST(numbers_are_finite_and_not_negative)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    Skein__Device *d =
        (Skein__Device *)sample_make(&skein__device__descriptor, 0);
    Skein__Model *m = (Skein__Model *)sample_make(&skein__model__descriptor, 0);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d->tokens_per_s = bad[i];
        expect_text(&d->base, "tokens_per_s");
    }
    m->vocab = -5;
    expect_text(&m->base, "vocab");
    sample_free(&d->base);
    sample_free(&m->base);
}
END_TEST

START_TEST(alternatives_are_required)
{
    Skein__Fetch f = SKEIN__FETCH__INIT;
    Skein__XferBegin b = SKEIN__XFER_BEGIN__INIT;

    f.xfer = 1;
    f.window = 1;
    expect_text(&f.base, "input or its alternative is missing");
    f.source_case = SKEIN__FETCH__SOURCE_BLOB; /* chosen, but NULL */
    ck_assert_int_eq(validate(&f.base, NULL, ERR_PROTOCOL, NULL), -1);
    b.xfer = 1;
    expect_text(&b.base, "submit or its alternative is missing");
}
END_TEST

START_TEST(elements_are_checked)
{
    Skein__Beat *b = (Skein__Beat *)sample_make(&skein__beat__descriptor, 0);

    b->held[1]->token->attempt = 0;
    expect_text(&b->base, "message Token: field attempt");
    sample_free(&b->base);
}
END_TEST

START_TEST(jobs_are_asked_for_by_name_and_model)
{
    Skein__Submit *s =
        (Skein__Submit *)sample_make(&skein__submit__descriptor, 0);
    Skein__Grant *g = (Skein__Grant *)sample_make(&skein__grant__descriptor, 0);

    s->spec->name[0] = '\0';
    expect_text(&s->base, "name is empty");
    g->spec->model[0] = '\0';
    expect_text(&g->base, "model is empty");
    sample_free(&s->base);
    sample_free(&g->base);
}
END_TEST

/* A submission may be any size; what is one blob may not. */
START_TEST(blobs_are_bounded)
{
    for (unsigned variant = 0; variant < 3; variant++) {
        Skein__XferBegin *b = (Skein__XferBegin *)sample_make(
            &skein__xfer_begin__descriptor, variant);
        struct err err = {0};

        b->size = BLOB_BYTES_MAX;
        ck_assert_msg(validate(&b->base, NULL, ERR_PROTOCOL, &err) == 0, "%s",
                      err.text);
        b->size++;
        ck_assert_int_eq(validate(&b->base, NULL, ERR_PROTOCOL, &err),
                         variant == 0 ? 0 : -1);
        sample_free(&b->base);
    }
}
END_TEST

int main(void)
{
    return RUN_TESTS("validate", at_below_and_above_every_bound,
                     no_length_is_unbounded, unknown_enum_values,
                     strings_are_utf8, numbers_are_finite_and_not_negative,
                     alternatives_are_required, elements_are_checked,
                     jobs_are_asked_for_by_name_and_model, blobs_are_bounded);
}
