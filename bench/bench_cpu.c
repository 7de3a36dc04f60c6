/* Scoring on one core: our whole forward pass beside the sgemm of a BLAS for
 * the same products, alternating in one process pinned to one core.
 *
 * The floor is generous to the BLAS: every layer uses the same weights, which
 * so stay in cache where they fit, and nothing but products is done.
 */
#include "bench/bench.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/floor.h"
#include "bench/products.h"
#include "bench/shapes.h"
#include "common/buf.h"
#include "common/file.h"
#include "model/backend.h"
#include "model/cpu_kernels.h"
#include "model/weights.h"
#include "model/weights_random.h"

#define DEMO_MODEL "examples/model"
#define RATIO_TARGET 0.80
#define DOCUMENT 64 /* tokens of one sequence in a step */
#define REPS_MAX 1000

struct options {
    int rows, reps;
    const char *model;
};

struct floor_run {
    struct product product[PRODUCTS_MAX];
    size_t n, rows;
    float *x, *w, *y;
};

static void floor_init(struct floor_run *f, const struct weights *w, int rows)
{
    size_t x = 0, weights = 0, y = 0;

    f->n = products_list(w, f->product);
    f->rows = (size_t)rows;
    for (size_t i = 0; i < f->n; i++) {
        const struct product *p = &f->product[i];

        x = p->k > x ? p->k : x;
        y = p->n > y ? p->n : y;
        weights = p->n * p->k > weights ? p->n * p->k : weights;
    }
    f->x = xcalloc(f->rows * x, sizeof(float));
    f->w = xcalloc(weights, sizeof(float));
    f->y = xcalloc(f->rows * y, sizeof(float));
    for (size_t i = 0; i < f->rows * x; i++)
        f->x[i] = (float)(i % 17) * 0.1f - 0.8f;
    for (size_t i = 0; i < weights; i++)
        f->w[i] = (float)(i % 13) * 0.1f - 0.6f;
}

static void floor_finish(struct floor_run *f)
{
    free(f->x);
    free(f->w);
    free(f->y);
}

static double time_floor(const struct floor_run *f)
{
    double start = bench_seconds();

    for (size_t i = 0; i < f->n; i++) {
        const struct product *p = &f->product[i];

        for (size_t t = 0; t < p->times; t++)
            floor_sgemm(f->rows, p->n, p->k, f->x, f->w, f->y);
    }
    return bench_seconds() - start;
}

/* A step of documents, every row scored. */
struct scoring {
    struct backend *b;
    struct step step;
    struct piece *piece;
    struct score_row *score;
    struct score_out *out;
    int32_t *token;
};

static int scoring_init(struct scoring *s, const struct weights *w,
                        const char *isa, int rows, struct err *err)
{
    int pieces = (rows + DOCUMENT - 1) / DOCUMENT;
    const struct backend_limits limits = {.slots = pieces,
                                          .tokens_per_step = rows};
    char options[32];

    snprintf(options, sizeof options, "isa=%s", isa);
    *s = (struct scoring){0};
    s->b = backend_create(&backend_cpu, w, &limits, options, err);
    if (s->b == NULL)
        return -1;
    s->token = xcalloc((size_t)rows, sizeof *s->token);
    s->piece = xcalloc((size_t)pieces, sizeof *s->piece);
    s->score = xcalloc((size_t)rows, sizeof *s->score);
    s->out = xcalloc((size_t)rows, sizeof *s->out);
    for (int32_t i = 0; i < rows; i++) {
        struct piece *p = &s->piece[i / DOCUMENT];

        s->token[i] = (int32_t)((int64_t)i * 7919 % w->V);
        s->score[i] = (struct score_row){.row = i, .target = s->token[i]};
        *p = (struct piece){i / DOCUMENT, i % DOCUMENT + 1,
                            &s->token[i / DOCUMENT * DOCUMENT]};
    }
    s->step = (struct step){.piece = s->piece,
                            .n_piece = pieces,
                            .score = s->score,
                            .n_score = rows,
                            .score_out = s->out};
    return 0;
}

static void scoring_finish(struct scoring *s)
{
    backend_destroy(s->b);
    free(s->token);
    free(s->piece);
    free(s->score);
    free(s->out);
}

static int time_scoring(struct scoring *s, double *seconds, struct err *err)
{
    double start = bench_seconds();
    int64_t ticket = backend_submit(s->b, &s->step, err);

    if (ticket < 0 || backend_wait(s->b, ticket, err) < 0)
        return -1;
    *seconds = bench_seconds() - start;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, compare);
    return x[n / 2];
}

