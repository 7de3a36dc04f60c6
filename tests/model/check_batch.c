/* The promise: a result depends on its own sequence alone, to the bit.
 *
 * Each sequence is first computed alone, token by token, with the portable
 * kernels. Then all of them are computed together, again and again, by a
 * schedule that a seed draws: other instruction sets and step sizes, pieces of
 * any length in any order, two steps with the backend at a time, slots changed
 * by copy or save and load midway, half of them with penalties and a bias.
 * Every score, top-k list, logit, sampled token and final state must be equal.
 *
 * Usage: check_batch [ALONE TOGETHER...], each a backend with its options like
 * cpu:isa=avx2 or cuda:compute=fp16; without them, cpu with all its kernels.
 */
#include <check.h>

#include "model/backend.h"
#include "model/weights_random.h"
#include "tests/model/kernel_sets.h"

#define SEQUENCES 9
#define LENGTH_MAX 200
#define GENERATED 6 /* tokens sampled after each sequence */
#define SLOTS 12
#define VOCAB_MAX 1100
#define TOPK 3

struct sequence {
    int32_t n;
    int32_t token[LENGTH_MAX + 1];
    struct sample_row draw;
};

struct result {
    struct score_out score[LENGTH_MAX];
    int32_t top[LENGTH_MAX][TOPK];
    float top_logprob[LENGTH_MAX][TOPK];
    float logits[VOCAB_MAX]; /* of the last given token */
    struct sample_out sample[GENERATED];
    float *state;
};

static const struct weights_shape shapes[] = {
    {2, 3, 16, 75, 101, 12, 9, 5, 20, true, false},
    {2, 2, 32, 96, 1000, 16, 16, 8, 33, false, true},
    {2, 1, 64, 257, 1025, 32, 32, 16, 48, true, false},
    {1, 2, 128, 128, 513, 17, 31, 1, 64, true, true},
};

static struct err err;
static struct weights *weights;
static struct sequence sequences[SEQUENCES];
static struct result alone[SEQUENCES];

static void make_sequences(uint64_t *random)
{
    for (int i = 0; i < SEQUENCES; i++) {
        struct sequence *s = &sequences[i];

        s->n = i == 0 ? 1 : 1 + (int32_t)random_below(random, LENGTH_MAX);
        for (int32_t t = 0; t <= s->n; t++)
            s->token[t] = (int32_t)random_below(random, (size_t)weights->V);
        s->draw = (struct sample_row){
            .temperature = i % 3 == 0 ? 0.0f : 0.5f + (float)i / 4,
            .top_p = i % 2 == 0 ? 1.0f : 0.9f,
            .top_k = i % 4 == 2 ? 7 : 0,
            .key = 1000 + (uint64_t)i,
            .sample = (uint32_t)i,
            .min_p = i % 5 == 4 ? 0.01f : 0.0f,
        };
        if (i % 2 == 1)
            continue;
        s->draw.presence_penalty = (float)i / 4;
        s->draw.frequency_penalty = 1.5f;
        s->draw.repetition_penalty = i % 4 == 0 ? 1.5f : 0.0f;
    }
}

/* One sequence's way through a backend. */
struct progress {
    const struct sequence *sequence;
    struct result *result;
    int32_t slot, given, sampled;
    bool loaded; /* the backend has forgotten the last sampled token */
};

/* The first computes sequences alone, the others compute them together. */
static const char *backends[1 + KERNEL_SETS_MAX];
static int n_backend;

static struct backend *open_backend(const char *name, int32_t tokens_per_step)
{
    const bool cuda = strncmp(name, "cuda", 4) == 0;
    const char *options = strchr(name, ':');
    struct backend_limits limits = {
        .slots = SLOTS, .tokens_per_step = tokens_per_step, .histories = SLOTS};
    struct backend *b;

