/* Random clusters: workers, a network that loses, repeats and delays, a
 * coordinator that dies. One seed is one history, always the same.
 *
 * Usage: check_core_sim [SEEDS [FIRST]]      a failure names its seed:
 *        WORLD_LOG=1 check_core_sim 1 SEED   shows what happened
 *
 * Held at every moment: a GRANT's token is on disk and its job not held there,
 * a COMMITTED's result is on disk and of that token, no shard is stored twice
 * without a retry, and what clients are told of a job is what the disk says.
 * Held at the end, some time after the last fault: every job has ended as it
 * should, or was removed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"
#include "tests/daemon/world.h"

#define WORKERS 4
#define JOBS 3
#define CLIENT 10000 /* peer */
#define FLIGHT_MAX 4096
#define HOLD_MAX 64
#define FAULTS_MS 60000 /* faults happen until then */
#define END_MS 400000   /* by then everything has ended */
#define SEEDS_DEFAULT 300

/* A message on its way. To a worker it carries tokens; from one, everything
 * world_*() needs to say it.
 */
struct flight {
    int64_t at_ms; /* arrives */
    bool to_worker;
    enum wire_type type; /* XFER_END stands for a whole upload */
    uint64_t peer;
    uint64_t epoch;
    uint32_t lease_ms;
    uint8_t incarnation;
    Skein__ReleaseReason reason;
    size_t n;
    struct token token[HOLD_MAX];
    int64_t sent_ms;
};

struct hold {
    struct token token;
    int64_t done_ms;   /* computed then */
    int64_t upload_ms; /* next */
};

struct sim_worker {
    bool alive;
    int64_t alive_ms; /* starts again then */
    uint64_t peer;    /* of its connection */
    uint8_t incarnation;
    uint64_t epoch;   /* 0: no session */
    int64_t beat_ms;  /* next BEAT or HELLO */
    int64_t acked_ms; /* when the last acknowledged one was sent */
    int64_t lease_ms;
    struct hold hold[HOLD_MAX];
    size_t n_hold;
};

struct sim {
    struct world w;
    uint64_t seed;
    uint64_t random;
    struct sim_worker worker[WORKERS];
    uint64_t last_peer;
    uint8_t last_incarnation;
    struct flight *flight; /* [n_flight] in no order */
    size_t n_flight;
    int64_t op_ms; /* when the next operation completes */
    int64_t fault_ms;
    uint64_t gone[64]; /* connections the core has yet to notice */
    size_t n_gone;
    int lose_percent, repeat_percent, crash_percent;
    bool cancels;
    bool orders;
    const char *broken; /* the invariant that does not hold */
};

/* ---- chance -------------------------------------------------------------- */

static uint64_t rnd(struct sim *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (s->random * UINT64_C(0x2545F4914F6CDD1D) >> 32) % n;
}

static bool chance(struct sim *s, int percent)
{
    return (int)rnd(s, 100) < percent;
}

static bool faulty(const struct sim *s)
{
    return s->w.now_ms < WORLD_EPOCH_MS + FAULTS_MS;
}

/* ---- the network --------------------------------------------------------- */

static void fly(struct sim *s, struct flight *f)
{
    int copies = 1;

    f->sent_ms = s->w.now_ms;
    if (faulty(s) && chance(s, s->lose_percent))
        copies = 0;
    else if (faulty(s) && chance(s, s->repeat_percent))
        copies = 2;
    for (; copies > 0 && s->n_flight < FLIGHT_MAX; copies--) {
        f->at_ms = s->w.now_ms + (int64_t)rnd(s, 50);
        if (faulty(s) && chance(s, 5))
            f->at_ms += (int64_t)rnd(s, 15000);
        s->flight[s->n_flight++] = *f;
    }
}

static struct sim_worker *worker_at(struct sim *s, uint64_t peer)
{
    for (int i = 0; i < WORKERS; i++) {
        if (s->worker[i].alive && s->worker[i].peer == peer)
            return &s->worker[i];
    }
    return NULL;
}

static const struct world_job *model_job(const struct sim *s, uint64_t id)
{
    for (size_t i = 0; i < s->w.n_job; i++) {
        if (s->w.job[i].image.id == id)
            return &s->w.job[i];
    }
    return NULL;
}

