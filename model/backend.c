/* Argument checks and dispatch. What a backend is given has passed here, so
 * backends hold no input checks of their own.
 */
#include "model/backend.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/draw.h"

/* Far beyond any device; they keep every product of sizes below inside 63 bits.
 */
#define SLOTS_MAX (1 << 20)
#define TOKENS_PER_STEP_MAX (1 << 20)

#define UNWAITED_MAX 2

struct slot_guard {
    bool sampled;        /* has a last sampled token */
    uint32_t piece_step; /* the last check that saw a piece of this slot */
    uint32_t sample_step;
    int32_t last_row; /* of that piece */
};

struct backend_guard {
    int64_t ticket[UNWAITED_MAX]; /* 0: free */
    uint32_t step;                /* number of the current check */
    int32_t *free_history;        /* [n_free], a stack */
    int32_t n_free;
    struct slot_guard slot[]; /* [S] */
};

static int check_limits(struct backend_limits *limits, struct err *err)
{
    if (limits->slots < 1 || limits->slots > SLOTS_MAX)
        return err_set(err, ERR_INVALID, "slots is %" PRId32 "; 1..%d expected",
                       limits->slots, SLOTS_MAX);
    if (limits->tokens_per_step < 1
        || limits->tokens_per_step > TOKENS_PER_STEP_MAX)
        return err_set(err, ERR_INVALID,
                       "tokens_per_step is %" PRId32 "; 1..%d expected",
                       limits->tokens_per_step, TOKENS_PER_STEP_MAX);
    if (limits->score_rows == 0)
        limits->score_rows = limits->tokens_per_step;
    if (limits->score_rows < 0 || limits->score_rows > limits->tokens_per_step)
        return err_set(err, ERR_INVALID,
                       "score_rows is %" PRId32 "; 0..tokens_per_step (%" PRId32
                       ") expected",
                       limits->score_rows, limits->tokens_per_step);
    if (limits->histories < 0 || limits->histories > limits->slots)
        return err_set(err, ERR_INVALID,
                       "histories is %" PRId32 "; 0..slots (%" PRId32
                       ") expected",
                       limits->histories, limits->slots);
    return 0;
}

static void free_guard(struct backend_guard *g)
{
    if (g != NULL)
        free(g->free_history);
    free(g);
}

static struct backend_guard *make_guard(const struct backend_limits *l)
{
    struct backend_guard *g =
        calloc(1, sizeof *g + (size_t)l->slots * sizeof *g->slot);

    if (g == NULL)
        return NULL;
    g->free_history = calloc((size_t)l->histories + 1, sizeof(int32_t));
    if (g->free_history == NULL) {
        free_guard(g);
        return NULL;
    }
    for (; g->n_free < l->histories; g->n_free++)
        g->free_history[g->n_free] = l->histories - 1 - g->n_free;
    return g;
}

static int32_t *make_no_histories(int32_t slots)
{
    int32_t *history = calloc((size_t)slots, sizeof *history);

    for (int32_t i = 0; history != NULL && i < slots; i++)
        history[i] = -1;
    return history;
}

struct backend *backend_create(const struct backend_ops *ops,
                               const struct weights *weights,
                               const struct backend_limits *limits,
                               const char *options, struct err *err)
{
    struct backend_limits l = *limits;
    struct backend_guard *guard = NULL;
    int32_t *history = NULL;
    struct backend *b;

    if (check_limits(&l, err) < 0)
        goto fail;
    guard = make_guard(&l);
    history = make_no_histories(l.slots);
    if (guard == NULL || history == NULL) {
        err_set(err, ERR_NOMEM, "no memory for %" PRId32 " slots", l.slots);
        goto fail;
    }
    b = ops->create(weights, &l, options, err);
    if (b == NULL)
        goto fail;
    assert(b->ops == ops && b->vocab > 0 && b->state_bytes > 0);
    b->guard = guard;
    b->history = history;
    return b;
fail:
    free_guard(guard);
    free(history);
    err_wrap(err, "%s backend", ops->name);
    return NULL;
}

void backend_destroy(struct backend *b)
{
    if (b == NULL)
        return;
    free_guard(b->guard);
    free(b->history);
    b->ops->destroy(b);
}

