/* rank.c against the plainest way to compute the same: one sequence at a time,
 * token by token. The bits must be equal whatever the sizes.
 */
#include "worker/rank.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/ahead.h"
#include "model/weights.h"
#include "worker/vocab.h"
#include "worker/work.h"

#define RECORDS 60
#define PIECES_MAX 300

static struct tokenizer *tokenizer;
static struct weights *weights;
static const struct backend_ops *ops;
static const char *options;
static int32_t vocab;
static bool ahead; /* steps are computed by a thread of their own */

static uint32_t next(uint32_t *x)
{
    return (*x = *x * 1664525u + 1013904223u) >> 8;
}

static struct backend *open_with(const struct backend_ops *o, int32_t slots,
                                 int32_t rows)
{
    const struct backend_limits limits = {
        .slots = slots, .tokens_per_step = rows, .histories = slots};
    struct err err = {0};
    struct backend *b = backend_create(o, weights, &limits, options, &err);

    ck_assert_msg(b != NULL, "%s", err.text);
    return b;
}

static struct backend *open_backend(int32_t slots, int32_t rows)
{
    struct backend *b = open_with(ops, slots, rows);

    return ahead ? backend_ahead(b, NULL) : b;
}

/* For the plain way. */
static struct backend *open_plain(void)
{
    return open_with(weights != NULL ? &backend_cpu : &backend_null, 1, 1);
}

static void use_null(void)
{
    ops = &backend_null;
    options = "vocab=79";
    vocab = 79;
    ck_assert_int_eq(vocab_open("null", "", &tokenizer, NULL), 0);
}

static void use_cpu(void)
{
    struct err err = {0};

    ops = &backend_cpu;
    options = NULL;
    weights = weights_open("tests/golden/small16-blink.safetensors", &err);
    ck_assert_msg(weights != NULL, "%s", err.text);
    vocab = weights->V;
    ck_assert_int_eq(vocab_open("null", "", &tokenizer, NULL), 0);
}

static void use_thread(void)
{
    use_cpu();
    ahead = true;
}

static void teardown(void)
{
    weights_close(weights);
    weights = NULL;
    ahead = false;
    tokenizer_close(tokenizer);
}

/* A record made of random tokens. By i % 5: a score, choices, a score that tells
 * each token, n samples of a prompt, and one or several generations, some of
 * them with scored prompts and alternatives.
 */
struct sample {
    struct work_head head;
    int32_t len[6];
    int32_t token[PIECES_MAX];
    struct logit_bias bias[2];
    const char *stop;
};

static bool generates(const struct sample *s)
{
    return s->head.max_tokens > 0;
}

static void make_generation(struct sample *s, uint32_t i, uint32_t *x)
{
    s->head.max_tokens = 1 + (int32_t)(next(x) % 40);
    s->head.temperature = i % 2 == 0 ? 0.0f : 0.9f;
    s->head.key = 1000 + i;
    s->head.n_stop = 1;
    s->head.stop_bytes = 6;
    s->head.n_branch = i % 5 == 3 ? 1 + i % 4 : 1;
    s->head.scored = i % 3 == 0;
    if (s->head.scored)
        s->head.n_prefix = 0;
    if (i % 4 >= 2)
        return;
    s->head.min_p = 0.01f;
    s->head.frequency_penalty = 0.5f;
    s->head.presence_penalty = -0.25f;
    s->head.repetition_penalty = i % 4 == 0 ? 1.3f : 1.0f;
    s->head.n_bias = i % 2 * 2;
    s->bias[0] = (struct logit_bias){3, 1.5f};
    s->bias[1] = (struct logit_bias){5, -1.5f};
}

