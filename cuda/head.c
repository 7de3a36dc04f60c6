#include "cuda/head.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"
#include "model/philox.h"

/* Logits of one product: 32 MiB, of an L2 of 50. */
#define BLOCK_LOGITS (8 << 20)
#define BLOCK_ROWS_MIN 128

/* What is wanted of one of the step's rows; -1: nothing. */
struct wish {
    int32_t row, score, sample, logit;
};

/* Wishes first..first+n-1, taken through the head together, and their shares of
 * the lists.
 */
struct batch {
    int32_t first, n;
    int32_t draw, n_draw, top, n_top;
    int32_t n_whole;
};

/* What a step brings to the device, packed into one copy. */
struct lists {
    int32_t *row, *target, *whole; /* [n_wish] */
    struct draw_row *draw;         /* [n_draw] */
    struct top_row *top;           /* [n_top] */
};

/* What comes back, in one copy. */
struct answers {
    struct score_result *score; /* [n_wish] */
    struct sample_out *drawn;   /* [n_draw] */
    int32_t *top_id;            /* [n_top][BACKEND_TOPK_MAX] */
    float *top_logprob;
};

struct counts {
    int32_t wishes, draws, tops;
};

/* A step between its begin and its end. */
struct flight {
    struct wish *wish; /* [T] by row */
    int32_t *drawn;    /* [n_draw] sample of the step */
    int32_t *listed;   /* [n_top] score of the step */
    struct counts n;
    struct lists lists; /* pinned memory */
    struct answers answers;
    void *up, *down;
};

struct head {
    const struct cuda_model *m;
    int rows_max, whole_max;
    struct counts most;
    struct flight flight[HEAD_FLIGHTS];
    struct batch *batch; /* [T] of the step being begun */
    struct cuda_histories histories;

    /* Device memory */
    struct lists lists;
    struct answers answers;
    void *up, *down;
    float *x;                /* [rows_max][C] */
    struct narrow_rows in;   /* [rows_max][C] */
    float *logits;           /* of one product */
    struct score_part *part; /* [rows_max][n_part] */
    float *whole;            /* [whole_max][padded V] */
};

/* ---- sizes ----------------------------------------------------------------- */

static int n_part(const struct cuda_model *m)
{
    return (m->V + SCORE_COLS - 1) / SCORE_COLS;
}

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

static int rows_of(const struct backend_limits *limits)
{
    return at_most(limits->tokens_per_step, HEAD_ROWS);
}

/* Rows that a block of columns is made for: a power of two. */
static int block_rows(int rows)
{
    int most = BLOCK_ROWS_MIN;

    while (most < rows)
        most *= 2;
    return most;
}

int head_cols(int n, int rows)
{
    return at_most(BLOCK_LOGITS / block_rows(rows), n);
}

/* Columns of the block that begins at `first`. */
static int cols_of(const struct cuda_model *m, int first, int block)
{
    return at_most(block, m->head.n - first);
}

/* Floats that any product's logits need. */
static size_t logits_of(const struct cuda_model *m, int rows_max)
{
    size_t most = 0;

    for (int rows = block_rows(1); rows <= block_rows(rows_max); rows *= 2) {
        const int used = at_most(rows, rows_max);
        const size_t n =
            (size_t)gemm_capacity(used) * (size_t)head_cols(m->head.n, used);

        most = n > most ? n : most;
    }
    return most;
}

int head_admit(const struct cuda_model *m, const struct backend_limits *limits,
               struct gemm *gemm, struct err *err)
{
    for (int rows = block_rows(rows_of(limits)); rows >= BLOCK_ROWS_MIN;
         rows /= 2) {
        const int used = at_most(rows, rows_of(limits));
        const int block = head_cols(m->head.n, used);

        for (int first = 0; first < m->head.n; first += block)
            if (gemm_admit(gemm, cols_of(m, first, block), m->C, used, err) < 0)
                return -1;
    }
    return 0;
}

