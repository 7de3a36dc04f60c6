/* A needle: one record among random batch mates, in steps of every number of
 * rows at which something changes, at any place, cut in any way.
 *
 * Its log-probabilities, the tokens drawn after it and its final state must
 * have the bits of the first backend computing it alone, in one piece,
 * whatever else is in the step. Row counts are the edges of the product
 * buckets and their neighbours; with mates of one token each they are the
 * decoding buckets too.
 *
 * Usage: check_needle ALONE [AMONG...]: backends with their options, as
 * cuda:compute=fp16,graph=0 (AMONG: ALONE if absent). ROWS_MAX in the
 * environment bounds the steps; BRIEF leaves one row count per edge and one
 * place, for tools that slow everything down.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"
#include "model/weights_random.h"
#include "tests/gpu/suite.h"

#define NEEDLE 48   /* tokens */
#define GENERATED 4 /* drawn after them */
#define SLOTS 1030  /* one more than the largest decoding bucket and its edge */
#define STEP_ROWS 16385
#define CUTS 3
#define AMONG_MAX 8

static const struct weights_shape shape = {2,  3,  64, 400,  1000, 32,
                                           32, 16, 48, true, false};

static const int edges[] = {1,   8,    16,   32,   64,   128,  256,  384,  512,
                            768, 1024, 1536, 2048, 3072, 4096, 8192, 16384};

enum mates {
    MATES_ONE, /* a token each, as far as slots reach; the rest in one piece */
    MATES_ANY, /* pieces of any length */
    MATES_KINDS,
};

struct outcome {
    struct score_out score[NEEDLE];
    struct sample_out sample[GENERATED];
    float *state;
};

static struct err err;
static struct weights *weights;
static int32_t token[NEEDLE + 1];
static struct outcome alone;
static const char *names[1 + AMONG_MAX];
static int n_names;
static int rows_max = STEP_ROWS;
static bool brief;
static uint64_t random_state;

static int32_t below(int32_t n)
{
    uint64_t x = random_state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (int32_t)((x >> 32) % (uint64_t)n);
}

static bool same_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

static struct backend *open_backend(const char *name)
{
    const char *options = strchr(name, ':');
    const bool cuda = strncmp(name, "cuda", 4) == 0;
    const struct backend_limits limits = {.slots = SLOTS,
                                          .tokens_per_step = rows_max};
    struct backend *b =
        backend_create(cuda ? &backend_cuda : &backend_cpu, weights, &limits,
                       options != NULL ? options + 1 : NULL, &err);

    ck_assert_msg(b != NULL, "%s: %s", name, err.text);
    return b;
}

/* ---- a step around the needle -------------------------------------------- */

/* Which rows the needle takes of a step, and what it wants of them. */
struct part {
    int32_t given,
        n;     /* tokens before it, tokens of it; n = 0: one drawn last */
    int drawn; /* tokens drawn before; -1: draw none yet */
};

static struct {
    struct piece piece[SLOTS];
    int32_t mate_token[STEP_ROWS];
    struct score_row score[STEP_ROWS];
    struct score_out score_out[STEP_ROWS];
    struct sample_row sample[SLOTS];
    struct sample_out sample_out[SLOTS];
    int n_piece, rows, n_score, n_sample;
} build;

/* Mates until the step has `rows` rows and at most `pieces_max` pieces. Some
 * are scored and sampled too.
 */
static void add_mates(int rows, enum mates kind, int pieces_max)
{
    while (build.rows < rows) {
        int32_t left = rows - build.rows, n = 1;

        if (kind == MATES_ANY)
            n = 1 + below(left < 300 ? left : 300);
        if (build.n_piece + 1 == pieces_max)
            n = left;
        for (int32_t i = 0; i < n; i++)
            build.mate_token[build.rows + i] = below(shape.V);
        build.piece[build.n_piece++] =
            (struct piece){0, n, build.mate_token + build.rows};
        build.rows += n;
        if (below(2) == 0)
            build.score[build.n_score++] =
                (struct score_row){.row = build.rows - 1, .target = below(9)};
        if (below(4) == 0)
            build.sample[build.n_sample++] =
                (struct sample_row){.row = build.rows - 1,
                                    .temperature = (float)below(2),
                                    .top_p = 1};
    }
}

