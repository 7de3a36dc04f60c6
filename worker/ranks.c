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
#include "worker/segment.h"
#include "worker/spawn.h"

#define TICK_BYTES ((uint64_t)256 << 10) /* gather at once from here on */
#define TICK_STEPS 8 /* gathers make ranks wait for each other: rarely */
#define TICK_MS_MAX 2000
#define QUEUE_STEPS 8                 /* work given ahead to a rank, in steps */
#define QUEUE_BYTES ((size_t)8 << 20) /* not yet in its ring */
#define STALL_STEPS 8
#define GATHER_STALLS \
    3                /* of stall_ms a gather may take: who hangs is found by
                         * the supervisor, not by those who wait for him */
#define CHECK_MS 500 /* for hung ranks */
#define BACKOFF_MS 100
#define BACKOFF_MS_MAX 10000
#define STARTS_MAX 8 /* useless groups in a row until the worker gives up */
#define REAP_MS 60000
#define REAP_POLL_MS 20

enum state {
    DOWN,
    LOADING,
    READY,
    DYING,
};

struct child {
    pid_t pid; /* 0: reaped or never started */
    struct segment *seg;
    int seg_fd, wake_fd;
    struct buf out;         /* requests on their way into its ring */
    uint64_t given, cost;   /* records and their cost, to this process */
    uint64_t collected;     /* answer bytes gathered */
    uint64_t seen;          /* its progress when last looked at */
    int64_t seen_ms;        /* and when that changed */
    uint64_t tokens_before; /* fed by earlier processes of this rank */
    uint64_t rate_tokens;   /* for tokens_per_s */
    int64_t rate_ms;
    double rate;
};

struct ranks {
    struct ranks_config config;
    struct ranks_handler handler;
    enum state state;
    int64_t since_ms;   /* when the state was entered */
    int64_t restart_ms; /* DOWN: not before */
    int failures;       /* groups in a row that were of no use */
    struct segment_group *group;
    int group_fd, notify_fd;
    struct child *child; /* [config.n] */
    struct buf in;       /* answers, the last one incomplete */
    uint64_t tick;       /* last one made */
    int64_t tick_ms;     /* when; or when answers began to wait */
    bool ticking;        /* it is not done yet */
    uint64_t *suspect;   /* [n_suspect] of the group that is dying */
    size_t n_suspect;
    bool had_fingerprint;
    uint8_t fingerprint[HASH_BYTES];
    uint64_t records, cost; /* answered by earlier groups */
    struct err why;         /* the last group ended */
};

static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

struct ranks *ranks_create(const struct ranks_config *config,
                           const struct ranks_handler *handler)
{
    struct ranks *r = xcalloc(1, sizeof *r);

    assert(config->n >= 1);
    assert(config->n <= DEVICES_MAX);
    r->config = *config;
    r->handler = *handler;
    r->child = xcalloc(config->n, sizeof *r->child);
    r->group_fd = -1;
    r->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (size_t i = 0; i < config->n; i++)
        r->child[i].seg_fd = r->child[i].wake_fd = -1;
    return r;
}

int ranks_fd(const struct ranks *r)
{
    return r->notify_fd;
}

bool ranks_ready(const struct ranks *r)
{
    return r->state == READY;
}

static void enter(struct ranks *r, enum state state, int64_t now_ms)
{
    r->state = state;
    r->since_ms = now_ms;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Forget the group's memory; all its processes are gone. */
static void release(struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        struct child *c = &r->child[i];

        if (c->seg != NULL) {
            c->tokens_before += get(&c->seg->progress.fed);
            r->records += get(&c->seg->progress.records);
            r->cost += get(&c->seg->progress.cost);
        }
        segment_unmap(c->seg);
        c->seg = NULL;
        close_fd(&c->seg_fd);
        close_fd(&c->wake_fd);
        buf_clear(&c->out);
        c->given = c->cost = c->collected = c->seen = 0;
    }
    segment_group_unmap(r->group, (int)r->config.n);
    r->group = NULL;
    close_fd(&r->group_fd);
    buf_clear(&r->in);
    r->tick = 0;
    r->ticking = false;
}

static void kill_all(struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].pid > 0)
            kill(r->child[i].pid, SIGKILL);
    }
}

