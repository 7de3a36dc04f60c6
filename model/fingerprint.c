#include "model/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

#define SEQUENCES 3
#define LENGTH_MAX 21
#define ROWS_MAX (SEQUENCES * LENGTH_MAX)

/* Odd lengths and cuts, so that pieces end anywhere in a block of rows. */
static const int32_t length[SEQUENCES] = {LENGTH_MAX, 7, 4};

/* How the sequences are fed: the next piece of a sequence has piece[i] rows,
 * going round. All shapes must give the same bits.
 */
static const struct shape {
    const char *name;
    int32_t sequences; /* at a time, in as many slots */
    int32_t piece[3];
} shapes[] = {
    {"each sequence alone, in one piece", 1, {LENGTH_MAX, LENGTH_MAX, 1}},
    {"token by token", 1, {1, 1, 1}},
    {"several sequences in uneven pieces", SEQUENCES, {3, 1, 5}},
};
#define N_SHAPES (sizeof shapes / sizeof *shapes)

/* What one shape gave: everything a job can see, and the state behind it. */
struct canary {
    float logprob[SEQUENCES][LENGTH_MAX];
    struct sample_out sampled[SEQUENCES];
    uint8_t *state; /* [SEQUENCES][state_bytes] */
};

/* Tokens spread over the vocabulary, the same for every backend. */
static int32_t canary_token(int32_t sequence, int32_t position, int32_t vocab)
{
    uint64_t x = (uint64_t)sequence * 1000003u + (uint64_t)position + 1;

    x *= 0x9E3779B97F4A7C15u;
    return (int32_t)((x >> 33) % (uint64_t)vocab);
}

/* One step being put together. */
struct canary_step {
    int32_t token[ROWS_MAX];
    struct piece piece[SEQUENCES];
    struct score_row score[ROWS_MAX];
    struct score_out out[ROWS_MAX];
    struct sample_row sample[SEQUENCES];
    struct sample_out sampled[SEQUENCES];
    int32_t first[SEQUENCES]; /* position of each piece's first row */
    int32_t owner[SEQUENCES]; /* its sequence */
    int32_t rows, n_piece, n_sample;
};

/* Add the next piece of a sequence; the whole sequence is sampled at its end. */
static void step_add(struct canary_step *s, int32_t sequence, int32_t slot,
                     int32_t at, int32_t n, int32_t vocab)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t row = s->rows + i;

        s->token[row] = canary_token(sequence, at + i, vocab);
        s->score[row] = (struct score_row){
            .row = row, .target = canary_token(sequence, at + i + 1, vocab)};
    }
    if (at + n == length[sequence])
        s->sample[s->n_sample++] =
            (struct sample_row){.row = s->rows + n - 1,
                                .slot = slot,
                                .temperature = 0.8f,
                                .top_p = 0.95f,
                                .key = 0x5EED0000u + (uint64_t)sequence,
                                .position = (uint32_t)(at + n)};
    s->piece[s->n_piece] =
        (struct piece){.slot = slot, .n = n, .token = s->token + s->rows};
    s->first[s->n_piece] = at;
    s->owner[s->n_piece++] = sequence;
    s->rows += n;
}

static int step_run(struct backend *b, struct canary_step *s,
                    struct canary *out, struct err *err)
{
    struct step step = {.piece = s->piece,
                        .n_piece = s->n_piece,
                        .score = s->score,
                        .n_score = s->rows,
                        .sample = s->sample,
                        .n_sample = s->n_sample,
                        .score_out = s->out,
                        .sample_out = s->sampled};
    int64_t ticket = backend_submit(b, &step, err);
    int32_t row = 0, sample = 0;

    if (ticket < 0 || backend_wait(b, ticket, err) < 0)
        return -1;
    for (int32_t p = 0; p < s->n_piece; p++) {
        int32_t seq = s->owner[p];

        for (int32_t i = 0; i < s->piece[p].n; i++)
            out->logprob[seq][s->first[p] + i] = s->out[row++].logprob;
        if (s->first[p] + s->piece[p].n == length[seq])
            out->sampled[seq] = s->sampled[sample++];
    }
    return 0;
}

/* Feed sequences first..first+n-1 in slots 0..n-1 to their ends. */
static int run_group(struct backend *b, const struct shape *shape,
                     int32_t first, int32_t n, struct canary *out,
                     struct err *err)
{
    int32_t most = b->limits.tokens_per_step;
    int32_t at[SEQUENCES] = {0};