/* The needle has the last slot, its mates the first ones. */
static void assign_slots(int needle)
{
    int row = 0, at = 0, mates = 0;

    for (int i = 0; i < build.n_piece; i++) {
        build.piece[i].slot = i == needle ? SLOTS - 1 : mates++;
        row += build.piece[i].n;
        if (at < build.n_sample && build.sample[at].row == row - 1)
            build.sample[at++].slot = build.piece[i].slot;
    }
}

static void add_needle(const struct part *p)
{
    const int32_t n = p->n > 0 ? p->n : 1;

    build.piece[build.n_piece++] =
        (struct piece){0, n, p->n > 0 ? token + p->given : NULL};
    for (int32_t i = 0; i < p->n; i++)
        build.score[build.n_score++] = (struct score_row){
            .row = build.rows + i, .target = token[p->given + i + 1]};
    build.rows += n;
    if (p->drawn >= 0)
        build.sample[build.n_sample++] =
            (struct sample_row){.row = build.rows - 1,
                                .temperature = 0.9f,
                                .top_p = 0.95f,
                                .key = 77,
                                .position = (uint32_t)p->drawn};
}

/* One step of `rows` rows with the needle after `before` of the mates' rows. */
static void run_step(struct backend *b, const struct part *p, int rows,
                     int before, enum mates kind, struct outcome *out)
{
    const int32_t mine = p->n > 0 ? p->n : 1;
    struct step step;
    int64_t ticket;
    int needle, score, sample;

    build.n_piece = build.rows = build.n_score = build.n_sample = 0;
    add_mates(before, kind, SLOTS - 2);
    needle = build.n_piece;
    score = build.n_score;
    sample = build.n_sample;
    add_needle(p);
    add_mates(rows > mine ? rows : mine, kind, SLOTS);
    assign_slots(needle);
    step = (struct step){.piece = build.piece,
                         .n_piece = build.n_piece,
                         .score = build.score,
                         .n_score = build.n_score,
                         .sample = build.sample,
                         .n_sample = build.n_sample,
                         .score_out = build.score_out,
                         .sample_out = build.sample_out};
    ticket = backend_submit(b, &step, &err);
    ck_assert_msg(ticket > 0, "%s", err.text);
    ck_assert_int_eq(backend_wait(b, ticket, &err), 0);
    memcpy(out->score + p->given, build.score_out + score,
           (size_t)p->n * sizeof *out->score);
    if (p->drawn >= 0)
        out->sample[p->drawn] = build.sample_out[sample];
}

/* ---- the needle through a backend ---------------------------------------- */

static int before_of(int rows, int mine, int place)
{
    const int others = rows > mine ? rows - mine : 0;

    return place == 0 ? 0 : place == 1 ? below(others + 1) : others;
}

/* All of it, `cut` tokens at a time (0: any number), in steps of `rows`. */
static void run_needle(struct backend *b, int rows, int cut, int place,
                       enum mates kind, struct outcome *out)
{
    ck_assert_int_eq(backend_reset(b, SLOTS - 1, &err), 0);
    for (int32_t given = 0; given < NEEDLE;) {
        int32_t n = cut > 0 ? cut : 1 + below(NEEDLE);
        struct part p;

        n = n < NEEDLE - given ? n : NEEDLE - given;
        n = n < rows ? n : rows;
        p = (struct part){given, n, given + n == NEEDLE ? 0 : -1};
        run_step(b, &p, rows, before_of(rows, n, place), kind, out);
        given += n;
    }
    for (int i = 1; i < GENERATED; i++)
        run_step(b, &(struct part){NEEDLE, 0, i}, rows,
                 before_of(rows, 1, place), kind, out);
    ck_assert_int_eq(backend_save(b, SLOTS - 1, out->state, &err), 0);
}

