/* worker/ranks_impl.h - shared by ranks.c (life and work of the group) and
 * ranks_watch.c (its deaths: noticed, blamed on somebody, cleared away)
 */
#ifndef WORKER_RANKS_IMPL_H
#define WORKER_RANKS_IMPL_H

#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "worker/faults.h"
#include "worker/ranks.h"
#include "worker/segment.h"

enum ranks_state {
    RANKS_DOWN,
    RANKS_LOADING,
    RANKS_READY,
    RANKS_DYING,
};

#define RANKS_NOBODY SIZE_MAX

struct rank_child {
    size_t device; /* index of config.engine */
    pid_t pid;     /* 0: reaped or never started */
    struct faults faults;
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
    enum ranks_state state;
    int64_t since_ms;   /* when the state was entered */
    int64_t restart_ms; /* RANKS_DOWN: not before */
    int64_t reaped_ms;  /* last looked for dead children */
    int failures;       /* groups in a row that were of no use */
    struct segment_group *group;
    int group_fd, notify_fd;
    struct rank_child *child; /* [config.n] */
    size_t n;          /* ranks: the first n of them; the rest is quarantined */
    size_t culprit;    /* device the dying group was lost through, or
 * RANKS_NOBODY */
    size_t accused;    /* device of the last fault that is unexplained */
    struct buf in;     /* answers, the last one incomplete */
    uint64_t tick;     /* last one made */
    int64_t tick_ms;   /* when; or when answers began to wait */
    bool ticking;      /* it is not done yet */
    uint64_t *suspect; /* [n_suspect] of the group that is dying */
    size_t n_suspect;
    bool had_fingerprint;
    uint8_t fingerprint[HASH_BYTES];
    uint64_t records, cost; /* answered by earlier groups */
    struct err why;         /* the last group ended */
};

static inline uint64_t ranks_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static inline const char *ranks_engine(const struct ranks *r, size_t rank)
{
    return r->config.engine[r->child[rank].device];
}

static inline uint64_t ranks_answered(const struct rank_child *c)
{
    return ranks_get(&c->seg->progress.records);
}

static inline void ranks_enter(struct ranks *r, enum ranks_state state,
                               int64_t now_ms)
{
    r->state = state;
    r->since_ms = now_ms;
}

/* Forget the group's memory; all its processes are gone. */
void ranks_release(struct ranks *r);

/* Collect dead children. Who died by himself is at fault. */
void ranks_reap(struct ranks *r, int64_t now_ms);

/* Kill the group when a rank has work and does nothing. */
void ranks_check_hung(struct ranks *r, int64_t now_ms);

/* The group is lost, through `culprit` or RANKS_NOBODY: kill the rest of it. */
void ranks_fall(struct ranks *r, size_t culprit, int64_t now_ms,
                const struct err *why);
void ranks_kill_all(struct ranks *r);

/* DYING -> DOWN, once all are reaped. -1: the worker cannot go on. */
int ranks_bury(struct ranks *r, int64_t now_ms, struct err *err);

#endif /* WORKER_RANKS_IMPL_H */