static void check_sent(struct sim *s, const struct wire_msg *m)
{
    struct token t;
    const struct world_job *j;
    const struct shard_image *row;

    if (m->type == WIRE_COMMITTED) {
        t = token_of(m->committed->token);
        j = model_job(s, t.job);
        if (j == NULL || !token_same(&j->winner[t.shard], &t))
            s->broken = "COMMITTED was sent for a result that is not on disk";
    } else if (m->type == WIRE_GRANT) {
        t = token_of(m->grant->token);
        j = model_job(s, t.job);
        row = j == NULL ? NULL : &j->image.shard[t.shard];
        if (row == NULL || row->state != SHARD_LEASED || row->nonce != t.nonce
            || row->attempt != t.attempt || row->epoch != t.epoch)
            s->broken = "GRANT was sent for a token that is not on disk";
        else if (j->image.state == SKEIN__JOB_STATE__JOB_HELD)
            s->broken = "GRANT was sent for a job that is held";
    }
}

/* What a client is told of a job is what the disk says. */
static void check_told(struct sim *s, const Skein__JobInfo *told)
{
    const struct world_job *j = model_job(s, told->job);
    struct job_image disk;

    if (j == NULL || j->removed) {
        s->broken = "a removed job is listed";
        return;
    }
    disk = j->image;
    job_image_count(&disk);
    if (told->state != disk.state || told->answered != disk.answered
        || told->failed != disk.failed || told->prefix != disk.prefix
        || told->shards_done != disk.shards_done
        || told->tokens_in != disk.tokens_in
        || told->cost_done != disk.cost_done)
        s->broken = "a job is not shown as it is on disk";
}

static void add_drops(struct flight *f, Skein__Token **drop, size_t n)
{
    for (size_t i = 0; i < n && f->n < HOLD_MAX; i++)
        f->token[f->n++] = token_of(drop[i]);
}

static void on_send(struct world *w, uint64_t peer, const struct wire_msg *m)
{
    struct sim *s = w->arg;
    struct flight f = {.to_worker = true, .type = m->type, .peer = peer};

    check_sent(s, m);
    switch (m->type) {
    case WIRE_JOBS:
        for (size_t i = 0; peer == CLIENT + 1 && i < m->jobs->n_job; i++)
            check_told(s, m->jobs->job[i]);
        return;
    case WIRE_WELCOME:
        f.epoch = m->welcome->epoch;
        f.lease_ms = m->welcome->lease_ms;
        add_drops(&f, m->welcome->drop, m->welcome->n_drop);
        break;
    case WIRE_BEAT_ACK:
        f.epoch = m->beat_ack->epoch;
        f.sent_ms = (int64_t)m->beat_ack->seq;
        add_drops(&f, m->beat_ack->drop, m->beat_ack->n_drop);
        break;
    case WIRE_GRANT:
        f.token[f.n++] = token_of(m->grant->token);
        break;
    case WIRE_COMMITTED:
        f.token[f.n++] = token_of(m->committed->token);
        break;
    case WIRE_STALE:
        f.token[f.n++] = token_of(m->stale->token);
        break;
    case WIRE_REVOKE:
        f.token[f.n++] = token_of(m->revoke->token);
        break;
    case WIRE_HELLO_AGAIN:
    case WIRE_PROBE:
        break;
    default:
        return; /* to clients */
    }
    if (worker_at(s, peer) == NULL) { /* as ROUTER_MANDATORY tells */
        if (s->n_gone < 64)
            s->gone[s->n_gone++] = peer;
        return;
    }
    fly(s, &f);
}

/* ---- a worker ------------------------------------------------------------ */

static void drop_hold(struct sim_worker *v, const struct token *t)
{
    for (size_t i = 0; i < v->n_hold; i++) {
        if (token_same(&v->hold[i].token, t)) {
            v->hold[i] = v->hold[--v->n_hold];
            return;
        }
    }
}

static void add_hold(struct sim *s, struct sim_worker *v, const struct token *t)
{
    for (size_t i = 0; i < v->n_hold; i++) {
        if (token_same(&v->hold[i].token, t))
            return;
    }
    if (v->n_hold == HOLD_MAX || t->epoch != v->epoch)
        return;
    v->hold[v->n_hold++] = (struct hold){
        .token = *t,
        .done_ms = s->w.now_ms + 100 + (int64_t)rnd(s, 4000),
    };
}

