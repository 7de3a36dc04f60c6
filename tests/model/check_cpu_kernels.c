/* Every kernel but sgemm and the functions, which have tests of their own: the
 * same bits from every instruction set, and near a plain computation in double.
 */
#include <check.h>

#include "tests/model/kernel_sets.h"

#define ROWS 5

static const struct cpu_kernels *set[KERNEL_SETS_MAX];
static int n_set;
static uint64_t random_state = 4;

static struct cpu_rows rows(size_t c, float spread)
{
    size_t ld = c + CPU_LANES;

    return (struct cpu_rows){random_floats(&random_state, ROWS * ld, spread),
                             ld};
}

static struct cpu_rows copy(struct cpu_rows x)
{
    struct cpu_rows y = {hold(ROWS * x.ld, sizeof(float)), x.ld};

    memcpy(y.at, x.at, ROWS * x.ld * sizeof(float));
    return y;
}

static void check_same(const char *what, const float *a, const float *b,
                       size_t n, int s)
{
    for (size_t i = 0; i < n; i++) {
        if (!same_bits(a[i], b[i]))
            ck_abort_msg("%s: [%zu] is %a with %s, %a with %s", what, i,
                         (double)a[i], set[0]->name, (double)b[i],
                         set[s]->name);
    }
}

static void check_near(const char *what, double got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        ck_abort_msg("%s: %.9g, not %.9g", what, got, want);
}

static void check_norm(size_t c, const float *x, const float *weight,
                       const float *bias, const float *y)
{
    double mean = 0, var = 0;

    for (size_t j = 0; j < c; j++)
        mean += (double)x[j] / (double)c;
    for (size_t j = 0; j < c; j++)
        var += pow((double)x[j] - mean, 2) / (double)c;
    for (size_t j = 0; j < c; j++)
        check_near("layer_norm", (double)y[j],
                   ((double)x[j] - mean) / sqrt(var + 1e-5) * (double)weight[j]
                       + (double)bias[j],
                   2e-5);
}

START_TEST(layer_norm_is_right)
{
    size_t c = (size_t)_i * CPU_LANES;
    struct cpu_rows x = rows(c, 3), want = rows(c, 0), got = rows(c, 0);
    float *weight = random_floats(&random_state, c, 2);
    float *bias = random_floats(&random_state, c, 2);

    set[0]->layer_norm(ROWS, c, x, weight, bias, want);
    for (size_t i = 0; i < ROWS; i++)
        check_norm(c, x.at + i * x.ld, weight, bias, want.at + i * want.ld);
    for (int s = 1; s < n_set; s++) {
        set[s]->layer_norm(ROWS, c, x, weight, bias, got);
        for (size_t i = 0; i < ROWS; i++)
            check_same("layer_norm", want.at + i * want.ld, got.at + i * got.ld,
                       c, s);
    }
}
END_TEST

/* shift, mix, add, decay, relu_square and value_residual, one after another. */
static void run_elementwise(const struct cpu_kernels *k, size_t c,
                            const struct cpu_rows in[4], const float *vector,
                            struct cpu_rows out)
{
    const float *before[ROWS];
    struct cpu_rows d = copy(in[0]);

    for (size_t i = 0; i < ROWS; i++)
        before[i] = in[1].at + (ROWS - 1 - i) * in[1].ld;
    k->shift(ROWS, c, in[0], before, d);
    k->mix(ROWS, c, in[0], d, vector, out);
    k->add(ROWS, c, out, in[2], NULL);
    k->add(ROWS, c, out, in[3], vector);
    k->relu_square(ROWS, c, out);
    k->decay(ROWS, c, out, vector);
    k->value_residual(ROWS, c, out, in[1], in[2], vector);
}

static double sigma(double x)
{
    return 1 / (1 + exp(-x));
}

