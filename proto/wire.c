#include "proto/wire.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/limits.h"
#include "proto/validate.h"

#define WIRE_MAGIC 0x314E4B53u /* "SKN1" */

/* What one body may make protobuf-c allocate: repeated empty submessages turn
 * 1 byte into 96 (M14), so both bytes and calls are bounded.
 */
#define UNPACK_BYTES_MAX ((size_t)8 << 20)
#define UNPACK_BYTES_MIN ((size_t)64 << 10)
#define UNPACK_CALLS_MAX 20000

static const struct {
    enum wire_type type;
    const char *name;
    const ProtobufCMessageDescriptor *descriptor;
} known[] = {
    {WIRE_ERROR, "ERROR", &skein__error__descriptor},
    {WIRE_HELLO, "HELLO", &skein__hello__descriptor},
    {WIRE_WELCOME, "WELCOME", &skein__welcome__descriptor},
    {WIRE_BEAT, "BEAT", &skein__beat__descriptor},
    {WIRE_BEAT_ACK, "BEAT_ACK", &skein__beat_ack__descriptor},
    {WIRE_HELLO_AGAIN, "HELLO_AGAIN", &skein__hello_again__descriptor},
    {WIRE_PROBE, "PROBE", &skein__probe__descriptor},
    {WIRE_GRANT, "GRANT", &skein__grant__descriptor},
    {WIRE_RELEASE, "RELEASE", &skein__release__descriptor},
    {WIRE_COMMITTED, "COMMITTED", &skein__committed__descriptor},
    {WIRE_STALE, "STALE", &skein__stale__descriptor},
    {WIRE_REVOKE, "REVOKE", &skein__revoke__descriptor},
    {WIRE_XFER_BEGIN, "XFER_BEGIN", &skein__xfer_begin__descriptor},
    {WIRE_XFER_GO, "XFER_GO", &skein__xfer_go__descriptor},
    {WIRE_XFER_CHUNK, "XFER_CHUNK", &skein__xfer_chunk__descriptor},
    {WIRE_XFER_ACK, "XFER_ACK", &skein__xfer_ack__descriptor},
    {WIRE_XFER_END, "XFER_END", &skein__xfer_end__descriptor},
    {WIRE_FETCH, "FETCH", &skein__fetch__descriptor},
    {WIRE_SUBMITTED, "SUBMITTED", &skein__submitted__descriptor},
    {WIRE_JOBS_QUERY, "JOBS_QUERY", &skein__jobs_query__descriptor},
    {WIRE_JOBS, "JOBS", &skein__jobs__descriptor},
    {WIRE_CANCEL, "CANCEL", &skein__cancel__descriptor},
    {WIRE_WORKERS_QUERY, "WORKERS_QUERY", &skein__workers_query__descriptor},
    {WIRE_WORKERS, "WORKERS", &skein__workers__descriptor},
    {WIRE_SERVER_QUERY, "SERVER_QUERY", &skein__server_query__descriptor},
    {WIRE_SERVER, "SERVER", &skein__server_info__descriptor},
};

#define N_KNOWN (sizeof known / sizeof *known)

/* Index into `known`, or -1. */
static int find(unsigned type)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        if ((unsigned)known[i].type == type)
            return (int)i;
    }
    return -1;
}

