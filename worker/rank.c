#include "worker/rank.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/packer.h"
#include "worker/seq.h"
#include "worker/task.h"

#define PREFIX UINT32_MAX /* in place of a branch number */

/* What a state slot is doing. */
struct place {
    struct task *task; /* NULL: free */
    uint32_t branch;   /* or PREFIX */
    struct seq seq;
    bool decoding; /* feeds the token sampled last */
};

struct queue {
    struct task *first, **last;
};

struct rank {
    struct backend *backend;
    const struct tokenizer *tokenizer;
    int32_t n_slot, rows_max;
    struct place *place; /* [n_slot] */
    int32_t *free_slot;  /* [n_free], a stack */
    int32_t n_free;      /* >= n_reserved */
    int32_t n_reserved;  /* free slots promised to admitted tasks */
    struct task *oldest, *newest;
    struct queue waiting; /* not admitted yet */
    struct queue forking; /* admitted, with branches to start */
    struct buf answers;
    struct rank_counts counts;

    /* The plan of a step. */
    struct packer packer;
    struct packer_place *want; /* [n_slot] */
    int32_t *take;             /* [n_slot] */
    struct piece *piece;       /* [n_slot] */
    uint64_t *in_flight;       /* [n_slot] */
    int32_t n_piece;
    struct score_row *score; /* [rows_max] */
    struct score_out *score_out;
    int32_t n_score;
    struct sample_row *sample; /* [n_slot] */
    struct sample_out *sample_out;
    int32_t n_sample;
};

static void queue_add(struct queue *q, struct task *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
}

/* Unlink *at, a link of the queue. */
static struct task *queue_take(struct queue *q, struct task **at)
{
    struct task *t = *at;

    *at = t->next;
    if (q->last == &t->next)
        q->last = at;
    t->where = TASK_RUNNING;
    return t;
}

static void queue_remove(struct queue *q, const struct task *t)
{
    struct task **at = &q->first;

    while (*at != t)
        at = &(*at)->next;
    queue_take(q, at);
}

struct rank *rank_create(struct backend *b, const struct tokenizer *t)
{
    struct rank *r = xcalloc(1, sizeof *r);
    size_t slots = (size_t)b->limits.slots;
    size_t rows = (size_t)b->limits.tokens_per_step;

    assert(b->limits.slots >= RANK_SLOTS_MIN);
    assert(b->limits.score_rows == b->limits.tokens_per_step);
    r->backend = b;
    r->tokenizer = t;
    r->n_slot = b->limits.slots;
    r->rows_max = b->limits.tokens_per_step;
    r->waiting.last = &r->waiting.first;
    r->forking.last = &r->forking.first;
    r->place = xcalloc(slots, sizeof *r->place);
    r->free_slot = xcalloc(slots, sizeof *r->free_slot);
    r->want = xcalloc(slots, sizeof *r->want);
    r->take = xcalloc(slots, sizeof *r->take);
    r->piece = xcalloc(slots, sizeof *r->piece);
    r->in_flight = xcalloc(slots, sizeof *r->in_flight);
    r->sample = xcalloc(slots, sizeof *r->sample);
    r->sample_out = xcalloc(slots, sizeof *r->sample_out);
    r->score = xcalloc(rows, sizeof *r->score);
    r->score_out = xcalloc(rows, sizeof *r->score_out);
    while (r->n_free < r->n_slot) {
        r->free_slot[r->n_free] = r->n_slot - 1 - r->n_free;
        r->n_free++;
    }
    return r;
}

void rank_destroy(struct rank *r)
{
    if (r == NULL)
        return;
    while (r->oldest != NULL) {
        struct task *t = r->oldest;

        r->oldest = t->newer;
        task_free(t);
    }
    free(r->place);
    free(r->free_slot);
    free(r->want);
    free(r->take);
    free(r->piece);
    free(r->in_flight);
    free(r->sample);
    free(r->sample_out);
    free(r->score);
    free(r->score_out);
    buf_free(&r->answers);
    free(r);
}

