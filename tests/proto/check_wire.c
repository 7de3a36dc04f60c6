#include <string.h>

#include "common/hash.h"
#include "proto/limits.h"
#include "tests/common/run.h"
#include "tests/proto/sample.h"

struct frame {
    uint8_t header[WIRE_HEADER_BYTES];
    struct buf body;
};

static void encode(enum wire_type type, const ProtobufCMessage *msg,
                   struct frame *f)
{
    struct err err = {0};

    f->body = BUF_INIT;
    ck_assert_msg(
        wire_encode(type, 0x0123456789ABCDEFu, msg, f->header, &f->body, &err)
            == 0,
        "%s: %s", wire_type_name(type), err.text);
}

static int decode(const struct frame *f, struct wire_msg *out, struct err *err)
{
    return wire_decode(f->header, sizeof f->header, f->body.data, f->body.len,
                       out, err);
}

/* Make the header say the truth about a body that was changed. */
static void put_le32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (8 * i));
}

static void reseal(struct frame *f)
{
    uint8_t rest[20];

    put_le32(f->header + 8, (uint32_t)f->body.len);
    memcpy(rest, f->header, 12);
    memcpy(rest + 12, f->header + 16, 8);
    put_le32(f->header + 12, hash_crc32c(rest, sizeof rest)
                                 ^ hash_crc32c(f->body.data, f->body.len));
}

static void expect_refused(const struct frame *f, const char *text)
{
    struct wire_msg m = {0};
    struct err err = {0};

    ck_assert_int_eq(decode(f, &m, &err), -1);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' does not say '%s'",
                  err.text, text);
    ck_assert_ptr_null(m.any);
}

START_TEST(every_type_comes_back)
{
    for (const struct sample_type *t = sample_types; t->descriptor; t++) {
        for (unsigned variant = 0; variant < 3; variant++) {
            ProtobufCMessage *msg = sample_make(t->descriptor, variant);
            struct wire_msg m = {0};
            struct frame f, again;
            struct err err = {0};

            if (variant == 2 && t->type == WIRE_FETCH) {
                sample_free(msg); /* only two sources */
                continue;
            }
            encode(t->type, msg, &f);
            ck_assert_msg(decode(&f, &m, &err) == 0, "%s: %s",
                          wire_type_name(t->type), err.text);
            ck_assert_int_eq(m.type, t->type);
            ck_assert_uint_eq(m.seq, 0x0123456789ABCDEFu);
            encode(m.type, m.any, &again);
            ck_assert_uint_eq(f.body.len, again.body.len);
            if (f.body.len > 0)
                ck_assert_mem_eq(f.body.data, again.body.data, f.body.len);
            ck_assert_mem_eq(f.header, again.header, WIRE_HEADER_BYTES);
            wire_free(&m);
            ck_assert_ptr_null(m.any);
            wire_free(&m); /* freed ones are allowed */
            buf_free(&f.body);
            buf_free(&again.body);
            sample_free(msg);
        }
    }
}
END_TEST

START_TEST(fields_arrive)
{
    Skein__Token token = SKEIN__TOKEN__INIT;
    Skein__Release release = SKEIN__RELEASE__INIT;
    uint64_t in_flight[] = {5, 1u << 20, UINT64_MAX};
    struct wire_msg m = {0};
    struct frame f;
    struct err err = {0};

    token.epoch = 3;
    token.job = 7;
    token.shard = 0;
    token.attempt = 2;
    token.nonce = 0xFEDCBA9876543210u;
    release.token = &token;
    release.reason = SKEIN__RELEASE_REASON__RELEASE_CRASH;
    release.message = (char *)"rank 1: Signal 11 \xE2\x80\x94 weiter";
    release.in_flight = in_flight;
    release.n_in_flight = 3;
    encode(WIRE_RELEASE, &release.base, &f);
    ck_assert_int_eq(decode(&f, &m, &err), 0);
    ck_assert(token_equal(m.release->token, &token));
    ck_assert_int_eq(m.release->reason, SKEIN__RELEASE_REASON__RELEASE_CRASH);
    ck_assert_str_eq(m.release->message, release.message);
    ck_assert_uint_eq(m.release->n_in_flight, 3);
    ck_assert_uint_eq(m.release->in_flight[2], UINT64_MAX);
    wire_free(&m);
    buf_free(&f.body);
}
END_TEST

