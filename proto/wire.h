/* proto/wire.h - one message to and from its two frames
 *
 * A message is two ZeroMQ frames: a fixed 24-byte header and one protobuf body.
 * Pure, trusts nothing: size cap, checksum, allocation budget, then a check of
 * every field (docs/protocol.md). Fuzzed by tests/fuzz/fuzz_wire.c.
 *
 *   0  u32  magic 0x314E4B53 "SKN1"      4  u16 version   6  u16 type
 *   8  u32  body length                 12  u32 checksum
 *  16  u64  sequence: replies repeat that of their request
 *
 * Little-endian. The checksum is the CRC-32C of the body XOR that of the other
 * 20 bytes of the header.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "proto/skein.pb-c.h"

#define WIRE_HEADER_BYTES 24
#define WIRE_VERSION 1

/* Type numbers are part of the protocol: never reused. */
enum wire_type {
    WIRE_ERROR = 1,
    WIRE_HELLO = 10,
    WIRE_WELCOME = 11,
    WIRE_BEAT = 12,
    WIRE_BEAT_ACK = 13,
    WIRE_HELLO_AGAIN = 14,
    WIRE_PROBE = 15,
    WIRE_GRANT = 16,
    WIRE_RELEASE = 17,
    WIRE_COMMITTED = 18,
    WIRE_STALE = 19,
    WIRE_REVOKE = 20,
    WIRE_XFER_BEGIN = 30,
    WIRE_XFER_GO = 31,
    WIRE_XFER_CHUNK = 32,
    WIRE_XFER_ACK = 33,
    WIRE_XFER_END = 34,
    WIRE_FETCH = 35,
    WIRE_SUBMITTED = 40,
    WIRE_JOBS_QUERY = 41,
    WIRE_JOBS = 42,
    WIRE_CANCEL = 43,
    WIRE_WORKERS_QUERY = 44,
    WIRE_WORKERS = 45,
    WIRE_SERVER_QUERY = 46,
    WIRE_SERVER = 47,
    WIRE_ORDER = 48,
};

/* A decoded message; `any` is the struct that belongs to `type`. */
struct wire_msg {
    enum wire_type type;
    uint64_t seq;
    union {
        ProtobufCMessage *any;
        Skein__Error *error;
        Skein__Hello *hello;
        Skein__Welcome *welcome;
        Skein__Beat *beat;
        Skein__BeatAck *beat_ack;
        Skein__HelloAgain *hello_again;
        Skein__Probe *probe;
        Skein__Grant *grant;
        Skein__Release *release;
        Skein__Committed *committed;
        Skein__Stale *stale;
        Skein__Revoke *revoke;
        Skein__XferBegin *begin;
        Skein__XferGo *go;
        Skein__XferChunk *chunk;
        Skein__XferAck *ack;
        Skein__XferEnd *end;
        Skein__Fetch *fetch;
        Skein__Submitted *submitted;
        Skein__JobsQuery *jobs_query;
        Skein__Jobs *jobs;
        Skein__Cancel *cancel;
        Skein__Order *order;
        Skein__WorkersQuery *workers_query;
        Skein__Workers *workers;
        Skein__ServerQuery *server_query;
        Skein__ServerInfo *server;
    };
};

/* Encode `msg`, which must be the struct of `type` (asserted). Clears `body`
 * first. ERR_LIMIT when it exceeds FRAME_BYTES_MAX or a field is outside of its
 * bounds: the peer would drop it, and nobody would learn why.
 */
int wire_encode(enum wire_type type, uint64_t seq, const ProtobufCMessage *msg,
                uint8_t header[WIRE_HEADER_BYTES], struct buf *body,
                struct err *err);

/* Decode and check. 0 and *out, to be freed by wire_free(); or -1:
 * ERR_PROTOCOL, ERR_LIMIT.
 */
int wire_decode(const void *header, size_t header_len, const void *body,
                size_t body_len, struct wire_msg *out, struct err *err);

void wire_free(struct wire_msg *m); /* a zeroed or freed one is allowed */

const char *wire_type_name(enum wire_type type); /* "HELLO"; static */

/* Do two tokens name the same attempt? */
int token_equal(const Skein__Token *a, const Skein__Token *b);

#endif /* PROTO_WIRE_H */
