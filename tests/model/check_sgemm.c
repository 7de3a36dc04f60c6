/* sgemm: each output is one chain of FMAs with k ascending, to the bit, from
 * every instruction set, whatever rows are computed with it.
 */
#include <check.h>

#include "tests/model/kernel_sets.h"

struct problem {
    size_t m, n, k;
    struct cpu_rows x, y;
    float *w; /* [n][k] */
    float *panel;
    struct cpu_matrix matrix;
};

static struct problem problem_create(uint64_t *random, size_t m, size_t n,
                                     size_t k)
{
    struct problem p = {.m = m, .n = n, .k = k};

    p.x.ld = k + random_below(random, 20);
    p.y.ld = cpu_pad(n) + random_below(random, 20);
    p.x.at = random_floats(random, m * p.x.ld, 1);
    p.y.at = random_floats(random, m * p.y.ld, 1);
    p.w = random_floats(random, n * k, 1);
    p.panel = hold(cpu_matrix_floats(n, k), sizeof(float));
    for (size_t i = 0; i < n; i += CPU_LANES)
        cpu_pack_panel(n, k, i, p.w + i * k, p.panel);
    p.matrix = (struct cpu_matrix){p.panel, n, k};
    return p;
}

static float chain(const struct problem *p, size_t row, size_t out)
{
    float sum = 0;

    for (size_t k = 0; k < p->k; k++)
        sum = fmaf(p->x.at[row * p->x.ld + k], p->w[out * p->k + k], sum);
    return sum;
}

static void check_product(const struct problem *p, const struct cpu_kernels *k)
{
    k->sgemm(p->m, &p->matrix, 0, p->n, p->x, p->y);
    for (size_t i = 0; i < p->m; i++) {
        const float *y = p->y.at + i * p->y.ld;

        for (size_t j = 0; j < p->n; j++)
            if (!same_bits(y[j], chain(p, i, j))) /* asserts are slow */
                ck_abort_msg("%s: m %zu n %zu k %zu: y[%zu][%zu] is %a, not %a",
                             k->name, p->m, p->n, p->k, i, j, (double)y[j],
                             (double)chain(p, i, j));
        for (size_t j = p->n; j < cpu_pad(p->n); j++)
            ck_assert_msg(y[j] == 0, "%s: padding [%zu][%zu] is %a", k->name, i,
                          j, (double)y[j]);
    }
}

START_TEST(every_output_is_one_chain)
{
    static const size_t rows[] = {1, 2, 5, 6, 7, 11, 12, 13, 25};
    static const size_t outputs[] = {1, 15, 16, 17, 32, 33, 48, 100};
    static const size_t depths[] = {1, 3, 16, 77, 768, 769, 1600};
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n_set = kernel_sets(set);
    uint64_t random = 1;

    for (size_t m = 0; m < sizeof rows / sizeof *rows; m++) {
        for (size_t n = 0; n < sizeof outputs / sizeof *outputs; n++) {
            struct problem p = problem_create(&random, rows[m], outputs[n],
                                              depths[(m + n) % 7]);

            for (int s = 0; s < n_set; s++)
                check_product(&p, set[s]);
            release_all();
        }
    }
}
END_TEST

/* A part of the outputs equals that part of all of them. */
START_TEST(columns_may_be_cut)
{
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n_set = kernel_sets(set);
    uint64_t random = 2;
    struct problem p = problem_create(&random, 14, 150, 40);
    struct cpu_rows part = {hold(14 * 64, sizeof(float)), 64};

    for (int s = 0; s < n_set; s++) {
        set[s]->sgemm(p.m, &p.matrix, 0, p.n, p.x, p.y);
        for (size_t first = 0; first < p.n; first += 48) {
            size_t n = p.n - first < 48 ? p.n - first : 48;

            set[s]->sgemm(p.m, &p.matrix, first, n, p.x, part);
            for (size_t i = 0; i < p.m; i++)
                for (size_t j = 0; j < n; j++)
                    ck_assert(same_bits(part.at[i * part.ld + j],
                                        p.y.at[i * p.y.ld + first + j]));
        }
    }
}
END_TEST

/* A NaN or infinity stays in its own row and column. */
START_TEST(rows_do_not_touch)
{
    const struct cpu_kernels *set[KERNEL_SETS_MAX];
    int n_set = kernel_sets(set);
    uint64_t random = 3;
    struct problem p = problem_create(&random, 13, 40, 50);

    p.x.at[7 * p.x.ld + 3] = INFINITY;
    p.x.at[8 * p.x.ld + 3] = NAN;
    for (int s = 0; s < n_set; s++) {
        set[s]->sgemm(p.m, &p.matrix, 0, p.n, p.x, p.y);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++)
                ck_assert_int_eq(isfinite(p.y.at[i * p.y.ld + j]) != 0,
                                 i != 7 && i != 8);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sgemm");
    TCase *c = tcase_create("products");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, NULL, release_all);
    suite_add_tcase(s, c);
    tcase_add_test(c, every_output_is_one_chain);
    tcase_add_test(c, columns_may_be_cut);
    tcase_add_test(c, rows_do_not_touch);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
