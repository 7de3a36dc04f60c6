#include "proto/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/limits.h"
#include "proto/validate.h"

#define WIRE_MAGIC 0x314E4B53u

/* What decoding one frame may allocate. Measured: protobuf-c turns a frame of
 * empty submessages into 96 times its size. Real messages need up to 8 times;
 * small ones pay for their structs, hence the lower end.
 */
#define BUDGET_FACTOR 8u
#define BUDGET_BYTES_MIN (256u << 10)
#define BUDGET_BYTES_MAX (8u << 20)
#define BUDGET_BLOCKS_MAX 65536u /* x 16 bytes of our own = 1 MiB */

static const struct wire_row {
    enum wire_type type;
    const char *name;
    const ProtobufCMessageDescriptor *descriptor;
} rows[] = {
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
    {WIRE_ORDER, "ORDER", &skein__order__descriptor},
};

static const struct wire_row *row_of(unsigned type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if ((unsigned)rows[i].type == type)
            return &rows[i];
    return NULL;
}

const char *wire_type_name(enum wire_type type)
{
    const struct wire_row *row = row_of(type);

    return row != NULL ? row->name : "unknown";
}

/* Every block starts with its size: the length of a string with a NUL inside
 * can be told later (validate.h). Blocks are zeroed: protobuf-c 1.4.1 leaves
 * parts of a half-read message unset and frees them.
 */
union block {
    size_t size;
    max_align_t align;
};

struct budget {
    size_t bytes;
    size_t blocks;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *left = data;
    union block *block;

    if (size > left->bytes || left->blocks == 0)
        return NULL;
    block = calloc(1, sizeof *block + size);
    if (block == NULL)
        return NULL;
    left->bytes -= size;
    left->blocks--;
    block->size = size;
    return block + 1;
}

static void budget_free(void *data, void *p)
{
    (void)data;
    if (p != NULL)
        free((union block *)p - 1);
}

/* protobuf-c allocates a string with one byte for its NUL. */
static size_t string_len(const char *s)
{
    return ((const union block *)(const void *)s)[-1].size - 1;
}

static void put_le(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | from[i];
    return value;
}

static uint32_t checksum(const uint8_t header[WIRE_HEADER_BYTES],
                         const void *body, size_t body_len)
{
    uint8_t rest[20];

    memcpy(rest, header, 12);
    memcpy(rest + 12, header + 16, 8);
    return hash_crc32c(rest, sizeof rest) ^ hash_crc32c(body, body_len);
}

int wire_encode(enum wire_type type, uint64_t seq, const ProtobufCMessage *msg,
                uint8_t header[WIRE_HEADER_BYTES], struct buf *body,
                struct err *err)
{
    const struct wire_row *row = row_of(type);
    size_t size;

    assert(row != NULL);
    assert(msg->descriptor == row->descriptor);
    buf_clear(body);
    if (validate(msg, NULL, ERR_LIMIT, err) < 0)
        return -1;
    size = protobuf_c_message_get_packed_size(msg);
    if (size > FRAME_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s of %zu bytes, at most %u fit a frame", row->name,
                       size, FRAME_BYTES_MAX);
    protobuf_c_message_pack(msg, (uint8_t *)buf_reserve(body, size));
    body->len = size;
    put_le(header, WIRE_MAGIC, 4);
    put_le(header + 4, WIRE_VERSION, 2);
    put_le(header + 6, (uint64_t)type, 2);
    put_le(header + 8, size, 4);
    put_le(header + 16, seq, 8);
    put_le(header + 12, checksum(header, body->data, size), 4);
    return 0;
}

static int check_header(const uint8_t *header, size_t header_len,
                        const void *body, size_t body_len, struct err *err)
{
    if (header_len != WIRE_HEADER_BYTES)
        return err_set(err, ERR_PROTOCOL, "a header of %zu bytes, not %d",
                       header_len, WIRE_HEADER_BYTES);
    if (get_le(header, 4) != WIRE_MAGIC)
        return err_set(err, ERR_PROTOCOL, "not a Skein message");
    if (get_le(header + 4, 2) != WIRE_VERSION)
        return err_set(err, ERR_PROTOCOL,
                       "protocol version %u; this program speaks version %d",
                       (unsigned)get_le(header + 4, 2), WIRE_VERSION);
    if (row_of((unsigned)get_le(header + 6, 2)) == NULL)
        return err_set(err, ERR_PROTOCOL, "unknown message type %u",
                       (unsigned)get_le(header + 6, 2));
    if (body_len > FRAME_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a body of %zu bytes, at most %u",
                       body_len, FRAME_BYTES_MAX);
    if (get_le(header + 8, 4) != body_len)
        return err_set(err, ERR_PROTOCOL,
                       "the header says %u bytes of body, there are %zu",
                       (unsigned)get_le(header + 8, 4), body_len);
    if (get_le(header + 12, 4) != checksum(header, body, body_len))
        return err_set(err, ERR_PROTOCOL, "the checksum is wrong");
    return 0;
}

int wire_decode(const void *header, size_t header_len, const void *body,
                size_t body_len, struct wire_msg *out, struct err *err)
{
    struct budget budget = {BUDGET_BYTES_MIN, BUDGET_BLOCKS_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    const uint8_t *head = header;
    const struct wire_row *row;
    ProtobufCMessage *msg;

    if (check_header(head, header_len, body, body_len, err) < 0)
        return -1;
    row = row_of((unsigned)get_le(head + 6, 2));
    if (body_len * BUDGET_FACTOR > budget.bytes)
        budget.bytes = body_len * BUDGET_FACTOR;
    if (budget.bytes > BUDGET_BYTES_MAX)
        budget.bytes = BUDGET_BYTES_MAX;
    msg =
        protobuf_c_message_unpack(row->descriptor, &allocator, body_len, body);
    if (msg == NULL)
        return err_set(err, ERR_PROTOCOL,
                       "%s: the body cannot be decoded within its limits",
                       row->name);
    if (validate(msg, string_len, ERR_PROTOCOL, err) < 0) {
        protobuf_c_message_free_unpacked(msg, &allocator);
        return -1;
    }
    out->type = row->type;
    out->seq = get_le(head + 16, 8);
    out->any = msg;
    return 0;
}

void wire_free(struct wire_msg *m)
{
    ProtobufCAllocator allocator = {budget_alloc, budget_free, NULL};

    if (m->any != NULL)
        protobuf_c_message_free_unpacked(m->any, &allocator);
    *m = (struct wire_msg){0};
}

int token_equal(const Skein__Token *a, const Skein__Token *b)
{
    return a->epoch == b->epoch && a->job == b->job && a->shard == b->shard
           && a->attempt == b->attempt && a->nonce == b->nonce;
}
