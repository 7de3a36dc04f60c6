/* A backend without a model, for tests of everything around it: the results
 * look like results, cost next to nothing and depend, like the real ones, on
 * the tokens of the sequence alone. A slot's state is a rolling 64-bit hash of
 * the tokens fed to it, so cutting a document differently, copying and saving
 * must leave every result the same here too.
 *
 *   score    logprob in (-12, 0) and, for a quarter of all rows, argmax: from
 *            (state, target)
 *   sample   from (state) at temperature 0, else from (state, key, sample,
 *            position); token 0, the end, 1 time in 32
 *
 * Options, all whole numbers. A trigger T is a token id; it fires when a
 * sequence is fed that token, before anything of the step is computed.
 *
 *   vocab=N         V, 65536 without it
 *   latency_us=N    a step takes that long; steps queue up as on a device
 *   crash_token=T   abort(): the rank dies by a signal
 *   exit_token=T    _exit(1): the rank leaves without a word
 *   hang_token=T    sleep for ever
 *   poison_token=T  from here on the sequence's results are not finite
 *   crash_after=N   abort() in place of the step that would pass N rows
 */
#include "model/backend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define VOCAB_DEFAULT 65536
#define VOCAB_MAX (1 << 24)
#define LATENCY_MAX_US 3600000000

#define START 0x736b65696e000001 /* an empty sequence */
#define POISONED 0               /* no live state has this value */

/* Saved states are fp32, so the hash travels as exact 16-bit integers. */
#define STATE_FLOATS 4

struct null_slot {
    uint64_t hash;
    int32_t last; /* sampled token */
};

struct null_backend {
    struct backend base;
    int64_t latency_us, crash_token, exit_token, hang_token, poison_token;
    int64_t crash_after;
    int64_t rows;           /* fed so far */
    int64_t ticket;         /* last given */
    int64_t busy_until;     /* us: end of the last step submitted */
    int64_t due[2];         /* us: end of step `ticket`, by its lowest bit */
    struct null_slot *slot; /* [S] */
    uint64_t *row;          /* [T] state after each row of the step */
};

static struct null_backend *null_of(struct backend *b)
{
    return (struct null_backend *)b;
}

/* splitmix64's finalizer: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static uint64_t feed(uint64_t hash, int32_t token)
{
    uint64_t next = ((hash << 29 | hash >> 35) ^ ((uint64_t)token + 1))
                    * 0x9e3779b97f4a7c15;

    if (hash == POISONED)
        return POISONED;
    return next == POISONED ? START : next;
}

/* A number 0..n-1 from the upper half of x. */
static int32_t pick(uint64_t x, int32_t n)
{
    return (int32_t)(((x >> 32) * (uint64_t)n) >> 32);
}

static float logprob_of(uint64_t x)
{
    return -12.0f * ((float)(x >> 41) + 0.5f) * 0x1p-23f;
}

static void hang(void)
{
    for (;;)
        pause();
}

static void pull_triggers(const struct null_backend *n, int32_t token)
{
    if (token == n->crash_token)
        abort();
    if (token == n->exit_token)
        _exit(1);
    if (token == n->hang_token)
        hang();
}

static int32_t piece_token(const struct null_backend *n, const struct piece *p,
                           int32_t i)
{
    return p->token == NULL ? n->slot[p->slot].last : p->token[i];
}

static void check_triggers(const struct null_backend *n,
                           const struct step *step)
{
    int64_t rows = n->rows;

    for (int32_t i = 0; i < step->n_piece; i++) {
        const struct piece *p = &step->piece[i];

        for (int32_t t = 0; t < p->n; t++)
            pull_triggers(n, piece_token(n, p, t));
        rows += p->n;
    }
    if (n->crash_after > 0 && rows > n->crash_after)
        abort();
}

