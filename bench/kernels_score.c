/* Log-softmax without the logits in memory, chunk by chunk; draws and top-k of
 * whole rows.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "common/buf.h"
#include "model/draw.h"
#include "model/philox.h"
#include "model/sampler.h"

struct job {
    struct lab *l;
    struct score a;
};

static cudaError_t run(void *context)
{
    const struct job *j = context;

    return kernel_score(&j->a, j->l->stream);
}

static struct job make(struct lab *l, int rows, int cols, float spread)
{
    const size_t r = (size_t)rows, c = (size_t)cols;
    const int parts = (cols + SCORE_COLS - 1) / SCORE_COLS;
    int32_t *list = xcalloc(2 * r, sizeof *list);
    int32_t *device = lab_bytes(l, 2 * r * sizeof *list);

    for (int i = 0; i < rows; i++) {
        list[i] = i * 7919 % cols;
        list[rows + i] = -1; /* none is wanted whole */
    }
    lab_send(l, device, list, 2 * r * sizeof *list);
    free(list);
    return (struct job){
        l,
        {.rows = rows,
         .cols = cols,
         .ld = cols,
         .n_part = parts,
         .vocab = cols,
         .logits = {lab_floats(l, r * c, 0, spread), NULL},
         .target = device,
         .whole = device + r,
         .part = lab_bytes(l, r * (size_t)parts * sizeof(struct score_part)),
         .out = lab_bytes(l, r * sizeof(struct score_result))}};
}

static double exp_of(struct lab *l, float x)
{
    float lanes[CPU_LANES] = {x};

    l->cpu->exp(CPU_LANES, lanes, 0, 1, lanes);
    return (double)lanes[0];
}

/* The parts of one row by the CPU's softmax, then joined in fp64. */
static bool row_is_right(struct lab *l, const float *logits, int cols,
                         int target, const struct score_result *got)
{
    float max = -INFINITY, best = -INFINITY;
    double sum = 0;
    int which = 0;

    for (int from = 0; from < cols; from += SCORE_COLS) {
        int n = cols - from < SCORE_COLS ? cols - from : SCORE_COLS;
        struct cpu_softmax s = l->cpu->softmax((size_t)n, logits + from);

        if (s.max > max) {
            sum = sum * exp_of(l, max - s.max) + (double)s.sum;
            max = s.max;
        } else {
            sum = sum + (double)s.sum * exp_of(l, s.max - max);
        }
    }
    for (int i = 0; i < cols; i++)
        if (logits[i] > best) {
            best = logits[i];
            which = i;
        }
    return got->finite && got->best == which && got->max == max
           && got->target == logits[target]
           && got->log_sum == l->cpu->log((float)sum);
}

static void check(struct lab *l, int cols, float spread)
{
    const int rows = 29;
    struct job j = make(l, rows, cols, spread);
    float *logits =
        lab_fetch_floats(l, j.a.logits.at, (size_t)rows * (size_t)cols);
    struct score_result *got;
    char what[64];

    lab_must(l, run(&j), "score");
    lab_must(l,
             kernel_score_join(rows, j.a.n_part, j.a.part, j.a.out, l->stream),
             "score_join");
    got = lab_fetch(l, j.a.out, (size_t)rows * sizeof *got);
    snprintf(what, sizeof what, "score of %d logits", cols);
    for (int i = 0; i < rows; i++)
        lab_check(l, what,
                  row_is_right(l, logits + (size_t)i * (size_t)cols, cols,
                               i * 7919 % cols, &got[i]));
    free(got);
    free(logits);
    lab_release(l);
}

/* ---- draws --------------------------------------------------------------- */

static const struct {
    const char *name;
    struct sample_row how;
} draws[] = {
    {"draw", {.temperature = 1, .top_p = 1}},
    {"draw, top_k 50", {.temperature = 1, .top_p = 1, .top_k = 50}},
    {"draw, top_p 0.9", {.temperature = 1, .top_p = 0.9f}},
};

struct draw_job {
    struct lab *l;
    struct sampling a;
    int rows;
    struct draw_row *how;
    struct top_row *top;
    int32_t *last, *id;
    struct sample_out *out;
    float *logprob;
};

static cudaError_t draw_run(void *context)
{
    const struct draw_job *j = context;

    return kernel_draw(&j->a, j->rows, j->how, j->last, j->out, j->l->stream);
}

static cudaError_t top_run(void *context)
{
    const struct draw_job *j = context;

    return kernel_top(&j->a, j->rows, j->top, j->id, j->logprob, j->l->stream);
}