START_TEST(tokens_differ_in_every_field)
{
    Skein__Token a = SKEIN__TOKEN__INIT, b = SKEIN__TOKEN__INIT;

    ck_assert(token_equal(&a, &b));
    b.epoch = 1;
    ck_assert(!token_equal(&a, &b));
    b = a;
    b.job = 1;
    ck_assert(!token_equal(&a, &b));
    b = a;
    b.shard = 1;
    ck_assert(!token_equal(&a, &b));
    b = a;
    b.attempt = 1;
    ck_assert(!token_equal(&a, &b));
    b = a;
    b.nonce = 1;
    ck_assert(!token_equal(&a, &b));
}
END_TEST

/* The layout is a protocol: the bytes are written here once more, by hand. */
START_TEST(header_bytes)
{
    Skein__Probe probe = SKEIN__PROBE__INIT;
    struct frame f;
    const uint8_t want[12] = {'S', 'K', 'N', '1', 1, 0, 15, 0, 2, 0, 0, 0};

    probe.epoch = 5;
    encode(WIRE_PROBE, &probe.base, &f);
    ck_assert_uint_eq(f.body.len, 2);
    ck_assert_mem_eq(f.body.data, "\x08\x05", 2);
    ck_assert_mem_eq(f.header, want, sizeof want);
    ck_assert_mem_eq(f.header + 16, "\xEF\xCD\xAB\x89\x67\x45\x23\x01", 8);
    buf_free(&f.body);
}
END_TEST

