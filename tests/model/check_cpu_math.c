/* exp, log, tanh and sigmoid: within 2 ulp of libm's double over the whole fp32
 * range, the same bits from every instruction set.
 */
#include <check.h>
#include <float.h>

#include "tests/model/kernel_sets.h"

#define ULP_MAX 2.0
#define STEP \
    1499 /* of the 2^32 bit patterns, every so many; odd, so that all
                   * exponents, signs and low bits are met */
#define BATCH 4096

static double sigmoid_of(double x)
{
    return 1 / (1 + exp(-x));
}

static void run_exp(const struct cpu_kernels *k, size_t n, float *x)
{
    k->exp(n, x, 0.0f, 1.0f, x);
}

static void run_log(const struct cpu_kernels *k, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = k->log(x[i]);
}

static void run_tanh(const struct cpu_kernels *k, size_t n, float *x)
{
    k->tanh(1, n, (struct cpu_rows){x, n});
}

static void run_sigmoid(const struct cpu_kernels *k, size_t n, float *x)
{
    k->sigmoid(1, n, (struct cpu_rows){x, n}, NULL);
}

static const struct function {
    const char *name;
    double (*exact)(double);
    void (*run)(const struct cpu_kernels *k, size_t n, float *x);
} functions[] = {
    {"exp", exp, run_exp},
    {"log", log, run_log},
    {"tanh", tanh, run_tanh},
    {"sigmoid", sigmoid_of, run_sigmoid},
};

/* Distance in units of the last place of the fp32 number nearest to `want`. */
static double ulps(float got, double want)
{
    float near = (float)want;
    int exponent;

    if (isnan(want) || isinf(near))
        return same_bits(got, near) ? 0 : INFINITY;
    frexp(fabs(want) < (double)FLT_MIN ? (double)FLT_MIN : want, &exponent);
    return fabs((double)got - want) / ldexp(1, exponent - FLT_MANT_DIG);
}

static void check_batch(const struct function *f,
                        const struct cpu_kernels *const *set, int n_set,
                        const float *x, double *worst)
{
    static float got[KERNEL_SETS_MAX][BATCH];

    for (int s = 0; s < n_set; s++) {
        memcpy(got[s], x, sizeof got[s]);
        f->run(set[s], BATCH, got[s]);
    }
    for (size_t i = 0; i < BATCH; i++) {
        double far = ulps(got[0][i], f->exact((double)x[i]));

        if (!(far <= ULP_MAX)) /* each ck_assert costs microseconds */
            ck_abort_msg("%s(%a) is %a, %.2f ulp from %a", f->name,
                         (double)x[i], (double)got[0][i], far,
                         f->exact((double)x[i]));
        *worst = far > *worst ? far : *worst;
        for (int s = 1; s < n_set; s++)
            if (!same_bits(got[0][i], got[s][i]))
                ck_abort_msg("%s(%a) is %a with %s, %a with %s", f->name,
                             (double)x[i], (double)got[0][i], set[0]->name,
                             (double)got[s][i], set[s]->name);
    }
}

START_TEST(within_two_ulp_everywhere)
{
    const struct function *f = &functions[_i];
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n_set = kernel_sets(set);
    float x[BATCH];
    double worst = 0;
    uint64_t bits = 0;

    while (bits <= UINT32_MAX) {
        for (size_t i = 0; i < BATCH; i++, bits += STEP) {
            uint32_t u = (uint32_t)bits; /* the last batch wraps around */

            memcpy(&x[i], &u, sizeof u);
        }
        check_batch(f, set, n_set, x, &worst);
    }
    printf("%s: at most %.2f ulp\n", f->name, worst);
}
END_TEST

/* Where formulas change, results leave the normal numbers, or must be exact. */
START_TEST(special_values)
{
    static const float at[] = {
        0.0f,       -0.0f,       1.0f,       -1.0f,      0.625f,     -0.625f,
        0.6249999f, FLT_MIN,     FLT_MAX,    -FLT_MAX,   INFINITY,   -INFINITY,
        NAN,        88.7228f,    88.73f,     -87.3365f,  -103.9f,    -104.1f,
        -150.0f,    0.70710678f, 1.4142135f, 0x1p-149f,  -0x1p-149f, 0x1p-127f,
        9.01f,      -9.01f,      0.3465736f, -0.3465736f};
    const struct function *f = &functions[_i];
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n_set = kernel_sets(set);
    float x[BATCH];
    double worst = 0;

    for (size_t i = 0; i < BATCH; i++)
        x[i] = at[i % (sizeof at / sizeof *at)];
    check_batch(f, set, n_set, x, &worst);
}
END_TEST

START_TEST(exp_of_zero_is_one)
{
    float x[CPU_LANES] = {0};
    const struct cpu_kernels *k = cpu_kernels(CPU_ISA_BEST, NULL);

    k->exp(CPU_LANES, x, 0.0f, 1.0f, x);
    ck_assert(x[0] == 1.0f);
    ck_assert(k->log(1.0f) == 0.0f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cpu_math");
    TCase *c = tcase_create("functions");
    SRunner *r = srunner_create(s);
    int n = (int)(sizeof functions / sizeof *functions), failed;

    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    tcase_add_loop_test(c, within_two_ulp_everywhere, 0, n);
    tcase_add_loop_test(c, special_values, 0, n);
    tcase_add_test(c, exp_of_zero_is_one);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
