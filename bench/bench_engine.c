/* The CUDA engine through its contract (model/backend.h), two steps in flight,
 * by wall clock: scoring and decoding, beside the least time that the products
 * and the memory traffic could take on the same card in the same run. One JSON
 * line per case, a table last.
 *
 * floor: the model's products alone, by the fastest library plans (bits that
 *        depend on the batch allowed, 16-bit results) at FLOOR_ROWS rows; the
 *        head as often as rows are scored.
 * bound: of a decoding step of B sequences: the state read and written at the
 *        rate of a copy, plus the longer of the weights at that rate and the
 *        products at the floor's rate.
 *
 * Profilers are told of the timed steps alone (ncu --profile-from-start off).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_profiler_api.h>

#include "bench/bench.h"
#include "bench/library.h"
#include "bench/load.h"
#include "bench/options.h"
#include "bench/products.h"
#include "bench/random_model.h"
#include "bench/shapes.h"
#include "common/buf.h"
#include "cuda/cu.h"

#define FLOOR_ROWS 16384
#define MIX_STEPS 4
#define MIX_SLOTS 512
#define TARGET_TAIL 2
#define PASSES 3
#define PASS_SECONDS 0.4
#define LONG_SECONDS 1.5 /* a pass that speaks for itself */
#define DECODE_STEPS_MIN 8
#define CASES_MAX 32
#define RESULTS_MAX 256

static const char default_cases[] =
    "score:64x512,score:256x64,score:8x2048,score:1x16384,score:mix,target:mix,"
    "decode:1,decode:64,decode:256,decode:512,decode:1024";

enum kind {
    KIND_SCORE,
    KIND_TARGET,
    KIND_DECODE,
    KIND_DRAW,
};
static const char *const kind_words[] = {"score", "target", "decode", "draw"};

struct engine_case {
    enum kind kind;
    int32_t sequences, length; /* 0 x 0: the mix */
    char name[32];
};

struct options {
    const char *model, *shapes, *cases, *compute, *option;
    int64_t device, rows;
};

struct result {
    char line[96]; /* of the table */
};

/* What a model's cases are compared with. */
struct bounds {
    double layers, head; /* floor: seconds per row */
    double copy_rate;    /* bytes per second, read and written */
    double weight_bytes; /* of all products */
};

struct bench {
    struct options o;
    struct engine_case cases[CASES_MAX];
    int n_cases;
    struct result result[RESULTS_MAX];
    int n_results;

    const char *name; /* the model in hand */
    struct backend *backend;
    struct bounds bounds;
};

/* ---- bounds -------------------------------------------------------------- */

static enum narrow_type type_of(const char *compute)
{
    return strcmp(compute, "fp32") == 0   ? NARROW_FP32
           : strcmp(compute, "bf16") == 0 ? NARROW_BF16
                                          : NARROW_FP16;
}

static int measure_products(struct bench *b, struct library *l,
                            const struct weights *w, struct err *err)
{
    const enum narrow_type type = type_of(b->o.compute);
    struct product p[PRODUCTS_MAX];
    const size_t n = products_list(w, p);

    b->bounds.layers = b->bounds.head = 0;
    b->bounds.weight_bytes = products_weights(p, n) * (double)narrow_size(type);
    for (size_t i = 0; i < n; i++) {
        const struct library_product product = {
            .type = type,
            .rows = FLOOR_ROWS,
            .n = (int)p[i].n,
            .k = (int)p[i].k,
            .narrow_out = true,
            .split_k = true,
            .sparse_input = strcmp(p[i].name, "ffn.value") == 0,
        };
        double seconds;

        if (library_time(l, &product, &seconds, err) < 0)
            return err_wrap(err, "%s", p[i].name);
        seconds *= (double)p[i].times / FLOOR_ROWS;
        *(i + 1 == n ? &b->bounds.head : &b->bounds.layers) += seconds;
    }
    return 0;
}

static int measure_bounds(struct bench *b, const struct weights *w,
                          struct err *err)
{
    struct library *l = NULL;
    int rc = -1;

    if (CU(cudaSetDevice((int)b->o.device), err) < 0)
        return -1;
    l = library_create(err);
    if (l != NULL && library_copy_rate(l, &b->bounds.copy_rate, err) == 0)
        rc = measure_products(b, l, w, err);
    library_destroy(l);
    return rc;
}

static double bound_of_decode(const struct bench *b, int32_t sequences)
{
    const struct bounds *d = &b->bounds;
    double state = 2.0 * (double)b->backend->state_bytes * sequences;
    double products = (d->layers + d->head) * sequences;
    double weights = d->weight_bytes / d->copy_rate;

    return sequences
           / (state / d->copy_rate + (weights > products ? weights : products));
}