START_TEST(elementwise_steps_are_right)
{
    size_t c = (size_t)_i * CPU_LANES;
    struct cpu_rows in[4] = {rows(c, 2), rows(c, 2), rows(c, 2), rows(c, 2)};
    struct cpu_rows want = rows(c, 0), got = rows(c, 0);
    float *vector = random_floats(&random_state, c, 1);

    run_elementwise(set[0], c, in, vector, want);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < c; j++) {
            double x = (double)in[0].at[i * in[0].ld + j];
            double b = (double)in[1].at[(ROWS - 1 - i) * in[1].ld + j];
            double m = (double)vector[j];
            double first = (double)in[1].at[i * in[1].ld + j];
            double y = x + (b - x) * m + (double)in[2].at[i * in[2].ld + j]
                       + (double)in[3].at[i * in[3].ld + j] + m;

            y = y > 0 ? y * y : 0;
            y = exp(-exp(-0.5) * sigma(m + y));
            y += (first - y) * sigma(m + (double)in[2].at[i * in[2].ld + j]);
            check_near("elementwise", (double)want.at[i * want.ld + j], y,
                       3e-6);
        }
    }
    for (int s = 1; s < n_set; s++) {
        run_elementwise(set[s], c, in, vector, got);
        for (size_t i = 0; i < ROWS; i++)
            check_same("elementwise", want.at + i * want.ld,
                       got.at + i * got.ld, c, s);
    }
}
END_TEST

static const size_t head_sizes[] = {16, 32, 64, 128};

/* keys, and mixout with what it made. */
static void run_heads(const struct cpu_kernels *kernels, size_t n,
                      const struct cpu_rows in[4], const float *vector,
                      struct cpu_rows out[4])
{
    for (int i = 0; i < 4; i++)
        memcpy(out[i].at, in[i].at, ROWS * in[i].ld * sizeof(float));
    kernels->keys(&(struct cpu_keys){.rows = ROWS,
                                     .heads = 2,
                                     .n = n,
                                     .ld = in[0].ld,
                                     .k_k = vector,
                                     .k_a = vector + 2 * n,
                                     .k = out[0].at,
                                     .a = out[1].at,
                                     .neg_kk = out[2].at});
    kernels->mixout(&(struct cpu_mixout){.rows = ROWS,
                                         .heads = 2,
                                         .n = n,
                                         .ld = in[0].ld,
                                         .r = in[3].at,
                                         .k = out[0].at,
                                         .v = out[1].at,
                                         .g = out[2].at,
                                         .r_k = vector,
                                         .weight = vector + n,
                                         .bias = vector + 2 * n,
                                         .y = out[3].at});
}

static void check_keys(size_t n, size_t at, const struct cpu_rows in[4],
                       const float *k_k, const float *k_a,
                       const struct cpu_rows out[4])
{
    double norm = 0;

    for (size_t j = 0; j < n; j++)
        norm += pow((double)in[0].at[at + j] * (double)k_k[j], 2);
    norm = fmax(sqrt(norm), 1e-12);
    for (size_t j = 0; j < n; j++) {
        double k = (double)in[0].at[at + j], a = (double)in[1].at[at + j];
        double kk = k * (double)k_k[j] / norm;

        check_near("kk", (double)out[2].at[at + j], -kk, 1e-6);
        check_near("kk a", (double)out[1].at[at + j], kk * a, 2e-6);
        check_near("k", (double)out[0].at[at + j],
                   k * (1 + (a - 1) * (double)k_a[j]), 1e-5);
    }
}

START_TEST(heads_are_right)
{
    size_t n = head_sizes[_i], c = 2 * n;
    struct cpu_rows in[4] = {rows(c, 2), rows(c, 2), rows(c, 2), rows(c, 2)};
    struct cpu_rows want[4], got[4];
    float *vector = random_floats(&random_state, 2 * c, 1);

    memset(in[0].at, 0, n * sizeof(float)); /* a key of zeros has norm 1e-12 */
    for (size_t j = n; j < c; j++)
        in[0].at[j] *= 1e-4f; /* a small one is normed like any other */
    for (int i = 0; i < 4; i++) {
        want[i] = copy(in[i]);
        got[i] = copy(in[i]);
    }
    run_heads(set[0], n, in, vector, want);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t h = 0; h < 2; h++)
            check_keys(n, i * in[0].ld + h * n, in, vector + h * n,
                       vector + 2 * n + h * n, want);
    for (int s = 1; s < n_set; s++) {
        run_heads(set[s], n, in, vector, got);
        for (int i = 0; i < 4; i++)
            for (size_t row = 0; row < ROWS; row++)
                check_same("heads", want[i].at + row * want[i].ld,
                           got[i].at + row * got[i].ld, c, s);
    }
}
END_TEST

