/* Draws and top-k lists on the GPU have the bits of the CPU sampler: random
 * rows, settings and histories, and rows that are all ties, all alike, huge, or
 * not finite. Then the time of a decode step's draws. Needs a GPU.
 */
#include <check.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"
#include "cuda/kernels.h"
#include "model/history.h"
#include "model/philox.h"
#include "model/sampler.h"
#include "tests/model/kernel_sets.h"
#include "tests/gpu/suite.h"

#define HISTORIES 4
#define SEEN_MAX 40
#define BIASES 5

static struct err err;

#define DO(call) ck_assert_msg(CU(call, &err) == 0, "%s", err.text)

/* What a history began with, and the CPU's. */
struct memory {
    int32_t prompt[SEEN_MAX], generated[SEEN_MAX];
    struct logit_bias bias[BIASES];
    struct history history;
};

struct bench {
    int vocab, rows, chunks, ld;
    uint64_t random;
    cudaStream_t stream;
    struct sampler *sampler;
    struct histories *histories;
    struct memory memory[HISTORIES];
    struct sample_row *how; /* [rows] */
    int32_t *best;
    bool *finite;

    float *x, *penalized; /* [rows][ld]; [pad(V)] */
    struct score_result *result;
    struct draw_row *draw;
    struct top_row *top;
    struct sample_out *out;
    int32_t *id;
    float *logprob;

    struct sampling on; /* device memory */
    float *d_x;
    struct score_part *d_part;
    struct score_result *d_result;
    int32_t *d_none, *d_last, *d_id, *d_token;
    uint32_t *d_seen;
    struct draw_bias *d_bias;
    struct draw_row *d_draw;
    struct top_row *d_top;
    struct sample_out *d_out;
    float *d_logprob;
};

static void *device(size_t bytes)
{
    void *p;

    DO(cudaMalloc(&p, bytes));
    return p;
}

