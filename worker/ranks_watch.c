#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "worker/orphans.h"
#include "worker/ranks_impl.h"

#define STALL_STEPS 8
#define STUCK_MARGIN_MS 100
#define BACKOFF_MS 100
#define BACKOFF_MS_MAX 10000
#define STARTS_MAX 8 /* useless groups in a row until the worker gives up */
#define REAP_MS 60000

void ranks_kill_all(struct ranks *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].pid > 0)
            kill(r->child[i].pid, SIGKILL);
    }
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
static void accuse(struct ranks *r, const struct rank_child *c)
{
    for (int i = 0; i < RANK_UNWAITED_MAX; i++)
        accuse_step(r, &c->seg->flight[i]);
}

/* Somebody hangs, perhaps only because he waits for another in a gather: suspect
 * all that are within a step and have not moved since `since_ms`.
 */
static void accuse_stuck(struct ranks *r, int64_t since_ms)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].seen_ms <= since_ms)
            accuse(r, &r->child[i]);
    }
}

/* Has this group brought the work forward? */
static bool was_useful(const struct ranks *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].collected > 0)
            return true;
    }
    return r->n_suspect > 0;
}

void ranks_fall(struct ranks *r, size_t culprit, int64_t now_ms,
                const struct err *why)
{
    if (r->state == RANKS_DYING)
        return;
    r->culprit = culprit;
    r->why = *why;
    log_warn("group-lost: reason=\"%s\" suspects=%zu", why->text, r->n_suspect);
    r->failures = was_useful(r) ? 0 : r->failures + 1;
    ranks_kill_all(r);
    ranks_enter(r, RANKS_DYING, now_ms);
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
                i, ranks_engine(r, i), WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    } else {
        err_set(why, ERR_INTERNAL, "rank %zu (%s) exited with status %d", i,
                ranks_engine(r, i), WEXITSTATUS(status));
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

void ranks_reap(struct ranks *r, int64_t now_ms)
{
    bool dying = r->state == RANKS_DYING;
    size_t culprit = RANKS_NOBODY;
    struct err why = {0};

    for (size_t i = 0; i < r->n; i++) {
        struct rank_child *c = &r->child[i];
        int status;

        if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
            continue;
        c->pid = 0;
        if (dying)
            continue;
        describe_end(r, i, status, &why);
        if (from_outside(status))
            continue;
        accuse(r, c);
        /* Who was kept waiting is not at fault. */
        culprit = why.code != ERR_TIMEOUT ? i : RANKS_NOBODY;
    }
    if (why.code == ERR_TIMEOUT)
        accuse_stuck(r, now_ms); /* who kept him waiting? */
    if (why.code != ERR_NONE)
        ranks_fall(r, culprit, now_ms, &why);
}

/* A rank that never loaded and says why will say it again, and so will the
 * others, unless it speaks of its own device.
 */
static bool is_hopeless(const struct ranks *r)
{
    if (r->had_fingerprint || r->why.code == ERR_INTERNAL
        || r->why.code == ERR_TIMEOUT)
        return false;
    return r->n == 1 || (r->why.code != ERR_CUDA && r->why.code != ERR_NCCL);
}

/* Go on without a device. All but this one may be given work again. */
static void quarantine(struct ranks *r, size_t rank)
{
    struct rank_child out = r->child[rank];

    log_error("quarantined: device=%s rank=%zu reason=\"%s\"; it is tried again"
              " when this worker is restarted",
              ranks_engine(r, rank), rank, r->why.text);
    memmove(&r->child[rank], &r->child[rank + 1],
            (r->config.n - rank - 1) * sizeof out);
    r->child[r->config.n - 1] = out;
    r->n--;
    r->failures = 0;
}

static struct faults *faults_of(struct ranks *r, size_t device)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].device == device)
            return &r->child[i].faults;
    }
    return NULL;
}

/* Was a single record on the device? It may be there once per branch. */
static bool is_one_record(const struct ranks *r)
{
    for (size_t i = 1; i < r->n_suspect; i++) {
        if (r->suspect[i] != r->suspect[0])
            return false;
    }
    return r->n_suspect > 0;
}

/* Whose fault was it? One record alone on the device: the record's, and then the
 * death before it, too. Else perhaps the device's.
 */