static void worker_hears(struct sim *s, struct sim_worker *v,
                         const struct flight *f)
{
    switch (f->type) {
    case WIRE_WELCOME:
        if (f->epoch < v->epoch)
            return; /* a coordinator that is no more */
        v->epoch = f->epoch;
        v->lease_ms = f->lease_ms;
        v->acked_ms = s->w.now_ms;
        for (size_t i = 0; i < f->n; i++)
            drop_hold(v, &f->token[i]);
        break;
    case WIRE_BEAT_ACK:
        if (f->epoch != v->epoch)
            return;
        v->acked_ms = f->sent_ms;
        for (size_t i = 0; i < f->n; i++)
            drop_hold(v, &f->token[i]);
        break;
    case WIRE_HELLO_AGAIN:
        v->epoch = 0;
        v->beat_ms = s->w.now_ms;
        break;
    case WIRE_GRANT:
        add_hold(s, v, &f->token[0]);
        break;
    case WIRE_COMMITTED:
    case WIRE_STALE:
    case WIRE_REVOKE:
        drop_hold(v, &f->token[0]);
        break;
    default:
        break;
    }
}

static void say(struct sim *s, struct sim_worker *v, enum wire_type type,
                const struct token *t, Skein__ReleaseReason reason)
{
    struct flight f = {
        .type = type,
        .peer = v->peer,
        .incarnation = v->incarnation,
        .epoch = v->epoch,
        .reason = reason,
    };

    if (t != NULL)
        f.token[f.n++] = *t;
    else
        for (; f.n < v->n_hold; f.n++)
            f.token[f.n] = v->hold[f.n].token;
    fly(s, &f);
}

static void worker_finishes(struct sim *s, struct sim_worker *v, size_t i)
{
    struct token t = v->hold[i].token;

    if (v->hold[i].upload_ms == 0 && chance(s, s->crash_percent)) {
        say(s, v, WIRE_RELEASE, &t,
            chance(s, 50) ? SKEIN__RELEASE_REASON__RELEASE_CRASH
                          : SKEIN__RELEASE_REASON__RELEASE_DRAIN);
        drop_hold(v, &t);
        return;
    }
    v->hold[i].upload_ms = s->w.now_ms + 2000;
    say(s, v, WIRE_XFER_END, &t, 0);
}

static void worker_acts(struct sim *s, struct sim_worker *v)
{
    int64_t now = s->w.now_ms;

    if (!v->alive) {
        if (now < v->alive_ms)
            return;
        v->alive = true;
        v->peer = ++s->last_peer;
        v->incarnation = ++s->last_incarnation;
        v->beat_ms = now;
    }
    if (now >= v->beat_ms) {
        v->beat_ms = now + (v->epoch == 0 ? 1000 : BEAT_MS);
        say(s, v, v->epoch == 0 ? WIRE_HELLO : WIRE_BEAT, NULL, 0);
    }
    for (size_t i = v->n_hold; i-- > 0;) {
        struct hold *h = &v->hold[i];

        if (h->upload_ms == 0 && v->lease_ms > 0
            && now >= v->acked_ms + v->lease_ms)
            *h = v->hold[--v->n_hold]; /* stop: it may be another's now */
        else if (now >= h->done_ms && now >= h->upload_ms)
            worker_finishes(s, v, i);
    }
}

/* ---- the coordinator ----------------------------------------------------- */

static void core_hears(struct sim *s, const struct flight *f)
{
    struct world_worker who = {
        .peer = f->peer,
        .incarnation = f->incarnation,
        .records = 60,
        .fingerprint = 9,
    };
    uint64_t epoch = s->w.config.epoch;

    switch (f->type) {
    case WIRE_HELLO:
        world_hello(&s->w, &who, f->token, f->n);
        break;
    case WIRE_BEAT:
        s->w.config.epoch = f->epoch; /* what the message says */
        s->w.beat_seq = (uint64_t)f->sent_ms;
        world_beat(&s->w, &who, f->token, f->n);
        s->w.config.epoch = epoch;
        break;
    case WIRE_RELEASE:
        world_release(&s->w, &who, &f->token[0], f->reason);
        break;
    default:
        world_upload(&s->w, &who, &f->token[0]);
    }
}

