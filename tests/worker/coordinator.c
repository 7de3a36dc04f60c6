#include "coordinator.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "proto/limits.h"

/* Not Check's macros: bench_null uses this file outside of a test. */
static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "test coordinator: %s\n", what);
    abort();
}

struct coordinator *coordinator_open(void)
{
    struct coordinator *c = xcalloc(1, sizeof *c);
    struct err err = {0};
    const char *endpoint = c->endpoint;

    need(hash_init(&err) == 0, err.text);
    snprintf(c->dir, sizeof c->dir, "/tmp/skein-check-XXXXXX");
    need(mkdtemp(c->dir) != NULL, c->dir);
    snprintf(c->endpoint, sizeof c->endpoint, "ipc://%s/sock", c->dir);
    c->epoch = 1;
    c->sock = sock_router(&endpoint, 1, &err);
    need(c->sock != NULL, err.text);
    return c;
}

void coordinator_close(struct coordinator *c)
{
    if (c->worker > 0) {
        kill(c->worker, SIGKILL);
        waitpid(c->worker, NULL, 0);
    }
    for (size_t i = 0; i < c->n_plan; i++) {
        buf_free(&c->plan[i].blob);
        buf_free(&c->plan[i].result);
    }
    sock_close(c->sock);
    file_remove_tree(c->dir, NULL);
    free(c);
}

void coordinator_start(struct coordinator *c, const char *const *args)
{
    const char *argv[32] = {WORKER_BINARY,
                            "--connect",
                            c->endpoint,
                            "--name",
                            "test",
                            "--log-level",
                            getenv("WORKER_LOG") != NULL ? getenv("WORKER_LOG")
                                                         : "error",
                            "--die-with-parent"};
    size_t n = 8;

    while (*args != NULL && n < 31)
        argv[n++] = *args++;
    c->known = false;
    c->worker = fork();
    need(c->worker >= 0, "fork");
    if (c->worker == 0) {
        execv(WORKER_BINARY, (char *const *)argv);
        _exit(127);
    }
}