static void judge(struct ranks *r, int64_t now_ms)
{
    size_t rank = r->culprit;
    struct faults *before = faults_of(r, r->accused);

    r->culprit = RANKS_NOBODY;
    if (rank == RANKS_NOBODY)
        return;
    if (is_one_record(r)) {
        r->accused = RANKS_NOBODY;
        if (before != NULL)
            faults_forgive(before);
        return;
    }
    r->accused = r->child[rank].device;
    if (faults_add(&r->child[rank].faults, now_ms) && r->n > 1)
        quarantine(r, rank);
}

int ranks_bury(struct ranks *r, int64_t now_ms, struct err *err)
{
    int64_t pause = BACKOFF_MS;
    size_t unkillable = RANKS_NOBODY;

    for (size_t i = 0; i < r->n; i++) {
        if (r->child[i].pid <= 0)
            continue;
        if (now_ms - r->since_ms <= REAP_MS)
            return 0;
        if (r->n == 1)
            return err_set(err, ERR_OS,
                           "rank %zu (process %d) cannot be killed", i,
                           (int)r->child[i].pid);
        unkillable = i;
    }
    ranks_release(r);
    if (r->config.comm != RANKS_LOCAL)
        (void)orphans_sweep(ORPHANS_DIR);
    if (unkillable != RANKS_NOBODY) {
        err_set(&r->why, ERR_OS, "process %d cannot be killed",
                (int)r->child[unkillable].pid);
        quarantine(r, unkillable);
    } else {
        judge(r, now_ms);
    }
    if (r->failures >= STARTS_MAX || (r->failures > 0 && is_hopeless(r))) {
        *err = r->why;
        return err_wrap(err, "the ranks do not come up");
    }
    for (int i = 0; i < r->failures && pause < BACKOFF_MS_MAX; i++)
        pause *= 2;
    r->restart_ms = now_ms + pause;
    ranks_enter(r, RANKS_DOWN, now_ms);
    r->handler.lost(r->handler.arg, r->suspect, r->n_suspect);
    r->n_suspect = 0;
    return 0;
}

static uint64_t slowest_step_us(const struct ranks *r)
{
    uint64_t us = 0;

    for (size_t i = 0; i < r->n; i++) {
        uint64_t own = ranks_get(&r->child[i].seg->progress.step_us);

        us = own > us ? own : us;
    }
    return us;
}

/* The rank that has been still for longest, by a margin; or RANKS_NOBODY: those
 * who wait for a hanging peer come to rest, too, but later.
 */
static size_t longest_still(const struct ranks *r)
{
    size_t first = 0;

    for (size_t i = 1; i < r->n; i++) {
        if (r->child[i].seen_ms < r->child[first].seen_ms)
            first = i;
    }
    for (size_t i = 0; i < r->n; i++) {
        if (i != first
            && r->child[i].seen_ms - r->child[first].seen_ms < STUCK_MARGIN_MS)
            return RANKS_NOBODY;
    }
    return first;
}

/* Who hangs? In a gather rank 0 waits for all others and they for none. */
static size_t find_stuck(const struct ranks *r)
{
    size_t late = 0;

    for (size_t i = 1; i < r->n && r->ticking; i++) {
        if (ranks_get(&r->child[i].seg->progress.ticks) == r->tick)
            continue;
        if (late > 0)
            return longest_still(r);
        late = i;
    }
    return r->ticking ? late : longest_still(r);
}

void ranks_check_hung(struct ranks *r, int64_t now_ms)
{
    int64_t patience = (int64_t)(STALL_STEPS * slowest_step_us(r) / 1000);

    if (patience < r->config.stall_ms)
        patience = r->config.stall_ms;
    for (size_t i = 0; i < r->n; i++) {
        struct rank_child *c = &r->child[i];
        uint64_t seen = ranks_get(&c->seg->progress.steps)
                        + ranks_get(&c->seg->progress.ticks)
                        + ranks_answered(c);
        struct err why;

        if (seen != c->seen || (ranks_answered(c) == c->given && !r->ticking)) {
            c->seen = seen;
            c->seen_ms = now_ms;
        }
        if (now_ms - c->seen_ms < patience)
            continue;
        err_set(&why, ERR_TIMEOUT,
                "rank %zu (%s) made no progress for %" PRId64 " ms", i,
                ranks_engine(r, i), now_ms - c->seen_ms);
        accuse_stuck(r, now_ms - patience / 2);
        ranks_fall(r, find_stuck(r), now_ms, &why);
        return;
    }
}