    b = backend_create(cuda ? &backend_cuda : &backend_cpu, weights, &limits,
                       options != NULL ? options + 1 : NULL, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    return b;
}

static void choose_backends(int argc, char **argv)
{
    static char name[KERNEL_SETS_MAX][32];
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n = kernel_sets(set);

    backends[n_backend++] = "cpu:isa=portable";
    for (int i = 0; i < n && argc == 1; i++) {
        snprintf(name[i], sizeof name[i], "cpu:isa=%s", set[i]->name);
        backends[n_backend++] = name[i];
    }
    for (int i = 1; i < argc && i <= KERNEL_SETS_MAX; i++) {
        n_backend += i > 1;
        backends[n_backend - 1] = argv[i];
    }
}

/* A step under construction, big enough for any. */
struct builder {
    struct step step;
    struct piece piece[SLOTS];
    struct score_row score[4096];
    struct score_out score_out[4096];
    int32_t topk_id[4096][BACKEND_TOPK_MAX];
    float topk_logprob[4096][BACKEND_TOPK_MAX];
    struct sample_row sample[SLOTS];
    struct sample_out sample_out[SLOTS];
    int32_t logit_row[SLOTS];
    float logits[SLOTS][VOCAB_MAX];
    struct {
        struct progress *p;
        int32_t index;
    } score_of[4096], sample_of[SLOTS], logit_of[SLOTS];
    int32_t rows;
    int64_t ticket; /* 0: not with the backend */
};

/* One is built while the step of the other is with the backend. */
static struct builder builders[2];
static struct builder *build = &builders[0];

static void begin(void)
{
    build->rows = 0;
    build->step = (struct step){.piece = build->piece,
                                .score = build->score,
                                .sample = build->sample,
                                .logit_row = build->logit_row,
                                .score_out = build->score_out,
                                .topk_id = build->topk_id[0],
                                .topk_logprob = build->topk_logprob[0],
                                .sample_out = build->sample_out,
                                .logits = build->logits[0]};
}

static void add_sample(struct progress *p)
{
    struct step *s = &build->step;

    build->sample[s->n_sample] = p->sequence->draw;
    build->sample[s->n_sample].row = build->rows - 1;
    build->sample[s->n_sample].slot = p->slot;
    build->sample[s->n_sample].position = (uint32_t)p->sampled;
    p->loaded = false;
    build->sample_of[s->n_sample].p = p;
    build->sample_of[s->n_sample++].index = p->sampled++;
}

/* The sequence's token that its draws shall favour. */
static struct logit_bias bias_of(const struct sequence *s)
{
    return (struct logit_bias){s->token[0], 3};
}

/* What the draws so far have left to the slot, for those with penalties. */
static void remember(struct backend *b, const struct progress *p)
{
    const struct sequence *s = p->sequence;
    const struct logit_bias bias = bias_of(s);
    int32_t generated[GENERATED];
    struct history h = {.prompt = s->token,
                        .n_prompt = s->n,
                        .generated = generated,
                        .n_generated = p->sampled,
                        .bias = &bias,
                        .n_bias = 1};

    for (int32_t i = 0; i < p->sampled; i++)
        generated[i] = p->result->sample[i].token;
    if (s->draw.frequency_penalty != 0)
        ck_assert_int_eq(backend_remember(b, p->slot, &h, &err), 0);
}

/* The next n tokens of a sequence, or the token it sampled last. */
static void add_piece(struct progress *p, int32_t n)
{
    struct step *s = &build->step;

    if (p->given == p->sequence->n) {
        const struct sample_out *last = &p->result->sample[p->sampled - 1];

        build->piece[s->n_piece++] =
            (struct piece){p->slot, 1, p->loaded ? &last->token : NULL};
        build->rows++;
        add_sample(p);
        return;
    }
    build->piece[s->n_piece++] =
        (struct piece){p->slot, n, p->sequence->token + p->given};
    for (int32_t i = 0; i < n; i++, p->given++) {
        int32_t target = p->sequence->token[p->given + 1];

        build->score[s->n_score] =
            (struct score_row){build->rows++, target, TOPK};
        build->score_of[s->n_score].p = p;
        build->score_of[s->n_score++].index = p->given;
    }
    if (p->given == p->sequence->n) {
        build->logit_row[s->n_logit] = build->rows - 1;
        build->logit_of[s->n_logit++].p = p;
        add_sample(p);
    }
}

static void collect(const struct backend *b)
{
    const struct step *s = &build->step;
    size_t v = (size_t)b->vocab;

    for (int32_t i = 0; i < s->n_score; i++) {
        struct result *r = build->score_of[i].p->result;
        int32_t at = build->score_of[i].index;

        r->score[at] = build->score_out[i];
        memcpy(r->top[at], build->topk_id[i], sizeof r->top[at]);
        memcpy(r->top_logprob[at], build->topk_logprob[i],
               sizeof r->top_logprob[at]);
    }
    for (int32_t i = 0; i < s->n_sample; i++)
        build->sample_of[i].p->result->sample[build->sample_of[i].index] =
            build->sample_out[i];
    for (int32_t i = 0; i < s->n_logit; i++)
        memcpy(build->logit_of[i].p->result->logits,
               build->logits[0] + (size_t)i * v, v * sizeof(float));
}

/* Bring in what the other step has come to. */
static void wait_other(struct backend *b)
{
    build = build == &builders[0] ? &builders[1] : &builders[0];
    if (build->ticket == 0)
        return;
    ck_assert_int_eq(backend_wait(b, build->ticket, &err), 0);
    build->ticket = 0;
    collect(b);
}

/* Submit the step; the one before it may still be with the backend. */
static void run(struct backend *b)
{
    build->ticket = backend_submit(b, &build->step, &err);
    ck_assert_msg(build->ticket > 0, "%s", err.text);
    wait_other(b);
}

static bool finished(const struct progress *p)
{
    return p->given == p->sequence->n && p->sampled == GENERATED;
}

static void keep_state(struct backend *b, struct progress *p)
{
    p->result->state = realloc(p->result->state, b->state_bytes);
    ck_assert_int_eq(backend_save(b, p->slot, p->result->state, &err), 0);
}

static void compute_alone(void)
{
    struct backend *b = open_backend(backends[0], 1);

    for (int i = 0; i < SEQUENCES; i++) {
        struct progress p = {&sequences[i], &alone[i], i % SLOTS, 0, 0, false};

        remember(b, &p);
        while (!finished(&p)) {
            begin();
            add_piece(&p, 1);
            run(b);
            wait_other(b);
        }
        keep_state(b, &p);
    }
    backend_destroy(b);
}

/* Go on in another, free slot. */
static void move(struct backend *b, struct progress *p, bool *busy,
                 uint64_t *random)
{
    int32_t to = (int32_t)random_below(random, SLOTS);

    if (busy[to])
        return;
    if (random_below(random, 2) == 0) {
        ck_assert_int_eq(backend_copy(b, to, p->slot, &err), 0);
    } else {
        float *state = malloc(b->state_bytes);

        wait_other(b); /* for the tokens sampled so far */
        ck_assert_int_eq(backend_save(b, p->slot, state, &err), 0);
        ck_assert_int_eq(backend_load(b, to, state, &err), 0);
        free(state);
        p->loaded = true;
    }
    ck_assert_int_eq(backend_reset(b, p->slot, &err), 0);
    busy[p->slot] = false;
    busy[to] = true;
    p->slot = to;
    if (p->loaded)
        remember(b, p);
}

static void check_equal(const struct progress *p, const struct result *want,
                        size_t state_floats)
{
    const struct result *got = p->result;
    long which = p->sequence - sequences;

    for (int32_t i = 0; i < p->sequence->n; i++) {
        if (!same_bits(got->score[i].logprob, want->score[i].logprob)
            || got->score[i].argmax != want->score[i].argmax
            || !got->score[i].finite)
            ck_abort_msg("sequence %ld: score of row %d is %a, alone %a", which,
                         i, (double)got->score[i].logprob,
                         (double)want->score[i].logprob);
        if (memcmp(got->top[i], want->top[i], sizeof got->top[i]) != 0
            || memcmp(got->top_logprob[i], want->top_logprob[i],
                      sizeof got->top_logprob[i])
                   != 0)
            ck_abort_msg("sequence %ld: top-k of row %d differs", which, i);
    }
    for (int i = 0; i < GENERATED; i++)
        ck_assert_msg(
            got->sample[i].token == want->sample[i].token
                && same_bits(got->sample[i].logprob, want->sample[i].logprob),
            "sequence %ld: token %d sampled is %d, alone %d", which, i,
            got->sample[i].token, want->sample[i].token);
    ck_assert_msg(
        memcmp(got->logits, want->logits, (size_t)weights->V * sizeof(float))
            == 0,
        "sequence %ld: logits differ", which);
    ck_assert_msg(memcmp(got->state, want->state, state_floats * sizeof(float))
                      == 0,
                  "sequence %ld: final state differs", which);
}

/* A step of random pieces of some of the unfinished sequences. */
static void add_pieces(struct progress *p, int32_t tokens_per_step,
                       uint64_t *random)
{
    size_t first = random_below(random, SEQUENCES);
    int32_t piece_max = random_below(random, 3) == 0 ? 1 : LENGTH_MAX;

    for (size_t i = 0; i < SEQUENCES; i++) {
        struct progress *q = &p[(first + i) % SEQUENCES];
        int32_t left = q->sequence->n - q->given;
        int32_t room = tokens_per_step - build->rows;

        if (finished(q) || room == 0
            || (build->rows > 0 && random_below(random, 4) == 0))
            continue;
        left = left < room ? left : room;
        left = left < piece_max ? left : piece_max;
        if (left > 1 && random_below(random, 2) == 0)
            left = 1 + (int32_t)random_below(random, (size_t)left);
        add_piece(q, left);
    }
}

static void compute_together(struct backend *b, uint64_t *random)
{
    static struct result results[SEQUENCES];
    struct progress p[SEQUENCES];
    bool busy[SLOTS] = {false};
    int unfinished = SEQUENCES;

    for (int32_t i = 0; i < SEQUENCES; i++) {
        int32_t slot = (i * 5 + (int32_t)random_below(random, SLOTS)) % SLOTS;

        while (busy[slot])
            slot = (slot + 1) % SLOTS;
        busy[slot] = true;
        p[i] = (struct progress){&sequences[i], &results[i], slot, 0, 0, false};
        ck_assert_int_eq(backend_reset(b, slot, &err), 0);
        remember(b, &p[i]);
    }
    while (unfinished > 0) {
        begin();
        add_pieces(p, b->limits.tokens_per_step, random);
        run(b);
        move(b, &p[random_below(random, SEQUENCES)], busy, random);
        unfinished = 0;
        for (int i = 0; i < SEQUENCES; i++)
            unfinished += !finished(&p[i]);
    }
    wait_other(b);
    for (int i = 0; i < SEQUENCES; i++) {
        keep_state(b, &p[i]);
        check_equal(&p[i], &alone[i], b->state_bytes / sizeof(float));
    }
}

START_TEST(results_depend_on_the_sequence_alone)
{
    static const int32_t sizes[] = {7, 64, 4096};
    uint64_t random = 77 + (uint64_t)_i;

    weights = weights_random(&shapes[_i], 5, &err);
    ck_assert_msg(weights != NULL, "%s", err.text);
    make_sequences(&random);
    compute_alone();
    for (int k = 1; k < n_backend; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct backend *b = open_backend(backends[k], sizes[i]);

            for (int round = 0; round < (k == 1 && n_backend > 2 ? i == 0 : 3);
                 round++)
                compute_together(b, &random);
            backend_destroy(b);
        }
    }
    weights_close(weights);
}
END_TEST

/* The schedules are worth something only if results do vary with the sequence.
 */
START_TEST(sequences_differ)
{
    uint64_t random = 1;
    int equal = 0;

    weights = weights_random(&shapes[0], 5, &err);
    make_sequences(&random);
    compute_alone();
    for (int i = 1; i < SEQUENCES; i++)
        equal +=
            same_bits(alone[0].score[0].logprob, alone[i].score[0].logprob);
    ck_assert_int_eq(equal, 0);
    ck_assert(alone[1].score[0].logprob < 0);
    ck_assert(alone[1].score[0].logprob > -30);
    weights_close(weights);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("batch");
    TCase *c = tcase_create("alone and together");
    SRunner *r = srunner_create(s);
    int failed;

    choose_backends(argc, argv);
    tcase_set_timeout(c, 120);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, results_depend_on_the_sequence_alone, 0,
                        sizeof shapes / sizeof *shapes);
    tcase_add_test(c, sequences_differ);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