static void make_sample(struct sample *s, uint32_t i)
{
    uint32_t x = i * 7919 + 1, n;

    memset(s, 0, sizeof *s);
    s->head.kind = WORK_RECORD;
    s->head.id = (uint64_t)3 << 32 | i;
    s->head.cost = 1;
    s->head.scored = 1;
    s->head.n_prefix = next(&x) % (i % 7 == 0 ? 120 : 20);
    s->head.n_branch = i % 5 == 1 ? 1 + next(&x) % 6 : 1;
    s->head.top_p = 1.0f;
    s->head.repetition_penalty = 1.0f;
    s->head.detail = i % 5 >= 2 && i % 4 < 3;
    s->head.top_logprobs = s->head.detail ? i % 4 * 2 : 0;
    s->stop = "\x02\0\0\0q\n";
    if (i % 5 >= 3)
        make_generation(s, i, &x);
    n = s->head.n_prefix;
    for (uint32_t b = 0; b < s->head.n_branch; b++) {
        s->len[b] =
            generates(s) && !s->head.scored ? 1 : 1 + (int)(next(&x) % 9);
        n += (uint32_t)s->len[b];
    }
    ck_assert_uint_le(n, PIECES_MAX);
    for (uint32_t k = 0; k < n; k++)
        s->token[k] = (int32_t)(next(&x) % (uint32_t)vocab);
}

/* What a branch comes to. */
struct plain {
    struct answer_branch branch;
    struct buf detail;
    struct buf bytes;
};

/* Feed one token. `target` >= 0 is scored, else `position` >= 0 is drawn; the
 * token that was scored or drawn is returned.
 */
static int32_t feed_one(struct backend *b, const struct sample *s,
                        uint32_t branch, int32_t token, int32_t target,
                        int32_t position, struct plain *out)
{
    const int32_t k = (int32_t)s->head.top_logprobs;
    const struct piece piece = {.slot = 0, .n = 1, .token = &token};
    const struct score_row score = {.target = target >= 0 ? target : 0,
                                    .topk = k};
    const struct sample_row row = {
        .temperature = s->head.temperature,
        .top_p = 1.0f,
        .key = s->head.key,
        .sample = branch,
        .position = (uint32_t)position,
        .min_p = s->head.min_p,
        .presence_penalty = s->head.presence_penalty,
        .frequency_penalty = s->head.frequency_penalty,
        .repetition_penalty = s->head.repetition_penalty};
    int32_t topk_id[BACKEND_TOPK_MAX];
    float topk_logprob[BACKEND_TOPK_MAX];
    struct sample_out drawn;
    struct score_out scored;
    const struct step step = {.piece = &piece,
                              .n_piece = 1,
                              .score = &score,
                              .n_score = target >= 0 || position >= 0,
                              .sample = &row,
                              .n_sample = position >= 0,
                              .topk_id = topk_id,
                              .topk_logprob = topk_logprob,
                              .score_out = &scored,
                              .sample_out = &drawn};
    struct token_logprob one = {target, 0};

    ck_assert_int_eq(backend_wait(b, backend_submit(b, &step, NULL), NULL), 0);
    if (target < 0 && position < 0)
        return 0;
    one.logprob = scored.logprob;
    if (position >= 0) {
        one = (struct token_logprob){drawn.token, drawn.logprob};
    } else {
        out->branch.logprob += (double)scored.logprob;
        out->branch.greedy = out->branch.greedy && scored.argmax;
    }
    if (s->head.detail) {
        buf_add(&out->detail, &one, sizeof one);
        out->branch.n_detail++;
    }
    for (int32_t i = 0; i < k; i++) {
        struct token_logprob top = {topk_id[i], topk_logprob[i]};

        buf_add(&out->detail, &top, sizeof top);
    }
    return one.id;
}

static void plain_generate(struct backend *b, const struct sample *s,
                           uint32_t branch, int32_t token, struct plain *out)
{
    out->branch.finish = ANSWER_LENGTH;
    while (out->branch.sampled < (uint32_t)s->head.max_tokens) {
        token = feed_one(b, s, branch, token, -1, (int32_t)out->branch.sampled,
                         out);
        if (token == TOKENIZER_END) {
            out->branch.ended = 1;
            break;
        }
        out->branch.sampled++;
        tokenizer_decode(tokenizer, &token, 1, &out->bytes);
        if (out->bytes.data != NULL && strstr(out->bytes.data, "q\n") != NULL)
            break;
        if (out->branch.sampled == (uint32_t)s->head.max_tokens)
            return;
    }
    out->branch.finish = ANSWER_STOP;
}