/* The process dies: of what it had asked the disk for, some got there. */
static void coordinator_dies(struct sim *s)
{
    while (s->w.first != NULL && chance(s, 60)) {
        struct op *op = s->w.first;

        s->w.first = op->next;
        if (s->w.first == NULL)
            s->w.last = &s->w.first;
        world_run(&s->w, op);
        op_free(op);
    }
    world_restart(&s->w);
    s->n_gone = 0;
}

static void order(struct sim *s, uint64_t job, Skein__OrderKind kind)
{
    Skein__Order q = SKEIN__ORDER__INIT;

    q.job = job;
    q.kind = kind;
    q.priority = (int32_t)rnd(s, 3);
    q.failed = chance(s, 70);
    world_order(&s->w, CLIENT, &q);
}

static void any_order(struct sim *s)
{
    uint64_t job = 1 + rnd(s, JOBS);
    Skein__OrderKind kind = (Skein__OrderKind)rnd(s, 5);

    /* Rarely, so that there is something left. */
    if (kind == SKEIN__ORDER_KIND__ORDER_REMOVE && !chance(s, 20))
        kind = SKEIN__ORDER_KIND__ORDER_RETRY;
    order(s, job, kind);
}

/* What is held when the faults are over would never end. */
static void release_held(struct sim *s)
{
    for (size_t i = 0; i < s->w.n_job; i++) {
        if (s->w.job[i].image.state == SKEIN__JOB_STATE__JOB_HELD)
            order(s, s->w.job[i].image.id, SKEIN__ORDER_KIND__ORDER_RELEASE);
    }
}

static void fault(struct sim *s)
{
    struct sim_worker *v = &s->worker[rnd(s, WORKERS)];

    if (s->orders && chance(s, 50)) {
        for (uint64_t n = 1 + rnd(s, 3); n > 0; n--)
            any_order(s);
        return;
    }
    switch (rnd(s, 6)) {
    case 0:
        coordinator_dies(s);
        break;
    case 1:
    case 2:
        v->alive = false; /* kill -9 */
        v->alive_ms = s->w.now_ms + (int64_t)rnd(s, 10000);
        v->n_hold = 0;
        v->epoch = 0;
        break;
    case 3:
    case 4:
        v->peer = ++s->last_peer; /* the link broke; the worker does not know */
        break;
    default:
        if (s->cancels && chance(s, 20))
            world_cancel(&s->w, CLIENT, 1 + rnd(s, JOBS));
        else
            s->w.fail = s->w.fail == ERR_NONE ? ERR_AGAIN : ERR_NONE;
    }
}

static void disk_acts(struct sim *s)
{
    if (s->w.first == NULL || s->w.now_ms < s->op_ms)
        return;
    world_store_one(&s->w);
    s->op_ms = s->w.now_ms + (int64_t)rnd(s, faulty(s) ? 200 : 5);
}

/* ---- one history --------------------------------------------------------- */

static void min_ms(int64_t *least, int64_t ms)
{
    if (ms < *least)
        *least = ms;
}

static int64_t next_ms(const struct sim *s)
{
    int64_t next = s->w.now_ms + 1000;

    min_ms(&next, core_deadline(s->w.core));
    if (s->w.first != NULL)
        min_ms(&next, s->op_ms);
    if (faulty(s))
        min_ms(&next, s->fault_ms);
    for (size_t i = 0; i < s->n_flight; i++)
        min_ms(&next, s->flight[i].at_ms);
    for (int i = 0; i < WORKERS; i++) {
        const struct sim_worker *v = &s->worker[i];

        min_ms(&next, v->alive ? v->beat_ms : v->alive_ms);
        for (size_t k = 0; k < v->n_hold; k++)
            min_ms(&next, v->hold[k].upload_ms == 0 ? v->hold[k].done_ms
                                                    : v->hold[k].upload_ms);
    }
    return next > s->w.now_ms ? next : s->w.now_ms + 1;
}

static void deliver(struct sim *s)
{
    for (size_t i = s->n_flight; i-- > 0;) {
        struct flight f = s->flight[i];
        struct sim_worker *v;

        if (f.at_ms > s->w.now_ms)
            continue;
        s->flight[i] = s->flight[--s->n_flight];
        if (!f.to_worker) {
            core_hears(s, &f);
            continue;
        }
        v = worker_at(s, f.peer);
        if (v != NULL)
            worker_hears(s, v, &f);
    }
}

