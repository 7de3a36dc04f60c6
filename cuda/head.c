#include "cuda/head.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"
#include "model/cpu_kernels.h"
#include "model/sampler.h"

/* The step's wishes for one of its rows; -1: none. */
struct wish {
    int32_t row, score, sample, logit;
};

struct head {
    const struct cuda_model *m;
    struct sampler *sampler;
    int rows_max, whole_max;

    struct wish *wish; /* [T], of which n_wish are in use, by row */
    int32_t n_wish;

    /* The batch being computed: host memory */
    int32_t *list;               /* [3][rows_max] row, target, whole */
    struct score_result *result; /* [rows_max] */
    float *whole;                /* [whole_max][padded V] */

    /* Device memory */
    int32_t *d_list;
    float *x;                /* [rows_max][C] */
    struct narrow_rows in;   /* [rows_max][C] */
    float *logits;           /* [rows_max][HEAD_COLS] */
    struct score_part *part; /* [rows_max][n_part] */
    struct score_result *d_result;
    float *d_whole; /* [whole_max][V] */
};

static int n_part(const struct cuda_model *m)
{
    return (m->V + SCORE_COLS - 1) / SCORE_COLS;
}

static int rows_of(const struct backend_limits *limits)
{
    return limits->tokens_per_step < HEAD_ROWS ? limits->tokens_per_step
                                               : HEAD_ROWS;
}

/* Outputs of the block of columns that begins at `first`. */
static int cols_of(const struct cuda_model *m, int first)
{
    int left = m->head.n - first;

    return left < HEAD_COLS ? left : HEAD_COLS;
}

struct head *head_create(const struct cuda_model *m,
                         const struct backend_limits *limits, struct err *err)
{
    const struct cpu_kernels *k = cpu_kernels(CPU_ISA_BEST, err);
    struct head *h = k == NULL ? NULL : calloc(1, sizeof *h);
    size_t rows;

    if (h == NULL)
        goto fail;
    h->m = m;
    h->rows_max = rows_of(limits);
    h->whole_max = h->rows_max < HEAD_WHOLE ? h->rows_max : HEAD_WHOLE;
    rows = (size_t)h->rows_max;
    h->wish = calloc((size_t)limits->tokens_per_step, sizeof *h->wish);
    h->list = calloc(3 * rows, sizeof *h->list);
    h->result = calloc(rows, sizeof *h->result);
    h->whole =
        calloc((size_t)h->whole_max * cpu_pad((size_t)m->V), sizeof *h->whole);
    if (h->wish == NULL || h->list == NULL || h->result == NULL
        || h->whole == NULL)
        goto fail;
    h->sampler = sampler_create(m->V, k, err);
    if (h->sampler != NULL)
        return h;
fail:
    head_destroy(h);
    err_set(err, ERR_NOMEM, "no memory for the head");
    return NULL;
}

void head_place(struct head *h, struct arena *arena)
{
    const size_t rows = (size_t)gemm_capacity(h->rows_max);
    const size_t c = (size_t)h->m->C, v = (size_t)h->m->V;

    h->d_list = arena_take(arena, 3 * rows * sizeof(int32_t));
    h->x = arena_take(arena, rows * c * sizeof(float));
    h->in.at = arena_take(arena, rows * c * narrow_size(h->m->type));
    h->in.up = arena_take(arena, rows * sizeof(float));
    h->logits = arena_take(arena, rows * HEAD_COLS * sizeof(float));
    h->part = arena_take(arena, rows * (size_t)n_part(h->m) * sizeof *h->part);
    h->d_result = arena_take(arena, rows * sizeof *h->d_result);
    h->d_whole = arena_take(arena, (size_t)h->whole_max * v * sizeof(float));
}

void head_destroy(struct head *h)
{
    if (h == NULL)
        return;
    sampler_destroy(h->sampler);
    free(h->whole);
    free(h->result);
    free(h->list);
    free(h->wish);
    free(h);
}

int head_admit(const struct cuda_model *m, const struct backend_limits *limits,
               struct gemm *gemm, struct err *err)
{
    for (int first = 0; first < m->head.n; first += HEAD_COLS)
        if (gemm_admit(gemm, cols_of(m, first), m->C, rows_of(limits), err) < 0)
            return -1;
    return 0;
}

