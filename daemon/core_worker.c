/* Worker sessions: HELLO, BEAT, RELEASE, and silence. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core_impl.h"

/* ---- the table ----------------------------------------------------------- */

static void free_models(struct core_worker *w)
{
    for (size_t i = 0; i < w->n_model; i++)
        free(w->model[i].name);
    free(w->model);
    w->model = NULL;
    w->n_model = 0;
}

static void free_devices(struct core_worker *w)
{
    for (size_t i = 0; i < w->n_device; i++) {
        free(w->device[i].name);
        free(w->device[i].state);
        free(w->device[i].model);
    }
    free(w->device);
    w->device = NULL;
    w->n_device = 0;
}

void core_worker_free(struct core_worker *w)
{
    free_models(w);
    free_devices(w);
    free(w->name);
    free(w->host);
    free(w->version);
    free(w);
}

struct core_worker *core_worker_of(const struct core *c, uint64_t peer)
{
    for (uint32_t i = 0; i < c->n_worker; i++) {
        if (c->worker[i]->connected && c->worker[i]->peer == peer)
            return c->worker[i];
    }
    return NULL;
}

uint64_t core_worker_tag(const struct core_worker *w)
{
    uint64_t tag;

    memcpy(&tag, w->incarnation, sizeof tag);
    return tag;
}

static struct core_worker *find_incarnation(const struct core *c,
                                            const uint8_t *incarnation)
{
    for (uint32_t i = 0; i < c->n_worker; i++) {
        if (memcmp(c->worker[i]->incarnation, incarnation, 16) == 0)
            return c->worker[i];
    }
    return NULL;
}

enum core_worker_state core_worker_state(const struct core *c,
                                         const struct core_worker *w)
{
    if (!w->connected)
        return CORE_WORKER_DISCONNECTED;
    if (c->now_ms - w->heard_ms > c->config.lease_ms / 2)
        return CORE_WORKER_SUSPECT;
    return w->draining ? CORE_WORKER_DRAINING : CORE_WORKER_READY;
}

char *core_worker_state_name(enum core_worker_state state)
{
    static char name[CORE_WORKER_STATES][16] = {
        [CORE_WORKER_READY] = "ready",
        [CORE_WORKER_SUSPECT] = "suspect",
        [CORE_WORKER_DRAINING] = "draining",
        [CORE_WORKER_DISCONNECTED] = "disconnected",
    };

    return name[state];
}

void core_hello_again(struct core *c, uint64_t peer, uint64_t seq)
{
    Skein__HelloAgain again = SKEIN__HELLO_AGAIN__INIT;

    again.epoch = c->config.epoch;
    core_send(c, peer, WIRE_HELLO_AGAIN, seq, &again.base);
}

/* ---- what a worker says of itself ---------------------------------------- */

static void set_models(struct core_worker *w, const Skein__Hello *h)
{
    free_models(w);
    w->model = xcalloc(h->n_model + 1, sizeof *w->model);
    for (size_t i = 0; i < h->n_model; i++) {
        const Skein__Model *from = h->model[i];
        struct core_model *to = &w->model[w->n_model];

        if (from->fingerprint.len != HASH_BYTES)
            continue;
        to->name = xstrdup(from->name);
        to->vocab = from->vocab;
        memcpy(to->fingerprint, from->fingerprint.data, HASH_BYTES);
        w->n_model++;
    }
}

static void set_devices(struct core_worker *w, Skein__Device *const *device,
                        size_t n)
{
    free_devices(w);
    w->device = xcalloc(n + 1, sizeof *w->device);
    w->n_device = n;
    for (size_t i = 0; i < n; i++) {
        w->device[i].name = xstrdup(device[i]->name);
        w->device[i].state = xstrdup(device[i]->state);
        w->device[i].model = xstrdup(device[i]->model);
        w->device[i].tokens = device[i]->tokens;
        w->device[i].tokens_per_s = device[i]->tokens_per_s;
        w->device[i].memory_used = device[i]->memory_used;
        w->device[i].memory_total = device[i]->memory_total;
        w->device[i].utilisation = device[i]->utilisation;
    }
}

static void set_capacity(struct core_worker *w, const Skein__Capacity *capacity)
{
    w->capacity_records = capacity == NULL ? 0 : capacity->records;
    w->capacity_cost = capacity == NULL ? 0 : capacity->cost;
}

/* ---- what a worker holds ------------------------------------------------- */

/* A lease of nobody found at start, or this worker's own, with this token. */
static struct core_lease *claim(struct core *c, struct core_worker *w,
                                const struct token *t)
{
    struct core_lease *l = core_lease_find(c, t);

    if (l == NULL || (l->worker != NULL && l->worker != w))
        return NULL;
    if (l->worker == NULL)
        core_lease_assign(l, w);
    return l;
}