START_TEST(every_header_bit_counts)
{
    ProtobufCMessage *msg = sample_make(&skein__cancel__descriptor, 0);
    struct frame f;

    encode(WIRE_CANCEL, msg, &f);
    for (int bit = 0; bit < WIRE_HEADER_BYTES * 8; bit++) {
        struct wire_msg m = {0};
        struct err err = {0};

        f.header[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        ck_assert_msg(decode(&f, &m, &err) == -1, "bit %d", bit);
        ck_assert(err.code == ERR_PROTOCOL || err.code == ERR_LIMIT);
        f.header[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    }
    buf_free(&f.body);
    sample_free(msg);
}
END_TEST

START_TEST(every_body_bit_counts)
{
    ProtobufCMessage *msg = sample_make(&skein__hello__descriptor, 0);
    struct frame f;

    encode(WIRE_HELLO, msg, &f);
    for (size_t bit = 0; bit < f.body.len * 8; bit++) {
        f.body.data[bit / 8] = (char)(f.body.data[bit / 8] ^ 1 << (bit % 8));
        expect_refused(&f, "checksum");
        f.body.data[bit / 8] = (char)(f.body.data[bit / 8] ^ 1 << (bit % 8));
    }
    buf_free(&f.body);
    sample_free(msg);
}
END_TEST

START_TEST(truncation_is_refused)
{
    ProtobufCMessage *msg = sample_make(&skein__hello__descriptor, 0);
    struct frame f;
    size_t whole;

    encode(WIRE_HELLO, msg, &f);
    whole = f.body.len;
    for (size_t n = 0; n < WIRE_HEADER_BYTES; n++) {
        struct wire_msg m = {0};

        ck_assert_int_eq(
            wire_decode(f.header, n, f.body.data, f.body.len, &m, NULL), -1);
    }
    for (f.body.len = 0; f.body.len < whole; f.body.len++)
        expect_refused(&f, "bytes of body");
    /* The same with an honest header: protobuf or a missing field says no. */
    for (size_t n = 0; n < whole; n++) {
        struct wire_msg m = {0};
        struct err err = {0};

        f.body.len = n;
        reseal(&f);
        if (decode(&f, &m, &err) == 0) {
            /* Cut between two fields that may be absent. */
            ck_assert_ptr_nonnull(m.hello->capacity);
            wire_free(&m);
        } else {
            ck_assert_int_eq(err.code, ERR_PROTOCOL);
        }
    }
    buf_free(&f.body);
    sample_free(msg);
}
END_TEST

START_TEST(frame_size_is_bounded)
{
    Skein__Jobs jobs = SKEIN__JOBS__INIT;
    Skein__JobInfo info[JOBS_PER_REPLY_MAX];
    Skein__JobInfo *list[JOBS_PER_REPLY_MAX];
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    static uint8_t metadata[16 << 10];
    uint8_t header[WIRE_HEADER_BYTES];
    struct buf body = BUF_INIT;
    struct wire_msg m = {0};
    struct err err = {0};

    spec.metadata.data = metadata;
    spec.metadata.len = sizeof metadata;
    for (size_t i = 0; i < JOBS_PER_REPLY_MAX; i++) {
        info[i] = (Skein__JobInfo)SKEIN__JOB_INFO__INIT;
        info[i].job = i + 1;
        info[i].spec = &spec;
        list[i] = &info[i];
    }
    jobs.job = list;
    jobs.n_job = JOBS_PER_REPLY_MAX; /* 4 MiB */
    ck_assert_int_eq(wire_encode(WIRE_JOBS, 1, &jobs.base, header, &body, &err),
                     -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    jobs.n_job = 63; /* 63 x 16 KiB: below */
    ck_assert_int_eq(wire_encode(WIRE_JOBS, 1, &jobs.base, header, &body, &err),
                     0);
    ck_assert_int_eq(
        wire_decode(header, sizeof header, body.data, body.len, &m, &err), 0);
    ck_assert_uint_eq(m.jobs->n_job, 63);
    wire_free(&m);
    buf_free(&body);
}
END_TEST

START_TEST(oversized_body_is_refused)
{
    struct frame f = {.body = BUF_INIT};
    struct err err = {0};
    struct wire_msg m = {0};
    Skein__Probe probe = SKEIN__PROBE__INIT;

    probe.epoch = 1;
    encode(WIRE_PROBE, &probe.base, &f);
    buf_reserve(&f.body, FRAME_BYTES_MAX + 1);
    memset(f.body.data, 0, FRAME_BYTES_MAX + 1);
    f.body.len = FRAME_BYTES_MAX + 1;
    reseal(&f);
    ck_assert_int_eq(decode(&f, &m, &err), -1);
    ck_assert_int_eq(err.code, ERR_LIMIT);
    buf_free(&f.body);
}
END_TEST

/* 1 MiB of empty submessages would be 96 MiB of structs (M14). */
START_TEST(amplification_is_refused)
{
    struct frame f;
    Skein__Jobs jobs = SKEIN__JOBS__INIT;

    encode(WIRE_JOBS, &jobs.base, &f);
    for (size_t i = 0; i < FRAME_BYTES_MAX / 2; i++)
        buf_add(&f.body, "\x0A\x00", 2); /* field 1, empty */
    reseal(&f);
    expect_refused(&f, "within its limits");
    buf_free(&f.body);
}
END_TEST

START_TEST(nul_in_a_string_is_refused)
{
    struct frame f;
    Skein__Cancel cancel = SKEIN__CANCEL__INIT;

    cancel.job = 1;
    cancel.reason = (char *)"abc";
    encode(WIRE_CANCEL, &cancel.base, &f);
    ck_assert_uint_eq(f.body.len, 7); /* 08 01 12 03 a b c */
    f.body.data[5] = '\0';
    reseal(&f);
    expect_refused(&f, "NUL");
    f.body.data[5] = '\xFF';
    reseal(&f);
    expect_refused(&f, "UTF-8");
    buf_free(&f.body);
}
END_TEST

START_TEST(fields_of_the_future_are_skipped)
{
    struct frame f;
    struct wire_msg m = {0};
    struct err err = {0};
    Skein__Probe probe = SKEIN__PROBE__INIT;

    probe.epoch = 1;
    encode(WIRE_PROBE, &probe.base, &f);
    for (int i = 0; i < 16; i++)
        buf_add(&f.body, "\x98\x06\x01", 3); /* field 99 = 1 */
    reseal(&f);
    ck_assert_msg(decode(&f, &m, &err) == 0, "%s", err.text);
    wire_free(&m);
    buf_add(&f.body, "\x98\x06\x01", 3);
    reseal(&f);
    expect_refused(&f, "17 unknown fields");
    f.body.len = 2;
    buf_add(&f.body, "\x80\x00\x01", 3); /* field 0 = 1 */
    reseal(&f);
    expect_refused(&f, "numbered 0");
    buf_free(&f.body);
}
END_TEST

START_TEST(other_versions_say_so)
{
    struct frame f;
    Skein__Probe probe = SKEIN__PROBE__INIT;

    probe.epoch = 1;
    encode(WIRE_PROBE, &probe.base, &f);
    f.header[4] = 2;
    expect_refused(&f, "protocol version 2; this program speaks version 1");
    f.header[4] = 1;
    f.header[6] = 99;
    expect_refused(&f, "unknown message type 99");
    ck_assert_str_eq(wire_type_name((enum wire_type)99), "unknown");
    ck_assert_str_eq(wire_type_name(WIRE_HELLO), "HELLO");
    buf_free(&f.body);
}
END_TEST

int main(void)
{
    return RUN_TESTS("wire", every_type_comes_back, fields_arrive,
                     tokens_differ_in_every_field, header_bytes,
                     every_header_bit_counts, every_body_bit_counts,
                     truncation_is_refused, frame_size_is_bounded,
                     oversized_body_is_refused, amplification_is_refused,
                     nul_in_a_string_is_refused,
                     fields_of_the_future_are_skipped, other_versions_say_so);
}
