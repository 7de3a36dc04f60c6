#include "worker/rank.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/packer.h"
#include "worker/seq.h"
#include "worker/task.h"

#define PREFIX UINT32_MAX /* in place of a branch number */

/* A slot's run, and those that left it in steps not read yet. */
#define RUNS_PER_SLOT (1 + RANK_UNWAITED_MAX)

/* A sequence on its way through a state slot. It leaves the slot when its last
 * token is in a step, and is over when the results of all its steps are read.
 */
struct run {
    struct task *task; /* NULL: this run is free */
    uint32_t branch;   /* or PREFIX */
    int32_t slot;      /* -1: left it */
    int32_t unread;    /* steps with a piece of it, not read yet */
    int32_t drawn;     /* tokens, in all steps planned */
    bool decoding;     /* feeds the token sampled last */
    bool over;         /* its branch has ended; steps may have pieces of it */
    struct seq seq;
};

/* A step, planned or on the device. */
struct flight {
    int64_t ticket;
    struct step step;          /* the arrays below, but for const */
    struct run **run;          /* [n_slot] of each piece */
    uint64_t *id;              /* [n_slot] record of each piece */
    struct piece *piece;       /* [n_slot] */
    struct score_row *score;   /* [rows_max] */
    struct sample_row *sample; /* [n_slot] */
};

struct queue {
    struct task *first, **last;
};

struct rank {
    struct backend *backend;
    const struct tokenizer *tokenizer;
    int32_t n_slot, rows_max;
    struct run *run;       /* [RUNS_PER_SLOT * n_slot] */
    struct run **free_run; /* [n_free_run], a stack */
    int32_t n_free_run;
    struct run **place; /* [n_slot] NULL: free */
    int32_t *free_slot; /* [n_free], a stack */
    int32_t n_free;     /* >= n_reserved */
    int32_t n_reserved; /* free slots promised to admitted tasks */
    struct task *oldest, *newest;
    struct queue waiting; /* not admitted yet */
    struct queue forking; /* admitted, with branches to start */
    struct buf answers;
    struct rank_counts counts;

    struct packer packer;
    struct packer_place *want; /* [n_slot] */
    int32_t *take;             /* [n_slot] */

    /* Step k is in flight[k % RANK_UNWAITED_MAX]. */
    struct flight flight[RANK_UNWAITED_MAX];
    uint64_t n_submitted, n_read; /* steps */
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

static void flight_init(struct flight *f, size_t slots, size_t rows)
{
    f->run = xcalloc(slots, sizeof *f->run);
    f->id = xcalloc(slots, sizeof *f->id);
    f->step.piece = f->piece = xcalloc(slots, sizeof *f->piece);
    f->step.score = f->score = xcalloc(rows, sizeof *f->score);
    f->step.score_out = xcalloc(rows, sizeof *f->step.score_out);
    f->step.topk_id = xcalloc(rows * BACKEND_TOPK_MAX, sizeof *f->step.topk_id);
    f->step.topk_logprob =
        xcalloc(rows * BACKEND_TOPK_MAX, sizeof *f->step.topk_logprob);
    f->step.sample = f->sample = xcalloc(slots, sizeof *f->sample);
    f->step.sample_out = xcalloc(slots, sizeof *f->step.sample_out);
}

static void flight_free(struct flight *f)
{
    free(f->run);
    free(f->id);
    free(f->piece);
    free(f->score);
    free(f->step.score_out);
    free(f->step.topk_id);
    free(f->step.topk_logprob);
    free(f->sample);
    free(f->step.sample_out);
}

struct rank *rank_create(struct backend *b, const struct tokenizer *t)
{
    struct rank *r = xcalloc(1, sizeof *r);
    size_t slots = (size_t)b->limits.slots;
    size_t rows = (size_t)b->limits.tokens_per_step;
    size_t runs = RUNS_PER_SLOT * slots;