static void remember(struct backend *b, const struct sample *s,
                     const int32_t *branch, int32_t n)
{
    int32_t prompt[PIECES_MAX];
    const struct history h = {prompt,  (int32_t)s->head.n_prefix + n, NULL, 0,
                              s->bias, (int32_t)s->head.n_bias};

    memcpy(prompt, s->token, 4 * (size_t)s->head.n_prefix);
    memcpy(prompt + s->head.n_prefix, branch, 4 * (size_t)n);
    ck_assert_int_eq(backend_remember(b, 0, &h, NULL), 0);
}

static void plain_branch(struct backend *b, const struct sample *s, uint32_t i,
                         struct plain *out)
{
    const int32_t *branch = s->token + s->head.n_prefix;

    *out = (struct plain){
        .branch = {.greedy = 1, .finish = ANSWER_LENGTH},
    };
    for (uint32_t k = 0; k < i; k++)
        branch += s->len[k];
    backend_reset(b, 0, NULL);
    if (s->head.frequency_penalty != 0)
        remember(b, s, branch, s->len[i]);
    for (uint32_t k = 0; k < s->head.n_prefix; k++)
        feed_one(b, s, i, s->token[k], -1, -1, out);
    for (int32_t k = 0; k + 1 < s->len[i]; k++)
        feed_one(b, s, i, branch[k], s->head.scored ? branch[k + 1] : -1, -1,
                 out);
    if (generates(s))
        plain_generate(b, s, i, branch[s->len[i] - 1], out);
}

static void check_branch(const struct sample *s, const struct answer_view *got,
                         const struct plain *want)
{
    struct answer_branch branch = got->branch;

    /* The text is the decoder's, which has a check of its own. */
    branch.text_bytes = 0;
    ck_assert_mem_eq(&branch, &want->branch, sizeof branch);
    ck_assert_uint_eq(want->detail.len, got->detail.n
                                            * (s->head.top_logprobs + 1)
                                            * sizeof *got->detail.at);
    if (want->detail.len > 0)
        ck_assert_mem_eq(got->detail.at, want->detail.data, want->detail.len);
    ck_assert_uint_ge(3 * want->bytes.len, got->branch.text_bytes);
}

static uint64_t check_payload(struct backend *plain, const struct sample *s,
                              const void *payload, size_t len)
{
    uint64_t sampled = 0;
    size_t at = 0;

    for (uint32_t i = 0; i < s->head.n_branch; i++) {
        struct answer_view view;
        struct plain want;

        ck_assert_int_eq(
            answer_next_branch(payload, len, &at, s->head.top_logprobs, &view),
            0);
        plain_branch(plain, s, i, &want);
        check_branch(s, &view, &want);
        sampled += want.branch.sampled;
        buf_free(&want.detail);
        buf_free(&want.bytes);
    }
    ck_assert_uint_eq(at, len);
    return sampled;
}

static void add(struct rank *r, const struct sample *s)
{
    struct buf request = BUF_INIT;
    struct err err = {0};

    work_write(&request, &s->head, s->len, s->token, s->bias, s->stop);
    ck_assert_msg(rank_add(r, request.data, request.len, &err) == 0, "%s",
                  err.text);
    buf_free(&request);
}

/* Check the answers against the plain way; returns how many there were. */
static int check_answers(struct rank *r, struct backend *plain, bool *seen)
{
    struct buf *answers = rank_answers(r);
    size_t at = 0, size;
    int n = 0;

    while ((size = answer_size(answers->data + at, answers->len - at)) > 0) {
        struct answer_head head;
        const void *payload;
        struct sample s;

        ck_assert_int_eq(answer_read(answers->data + at, size, &head, &payload),
                         0);
        make_sample(&s, (uint32_t)head.id);
        ck_assert(!seen[(uint32_t)head.id]);
        seen[(uint32_t)head.id] = true;
        ck_assert_uint_eq(head.status, ANSWER_OK);
        ck_assert_uint_eq(head.sampled, check_payload(plain, &s, payload,
                                                      head.payload_bytes));
        at += size;
        n++;
    }
    buf_consume(answers, at);
    return n;
}

