/* Bytes as a history: messages of any kind from a few peers, time, failing
 * connections, completed operations, restarts. The core must neither crash nor
 * store a shard twice, and must say only what is durable.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/daemon/world.h"

#define PEERS 4
#define TOKENS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

/* Tokens the core has handed out, and a few it has not. */
struct memory {
    struct token token[TOKENS];
    size_t n;
};

static uint8_t byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static void on_send(struct world *w, uint64_t peer, const struct wire_msg *m)
{
    struct memory *memory = w->arg;

    (void)peer;
    if (m->type == WIRE_GRANT)
        memory->token[memory->n++ % TOKENS] = token_of(m->grant->token);
    if (m->type == WIRE_COMMITTED) {
        struct token t = token_of(m->committed->token);

        if (!token_same(&w->job[t.job - 1].winner[t.shard], &t))
            abort();
    }
}

static struct token any_token(struct input *in, const struct memory *memory)
{
    struct token t = memory->token[byte(in) % TOKENS];
    uint8_t twist = byte(in);

    if (twist == 1)
        t.nonce ^= 1;
    else if (twist == 2)
        t.shard = byte(in);
    else if (twist == 3)
        t.job = byte(in);
    else if (twist == 4)
        t.attempt++;
    if (t.job == 0) /* proto/validate.c lets no such token in */
        t.job = 1;
    return t;
}

/* A message as a peer would encode it, from raw bytes of the input. */
static void raw_message(struct world *w, struct input *in)
{
    static const enum wire_type types[] = {
        WIRE_HELLO,   WIRE_BEAT,   WIRE_RELEASE,       WIRE_JOBS_QUERY,
        WIRE_CANCEL,  WIRE_JOBS,   WIRE_WORKERS_QUERY, WIRE_GRANT,
        WIRE_WELCOME, WIRE_REVOKE, WIRE_ORDER,
    };
    uint8_t header[WIRE_HEADER_BYTES] = {'S', 'K', 'N', '1'};
    uint8_t type = byte(in) % (sizeof types / sizeof *types);
    size_t len = byte(in), left;
    uint8_t rest[20];
    uint32_t crc, body_len;
    uint16_t version = WIRE_VERSION, number = (uint16_t)types[type];
    struct wire_msg m;
    struct core_event e = {.kind = CORE_MESSAGE, .peer = byte(in) % PEERS};

    left = (size_t)(in->end - in->at);
    len = len < left ? len : left;
    body_len = (uint32_t)len;
    memcpy(header + 4, &version, 2);
    memcpy(header + 6, &number, 2);
    memcpy(header + 8, &body_len, 4);
    memcpy(rest, header, 12);
    memcpy(rest + 12, header + 16, 8);
    crc = hash_crc32c(rest, sizeof rest) ^ hash_crc32c(in->at, len);
    memcpy(header + 12, &crc, 4);
    if (wire_decode(header, sizeof header, in->at, len, &m, NULL) == 0) {
        e.msg = &m;
        world_step(w, &e);
        wire_free(&m);
    }
    in->at += len;
}

static void order(struct world *w, struct input *in, uint64_t peer)
{
    Skein__Order q = SKEIN__ORDER__INIT;
    uint8_t what = byte(in);

    q.job = 1 + byte(in) % 4;
    q.kind = (Skein__OrderKind)(what % 5);
    q.failed = what & 0x80;
    q.priority = (int8_t)byte(in);
    world_order(w, peer, &q);
}

static void event(struct world *w, struct input *in, struct memory *memory)
{
    static const enum err_code fates[] = {ERR_NONE, ERR_NONE,    ERR_AGAIN,
                                          ERR_IO,   ERR_INVALID, ERR_CORRUPT};
    uint8_t what = byte(in), who_byte = byte(in);
    struct world_worker who = {
        .peer = who_byte % PEERS,
        .incarnation = (uint8_t)(who_byte / PEERS % PEERS),
        .records = 35,
        .fingerprint = (uint8_t)(who_byte >> 7),
    };
    struct token t[4];
    size_t n = byte(in) % 5;

    for (size_t i = 0; i < n; i++)
        t[i] = any_token(in, memory);
    switch (what % 16) {
    case 0:
        world_hello(w, &who, t, n);
        break;
    case 1:
        world_beat(w, &who, t, n);
        break;
    case 2:
        t[0] = any_token(in, memory);
        world_release(w, &who, &t[0], (Skein__ReleaseReason)(n % 4));
        break;
    case 3:
    case 4:
        t[0] = any_token(in, memory);
        world_upload(w, &who, &t[0]);
        break;
    case 5:
        world_gone(w, who.peer);
        break;
    case 6:
        world_tick(w, (int64_t)who_byte * 100);
        break;
    case 7:
        world_cancel(w, who.peer, n);
        break;
    case 8:
        if (w->n_job < WORLD_JOBS_MAX - 1)
            world_job_n(w, (uint32_t)(n + 1));
        break;
    case 9:
        world_restart(w);
        break;
    case 10:
        w->fail = fates[n % 6];
        world_store_one(w);
        w->fail = ERR_NONE;
        break;
    case 11:
        raw_message(w, in);
        break;
    case 14:
    case 15:
        order(w, in, who.peer);
        break;
    default:
        world_store_one(w);
    }
}

static void check(const struct world *w)
{
    for (size_t i = 0; i < w->n_job; i++) {
        for (uint32_t k = 0; k < w->job[i].image.n_shards; k++) {
            if (w->job[i].commits[k] > 1 + w->job[i].retries[k])
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct memory memory = {0};
    struct core_config config = world_config();
    struct world w;

    for (size_t i = 0; i < TOKENS; i++)
        memory.token[i] = (struct token){1, 1, (uint32_t)i % 4, 1, i};
    world_init(&w, &config);
    w.on_send = on_send;
    w.arg = &memory;
    w.quiet = true;
    world_tick(&w, 0);
    world_job_n(&w, 4);
    while (in.at < in.end) {
        event(&w, &in, &memory);
        check(&w);
    }
    world_free(&w);
    return 0;
}