static void check_outcome(const struct backend *b, const struct outcome *got,
                          const char *what)
{
    for (int i = 0; i < NEEDLE; i++)
        ck_assert_msg(
            got->score[i].finite
                && same_bits(&got->score[i].logprob, &alone.score[i].logprob, 4)
                && got->score[i].argmax == alone.score[i].argmax,
            "%s: token %d is %a, alone %a", what, i,
            (double)got->score[i].logprob, (double)alone.score[i].logprob);
    for (int i = 0; i < GENERATED; i++)
        ck_assert_msg(got->sample[i].token == alone.sample[i].token
                          && same_bits(&got->sample[i].logprob,
                                       &alone.sample[i].logprob, 4),
                      "%s: draw %d is %d, alone %d", what, i,
                      got->sample[i].token, alone.sample[i].token);
    ck_assert_msg(same_bits(got->state, alone.state, b->state_bytes),
                  "%s: the final state differs", what);
}

static void check_rows(struct backend *b, const char *name, int rows,
                       struct outcome *got, int *done)
{
    static const int cuts[CUTS] = {NEEDLE, 0, 1};
    char what[160];

    if (rows < 1 || rows > rows_max)
        return;
    for (int c = 0; c < CUTS; c++) {
        /* Long steps of single tokens differ in nothing but their length. */
        if (cuts[c] == 1 && rows > 1100)
            continue;
        for (int place = brief ? 2 : 0; place < 3; place++) {
            enum mates kind = (enum mates)((place + c) % MATES_KINDS);

            snprintf(what, sizeof what,
                     "%s, %d rows, %d at a time, place %d, mates %d", name,
                     rows, cuts[c], place, kind);
            memset(got->score, 0, sizeof got->score);
            run_needle(b, rows, cuts[c], place, kind, got);
            check_outcome(b, got, what);
            ++*done;
        }
    }
}

START_TEST(the_needle_has_its_bits_among_any_mates)
{
    struct backend *b = open_backend(names[0]);
    struct outcome got = {.state = malloc(b->state_bytes)};
    int done = 0;

    random_state = 5;
    for (int i = 0; i <= NEEDLE; i++)
        token[i] = below(shape.V);
    alone.state = malloc(b->state_bytes);
    run_needle(b, 1, NEEDLE, 0, MATES_ONE, &alone);
    /* One piece without mates is the same. */
    run_needle(b, NEEDLE, NEEDLE, 0, MATES_ONE, &got);
    check_outcome(b, &got, "one piece alone");
    for (int k = 1; k < n_names; k++) {
        backend_destroy(b);
        b = open_backend(names[k]);
        for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
            for (int off = brief ? 1 : -1; off <= 1; off++)
                check_rows(b, names[k], edges[i] + off, &got, &done);
        printf("  %s: %d ways, all with the bits of %s alone\n", names[k], done,
               names[0]);
    }
    backend_destroy(b);
    free(got.state);
    free(alone.state);
}
END_TEST

static void choose(int argc, char **argv)
{
    const char *most = getenv("ROWS_MAX");

    if (most != NULL && atoi(most) > NEEDLE && atoi(most) < STEP_ROWS)
        rows_max = atoi(most);
    brief = getenv("BRIEF") != NULL;
    names[n_names++] = argc > 1 ? argv[1] : "cuda:compute=fp16";
    for (int i = 2; i < argc && n_names <= AMONG_MAX; i++)
        names[n_names++] = argv[i];
    if (n_names == 1)
        names[n_names++] = names[0];
}

int main(int argc, char **argv)
{
    Suite *s = suite_create("needle");
    TCase *c = tcase_create("needle");
    int failed;

    choose(argc, argv);
    if (strncmp(names[0], "cuda", 4) == 0 && suite_without_gpu())
        return SUITE_SKIPPED;
    weights = weights_random(&shape, 9, &err);
    if (weights == NULL) {
        printf("%s\n", err.text);
        return 1;
    }
    suite_add_tcase(s, c);
    tcase_add_test(c, the_needle_has_its_bits_among_any_mates);
    failed = suite_run(s);
    weights_close(weights);
    return failed;
}
