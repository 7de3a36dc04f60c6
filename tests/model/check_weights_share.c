#include "model/weights_share.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "model/weights_names.h"

#define RANKS 3
#define TIMEOUT_MS 20000

static void *shared;

static struct comm *join(int rank)
{
    struct comm *c = comm_local_join(shared, rank, RANKS, NULL);

    ck_assert_ptr_nonnull(c);
    return c;
}

static void setup(void)
{
    shared = mmap(NULL, comm_local_bytes(RANKS), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    comm_local_format(shared, RANKS);
}

struct hearing {
    int rank;
    pthread_t thread;
    struct weights *weights;
    uint8_t hash[HASH_BYTES];
};

static void *hear(void *arg)
{
    struct hearing *h = arg;
    struct comm *c = join(h->rank);

    h->weights = weights_hear(h->hash, c, TIMEOUT_MS, NULL);
    comm_destroy(c);
    return NULL;
}

/* The same tensors of the same sizes, in the same order. */
static void same_dimensions(const struct weights *a, const struct weights *b)
{
    struct weights_iter i = {0}, k = {0};
    bool more;

    ck_assert_int_eq(a->L, b->L);
    ck_assert_int_eq(a->C, b->C);
    ck_assert_int_eq(a->H, b->H);
    ck_assert_int_eq(a->N, b->N);
    ck_assert_int_eq(a->F, b->F);
    ck_assert_int_eq(a->V, b->V);
    ck_assert_int_eq(a->rank_w, b->rank_w);
    ck_assert_int_eq(a->rank_a, b->rank_a);
    ck_assert_int_eq(a->rank_v, b->rank_v);
    ck_assert_int_eq(a->rank_g, b->rank_g);
    ck_assert_int_eq(a->fla, b->fla);
    do {
        more = weights_next(a, &i);
        ck_assert_int_eq(more, weights_next(b, &k));
        if (!more)
            break;
        ck_assert_ptr_eq(i.row, k.row);
        ck_assert_int_eq(i.layer, k.layer);
        ck_assert_int_eq(i.weight->rows, k.weight->rows);
        ck_assert_int_eq(i.weight->cols, k.weight->cols);
    } while (more);
}

static const char *const models[] = {
    "tests/golden/small16-blink.safetensors",
    "tests/golden/small16-fla.safetensors",
    "tests/golden/small32-noln0-bias-blink.safetensors",
};

START_TEST(the_others_hear_all_dimensions)
{
    const char *path = models[_i];
    struct weights *w;
    struct hearing h[RANKS] = {0};
    struct comm *c;
    struct err err = {0};
    uint8_t hash[HASH_BYTES];

    setup();
    w = weights_open(path, &err);
    ck_assert_msg(w != NULL, "%s", err.text);
    memset(hash, 0x5a + _i, sizeof hash);
    c = join(0);
    for (int r = 1; r < RANKS; r++) {
        h[r].rank = r;
        ck_assert_int_eq(pthread_create(&h[r].thread, NULL, hear, &h[r]), 0);
    }
    ck_assert_msg(weights_tell(w, hash, c, TIMEOUT_MS, &err) == 0, "%s",
                  err.text);
    for (int r = 1; r < RANKS; r++) {
        pthread_join(h[r].thread, NULL);
        ck_assert_ptr_nonnull(h[r].weights);
        same_dimensions(w, h[r].weights);
        ck_assert_mem_eq(h[r].hash, hash, sizeof hash);
        weights_close(h[r].weights);
    }
    comm_destroy(c);
    weights_close(w);
}
END_TEST

START_TEST(a_rank_0_that_never_speaks_is_a_timeout)
{
    struct comm *c;
    struct err err = {0};
    uint8_t hash[HASH_BYTES];

    setup();
    c = join(1);
    ck_assert_ptr_null(weights_hear(hash, c, 50, &err));
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
    comm_destroy(c);
}
END_TEST

/* Rank 0 is another program: its model has no layers. */
START_TEST(nonsense_is_refused)
{
    char nonsense[4096] = {0};
    struct comm *a, *b;
    struct err err = {0};
    uint8_t hash[HASH_BYTES];
    struct weights *w;

    setup();
    a = join(0);
    b = join(1);
    ck_assert_int_eq(comm_broadcast(a, nonsense, 80, 0, TIMEOUT_MS, NULL), 0);
    w = weights_hear(hash, b, TIMEOUT_MS, &err);
    ck_assert_ptr_null(w);
    ck_assert_int_eq(err.code, ERR_INTERNAL);
    comm_destroy(a);
    comm_destroy(b);
}
END_TEST

/* Stored rows are the values that reading gives, or there are none. */
START_TEST(stored_rows)
{
    struct weights *w = weights_open(models[_i], NULL);
    struct weights_iter it = {0};
    int stored = 0;

    ck_assert_ptr_nonnull(w);
    while (weights_next(w, &it)) {
        const struct weight *x = it.weight;
        int64_t first = x->rows / 2, n = (x->rows - first) * x->cols;
        float *values = calloc((size_t)n, sizeof *values);
        enum dtype dtype;
        const char *at = weight_stored_rows(x, first, x->rows - first, &dtype);

        if (x->transposed)
            ck_assert_ptr_null(at);
        weight_read_rows(x, first, x->rows - first, values);
        for (int64_t i = 0; at != NULL && i < n; i++) {
            uint16_t half;
            float value;

            if (dtype == DTYPE_F32) {
                memcpy(&value, at + 4 * i, 4);
            } else {
                memcpy(&half, at + 2 * i, 2);
                value =
                    dtype == DTYPE_F16 ? f16_to_f32(half) : bf16_to_f32(half);
            }
            ck_assert(memcmp(&value, &values[i], 4) == 0);
        }
        stored += at != NULL;
        free(values);
    }
    ck_assert_int_gt(stored, 0);
    weights_close(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("weights_share");
    TCase *t = tcase_create("weights_share");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(t, the_others_hear_all_dimensions, 0, 3);
    tcase_add_test(t, a_rank_0_that_never_speaks_is_a_timeout);
    tcase_add_test(t, nonsense_is_refused);
    tcase_add_loop_test(t, stored_rows, 0, 3);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