static int check_tokens(const int32_t *token, int32_t n, int32_t vocab,
                        struct err *err)
{
    for (int32_t i = 0; i < n; i++) {
        if (token[i] < 0 || token[i] >= vocab)
            return err_set(err, ERR_INVALID,
                           "token %" PRId32 " is %" PRId32 "; 0..%" PRId32
                           " expected",
                           i, token[i], vocab - 1);
    }
    return 0;
}

/* Returns the rows of the step, or -1. */
static int32_t check_pieces(struct backend *b, const struct step *step,
                            struct err *err)
{
    int32_t rows = 0;

    if (step->n_piece < 1)
        return err_set(err, ERR_INVALID, "a step without pieces");
    for (int32_t i = 0; i < step->n_piece; i++) {
        const struct piece *p = &step->piece[i];
        struct slot_guard *slot;

        if (p->slot < 0 || p->slot >= b->limits.slots)
            return err_set(err, ERR_INVALID,
                           "piece %" PRId32 ": slot is %" PRId32 "; 0..%" PRId32
                           " expected",
                           i, p->slot, b->limits.slots - 1);
        slot = &b->guard->slot[p->slot];
        if (slot->piece_step == b->guard->step)
            return err_set(err, ERR_INVALID,
                           "piece %" PRId32 ": slot %" PRId32
                           " has a piece already",
                           i, p->slot);
        if (p->n < 1 || p->n > b->limits.tokens_per_step - rows)
            return err_set(err, ERR_INVALID,
                           "piece %" PRId32 ": %" PRId32
                           " tokens after %" PRId32
                           " rows; a step has 1..%" PRId32,
                           i, p->n, rows, b->limits.tokens_per_step);
        if (p->token == NULL && (p->n != 1 || !slot->sampled))
            return err_set(err, ERR_INVALID,
                           "piece %" PRId32 ": slot %" PRId32
                           " has no sampled token to feed, or n is not 1",
                           i, p->slot);
        if (p->token != NULL && check_tokens(p->token, p->n, b->vocab, err) < 0)
            return err_wrap(err, "piece %" PRId32, i);
        rows += p->n;
        slot->piece_step = b->guard->step;
        slot->last_row = rows - 1;
    }
    return rows;
}

static int check_scores(const struct backend *b, const struct step *step,
                        int32_t rows, struct err *err)
{
    const int32_t topk_max =
        b->vocab < BACKEND_TOPK_MAX ? b->vocab : BACKEND_TOPK_MAX;
    int32_t last = -1;

    if (step->n_score < 0 || step->n_score > b->limits.score_rows)
        return err_set(err, ERR_INVALID,
                       "%" PRId32 " score rows; a step has 0..%" PRId32,
                       step->n_score, b->limits.score_rows);
    if (step->n_score > 0 && step->score_out == NULL)
        return err_set(err, ERR_INVALID, "score rows, but score_out is NULL");
    for (int32_t i = 0; i < step->n_score; i++) {
        const struct score_row *s = &step->score[i];

        if (s->row <= last || s->row >= rows)
            return err_set(err, ERR_INVALID,
                           "score %" PRId32 ": row is %" PRId32
                           "; ascending rows below %" PRId32 " expected",
                           i, s->row, rows);
        if (s->target < 0 || s->target >= b->vocab)
            return err_set(err, ERR_INVALID,
                           "score %" PRId32 ": target is %" PRId32
                           "; 0..%" PRId32 " expected",
                           i, s->target, b->vocab - 1);
        if (s->topk < 0 || s->topk > topk_max)
            return err_set(err, ERR_INVALID,
                           "score %" PRId32 ": topk is %" PRId32 "; 0..%" PRId32
                           " expected",
                           i, s->topk, topk_max);
        if (s->topk > 0
            && (step->topk_id == NULL || step->topk_logprob == NULL))
            return err_set(err, ERR_INVALID,
                           "score %" PRId32 " asks for top-k, but topk_id or"
                           " topk_logprob is NULL",
                           i);
        last = s->row;
    }
    return 0;
}

static int check_number(bool good, const char *what, float is,
                        const char *expected, struct err *err)
{
    if (good)
        return 0;
    return err_set(err, ERR_INVALID, "%s is %g; %s expected", what, (double)is,
                   expected);
}

