#include "client/rpc.h"

#include <stdbool.h>
#include <stdlib.h>

#include "client/interrupt.h"
#include "common/buf.h"
#include "common/clock.h"
#include "proto/sock.h"

#define UNSENT_PAUSE_MS 20 /* before another try without a connection */

struct rpc {
    struct sock *sock;
    char *endpoint;
    uint64_t seq;
    uint64_t xfer;
    bool answered; /* this coordinator has answered something */
    int64_t restart_ms;
    rpc_watch_fn *watch;
    void *watch_ctx;
};

struct rpc *rpc_open(const char *endpoint, struct err *err)
{
    struct sock *sock = sock_dealer(endpoint, err);
    struct rpc *r;

    if (sock == NULL)
        return NULL;
    r = xcalloc(1, sizeof *r);
    r->sock = sock;
    r->endpoint = xstrdup(endpoint);
    r->restart_ms = RPC_RESTART_MS;
    return r;
}

void rpc_close(struct rpc *r)
{
    if (r == NULL)
        return;
    sock_close(r->sock);
    free(r->endpoint);
    free(r);
}

const char *rpc_endpoint(const struct rpc *r)
{
    return r->endpoint;
}

int64_t rpc_patience_ms(const struct rpc *r)
{
    return r->answered ? r->restart_ms : RPC_FIRST_MS;
}

void rpc_set_patience(struct rpc *r, int64_t patience_ms)
{
    r->restart_ms = patience_ms;
    r->answered = true;
}

void rpc_set_watch(struct rpc *r, rpc_watch_fn *watch, void *ctx)
{
    r->watch = watch;
    r->watch_ctx = ctx;
}

uint64_t rpc_seq(const struct rpc *r)
{
    return r->seq;
}

uint64_t rpc_xfer(struct rpc *r)
{
    return ++r->xfer;
}

int rpc_unreachable(const struct rpc *r, struct err *err)
{
    return err_set(err, ERR_UNREACHABLE,
                   "no answer from the coordinator at %s within %lld s; is "
                   "skeind running there?",
                   r->endpoint, (long long)(rpc_patience_ms(r) / 1000));
}

int rpc_error(const Skein__Error *e, struct err *err)
{
    enum err_code code = (enum err_code)e->code;

    /* A peer may send any number; unknown ones are still failures. */
    if (e->code == 0 || e->code > 255)
        code = ERR_PROTOCOL;
    return err_set(err, code, "%s",
                   e->message[0] != '\0' ? e->message : err_name(code));
}

static int check_interrupt(struct err *err)
{
    if (interrupt_signal() == 0)
        return 0;
    return err_set(err, ERR_CANCELLED, "interrupted");
}

/* Sleep, unless a message or an interrupt comes first. May return early. */
static int wait_readable(struct rpc *r, int64_t wait_ms, struct err *err)
{
    int fd = interrupt_fd();

    if (r->watch != NULL && r->watch(r->watch_ctx, err) < 0)
        return -1;
    if (r->watch != NULL && wait_ms > RPC_WATCH_MS)
        wait_ms = RPC_WATCH_MS;
    if (sock_poll(r->sock, &fd, fd >= 0 ? 1 : 0, wait_ms, err) < 0)
        return -1;
    return check_interrupt(err);
}

static int send_seq(struct rpc *r, enum wire_type type, uint64_t seq,
                    const ProtobufCMessage *msg, struct err *err)
{
    struct err cause = {.code = ERR_NONE};

    if (sock_send(r->sock, 0, type, seq, msg, &cause) == 0)
        return 0;
    if (cause.code == ERR_AGAIN || cause.code == ERR_UNREACHABLE)
        return 1;
    return err_set(err, cause.code, "%s", cause.text);
}

int rpc_send(struct rpc *r, enum wire_type type, const ProtobufCMessage *msg,
             struct err *err)
{
    return send_seq(r, type, ++r->seq, msg, err);
}

int rpc_receive(struct rpc *r, int64_t wait_ms, struct wire_msg *out,
                struct err *err)
{
    int64_t end = clock_now_ms() + wait_ms;

    for (;;) {
        struct err bad = {.code = ERR_NONE};
        uint64_t peer;
        int64_t left;
        int got = sock_recv(r->sock, &peer, out, &bad);

        if (got > 0) {
            r->answered = true;
            return check_interrupt(err) < 0 ? (wire_free(out), -1) : 1;
        }
        if (got < 0)
            continue; /* malformed and dropped: as if it had been lost */
        left = end - clock_now_ms();
        if (left <= 0)
            return check_interrupt(err);
        if (wait_readable(r, left, err) < 0)
            return -1;
    }
}

int rpc_pause(struct rpc *r, int64_t pause_ms, struct err *err)
{
    int64_t end = clock_now_ms() + pause_ms;

    for (;;) {
        int64_t left = end - clock_now_ms();
        struct wire_msg m;
        int got;

        if (left <= 0)
            return check_interrupt(err);
        got = rpc_receive(r, left, &m, err);
        if (got < 0)
            return -1;
        if (got > 0)
            wire_free(&m);
    }
}

/* Wait for the answer to `seq` until `end`. 1, 0 (none yet) or -1. */
static int await(struct rpc *r, uint64_t seq, enum wire_type want, int64_t end,
                 struct wire_msg *reply, struct err *err)
{
    for (;;) {
        int64_t left = end - clock_now_ms();
        int got = rpc_receive(r, left > 0 ? left : 0, reply, err);

        if (got <= 0)
            return got;
        if (reply->seq == seq
            && (reply->type == want || reply->type == WIRE_ERROR))
            return 1;
        wire_free(reply); /* of an earlier request, or meant for a transfer */
    }
}

int rpc_call(struct rpc *r, enum wire_type type, const ProtobufCMessage *msg,
             enum wire_type want, struct wire_msg *reply, struct err *err)
{
    int64_t now = clock_now_ms();
    int64_t end = now + rpc_patience_ms(r);
    uint64_t seq = ++r->seq; /* repeats keep it: any answer will do */
    int ret;

    while (now < end) {
        int64_t pause = RPC_REPEAT_MS;

        ret = send_seq(r, type, seq, msg, err);
        if (ret < 0)
            return -1;
        if (ret > 0)
            pause = UNSENT_PAUSE_MS;
        if (pause > end - now)
            pause = end - now;
        ret = await(r, seq, want, now + pause, reply, err);
        if (ret < 0)
            return -1;
        if (ret > 0 && reply->type == want)
            return 0;
        if (ret > 0) {
            int64_t retry = reply->error->retry_ms;

            rpc_error(reply->error, err);
            ret = reply->error->code == ERR_AGAIN && retry > 0;
            wire_free(reply);
            if (!ret || clock_now_ms() + retry >= end)
                return -1;
            if (rpc_pause(r, retry, err) < 0)
                return -1;
        }
        now = clock_now_ms();
    }
    return rpc_unreachable(r, err);
}
