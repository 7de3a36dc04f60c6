#include "worker/ranks.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/orphans.h"
#include "worker/ranks_impl.h"
#include "worker/segment.h"
#include "worker/spawn.h"

#define TICK_BYTES ((uint64_t)256 << 10) /* gather at once from here on */
#define QUEUE_STEPS 8                 /* work given ahead to a rank, in steps */
#define QUEUE_BYTES ((size_t)8 << 20) /* not yet in its ring */
#define GATHER_STALLS \
    3                /* of stall_ms a gather may take: who hangs is found by
                         * the supervisor, not by those who wait for him */
#define CHECK_MS 500 /* for hung ranks */
#define REAP_POLL_MS 20

struct ranks *ranks_create(const struct ranks_config *config,
                           const struct ranks_handler *handler)
{
    struct ranks *r = xcalloc(1, sizeof *r);

    assert(config->n >= 1);
    assert(config->n <= DEVICES_MAX);
    r->config = *config;
    r->handler = *handler;
    r->n = config->n;
    r->culprit = r->accused = RANKS_NOBODY;
    r->child = xcalloc(config->n, sizeof *r->child);
    r->group_fd = -1;
    r->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (size_t i = 0; i < config->n; i++) {
        r->child[i].device = i;
        r->child[i].seg_fd = r->child[i].wake_fd = -1;
    }
    return r;
}

int ranks_fd(const struct ranks *r)
{
    return r->notify_fd;
}

bool ranks_ready(const struct ranks *r)
{
    return r->state == RANKS_READY;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Forget the group's memory; all its processes are gone. */
/* What gathering cost the group, said at its end: how long a tick is open, and
 * how much of that a rank's thread spends on it.
 */
static void log_gathers(const struct ranks *r)
{
    const struct segment_progress *p;
    uint64_t bytes = 0, host_us = 0;

    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].seg == NULL)
            return;
        bytes += r->child[i].collected;
        host_us += ranks_get(&r->child[i].seg->progress.gather_host_us);
    }
    p = &r->child[0].seg->progress;
    if (ranks_get(&p->ticks) > 0)
        log_info("gathers: ticks=%" PRIu64 " bytes=%" PRIu64 " open_us=%" PRIu64
                 " host_us=%" PRIu64,
                 ranks_get(&p->ticks), bytes,
                 ranks_get(&p->gather_us) / ranks_get(&p->ticks),
                 host_us / r->n / ranks_get(&p->ticks));
}

void ranks_release(struct ranks *r)
{
    log_gathers(r);
    for (size_t i = 0; i < r->n; i++) {
        struct rank_child *c = &r->child[i];

        if (c->seg != NULL) {
            c->tokens_before += ranks_get(&c->seg->progress.fed);
            r->records += ranks_get(&c->seg->progress.records);
            r->cost += ranks_get(&c->seg->progress.cost);
        }
        segment_unmap(c->seg);
        c->seg = NULL;
        close_fd(&c->seg_fd);
        close_fd(&c->wake_fd);
        buf_clear(&c->out);
        c->given = c->cost = c->collected = c->seen = 0;
    }
    segment_group_unmap(r->group, (int)r->n);
    r->group = NULL;
    close_fd(&r->group_fd);
    buf_clear(&r->in);
    r->tick = 0;
    r->ticking = false;
}

void ranks_destroy(struct ranks *r)
{
    if (r == NULL)
        return;
    ranks_kill_all(r);
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].pid > 0)
            waitpid(r->child[i].pid, NULL, 0);
    }
    ranks_release(r);
    if (r->config.comm != RANKS_LOCAL)
        (void)orphans_sweep(ORPHANS_DIR);
    for (size_t i = 0; i < r->config.n; i++)
        buf_free(&r->child[i].out);
    close_fd(&r->notify_fd);
    buf_free(&r->in);
    free(r->suspect);
    free(r->child);
    free(r);
}