/* One turn of a rank process that keeps up to `depth` steps on the device.
 * False when there is nothing left to do.
 */
static bool turn(struct rank *r, int depth)
{
    struct err err = {0};
    int32_t rows = rank_plan(r, &err);

    ck_assert_msg(rows >= 0, "%s", err.text);
    if (rows > 0)
        ck_assert_msg(rank_submit(r, &err) == 0, "%s", err.text);
    if (rank_unwaited(r) > (rows > 0 ? depth - 1 : 0))
        ck_assert_msg(rank_finish(r, &err) == 0, "%s", err.text);
    return rows > 0 || rank_unwaited(r) > 0;
}

static const struct {
    int32_t slots, rows;
} sizes[] = {{2, 1}, {2, 64}, {3, 7}, {5, 33}, {16, 1000}, {64, 256}};

#define N_SIZES ((int)(sizeof sizes / sizeof *sizes))

/* Every record is answered once, with the bits of the plain way, whatever the
 * sizes, with one step or two on the device.
 */
START_TEST(any_size_gives_the_same_bits)
{
    const int depth = 1 + _i / N_SIZES, size = _i % N_SIZES;
    struct backend *b = open_backend(sizes[size].slots, sizes[size].rows);
    struct backend *plain = open_plain();
    struct rank *r = rank_create(b, tokenizer);
    bool seen[RECORDS] = {false}, more;
    int answered = 0;
    uint32_t added = 0;

    do {
        /* New records arrive while others are running. */
        for (int k = 0; k < 4 && added < RECORDS; k++) {
            struct sample s;

            make_sample(&s, added++);
            add(r, &s);
        }
        more = turn(r, depth);
        answered += check_answers(r, plain, seen);
    } while (more || added < RECORDS);
    ck_assert_int_eq(answered, RECORDS);
    ck_assert_uint_eq(rank_counts(r)->records, RECORDS);
    ck_assert_uint_eq(rank_counts(r)->cost, RECORDS);
    rank_destroy(r);
    backend_destroy(b);
    backend_destroy(plain);
}
END_TEST

static int count_status(struct rank *r, enum answer_status status)
{
    struct buf *answers = rank_answers(r);
    size_t at = 0, size;
    int n = 0;

    while ((size = answer_size(answers->data + at, answers->len - at)) > 0) {
        struct answer_head head;
        const void *payload;

        ck_assert_int_eq(answer_read(answers->data + at, size, &head, &payload),
                         0);
        n += head.status == status;
        at += size;
    }
    buf_consume(answers, at);
    return n;
}

/* Cancelled at any moment: one answer each, and every slot is free again. What
 * two steps still on the device give is dropped.
 */
START_TEST(cancelled_at_any_moment)
{
    const int turns = _i / 2 * 9, depth = 1 + _i % 2;
    const struct work_head cancel = {.kind = WORK_CANCEL,
                                     .id = (uint64_t)3 << 32};
    struct backend *b = open_backend(4, 16);
    struct rank *r = rank_create(b, tokenizer);
    struct buf request = BUF_INIT;
    struct sample s;
    int ok = 0, cancelled = 0;

    for (uint32_t i = 0; i < RECORDS; i++) {
        make_sample(&s, i);
        add(r, &s);
    }
    for (int i = 0; i < turns; i++)
        ck_assert(turn(r, depth));
    ck_assert_int_eq(rank_unwaited(r), turns > 0 ? depth - 1 : 0);
    ok = count_status(r, ANSWER_OK);
    work_write(&request, &cancel, NULL, NULL, NULL, NULL);
    ck_assert_int_eq(rank_add(r, request.data, request.len, NULL), 0);
    cancelled = count_status(r, ANSWER_CANCELLED);
    ck_assert_int_eq(ok + cancelled, RECORDS);
    while (turn(r, depth))
        ;
    ck_assert_uint_eq(rank_answers(r)->len, 0);
    /* Choices need two slots: do they get them? */
    make_sample(&s, 11);
    ck_assert_uint_gt(s.head.n_branch, 1);
    for (int i = 0; i < 5; i++)
        add(r, &s);
    while (turn(r, depth))
        ;
    ck_assert_int_eq(count_status(r, ANSWER_OK), 5);
    buf_free(&request);
    rank_destroy(r);
    backend_destroy(b);
}
END_TEST

