#include "worker/rank_main.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/comm.h"
#include "common/log.h"
#include "cuda/comm_nccl.h"
#include "model/backend.h"
#include "model/fingerprint.h"
#include "model/weights.h"
#include "model/weights_share.h"
#include "worker/rank.h"
#include "worker/ranks.h"
#include "worker/segment.h"
#include "worker/vocab.h"
#include "worker/work.h"

#define READ_BYTES ((size_t)256 << 10) /* of requests at a time */
#define GATHER_WAIT_MS 2
#define RETRY_MS 5 /* look again whether the answer ring has room */

struct process {
    struct segment *seg;
    struct segment_group *group;
    struct comm *local; /* shared memory */
    struct comm *comm;  /* that, or NCCL */
    struct weights *weights;
    struct tokenizer *tokenizer;
    struct backend *backend;
    struct rank *rank;
    struct buf in;                 /* requests, the last one incomplete */
    struct buf outgoing, incoming; /* of the gather that was begun */
    size_t incoming_bytes;
    bool gathering;
    struct buf out;     /* gathered answers on their way into the ring */
    uint64_t collected; /* bytes of own answers gathered, ever */
    uint64_t tick;      /* last one done */
    int64_t gather_us;  /* when the gather was begun */
    uint64_t submitted; /* steps */
    int64_t began_us;   /* the oldest step on the device */
};

static void notify(struct process *p)
{
    bell_ring(&p->group->bell, p->seg->set.notify_fd);
}

static bool is_cuda(const struct segment_settings *set)
{
    return strncmp(set->engine, "cuda:", 5) == 0;
}

/* "cuda:1" with the options "compute=bf16" is "device=1,compute=bf16". */
static struct backend *open_backend(const struct segment_settings *set,
                                    const struct weights *w, struct err *err)
{
    const struct backend_limits limits = {
        .slots = set->slots,
        .tokens_per_step = set->tokens_per_step,
        .histories = set->slots,
    };
    char options[sizeof set->options + sizeof set->engine + 16];

    if (strcmp(set->engine, "null") == 0)
        return backend_create(&backend_null, w, &limits, set->options, err);
    if (!is_cuda(set))
        return backend_create(&backend_cpu, w, &limits, set->options, err);
    snprintf(options, sizeof options, "device=%s%s%s", set->engine + 5,
             set->options[0] != '\0' ? "," : "", set->options);
    return backend_create(&backend_cuda, w, &limits, options, err);
}

static int open_comm(struct process *p, struct err *err)
{
    const struct segment_settings *set = &p->seg->set;
    struct err why = {0};

    p->local =
        comm_local_join(segment_comm(p->group), set->rank, set->size, err);
    p->comm = p->local;
    if (p->local == NULL || set->comm == RANKS_LOCAL)
        return p->local == NULL ? -1 : 0;
    p->comm =
        comm_nccl_join(p->local, atoi(set->engine + 5), set->start_ms, &why);
    if (p->comm == NULL
        && (why.code != ERR_NOT_FOUND || set->comm == RANKS_NCCL)) {
        *err = why;
        return -1;
    }
    if (p->comm == NULL) {
        p->comm = p->local;
        if (set->rank == 0 && set->size > 1)
            log_warn("comm: shared memory in place of NCCL: %s", why.text);
    }
    return 0;
}

/* Rank 0 reads the checkpoint. GPUs get it from there; CPUs map the same file,
 * which is in memory by then or soon.
 */
static int open_weights(struct process *p, uint8_t hash[HASH_BYTES],
                        struct err *err)
{
    const struct segment_settings *set = &p->seg->set;
    bool first = set->rank == 0, cuda = is_cuda(set);

    if (!first && cuda)
        p->weights = weights_hear(hash, p->local, set->start_ms, err);
    else
        p->weights = weights_open(set->model, err);
    if (p->weights == NULL
        || (first && fingerprint_weights(set->model, p->weights, hash, err) < 0)
        || (first && cuda
            && weights_tell(p->weights, hash, p->local, set->start_ms, err) < 0)
        || (!cuda
            && comm_broadcast(p->local, hash, HASH_BYTES, 0, set->start_ms, err)
                   < 0))
        return -1;
    p->weights->comm = cuda ? p->comm : NULL;
    p->weights->comm_timeout_ms = set->start_ms;
    return 0;
}