static bool all_ended(const struct sim *s)
{
    for (size_t i = 0; i < s->w.n_job; i++) {
        if (!job_state_final(s->w.job[i].image.state))
            return false;
    }
    /* With orders a job that has ended may live again. */
    return !s->orders || (!faulty(s) && s->w.first == NULL);
}

static void check_disk(struct sim *s, bool at_end)
{
    for (size_t i = 0; i < s->w.n_job; i++) {
        const struct world_job *j = &s->w.job[i];
        uint32_t done = 0, crashed = 0;

        for (uint32_t k = 0; k < j->image.n_shards; k++) {
            if (j->commits[k] > 1 + j->retries[k])
                s->broken = "a shard was stored twice";
            done += j->image.shard[k].state == SHARD_DONE;
            crashed += j->image.shard[k].crashes >= CORE_CRASHES_MAX;
        }
        if (j->image.state == SKEIN__JOB_STATE__JOB_DONE
            && done != j->image.n_shards)
            s->broken = "a job is done without all its shards";
        if (j->image.state == SKEIN__JOB_STATE__JOB_FAILED && crashed == 0)
            s->broken = "a job failed without a reason";
        if (at_end && !job_state_final(j->image.state))
            s->broken = "a job did not end";
    }
}

/* on_send() sees the answer. */
static void ask_jobs(struct sim *s)
{
    Skein__JobsQuery all = SKEIN__JOBS_QUERY__INIT;

    all.finished = true;
    if (s->w.first == NULL && s->broken == NULL)
        world_message(&s->w, CLIENT + 1, WIRE_JOBS_QUERY, &all.base);
}

static void setup(struct sim *s, uint64_t seed)
{
    struct core_config config = world_config();

    *s = (struct sim){.seed = seed, .flight = s->flight};
    s->random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
    world_init(&s->w, &config);
    s->w.arg = s;
    s->w.on_send = on_send;
    s->w.quiet = true;
    world_tick(&s->w, 0);
    s->lose_percent = (int)rnd(s, 20);
    s->repeat_percent = (int)rnd(s, 20);
    s->crash_percent = (int)rnd(s, 10);
    s->cancels = chance(s, 30);
    s->orders = chance(s, 50);
    s->fault_ms = WORLD_EPOCH_MS;
    for (int i = 0; i < WORKERS; i++)
        s->worker[i].alive_ms = WORLD_EPOCH_MS + (int64_t)rnd(s, 3000);
    for (int i = 0; i < JOBS; i++)
        world_job_n(&s->w, 5 + (uint32_t)rnd(s, 30));
}

static void advance(struct sim *s)
{
    s->w.now_ms = next_ms(s);
    if (!faulty(s)) {
        s->w.fail = ERR_NONE;
        release_held(s);
    }
    if (faulty(s) && s->w.now_ms >= s->fault_ms) {
        fault(s);
        s->fault_ms = s->w.now_ms + 500 + (int64_t)rnd(s, 8000);
    }
    for (int i = 0; i < WORKERS; i++)
        worker_acts(s, &s->worker[i]);
    deliver(s);
    disk_acts(s);
    while (s->n_gone > 0)
        world_gone(&s->w, s->gone[--s->n_gone]);
    if (s->w.now_ms >= core_deadline(s->w.core))
        world_tick(&s->w, 0);
    check_disk(s, false);
    if (chance(s, 5))
        ask_jobs(s);
}

static const char *run(struct sim *s, uint64_t seed)
{
    setup(s, seed);
    while (s->broken == NULL && !all_ended(s)
           && s->w.now_ms < WORLD_EPOCH_MS + END_MS)
        advance(s);
    if (s->broken == NULL) {
        check_disk(s, true);
        ask_jobs(s);
    }
    world_free(&s->w);
    return s->broken;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS_DEFAULT;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct sim s = {.flight = xcalloc(FLIGHT_MAX, sizeof *s.flight)};
    int failed = 0;

    for (uint64_t seed = first; seed < first + seeds && failed < 5; seed++) {
        const char *broken = run(&s, seed);

        if (broken != NULL) {
            fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, broken);
            failed++;
        }
    }
    printf("%" PRIu64 " histories from seed %" PRIu64 ": %s\n", seeds, first,
           failed == 0 ? "all held" : "FAILED");
    free(s.flight);
    return failed == 0 ? 0 : 1;
}