/* Row i is drawn for slot i, and its top-k wanted. */
static void send_rows(struct draw_job *j, const struct sample_row *how)
{
    const size_t rows = (size_t)j->rows;
    struct draw_row *draw = xcalloc(rows, sizeof *draw);
    struct top_row *top = xcalloc(rows, sizeof *top);

    for (int i = 0; i < j->rows; i++) {
        draw[i] = (struct draw_row){
            .row = i,
            .whole = i,
            .slot = i,
            .history = -1,
            .top_k = how->top_k,
            .scale = draw_scale(how->temperature),
            .top_p = how->top_p,
            .penalty = draw_penalty_of(how),
            .random = philox_bits((uint64_t)i, 0, 0, 0),
        };
        top[i] = (struct top_row){i, i, BACKEND_TOPK_MAX};
    }
    j->how = lab_bytes(j->l, rows * sizeof *draw);
    lab_send(j->l, j->how, draw, rows * sizeof *draw);
    j->top = lab_bytes(j->l, rows * sizeof *top);
    lab_send(j->l, j->top, top, rows * sizeof *top);
    free(draw);
    free(top);
}

static struct draw_job draw_make(struct lab *l, int rows, int vocab,
                                 const struct sample_row *how)
{
    const size_t r = (size_t)rows;
    struct job scored = make(l, rows, vocab, 8);
    struct draw_job j = {
        .l = l,
        .rows = rows,
        .a = {.vocab = vocab,
              .ld = vocab,
              .n_part = scored.a.n_part,
              .logits = scored.a.logits.at,
              .part = scored.a.part,
              .score = scored.a.out},
        .last = lab_bytes(l, r * sizeof *j.last),
        .id = lab_bytes(l, r * BACKEND_TOPK_MAX * sizeof *j.id),
        .out = lab_bytes(l, r * sizeof *j.out),
        .logprob = lab_bytes(l, r * BACKEND_TOPK_MAX * sizeof *j.logprob),
    };

    send_rows(&j, how);
    lab_must(l, run(&scored), "score");
    lab_must(l,
             kernel_score_join(rows, scored.a.n_part, scored.a.part,
                               scored.a.out, l->stream),
             "score_join");
    return j;
}

static void draw_check(struct lab *l, const struct sample_row *how)
{
    const int rows = 17, vocab = 5008;
    struct draw_job j = draw_make(l, rows, vocab, how);
    float *logits =
        lab_fetch_floats(l, j.a.logits, (size_t)rows * (size_t)vocab);
    struct score_result *score =
        lab_fetch(l, j.a.score, (size_t)rows * sizeof *score);
    struct sampler *sampler;
    struct sample_out *got;
    struct err err = {0};

    lab_must(l, draw_run(&j), "draw");
    got = lab_fetch(l, j.out, (size_t)rows * sizeof *got);
    sampler = sampler_create(vocab, l->cpu, &err);
    for (int i = 0; i < rows && sampler != NULL; i++) {
        struct sample_row twin = *how;

        twin.key = (uint64_t)i;
        lab_check(l, "draw",
                  got[i].token
                      == sampler_draw(sampler, &twin,
                                      logits + (size_t)i * (size_t)vocab,
                                      score[i].best));
    }
    sampler_destroy(sampler);
    free(logits);
    free(score);
    free(got);
    lab_release(l);
}

static void draw_measure(struct lab *l, int rows)
{
    const int vocab = l->shape->V;
    const double bound = lab_bytes_bound(l, 4.0 * rows * vocab);
    char shape[32];

    snprintf(shape, sizeof shape, "%dx%d", rows, vocab);
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++) {
        struct draw_job j = draw_make(l, rows, vocab, &draws[i].how);

        lab_report(l, draws[i].name, shape, lab_time(l, draw_run, &j), bound, 0,
                   NULL);
        if (i == 0)
            lab_report(l, "top 20", shape, lab_time(l, top_run, &j), bound, 0,
                       NULL);
        lab_release(l);
    }
}

void kernels_score(struct lab *l)
{
    static const int rows[] = {1, 64, 512, 2048};
    const int cols = 8192; /* of a product with the head */

    check(l, 512, 5);
    check(l, 1024 + 48, 5);
    check(l, 8192, 30);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job j = make(l, rows[i], cols, 5);
        char shape[32];

        snprintf(shape, sizeof shape, "%dx%d", rows[i], cols);
        lab_report(l, "score", shape, lab_time(l, run, &j),
                   lab_bytes_bound(l, 4.0 * rows[i] * cols), 0, NULL);
        lab_release(l);
    }
    for (size_t i = 0; i < sizeof draws / sizeof *draws; i++)
        draw_check(l, &draws[i].how);
    draw_measure(l, 64);
    draw_measure(l, 512);
}
