#include "tests/model/ahead.h"

#include <check.h>
#include <string.h>

#define SLOTS 4
#define STEPS 50

/* The null backend as one that computes in submit(), and fails at a token. */
#define BAD_TOKEN 99
static struct backend_ops ops;

static int64_t submit(struct backend *b, const struct step *step,
                      struct err *err)
{
    for (int32_t i = 0; i < step->n_piece; i++) {
        if (step->piece[i].token != NULL
            && step->piece[i].token[0] == BAD_TOKEN)
            return err_set(err, ERR_CUDA, "a bad token");
    }
    return backend_null.submit(b, step, err);
}

static struct backend *create(const struct weights *w,
                              const struct backend_limits *limits,
                              const char *options, struct err *err)
{
    struct backend *b = backend_null.create(w, limits, options, err);

    b->ops = &ops;
    b->async = false;
    return b;
}

static struct backend *open_one(bool ahead)
{
    const struct backend_limits limits = {
        .slots = SLOTS, .tokens_per_step = 8, .histories = SLOTS};
    struct err err = {0};
    struct backend *b, *a;

    ops = backend_null;
    ops.create = create;
    ops.submit = submit;
    b = backend_create(&ops, NULL, &limits, "vocab=100", &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    if (!ahead)
        return b;
    a = backend_ahead(b, &err);
    ck_assert_msg(a != NULL && a != b, "%s", err.text);
    ck_assert(a->async);
    ck_assert_str_eq(a->ops->name, "null");
    return a;
}

/* A step that feeds slot i % SLOTS a token and draws the next, or feeds the one
 * drawn last.
 */
struct one {
    struct piece piece;
    int32_t token;
    struct sample_row row;
    struct sample_out out;
    struct step step;
};

static void make(struct one *o, int i)
{
    o->token = i * 7 % BAD_TOKEN;
    o->piece = (struct piece){.slot = i % SLOTS, .n = 1, .token = &o->token};
    if (i / SLOTS % 3 != 0)
        o->piece.token = NULL;
    o->row = (struct sample_row){.slot = i % SLOTS,
                                 .temperature = 1,
                                 .top_p = 1,
                                 .repetition_penalty = 1,
                                 .key = (uint64_t)i,
                                 .position = (uint32_t)i};
    o->step = (struct step){.piece = &o->piece,
                            .n_piece = 1,
                            .sample = &o->row,
                            .n_sample = 1,
                            .sample_out = &o->out};
}

/* Two steps unwaited, resets and copies between them: the same draws. */
START_TEST(the_same_results)
{
    struct backend *a = open_one(true), *b = open_one(false);
    static struct one x[STEPS], y[STEPS];
    int64_t ticket[STEPS];
    struct err err = {0};
    float state_a[64], state_b[64];

    ck_assert_uint_le(a->state_bytes, sizeof state_a);
    for (int i = 0; i < STEPS; i++) {
        make(&x[i], i);
        make(&y[i], i);
        if (i % 12 == 0)
            ck_assert(backend_reset(a, i % SLOTS, &err) == 0
                      && backend_reset(b, i % SLOTS, &err) == 0);
        if (i > SLOTS && i % 5 == 0)
            ck_assert(backend_copy(a, i % SLOTS, (i + 1) % SLOTS, &err) == 0
                      && backend_copy(b, i % SLOTS, (i + 1) % SLOTS, &err)
                             == 0);
        ticket[i] = backend_submit(a, &x[i].step, &err);
        ck_assert_msg(ticket[i] > 0, "%s", err.text);
        ck_assert_int_eq(
            backend_wait(b, backend_submit(b, &y[i].step, &err), &err), 0);
        if (i > 0)
            ck_assert_int_eq(backend_wait(a, ticket[i - 1], &err), 0);
    }
    /* One step is unwaited still: saving comes behind it. */
    ck_assert_int_eq(backend_save(a, 1, state_a, &err), 0);
    ck_assert_int_eq(backend_save(b, 1, state_b, &err), 0);
    ck_assert_mem_eq(state_a, state_b, a->state_bytes);
    ck_assert_int_eq(backend_wait(a, ticket[STEPS - 1], &err), 0);
    for (int i = 0; i < STEPS; i++)
        ck_assert_mem_eq(&x[i].out, &y[i].out, sizeof x[i].out);
    ck_assert_int_eq(backend_load(a, 2, state_a, &err), 0);
    ck_assert_int_eq(backend_save(a, 2, state_b, &err), 0);
    ck_assert_mem_eq(state_a, state_b, a->state_bytes);
    backend_destroy(a);
    backend_destroy(b);
}
END_TEST

/* What fails in the thread is told by waiting, and from then on. */
START_TEST(a_failure_is_told)
{
    struct backend *a = open_one(true);
    struct one bad, good;
    struct err err = {0};
    int64_t first, second;
    float state[64];

    make(&bad, 0);
    make(&good, 1);
    bad.token = BAD_TOKEN;
    first = backend_submit(a, &bad.step, &err);
    second = backend_submit(a, &good.step, &err);
    ck_assert_int_eq(backend_wait(a, first, &err), -1);
    ck_assert_int_eq(err.code, ERR_CUDA);
    ck_assert_str_eq(err.text, "a bad token");
    ck_assert_int_eq(backend_wait(a, second, &err), -1);
    ck_assert_int_eq(backend_save(a, 0, state, &err), -1);
    backend_destroy(a);
}
END_TEST

/* Arguments are checked before anything is queued. */
START_TEST(bad_arguments)
{
    struct backend *a = open_one(true);
    struct err err = {0};
    struct one o;

    make(&o, 0);
    o.piece.slot = SLOTS;
    ck_assert_int_eq(backend_submit(a, &o.step, &err), -1);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_int_eq(backend_reset(a, -1, &err), -1);
    ck_assert_int_eq(backend_wait(a, 1, &err), -1);
    backend_destroy(a);
}
END_TEST

START_TEST(asynchronous_ones_stay_as_they_are)
{
    const struct backend_limits limits = {
        .slots = 1, .tokens_per_step = 1, .histories = 0};
    struct backend *b =
        backend_create(&backend_null, NULL, &limits, NULL, NULL);

    ck_assert(b->async);
    ck_assert_ptr_eq(backend_ahead(b, NULL), b);
    backend_destroy(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahead");
    TCase *t = tcase_create("ahead");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(t, the_same_results);
    tcase_add_test(t, a_failure_is_told);
    tcase_add_test(t, bad_arguments);
    tcase_add_test(t, asynchronous_ones_stay_as_they_are);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