static void fill_settings(const struct ranks *r, size_t i)
{
    const struct ranks_config *config = &r->config;
    struct segment_settings *set = &r->child[i].seg->set;

    set->rank = (int32_t)i;
    set->size = (int32_t)r->n;
    set->slots = config->slots;
    set->tokens_per_step = config->tokens_per_step;
    set->log_level = config->log_level;
    set->comm = (int32_t)config->comm;
    set->start_ms = config->start_ms;
    set->patience_ms = GATHER_STALLS * config->stall_ms;
    set->group_fd = r->group_fd;
    set->wake_fd = r->child[i].wake_fd;
    set->notify_fd = r->notify_fd;
    snprintf(set->engine, sizeof set->engine, "%s", ranks_engine(r, i));
    snprintf(set->options, sizeof set->options, "%s", config->options);
    snprintf(set->model, sizeof set->model, "%s", config->model);
    snprintf(set->tokenizer, sizeof set->tokenizer, "%s", config->tokenizer);
}

static int start_child(struct ranks *r, size_t i, int64_t now_ms,
                       struct err *err)
{
    struct rank_child *c = &r->child[i];

    c->seg_fd = segment_create(&c->seg, err);
    if (c->seg_fd < 0)
        return -1;
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->wake_fd < 0)
        return err_set(err, ERR_OS, "eventfd: %s", strerror(errno));
    fill_settings(r, i);
    c->seen_ms = now_ms;
    c->pid = spawn_rank(i, c->seg_fd,
                        (int[]){r->group_fd, c->wake_fd, r->notify_fd}, 3, err);
    return c->pid < 0 ? -1 : 0;
}

/* RANKS_DOWN -> RANKS_LOADING. */
static int start(struct ranks *r, int64_t now_ms, struct err *err)
{
    r->group_fd = segment_group_create((int)r->n, &r->group, err);
    if (r->group_fd < 0)
        return -1;
    for (size_t i = 0; i < r->n; i++) {
        if (start_child(r, i, now_ms, err) < 0)
            return -1;
    }
    ranks_enter(r, RANKS_LOADING, now_ms);
    return 0;
}

static bool is_loaded(const struct rank_child *c)
{
    return atomic_load_explicit(&c->seg->status, memory_order_acquire)
           == SEGMENT_READY;
}

static bool all_loaded(const struct ranks *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!is_loaded(&r->child[i]))
            return false;
    }
    return true;
}

/* RANKS_LOADING -> RANKS_READY, once all are. */
static int check_ready(struct ranks *r, int64_t now_ms, struct err *err)
{
    const struct segment *first = r->child[0].seg;
    struct err why;

    for (size_t i = 0; i < r->n; i++) {
        if (is_loaded(&r->child[i]))
            continue;
        if (now_ms - r->since_ms > r->config.start_ms) {
            err_set(&why, ERR_TIMEOUT,
                    "rank %zu was not ready in %" PRId64 " s", i,
                    r->config.start_ms / 1000);
            ranks_fall(r, i, now_ms, &why);
        }
        return 0;
    }
    for (size_t i = 1; i < r->n; i++) {
        if (memcmp(r->child[i].seg->fingerprint, first->fingerprint, HASH_BYTES)
            != 0)
            return err_set(err, ERR_INTERNAL,
                           "ranks 0 and %zu disagree about the numerics"
                           " fingerprint: one device computes other bits",
                           i);
    }
    if (r->had_fingerprint
        && memcmp(r->fingerprint, first->fingerprint, HASH_BYTES) != 0)
        return err_set(err, ERR_INTERNAL,
                       "the numerics fingerprint changed when the ranks were"
                       " started again: was the model replaced?");
    r->had_fingerprint = true;
    memcpy(r->fingerprint, first->fingerprint, HASH_BYTES);
    for (size_t i = 0; i < r->n; i++)
        r->child[i].seen_ms = now_ms;
    r->tick_ms = now_ms;
    ranks_enter(r, RANKS_READY, now_ms);
    r->handler.ready(r->handler.arg, r->fingerprint, first->vocab);
    return 0;
}