/* ---- reports ------------------------------------------------------------- */

static void report_bounds(const struct bench *b, double load_seconds)
{
    struct cudaDeviceProp card;
    const struct bounds *d = &b->bounds;
    const double size = (double)narrow_size(type_of(b->o.compute));
    const double flops = 2 * d->weight_bytes / size;

    if (cudaGetDeviceProperties(&card, (int)b->o.device) != cudaSuccess)
        snprintf(card.name, sizeof card.name, "?");
    printf("{\"bench\":\"engine\",\"model\":\"%s\",\"compute\":\"%s\","
           "\"case\":\"floor\",\"card\":\"%s\",\"tok_s\":%.0f,\"tok_s_without_"
           "head\":%.0f,"
           "\"tflop_s\":%.0f,\"copy_gb_s\":%.0f,\"load_s\":%.1f}\n",
           b->name, b->backend->compute, card.name, 1 / (d->layers + d->head),
           1 / d->layers, flops / (d->layers + d->head) * 1e-12,
           d->copy_rate * 1e-9, load_seconds);
    fflush(stdout);
}

static void report(struct bench *b, const char *name, double step_seconds,
                   double tok_s, double limit, const char *limit_name)
{
    struct result *r;

    printf("{\"bench\":\"engine\",\"model\":\"%s\",\"compute\":\"%s\","
           "\"case\":\"%s\",\"step_ms\":%.3f,\"tok_s\":%.0f,"
           "\"%s_tok_s\":%.0f,\"of_%s\":%.3f}\n",
           b->name, b->backend->compute, name, step_seconds * 1e3, tok_s,
           limit_name, limit, limit_name, tok_s / limit);
    fflush(stdout);
    if (b->n_results == RESULTS_MAX)
        return;
    r = &b->result[b->n_results++];
    snprintf(r->line, sizeof r->line,
             "%-8.8s %-5s %-14s %9.2f %10.0f %6.1f %% of %s", b->name,
             b->backend->compute, name, step_seconds * 1e3, tok_s,
             100 * tok_s / limit, limit_name);
}

static void print_table(const struct bench *b)
{
    printf("\n%-8s %-5s %-14s %9s %10s\n", "model", "type", "case", "step ms",
           "tok/s");
    for (int i = 0; i < b->n_results; i++)
        printf("%s\n", b->result[i].line);
}

/* ---- scoring ------------------------------------------------------------- */