/* A record that stops being finite in one branch is answered once, as such. */
START_TEST(not_finite)
{
    struct backend *b;
    struct rank *r;
    struct sample s;
    uint64_t added = 0;

    options = "vocab=80,poison_token=79";
    b = open_backend(4, 16);
    r = rank_create(b, tokenizer);
    for (uint32_t i = 0; i < RECORDS; i++) {
        make_sample(&s, i);
        /* A generation may draw the poison by itself. */
        if (generates(&s) && i != 4)
            continue;
        for (int32_t k = 0; i == 11 && k < s.len[0] + s.len[1] - 1; k++)
            s.token[s.head.n_prefix + (uint32_t)k] = 79;
        if (i == 4 || i == 20)
            s.token[0] = 79;
        add(r, &s);
        added++;
    }
    while (turn(r, 1 + _i))
        ;
    ck_assert_uint_eq(rank_counts(r)->records, added);
    ck_assert_int_eq(count_status(r, ANSWER_NON_FINITE), 3);
    rank_destroy(r);
    backend_destroy(b);
}
END_TEST

/* A backend as lazy as the contract allows: a step is computed when it is waited
 * for, or when a slot is touched behind it, from the arrays as they are then.
 */
static const struct step *lazy[RANK_UNWAITED_MAX];
static int n_lazy, unwaited, unwaited_most, waits_alone;
static int64_t lazy_ticket;

static int lazy_compute(struct backend *b)
{
    int rc = 0;

    for (int i = 0; i < n_lazy; i++)
        rc |= backend_null.submit(b, lazy[i], NULL) < 0;
    n_lazy = 0;
    return rc;
}

static int64_t lazy_submit(struct backend *b, const struct step *step,
                           struct err *err)
{
    (void)b;
    (void)err;
    lazy[n_lazy++] = step;
    unwaited++;
    if (unwaited > unwaited_most)
        unwaited_most = unwaited;
    return ++lazy_ticket;
}

static int lazy_wait(struct backend *b, int64_t ticket, struct err *err)
{
    (void)ticket;
    (void)err;
    waits_alone += unwaited == 1;
    unwaited--;
    return lazy_compute(b);
}

static int lazy_reset(struct backend *b, int32_t slot, struct err *err)
{
    return lazy_compute(b) < 0 ? -1 : backend_null.reset(b, slot, err);
}

static int lazy_copy(struct backend *b, int32_t dst, int32_t src,
                     struct err *err)
{
    return lazy_compute(b) < 0 ? -1 : backend_null.copy(b, dst, src, err);
}

static struct backend *lazy_create(const struct weights *w,
                                   const struct backend_limits *limits,
                                   const char *o, struct err *err)
{
    struct backend *b = backend_null.create(w, limits, o, err);

    b->ops = ops;
    return b;
}

static void use_lazy(void)
{
    static struct backend_ops copy;

    use_null();
    copy = backend_null;
    copy.create = lazy_create;
    copy.submit = lazy_submit;
    copy.wait = lazy_wait;
    copy.reset = lazy_reset;
    copy.copy = lazy_copy;
    ops = &copy;
    n_lazy = unwaited = unwaited_most = waits_alone = 0;
}

/* While there is work, the next step is with the device before the host waits
 * for the one before it: also when all that is left are generations, each of
 * which feeds what the step before samples.
 */