size_t head_admit_bytes(const struct cuda_model *m,
                        const struct backend_limits *limits)
{
    size_t most = 0;

    for (int rows = block_rows(rows_of(limits)); rows >= BLOCK_ROWS_MIN;
         rows /= 2) {
        const int used = at_most(rows, rows_of(limits));
        const size_t n =
            gemm_admit_bytes(m->type, head_cols(m->head.n, used), m->C, used);

        most = n > most ? n : most;
    }
    return most;
}

/* ---- memory ---------------------------------------------------------------- */

/* Both return the bytes that follow `base`, which may be NULL. */
static size_t lay_lists(struct lists *l, void *base, const struct counts *n)
{
    struct arena a = {.base = base};
    const size_t wishes = (size_t)n->wishes;

    l->row = arena_take(&a, wishes * sizeof *l->row);
    l->target = arena_take(&a, wishes * sizeof *l->target);
    l->whole = arena_take(&a, wishes * sizeof *l->whole);
    l->draw = arena_take(&a, (size_t)n->draws * sizeof *l->draw);
    l->top = arena_take(&a, (size_t)n->tops * sizeof *l->top);
    return a.used;
}

static size_t lay_answers(struct answers *r, void *base, const struct counts *n)
{
    struct arena a = {.base = base};
    const size_t listed = (size_t)n->tops * BACKEND_TOPK_MAX;

    r->score = arena_take(&a, (size_t)n->wishes * sizeof *r->score);
    r->drawn = arena_take(&a, (size_t)n->draws * sizeof *r->drawn);
    r->top_id = arena_take(&a, listed * sizeof *r->top_id);
    r->top_logprob = arena_take(&a, listed * sizeof *r->top_logprob);
    return a.used;
}

static int make_flight(struct flight *f, const struct counts *most,
                       struct err *err)
{
    struct lists lists;
    struct answers answers;