/* One token of the recurrence in double; S is [value][key]. */
static void recur(size_t n, const double *v, double *S, const float *const *x,
                  size_t at, double *y)
{
    for (size_t i = 0; i < n; i++) {
        double s = 0;

        for (size_t j = 0; j < n; j++)
            s += S[i * n + j] * (double)x[4][at + j];
        y[i] = 0;
        for (size_t j = 0; j < n; j++) {
            S[i * n + j] = S[i * n + j] * (double)x[1][at + j]
                           + s * (double)x[5][at + j]
                           + v[i] * (double)x[2][at + j];
            y[i] += S[i * n + j] * (double)x[0][at + j];
        }
    }
}

#define TOKENS 20

static void run_wkv(const struct cpu_kernels *k, size_t n, size_t ld,
                    const float *const *x, size_t first, size_t tokens,
                    float *state, float *y)
{
    size_t at = first * ld;

    k->wkv(&(struct cpu_wkv){.n = n,
                             .tokens = tokens,
                             .ld = ld,
                             .r = x[0] + at,
                             .w = x[1] + at,
                             .k = x[2] + at,
                             .v = x[3] + at,
                             .a = x[4] + at,
                             .b = x[5] + at,
                             .y = y + at,
                             .state = state});
}

START_TEST(recurrence_is_right)
{
    size_t n = head_sizes[_i], ld = n + 5;
    const float *x[6]; /* r, w, k, v, -kk, kk a */
    float *first = random_floats(&random_state, n * n, 1);
    float *state[3], *y[3];
    double *S = hold(n * n, sizeof *S), *v = hold(n, sizeof *v);
    double *want = hold(n, sizeof *want);

    for (int i = 0; i < 6; i++)
        x[i] = random_floats(&random_state, TOKENS * ld,
                             i < 4 ? 0.9f : 0.5f / sqrtf((float)n));
    for (int i = 0; i < 3; i++) {
        state[i] = hold(n * n, sizeof(float));
        y[i] = hold(TOKENS * ld, sizeof(float));
        memcpy(state[i], first, n * n * sizeof(float));
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            S[i * n + j] = (double)first[j * n + i];
    run_wkv(set[0], n, ld, x, 0, TOKENS, state[0], y[0]);
    for (size_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < n; i++)
            v[i] = (double)x[3][t * ld + i];
        recur(n, v, S, x, t * ld, want);
        for (size_t i = 0; i < n; i++)
            check_near("wkv y", (double)y[0][t * ld + i], want[i], 2e-4);
    }
    for (int s = 0; s < n_set; s++) { /* cut in two, too */
        memcpy(state[1], first, n * n * sizeof(float));
        run_wkv(set[s], n, ld, x, 0, 7, state[1], y[1]);
        run_wkv(set[s], n, ld, x, 7, TOKENS - 7, state[1], y[1]);
        check_same("wkv state", state[0], state[1], n * n, s);
        for (size_t t = 0; t < TOKENS; t++)
            check_same("wkv y", y[0] + t * ld, y[1] + t * ld, n, s);
    }
}
END_TEST

START_TEST(softmax_is_right)
{
    size_t n = (size_t)_i * CPU_LANES;
    float *x = random_floats(&random_state, n, 20);
    struct cpu_softmax want = set[0]->softmax(n, x);
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        ck_assert(x[i] <= want.max);
        sum += exp((double)x[i] - (double)want.max);
    }
    check_near("sum", (double)want.sum, sum, sum * 1e-6);
    ck_assert(want.finite);
    for (int s = 1; s < n_set; s++) {
        struct cpu_softmax got = set[s]->softmax(n, x);

        check_same("max", &want.max, &got.max, 1, s);
        check_same("sum", &want.sum, &got.sum, 1, s);
    }
    for (int s = 0; s < n_set; s++) {
        static const float bad[] = {NAN, INFINITY, -INFINITY};

        for (int i = 0; i < 3; i++) {
            float *at = &x[random_below(&random_state, n)], kept = *at;

            *at = bad[i];
            ck_assert(!set[s]->softmax(n, x).finite);
            *at = kept;
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cpu_kernels");
    TCase *c = tcase_create("kernels");
    SRunner *r = srunner_create(s);
    int failed;

    n_set = kernel_sets(set);
    suite_add_tcase(s, c);
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, NULL, release_all);
    tcase_add_loop_test(c, layer_norm_is_right, 1, 50);
    tcase_add_loop_test(c, elementwise_steps_are_right, 1, 20);
    tcase_add_loop_test(c, heads_are_right, 0, 4);
    tcase_add_loop_test(c, recurrence_is_right, 0, 4);
    tcase_add_loop_test(c, softmax_is_right, 1, 40);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