static void feed_pieces(struct null_backend *n, const struct step *step)
{
    uint64_t *row = n->row;

    for (int32_t i = 0; i < step->n_piece; i++) {
        const struct piece *p = &step->piece[i];
        uint64_t hash = n->slot[p->slot].hash;

        for (int32_t t = 0; t < p->n; t++) {
            int32_t token = piece_token(n, p, t);

            hash = token == n->poison_token ? POISONED : feed(hash, token);
            *row++ = hash;
        }
        n->slot[p->slot].hash = hash;
    }
    n->rows += row - n->row;
}

static void score(const struct null_backend *n, const struct step *step,
                  int32_t i)
{
    const struct score_row *s = &step->score[i];
    uint64_t hash = n->row[s->row];
    uint64_t x = mix(hash ^ mix((uint64_t)s->target));
    int32_t first = pick(mix(hash), n->base.vocab);
    bool finite = hash != POISONED;

    step->score_out[i] = (struct score_out){
        .logprob = finite ? logprob_of(x) : NAN,
        .argmax = finite && (x & 3) == 0,
        .finite = finite,
    };
    for (int32_t k = 0; k < s->topk; k++) {
        int32_t at = i * BACKEND_TOPK_MAX + k;

        step->topk_id[at] = (first + k) % n->base.vocab;
        step->topk_logprob[at] = finite ? -0.5f * (float)(k + 1) : NAN;
    }
}

static void draw(struct null_backend *n, const struct step *step, int32_t i)
{
    const struct sample_row *s = &step->sample[i];
    uint64_t hash = n->row[s->row], x = mix(hash + 1);
    bool finite = hash != POISONED;
    int32_t token = 0;

    if (s->temperature > 0)
        x = mix(mix(x ^ s->key) ^ ((uint64_t)s->sample << 32 | s->position));
    if (finite && (x & 31) != 0 && n->base.vocab > 1)
        token = 1 + pick(x, n->base.vocab - 1);
    n->slot[s->slot].last = token;
    step->sample_out[i] = (struct sample_out){
        .token = token,
        .logprob = finite ? logprob_of(mix(x)) : NAN,
        .finite = finite,
    };
}

static void fill_logits(const struct null_backend *n, const struct step *step,
                        int32_t i)
{
    uint64_t hash = n->row[step->logit_row[i]];
    float *out = step->logits + (size_t)i * (size_t)n->base.vocab;

    for (int32_t v = 0; v < n->base.vocab; v++)
        out[v] =
            hash == POISONED ? NAN : logprob_of(mix(hash ^ mix((uint64_t)v)));
}

static int64_t null_submit(struct backend *b, const struct step *step,
                           struct err *err)
{
    struct null_backend *n = null_of(b);

    (void)err;
    check_triggers(n, step);
    feed_pieces(n, step);
    for (int32_t i = 0; i < step->n_score; i++)
        score(n, step, i);
    for (int32_t i = 0; i < step->n_sample; i++)
        draw(n, step, i);
    for (int32_t i = 0; i < step->n_logit; i++)
        fill_logits(n, step, i);
    n->ticket++;
    if (n->latency_us > 0) {
        int64_t now = clock_now_us();

        if (n->busy_until < now)
            n->busy_until = now;
        n->busy_until += n->latency_us;
        n->due[n->ticket & 1] = n->busy_until;
    }
    return n->ticket;
}

static int null_wait(struct backend *b, int64_t ticket, struct err *err)
{
    struct null_backend *n = null_of(b);
    int64_t left;

    (void)err;
    if (n->latency_us == 0)
        return 0;
    while ((left = n->due[ticket & 1] - clock_now_us()) > 0) {
        struct timespec t = {.tv_sec = left / 1000000,
                             .tv_nsec = left % 1000000 * 1000};

        nanosleep(&t, NULL);
    }
    return 0;
}

static int null_reset(struct backend *b, int32_t slot, struct err *err)
{
    (void)err;
    null_of(b)->slot[slot] = (struct null_slot){.hash = START};
    return 0;
}