size_t head_admit_bytes(const struct cuda_model *m,
                        const struct backend_limits *limits)
{
    return gemm_admit_bytes(m->type, cols_of(m, 0), m->C, rows_of(limits));
}

/* ---- what the step wants --------------------------------------------------- */

static void collect(struct head *h, const struct step *step)
{
    struct wish *w = h->wish;
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
    h->n_wish = n;
}

static bool wants_whole(const struct step *step, const struct wish *w)
{
    return w->logit >= 0
           || (w->sample >= 0 && step->sample[w->sample].temperature > 0)
           || (w->score >= 0 && step->score[w->score].topk > 0);
}

struct batch {
    const struct wish *wish;
    int32_t n, n_whole;
};

/* As many of the wishes from `first` on as one pass can take. */
static struct batch next_batch(struct head *h, const struct step *step,
                               int32_t first)
{
    struct batch b = {.wish = h->wish + first};
    int32_t *row = h->list, *target = row + h->rows_max;
    int32_t *whole = target + h->rows_max;

    while (first + b.n < h->n_wish && b.n < h->rows_max) {
        const struct wish *w = &b.wish[b.n];
        bool all = wants_whole(step, w);

        if (all && b.n_whole == h->whole_max)
            break;
        row[b.n] = w->row;
        target[b.n] = w->score >= 0 ? step->score[w->score].target : -1;
        whole[b.n] = all ? b.n_whole++ : -1;
        b.n++;
    }
    return b;
}

/* ---- the device's part ----------------------------------------------------- */

static int score_columns(struct head *h, const struct batch *b, int first,
                         struct gemm *gemm, cudaStream_t s, struct err *err)
{
    const int n = cols_of(h->m, first), left = h->m->V - first;
    const size_t each = narrow_size(h->m->type);
    const struct cuda_matrix w = {.at =
                                      (const char *)h->m->head.at
                                      + (size_t)first * (size_t)h->m->C * each,
                                  .n = n,
                                  .k = h->m->C};
    const struct score score = {.rows = b->n,
                                .cols = n < left ? n : left,
                                .ld = n,
                                .first = first,
                                .n_part = n_part(h->m),
                                .vocab = h->m->V,
                                .logits = {h->logits, h->in.up},
                                .bias = h->m->head_bias,
                                .target = h->d_list + h->rows_max,
                                .whole = h->d_list + 2 * h->rows_max,
                                .copy = h->d_whole,
                                .part = h->part,
                                .out = h->d_result};

    if (gemm_run(gemm, &w, h->in.at, b->n, h->logits, err) < 0)
        return -1;
    return CU(kernel_score(&score, s), err);
}

static int compute(struct head *h, const struct batch *b, float *x,
                   struct gemm *gemm, cudaStream_t s, struct err *err)
{
    const size_t list = 3 * (size_t)h->rows_max * sizeof *h->list;
    const struct add_norm norm = {.rows = b->n,
                                  .c = h->m->C,
                                  .x = x,
                                  .weight = h->m->ln_out_w,
                                  .bias = h->m->ln_out_b,
                                  .gather = h->d_list,
                                  .h = h->x};

    if (CU(cudaMemcpyAsync(h->d_list, h->list, list, cudaMemcpyHostToDevice, s),
           err)
            < 0
        || CU(kernel_add_norm(&norm, s), err) < 0
        || CU(kernel_narrow(b->n, h->m->C, (struct wide_rows){h->x, NULL},
                            NARROW_COPY, h->m->type, h->in, s),
              err)
               < 0)
        return -1;
    for (int first = 0; first < h->m->V; first += HEAD_COLS)
        if (score_columns(h, b, first, gemm, s, err) < 0)
            return -1;
    return CU(kernel_score_join(b->n, n_part(h->m), h->part, h->d_result, s),
              err);
}

static int fetch(struct head *h, const struct batch *b, cudaStream_t s,
                 struct err *err)
{
    const size_t v = (size_t)h->m->V * sizeof(float);