/* One line of the table. The median of the ratios, each of two neighbours in
 * time, is what a noisy host disturbs least.
 */
static int measure(const struct weights *w, const char *isa,
                   const struct options *o, struct err *err)
{
    double ours[REPS_MAX], floor[REPS_MAX] = {0}, ratio[REPS_MAX], flops;
    struct floor_run f;
    struct scoring s;
    int rc;

    if (scoring_init(&s, w, isa, o->rows, err) < 0)
        return -1;
    floor_init(&f, w, o->rows);
    flops = products_flops(f.product, f.n);
    rc = time_scoring(&s, &ours[0], err); /* warm up */
    for (int i = 0; rc == 0 && i < o->reps; i++) {
        if (floor_name() != NULL)
            floor[i] = time_floor(&f);
        rc = time_scoring(&s, &ours[i], err);
        ratio[i] = floor[i] / ours[i];
    }
    if (rc == 0) {
        double r = median(ratio, o->reps), t = median(ours, o->reps);

        printf("  %-9s %9.0f %9.1f %9.1f %9.1f", isa, o->rows / t,
               flops * o->rows / t * 1e-9, t * 1e3,
               median(floor, o->reps) * 1e3);
        if (floor_name() != NULL)
            printf(" %8.2f%s", r, r < RATIO_TARGET ? "  below target" : "");
        putchar('\n');
    }
    scoring_finish(&s);
    floor_finish(&f);
    return rc;
}

/* Every instruction set of this host but the portable one, which is for tests.
 */
static int measure_model(const char *name, struct weights *w,
                         const struct options *o, struct err *err)
{
    struct product product[PRODUCTS_MAX];
    size_t n = products_list(w, product);
    int rc = 0;

    printf("\n%s: L%d C%d F%d V%d, %.2f MFLOP of products per token\n", name,
           w->L, w->C, w->F, w->V, products_flops(product, n) * 1e-6);
    printf("  %-9s %9s %9s %9s %9s %8s\n", "kernels", "tok/s", "GFLOP/s",
           "ours ms", "BLAS ms", "ratio");
    for (enum cpu_isa isa = CPU_ISA_512; rc == 0 && isa < CPU_ISA_SCALAR;
         isa++) {
        if (cpu_kernels(isa, NULL) != NULL)
            rc = measure(w, cpu_isa_words[isa], o, err);
    }
    weights_close(w);
    return rc;
}

static int read_options(int argc, char **argv, struct options *o,
                        struct err *err)
{
    for (int i = 1; i < argc; i++) {
        int *number = strcmp(argv[i], "--rows") == 0   ? &o->rows
                      : strcmp(argv[i], "--reps") == 0 ? &o->reps
                                                       : NULL;

        if (number != NULL && i + 1 < argc)
            *number = atoi(argv[++i]);
        else if (argv[i][0] != '-' && o->model == NULL)
            o->model = argv[i];
        else
            return err_set(err, ERR_USAGE, "\"%s\" is not understood", argv[i]);
    }
    if (o->rows < 1 || o->rows > 65536 || o->reps < 1 || o->reps > REPS_MAX)
        return err_set(err, ERR_USAGE, "--rows 1..65536, --reps 1..%d",
                       REPS_MAX);
    return 0;
}

static int measure_file(const char *path, const struct options *o,
                        struct err *err)
{
    struct weights *w = weights_open(path, err);

    return w == NULL ? -1 : measure_model(path, w, o, err);
}

int bench_cpu(int argc, char **argv, struct err *err)
{
    struct options o = {.rows = 512, .reps = 7};
    struct options small;
    struct weights *w;
    cpu_set_t core;

    if (read_options(argc, argv, &o, err) < 0)
        return -1;
    CPU_ZERO(&core);
    CPU_SET((size_t)sched_getcpu(), &core);
    sched_setaffinity(0, sizeof core, &core);
    printf("%d rows per step, all scored; ratio = BLAS / ours, target %.2f\n"
           "BLAS: %s\n",
           o.rows, RATIO_TARGET,
           floor_name() != NULL ? floor_name() : "none in this build");
    if (o.model != NULL)
        return measure_file(o.model, &o, err);
    small = o;
    small.reps = o.reps * 20 < REPS_MAX ? o.reps * 20 : REPS_MAX;
    if (!file_exists(DEMO_MODEL))
        printf("SKIP %s is absent\n", DEMO_MODEL);
    else if (measure_file(DEMO_MODEL, &small, err) < 0)
        return -1;
    w = weights_random(&shapes[0].shape, 1, err);
    return w == NULL ? -1 : measure_model("random 0.1B", w, &o, err);
}