    f->wish = calloc((size_t)most->wishes, sizeof *f->wish);
    f->drawn = calloc((size_t)most->draws, sizeof *f->drawn);
    f->listed = calloc((size_t)most->tops + 1, sizeof *f->listed);
    if (f->wish == NULL || f->drawn == NULL || f->listed == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the head");
    if (CU(cudaHostAlloc(&f->up, lay_lists(&lists, NULL, most), 0), err) < 0)
        return -1;
    return CU(cudaHostAlloc(&f->down, lay_answers(&answers, NULL, most), 0),
              err);
}

struct head *head_create(const struct cuda_model *m,
                         const struct backend_limits *limits, struct err *err)
{
    const int most = limits->tokens_per_step;
    struct head *h = calloc(1, sizeof *h);

    if (h == NULL) {
        err_set(err, ERR_NOMEM, "no memory for the head");
        return NULL;
    }
    h->m = m;
    h->rows_max = rows_of(limits);
    h->whole_max =
        limits->slots < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : limits->slots;
    h->whole_max = at_most(at_most(h->whole_max, HEAD_WHOLE), h->rows_max);
    h->most =
        (struct counts){most, at_most(most, limits->slots), limits->score_rows};
    h->batch = calloc((size_t)most, sizeof *h->batch);
    if (h->batch == NULL)
        err_set(err, ERR_NOMEM, "no memory for the head");
    else if (cuda_histories_init(&h->histories, m->V, limits->histories, err)
                 == 0
             && make_flight(&h->flight[0], &h->most, err) == 0
             && make_flight(&h->flight[1], &h->most, err) == 0)
        return h;
    head_destroy(h);
    return NULL;
}

void head_place(struct head *h, struct arena *arena)
{
    const size_t rows = (size_t)gemm_capacity(h->rows_max);
    const size_t c = (size_t)h->m->C, v = (size_t)h->m->head.n;

    h->up = arena_take(arena, lay_lists(&h->lists, NULL, &h->most));
    h->down = arena_take(arena, lay_answers(&h->answers, NULL, &h->most));
    h->x = arena_take(arena, rows * c * sizeof(float));
    h->in.at = arena_take(arena, rows * c * narrow_size(h->m->type));
    h->in.up = arena_take(arena, rows * sizeof(float));
    h->logits = arena_take(arena, logits_of(h->m, h->rows_max) * sizeof(float));
    h->part = arena_take(arena, rows * (size_t)n_part(h->m) * sizeof *h->part);
    h->whole = arena_take(arena, (size_t)h->whole_max * v * sizeof(float));
    cuda_histories_place(&h->histories, arena);
}

void head_destroy(struct head *h)
{
    if (h == NULL)
        return;
    for (int i = 0; i < HEAD_FLIGHTS; i++) {
        (void)cudaFreeHost(h->flight[i].up);
        (void)cudaFreeHost(h->flight[i].down);
        free(h->flight[i].wish);
        free(h->flight[i].drawn);
        free(h->flight[i].listed);
    }
    cuda_histories_finish(&h->histories);
    free(h->batch);
    free(h);
}

int head_remember(struct head *h, int32_t index, const struct history *to,
                  cudaStream_t stream, struct err *err)
{
    return cuda_history_set(&h->histories, index, to, stream, err);
}

int head_copy_history(struct head *h, int32_t dst, int32_t src,
                      cudaStream_t stream, struct err *err)
{
    return cuda_history_copy(&h->histories, dst, src, stream, err);
}

/* ---- what the step wants --------------------------------------------------- */

static void collect(struct flight *f, const struct step *step)
{
    struct wish *w = f->wish;
    int32_t rows = 0, n = 0;

    for (int32_t i = 0; i < step->n_piece; i++)
        rows += step->piece[i].n;
    for (int32_t i = 0; i < rows; i++)
        w[i] = (struct wish){i, -1, -1, -1};
    for (int32_t i = 0; i < step->n_score; i++)
        w[step->score[i].row].score = i;
    for (int32_t i = 0; i < step->n_sample; i++)
        w[step->sample[i].row].sample = i;
    for (int32_t i = 0; i < step->n_logit; i++)
        w[step->logit_row[i]].logit = i;
    for (int32_t i = 0; i < rows; i++)
        if (w[i].score >= 0 || w[i].sample >= 0 || w[i].logit >= 0)
            w[n++] = w[i];
    f->n = (struct counts){n, step->n_sample, 0};
    for (int32_t i = 0; i < step->n_score; i++)
        f->n.tops += step->score[i].topk > 0;
}

/* Is the row of logits needed whole? */
static bool wants_whole(const struct head *h, const struct step *step,
                        const struct wish *w, const int32_t *history)
{
    const struct sample_row *s =
        w->sample >= 0 ? &step->sample[w->sample] : NULL;

    return w->logit >= 0 || (w->score >= 0 && step->score[w->score].topk > 0)
           || (s != NULL
               && (s->temperature > 0
                   || cuda_history_matters(&h->histories, history[s->slot],
                                           s)));
}

static struct draw_row draw_row_of(const struct head *h,
                                   const struct sample_row *s, int32_t history,
                                   int32_t row, int32_t whole)
{
    return (struct draw_row){
        .row = row,
        .whole = whole,
        .slot = s->slot,
        .history = history,
        .penalized = cuda_history_matters(&h->histories, history, s),
        .top_k = s->top_k,
        .scale = s->temperature > 0 ? draw_scale(s->temperature) : 0.0f,
        .top_p = s->top_p,
        .min_p = s->min_p,
        .penalty = draw_penalty_of(s),
        .random = philox_bits(s->key, s->sample, s->position, 0),
    };
}

/* Enter a wish into the lists as the next row of the batch. */
static void enter(const struct head *h, struct flight *f,
                  const struct step *step, const int32_t *history,
                  const struct wish *w, bool whole, struct batch *b)
{
    const struct score_row *score =
        w->score >= 0 ? &step->score[w->score] : NULL;
    const int32_t at = b->first + b->n, kept = whole ? b->n_whole++ : -1;

    f->lists.row[at] = w->row;
    f->lists.target[at] = score != NULL ? score->target : -1;
    f->lists.whole[at] = kept;
    if (w->sample >= 0) {
        const struct sample_row *s = &step->sample[w->sample];
        const int32_t i = b->draw + b->n_draw++;

        f->drawn[i] = w->sample;
        f->lists.draw[i] = draw_row_of(h, s, history[s->slot], b->n,
                                       s->temperature > 0 || whole ? kept : -1);
    }
    if (score != NULL && score->topk > 0) {
        const int32_t i = b->top + b->n_top++;

        f->listed[i] = w->score;
        f->lists.top[i] = (struct top_row){b->n, kept, score->topk};
    }
    b->n++;
}

/* Fill the flight's lists and cut them into batches. Returns how many. */
static int32_t make_batches(struct head *h, struct flight *f,
                            const struct step *step, const int32_t *history)
{
    struct batch *b = h->batch;

    *b = (struct batch){0};
    for (int32_t i = 0; i < f->n.wishes; i++) {
        const struct wish *w = &f->wish[i];
        const bool whole = wants_whole(h, step, w, history);

        if (b->n == h->rows_max || (whole && b->n_whole == h->whole_max)) {
            b[1] = (struct batch){.first = i,
                                  .draw = b->draw + b->n_draw,
                                  .top = b->top + b->n_top};
            b++;
        }
        enter(h, f, step, history, w, whole, b);
    }
    return (int32_t)(b - h->batch) + (b->n > 0);
}

/* ---- a batch --------------------------------------------------------------- */

static int score_columns(struct head *h, const struct batch *b, int first,
                         int cols, struct gemm *gemm, cudaStream_t s,
                         struct err *err)
{
    const int left = h->m->V - first;
    const size_t at = (size_t)first * (size_t)h->m->C * narrow_size(h->m->type);
    const struct cuda_matrix w = {
        .at = (const char *)h->m->head.at + at, .n = cols, .k = h->m->C};
    const struct score score = {.rows = b->n,
                                .cols = at_most(cols, left),
                                .ld = cols,
                                .first = first,
                                .n_part = n_part(h->m),
                                .vocab = h->m->V,
                                .logits = {h->logits, h->in.up},
                                .bias = h->m->head_bias,
                                .target = h->lists.target + b->first,
                                .whole = h->lists.whole + b->first,
                                .copy = h->whole,
                                .copy_ld = h->m->head.n,
                                .part = h->part,
                                .out = h->answers.score + b->first};