int coordinator_wait(struct coordinator *c, int64_t timeout_ms)
{
    int64_t end = clock_now_ms() + timeout_ms;
    int status;

    while (waitpid(c->worker, &status, WNOHANG) != c->worker) {
        if (clock_now_ms() > end)
            return -1;
        coordinator_serve(c, 10, NULL);
    }
    c->worker = 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

struct plan *coordinator_add(struct coordinator *c, uint64_t first,
                             const char *const *line, size_t n)
{
    struct plan *p = &c->plan[c->n_plan++];
    struct lineset_writer w;

    need(c->n_plan <= SHARDS_MAX, "too many shards");
    lineset_writer_init(&w);
    for (size_t i = 0; i < n; i++) {
        lineset_add(&w, first + i, line[i], strlen(line[i]), false);
        p->cost += strlen(line[i]) / 4;
    }
    lineset_pack(&w, &p->blob);
    lineset_writer_free(&w);
    hash_bytes(p->blob.data, p->blob.len, p->hash);
    p->n = (uint32_t)n;
    return p;
}

void coordinator_send(struct coordinator *c, enum wire_type type,
                      const ProtobufCMessage *msg)
{
    sock_send(c->sock, c->peer, type, 1, msg, NULL);
}

void coordinator_again(struct coordinator *c)
{
    Skein__HelloAgain msg = SKEIN__HELLO_AGAIN__INIT;

    msg.epoch = c->epoch;
    coordinator_send(c, WIRE_HELLO_AGAIN, &msg.base);
}

static struct plan *by_token(struct coordinator *c, const Skein__Token *t)
{
    for (size_t i = 0; i < c->n_plan; i++) {
        if (c->plan[i].token.nonce != 0 && token_equal(&c->plan[i].token, t))
            return &c->plan[i];
    }
    return NULL;
}

static void grant(struct coordinator *c, struct plan *p)
{
    Skein__Grant g = SKEIN__GRANT__INIT;
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    uint32_t attempt = p->token.attempt;

    skein__token__init(&p->token);
    p->token.attempt = attempt;
    p->token.epoch = c->epoch;
    p->token.job = 1;
    p->token.shard = (uint32_t)(p - c->plan);
    p->token.attempt++;
    hash_random(&p->token.nonce, sizeof p->token.nonce);
    p->leased = true;
    spec.name = (char *)"test";
    spec.model = c->model;
    spec.bos = p->bos;
    spec.seed = c->seed;
    g.token = &p->token;
    g.spec = &spec;
    g.model = c->model;
    g.n_records = p->n;
    g.cost = p->cost;
    g.input_bytes = p->blob.len;
    g.input_hash = (ProtobufCBinaryData){HASH_BYTES, p->hash};
    coordinator_send(c, WIRE_GRANT, &g.base);
}

/* The rule of docs/protocol.md, "Granting". */
static void grant_more(struct coordinator *c)
{
    uint64_t records = 0, cost = 0;
    size_t leased = 0;

    for (size_t i = 0; i < c->n_plan; i++) {
        if (!c->plan[i].leased)
            continue;
        records += c->plan[i].n;
        cost += c->plan[i].cost;
        leased++;
    }
    for (size_t i = 0; i < c->n_plan && !c->draining; i++) {
        struct plan *p = &c->plan[i];

        if (p->leased || p->committed)
            continue;
        if (leased > 0
            && (records + p->n > c->capacity_records
                || cost + p->cost > c->capacity_cost))
            break;
        grant(c, p);
        records += p->n;
        cost += p->cost;
        leased++;
    }
    c->leased_max = leased > c->leased_max ? leased : c->leased_max;
}

/* What a HELLO does not list is not leased any more. */
static void take_back(struct coordinator *c, const Skein__Hello *h)
{
    for (size_t i = 0; i < c->n_plan; i++) {
        bool held = false;

        for (size_t k = 0; k < h->n_held; k++)
            held |= token_equal(&c->plan[i].token, h->held[k]->token);
        c->plan[i].leased &= held;
    }
}

static void on_hello(struct coordinator *c, const struct wire_msg *m)
{
    const Skein__Hello *h = m->hello;
    Skein__Welcome msg = SKEIN__WELCOME__INIT;
    Skein__Token *drop[HELD_MAX];

    c->hellos++;
    c->known = true;
    take_back(c, h);
    c->last_held = h->n_held;
    c->capacity_records = h->capacity->records;
    c->capacity_cost = h->capacity->cost;
    snprintf(c->model, sizeof c->model, "%s", h->model[0]->name);
    msg.epoch = c->epoch;
    msg.beat_ms = 200;
    msg.lease_ms = 2000;
    msg.drop = drop;
    for (size_t i = 0; i < h->n_held; i++) {
        if (by_token(c, h->held[i]->token) == NULL)
            drop[msg.n_drop++] = h->held[i]->token;
    }
    sock_send(c->sock, c->peer, WIRE_WELCOME, m->seq, &msg.base, NULL);
}

static void on_beat(struct coordinator *c, const Skein__Beat *b)
{
    Skein__BeatAck msg = SKEIN__BEAT_ACK__INIT;

    c->beats++;
    c->draining = b->draining;
    c->last_held = b->n_held;
    c->capacity_records = b->capacity->records;
    c->capacity_cost = b->capacity->cost;
    msg.epoch = c->epoch;
    msg.seq = b->seq;
    coordinator_send(c, WIRE_BEAT_ACK, &msg.base);
}

static void on_fetch(struct coordinator *c, const Skein__Fetch *f)
{
    struct plan *p = by_token(c, f->input);
    Skein__XferBegin begin = SKEIN__XFER_BEGIN__INIT;
    Skein__XferEnd end = SKEIN__XFER_END__INIT;
    uint64_t at = f->offset, stop = f->offset + f->window;

    c->fetches++;
    if (p == NULL)
        return;
    begin.xfer = end.xfer = f->xfer;
    begin.size = end.size = p->blob.len;
    begin.hash = end.hash = (ProtobufCBinaryData){HASH_BYTES, p->hash};
    begin.what_case = SKEIN__XFER_BEGIN__WHAT_BLOB;
    coordinator_send(c, WIRE_XFER_BEGIN, &begin.base);
    stop = stop < p->blob.len ? stop : p->blob.len;
    while (at < stop) {
        Skein__XferChunk chunk = SKEIN__XFER_CHUNK__INIT;
        size_t n = stop - at < 4096 ? (size_t)(stop - at) : 4096;

        chunk.xfer = f->xfer;
        chunk.offset = at;
        chunk.data = (ProtobufCBinaryData){n, (uint8_t *)p->blob.data + at};
        coordinator_send(c, WIRE_XFER_CHUNK, &chunk.base);
        at += n;
    }
    if (at == p->blob.len)
        coordinator_send(c, WIRE_XFER_END, &end.base);
}

static void go(struct coordinator *c, const struct plan *p)
{
    Skein__XferGo msg = SKEIN__XFER_GO__INIT;

    msg.xfer = p->upload_xfer;
    msg.offset = p->result.len;
    msg.window = XFER_WINDOW_BYTES;
    coordinator_send(c, WIRE_XFER_GO, &msg.base);
}

static void committed(struct coordinator *c, struct plan *p)
{
    Skein__Committed msg = SKEIN__COMMITTED__INIT;

    p->committed = true;
    p->leased = false;
    msg.token = &p->token;
    coordinator_send(c, WIRE_COMMITTED, &msg.base);
}

static void stale(struct coordinator *c, Skein__Token *token)
{
    Skein__Stale msg = SKEIN__STALE__INIT;

    msg.token = token;
    coordinator_send(c, WIRE_STALE, &msg.base);
}

static void on_upload(struct coordinator *c, const Skein__XferBegin *b)
{
    struct plan *p = by_token(c, b->upload->token);

    if (p == NULL) {
        stale(c, b->upload->token);
    } else if (p->committed) {
        committed(c, p);
    } else {
        p->upload_xfer = b->xfer;
        p->upload_size = b->size;
        memcpy(p->upload_hash, b->hash.data, HASH_BYTES);
        p->tokens_in = b->upload->tokens_in;
        p->tokens_out = b->upload->tokens_out;
        p->n_errors = b->upload->n_errors;
        need(b->upload->n_records == p->n, "n_records of an upload");
        buf_clear(&p->result);
        go(c, p);
    }
}

static struct plan *by_xfer(struct coordinator *c, uint64_t xfer)
{
    for (size_t i = 0; i < c->n_plan; i++) {
        if (c->plan[i].upload_xfer == xfer && !c->plan[i].committed)
            return &c->plan[i];
    }
    return NULL;
}

static void on_chunk(struct coordinator *c, const Skein__XferChunk *chunk)
{
    struct plan *p = by_xfer(c, chunk->xfer);
    Skein__XferAck msg = SKEIN__XFER_ACK__INIT;

    if (p == NULL)
        return;
    if (chunk->offset != p->result.len) {
        go(c, p);
        return;
    }
    buf_add(&p->result, chunk->data.data, chunk->data.len);
    msg.xfer = chunk->xfer;
    msg.offset = p->result.len;
    msg.window = XFER_WINDOW_BYTES;
    coordinator_send(c, WIRE_XFER_ACK, &msg.base);
}

static void check_result(const struct plan *p)
{
    struct lineset in, out;
    struct err err = {0};
    uint8_t hash[HASH_BYTES];

    hash_bytes(p->result.data, p->result.len, hash);
    need(memcmp(hash, p->upload_hash, HASH_BYTES) == 0, "hash of a result");
    need(lineset_unpack(p->blob.data, p->blob.len, &in, &err) == 0
             && lineset_unpack(p->result.data, p->result.len, &out, &err) == 0
             && lineset_match(&in, &out, &err) == 0,
         err.text);
    need(out.n_error == p->n_errors, "n_errors of an upload");
    lineset_free(&in);
    lineset_free(&out);
}

static void on_end(struct coordinator *c, const Skein__XferEnd *e)
{
    struct plan *p = by_xfer(c, e->xfer);

    if (p == NULL)
        return;
    if (p->result.len != e->size) {
        go(c, p);
        return;
    }
    check_result(p);
    committed(c, p);
}

static void on_release(struct coordinator *c, const Skein__Release *r)
{
    struct plan *p = by_token(c, r->token);

    c->releases[r->reason]++;
    if (p != NULL)
        p->leased = false;
}

static void handle(struct coordinator *c, const struct wire_msg *m)
{
    if (c->hook != NULL && c->hook(c, m))
        return;
    switch (m->type) {
    case WIRE_HELLO:
        on_hello(c, m);
        break;
    case WIRE_BEAT:
        if (c->known)
            on_beat(c, m->beat);
        else
            coordinator_again(c);
        break;
    case WIRE_FETCH:
        on_fetch(c, m->fetch);
        break;
    case WIRE_XFER_BEGIN:
        on_upload(c, m->begin);
        break;
    case WIRE_XFER_CHUNK:
        on_chunk(c, m->chunk);
        break;
    case WIRE_XFER_END:
        on_end(c, m->end);
        break;
    case WIRE_RELEASE:
        on_release(c, m->release);
        break;
    default:
        need(false, wire_type_name(m->type));
    }
}

bool coordinator_serve(struct coordinator *c, int64_t timeout_ms,
                       bool (*until)(const struct coordinator *c))
{
    int64_t end = clock_now_ms() + timeout_ms, left;

    while ((left = end - clock_now_ms()) > 0) {
        struct wire_msg m;
        struct err err = {0};
        int rc;

        if (until != NULL && until(c))
            return true;
        sock_poll(c->sock, NULL, 0, left < 20 ? left : 20, NULL);
        while ((rc = sock_recv(c->sock, &c->peer, &m, &err)) > 0) {
            handle(c, &m);
            wire_free(&m);
        }
        need(rc == 0, err.text);
        if (c->known)
            grant_more(c);
    }
    return until != NULL && until(c);
}

bool all_committed(const struct coordinator *c)
{
    for (size_t i = 0; i < c->n_plan; i++) {
        if (!c->plan[i].committed)
            return false;
    }
    return true;
}

void coordinator_output(const struct coordinator *c, struct buf *out)
{
    for (size_t i = 0; i < c->n_plan; i++) {
        const struct plan *p = &c->plan[i];
        struct lineset set;

        need(p->committed
                 && lineset_unpack(p->result.data, p->result.len, &set, NULL)
                        == 0,
             "a result");
        for (uint32_t k = 0; k < set.n; k++) {
            if (set.item[k].error)
                buf_addc(out, '!');
            buf_add(out, set.item[k].text, set.item[k].len);
            buf_addc(out, '\n');
        }
        lineset_free(&set);
    }
}