bool ranks_idle(const struct ranks *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].seg != NULL
            && ranks_answered(&r->child[i]) != r->child[i].given)
            return false;
    }
    return true;
}

/* Take complete answers out of the ring of rank 0. */
static int take_answers(struct ranks *r, struct err *err)
{
    struct ring *ring = segment_answers(r->child[0].seg);
    size_t used = 0, size, n;

    while ((n = ring_used(ring)) > 0)
        r->in.len += ring_read(ring, buf_reserve(&r->in, n), n);
    while ((size = answer_size(r->in.data + used, r->in.len - used)) > 0) {
        struct answer_head head;
        const void *payload;

        if (answer_read(r->in.data + used, size, &head, &payload) < 0)
            return err_set(err, ERR_INTERNAL, "a malformed answer from rank 0");
        r->handler.answer(r->handler.arg, &head, payload);
        used += size;
    }
    if (used > 0)
        buf_consume(&r->in, used);
    return 0;
}

static uint64_t pending_bytes(const struct ranks *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += ranks_get(&r->child[i].seg->progress.answer_bytes)
             - r->child[i].collected;
    return n;
}

static bool tick_done(const struct ranks *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (ranks_get(&r->child[i].seg->progress.ticks) != r->tick)
            return false;
    }
    return true;
}

/* Make a tick when it is time for one. */
static void tick(struct ranks *r, int64_t now_ms)
{
    bool idle = ranks_idle(r); /* before the bytes: they are complete then */
    uint64_t pending = pending_bytes(r);

    if (r->ticking && !tick_done(r))
        return;
    if (r->ticking || pending == 0)
        r->tick_ms = now_ms;
    r->ticking = false;
    if (pending == 0
        || (!idle && pending < TICK_BYTES
            && now_ms - r->tick_ms < r->config.gather_ms))
        return;
    for (size_t i = 0; i < r->n; i++) {
        struct rank_child *c = &r->child[i];
        uint64_t all = ranks_get(&c->seg->progress.answer_bytes);

        r->group->tick.bytes[i] = all - c->collected;
        c->collected = all;
    }
    atomic_store_explicit(&r->group->tick.number, ++r->tick,
                          memory_order_release);
    r->ticking = true;
    for (size_t i = 0; i < r->n; i++)
        bell_ring(&r->child[i].seg->bell, r->child[i].wake_fd);
}

void ranks_flush(struct ranks *r)
{
    for (size_t i = 0; i < r->n && r->state == RANKS_READY; i++) {
        struct rank_child *c = &r->child[i];
        size_t n;

        if (c->out.len == 0)
            continue;
        n = ring_write(segment_requests(c->seg), c->out.data, c->out.len);
        buf_consume(&c->out, n);
        if (n > 0)
            bell_ring(&c->seg->bell, c->wake_fd);
    }
}

int ranks_poll(struct ranks *r, bool child_died, int64_t now_ms,
               struct err *err)
{
    if (r->group != NULL)
        bell_disarm(&r->group->bell, r->notify_fd);
    if (r->state == RANKS_DOWN && now_ms >= r->restart_ms
        && start(r, now_ms, err) < 0)
        return -1;
    if (r->state == RANKS_READY && take_answers(r, err) < 0)
        return -1;
    /* Also without a SIGCHLD: one may have gone to a thread of a library. */
    if (child_died || now_ms - r->reaped_ms >= CHECK_MS) {
        ranks_reap(r, now_ms);
        r->reaped_ms = now_ms;
    }
    if (r->state == RANKS_LOADING && check_ready(r, now_ms, err) < 0)
        return -1;
    if (r->state == RANKS_READY) {
        tick(r, now_ms);
        ranks_check_hung(r, now_ms);
    }
    ranks_flush(r);
    return r->state == RANKS_DYING ? ranks_bury(r, now_ms, err) : 0;
}

