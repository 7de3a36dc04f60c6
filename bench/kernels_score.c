/* Log-softmax without the logits in memory, chunk by chunk. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lab.h"
#include "common/buf.h"

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
}
