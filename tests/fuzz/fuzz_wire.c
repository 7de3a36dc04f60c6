/* tests/fuzz/fuzz_wire.c - frames from anybody
 *
 * First byte: a message type; the rest is a body under a header that is right.
 * Or, from 128 on: the next 24 bytes are the header, the rest the body. What is
 * accepted is encoded again and must come back the same.
 */
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_le(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* The header as proto/wire.h describes it. */
static void seal(uint8_t *h, unsigned type, const uint8_t *body, size_t len)
{
    uint8_t rest[20] = {0};

    memset(h, 0, WIRE_HEADER_BYTES);
    put_le(h, 0x314E4B53u, 4);
    put_le(h + 4, WIRE_VERSION, 2);
    put_le(h + 6, type, 2);
    put_le(h + 8, len, 4);
    memcpy(rest, h, 12);
    put_le(h + 12, hash_crc32c(rest, 20) ^ hash_crc32c(body, len), 4);
}

static void must(int fine)
{
    if (!fine)
        abort();
}

static void again(const struct wire_msg *m)
{
    uint8_t header[2][WIRE_HEADER_BYTES];
    struct buf body[2] = {BUF_INIT, BUF_INIT};
    struct wire_msg copy = {0};

    must(wire_encode(m->type, m->seq, m->any, header[0], &body[0], NULL) == 0);
    must(wire_decode(header[0], WIRE_HEADER_BYTES, body[0].data, body[0].len,
                     &copy, NULL)
         == 0);
    must(copy.type == m->type && copy.seq == m->seq);
    must(wire_encode(copy.type, copy.seq, copy.any, header[1], &body[1], NULL)
         == 0);
    must(memcmp(header[0], header[1], WIRE_HEADER_BYTES) == 0);
    must(body[0].len == body[1].len
         && (body[0].len == 0
             || memcmp(body[0].data, body[1].data, body[0].len) == 0));
    wire_free(&copy);
    buf_free(&body[0]);
    buf_free(&body[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t header[WIRE_HEADER_BYTES];
    size_t header_len = sizeof header;
    struct wire_msg m = {0};
    struct err err;

    if (size == 0)
        return 0;
    if (data[0] < 128) {
        seal(header, data[0], data + 1, size - 1);
        data++;
        size--;
    } else {
        data++;
        size--;
        if (header_len > size)
            header_len = size;
        memcpy(header, data, header_len);
        data += header_len;
        size -= header_len;
    }
    if (wire_decode(header, header_len, data, size, &m, &err) == 0) {
        again(&m);
        wire_free(&m);
    } else {
        must(err.code == ERR_PROTOCOL || err.code == ERR_LIMIT);
        must(m.any == NULL);
    }
    return 0;
}