static int32_t least(int64_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

/* Two different steps, or a mix. */
static struct load_sequence *
sequences_of(const struct bench *b, const struct engine_case *c, int32_t *n)
{
    const int32_t vocab = b->backend->vocab;

    if (c->length > 0) {
        *n = 2 * c->sequences;
        return load_equal(*n, c->length, vocab, 1);
    }
    *n = (int32_t)((double)(MIX_STEPS * b->o.rows) / LOAD_MIX_MEAN);
    return load_mix(*n, vocab, 1);
}

static int time_load(const struct load *l, struct backend *b, double *seconds,
                     struct err *err)
{
    double each[PASSES], start = bench_now(), once;
    int times, passes;

    if (load_run(l, b, 1, err) < 0)
        return -1;
    once = bench_now() - start;
    times = 1 + (int)(PASS_SECONDS / once);
    passes = once < LONG_SECONDS ? PASSES : 1;
    (void)cudaProfilerStart();
    for (int i = 0; i < passes; i++) {
        start = bench_now();
        if (load_run(l, b, times, err) < 0)
            return -1;
        each[i] = (bench_now() - start) / times;
    }
    (void)cudaProfilerStop();
    *seconds = bench_median(each, passes);
    return 0;
}

static int bench_score(struct bench *b, const struct engine_case *c,
                       struct err *err)
{
    const struct bounds *d = &b->bounds;
    struct load_sequence *s;
    struct load l;
    double seconds, floor;
    int32_t n, rows;
    int rc;

    s = sequences_of(b, c, &n);
    rows = least(b->o.rows,
                 c->length > 0 ? (int64_t)c->sequences * c->length : b->o.rows);
    load_init(&l, s, n, c->kind == KIND_TARGET ? TARGET_TAIL : 0, rows,
              b->backend->limits.slots);
    rc = time_load(&l, b->backend, &seconds, err);
    if (rc == 0) {
        floor = (double)l.rows * d->layers + (double)l.scored * d->head;
        report(b, c->name, seconds / l.n, (double)l.rows / seconds,
               (double)l.rows / floor, "floor");
    }
    load_finish(&l);
    free(s);
    return rc;
}

/* ---- decoding ------------------------------------------------------------ */

/* Two steps that feed what was sampled last, to be in flight together. */
struct decode {
    struct step first, step[2];
    struct piece *piece;
    int32_t *token;
    struct sample_row *sample;
    struct sample_out *out[2];
};

static void decode_init(struct decode *d, int32_t n, bool draw, int32_t vocab)
{
    *d = (struct decode){.piece = xcalloc(2 * (size_t)n, sizeof *d->piece),
                         .token = xcalloc((size_t)n, sizeof *d->token),
                         .sample = xcalloc((size_t)n, sizeof *d->sample)};
    for (int32_t i = 0; i < n; i++) {
        d->token[i] = (int32_t)((int64_t)i * 7919 % vocab);
        d->piece[i] = (struct piece){i, 1, NULL};
        d->piece[n + i] = (struct piece){i, 1, &d->token[i]};
        d->sample[i] = (struct sample_row){.row = i,
                                           .slot = i,
                                           .temperature = draw ? 1.0f : 0.0f,
                                           .top_p = draw ? 0.95f : 1.0f,
                                           .top_k = draw ? 50 : 0,
                                           .key = (uint64_t)i};
    }
    for (int i = 0; i < 2; i++) {
        d->out[i] = xcalloc((size_t)n, sizeof *d->out[i]);
        d->step[i] = (struct step){.piece = d->piece,
                                   .n_piece = n,
                                   .sample = d->sample,
                                   .n_sample = n,
                                   .sample_out = d->out[i]};
    }
    d->first = d->step[0];
    d->first.piece = d->piece + n;
}

static void decode_finish(struct decode *d)
{
    free(d->piece);
    free(d->token);
    free(d->sample);
    free(d->out[0]);
    free(d->out[1]);
}

static int run_steps(struct backend *b, const struct decode *d, int steps,
                     double *seconds, struct err *err)
{
    double start = bench_now();
    int64_t before = 0, ticket = 0;

    for (int i = 0; i < steps; i++) {
        ticket = backend_submit(b, &d->step[i & 1], err);
        if (ticket < 0 || (before > 0 && backend_wait(b, before, err) < 0))
            return -1;
        before = ticket;
    }
    if (backend_wait(b, before, err) < 0)
        return -1;
    *seconds = (bench_now() - start) / steps;
    return 0;
}

static int time_decode(struct backend *b, const struct decode *d,
                       double *seconds, struct err *err)
{
    double each[PASSES], once;
    int64_t ticket = backend_submit(b, &d->first, err);
    int steps;

    if (ticket < 0 || backend_wait(b, ticket, err) < 0
        || run_steps(b, d, 4, &once, err) < 0
        || run_steps(b, d, 4, &once, err) < 0)
        return -1;
    steps = (int)(PASS_SECONDS / once);
    steps = steps < DECODE_STEPS_MIN ? DECODE_STEPS_MIN : steps;
    (void)cudaProfilerStart();
    for (int i = 0; i < PASSES; i++)
        if (run_steps(b, d, steps, &each[i], err) < 0)
            return -1;
    (void)cudaProfilerStop();
    *seconds = bench_median(each, PASSES);
    return 0;
}

static int bench_decode(struct bench *b, const struct engine_case *c,
                        struct err *err)
{
    struct decode d;
    double seconds;
    int rc;

    decode_init(&d, c->sequences, c->kind == KIND_DRAW, b->backend->vocab);
    rc = time_decode(b->backend, &d, &seconds, err);
    if (rc == 0)
        report(b, c->name, seconds, c->sequences / seconds,
               bound_of_decode(b, c->sequences), "bound");
    decode_finish(&d);
    return rc;
}

/* ---- models -------------------------------------------------------------- */

static struct backend_limits limits_of(const struct bench *b)
{
    struct backend_limits l = {.slots = 1,
                               .tokens_per_step = (int32_t)b->o.rows};

    for (int i = 0; i < b->n_cases; i++) {
        const struct engine_case *c = &b->cases[i];
        int32_t need = c->kind >= KIND_DECODE ? c->sequences
                       : c->length > 0        ? 2 * c->sequences
                                              : MIX_SLOTS;

        l.slots = need > l.slots ? need : l.slots;
    }
    return l;
}

static int bench_model(struct bench *b, const char *name, struct weights *w,
                       struct err *err)
{
    const struct backend_limits limits = limits_of(b);
    struct buf options = BUF_INIT;
    double start;
    int rc = 0;

    b->name = name;
    if (measure_bounds(b, w, err) < 0)
        return -1;
    buf_addf(&options, "device=%" PRId64 ",compute=%s%s%s", b->o.device,
             b->o.compute, b->o.option != NULL ? "," : "",
             b->o.option != NULL ? b->o.option : "");
    start = bench_now();
    b->backend = backend_create(&backend_cuda, w, &limits, options.data, err);
    buf_free(&options);
    if (b->backend == NULL)
        return -1;
    report_bounds(b, bench_now() - start);
    for (int i = 0; i < b->n_cases && rc == 0; i++) {
        const struct engine_case *c = &b->cases[i];

        rc = (c->kind >= KIND_DECODE ? bench_decode : bench_score)(b, c, err);
        if (rc < 0)
            err_wrap(err, "%s, %s", name, c->name);
    }
    backend_destroy(b->backend);
    return rc;
}

static int bench_shape(struct bench *b, const struct shape *s, struct err *err)
{
    struct weights *w =
        random_model(&s->shape, RANDOM_MODEL_SEED, (int)b->o.device, err);
    int rc = w == NULL ? -1 : bench_model(b, s->name, w, err);

    weights_close(w);
    return rc;
}

/* ---- the command line ---------------------------------------------------- */

static int parse_case(struct engine_case *c, const char *text, struct err *err)
{
    char kind[8], rest[24], end;

    *c = (struct engine_case){0};
    snprintf(c->name, sizeof c->name, "%s", text);
    if (sscanf(text, "%7[a-z]:%23s", kind, rest) != 2)
        return err_set(err, ERR_USAGE, "case \"%s\" is not understood", text);
    for (size_t i = 0; i < sizeof kind_words / sizeof *kind_words; i++) {
        if (strcmp(kind, kind_words[i]) != 0)
            continue;
        c->kind = (enum kind)i;
        if (c->kind >= KIND_DECODE
                ? sscanf(rest, "%" SCNd32 "%c", &c->sequences, &end) == 1
                      && c->sequences >= 1
                : strcmp(rest, "mix") == 0
                      || (sscanf(rest, "%" SCNd32 "x%" SCNd32 "%c",
                                 &c->sequences, &c->length, &end)
                              == 2
                          && c->sequences >= 1 && c->length >= 1))
            return 0;
    }
    return err_set(err, ERR_USAGE, "case \"%s\" is not understood", text);
}

/* Calls `each` for the parts of a comma-separated list. */
static int for_each_word(const char *list, struct bench *b,
                         int (*each)(struct bench *, const char *,
                                     struct err *),
                         struct err *err)
{
    char *copy = xstrdup(list), *rest = copy, *word;
    int rc = 0;

    while (rc == 0 && (word = strsep(&rest, ",")) != NULL)
        rc = each(b, word, err);
    free(copy);
    return rc;
}

static int add_case(struct bench *b, const char *word, struct err *err)
{
    if (b->n_cases == CASES_MAX)
        return err_set(err, ERR_USAGE, "more than %d cases", CASES_MAX);
    return parse_case(&b->cases[b->n_cases++], word, err);
}

static int bench_named(struct bench *b, const char *word, struct err *err)
{
    const struct shape *s = shape_find(word, err);

    return s == NULL ? -1 : bench_shape(b, s, err);
}

static int read_options(int argc, char **argv, struct bench *b, struct err *err)
{
    const struct bench_option option[] = {
        {.key = "--shape", .word = &b->o.shapes},
        {.key = "--case", .word = &b->o.cases},
        {.key = "--compute", .word = &b->o.compute},
        {.key = "--option", .word = &b->o.option},
        {.key = "--device", .number = &b->o.device},
        {.key = "--rows", .number = &b->o.rows},
        {.word = &b->o.model},
        {0},
    };

    b->o = (struct options){
        .cases = default_cases, .compute = "fp16", .rows = 32768};
    if (bench_options(argc, argv, option, err) < 0)
        return -1;
    if (b->o.rows < 1 || b->o.rows > 1 << 20)
        return err_set(err, ERR_USAGE, "--rows: 1 to 1048576 expected");
    return for_each_word(b->o.cases, b, add_case, err);
}

static int bench_all(struct bench *b, struct err *err)
{
    struct weights *w;
    int rc = 0;

    if (b->o.model != NULL) {
        w = weights_open(b->o.model, err);
        rc = w == NULL ? -1 : bench_model(b, b->o.model, w, err);
        weights_close(w);
        return rc;
    }
    if (b->o.shapes != NULL)
        return for_each_word(b->o.shapes, b, bench_named, err);
    for (int i = 0; i < shapes_n && rc == 0; i++)
        rc = bench_shape(b, &shapes[i], err);
    return rc;
}

int bench_engine(int argc, char **argv, struct err *err)
{
    struct bench *b = xcalloc(1, sizeof *b);
    int rc = read_options(argc, argv, b, err);

    if (rc == 0) {
        rc = bench_all(b, err);
        print_table(b);
    }
    free(b);
    return rc;
}