/* Extend what is this worker's, list in `drop` what is not. `drop` has room
 * for n tokens, `ptr` for as many pointers. Returns their number.
 */
static size_t reconcile(struct core *c, struct core_worker *w,
                        Skein__Held *const *held, size_t n, Skein__Token *drop,
                        Skein__Token **ptr)
{
    size_t n_drop = 0;

    for (size_t i = 0; i < n; i++) {
        struct token t = token_of(held[i]->token);
        struct core_lease *l = claim(c, w, &t);

        if (l != NULL) {
            l->records_done = held[i]->records_done;
            if (!l->granting)
                l->deadline_ms = c->now_ms + c->config.lease_ms;
            continue;
        }
        token_fill(&t, &drop[n_drop]);
        ptr[n_drop] = &drop[n_drop];
        n_drop++;
    }
    return n_drop;
}

static bool is_held(Skein__Held *const *held, size_t n, const struct token *t)
{
    for (size_t i = 0; i < n; i++) {
        struct token h = token_of(held[i]->token);

        if (token_same(&h, t))
            return true;
    }
    return false;
}

/* On a new connection the worker's list is complete: what it does not name was
 * lost on the way to it, or would have been sent by a coordinator that is dead.
 */
static void end_unheld(struct core *c, const struct core_worker *w,
                       Skein__Held *const *held, size_t n)
{
    struct core_lease *l, *next;

    HASH_ITER(hh, c->lease, l, next)
    {
        bool mine = l->worker == w
                    || (l->worker == NULL && l->owner == core_worker_tag(w));

        if (mine && !l->granting && l->committing == 0
            && !is_held(held, n, &l->token))
            core_lease_end(c, l);
    }
}

/* ---- HELLO --------------------------------------------------------------- */

static struct core_worker *add_worker(struct core *c,
                                      const uint8_t *incarnation)
{
    struct core_worker *w = xcalloc(1, sizeof *w);

    w->id = ++c->last_worker_id;
    memcpy(w->incarnation, incarnation, sizeof w->incarnation);
    w->name = xstrdup("");
    w->host = xstrdup("");
    w->version = xstrdup("");
    c->worker[c->n_worker++] = w;
    return w;
}

static void replace(char **to, const char *from)
{
    free(*to);
    *to = xstrdup(from);
}

static void welcome(struct core *c, struct core_worker *w, uint64_t seq,
                    Skein__Token **drop, size_t n_drop)
{
    Skein__Welcome reply = SKEIN__WELCOME__INIT;

    reply.epoch = c->config.epoch;
    reply.beat_ms = (uint32_t)c->config.beat_ms;
    reply.lease_ms = (uint32_t)c->config.lease_worker_ms;
    reply.drop = drop;
    reply.n_drop = n_drop;
    core_send(c, w->peer, WIRE_WELCOME, seq, &reply.base);
}

void core_worker_hello(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    const Skein__Hello *h = m->hello;
    Skein__Token drop[HELD_MAX];
    Skein__Token *ptr[HELD_MAX];
    size_t n_held = h->n_held < HELD_MAX ? h->n_held : HELD_MAX;
    struct core_worker *w;
    struct core_worker *other = core_worker_of(c, peer);
    bool new_connection;
    size_t n_drop;

    if (h->incarnation.len != sizeof w->incarnation) {
        struct err err;

        err_set(&err, ERR_PROTOCOL, "an incarnation is 16 bytes");
        core_send_error(c, peer, m->seq, 0, &err);
        return;
    }
    w = find_incarnation(c, h->incarnation.data);
    if (w == NULL && c->n_worker == CORE_WORKERS_MAX) {
        struct err err;

        err_set(&err, ERR_AGAIN, "there are %d workers already",
                CORE_WORKERS_MAX);
        core_send_error(c, peer, m->seq, 0, &err);
        return;
    }
    if (other != NULL && other != w)
        core_worker_gone(c, peer);
    new_connection = w == NULL || !w->connected || w->peer != peer;
    if (w == NULL)
        w = add_worker(c, h->incarnation.data);
    w->peer = peer;
    w->connected = true;
    w->heard_ms = c->now_ms;
    w->pid = h->pid;
    replace(&w->name, h->name);
    replace(&w->host, h->host);
    replace(&w->version, h->version);
    set_models(w, h);
    set_devices(w, h->device, h->n_device);
    set_capacity(w, h->capacity);
    n_drop = reconcile(c, w, h->held, n_held, drop, ptr);
    if (new_connection) {
        end_unheld(c, w, h->held, n_held);
        core_log(c, LOG_LEVEL_INFO,
                 "worker-connected name=%s host=%s pid=%" PRIu32
                 " held=%zu dropped=%zu",
                 w->name, w->host, w->pid, n_held, n_drop);
    }
    welcome(c, w, m->seq, ptr, n_drop);
    c->want_grant = true;
    core_wake_at(c, c->now_ms); /* it is to be probed from now on */
}