START_TEST(the_device_has_the_next_step)
{
    struct backend *b;
    struct rank *r;
    struct sample s;

    b = open_backend(8, 64);
    r = rank_create(b, tokenizer);
    for (uint32_t i = 0; i < 4 * RECORDS; i++) {
        make_sample(&s, _i == 0 ? i : i * 5 + 4);
        add(r, &s);
    }
    while (turn(r, 2))
        ;
    ck_assert_int_eq(unwaited, 0);
    ck_assert_int_eq(unwaited_most, 2);
    /* The last one; and before it, when everyone waits for a stop. */
    ck_assert_int_le(waits_alone, 3);
    ck_assert_uint_eq(rank_counts(r)->records, 4 * RECORDS);
    rank_destroy(r);
    backend_destroy(b);
}
END_TEST

/* Destroyed with two steps on the device: they are waited for first. */
START_TEST(destroyed_in_flight)
{
    struct backend *b;
    struct rank *r;
    struct sample s;

    b = open_backend(8, 16);
    r = rank_create(b, tokenizer);
    for (uint32_t i = 0; i < RECORDS; i++) {
        make_sample(&s, i);
        add(r, &s);
    }
    ck_assert_int_gt(rank_plan(r, NULL), 0);
    ck_assert_int_eq(rank_submit(r, NULL), 0);
    ck_assert_int_gt(rank_plan(r, NULL), 0);
    ck_assert_int_eq(rank_submit(r, NULL), 0);
    rank_destroy(r);
    ck_assert_int_eq(unwaited, 0);
    backend_destroy(b);
}
END_TEST

START_TEST(malformed_requests)
{
    struct backend *b = open_backend(2, 2);
    struct rank *r = rank_create(b, tokenizer);
    struct buf request = BUF_INIT;
    struct sample s;
    struct err err = {0};

    make_sample(&s, 1);
    work_write(&request, &s.head, s.len, s.token, s.bias, s.stop);
    ck_assert_int_lt(rank_add(r, request.data, request.len - 8, &err), 0);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    ((struct work_head *)(void *)request.data)->n_prefix = 1u << 30;
    ck_assert_int_lt(rank_add(r, request.data, request.len, &err), 0);
    ((struct work_head *)(void *)request.data)->n_prefix = 0;
    ((struct work_head *)(void *)request.data)->n_branch = 0;
    ck_assert_int_lt(rank_add(r, request.data, request.len, &err), 0);
    buf_free(&request);
    rank_destroy(r); /* with nothing in it */
    backend_destroy(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rank");
    TCase *null = tcase_create("null"), *cpu = tcase_create("cpu");
    TCase *slow = tcase_create("lazy"), *thread = tcase_create("thread");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(null, use_null, teardown);
    tcase_add_loop_test(null, any_size_gives_the_same_bits, 0, 2 * N_SIZES);
    tcase_add_loop_test(null, cancelled_at_any_moment, 0, 10);
    tcase_add_loop_test(null, not_finite, 0, 2);
    tcase_add_test(null, malformed_requests);
    suite_add_tcase(suite, null);
    tcase_add_checked_fixture(slow, use_lazy, teardown);
    tcase_add_loop_test(slow, any_size_gives_the_same_bits, 0, 2 * N_SIZES);
    tcase_add_loop_test(slow, cancelled_at_any_moment, 0, 10);
    tcase_add_loop_test(slow, not_finite, 0, 2);
    tcase_add_loop_test(slow, the_device_has_the_next_step, 0, 2);
    tcase_add_test(slow, destroyed_in_flight);
    suite_add_tcase(suite, slow);
    tcase_add_checked_fixture(cpu, use_cpu, teardown);
    tcase_add_loop_test(cpu, any_size_gives_the_same_bits, 0, 2 * N_SIZES);
    tcase_set_timeout(cpu, 30);
    suite_add_tcase(suite, cpu);
    tcase_add_checked_fixture(thread, use_thread, teardown);
    tcase_add_loop_test(thread, any_size_gives_the_same_bits, 0, 2 * N_SIZES);
    tcase_add_loop_test(thread, cancelled_at_any_moment, 0, 10);
    tcase_set_timeout(thread, 30);
    suite_add_tcase(suite, thread);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