static void up(void *to, const void *from, size_t bytes)
{
    DO(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

static void down(void *to, const void *from, size_t bytes)
{
    DO(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

static float *row_of(const struct bench *b, int row)
{
    return b->x + (size_t)row * (size_t)b->ld;
}

static void make_host(struct bench *b)
{
    const size_t rows = (size_t)b->rows, v = (size_t)b->vocab;
    const size_t ld = (size_t)b->ld;

    b->sampler =
        sampler_create(b->vocab, cpu_kernels(CPU_ISA_BEST, NULL), &err);
    b->histories = histories_create(b->vocab, HISTORIES, &err);
    b->how = hold(rows, sizeof *b->how);
    b->best = hold(rows, sizeof *b->best);
    b->finite = hold(rows, sizeof *b->finite);
    b->x = hold(rows * ld, sizeof *b->x);
    b->penalized = hold(cpu_pad(v), sizeof *b->penalized);
    b->result = hold(rows, sizeof *b->result);
    b->draw = hold(rows, sizeof *b->draw);
    b->top = hold(rows, sizeof *b->top);
    b->out = hold(rows, sizeof *b->out);
    b->id = hold(rows * BACKEND_TOPK_MAX, sizeof *b->id);
    b->logprob = hold(rows * BACKEND_TOPK_MAX, sizeof *b->logprob);
}

static void make_device(struct bench *b)
{
    const size_t rows = (size_t)b->rows, v = (size_t)b->vocab;

    b->d_x = device(rows * (size_t)b->ld * 4);
    b->d_part = device(rows * (size_t)b->chunks * sizeof *b->d_part);
    b->d_result = device(rows * sizeof *b->d_result);
    b->d_none = device(rows * 4);
    DO(cudaMemset(b->d_none, 0xff, rows * 4));
    b->d_last = device(rows * 4);
    b->d_id = device(rows * BACKEND_TOPK_MAX * 4);
    b->d_token = device(SEEN_MAX * 4);
    b->d_seen = device(HISTORIES * v * 4);
    b->d_bias = device(HISTORIES * sizeof *b->d_bias);
    b->d_draw = device(rows * sizeof *b->d_draw);
    b->d_top = device(rows * sizeof *b->d_top);
    b->d_out = device(rows * sizeof *b->d_out);
    b->d_logprob = device(rows * BACKEND_TOPK_MAX * 4);
    /* Fetched whole, though not all of them are written: for initcheck. */
    DO(cudaMemset(b->d_result, 0, rows * sizeof *b->d_result));
    DO(cudaMemset(b->d_id, 0, rows * BACKEND_TOPK_MAX * 4));
    DO(cudaMemset(b->d_logprob, 0, rows * BACKEND_TOPK_MAX * 4));
    b->on = (struct sampling){.vocab = b->vocab,
                              .ld = b->ld,
                              .n_part = b->chunks,
                              .logits = b->d_x,
                              .part = b->d_part,
                              .score = b->d_result,
                              .seen = b->d_seen,
                              .bias = b->d_bias};
}

static void begin(struct bench *b, int vocab, int rows)
{
    *b = (struct bench){.vocab = vocab, .rows = rows, .random = 5};
    b->chunks = (vocab + SCORE_COLS - 1) / SCORE_COLS;
    b->ld = vocab + vocab % 2; /* score.cu reads pairs */
    DO(cudaStreamCreate(&b->stream));
    make_host(b);
    make_device(b);
}

static void end(struct bench *b)
{
    void *const memory[] = {b->d_x,      b->d_part, b->d_result, b->d_none,
                            b->d_last,   b->d_id,   b->d_token,  b->d_seen,
                            b->d_bias,   b->d_draw, b->d_top,    b->d_out,
                            b->d_logprob};

    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        DO(cudaFree(memory[i]));
    DO(cudaStreamDestroy(b->stream));
    sampler_destroy(b->sampler);
    histories_destroy(b->histories);
    release_all();
}

/* ---- rows, settings, histories --------------------------------------------- */

enum kind {
    SHARP,
    FLAT,
    TIES,
    ALL_EQUAL,
    SIGNED_ZEROS,
    HUGE_VALUES,
    ONE_PEAK,
    WITH_NAN,
    WITH_INFINITY,
    KINDS
};

/* Twelve uniform numbers make a normal one. */
static float random_normal(uint64_t *random)
{
    float sum = 0;

    for (int i = 0; i < 12; i++)
        sum += random_float(random, 0.5f);
    return sum;
}

static float random_logit(struct bench *b, enum kind kind)
{
    const float n = random_normal(&b->random);

    switch (kind) {
    case FLAT:
        return n;
    case TIES:
        return floorf(n);
    case ALL_EQUAL:
        return 1.25f;
    case SIGNED_ZEROS:
        return n > 0 ? 0.0f : -0.0f;
    case HUGE_VALUES:
        return n > 3 ? FLT_MAX : n < -3 ? -FLT_MAX : n * 1e37f;
    case ONE_PEAK:
        return n - 200;
    default:
        return 3 * n;
    }
}

static void make_row(struct bench *b, int row, enum kind kind)
{
    const size_t v = (size_t)b->vocab;
    float *x = row_of(b, row);
    size_t at = random_below(&b->random, v);

    for (size_t i = 0; i < v; i++)
        x[i] = random_logit(b, kind);
    if (kind == ONE_PEAK)
        x[at] = 5;
    if (kind == WITH_NAN)
        x[at] = NAN;
    if (kind == WITH_INFINITY)
        x[at] = at % 2 == 0 ? INFINITY : -INFINITY;
    b->best[row] = 0;
    b->finite[row] = true;
    for (size_t i = 0; i < v; i++) {
        b->finite[row] = b->finite[row] && isfinite(x[i]);
        if (x[i] > x[b->best[row]])
            b->best[row] = (int32_t)i;
    }
}

#define CHOOSE(from) \
    (from)[random_below(&b->random, sizeof(from) / sizeof *(from))]

static struct sample_row random_how(struct bench *b)
{
    static const float temperature[] = {0, 1e-6f, 0.3f, 1, 1, 1.7f, 100, 1e30f};
    static const float top_p[] = {1e-9f, 0.1f, 0.5f, 0.9f, 0.9999999f, 1, 1};
    static const float min_p[] = {0, 0, 0, 1e-5f, 0.05f, 1};
    static const float penalty[] = {0, 0, 0.5f, -1, 2};
    static const float repetition[] = {0, 1, 1.2f, 0.7f};
    const int32_t top_k[] = {0, 0, 0, 1, 2, 50, 200, 2000, b->vocab - 1};

    return (struct sample_row){
        .temperature = CHOOSE(temperature),
        .top_p = CHOOSE(top_p),
        .top_k = CHOOSE(top_k),
        .min_p = CHOOSE(min_p),
        .key = (uint64_t)random_below(&b->random, 1u << 30) << 20,
        .sample = (uint32_t)random_below(&b->random, 8),
        .position = (uint32_t)random_below(&b->random, 1000),
        .presence_penalty = CHOOSE(penalty),
        .frequency_penalty = CHOOSE(penalty),
        .repetition_penalty = CHOOSE(repetition),
    };
}

static void make_memory(struct bench *b, int index)
{
    struct memory *m = &b->memory[index];
    struct draw_bias bias = {0};
    uint32_t *seen = b->d_seen + (size_t)index * (size_t)b->vocab;
    int32_t step = b->vocab / (BIASES + 1) + 1, biased[BIASES];

    for (int i = 0; i < SEEN_MAX; i++) {
        m->prompt[i] = (int32_t)random_below(&b->random, (size_t)b->vocab);
        m->generated[i] =
            i % 4 == 3 ? m->generated[i - 1]
                       : (int32_t)random_below(&b->random, (size_t)b->vocab);
    }
    for (; index % 2 == 1 && bias.n < BIASES && bias.n * step < b->vocab;
         bias.n++) {
        biased[bias.n] = bias.n * step;
        bias.at[bias.n] = m->bias[bias.n] =
            (struct logit_bias){biased[bias.n], random_float(&b->random, 5)};
    }
    m->history = (struct history){m->prompt, SEEN_MAX, m->generated,
                                  SEEN_MAX,  m->bias,  bias.n};
    history_set(b->histories, index, &m->history);
    up(&b->d_bias[index], &bias, sizeof bias);
    DO(cudaMemset(seen, 0, (size_t)b->vocab * 4));
    up(b->d_token, m->prompt, sizeof m->prompt);
    DO(kernel_remember(SEEN_MAX, b->d_token, DRAW_IN_PROMPT, seen, b->stream));
    DO(cudaStreamSynchronize(b->stream));
    up(b->d_token, m->generated, sizeof m->generated);
    DO(kernel_remember(SEEN_MAX, b->d_token, 0, seen, b->stream));
    DO(cudaStreamSynchronize(b->stream));
    if (bias.n > 0) {
        up(b->d_token, biased, (size_t)bias.n * 4);
        DO(kernel_remember(bias.n, b->d_token, DRAW_HAS_BIAS, seen, b->stream));
    }
    DO(cudaStreamSynchronize(b->stream));
}

/* ---- the two sides --------------------------------------------------------- */

static void score_rows(struct bench *b)
{
    const struct score score = {.rows = b->rows,
                                .cols = b->vocab,
                                .ld = b->ld,
                                .n_part = b->chunks,
                                .vocab = b->vocab,
                                .logits = {b->d_x, NULL},
                                .target = b->d_none,
                                .whole = b->d_none,
                                .part = b->d_part,
                                .out = b->d_result};

    DO(kernel_score(&score, b->stream));
    DO(kernel_score_join(b->rows, b->chunks, b->d_part, b->d_result,
                         b->stream));
    DO(cudaStreamSynchronize(b->stream));
    down(b->result, b->d_result, (size_t)b->rows * sizeof *b->result);
}

static int history_of(int row)
{
    return row < HISTORIES ? row : -1;
}

static void make_draws(struct bench *b)
{
    for (int i = 0; i < b->rows; i++) {
        const struct sample_row *how = &b->how[i];
        const int history = history_of(i);
        const bool penalized = history_matters(b->histories, history, how);

        b->draw[i] = (struct draw_row){
            .row = i,
            .whole = how->temperature > 0 || penalized ? i : -1,
            .slot = b->rows - 1 - i,
            .history = history,
            .penalized = penalized,
            .top_k = how->top_k,
            .scale = how->temperature > 0 ? draw_scale(how->temperature) : 0.0f,
            .top_p = how->top_p,
            .min_p = how->min_p,
            .penalty = draw_penalty_of(how),
            .random = philox_bits(how->key, how->sample, how->position, 0)};
        b->top[i] = (struct top_row){.row = i,
                                     .whole = i,
                                     .k = 1
                                          + i
                                                % (b->vocab < BACKEND_TOPK_MAX
                                                       ? b->vocab
                                                       : BACKEND_TOPK_MAX)};
    }
}

static void run_device(struct bench *b)
{
    const size_t rows = (size_t)b->rows;

    up(b->d_draw, b->draw, rows * sizeof *b->draw);
    up(b->d_top, b->top, rows * sizeof *b->top);
    DO(kernel_draw(&b->on, b->rows, b->d_draw, b->d_last, b->d_out, b->stream));
    DO(kernel_top(&b->on, b->rows, b->d_top, b->d_id, b->d_logprob, b->stream));
    DO(cudaStreamSynchronize(b->stream));
    down(b->out, b->d_out, rows * sizeof *b->out);
    down(b->id, b->d_id, rows * BACKEND_TOPK_MAX * 4);
    down(b->logprob, b->d_logprob, rows * BACKEND_TOPK_MAX * 4);
}

/* The log-softmax as model/cpu_head.h has it. */
static void check_score(const struct bench *b, int row, int kind)
{
    const struct cpu_kernels *k = cpu_kernels(CPU_ISA_BEST, NULL);
    const struct score_result *got = &b->result[row];
    float chunk[SCORE_COLS], max = -INFINITY, factor[CPU_LANES] = {0};
    double sum = 0;

    ck_assert_int_eq(got->finite, b->finite[row]);
    for (int c = 0; b->finite[row] && c < b->vocab; c += SCORE_COLS) {
        const int n = b->vocab - c < SCORE_COLS ? b->vocab - c : SCORE_COLS;
        struct cpu_softmax s;

        memcpy(chunk, row_of(b, row) + c, (size_t)n * 4);
        for (int i = n; i < SCORE_COLS; i++)
            chunk[i] = -FLT_MAX;
        s = k->softmax(cpu_pad((size_t)n), chunk);
        factor[0] = -fabsf(s.max - max);
        k->exp(CPU_LANES, factor, 0.0f, 1.0f, factor);
        if (s.max > max) {
            sum = sum * (double)factor[0] + (double)s.sum;
            max = s.max;
        } else {
            sum += (double)s.sum * (double)factor[0];
        }
    }
    if (b->finite[row]
        && (!same_bits(got->max, max) || got->best != b->best[row]
            || !same_bits(got->log_sum, k->log((float)sum))))
        ck_abort_msg("V %d kind %d row %d: %a %d %a, on the CPU %a %d %a",
                     b->vocab, kind, row, (double)got->max, got->best,
                     (double)got->log_sum, (double)max, b->best[row],
                     (double)k->log((float)sum));
}

static int32_t draw_on_cpu(struct bench *b, int row)
{
    const struct sample_row *how = &b->how[row];
    const int history = history_of(row);
    const size_t v = (size_t)b->vocab;
    const float *x = row_of(b, row);
    int32_t best = b->best[row];

    if (history_matters(b->histories, history, how))
        best = history_apply(b->histories, history, how, x, b->penalized);
    else
        memcpy(b->penalized, x, v * sizeof *x);
    for (size_t i = v; i < cpu_pad(v); i++)
        b->penalized[i] = -FLT_MAX;
    return sampler_draw(b->sampler, how, b->penalized, best);
}

static float logprob_of(const struct bench *b, int row, int32_t token)
{
    const struct score_result *r = &b->result[row];

    return (row_of(b, row)[token] - r->max) - r->log_sum;
}

static void check_draw(struct bench *b, int row, int kind)
{
    const struct sample_row *how = &b->how[row];
    const struct sample_out *got = &b->out[row];
    struct sample_out want = {0, NAN, b->finite[row]};
    int32_t last;

    if (want.finite) {
        want.token = draw_on_cpu(b, row);
        want.logprob = logprob_of(b, row, want.token);
        if (history_of(row) >= 0)
            history_count(b->histories, history_of(row), want.token);
    }
    down(&last, b->d_last + b->rows - 1 - row, sizeof last);
    ck_assert_int_eq(last, got->token);
    if (got->token != want.token || got->finite != want.finite
        || !same_bits(got->logprob, want.logprob))
        ck_abort_msg("V %d kind %d row %d: temperature %g top_p %g top_k %d"
                     " min_p %g history %d: %d (%a), on the CPU %d (%a)",
                     b->vocab, kind, row, (double)how->temperature,
                     (double)how->top_p, how->top_k, (double)how->min_p,
                     history_of(row), got->token, (double)got->logprob,
                     want.token, (double)want.logprob);
}

/* The lowest id of the largest logit below the place (above, of id). */
static int32_t next_of(const struct bench *b, int row, int32_t after)
{
    const float *x = row_of(b, row);
    int32_t next = -1;

    for (int32_t i = 0; i < b->vocab; i++) {
        if (after >= 0 && (x[i] > x[after] || (x[i] == x[after] && i <= after)))
            continue;
        if (next < 0 || x[i] > x[next])
            next = i;
    }
    return next;
}

static void check_top(struct bench *b, int row, int kind)
{
    const int32_t *id = b->id + (size_t)row * BACKEND_TOPK_MAX;
    const float *logprob = b->logprob + (size_t)row * BACKEND_TOPK_MAX;
    int32_t want = -1;

    for (int32_t i = 0; i < b->top[row].k; i++) {
        want = b->finite[row] ? next_of(b, row, want) : i;
        ck_assert_msg(
            id[i] == want
                && same_bits(logprob[i],
                             b->finite[row] ? logprob_of(b, row, want) : NAN),
            "V %d kind %d row %d: top %d of %d is %d, on the CPU %d", b->vocab,
            kind, row, i, b->top[row].k, id[i], want);
    }
}

static void check_seen(struct bench *b)
{
    struct sample_row how = {.frequency_penalty = 1};
    float *x = calloc((size_t)b->vocab, 4), *y = calloc((size_t)b->vocab, 4);
    uint32_t *seen = calloc((size_t)b->vocab, 4);

    for (int i = 0; i < HISTORIES; i++) {
        history_apply(b->histories, i, &how, x, y);
        down(seen, b->d_seen + (size_t)i * (size_t)b->vocab,
             (size_t)b->vocab * 4);
        for (int v = 0; v < b->vocab; v++)
            ck_assert(seen[v] & DRAW_HAS_BIAS
                      || y[v] == -(float)(seen[v] & DRAW_TIMES));
    }
    free(x);
    free(y);
    free(seen);
}

static const struct {
    int vocab, rows, rounds;
} sizes[] = {
    {1, 32, 2},     {2, 32, 2},     {31, 64, 4},    {513, 64, 4},
    {1000, 64, 4},  {1025, 64, 4},  {5000, 64, 4},  {50277, 32, 1},
    {65536, 64, 2}, {65537, 32, 1}, {600000, 8, 1},
};

#define SMALL_SIZES 6 /* CK_RUN_CASE=small: for compute-sanitizer */

START_TEST(bits_of_the_cpu)
{
    struct bench b;

    begin(&b, sizes[_i].vocab, sizes[_i].rows);
    for (int round = 0; round < sizes[_i].rounds * KINDS; round++) {
        const enum kind kind = round % KINDS;

        for (int i = 0; i < HISTORIES; i++)
            make_memory(&b, i);
        for (int i = 0; i < b.rows; i++) {
            make_row(&b, i, i % 8 == 7 ? SHARP : kind);
            b.how[i] = random_how(&b);
        }
        up(b.d_x, b.x, (size_t)b.rows * (size_t)b.ld * 4);
        score_rows(&b);
        make_draws(&b);
        run_device(&b);
        for (int i = 0; i < b.rows; i++) {
            check_score(&b, i, (int)kind);
            check_draw(&b, i, (int)kind);
            check_top(&b, i, (int)kind);
        }
        check_seen(&b);
    }
    end(&b);
}
END_TEST

/* ---- time ------------------------------------------------------------------ */

#define TIMED_ROWS 512
#define TIMED_VOCAB 65536
#define REPEATS 20

static const struct timed {
    const char *name;
    struct sample_row how;
    bool history;
} timed[] = {
    {"greedy", {.top_p = 1}, false},
    {"temperature", {.temperature = 1, .top_p = 1}, false},
    {"top_k 50", {.temperature = 1, .top_p = 1, .top_k = 50}, false},
    {"top_k 50, top_p 0.9",
     {.temperature = 0.8f, .top_p = 0.9f, .top_k = 50},
     false},
    {"top_p 0.9", {.temperature = 1, .top_p = 0.9f}, false},
    {"min_p 0.05", {.temperature = 1, .top_p = 1, .min_p = 0.05f}, false},
    {"top_k 1000", {.temperature = 1, .top_p = 1, .top_k = 1000}, false},
    {"top_k 50, penalties",
     {.temperature = 1,
      .top_p = 0.9f,
      .top_k = 50,
      .frequency_penalty = 0.5f,
      .repetition_penalty = 1.2f},
     true},
};

enum timing {
    TIME_DRAWS,
    TIME_TOPS,
    TIME_SCORES,
    TIME_JOINS,
};

/* `rows` rows; of scores, columns enough for 64 MiB. */
static void launch(struct bench *b, int rows, enum timing what)
{
    struct score score = {.rows = rows,
                          .cols = (16 << 20) / rows,
                          .ld = (16 << 20) / rows,
                          .n_part = (16 << 20) / rows / SCORE_COLS,
                          .vocab = (16 << 20) / rows,
                          .logits = {b->d_x, NULL},
                          .target = b->d_none,
                          .whole = b->d_none,
                          .part = b->d_part,
                          .out = b->d_result};

    if (what == TIME_DRAWS)
        DO(kernel_draw(&b->on, rows, b->d_draw, b->d_last, b->d_out,
                       b->stream));
    else if (what == TIME_TOPS)
        DO(kernel_top(&b->on, rows, b->d_top, b->d_id, b->d_logprob,
                      b->stream));
    else if (what == TIME_SCORES)
        DO(kernel_score(&score, b->stream));
    else
        DO(kernel_score_join(rows, b->chunks, b->d_part, b->d_result,
                             b->stream));
}

static double time_kernel(struct bench *b, int rows, enum timing what)
{
    cudaEvent_t from, to;
    float ms = 0;

    DO(cudaEventCreate(&from));
    DO(cudaEventCreate(&to));
    for (int i = -3; i < REPEATS; i++) {
        if (i == 0)
            DO(cudaEventRecord(from, b->stream));
        launch(b, rows, what);
    }
    DO(cudaEventRecord(to, b->stream));
    DO(cudaStreamSynchronize(b->stream));
    DO(cudaEventElapsedTime(&ms, from, to));
    DO(cudaEventDestroy(from));
    DO(cudaEventDestroy(to));
    return (double)ms * 1000 / REPEATS;
}

/* Rows of one kind, in device memory and scored. */
static void fill(struct bench *b, enum kind kind)
{
    const size_t bytes = (size_t)b->ld * 4;

    for (int i = 0; i < 16; i++)
        make_row(b, i, kind);
    for (int i = 16; i < b->rows; i++)
        memcpy(row_of(b, i), row_of(b, i % 16), bytes);
    up(b->d_x, b->x, (size_t)b->rows * bytes);
    score_rows(b);
}

static void time_setting(struct bench *b, const struct timed *t)
{
    printf("  %-22s", t->name);
    for (int i = 0; i < b->rows; i++)
        b->how[i] = t->how;
    make_draws(b);
    for (int i = 0; i < b->rows; i++) {
        b->draw[i].history = t->history ? i % HISTORIES : -1;
        b->draw[i].penalized = t->history;
        b->draw[i].random = philox_bits(1, 0, (uint32_t)i, 0);
        b->top[i].k = BACKEND_TOPK_MAX;
    }
    up(b->d_draw, b->draw, (size_t)b->rows * sizeof *b->draw);
    up(b->d_top, b->top, (size_t)b->rows * sizeof *b->top);
    for (int rows = 1; rows <= b->rows; rows *= 8)
        printf(" %7.1f", time_kernel(b, rows, TIME_DRAWS));
    printf("\n");
}

START_TEST(draws_take_so_long)
{
    struct bench b;

    begin(&b, TIMED_VOCAB, TIMED_ROWS);
    for (int i = 0; i < HISTORIES; i++)
        make_memory(&b, i);
    for (int kind = SHARP; kind <= FLAT; kind++) {
        fill(&b, (enum kind)kind);
        printf("  us, V = %d, logits of deviation %d; rows:   1  8  64  512\n",
               TIMED_VOCAB, kind == SHARP ? 3 : 1);
        for (size_t i = 0; i < sizeof timed / sizeof *timed; i++)
            time_setting(&b, &timed[i]);
        printf("  %-22s %7.1f\n", "top 20 of 512 rows",
               time_kernel(&b, b.rows, TIME_TOPS));
    }
    printf("  us, scores of 512 x 32768: %.1f, joins of 512: %.1f\n",
           time_kernel(&b, 512, TIME_SCORES), time_kernel(&b, 512, TIME_JOINS));
    end(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sample");
    TCase *small = tcase_create("small"), *large = tcase_create("large");
    TCase *time = tcase_create("time");

    if (suite_without_gpu())
        return SUITE_SKIPPED;
    suite_add_tcase(s, small);
    suite_add_tcase(s, large);
    suite_add_tcase(s, time);
    tcase_set_timeout(large, 300);
    tcase_set_timeout(time, 300);
    tcase_add_loop_test(small, bits_of_the_cpu, 0, SMALL_SIZES);
    tcase_add_loop_test(large, bits_of_the_cpu, SMALL_SIZES,
                        sizeof sizes / sizeof *sizes);
    tcase_add_test(time, draws_take_so_long);
    return suite_run(s);
}
