#include "model/cpu_head.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is known of a row's logits after some of its columns. */
struct head_row {
    int32_t score, sample, logit; /* index in the step, -1: not wanted */
    bool finite;
    float max;
    double sum;   /* of exp(logit - max) */
    int32_t best; /* lowest id of max */
    float target; /* its logit, once seen */
    int32_t n_top;
    struct top {
        float logit;
        int32_t id;
    } top[BACKEND_TOPK_MAX]; /* descending, lowest id first among equals */
    float *whole;            /* [pad(V)] or NULL */
};

/* The step's wishes for one of its rows. */
struct wish {
    int32_t score, sample, logit; /* -1: none */
};

struct cpu_head {
    const struct cpu_model *m;
    const struct cpu_kernels *k;
    struct sampler *sampler;
    int32_t *last; /* [S] of the backend */
    struct histories *histories;

    const struct step *step;
    const int32_t *history_of; /* [S] */
    struct wish *wish;         /* [T] */

    size_t n; /* rows collected */
    struct head_row row[HEAD_ROWS];
    struct cpu_rows x;      /* [HEAD_ROWS][C] after ln_out */
    struct cpu_rows logits; /* [HEAD_ROWS][HEAD_COLS] */
    size_t n_whole;         /* rows of `whole` in use */
    struct cpu_rows whole;  /* [min(S, HEAD_ROWS)][pad(V)] */
    float *penalized;       /* [pad(V)] */

    float *memory;
    size_t floats;
};

static int allocate(struct cpu_head *h, const struct backend_limits *limits,
                    struct err *err)
{
    size_t drawn =
        limits->slots < HEAD_ROWS ? (size_t)limits->slots : HEAD_ROWS;

    h->x.ld = h->m->C + CPU_LANES;
    h->logits.ld = HEAD_COLS + CPU_LANES;
    h->whole.ld = cpu_pad(h->m->V);
    h->floats =
        HEAD_ROWS * (h->x.ld + h->logits.ld) + (drawn + 1) * h->whole.ld;
    h->memory = cpu_alloc(h->floats, "scratch memory of the head", err);
    if (h->memory == NULL)
        return -1;
    h->x.at = h->memory;
    h->logits.at = h->x.at + HEAD_ROWS * h->x.ld;
    h->whole.at = h->logits.at + HEAD_ROWS * h->logits.ld;
    h->penalized = h->whole.at + drawn * h->whole.ld;
    h->wish = calloc((size_t)limits->tokens_per_step, sizeof *h->wish);
    if (h->wish == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a step's rows");
    h->sampler = sampler_create((int32_t)h->m->V, h->k, err);
    return h->sampler == NULL ? -1 : 0;
}

struct cpu_head *cpu_head_create(const struct cpu_model *m,
                                 const struct cpu_kernels *k,
                                 const struct backend_limits *limits,
                                 int32_t *last, struct histories *histories,
                                 struct err *err)
{
    struct cpu_head *h = calloc(1, sizeof *h);