int64_t ranks_deadline(struct ranks *r, int64_t now_ms)
{
    int64_t at = now_ms + CHECK_MS, due;

    if (r->state == RANKS_DOWN)
        return r->restart_ms;
    if (r->state == RANKS_DYING)
        return now_ms + REAP_POLL_MS;
    bell_arm(&r->group->bell);
    if (r->state == RANKS_LOADING)
        return all_loaded(r) ? now_ms : at;
    if (ring_used(segment_answers(r->child[0].seg)) > 0)
        return now_ms;
    if (r->ticking)
        return tick_done(r) ? now_ms : at;
    if (pending_bytes(r) == 0)
        return at;
    due = r->tick_ms + r->config.gather_ms;
    if (ranks_idle(r))
        return now_ms;
    return due < at ? due : at;
}

int ranks_room(const struct ranks *r)
{
    uint64_t least = UINT64_MAX;
    int best = -1;

    if (r->state != RANKS_READY)
        return -1;
    for (size_t i = 0; i < r->n; i++) {
        const struct rank_child *c = &r->child[i];
        uint64_t records = c->given - ranks_answered(c);
        uint64_t cost = c->cost - ranks_get(&c->seg->progress.cost);

        if (c->out.len > QUEUE_BYTES
            || (records >= (uint64_t)r->config.slots * 3 / 2
                && cost >= QUEUE_STEPS * (uint64_t)r->config.tokens_per_step))
            continue;
        if (cost < least) {
            least = cost;
            best = (int)i;
        }
    }
    return best;
}

void ranks_give(struct ranks *r, int rank, const void *request, size_t len,
                uint64_t cost)
{
    struct rank_child *c = &r->child[rank];

    buf_add(&c->out, request, len);
    c->given++;
    c->cost += cost;
}

void ranks_cancel(struct ranks *r, uint32_t shard)
{
    const struct work_head head = {.kind = WORK_CANCEL,
                                   .id = (uint64_t)shard << 32};

    for (size_t i = 0; i < r->n && r->state == RANKS_READY; i++)
        work_write(&r->child[i].out, &head, NULL, NULL, NULL, NULL);
}

void ranks_device(struct ranks *r, size_t i, int64_t now_ms,
                  struct ranks_device *out)
{
    static const char *const name[] = {
        [RANKS_DOWN] = "restarting",
        [RANKS_LOADING] = "loading",
        [RANKS_READY] = "ready",
        [RANKS_DYING] = "restarting",
    };
    size_t rank = 0;
    struct rank_child *c;

    while (r->child[rank].device != i)
        rank++;
    c = &r->child[rank];
    /* "cuda:1" as it is; "cpu" gets a number. */
    if (strchr(r->config.engine[i], ':') != NULL)
        snprintf(out->name, sizeof out->name, "%s", r->config.engine[i]);
    else
        snprintf(out->name, sizeof out->name, "%s:%zu", r->config.engine[i], i);
    out->pid = c->pid;
    out->state = rank < r->n ? name[r->state] : "quarantined";
    out->tokens = c->tokens_before;
    if (c->seg != NULL)
        out->tokens += ranks_get(&c->seg->progress.fed);
    if (r->state == RANKS_READY && rank < r->n && ranks_answered(c) != c->given)
        out->state = "busy";
    if (now_ms - c->rate_ms >= 1000) {
        c->rate = (double)(out->tokens - c->rate_tokens) * 1000.0
                  / (double)(now_ms - c->rate_ms);
        c->rate_tokens = out->tokens;
        c->rate_ms = now_ms;
    }
    out->tokens_per_s = c->rate;
}

void ranks_totals(const struct ranks *r, uint64_t *records, uint64_t *cost)
{
    *records = r->records;
    *cost = r->cost;
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].seg == NULL)
            continue;
        *records += ranks_get(&r->child[i].seg->progress.records);
        *cost += ranks_get(&r->child[i].seg->progress.cost);
    }
}
