/* The CUDA engine alone: scoring with the head on every row, and greedy
 * decoding, by wall clock. One JSON line per case.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "common/buf.h"
#include "model/backend.h"
#include "model/weights.h"
#include "model/weights_random.h"

#define REPS 5
#define DECODE_STEPS 16

static const struct shape {
    const char *name;
    struct weights_shape shape;
} shapes[] = {
    {"0.1B", {12, 12, 64, 3072, 65536, 64, 64, 32, 128, true, false}},
    {"1.5B", {24, 32, 64, 8192, 65536, 96, 96, 64, 256, true, false}},
};

struct options {
    const char *model, *shape, *compute;
    int device;
};

/* A step of `sequences` pieces of `length` tokens, and where results go. */
struct load {
    struct step step;
    struct piece *piece;
    int32_t *token;
    struct score_row *score;
    struct score_out *score_out;
    struct sample_row *sample;
    struct sample_out *sample_out;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void load_begin(struct load *l, int sequences, int length, int32_t vocab)
{
    const size_t rows = (size_t)sequences * (size_t)length;

    *l = (struct load){0};
    l->piece = xcalloc((size_t)sequences, sizeof *l->piece);
    l->token = xcalloc(rows, sizeof *l->token);
    l->score = xcalloc(rows, sizeof *l->score);
    l->score_out = xcalloc(rows, sizeof *l->score_out);
    l->sample = xcalloc((size_t)sequences, sizeof *l->sample);
    l->sample_out = xcalloc((size_t)sequences, sizeof *l->sample_out);
    for (size_t i = 0; i < rows; i++) {
        l->token[i] = (int32_t)((int64_t)i * 7919 % vocab);
        l->score[i] =
            (struct score_row){.row = (int32_t)i, .target = l->token[i]};
    }
    for (int32_t i = 0; i < sequences; i++) {
        l->piece[i] = (struct piece){i, length, l->token + i * length};
        l->sample[i] = (struct sample_row){
            .row = (i + 1) * length - 1, .slot = i, .top_p = 1};
    }
    l->step = (struct step){.piece = l->piece,
                            .n_piece = sequences,
                            .score_out = l->score_out,
                            .sample_out = l->sample_out};
}

static void load_end(struct load *l)
{
    free(l->piece);
    free(l->token);
    free(l->score);
    free(l->score_out);
    free(l->sample);
    free(l->sample_out);
}

static int run(struct backend *b, const struct step *step, struct err *err)
{
    int64_t ticket = backend_submit(b, step, err);

    return ticket < 0 ? -1 : backend_wait(b, ticket, err);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(const char *model, const struct backend *b, const char *what,
                   int sequences, int length, double seconds, double tokens)
{
    printf("{\"bench\":\"engine\",\"model\":\"%s\",\"compute\":\"%s\","
           "\"case\":\"%s\",\"sequences\":%d,\"length\":%d,"
           "\"step_ms\":%.3f,\"tok_s\":%.0f}\n",
           model, b->compute, what, sequences, length, seconds * 1e3,
           tokens / seconds);
    fflush(stdout);
}

static int bench_score(const char *model, struct backend *b, int sequences,
                       int length, struct err *err)
{
    double seconds[REPS], start;
    struct load l;
    int rc;

    load_begin(&l, sequences, length, b->vocab);
    l.step.score = l.score;
    l.step.n_score = sequences * length;
    rc = run(b, &l.step, err);
    for (int i = 0; i < REPS && rc == 0; i++) {
        start = now();
        rc = run(b, &l.step, err);
        seconds[i] = now() - start;
    }
    if (rc == 0) {
        qsort(seconds, REPS, sizeof *seconds, ascending);
        report(model, b, "score", sequences, length, seconds[REPS / 2],
               (double)sequences * length);
    }
    load_end(&l);
    return rc;
}

static int bench_decode(const char *model, struct backend *b, int sequences,
                        struct err *err)
{
    struct load l;
    double start;
    int rc;

    load_begin(&l, sequences, 1, b->vocab);
    l.step.sample = l.sample;
    l.step.n_sample = sequences;
    rc = run(b, &l.step, err);
    for (int32_t i = 0; i < sequences; i++)
        l.piece[i].token = NULL;
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = run(b, &l.step, err);
    start = now();
    for (int i = 0; i < DECODE_STEPS && rc == 0; i++)
        rc = run(b, &l.step, err);
    if (rc == 0)
        report(model, b, "decode", sequences, 1, (now() - start) / DECODE_STEPS,
               sequences);
    load_end(&l);
    return rc;
}

static int bench_model(const char *name, struct weights *w,
                       const struct options *o, struct err *err)
{
    static const int sequences[] = {1, 64, 256, 512};
    const struct backend_limits limits = {512, 16384, 0};
    double start = now();
    char options[64];
    struct backend *b;
    int rc;

    snprintf(options, sizeof options, "device=%d,compute=%s", o->device,
             o->compute);
    b = backend_create(&backend_cuda, w, &limits, options, err);
    if (b == NULL)
        return -1;
    fprintf(stderr, "%s: loaded in %.1f s\n", name, now() - start);
    rc = bench_score(name, b, 32, 512, err);
    if (rc == 0)
        rc = bench_score(name, b, 256, 64, err);
    if (rc == 0)
        rc = bench_score(name, b, 1, 4096, err);
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences && rc == 0; i++)
        rc = bench_decode(name, b, sequences[i], err);
    backend_destroy(b);
    return rc;
}

static int read_options(int argc, char **argv, struct options *o,
                        struct err *err)
{
    for (int i = 1; i < argc; i++) {
        const char **word = strcmp(argv[i], "--shape") == 0     ? &o->shape
                            : strcmp(argv[i], "--compute") == 0 ? &o->compute
                                                                : NULL;

        if (word != NULL && i + 1 < argc)
            *word = argv[++i];
        else if (argv[i][0] != '-' && o->model == NULL)
            o->model = argv[i];
        else
            return err_set(err, ERR_USAGE, "\"%s\" is not understood", argv[i]);
    }
    return 0;
}

int bench_engine(int argc, char **argv, struct err *err)
{
    struct options o = {.compute = "fp16"};
    struct weights *w;
    int rc = 0;

    if (read_options(argc, argv, &o, err) < 0)
        return -1;
    if (o.model != NULL) {
        w = weights_open(o.model, err);
        rc = w == NULL ? -1 : bench_model(o.model, w, &o, err);
        weights_close(w);
        return rc;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes && rc == 0; i++) {
        if (o.shape != NULL && strcmp(o.shape, shapes[i].name) != 0)
            continue;
        w = weights_random(&shapes[i].shape, 1, err);
        rc = w == NULL ? -1 : bench_model(shapes[i].name, w, &o, err);
        weights_close(w);
    }
    return rc;
}