static int check_draw(const struct sample_row *s, struct err *err)
{
    if (s->top_k < 0)
        return err_set(err, ERR_INVALID,
                       "top_k is %" PRId32 "; 0 or more expected", s->top_k);
    if (check_number(isfinite(s->temperature) && s->temperature >= 0,
                     "temperature", s->temperature, "0 or more", err)
            < 0
        || check_number(s->top_p > 0 && s->top_p <= 1, "top_p", s->top_p,
                        "above 0, up to 1", err)
               < 0
        || check_number(s->min_p >= 0 && s->min_p <= 1, "min_p", s->min_p,
                        "0..1", err)
               < 0
        || check_number(isfinite(s->presence_penalty), "presence_penalty",
                        s->presence_penalty, "a finite number", err)
               < 0
        || check_number(isfinite(s->frequency_penalty), "frequency_penalty",
                        s->frequency_penalty, "a finite number", err)
               < 0)
        return -1;
    return check_number(isfinite(s->repetition_penalty)
                            && s->repetition_penalty >= 0,
                        "repetition_penalty", s->repetition_penalty,
                        "above 0, or 0 for none", err);
}

static int check_history(const struct backend *b, const struct sample_row *s,
                         struct err *err)
{
    if (b->history[s->slot] >= 0 || !draw_penalizes(draw_penalty_of(s)))
        return 0;
    return err_set(err, ERR_INVALID,
                   "a penalty, but slot %" PRId32 " has no history", s->slot);
}

static int check_samples(struct backend *b, const struct step *step,
                         struct err *err)
{
    if (step->n_sample < 0 || step->n_sample > step->n_piece)
        return err_set(err, ERR_INVALID,
                       "%" PRId32 " sample rows for %" PRId32 " pieces",
                       step->n_sample, step->n_piece);
    if (step->n_sample > 0 && step->sample_out == NULL)
        return err_set(err, ERR_INVALID, "sample rows, but sample_out is NULL");
    for (int32_t i = 0; i < step->n_sample; i++) {
        const struct sample_row *s = &step->sample[i];
        struct slot_guard *slot;

        if (s->slot < 0 || s->slot >= b->limits.slots
            || b->guard->slot[s->slot].piece_step != b->guard->step)
            return err_set(err, ERR_INVALID,
                           "sample %" PRId32 ": slot %" PRId32
                           " has no piece in this step",
                           i, s->slot);
        slot = &b->guard->slot[s->slot];
        if (slot->last_row != s->row)
            return err_set(err, ERR_INVALID,
                           "sample %" PRId32 ": row is %" PRId32
                           "; slot %" PRId32 "'s piece ends in row %" PRId32,
                           i, s->row, s->slot, slot->last_row);
        if (slot->sample_step == b->guard->step)
            return err_set(err, ERR_INVALID,
                           "sample %" PRId32 ": slot %" PRId32
                           " is sampled twice",
                           i, s->slot);
        slot->sample_step = b->guard->step;
        if (check_draw(s, err) < 0 || check_history(b, s, err) < 0)
            return err_wrap(err, "sample %" PRId32, i);
    }
    return 0;
}

static int check_logit_rows(const struct step *step, int32_t rows,
                            struct err *err)
{
    int32_t last = -1;

    if (step->n_logit < 0 || step->n_logit > rows)
        return err_set(err, ERR_INVALID,
                       "%" PRId32 " logit rows of %" PRId32 " rows",
                       step->n_logit, rows);
    if (step->n_logit > 0 && step->logits == NULL)
        return err_set(err, ERR_INVALID, "logit rows, but logits is NULL");
    for (int32_t i = 0; i < step->n_logit; i++) {
        if (step->logit_row[i] <= last || step->logit_row[i] >= rows)
            return err_set(err, ERR_INVALID,
                           "logit row %" PRId32 " is %" PRId32
                           "; ascending rows below %" PRId32 " expected",
                           i, step->logit_row[i], rows);
        last = step->logit_row[i];
    }
    return 0;
}

/* The stamps in the slots are good while the number of the check is new. */
static void next_check(struct backend *b)
{
    if (++b->guard->step != 0)
        return;
    for (int32_t i = 0; i < b->limits.slots; i++) {
        b->guard->slot[i].piece_step = 0;
        b->guard->slot[i].sample_step = 0;
    }
    b->guard->step = 1;
}