    if (gemm_run(gemm, &w, h->in.at, b->n, h->logits, err) < 0)
        return -1;
    return CU(kernel_score(&score, s), err);
}

/* From x to every row's log-softmax. */
static int score_batch(struct head *h, const struct batch *b, float *x,
                       struct gemm *gemm, cudaStream_t s, struct err *err)
{
    const int block = head_cols(h->m->head.n, b->n);
    const struct add_norm norm = {.rows = b->n,
                                  .c = h->m->C,
                                  .x = x,
                                  .weight = h->m->ln_out_w,
                                  .bias = h->m->ln_out_b,
                                  .gather = h->lists.row + b->first,
                                  .h = h->x};

    if (CU(kernel_add_norm(&norm, s), err) < 0
        || CU(kernel_narrow(b->n, h->m->C, (struct wide_rows){h->x, NULL},
                            h->m->type, h->in, s),
              err)
               < 0)
        return -1;
    for (int first = 0; first < h->m->V; first += block)
        if (score_columns(h, b, first, cols_of(h->m, first, block), gemm, s,
                          err)
            < 0)
            return -1;
    return CU(kernel_score_join(b->n, n_part(h->m), h->part,
                                h->answers.score + b->first, s),
              err);
}

static int draw_batch(struct head *h, const struct batch *b, int32_t *last,
                      cudaStream_t s, struct err *err)
{
    const struct sampling a = {.vocab = h->m->V,
                               .ld = h->m->head.n,
                               .n_part = n_part(h->m),
                               .logits = h->whole,
                               .part = h->part,
                               .score = h->answers.score + b->first,
                               .seen = h->histories.seen,
                               .bias = h->histories.bias};
    const size_t top = (size_t)b->top * BACKEND_TOPK_MAX;

    if (b->n_draw > 0
        && CU(kernel_draw(&a, b->n_draw, h->lists.draw + b->draw, last,
                          h->answers.drawn + b->draw, s),
              err)
               < 0)
        return -1;
    if (b->n_top == 0)
        return 0;
    return CU(kernel_top(&a, b->n_top, h->lists.top + b->top,
                         h->answers.top_id + top, h->answers.top_logprob + top,
                         s),
              err);
}

/* Raw logits go where the step wants them. */
static int fetch_logits(struct head *h, const struct flight *f,
                        const struct batch *b, const struct step *step,
                        cudaStream_t s, struct err *err)
{
    const size_t v = (size_t)h->m->V, ld = (size_t)h->m->head.n;

    for (int32_t i = b->first; i < b->first + b->n; i++) {
        if (f->wish[i].logit < 0)
            continue;
        if (CU(cudaMemcpyAsync(step->logits + (size_t)f->wish[i].logit * v,
                               h->whole + (size_t)f->lists.whole[i] * ld,
                               v * sizeof(float), cudaMemcpyDeviceToHost, s),
               err)
            < 0)
            return -1;
    }
    return 0;
}

/* ---- a step ---------------------------------------------------------------- */

int head_begin(struct head *h, int flight, const struct step *step,
               const int32_t *history, float *x, struct gemm *gemm,
               cudaStream_t stream, int32_t *last, struct err *err)
{
    struct flight *f = &h->flight[flight];
    size_t up, down;
    int32_t batches;

    collect(f, step);
    if (f->n.wishes == 0)
        return 0;
    up = lay_lists(&f->lists, f->up, &f->n);
    down = lay_answers(&f->answers, f->down, &f->n);
    lay_lists(&h->lists, h->up, &f->n);
    lay_answers(&h->answers, h->down, &f->n);
    batches = make_batches(h, f, step, history);
    if (CU(cudaMemcpyAsync(h->up, f->up, up, cudaMemcpyHostToDevice, stream),
           err)
        < 0)
        return -1;
    for (int32_t i = 0; i < batches; i++)
        if (score_batch(h, &h->batch[i], x, gemm, stream, err) < 0
            || draw_batch(h, &h->batch[i], last, stream, err) < 0
            || (step->n_logit > 0
                && fetch_logits(h, f, &h->batch[i], step, stream, err) < 0))
            return -1;
    return CU(
        cudaMemcpyAsync(f->down, h->down, down, cudaMemcpyDeviceToHost, stream),
        err);
}

void head_end(struct head *h, int flight, const struct step *step)
{
    const struct flight *f = &h->flight[flight];

    for (int32_t i = 0; i < f->n.wishes; i++) {
        const struct score_result *r = &f->answers.score[i];
        const int32_t score = f->wish[i].score;

        if (score < 0)
            continue;
        step->score_out[score] = (struct score_out){
            .logprob = r->finite ? (r->target - r->max) - r->log_sum : NAN,
            .argmax = r->finite && r->best == step->score[score].target,
            .finite = r->finite != 0,
        };
    }
    for (int32_t i = 0; i < f->n.draws; i++)
        step->sample_out[f->drawn[i]] = f->answers.drawn[i];
    for (int32_t i = 0; i < f->n.tops; i++) {
        const int32_t score = f->listed[i];
        const size_t n = (size_t)step->score[score].topk;
        const size_t from = (size_t)i * BACKEND_TOPK_MAX;
        const size_t to = (size_t)score * BACKEND_TOPK_MAX;

        memcpy(step->topk_id + to, f->answers.top_id + from,
               n * sizeof *step->topk_id);
        memcpy(step->topk_logprob + to, f->answers.top_logprob + from,
               n * sizeof *step->topk_logprob);
    }
}
