#include "bench/bench.h"

#include <stdio.h>

#include "model/backend.h"

#define ROWS 4096
#define STEPS 2000

/* Documents of 256 tokens, every token scored. */
int bench_null(int argc, char **argv, struct err *err)
{
    static int32_t token[ROWS];
    static struct piece piece[ROWS / 256];
    static struct score_row score[ROWS];
    static struct score_out out[ROWS];
    const struct backend_limits limits = {.slots = ROWS / 256,
                                          .tokens_per_step = ROWS};
    const struct step step = {.piece = piece,
                              .n_piece = ROWS / 256,
                              .score = score,
                              .n_score = ROWS,
                              .score_out = out};
    struct backend *b;
    double seconds;

    (void)argv;
    if (argc > 1)
        return err_set(err, ERR_USAGE, "null takes no arguments");
    b = backend_create(&backend_null, NULL, &limits, NULL, err);
    if (b == NULL)
        return -1;
    for (int32_t i = 0; i < ROWS; i++) {
        token[i] = i * 7919 % b->vocab;
        score[i] = (struct score_row){.row = i, .target = token[i]};
        piece[i / 256] = (struct piece){i / 256, 256, token + i / 256 * 256};
    }
    seconds = bench_seconds();
    for (int i = 0; i < STEPS; i++) {
        int64_t ticket = backend_submit(b, &step, err);

        if (ticket < 0 || backend_wait(b, ticket, err) < 0) {
            backend_destroy(b);
            return -1;
        }
    }
    seconds = bench_seconds() - seconds;
    printf("null backend: %.1f million score rows/s on one core\n",
           ROWS * (double)STEPS / seconds * 1e-6);
    backend_destroy(b);
    return 0;
}