    if (most > b->limits.score_rows)
        most = b->limits.score_rows;
    for (int turn = 0;; turn++) {
        struct canary_step s = {.rows = 0};

        for (int32_t i = 0; i < n; i++) {
            int32_t left = length[first + i] - at[i];
            int32_t rows = shape->piece[(turn + i) % 3];

            if (rows > left)
                rows = left;
            if (rows > most - s.rows)
                rows = most - s.rows;
            if (rows == 0)
                continue;
            step_add(&s, first + i, i, at[i], rows, b->vocab);
            at[i] += rows;
        }
        if (s.n_piece == 0)
            break;
        if (step_run(b, &s, out, err) < 0)
            return -1;
    }
    for (int32_t i = 0; i < n; i++) {
        float *state =
            (void *)(out->state + (size_t)(first + i) * b->state_bytes);

        if (backend_save(b, i, state, err) < 0)
            return -1;
    }
    return 0;
}

static int reset_slots(struct backend *b, int32_t n, struct err *err)
{
    for (int32_t i = 0; i < n; i++) {
        if (backend_reset(b, i, err) < 0)
            return -1;
    }
    return 0;
}

static int run_shape(struct backend *b, const struct shape *shape,
                     struct canary *out, struct err *err)
{
    int32_t n = shape->sequences;

    if (n > b->limits.slots)
        n = b->limits.slots;
    for (int32_t first = 0; first < SEQUENCES; first += n) {
        if (n > SEQUENCES - first)
            n = SEQUENCES - first;
        if (reset_slots(b, n, err) < 0
            || run_group(b, shape, first, n, out, err) < 0
            || reset_slots(b, n, err) < 0)
            return -1;
    }
    return 0;
}

static bool same(const struct backend *b, const struct canary *x,
                 const struct canary *y)
{
    for (int i = 0; i < SEQUENCES; i++) {
        if (memcmp(x->logprob[i], y->logprob[i],
                   (size_t)length[i] * sizeof(float))
                != 0
            || x->sampled[i].token != y->sampled[i].token
            || memcmp(&x->sampled[i].logprob, &y->sampled[i].logprob,
                      sizeof(float))
                   != 0)
            return false;
    }
    return memcmp(x->state, y->state, SEQUENCES * b->state_bytes) == 0;
}

static void hash_canary(struct hash_ctx *ctx, const struct backend *b,
                        const struct canary *c)
{
    for (int i = 0; i < SEQUENCES; i++) {
        hash_update(ctx, c->logprob[i], (size_t)length[i] * sizeof(float));
        hash_update(ctx, &c->sampled[i].token, sizeof c->sampled[i].token);
        hash_update(ctx, &c->sampled[i].logprob, sizeof(float));
    }
    hash_update(ctx, c->state, SEQUENCES * b->state_bytes);
}

/* Run every shape, compare, hash. */
static int run_canary(struct backend *b, struct hash_ctx *ctx, struct err *err)
{
    size_t bytes = SEQUENCES * b->state_bytes;
    struct canary *c = xcalloc(2, sizeof *c);
    int rc;

    c[0].state = xcalloc(1, bytes);
    c[1].state = xcalloc(1, bytes);
    rc = run_shape(b, &shapes[0], &c[0], err);
    for (size_t i = 1; i < N_SHAPES && rc == 0; i++) {
        rc = run_shape(b, &shapes[i], &c[1], err);
        if (rc == 0 && !same(b, &c[0], &c[1]))
            rc = err_set(err, ERR_INTERNAL,
                         "backend %s gives other bits for \"%s\" than for "
                         "\"%s\": it may not serve",
                         b->ops->name, shapes[i].name, shapes[0].name);
    }
    if (rc == 0)
        hash_canary(ctx, b, &c[0]);
    free(c[0].state);
    free(c[1].state);
    free(c);
    return rc;
}

static void hash_or_zeros(struct hash_ctx *ctx, const uint8_t *hash)
{
    static const uint8_t zeros[HASH_BYTES];

    hash_update(ctx, hash != NULL ? hash : zeros, HASH_BYTES);
}

int fingerprint_compute(struct backend *b, const char *compute,
                        const uint8_t *weights_hash,
                        const uint8_t *tokenizer_hash, uint8_t out[HASH_BYTES],
                        struct err *err)
{
    struct hash_ctx *ctx = hash_begin();
    uint64_t number[2] = {NUMERICS_CONTRACT, (uint64_t)b->vocab};
    int rc = 0;

    hash_update(ctx, number, sizeof number);
    hash_update(ctx, compute, strlen(compute) + 1);
    hash_or_zeros(ctx, weights_hash);
    hash_or_zeros(ctx, tokenizer_hash);
    /* The null backend has no arithmetic, but triggers that count tokens. */
    if (b->ops != &backend_null)
        rc = run_canary(b, ctx, err);
    hash_end(ctx, rc == 0 ? out : NULL);
    return rc == 0 ? 0 : err_wrap(err, "canary");
}