    if (CU(cudaMemcpyAsync(h->result, h->d_result,
                           (size_t)b->n * sizeof *h->result,
                           cudaMemcpyDeviceToHost, s),
           err)
        < 0)
        return -1;
    if (b->n_whole > 0
        && CU(cudaMemcpy2DAsync(h->whole,
                                cpu_pad((size_t)h->m->V) * sizeof(float),
                                h->d_whole, v, v, (size_t)b->n_whole,
                                cudaMemcpyDeviceToHost, s),
              err)
               < 0)
        return -1;
    return CU(cudaStreamSynchronize(s), err);
}

/* ---- the host's part ------------------------------------------------------- */

struct top {
    float logit;
    int32_t id;
};

/* The k largest, descending, the lowest id first among equals. */
static void find_top(const float *logits, int32_t vocab, int32_t k,
                     struct top *top)
{
    int32_t n = 0;

    for (int32_t id = 0; id < vocab; id++) {
        int32_t i;

        if (n == k && !(logits[id] > top[k - 1].logit))
            continue;
        i = n < k ? n++ : k - 1;
        for (; i > 0 && top[i - 1].logit < logits[id]; i--)
            top[i] = top[i - 1];
        top[i] = (struct top){logits[id], id};
    }
}

static void give_score(const struct head *h, const struct step *step,
                       int32_t index, const struct score_result *r,
                       const float *whole)
{
    const struct score_row *s = &step->score[index];
    struct top top[BACKEND_TOPK_MAX];

    step->score_out[index] = (struct score_out){
        .logprob = r->finite ? (r->target - r->max) - r->log_sum : NAN,
        .argmax = r->finite && r->best == s->target,
        .finite = r->finite != 0,
    };
    if (s->topk == 0)
        return;
    find_top(whole, h->m->V, s->topk, top);
    for (int32_t i = 0; i < s->topk; i++) {
        int32_t at = index * BACKEND_TOPK_MAX + i;

        step->topk_id[at] = top[i].id;
        step->topk_logprob[at] =
            r->finite ? (top[i].logit - r->max) - r->log_sum : NAN;
    }
}

static void give_sample(struct head *h, const struct step *step, int32_t index,
                        const struct score_result *r, const float *whole,
                        int32_t *last)
{
    const struct sample_row *s = &step->sample[index];
    struct sample_out *out = &step->sample_out[index];
    float logit = r->max;

    *out = (struct sample_out){.logprob = NAN};
    if (r->finite) {
        out->finite = true;
        out->token = r->best;
        if (s->temperature > 0) {
            out->token = sampler_draw(h->sampler, s, whole, r->best);
            logit = whole[out->token];
        }
        out->logprob = (logit - r->max) - r->log_sum;
    }
    last[s->slot] = out->token;
}

static void give(struct head *h, const struct step *step, const struct batch *b,
                 int32_t *last)
{
    const size_t v = (size_t)h->m->V, ld = cpu_pad(v);
    const int32_t *whole_of = h->list + 2 * h->rows_max;

    for (int32_t i = 0; i < b->n; i++) {
        const struct wish *w = &b->wish[i];
        float *whole = NULL;

        if (whole_of[i] >= 0) {
            whole = h->whole + (size_t)whole_of[i] * ld;
            for (size_t k = v; k < ld; k++) /* the sampler reads whole lanes */
                whole[k] = -FLT_MAX;
        }
        if (w->logit >= 0)
            memcpy(step->logits + (size_t)w->logit * v, whole,
                   v * sizeof(float));
        if (w->score >= 0)
            give_score(h, step, w->score, &h->result[i], whole);
        if (w->sample >= 0)
            give_sample(h, step, w->sample, &h->result[i], whole, last);
    }
}

int head_run(struct head *h, const struct step *step, float *x,
             struct gemm *gemm, cudaStream_t stream, int32_t *last,
             struct err *err)
{
    collect(h, step);
    for (int32_t done = 0; done < h->n_wish;) {
        struct batch b = next_batch(h, step, done);

        if (compute(h, &b, x, gemm, stream, err) < 0
            || fetch(h, &b, stream, err) < 0)
            return -1;
        give(h, step, &b, last);
        done += b.n;
    }
    return 0;
}