void ranks_destroy(struct ranks *r)
{
    if (r == NULL)
        return;
    kill_all(r);
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].pid > 0)
            waitpid(r->child[i].pid, NULL, 0);
    }
    release(r);
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
    set->size = (int32_t)config->n;
    set->slots = config->slots;
    set->tokens_per_step = config->tokens_per_step;
    set->log_level = config->log_level;
    set->comm = config->comm;
    set->start_ms = config->start_ms;
    set->patience_ms = GATHER_STALLS * config->stall_ms;
    set->group_fd = r->group_fd;
    set->wake_fd = r->child[i].wake_fd;
    set->notify_fd = r->notify_fd;
    snprintf(set->engine, sizeof set->engine, "%s", config->engine[i]);
    snprintf(set->options, sizeof set->options, "%s", config->options);
    snprintf(set->model, sizeof set->model, "%s", config->model);
    snprintf(set->tokenizer, sizeof set->tokenizer, "%s", config->tokenizer);
}

static int start_child(struct ranks *r, size_t i, int64_t now_ms,
                       struct err *err)
{
    struct child *c = &r->child[i];

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

/* DOWN -> LOADING. */
static int start(struct ranks *r, int64_t now_ms, struct err *err)
{
    r->group_fd = segment_group_create((int)r->config.n, &r->group, err);
    if (r->group_fd < 0)
        return -1;
    for (size_t i = 0; i < r->config.n; i++) {
        if (start_child(r, i, now_ms, err) < 0)
            return -1;
    }
    enter(r, LOADING, now_ms);
    return 0;
}

static void accuse_step(struct ranks *r, const struct segment_flight *f)
{
    uint32_t n = atomic_load_explicit(&f->n, memory_order_acquire);

    if (n > RANK_SLOTS_MAX)
        return;
    r->suspect =
        xrealloc(r->suspect, (r->n_suspect + n + 1) * sizeof *r->suspect);
    memcpy(r->suspect + r->n_suspect, f->id, n * sizeof *r->suspect);
    r->n_suspect += n;
}

/* Remember the records on the device of a rank at fault: suspects. */
static void accuse(struct ranks *r, const struct child *c)
{
    for (int i = 0; i < RANK_UNWAITED_MAX; i++)
        accuse_step(r, &c->seg->flight[i]);
}

/* Somebody hangs, perhaps only because he waits for another in a gather: suspect
 * all that are within a step and have not moved since `since_ms`.
 */
static void accuse_stuck(struct ranks *r, int64_t since_ms)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].seen_ms <= since_ms)
            accuse(r, &r->child[i]);
    }
}

/* Has this group brought the work forward? */
static bool was_useful(const struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].collected > 0)
            return true;
    }
    return r->n_suspect > 0;
}

/* The group is lost: kill the rest of it. */
static void fall(struct ranks *r, int64_t now_ms, const struct err *why)
{
    if (r->state == DYING)
        return;
    r->why = *why;
    log_warn("group-lost: reason=\"%s\" suspects=%zu", why->text, r->n_suspect);
    r->failures = was_useful(r) ? 0 : r->failures + 1;
    kill_all(r);
    enter(r, DYING, now_ms);
}

/* Why a rank ended, from what it left and how it ended. */
static void describe_end(const struct ranks *r, size_t i, int status,
                         struct err *why)
{
    const struct segment *seg = r->child[i].seg;