const char *wire_type_name(enum wire_type type)
{
    int i = find((unsigned)type);

    return i < 0 ? "?" : known[i].name;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

int wire_encode(enum wire_type type, uint64_t seq, const ProtobufCMessage *msg,
                uint8_t header[WIRE_HEADER_BYTES], struct buf *body,
                struct err *err)
{
    int i = find((unsigned)type);
    size_t size;

    assert(i >= 0);
    assert(msg->descriptor == known[i].descriptor);
    buf_clear(body);
    size = protobuf_c_message_get_packed_size(msg);
    if (size > FRAME_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s of %zu bytes; a frame has %u",
                       known[i].name, size, FRAME_BYTES_MAX);
    protobuf_c_message_pack(msg, (uint8_t *)buf_reserve(body, size));
    body->len = size;

    put32(header, WIRE_MAGIC);
    put16(header + 4, WIRE_VERSION);
    put16(header + 6, (uint32_t)type);
    put32(header + 8, (uint32_t)size);
    put32(header + 12, hash_crc32c(body->data, size));
    put64(header + 16, seq);
    return 0;
}

/* An allocator that gives out so much and no more. */
struct budget {
    size_t bytes;
    size_t calls;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *b = data;

    if (b->calls == 0 || size > b->bytes)
        return NULL;
    b->calls--;
    b->bytes -= size;
    return malloc(size > 0 ? size : 1);
}

static void budget_free(void *data, void *p)
{
    (void)data; /* what was spent stays spent */
    free(p);
}

static int check_header(const uint8_t *h, size_t header_len, const void *body,
                        size_t body_len, struct err *err)
{
    if (header_len != WIRE_HEADER_BYTES)
        return err_set(err, ERR_PROTOCOL, "header of %zu bytes, expected %d",
                       header_len, WIRE_HEADER_BYTES);
    if (get32(h) != WIRE_MAGIC)
        return err_set(err, ERR_PROTOCOL, "magic %08" PRIx32, get32(h));
    if (get16(h + 4) != WIRE_VERSION)
        return err_set(err, ERR_PROTOCOL,
                       "protocol version %" PRIu32 ", this program speaks %d",
                       get16(h + 4), WIRE_VERSION);
    if (body_len > FRAME_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "body of %zu bytes; a frame has %u",
                       body_len, FRAME_BYTES_MAX);
    if (get32(h + 8) != body_len)
        return err_set(err, ERR_PROTOCOL, "body of %zu bytes, announced %u",
                       body_len, (unsigned)get32(h + 8));
    if (get32(h + 12) != hash_crc32c(body, body_len))
        return err_set(err, ERR_PROTOCOL, "body does not have its checksum");
    return 0;
}

int wire_decode(const void *header, size_t header_len, const void *body,
                size_t body_len, struct wire_msg *out, struct err *err)
{
    const uint8_t *h = header;
    struct budget budget = {8 * body_len, UNPACK_CALLS_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    ProtobufCMessage *msg;
    int i;

    if (check_header(h, header_len, body, body_len, err) < 0)
        return -1;
    i = find(get16(h + 6));
    if (i < 0)
        return err_set(err, ERR_PROTOCOL, "unknown message type %" PRIu32,
                       get16(h + 6));
    if (budget.bytes > UNPACK_BYTES_MAX)
        budget.bytes = UNPACK_BYTES_MAX;
    if (budget.bytes < UNPACK_BYTES_MIN)
        budget.bytes = UNPACK_BYTES_MIN;
    msg = protobuf_c_message_unpack(known[i].descriptor, &allocator, body_len,
                                    body);
    if (msg == NULL)
        return err_set(err, ERR_PROTOCOL,
                       "%s: not a message, or one that"
                       " unpacks beyond its bounds",
                       known[i].name);
    if (validate(msg, NULL, ERR_PROTOCOL, err) < 0) {
        /* Freed as it was allocated: by free(). */
        protobuf_c_message_free_unpacked(msg, &allocator);
        return err_wrap(err, "%s", known[i].name);
    }
    *out = (struct wire_msg){
        .type = known[i].type,
        .seq = get64(h + 16),
        .any = msg,
    };
    return 0;
}

void wire_free(struct wire_msg *m)
{
    ProtobufCAllocator allocator = {budget_alloc, budget_free, NULL};

    if (m->any != NULL)
        protobuf_c_message_free_unpacked(m->any, &allocator);
    m->any = NULL;
}

int token_equal(const Skein__Token *a, const Skein__Token *b)
{
    return a->epoch == b->epoch && a->job == b->job && a->shard == b->shard
           && a->attempt == b->attempt && a->nonce == b->nonce;
}
