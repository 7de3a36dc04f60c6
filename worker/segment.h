/* worker/segment.h - the memory that the supervisor shares with its ranks
 *
 * One segment per rank: its settings, what it reports, the page that names the
 * records on the device, the request and the answer ring. One group segment for
 * all of them: the gather tick and the region of comm_local. Both are memfds,
 * made anew for each start of the group, so nothing of a dead group survives.
 *
 * Every field has one writer, named beside it. Numbers only grow.
 */
#ifndef WORKER_SEGMENT_H
#define WORKER_SEGMENT_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/err.h"
#include "common/hash.h"
#include "proto/limits.h"
#include "worker/bell.h"
#include "worker/rank.h"
#include "worker/ring.h"

#define SEGMENT_REQUEST_BYTES (4u << 20) /* four steps of 4096 short records */
#define SEGMENT_ANSWER_BYTES (1u << 20)  /* four gathers of 256 KiB */

enum segment_status {
    SEGMENT_LOADING = 0,
    SEGMENT_READY,  /* fingerprint and vocab are there */
    SEGMENT_FAILED, /* err says why; the process ends */
};

/* What a rank needs to know to begin. Written by the supervisor before exec. */
struct segment_settings {
    int32_t rank, size;
    int32_t slots, tokens_per_step;
    int32_t log_level;
    int32_t comm;        /* enum ranks_comm */
    int64_t start_ms;    /* for loading */
    int64_t patience_ms; /* for one gather */
    int group_fd;        /* the group segment */
    int wake_fd;         /* eventfd: wakes this rank */
    int notify_fd;       /* eventfd: wakes the supervisor */
    char engine[16];     /* "cpu", "null", "cuda:0" */
    char options[512];   /* of the backend */
    char model[PATH_MAX];
    char tokenizer[PATH_MAX]; /* "": none; null then has one of single bytes */
};

/* Written by the rank. */
struct segment_progress {
    _Alignas(64) _Atomic uint64_t steps;
    _Atomic uint64_t fed;
    _Atomic uint64_t sampled;
    _Atomic uint64_t records;        /* answered */
    _Atomic uint64_t cost;           /* of answered records */
    _Atomic uint64_t answer_bytes;   /* ready to be gathered, ever */
    _Atomic uint64_t ticks;          /* last one done */
    _Atomic uint64_t step_us;        /* moving average */
    _Atomic uint64_t gather_us;      /* from begin to end, all ticks */
    _Atomic uint64_t gather_host_us; /* of that, spent by the rank's thread
                                      * while its device had work */
};

/* The records of a step on the device: the suspects of a crash. Rank. */
struct segment_flight {
    _Alignas(64) _Atomic uint32_t n; /* 0: no step */
    uint64_t id[RANK_SLOTS_MAX];
};

struct segment {
    struct segment_settings set;
    _Atomic uint32_t
        status; /* enum segment_status; rank, after the next three */
    uint8_t fingerprint[HASH_BYTES];
    int32_t vocab;
    struct err err;
    struct bell bell; /* of the rank */
    struct segment_progress progress;
    struct segment_flight flight[RANK_UNWAITED_MAX]; /* step mod that */
};

/* A gather: the supervisor writes the sizes, then the number. The next tick is
 * made only when every rank has done this one.
 */
struct segment_tick {
    _Alignas(64) _Atomic uint64_t number;
    uint64_t bytes[DEVICES_MAX]; /* of each rank's answers, in order */
};

struct segment_group {
    struct bell bell; /* of the supervisor */
    struct segment_tick tick;
};

struct ring *segment_requests(struct segment *s);
struct ring *segment_answers(struct segment *s); /* used by rank 0 only */
void *segment_comm(struct segment_group *g);     /* region of comm_local */

/* A prepared memfd (close-on-exec) and its mapping. -1: ERR_OS, ERR_NOMEM. */
int segment_create(struct segment **out, struct err *err);
int segment_group_create(int size, struct segment_group **out, struct err *err);

/* Map one that came through exec; the descriptor is closed. NULL: ERR_OS. */
struct segment *segment_map(int fd, struct err *err);
struct segment_group *segment_group_map(int fd, int size, struct err *err);

void segment_unmap(struct segment *s); /* NULL is allowed */
void segment_group_unmap(struct segment_group *g, int size);

#endif /* WORKER_SEGMENT_H */