static int64_t *find_ticket(struct backend *b, int64_t ticket)
{
    for (int i = 0; i < UNWAITED_MAX; i++) {
        if (b->guard->ticket[i] == ticket)
            return &b->guard->ticket[i];
    }
    return NULL;
}

int64_t backend_submit(struct backend *b, const struct step *step,
                       struct err *err)
{
    int64_t *place = find_ticket(b, 0);
    int32_t rows;
    int64_t ticket;

    next_check(b);
    if (place == NULL) {
        err_set(err, ERR_INVALID, "%d steps are unwaited already",
                UNWAITED_MAX);
        goto fail;
    }
    rows = check_pieces(b, step, err);
    if (rows < 0 || check_scores(b, step, rows, err) < 0
        || check_samples(b, step, err) < 0
        || check_logit_rows(step, rows, err) < 0)
        goto fail;
    ticket = b->ops->submit(b, step, err);
    if (ticket < 0)
        goto fail;
    *place = ticket;
    for (int32_t i = 0; i < step->n_sample; i++)
        b->guard->slot[step->sample[i].slot].sampled = true;
    return ticket;
fail:
    return err_wrap(err, "step");
}

int backend_wait(struct backend *b, int64_t ticket, struct err *err)
{
    int64_t *place = ticket > 0 ? find_ticket(b, ticket) : NULL;

    if (place == NULL)
        return err_set(err, ERR_INVALID, "%" PRId64 " is no unwaited ticket",
                       ticket);
    *place = 0;
    return b->ops->wait(b, ticket, err);
}

static int check_slot(const struct backend *b, int32_t slot, struct err *err)
{
    if (slot < 0 || slot >= b->limits.slots)
        return err_set(err, ERR_INVALID,
                       "slot is %" PRId32 "; 0..%" PRId32 " expected", slot,
                       b->limits.slots - 1);
    return 0;
}

/* ---- slots ------------------------------------------------------------------ */

static void take_history(struct backend *b, int32_t slot)
{
    struct backend_guard *g = b->guard;

    assert(b->history[slot] < 0 && g->n_free > 0);
    b->history[slot] = g->free_history[--g->n_free];
}

static void drop_history(struct backend *b, int32_t slot)
{
    struct backend_guard *g = b->guard;

    if (b->history[slot] < 0)
        return;
    g->free_history[g->n_free++] = b->history[slot];
    b->history[slot] = -1;
}

/* Can the slot have a history? */
static int check_free(const struct backend *b, int32_t slot, struct err *err)
{
    if (b->history[slot] >= 0 || b->guard->n_free > 0)
        return 0;
    return err_set(err, ERR_LIMIT, "all %" PRId32 " histories are in use",
                   b->limits.histories);
}

int backend_reset(struct backend *b, int32_t slot, struct err *err)
{
    if (check_slot(b, slot, err) < 0 || b->ops->reset(b, slot, err) < 0)
        return err_wrap(err, "reset");
    b->guard->slot[slot].sampled = false;
    drop_history(b, slot);
    return 0;
}

int backend_copy(struct backend *b, int32_t dst, int32_t src, struct err *err)
{
    if (check_slot(b, dst, err) < 0 || check_slot(b, src, err) < 0)
        return err_wrap(err, "copy");
    if (dst == src)
        return 0;
    if (b->history[src] < 0)
        drop_history(b, dst);
    else if (check_free(b, dst, err) < 0)
        return err_wrap(err, "copy");
    else if (b->history[dst] < 0)
        take_history(b, dst);
    if (b->ops->copy(b, dst, src, err) < 0)
        return err_wrap(err, "copy");
    b->guard->slot[dst].sampled = b->guard->slot[src].sampled;
    return 0;
}

int backend_save(struct backend *b, int32_t slot, float *state, struct err *err)
{
    if (check_slot(b, slot, err) < 0 || b->ops->save(b, slot, state, err) < 0)
        return err_wrap(err, "save");
    return 0;
}