    assert(b->limits.slots >= RANK_SLOTS_MIN);
    assert(b->limits.score_rows == b->limits.tokens_per_step);
    r->backend = b;
    r->tokenizer = t;
    r->n_slot = b->limits.slots;
    r->rows_max = b->limits.tokens_per_step;
    r->waiting.last = &r->waiting.first;
    r->forking.last = &r->forking.first;
    r->run = xcalloc(runs, sizeof *r->run);
    r->free_run = xcalloc(runs, sizeof *r->free_run);
    r->place = xcalloc(slots, sizeof *r->place);
    r->free_slot = xcalloc(slots, sizeof *r->free_slot);
    r->want = xcalloc(slots, sizeof *r->want);
    r->take = xcalloc(slots, sizeof *r->take);
    for (int i = 0; i < RANK_UNWAITED_MAX; i++)
        flight_init(&r->flight[i], slots, rows);
    while (runs > 0)
        r->free_run[r->n_free_run++] = &r->run[--runs];
    while (r->n_free < r->n_slot) {
        r->free_slot[r->n_free] = r->n_slot - 1 - r->n_free;
        r->n_free++;
    }
    return r;
}

/* The run is out of its slot and its results are read. The last of an answered
 * record takes the record with it.
 */
static void free_run(struct rank *r, struct run *run)
{
    struct task *t = run->task;

    run->task = NULL;
    r->free_run[r->n_free_run++] = run;
    if (--t->n_run == 0 && t->over)
        task_free(t);
}

void rank_destroy(struct rank *r)
{
    if (r == NULL)
        return;
    /* The device may still write into the outputs. */
    for (; r->n_read < r->n_submitted; r->n_read++)
        (void)backend_wait(
            r->backend, r->flight[r->n_read % RANK_UNWAITED_MAX].ticket, NULL);
    for (int32_t i = 0; i < RUNS_PER_SLOT * r->n_slot; i++) {
        if (r->run[i].task != NULL)
            free_run(r, &r->run[i]);
    }
    while (r->oldest != NULL) {
        struct task *t = r->oldest;

        r->oldest = t->newer;
        task_free(t);
    }
    for (int i = 0; i < RANK_UNWAITED_MAX; i++)
        flight_free(&r->flight[i]);
    free(r->run);
    free(r->free_run);
    free(r->place);
    free(r->free_slot);
    free(r->want);
    free(r->take);
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

int rank_unwaited(const struct rank *r)
{
    return (int)(r->n_submitted - r->n_read);
}

/* The step that is planned, or the next to be. */
static struct flight *next_flight(struct rank *r)
{
    return &r->flight[r->n_submitted % RANK_UNWAITED_MAX];
}

uint32_t rank_planned(struct rank *r, const uint64_t **id)
{
    struct flight *f = next_flight(r);

    *id = f->id;
    return (uint32_t)f->step.n_piece;
}

static int32_t take_slot(struct rank *r)
{
    return r->free_slot[--r->n_free];
}

/* Begin a sequence of the task in a slot that is its own. */
static struct run *start_run(struct rank *r, struct task *t, uint32_t branch,
                             int32_t slot)
{
    struct run *run = r->free_run[--r->n_free_run];

    *run = (struct run){.task = t, .branch = branch, .slot = slot};
    r->place[slot] = run;
    t->n_run++;
    t->n_place++;
    return run;
}

/* Take the run out of its slot, which stays the task's. What the device has
 * still to do for the run comes before anything given to it from now on.
 */
static int32_t leave_slot(struct rank *r, struct run *run)
{
    int32_t slot = run->slot;

    r->place[slot] = NULL;
    run->task->n_place--;
    run->slot = -1;
    if (run->unread == 0)
        free_run(r, run);
    return slot;
}

static void give_slot(struct rank *r, struct run *run)
{
    r->free_slot[r->n_free++] = leave_slot(r, run);
}

/* Promise a free slot to the task's next branch, or take the promise back. */
static void reserve(struct rank *r, struct task *t, bool yes)
{
    r->n_reserved += (yes ? 1 : 0) - (t->reserved ? 1 : 0);
    t->reserved = yes;
}

/* The record is over, finished or not: answer it and forget it, though its
 * memory stays while a step that has pieces of it is on the device.
 */
static void end_task(struct rank *r, struct task *t)
{
    reserve(r, t, false);
    for (int32_t i = 0; i < r->n_slot && t->n_place > 0; i++) {
        if (r->place[i] != NULL && r->place[i]->task == t)
            give_slot(r, r->place[i]);
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
    t->over = true;
    if (t->n_run == 0)
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

/* A branch has all that it is to have. */
static void end_branch(struct rank *r, struct task *t)
{
    if (++t->n_ended == t->work.head.n_branch)
        end_task(r, t);
}

/* What a run feeds: the tokens after the first `n_unscored` may be scored. */
static void start_seq(struct run *run, const int32_t *token, int32_t n,
                      int32_t n_unscored)
{
    const struct work_head *h = &run->task->work.head;

    if (!h->scored)
        seq_read(&run->seq, token, n);
    else if (h->max_tokens > 0)
        seq_echo(&run->seq, token, n, n_unscored);
    else
        seq_score(&run->seq, token, n, n_unscored);
}

/* What the run's draws go by, when they go by what came before: the prefix and
 * token[n], its own, are the prompt.
 */
static int remember(struct rank *r, const struct run *run, const int32_t *token,
                    int32_t n, struct err *err)
{
    const struct work *w = &run->task->work;
    const size_t prefix = w->head.n_prefix;
    struct history h = {.n_prompt = (int32_t)prefix + n,
                        .bias = w->bias,
                        .n_bias = (int32_t)w->head.n_bias};
    int32_t *prompt;
    int rc;

    if (!task_remembers(run->task))
        return 0;
    prompt = xcalloc((size_t)h.n_prompt, sizeof *prompt);
    memcpy(prompt, w->token, prefix * sizeof *prompt);
    memcpy(prompt + prefix, token, (size_t)n * sizeof *prompt);
    h.prompt = prompt;
    rc = backend_remember(r->backend, run->slot, &h, err);
    free(prompt);
    return rc;
}

/* The only branch of a record, with its prefix, in one slot. */
static int start_single(struct rank *r, struct task *t, struct err *err)
{
    int32_t n = task_first_tokens(t), branch_n;
    const int32_t *token;
    struct run *run;

    if (task_next_trivial(t)) {
        end_branch(r, t);
        return 0;
    }
    task_next_branch(t, &token, &branch_n);
    run = start_run(r, t, 0, take_slot(r));
    start_seq(run, t->work.token, n, n - branch_n + 1);
    if (backend_reset(r->backend, run->slot, err) < 0)
        return -1;
    return remember(r, run, token, branch_n, err);
}

static int start_prefix(struct rank *r, struct task *t, struct err *err)
{
    struct run *run = start_run(r, t, PREFIX, take_slot(r));

    t->prefix_slot = run->slot;
    reserve(r, t, true);
    seq_read(&run->seq, t->work.token, task_first_tokens(t));
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
        slot = leave_slot(r, r->place[t->prefix_slot]);
        t->prefix_slot = -1;
        reserve(r, t, false);
        return slot;
    }
    if (r->n_free == r->n_reserved && !t->reserved)
        return -1;
    if (r->n_free == r->n_reserved)
        reserve(r, t, false);
    slot = take_slot(r);
    rc = t->prefix_slot >= 0
             ? backend_copy(r->backend, slot, t->prefix_slot, err)
             : backend_reset(r->backend, slot, err);
    return rc < 0 ? -2 : slot;
}

static int start_branch(struct rank *r, struct task *t, uint32_t branch,
                        int32_t slot, const int32_t *token, int32_t n,
                        struct err *err)
{
    struct run *run = start_run(r, t, branch, slot);

    start_seq(run, token, n, 1);
    return remember(r, run, token, n, err);
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
        bool trivial = task_next_trivial(t);
        bool last = t->n_started + 1 == t->work.head.n_branch;

        if (!trivial)
            slot = fork_slot(r, t, err);
        if (slot < 0)
            return slot == -1 ? 0 : -1;
        if (last)
            queue_take(&r->forking, at);
        branch = task_next_branch(t, &token, &n);
        if (trivial)
            end_branch(r, t);
        else if (start_branch(r, t, branch, slot, token, n, err) < 0)
            return -1;
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

/* All tokens of the run are in steps. */
static void end_feeding(struct rank *r, struct run *run)
{
    struct task *t = run->task;

    if (run->branch == PREFIX) {
        t->where = TASK_FORKING;
        queue_add(&r->forking, t);
        return;
    }
    give_slot(r, run);
    if (t->prefix_slot >= 0 && t->n_started < t->work.head.n_branch)
        reserve(r, t, true);
}

/* Tokens that the run has for the next step, once those planned are done. */
static int32_t tokens_left(const struct run *run)
{
    if (!run->decoding)
        return seq_left(&run->seq);
    return run->drawn < run->task->work.head.max_tokens ? 1 : 0;
}

static void plan_sample(struct flight *f, struct run *run, int32_t row)
{
    const struct work_head *h = &run->task->work.head;

    /* The row's likeliest tokens come with a score, whatever its target. */
    if (h->top_logprobs > 0)
        f->score[f->step.n_score++] =
            (struct score_row){.row = row, .topk = (int32_t)h->top_logprobs};
    f->sample[f->step.n_sample++] = (struct sample_row){
        .row = row,
        .slot = run->slot,
        .temperature = h->temperature,
        .top_p = h->top_p,
        .top_k = h->top_k,
        .key = h->key,
        .sample = run->branch,
        .position = (uint32_t)run->drawn++,
        .min_p = h->min_p,
        .presence_penalty = h->presence_penalty,
        .frequency_penalty = h->frequency_penalty,
        .repetition_penalty = h->repetition_penalty,
    };
    run->decoding = true;
}

static void plan_scores(struct flight *f, struct run *run, int32_t take,
                        int32_t row)
{
    struct score_row *score = f->score + f->step.n_score;
    int32_t n = seq_feed(&run->seq, take, row, score);

    for (int32_t i = 0; i < n; i++)
        score[i].topk = (int32_t)run->task->work.head.top_logprobs;
    f->step.n_score += n;
}

/* `take` tokens of the run become the step's rows from `row` on. */
static void plan_piece(struct rank *r, struct flight *f, struct run *run,
                       int32_t take, int32_t row)
{
    struct task *t = run->task;
    int32_t i = f->step.n_piece++;

    f->run[i] = run;
    f->id[i] = t->work.head.id;
    f->piece[i] = (struct piece){.slot = run->slot, .n = take};
    run->unread++;
    if (!run->decoding) {
        f->piece[i].token = run->seq.token + run->seq.fed;
        plan_scores(f, run, take, row);
        t->fed += (uint64_t)take;
    }
    if (run->branch != PREFIX && task_generates(t) && seq_left(&run->seq) == 0)
        plan_sample(f, run, row + take - 1);
    if (tokens_left(run) == 0)
        end_feeding(r, run);
}

static int fill_slots(struct rank *r, struct err *err)
{
    int more;

    do {
        if (fork_branches(r, err) < 0)
            return -1;
        more = admit(r, err);
    } while (more > 0);
    return more;
}

int32_t rank_plan(struct rank *r, struct err *err)
{
    struct flight *f = next_flight(r);
    int32_t rows, row = 0;

    assert(rank_unwaited(r) < RANK_UNWAITED_MAX);
    if (fill_slots(r, err) < 0)
        return -1;
    f->step.n_piece = f->step.n_score = f->step.n_sample = 0;
    for (int32_t i = 0; i < r->n_slot; i++) {
        const struct run *run = r->place[i];

        r->want[i] = (struct packer_place){0};
        if (run != NULL)
            r->want[i] = (struct packer_place){.left = tokens_left(run),
                                               .decoding = run->decoding};
    }
    rows = packer_plan(&r->packer, r->want, r->n_slot, r->rows_max, r->take);
    for (int32_t i = 0; i < r->n_slot; i++) {
        if (r->take[i] == 0)
            continue;
        plan_piece(r, f, r->place[i], r->take[i], row);
        row += r->take[i];
    }
    return rows;
}

int rank_submit(struct rank *r, struct err *err)
{
    struct flight *f = next_flight(r);

    f->ticket = backend_submit(r->backend, &f->step, err);
    if (f->ticket < 0)
        return err_wrap(err, "%s", r->backend->ops->name);
    r->n_submitted++;
    return 0;
}

/* Scores of the step, from `first` on, that belong to one piece. */
struct part {
    const struct step *step;
    int32_t first, n;
};

static void tell(struct task *t, uint32_t branch, int32_t token, float logprob,
                 const struct step *s, int32_t score)
{
    const size_t at = (size_t)score * BACKEND_TOPK_MAX;

    task_tell(t, branch, token, logprob, s->topk_id + at, s->topk_logprob + at);
}

static void read_scores(struct run *run, const struct part *p)
{
    const struct step *s = p->step;

    seq_scored(&run->seq, s->score_out + p->first, p->n);
    if (!run->task->work.head.detail)
        return;
    for (int32_t i = p->first; i < p->first + p->n; i++)
        tell(run->task, run->branch, s->score[i].target,
             s->score_out[i].logprob, s, i);
}

/* The branch has ended; what the device still does for it is in vain. */
static void end_run(struct rank *r, struct run *run)
{
    struct task_branch *b = &run->task->branch[run->branch];

    run->over = true;
    b->logprob = run->seq.logprob;
    b->greedy = run->seq.greedy;
    if (run->slot >= 0)
        end_feeding(r, run);
    end_branch(r, run->task);
}

/* Bring what a piece of a step gave to its run. `drawn` is NULL where nothing
 * was sampled.
 */
static void read_piece(struct rank *r, struct run *run,
                       const struct piece *piece, struct part *p,
                       const struct sample_out *drawn)
{
    struct task *t = run->task;

    r->counts.fed += (uint64_t)piece->n;
    if (piece->token == NULL)
        t->fed++;
    if (drawn != NULL && t->work.head.top_logprobs > 0)
        p->n--; /* the last one is the sampled row's */
    read_scores(run, p);
    if (!run->seq.finite || (drawn != NULL && !drawn->finite)) {
        t->status = ANSWER_NON_FINITE;
        end_task(r, t);
    } else if (drawn != NULL) {
        r->counts.sampled++;
        tell(t, run->branch, drawn->token, drawn->logprob, p->step,
             p->first + p->n);
        if (task_sampled(t, run->branch, r->tokenizer, drawn->token))
            end_run(r, run);
    } else if (run->branch != PREFIX && !task_generates(t) && run->slot < 0
               && run->unread == 1) {
        end_run(r, run);
    }
}

static void read_step(struct rank *r, const struct flight *f)
{
    const struct step *s = &f->step;
    int32_t row = 0, score = 0, sample = 0;

    for (int32_t i = 0; i < s->n_piece; i++) {
        const struct sample_out *drawn = NULL;
        struct run *run = f->run[i];
        struct part p = {.step = s, .first = score};

        row += s->piece[i].n;
        while (score < s->n_score && s->score[score].row < row)
            score++;
        if (sample < s->n_sample && s->sample[sample].row < row)
            drawn = &s->sample_out[sample++];
        p.n = score - p.first;
        /* A record that ended before this step was read, by a token that this
         * step was fed on trust or in another of its branches.
         */
        if (!run->over && !run->task->over)
            read_piece(r, run, &s->piece[i], &p, drawn);
        if (--run->unread == 0 && run->slot < 0)
            free_run(r, run);
    }
}

int rank_finish(struct rank *r, struct err *err)
{
    struct flight *f = &r->flight[r->n_read % RANK_UNWAITED_MAX];

    assert(rank_unwaited(r) > 0);
    if (backend_wait(r->backend, f->ticket, err) < 0)
        return err_wrap(err, "%s", r->backend->ops->name);
    read_step(r, f);
    r->n_read++;
    r->counts.steps++;
    return 0;
}