struct buf *rank_answers(struct rank *r)
{
    return &r->answers;
}

const struct rank_counts *rank_counts(const struct rank *r)
{
    return &r->counts;
}

uint32_t rank_in_flight(const struct rank *r, const uint64_t **id)
{
    *id = r->in_flight;
    return (uint32_t)r->n_piece;
}

static int32_t take_slot(struct rank *r, struct task *t, uint32_t branch)
{
    int32_t slot = r->free_slot[--r->n_free];

    r->place[slot] = (struct place){.task = t, .branch = branch};
    t->n_place++;
    return slot;
}

static void give_slot(struct rank *r, int32_t slot)
{
    r->place[slot].task->n_place--;
    r->place[slot].task = NULL;
    r->free_slot[r->n_free++] = slot;
}

/* Promise a free slot to the task's next branch, or take the promise back. */
static void reserve(struct rank *r, struct task *t, bool yes)
{
    r->n_reserved += (yes ? 1 : 0) - (t->reserved ? 1 : 0);
    t->reserved = yes;
}

/* The record is over, finished or not: answer it and forget it. */
static void end_task(struct rank *r, struct task *t)
{
    reserve(r, t, false);
    for (int32_t i = 0; i < r->n_slot && t->n_place > 0; i++) {
        if (r->place[i].task == t)
            give_slot(r, i);
    }
    if (t->where == TASK_WAITING)
        queue_remove(&r->waiting, t);
    else if (t->where == TASK_FORKING)
        queue_remove(&r->forking, t);
    *(t->older != NULL ? &t->older->newer : &r->oldest) = t->newer;
    *(t->newer != NULL ? &t->newer->older : &r->newest) = t->older;
    task_answer(t, &r->answers);
    r->counts.records++;
    r->counts.cost += t->work.head.cost;
    task_free(t);
}

static void cancel(struct rank *r, uint64_t id)
{
    struct task *newer;

    for (struct task *t = r->oldest; t != NULL; t = newer) {
        newer = t->newer;
        if (t->work.head.id >> 32 != id >> 32)
            continue;
        t->status = ANSWER_CANCELLED;
        end_task(r, t);
    }
}

int rank_add(struct rank *r, const void *request, size_t len, struct err *err)
{
    struct work work;
    struct task *t;

    if (work_read(request, len, &work) < 0)
        return err_set(err, ERR_INTERNAL, "a malformed request");
    if (work.head.kind == WORK_CANCEL) {
        cancel(r, work.head.id);
        return 0;
    }
    t = task_create(request, len, r->tokenizer);
    if (t == NULL)
        return err_set(err, ERR_INTERNAL, "a request that cannot be run");
    t->older = r->newest;
    *(r->newest != NULL ? &r->newest->newer : &r->oldest) = t;
    r->newest = t;
    t->where = TASK_WAITING;
    queue_add(&r->waiting, t);
    return 0;
}

/* A branch has its score. */
static void end_branch(struct rank *r, struct task *t, uint32_t branch,
                       double logprob, bool greedy)
{
    t->logprob[branch] = logprob;
    t->greedy = t->greedy && greedy;
    if (++t->n_ended == t->work.head.n_branch)
        end_task(r, t);
}

/* The only branch of a record, with its prefix, in one slot. */
static int start_single(struct rank *r, struct task *t, struct err *err)
{
    int32_t n = task_first_tokens(t), branch_n;
    const int32_t *token;
    int32_t slot;

    task_next_branch(t, &token, &branch_n);
    if (!task_generates(t) && branch_n <= 1) {
        end_branch(r, t, 0, 0.0, true);
        return 0;
    }
    slot = take_slot(r, t, 0);
    if (task_generates(t))
        seq_read(&r->place[slot].seq, t->work.token, n);
    else
        seq_score(&r->place[slot].seq, t->work.token, n, n - branch_n + 1);
    return backend_reset(r->backend, slot, err);
}