    if (atomic_load_explicit(&seg->status, memory_order_acquire)
        == SEGMENT_FAILED) {
        *why = seg->err;
        err_wrap(why, "rank %zu", i);
    } else if (WIFSIGNALED(status)) {
        err_set(why, ERR_INTERNAL, "rank %zu (%s) was killed by signal %d (%s)",
                i, r->config.engine[i], WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    } else {
        err_set(why, ERR_INTERNAL, "rank %zu (%s) exited with status %d", i,
                r->config.engine[i], WEXITSTATUS(status));
    }
}

/* Signals that no record can cause: an operator sent them, or a kernel short of
 * memory. Our own SIGKILLs come when the group is dying already.
 */
static bool from_outside(int status)
{
    if (!WIFSIGNALED(status))
        return false;
    switch (WTERMSIG(status)) {
    case SIGKILL:
    case SIGTERM:
    case SIGINT:
    case SIGHUP:
        return true;
    default:
        return false;
    }
}

/* Collect dead children. Who died by himself is at fault. */
static void reap(struct ranks *r, int64_t now_ms)
{
    bool dying = r->state == DYING;
    struct err why = {0};

    for (size_t i = 0; i < r->config.n; i++) {
        struct child *c = &r->child[i];
        int status;

        if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
            continue;
        c->pid = 0;
        if (dying)
            continue;
        describe_end(r, i, status, &why);
        if (!from_outside(status))
            accuse(r, c);
    }
    if (why.code == ERR_TIMEOUT)
        accuse_stuck(r, now_ms); /* who kept him waiting? */
    if (why.code != ERR_NONE)
        fall(r, now_ms, &why);
}

/* A rank that never loaded and says why will say it again. */
static bool is_hopeless(const struct ranks *r)
{
    return !r->had_fingerprint && r->why.code != ERR_INTERNAL
           && r->why.code != ERR_TIMEOUT;
}

/* DYING -> DOWN, once all are reaped. */
static int bury(struct ranks *r, int64_t now_ms, struct err *err)
{
    int64_t pause = BACKOFF_MS;

    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].pid <= 0)
            continue;
        if (now_ms - r->since_ms > REAP_MS)
            return err_set(err, ERR_OS,
                           "rank %zu (process %d) cannot be killed", i,
                           (int)r->child[i].pid);
        return 0;
    }
    release(r);
    if (r->failures >= STARTS_MAX || (r->failures > 0 && is_hopeless(r))) {
        *err = r->why;
        return err_wrap(err, "the ranks do not come up");
    }
    for (int i = 0; i < r->failures && pause < BACKOFF_MS_MAX; i++)
        pause *= 2;
    r->restart_ms = now_ms + pause;
    enter(r, DOWN, now_ms);
    r->handler.lost(r->handler.arg, r->suspect, r->n_suspect);
    r->n_suspect = 0;
    return 0;
}

static bool is_loaded(const struct child *c)
{
    return atomic_load_explicit(&c->seg->status, memory_order_acquire)
           == SEGMENT_READY;
}

static bool all_loaded(const struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (!is_loaded(&r->child[i]))
            return false;
    }
    return true;
}

/* LOADING -> READY, once all are. */
static int check_ready(struct ranks *r, int64_t now_ms, struct err *err)
{
    const struct segment *first = r->child[0].seg;
    struct err why;

    for (size_t i = 0; i < r->config.n; i++) {
        if (is_loaded(&r->child[i]))
            continue;
        if (now_ms - r->since_ms > r->config.start_ms) {
            err_set(&why, ERR_TIMEOUT,
                    "rank %zu was not ready in %" PRId64 " s", i,
                    r->config.start_ms / 1000);
            fall(r, now_ms, &why);
        }
        return 0;
    }
    for (size_t i = 1; i < r->config.n; i++) {
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
    for (size_t i = 0; i < r->config.n; i++)
        r->child[i].seen_ms = now_ms;
    r->tick_ms = now_ms;
    enter(r, READY, now_ms);
    r->handler.ready(r->handler.arg, r->fingerprint, first->vocab);
    return 0;
}

static uint64_t answered(const struct child *c)
{
    return get(&c->seg->progress.records);
}

bool ranks_idle(const struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].seg != NULL
            && answered(&r->child[i]) != r->child[i].given)
            return false;
    }
    return true;
}

static uint64_t slowest_step_us(const struct ranks *r)
{
    uint64_t us = 0;

    for (size_t i = 0; i < r->config.n; i++) {
        uint64_t own = get(&r->child[i].seg->progress.step_us);

        us = own > us ? own : us;
    }
    return us;
}

/* Kill the group when a rank has work and does nothing. */
static void check_hung(struct ranks *r, int64_t now_ms)
{
    int64_t patience = (int64_t)(STALL_STEPS * slowest_step_us(r) / 1000);

    if (patience < r->config.stall_ms)
        patience = r->config.stall_ms;
    for (size_t i = 0; i < r->config.n; i++) {
        struct child *c = &r->child[i];
        uint64_t seen = get(&c->seg->progress.steps)
                        + get(&c->seg->progress.ticks) + answered(c);
        struct err why;

        if (seen != c->seen || (answered(c) == c->given && !r->ticking)) {
            c->seen = seen;
            c->seen_ms = now_ms;
        }
        if (now_ms - c->seen_ms < patience)
            continue;
        err_set(&why, ERR_TIMEOUT,
                "rank %zu (%s) made no progress for %" PRId64 " ms", i,
                r->config.engine[i], now_ms - c->seen_ms);
        accuse_stuck(r, now_ms - patience / 2);
        fall(r, now_ms, &why);
        return;
    }
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

    for (size_t i = 0; i < r->config.n; i++)
        n += get(&r->child[i].seg->progress.answer_bytes)
             - r->child[i].collected;
    return n;
}