static int open_model(struct process *p, struct err *err)
{
    const struct segment_settings *set = &p->seg->set;
    uint8_t hash[HASH_BYTES];
    bool null = strcmp(set->engine, "null") == 0;

    if (!null && open_weights(p, hash, err) < 0)
        return -1;
    if (vocab_open(set->engine, set->tokenizer, &p->tokenizer, err) < 0)
        return -1;
    p->backend = open_backend(set, p->weights, err);
    if (p->backend == NULL)
        return -1;
    if (!null && p->tokenizer != NULL
        && tokenizer_size(p->tokenizer) > p->backend->vocab)
        return err_set(err, ERR_INVALID,
                       "tokenizer %s has ids up to %" PRId32
                       ", but the vocabulary of %s has %" PRId32,
                       set->tokenizer, tokenizer_size(p->tokenizer) - 1,
                       set->model, p->backend->vocab);
    p->seg->vocab = p->backend->vocab;
    return fingerprint_compute(
        p->backend, p->backend->compute, null ? NULL : hash,
        p->tokenizer != NULL ? tokenizer_hash(p->tokenizer) : NULL,
        p->seg->fingerprint, err);
}

static int begin(struct process *p, struct err *err)
{
    const struct segment_settings *set = &p->seg->set;

    p->group = segment_group_map(set->group_fd, set->size, err);
    if (p->group == NULL)
        return -1;
    if (open_comm(p, err) < 0 || open_model(p, err) < 0)
        return -1;
    p->rank = rank_create(p->backend, p->tokenizer);
    atomic_store_explicit(&p->seg->status, SEGMENT_READY, memory_order_release);
    notify(p);
    return 0;
}

/* Take what the supervisor wrote. */
static int receive(struct process *p, struct err *err)
{
    struct ring *ring = segment_requests(p->seg);
    size_t used = 0, size;

    if (ring_used(ring) == 0)
        return 0;
    p->in.len += ring_read(ring, buf_reserve(&p->in, READ_BYTES), READ_BYTES);
    while ((size = work_size(p->in.data + used, p->in.len - used)) > 0) {
        if (rank_add(p->rank, p->in.data + used, size, err) < 0)
            return -1;
        used += size;
    }
    buf_consume(&p->in, used);
    return 0;
}

static bool tick_waits(const struct process *p)
{
    return atomic_load_explicit(&p->group->tick.number, memory_order_acquire)
           != p->tick;
}

/* The supervisor has named the bytes that every rank brings to rank 0. */
static int begin_gather(struct process *p, struct err *err)
{
    const struct segment_settings *set = &p->seg->set;
    struct buf *answers = rank_answers(p->rank);
    size_t bytes[DEVICES_MAX], total = 0, own;
    char *to = NULL;

    for (int i = 0; i < set->size; i++) {
        bytes[i] = (size_t)p->group->tick.bytes[i];
        total += bytes[i];
    }
    own = bytes[set->rank];
    if (own > answers->len)
        return err_set(err, ERR_INTERNAL,
                       "a gather of %zu bytes, but only %zu are there", own,
                       answers->len);
    /* Answers go on growing: what travels stands still. */
    buf_clear(&p->outgoing);
    buf_add(&p->outgoing, answers->data, own);
    buf_consume(answers, own);
    p->collected += own;
    buf_clear(&p->incoming);
    if (set->rank == 0)
        to = buf_reserve(&p->incoming, total);
    p->incoming_bytes = set->rank == 0 ? total : 0;
    p->gathering = true;
    return comm_gather_begin(p->comm, p->outgoing.data, bytes, to, 0,
                             set->patience_ms, err);
}

static void add(_Atomic uint64_t *counter, int64_t us)
{
    atomic_fetch_add_explicit(counter, (uint64_t)us, memory_order_relaxed);
}

static void end_gather(struct process *p)
{
    add(&p->seg->progress.gather_us, clock_now_us() - p->gather_us);
    buf_add(&p->out, p->incoming.data, p->incoming_bytes);
    p->gathering = false;
    p->tick =
        atomic_load_explicit(&p->group->tick.number, memory_order_relaxed);
    atomic_store_explicit(&p->seg->progress.ticks, p->tick,
                          memory_order_release);
    notify(p);
}

/* Begin a gather, or bring one on: never wait for peers while the device has
 * work.
 */
static int gather(struct process *p, int64_t wait_ms, struct err *err)
{
    int64_t start;
    int rc;

    if (!p->gathering && !tick_waits(p))
        return 0;
    start = clock_now_us();
    if (!p->gathering)
        p->gather_us = start;
    if (!p->gathering && begin_gather(p, err) < 0)
        return -1;
    rc = comm_poll(p->comm, wait_ms, err);
    if (rank_unwaited(p->rank) > 0)
        add(&p->seg->progress.gather_host_us, clock_now_us() - start);
    if (rc > 0)
        end_gather(p);
    return rc < 0 ? -1 : 0;
}

static void send_answers(struct process *p)
{
    size_t n;

    if (p->out.len == 0)
        return;
    n = ring_write(segment_answers(p->seg), p->out.data, p->out.len);
    buf_consume(&p->out, n);
    if (n > 0)
        notify(p);
}