static int null_copy(struct backend *b, int32_t dst, int32_t src,
                     struct err *err)
{
    (void)err;
    null_of(b)->slot[dst] = null_of(b)->slot[src];
    return 0;
}

static int null_save(struct backend *b, int32_t slot, float *state,
                     struct err *err)
{
    uint64_t hash = null_of(b)->slot[slot].hash;

    (void)err;
    for (int i = 0; i < STATE_FLOATS; i++)
        state[i] = (float)(hash >> (16 * i) & 0xffff);
    return 0;
}

static int null_load(struct backend *b, int32_t slot, const float *state,
                     struct err *err)
{
    uint64_t hash = 0;

    for (int i = 0; i < STATE_FLOATS; i++) {
        if (state[i] < 0 || state[i] > 65535 || state[i] != floorf(state[i]))
            return err_set(err, ERR_INVALID,
                           "element %d is %g; a whole number 0..65535 expected",
                           i, (double)state[i]);
        hash |= (uint64_t)state[i] << (16 * i);
    }
    null_of(b)->slot[slot] = (struct null_slot){.hash = hash};
    return 0;
}

static int null_remember(struct backend *base, int32_t slot,
                         const struct history *h, struct err *err)
{
    (void)base;
    (void)slot;
    (void)h;
    (void)err;
    return 0;
}

static void null_destroy(struct backend *b)
{
    struct null_backend *n = null_of(b);

    free(n->slot);
    free(n->row);
    free(n);
}

static int read_options(struct null_backend *n, const char *options,
                        struct err *err)
{
    int64_t vocab = VOCAB_DEFAULT;
    const int64_t id_max = VOCAB_MAX - 1;
    const struct backend_option option[] = {
        {.key = "vocab", .value = &vocab, .min = 1, .max = VOCAB_MAX},
        {.key = "latency_us", .value = &n->latency_us, .max = LATENCY_MAX_US},
        {.key = "crash_token", .value = &n->crash_token, .max = id_max},
        {.key = "exit_token", .value = &n->exit_token, .max = id_max},
        {.key = "hang_token", .value = &n->hang_token, .max = id_max},
        {.key = "poison_token", .value = &n->poison_token, .max = id_max},
        {.key = "crash_after", .value = &n->crash_after, .max = INT64_MAX},
    };

    n->crash_token = n->exit_token = n->hang_token = n->poison_token = -1;
    if (backend_options(options, option, sizeof option / sizeof *option, err)
        < 0)
        return -1;
    n->base.vocab = (int32_t)vocab;
    return 0;
}

static struct backend *null_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *options, struct err *err)
{
    struct null_backend *n = calloc(1, sizeof *n);

    (void)w;
    if (n == NULL)
        goto no_memory;
    n->base.ops = &backend_null;
    n->base.limits = *limits;
    n->base.compute = "null";
    n->base.async = true;
    n->base.state_bytes = STATE_FLOATS * sizeof(float);
    if (read_options(n, options, err) < 0) {
        null_destroy(&n->base);
        return NULL;
    }
    n->slot = calloc((size_t)limits->slots, sizeof *n->slot);
    n->row = calloc((size_t)limits->tokens_per_step, sizeof *n->row);
    if (n->slot == NULL || n->row == NULL) {
        null_destroy(&n->base);
        goto no_memory;
    }
    for (int32_t i = 0; i < limits->slots; i++)
        null_reset(&n->base, i, err);
    return &n->base;
no_memory:
    err_set(err, ERR_NOMEM, "no memory for %zu bytes",
            (size_t)limits->slots * sizeof(struct null_slot)
                + (size_t)limits->tokens_per_step * sizeof(uint64_t));
    return NULL;
}

const struct backend_ops backend_null = {
    .name = "null",
    .create = null_create,
    .destroy = null_destroy,
    .submit = null_submit,
    .wait = null_wait,
    .reset = null_reset,
    .copy = null_copy,
    .save = null_save,
    .load = null_load,
    .remember = null_remember,
};