    if (h == NULL) {
        err_set(err, ERR_NOMEM, "no memory for the head");
        return NULL;
    }
    h->m = m;
    h->k = k;
    h->last = last;
    h->histories = histories;
    if (allocate(h, limits, err) < 0) {
        cpu_head_destroy(h);
        return NULL;
    }
    return h;
}

void cpu_head_destroy(struct cpu_head *h)
{
    if (h == NULL)
        return;
    sampler_destroy(h->sampler);
    free(h->wish);
    cpu_free(h->memory, h->floats);
    free(h);
}

static float exp_one(const struct cpu_kernels *k, float x)
{
    float y[CPU_LANES];

    for (int i = 0; i < CPU_LANES; i++)
        y[i] = x;
    k->exp(CPU_LANES, y, 0.0f, 1.0f, y);
    return y[0];
}

static void insert_top(struct head_row *r, int32_t topk, float logit,
                       int32_t id)
{
    int32_t i = r->n_top < topk ? r->n_top++ : topk - 1;

    for (; i > 0 && r->top[i - 1].logit < logit; i--)
        r->top[i] = r->top[i - 1];
    r->top[i] = (struct top){logit, id};
}

/* Columns first..first+n-1; x is padded with the lowest float. */
static void take_top(struct head_row *r, int32_t topk, size_t first, size_t n,
                     const float *x)
{
    for (size_t i = 0; i < n; i++) {
        if (r->n_top < topk || x[i] > r->top[topk - 1].logit)
            insert_top(r, topk, x[i], (int32_t)(first + i));
    }
}

static void take_softmax(const struct cpu_kernels *k, struct head_row *r,
                         size_t first, size_t n, const float *x)
{
    struct cpu_softmax s = k->softmax(cpu_pad(n), x);
    size_t i = 0;

    r->finite = r->finite && s.finite;
    if (!r->finite)
        return;
    if (s.max > r->max) {
        while (x[i] != s.max)
            i++;
        r->best = (int32_t)(first + i);
        r->sum = r->sum * (double)exp_one(k, r->max - s.max) + (double)s.sum;
        r->max = s.max;
    } else {
        r->sum += (double)s.sum * (double)exp_one(k, s.max - r->max);
    }
}

static void take_columns(struct cpu_head *h, struct head_row *r, size_t first,
                         size_t n, float *x)
{
    const struct step *step = h->step;

    for (size_t i = 0; h->m->head_bias != NULL && i < n; i++)
        x[i] += h->m->head_bias[first + i];
    if (r->logit >= 0)
        memcpy(step->logits + (size_t)r->logit * h->m->V + first, x,
               n * sizeof *x);
    for (size_t i = n; i < cpu_pad(n); i++)
        x[i] = -FLT_MAX;
    if (r->score < 0 && r->sample < 0)
        return;
    if (r->whole != NULL)
        memcpy(r->whole + first, x, cpu_pad(n) * sizeof *x);
    take_softmax(h->k, r, first, n, x);
    if (r->score >= 0) {
        const struct score_row *s = &step->score[r->score];
        size_t target = (size_t)s->target;

        if (target >= first && target < first + n)
            r->target = x[target - first];
        if (s->topk > 0)
            take_top(r, s->topk, first, n, x);
    }
}

static void give_score(struct cpu_head *h, const struct head_row *r,
                       float log_sum)
{
    const struct step *step = h->step;
    const struct score_row *s = &step->score[r->score];

    step->score_out[r->score] = (struct score_out){
        .logprob = r->finite ? (r->target - r->max) - log_sum : NAN,
        .argmax = r->finite && r->best == s->target,
        .finite = r->finite,
    };
    for (int32_t i = 0; i < s->topk; i++) {
        int32_t at = r->score * BACKEND_TOPK_MAX + i;

        step->topk_id[at] = r->finite ? r->top[i].id : i;
        step->topk_logprob[at] =
            r->finite ? (r->top[i].logit - r->max) - log_sum : NAN;
    }
}

/* By the rules of model/sampler.h, from the whole row. */
static int32_t draw(struct cpu_head *h, const struct sample_row *s,
                    const struct head_row *r)
{
    const int32_t history = h->history_of[s->slot];
    const float *logits = r->whole;
    int32_t best = r->best;

    if (history_matters(h->histories, history, s)) {
        best = history_apply(h->histories, history, s, logits, h->penalized);
        for (size_t i = h->m->V; i < h->whole.ld; i++)
            h->penalized[i] = -FLT_MAX;
        logits = h->penalized;
    }
    return sampler_draw(h->sampler, s, logits, best);
}

static void give_sample(struct cpu_head *h, const struct head_row *r,
                        float log_sum)
{
    const struct sample_row *s = &h->step->sample[r->sample];
    struct sample_out *out = &h->step->sample_out[r->sample];
    float logit = r->max;

    *out = (struct sample_out){.logprob = NAN};
    if (r->finite) {
        out->finite = true;
        out->token = r->best;
        if (r->whole != NULL) {
            out->token = draw(h, s, r);
            logit = r->whole[out->token];
        }
        out->logprob = (logit - r->max) - log_sum;
        if (h->history_of[s->slot] >= 0)
            history_count(h->histories, h->history_of[s->slot], out->token);
    }
    h->last[s->slot] = out->token;
}

static void run(struct cpu_head *h)
{
    const size_t v = h->m->V;

    for (size_t first = 0; first < v; first += HEAD_COLS) {
        size_t n = v - first < HEAD_COLS ? v - first : HEAD_COLS;

        h->k->sgemm(h->n, &h->m->head, first, n, h->x, h->logits);
        for (size_t i = 0; i < h->n; i++)
            take_columns(h, &h->row[i], first, n,
                         h->logits.at + i * h->logits.ld);
    }
    for (size_t i = 0; i < h->n; i++) {
        const struct head_row *r = &h->row[i];
        float log_sum = h->k->log((float)r->sum);

        if (r->score >= 0)
            give_score(h, r, log_sum);
        if (r->sample >= 0)
            give_sample(h, r, log_sum);
    }
    h->n = 0;
    h->n_whole = 0;
}

void cpu_head_begin(struct cpu_head *h, const struct step *step,
                    const int32_t *history_of)
{
    int32_t rows = 0;

    h->step = step;
    h->history_of = history_of;
    for (int32_t i = 0; i < step->n_piece; i++)
        rows += step->piece[i].n;
    for (int32_t i = 0; i < rows; i++)
        h->wish[i] = (struct wish){-1, -1, -1};
    for (int32_t i = 0; i < step->n_score; i++)
        h->wish[step->score[i].row].score = i;
    for (int32_t i = 0; i < step->n_sample; i++)
        h->wish[step->sample[i].row].sample = i;
    for (int32_t i = 0; i < step->n_logit; i++)
        h->wish[step->logit_row[i]].logit = i;
}

static bool needs_whole(const struct cpu_head *h, const struct sample_row *s)
{
    return s->temperature > 0
           || history_matters(h->histories, h->history_of[s->slot], s);
}

static void take_row(struct cpu_head *h, const struct wish *w, float *x)
{
    struct cpu_rows from = {.at = x};
    struct cpu_rows to = {.at = h->x.at + h->n * h->x.ld};
    struct head_row *r = &h->row[h->n++];

    *r = (struct head_row){.score = w->score,
                           .sample = w->sample,
                           .logit = w->logit,
                           .finite = true,
                           .max = -INFINITY};
    if (w->sample >= 0 && needs_whole(h, &h->step->sample[w->sample]))
        r->whole = h->whole.at + h->n_whole++ * h->whole.ld;
    h->k->layer_norm(1, h->m->C, from, h->m->ln_out_w, h->m->ln_out_b, to);
    if (h->n == HEAD_ROWS)
        run(h);
}

void cpu_head_take(struct cpu_head *h, int32_t row, size_t n, struct cpu_rows x)
{
    for (size_t i = 0; i < n; i++) {
        const struct wish *w = &h->wish[row + (int32_t)i];

        if (w->score >= 0 || w->sample >= 0 || w->logit >= 0)
            take_row(h, w, x.at + i * x.ld);
    }
}

void cpu_head_end(struct cpu_head *h)
{
    if (h->n > 0)
        run(h);
}