static int start_prefix(struct rank *r, struct task *t, struct err *err)
{
    t->prefix_slot = take_slot(r, t, PREFIX);
    reserve(r, t, true);
    seq_read(&r->place[t->prefix_slot].seq, t->work.token,
             task_first_tokens(t));
    return backend_reset(r->backend, t->prefix_slot, err);
}

/* Move waiting records into slots, oldest first. */
static int admit(struct rank *r, struct err *err)
{
    while (r->waiting.first != NULL) {
        const struct work_head *h = &r->waiting.first->work.head;
        bool prefix = h->n_branch > 1 && h->n_prefix > 0;
        struct task *t;
        int rc = 0;

        if (r->n_free - r->n_reserved < (prefix ? 2 : 1))
            return 0;
        t = queue_take(&r->waiting, &r->waiting.first);
        if (prefix) {
            rc = start_prefix(r, t, err);
        } else if (h->n_branch == 1) {
            rc = start_single(r, t, err);
        } else {
            t->where = TASK_FORKING;
            queue_add(&r->forking, t);
            return 1; /* fork() has work again */
        }
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* A slot that holds the state after the prefix, for the next branch, or -1 when
 * it must wait; -2: the backend failed.
 */
static int32_t fork_slot(struct rank *r, struct task *t, struct err *err)
{
    bool last = t->n_started + 1 == t->work.head.n_branch;
    int32_t slot, rc;

    if (t->prefix_slot >= 0 && last) {
        slot = t->prefix_slot;
        t->prefix_slot = -1;
        reserve(r, t, false);
        return slot;
    }
    if (r->n_free == r->n_reserved && !t->reserved)
        return -1;
    if (r->n_free == r->n_reserved)
        reserve(r, t, false);
    slot = take_slot(r, t, 0);
    rc = t->prefix_slot >= 0
             ? backend_copy(r->backend, slot, t->prefix_slot, err)
             : backend_reset(r->backend, slot, err);
    return rc < 0 ? -2 : slot;
}

/* Start branches of a task while there are slots for them. 1: all of them are
 * started and the task has left the queue (it may have ended); 0: not all; -1.
 */
static int fork_task(struct rank *r, struct task **at, struct err *err)
{
    struct task *t = *at;

    while (t->n_started < t->work.head.n_branch) {
        const int32_t *token;
        uint32_t branch;
        int32_t n, slot = 0;
        bool trivial = t->work.branch_len[t->n_started] <= 1;
        bool last = t->n_started + 1 == t->work.head.n_branch;

        if (!trivial)
            slot = fork_slot(r, t, err);
        if (slot < 0)
            return slot == -1 ? 0 : -1;
        if (last)
            queue_take(&r->forking, at);
        branch = task_next_branch(t, &token, &n);
        if (trivial) {
            end_branch(r, t, branch, 0.0, true);
        } else {
            r->place[slot].branch = branch;
            seq_score(&r->place[slot].seq, token, n, 1);
        }
        if (last)
            return 1;
    }
    return 1;
}

static int fork_branches(struct rank *r, struct err *err)
{
    struct task **at = &r->forking.first;

    while (*at != NULL) {
        int rc = fork_task(r, at, err);

        if (rc < 0)
            return -1;
        if (rc == 0)
            at = &(*at)->next;
    }
    return 0;
}

/* Rows of one place's piece: scored ones, and the one that is sampled. */
static void plan_place(struct rank *r, int32_t slot, int32_t row)
{
    struct place *p = &r->place[slot];
    const struct work_head *h = &p->task->work.head;
    int32_t take = r->take[slot];

    r->in_flight[r->n_piece] = h->id;
    r->piece[r->n_piece++] = (struct piece){
        .slot = slot,
        .n = take,
        .token = p->decoding ? NULL : p->seq.token + p->seq.fed,
    };
    if (!task_generates(p->task)) {
        r->n_score += seq_rows(&p->seq, take, row, r->score + r->n_score);
        return;
    }
    if (!p->decoding && take < seq_left(&p->seq))
        return;
    r->sample[r->n_sample++] = (struct sample_row){
        .row = row + take - 1,
        .slot = slot,
        .temperature = h->temperature,
        .top_p = h->top_p,
        .top_k = h->top_k,
        .key = h->key,
        .position = (uint32_t)p->task->sampled,
    };
}

int32_t rank_plan(struct rank *r, struct err *err)
{
    int32_t rows, row = 0;
    int more;

    do {
        if (fork_branches(r, err) < 0)
            return -1;
        more = admit(r, err);
    } while (more > 0);
    if (more < 0)
        return -1;
    r->n_piece = r->n_score = r->n_sample = 0;
    for (int32_t i = 0; i < r->n_slot; i++) {
        struct place *p = &r->place[i];

        r->want[i] = (struct packer_place){.decoding = p->decoding};
        if (p->task != NULL)
            r->want[i].left = p->decoding ? 1 : seq_left(&p->seq);
    }
    rows = packer_plan(&r->packer, r->want, r->n_slot, r->rows_max, r->take);
    for (int32_t i = 0; i < r->n_slot; i++) {
        if (r->take[i] == 0)
            continue;
        plan_place(r, i, row);
        row += r->take[i];
    }
    return rows;
}

static void fail_task(struct rank *r, struct task *t)
{
    t->status = ANSWER_NON_FINITE;
    end_task(r, t);
}

static void account_sample(struct rank *r, int32_t slot,
                           const struct sample_out *out)
{
    struct place *p = &r->place[slot];

    p->decoding = true;
    r->counts.sampled++;
    if (!out->finite)
        fail_task(r, p->task);
    else if (task_sampled(p->task, r->tokenizer, out->token))
        end_task(r, p->task);
}

/* The sequence of a place has been fed to its end. */
static void account_end(struct rank *r, int32_t slot)
{
    struct place *p = &r->place[slot];
    struct task *t = p->task;

    if (p->branch == PREFIX) {
        t->where = TASK_FORKING;
        queue_add(&r->forking, t);
        return;
    }
    give_slot(r, slot);
    if (t->prefix_slot >= 0 && t->n_started < t->work.head.n_branch)
        reserve(r, t, true);
    end_branch(r, t, p->branch, p->seq.logprob, p->seq.greedy);
}

/* Bring what a piece of the step gave to its place. */
static void account_piece(struct rank *r, const struct piece *piece,
                          const struct score_out *score, int32_t n_score)
{
    struct place *p = &r->place[piece->slot];

    p->task->fed += (uint64_t)piece->n;
    if (!p->decoding)
        seq_advance(&p->seq, piece->n, score, n_score);
    if (!p->seq.finite)
        fail_task(r, p->task);
    else if (!task_generates(p->task) && seq_left(&p->seq) == 0)
        account_end(r, piece->slot);
}

static void account(struct rank *r)
{
    int32_t row = 0, score = 0;

    for (int32_t i = 0; i < r->n_piece; i++) {
        int32_t first = score;

        row += r->piece[i].n;
        while (score < r->n_score && r->score[score].row < row)
            score++;
        /* A record with several pieces may have failed in one of them. */
        if (r->place[r->piece[i].slot].task != NULL)
            account_piece(r, &r->piece[i], r->score_out + first, score - first);
    }
    for (int32_t i = 0; i < r->n_sample; i++)
        account_sample(r, r->sample[i].slot, &r->sample_out[i]);
    r->counts.fed += (uint64_t)row;
    r->counts.steps++;
    r->n_piece = 0;
}

int rank_step(struct rank *r, struct err *err)
{
    struct step step = {
        .piece = r->piece,
        .n_piece = r->n_piece,
        .score = r->score,
        .n_score = r->n_score,
        .sample = r->sample,
        .n_sample = r->n_sample,
        .score_out = r->score_out,
        .sample_out = r->sample_out,
    };
    int64_t ticket = backend_submit(r->backend, &step, err);

    if (ticket < 0 || backend_wait(r->backend, ticket, err) < 0)
        return err_wrap(err, "%s", r->backend->ops->name);
    account(r);
    return 0;
}