static bool tick_done(const struct ranks *r)
{
    for (size_t i = 0; i < r->config.n; i++) {
        if (get(&r->child[i].seg->progress.ticks) != r->tick)
            return false;
    }
    return true;
}

static int64_t tick_interval_ms(const struct ranks *r)
{
    int64_t ms = (int64_t)(TICK_STEPS * slowest_step_us(r) / 1000);

    if (ms < r->config.gather_ms)
        return r->config.gather_ms;
    return ms < TICK_MS_MAX ? ms : TICK_MS_MAX;
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
            && now_ms - r->tick_ms < tick_interval_ms(r)))
        return;
    for (size_t i = 0; i < r->config.n; i++) {
        struct child *c = &r->child[i];
        uint64_t all = get(&c->seg->progress.answer_bytes);

        r->group->tick.bytes[i] = all - c->collected;
        c->collected = all;
    }
    atomic_store_explicit(&r->group->tick.number, ++r->tick,
                          memory_order_release);
    r->ticking = true;
    for (size_t i = 0; i < r->config.n; i++)
        bell_ring(&r->child[i].seg->bell, r->child[i].wake_fd);
}

void ranks_flush(struct ranks *r)
{
    for (size_t i = 0; i < r->config.n && r->state == READY; i++) {
        struct child *c = &r->child[i];
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
    if (r->state == DOWN && now_ms >= r->restart_ms
        && start(r, now_ms, err) < 0)
        return -1;
    if (r->state == READY && take_answers(r, err) < 0)
        return -1;
    if (child_died)
        reap(r, now_ms);
    if (r->state == LOADING && check_ready(r, now_ms, err) < 0)
        return -1;
    if (r->state == READY) {
        tick(r, now_ms);
        check_hung(r, now_ms);
    }
    ranks_flush(r);
    return r->state == DYING ? bury(r, now_ms, err) : 0;
}

int64_t ranks_deadline(struct ranks *r, int64_t now_ms)
{
    int64_t at = now_ms + CHECK_MS, due;

    if (r->state == DOWN)
        return r->restart_ms;
    if (r->state == DYING)
        return now_ms + REAP_POLL_MS;
    bell_arm(&r->group->bell);
    if (r->state == LOADING)
        return all_loaded(r) ? now_ms : at;
    if (ring_used(segment_answers(r->child[0].seg)) > 0)
        return now_ms;
    if (r->ticking)
        return tick_done(r) ? now_ms : at;
    if (pending_bytes(r) == 0)
        return at;
    due = r->tick_ms + tick_interval_ms(r);
    if (ranks_idle(r))
        return now_ms;
    return due < at ? due : at;
}

int ranks_room(const struct ranks *r)
{
    uint64_t least = UINT64_MAX;
    int best = -1;

    if (r->state != READY)
        return -1;
    for (size_t i = 0; i < r->config.n; i++) {
        const struct child *c = &r->child[i];
        uint64_t records = c->given - answered(c);
        uint64_t cost = c->cost - get(&c->seg->progress.cost);

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
    struct child *c = &r->child[rank];

    buf_add(&c->out, request, len);
    c->given++;
    c->cost += cost;
}

void ranks_cancel(struct ranks *r, uint32_t shard)
{
    const struct work_head head = {.kind = WORK_CANCEL,
                                   .id = (uint64_t)shard << 32};

    for (size_t i = 0; i < r->config.n && r->state == READY; i++)
        work_write(&r->child[i].out, &head, NULL, NULL, NULL);
}

void ranks_device(struct ranks *r, size_t i, int64_t now_ms,
                  struct ranks_device *out)
{
    static const char *const name[] = {
        [DOWN] = "restarting",
        [LOADING] = "loading",
        [READY] = "ready",
        [DYING] = "restarting",
    };
    struct child *c = &r->child[i];

    snprintf(out->name, sizeof out->name, "%s:%zu", r->config.engine[i], i);
    out->state = name[r->state];
    out->tokens = c->tokens_before;
    if (c->seg != NULL)
        out->tokens += get(&c->seg->progress.fed);
    if (r->state == READY && answered(c) != c->given)
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
    for (size_t i = 0; i < r->config.n; i++) {
        if (r->child[i].seg == NULL)
            continue;
        *records += get(&r->child[i].seg->progress.records);
        *cost += get(&r->child[i].seg->progress.cost);
    }
}