/* ---- BEAT, RELEASE ------------------------------------------------------- */

void core_worker_beat(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    const Skein__Beat *b = m->beat;
    struct core_worker *w = core_worker_of(c, peer);
    Skein__BeatAck ack = SKEIN__BEAT_ACK__INIT;
    Skein__Token drop[HELD_MAX];
    Skein__Token *ptr[HELD_MAX];

    if (w == NULL || b->epoch != c->config.epoch) {
        core_hello_again(c, peer, m->seq);
        return;
    }
    w->heard_ms = c->now_ms;
    w->draining = b->draining;
    set_devices(w, b->device, b->n_device);
    set_capacity(w, b->capacity);
    ack.epoch = c->config.epoch;
    ack.seq = b->seq;
    ack.drop = ptr;
    ack.n_drop = reconcile(
        c, w, b->held, b->n_held < HELD_MAX ? b->n_held : HELD_MAX, drop, ptr);
    core_send(c, peer, WIRE_BEAT_ACK, m->seq, &ack.base);
    c->want_grant = true;
}

static void refuse_job(struct core_worker *w, uint64_t job)
{
    w->refused[w->n_refused++ % WORKER_REFUSED_MAX] = job;
}

void core_worker_release(struct core *c, uint64_t peer,
                         const struct wire_msg *m)
{
    const Skein__Release *r = m->release;
    struct core_worker *w = core_worker_of(c, peer);
    struct token t = token_of(r->token);
    struct core_lease *l = core_lease_find(c, &t);

    if (w == NULL) {
        core_hello_again(c, peer, m->seq);
        return;
    }
    if (l == NULL || l->worker != w || l->granting || l->committing > 0)
        return; /* over already: nothing to give back */
    switch (r->reason) {
    case SKEIN__RELEASE_REASON__RELEASE_CRASH:
    case SKEIN__RELEASE_REASON__RELEASE_INPUT:
        core_lease_crashed(c, l, r->message);
        break;
    case SKEIN__RELEASE_REASON__RELEASE_UNSUPPORTED:
        core_log(c, LOG_LEVEL_WARN,
                 "worker-refused name=%s job=%" PRIu64 " why=\"%s\"", w->name,
                 t.job, r->message);
        refuse_job(w, t.job);
        core_lease_end(c, l);
        break;
    default:
        core_lease_end(c, l);
    }
}

/* ---- silence ------------------------------------------------------------- */

void core_worker_gone(struct core *c, uint64_t peer)
{
    struct core_worker *w = core_worker_of(c, peer);
    int64_t end_ms = c->now_ms + c->config.lease_disconnected_ms;
    struct core_lease *l, *next;

    if (w == NULL)
        return;
    w->connected = false;
    c->stats.workers_lost += !w->draining;
    core_log(c, LOG_LEVEL_WARN, "worker-disconnected name=%s leases=%" PRIu32,
             w->name, w->n_leases);
    HASH_ITER(hh, c->lease, l, next)
    {
        if (l->worker == w && l->deadline_ms > end_ms && !l->granting)
            l->deadline_ms = end_ms;
    }
    core_wake_at(c, end_ms);
}

static void forget(struct core *c, uint32_t i)
{
    core_log(c, LOG_LEVEL_INFO, "worker-forgotten name=%s", c->worker[i]->name);
    c->stats.workers_lost += c->worker[i]->connected; /* it just fell silent */
    core_worker_free(c->worker[i]);
    c->worker[i] = c->worker[--c->n_worker];
}

/* Probes, which find closed connections, and farewells. Probing may report a
 * worker gone only after this returns.
 */
void core_worker_tick(struct core *c)
{
    Skein__Probe probe = SKEIN__PROBE__INIT;

    probe.epoch = c->config.epoch;
    for (uint32_t i = c->n_worker; i-- > 0;) {
        const struct core_worker *w = c->worker[i];

        if (c->now_ms - w->heard_ms >= CORE_FORGET_MS && w->n_leases == 0) {
            forget(c, i);
            continue;
        }
        if (c->now_ms >= c->probe_ms && w->connected)
            core_send(c, w->peer, WIRE_PROBE, 0, &probe.base);
    }
    if (c->now_ms >= c->probe_ms)
        c->probe_ms = c->now_ms + c->config.probe_ms;
    if (c->n_worker > 0)
        core_wake_at(c, c->probe_ms);
}
