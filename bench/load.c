#include "bench/load.h"

#include <math.h>
#include <stdlib.h>

#include "common/buf.h"

/* ---- sequences ----------------------------------------------------------- */

static uint32_t next(uint64_t *random)
{
    uint64_t x = *random += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

/* One allocation: the sequences, then their tokens. */
static struct load_sequence *make(int32_t n, const int32_t *length,
                                  int32_t vocab, uint64_t *random)
{
    const size_t head = (size_t)n * sizeof(struct load_sequence);
    struct load_sequence *s;
    size_t tokens = 0;
    int32_t *token;

    for (int32_t i = 0; i < n; i++)
        tokens += (size_t)length[i] + 1;
    s = xcalloc(1, head + tokens * sizeof *token);
    token = (int32_t *)(void *)((char *)s + head);
    for (int32_t i = 0; i < n; i++) {
        s[i] = (struct load_sequence){length[i], token};
        for (int32_t t = 0; t <= length[i]; t++)
            *token++ = (int32_t)(next(random) % (uint32_t)vocab);
    }
    return s;
}

struct load_sequence *load_equal(int32_t n, int32_t length, int32_t vocab,
                                 uint64_t seed)
{
    int32_t *lengths = xcalloc((size_t)n, sizeof *lengths);
    struct load_sequence *s;

    for (int32_t i = 0; i < n; i++)
        lengths[i] = length;
    s = make(n, lengths, vocab, &seed);
    free(lengths);
    return s;
}

static double uniform(uint64_t *random)
{
    return ((double)next(random) + 0.5) * 0x1p-32;
}

static int32_t mixed_length(uint64_t *random)
{
    const double pi = 3.14159265358979323846;
    double normal =
        sqrt(-2 * log(uniform(random))) * cos(2 * pi * uniform(random));
    double mu = log(LOAD_MIX_MEAN) - LOAD_MIX_SIGMA * LOAD_MIX_SIGMA / 2;
    double x = exp(mu + LOAD_MIX_SIGMA * normal);

    return x < 8 ? 8 : x > LOAD_MIX_MAX ? LOAD_MIX_MAX : (int32_t)lround(x);
}

struct load_sequence *load_mix(int32_t n, int32_t vocab, uint64_t seed)
{
    int32_t *lengths = xcalloc((size_t)n, sizeof *lengths);
    struct load_sequence *s;

    for (int32_t i = 0; i < n; i++)
        lengths[i] = mixed_length(&seed);
    s = make(n, lengths, vocab, &seed);
    free(lengths);
    return s;
}

/* ---- steps --------------------------------------------------------------- */

/* Where the next step begins. */
struct cursor {
    int32_t sequence, at; /* tokens of it that are fed */
    int64_t piece, score, reset;
};

/* One step from `c` on; with `l` only counting when it has no arrays yet. */
static void fill_step(struct load *l, struct step *step, struct cursor *c,
                      const struct load_sequence *s, int32_t n, int32_t tail,
                      int32_t rows_max, int32_t slots)
{
    int32_t rows = 0, pieces = 0, scored = 0;

    while (c->sequence < n && rows < rows_max && pieces < slots) {
        const struct load_sequence *q = &s[c->sequence];
        int32_t left = q->n - c->at, room = rows_max - rows;
        int32_t now = left < room ? left : room;
        int32_t slot = c->sequence % slots;

        if (c->at == 0)
            l->slots[c->reset++] = slot;
        l->piece[c->piece++] = (struct piece){slot, now, q->token + c->at};
        for (int32_t t = c->at; t < c->at + now; t++, rows++) {
            if (tail > 0 && t < q->n - tail)
                continue;
            l->score[c->score++] =
                (struct score_row){.row = rows, .target = q->token[t + 1]};
            scored++;
        }
        pieces++;
        c->at += now;
        if (c->at == q->n) {
            c->sequence++;
            c->at = 0;
        }
    }
    step->n_piece = pieces;
    step->n_score = scored;
    l->rows += rows;
}

void load_init(struct load *l, const struct load_sequence *s, int32_t n,
               int32_t tail, int32_t rows_per_step, int32_t slots)
{
    struct cursor c = {0};
    int64_t rows = 0, steps;

    for (int32_t i = 0; i < n; i++)
        rows += s[i].n;
    /* A step ends because it is full, or has a piece in every slot. */
    steps = rows / rows_per_step + n / slots + 2;
    *l = (struct load){
        .step = xcalloc((size_t)steps, sizeof *l->step),
        .reset = xcalloc((size_t)steps, sizeof *l->reset),
        .n_reset = xcalloc((size_t)steps, sizeof *l->n_reset),
        .out = xcalloc((size_t)rows, sizeof *l->out),
        .piece = xcalloc((size_t)(n + steps), sizeof *l->piece),
        .score = xcalloc((size_t)rows, sizeof *l->score),
        .slots = xcalloc((size_t)n, sizeof *l->slots),
    };
    while (c.sequence < n) {
        const struct cursor before = c;
        struct step *step = &l->step[l->n];

        fill_step(l, step, &c, s, n, tail, rows_per_step, slots);
        step->piece = l->piece + before.piece;
        step->score = l->score + before.score;
        step->score_out = l->out + before.score;
        l->reset[l->n] = l->slots + before.reset;
        l->n_reset[l->n++] = (int32_t)(c.reset - before.reset);
    }
    l->scored = c.score;
}

void load_finish(struct load *l)
{
    free(l->step);
    free(l->reset);
    free(l->n_reset);
    free(l->out);
    free(l->piece);
    free(l->score);
    free(l->slots);
}

int load_run(const struct load *l, struct backend *b, int times,
             struct err *err)
{
    int64_t before = 0, ticket = 0;

    for (int i = 0; i < times * l->n; i++) {
        int at = i % l->n;

        for (int32_t k = 0; k < l->n_reset[at]; k++)
            if (backend_reset(b, l->reset[at][k], err) < 0)
                return -1;
        ticket = backend_submit(b, &l->step[at], err);
        if (ticket < 0 || (before > 0 && backend_wait(b, before, err) < 0))
            return -1;
        before = ticket;
    }
    return before > 0 ? backend_wait(b, before, err) : 0;
}