int backend_load(struct backend *b, int32_t slot, const float *state,
                 struct err *err)
{
    if (check_slot(b, slot, err) < 0)
        return err_wrap(err, "load");
    for (size_t i = 0; i < b->state_bytes / sizeof *state; i++) {
        if (!isfinite(state[i]))
            return err_set(err, ERR_INVALID,
                           "load: element %zu of the state is not finite", i);
    }
    if (b->ops->load(b, slot, state, err) < 0)
        return err_wrap(err, "load");
    b->guard->slot[slot].sampled = false;
    drop_history(b, slot);
    return 0;
}

static int check_bias(const struct backend *b, const struct history *h,
                      struct err *err)
{
    int32_t last = -1;

    if (h->n_bias < 0 || h->n_bias > BACKEND_BIAS_MAX)
        return err_set(err, ERR_INVALID,
                       "%" PRId32 " biases; a history has 0..%d", h->n_bias,
                       BACKEND_BIAS_MAX);
    for (int32_t i = 0; i < h->n_bias; i++) {
        const struct logit_bias *l = &h->bias[i];

        if (l->token <= last || l->token >= b->vocab)
            return err_set(err, ERR_INVALID,
                           "bias %" PRId32 ": token is %" PRId32
                           "; ascending ones below %" PRId32 " expected",
                           i, l->token, b->vocab);
        if (!isfinite(l->bias))
            return err_set(err, ERR_INVALID, "bias %" PRId32 " is not finite",
                           i);
        last = l->token;
    }
    return 0;
}

int backend_remember(struct backend *b, int32_t slot, const struct history *h,
                     struct err *err)
{
    if (check_slot(b, slot, err) < 0 || check_bias(b, h, err) < 0
        || check_free(b, slot, err) < 0)
        return err_wrap(err, "remember");
    if (check_tokens(h->prompt, h->n_prompt, b->vocab, err) < 0)
        return err_wrap(err, "remember: prompt");
    if (check_tokens(h->generated, h->n_generated, b->vocab, err) < 0)
        return err_wrap(err, "remember: generated");
    if (b->history[slot] < 0)
        take_history(b, slot);
    if (b->ops->remember(b, slot, h, err) < 0)
        return err_wrap(err, "remember");
    return 0;
}

static int read_word(const struct backend_option *o, const char *s, size_t len,
                     struct err *err)
{
    char choice[128] = "";

    for (int64_t i = 0; o->word[i] != NULL; i++) {
        if (strlen(o->word[i]) == len && memcmp(o->word[i], s, len) == 0) {
            *o->value = i;
            return 0;
        }
        strncat(choice, i > 0 ? ", " : "", sizeof choice - strlen(choice) - 1);
        strncat(choice, o->word[i], sizeof choice - strlen(choice) - 1);
    }
    return err_set(err, ERR_INVALID,
                   "option %s is \"%.*s\"; one of %s expected", o->key,
                   (int)len, s, choice);
}

static int read_number(const struct backend_option *o, const char *s,
                       size_t len, struct err *err)
{
    char *end;
    int64_t value;

    errno = 0;
    value = strtoll(s, &end, 10);
    if (len == 0 || end != s + len || errno != 0 || value < o->min
        || value > o->max)
        return err_set(err, ERR_INVALID,
                       "option %s is \"%.*s\"; a number %" PRId64 "..%" PRId64
                       " expected",
                       o->key, (int)len, s, o->min, o->max);
    *o->value = value;
    return 0;
}

int backend_options(const char *options, const struct backend_option *option,
                    size_t n, struct err *err)
{
    const char *s = options == NULL ? "" : options;

    while (*s != '\0') {
        size_t len = strcspn(s, ","), key = strcspn(s, "=,");
        const struct backend_option *o = NULL;
        int rc;

        for (size_t i = 0; i < n && o == NULL; i++) {
            if (strlen(option[i].key) == key
                && memcmp(option[i].key, s, key) == 0)
                o = &option[i];
        }
        if (o == NULL || key == len)
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" is not an option of this backend"
                           " (key=value,key=value)",
                           (int)len, s);
        rc = o->word != NULL ? read_word(o, s + key + 1, len - key - 1, err)
                             : read_number(o, s + key + 1, len - key - 1, err);
        if (rc < 0)
            return -1;
        s += len;
        s += *s == ',';
    }
    return 0;
}