static void publish(struct process *p)
{
    const struct rank_counts *c = rank_counts(p->rank);
    struct segment_progress *to = &p->seg->progress;
    uint64_t bytes = p->collected + rank_answers(p->rank)->len;

    atomic_store_explicit(&to->fed, c->fed, memory_order_relaxed);
    atomic_store_explicit(&to->sampled, c->sampled, memory_order_relaxed);
    atomic_store_explicit(&to->steps, c->steps, memory_order_relaxed);
    atomic_store_explicit(&to->cost, c->cost, memory_order_relaxed);
    atomic_store_explicit(&to->answer_bytes, bytes, memory_order_release);
    /* Last: who has seen all records answered sees all their bytes. */
    atomic_store_explicit(&to->records, c->records, memory_order_release);
    notify(p);
}

/* Hand the planned step to the device, with its records on a page that outlives
 * a crash.
 */
static int submit(struct process *p, struct err *err)
{
    struct segment_flight *page;
    const uint64_t *id;
    uint32_t n = rank_planned(p->rank, &id);

    page = &p->seg->flight[p->submitted++ % RANK_UNWAITED_MAX];
    memcpy(page->id, id, n * sizeof *id);
    atomic_store_explicit(&page->n, n, memory_order_release);
    if (rank_unwaited(p->rank) == 0)
        p->began_us = clock_now_us();
    return rank_submit(p->rank, err);
}

/* Read the oldest step on the device. It began when it was submitted, or when
 * the one before it ended.
 */
static int finish(struct process *p, struct err *err)
{
    struct segment_progress *progress = &p->seg->progress;
    uint64_t step = rank_counts(p->rank)->steps, us, mean;
    int64_t now;

    if (rank_finish(p->rank, err) < 0)
        return -1;
    atomic_store_explicit(&p->seg->flight[step % RANK_UNWAITED_MAX].n, 0,
                          memory_order_release);
    now = clock_now_us();
    us = (uint64_t)(now - p->began_us);
    p->began_us = now;
    mean = atomic_load_explicit(&progress->step_us, memory_order_relaxed);
    mean = mean == 0 ? us : (7 * mean + us) / 8;
    atomic_store_explicit(&progress->step_us, mean, memory_order_relaxed);
    return 0;
}

/* Sleep until the supervisor rings, unless it has written something already;
 * with a gather begun, until that goes on or it is time to look for work again.
 */
static int wait_for_work(struct process *p, struct err *err)
{
    struct pollfd fd = {.fd = p->seg->set.wake_fd, .events = POLLIN};

    if (p->gathering)
        return gather(p, GATHER_WAIT_MS, err);
    bell_arm(&p->seg->bell);
    if (ring_used(segment_requests(p->seg)) == 0 && !tick_waits(p))
        (void)poll(&fd, 1, p->out.len > 0 ? RETRY_MS : -1);
    bell_disarm(&p->seg->bell, fd.fd);
    return 0;
}

static int loop(struct process *p, struct err *err)
{
    for (;;) {
        int32_t rows;
        int ahead;

        if (receive(p, err) < 0 || gather(p, 0, err) < 0)
            return -1;
        send_answers(p);
        rows = rank_plan(p->rank, err);
        if (rows < 0 || (rows > 0 && submit(p, err) < 0))
            return -1;
        /* A step more than the one being computed: encode and pack the next
         * one meanwhile.
         */
        ahead = rows > 0 && p->backend->async ? 1 : 0;
        if (rank_unwaited(p->rank) > ahead && finish(p, err) < 0)
            return -1;
        publish(p);
        if (rows == 0 && rank_unwaited(p->rank) == 0
            && wait_for_work(p, err) < 0)
            return -1;
    }
}

int rank_main(int fd)
{
    static char name[16]; /* log_init keeps it */
    struct process p = {0};
    struct err err = {0};

    log_init("rank", LOG_LEVEL_INFO);
    p.seg = segment_map(fd, &err);
    if (p.seg == NULL) {
        log_error("start: %s", err.text);
        return (int)err.code;
    }
    snprintf(name, sizeof name, "rank%" PRId32, p.seg->set.rank);
    log_init(name, (enum log_level)p.seg->set.log_level);
    if (hash_init(&err) == 0 && begin(&p, &err) == 0)
        loop(&p, &err);
    /* The process ends here and its memory with it. */
    p.seg->err = err;
    atomic_store_explicit(&p.seg->status, SEGMENT_FAILED, memory_order_release);
    if (p.group != NULL)
        notify(&p);
    log_error("failed: %s", err.text);
    return (int)err.code;
}
