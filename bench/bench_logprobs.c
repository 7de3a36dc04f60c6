/* Log-probabilities of given tokens, one line per sequence: what the engine is
 * compared with a reference by (tests/gpu/reference.py).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/load.h"
#include "bench/options.h"
#include "common/buf.h"
#include "common/file.h"
#include "model/weights.h"

#define TOKENS_BYTES_MAX ((size_t)64 << 20)

struct options {
    const char *model, *tokens, *backend, *compute, *option;
    int64_t rows;
};

/* Sequences and their tokens, in two growing arrays. */
struct input {
    struct load_sequence *s;
    int32_t n;
    int32_t *token;
};

static void input_finish(struct input *in)
{
    free(in->s);
    free(in->token);
}

/* One line of ids into token[]; how many, or -1. */
static int64_t read_line(char *line, int32_t number, int32_t vocab,
                         int32_t *token, struct err *err)
{
    int64_t n = 0;

    for (char *at = line; *at != '\0';) {
        char *end;
        long id = strtol(at, &end, 10);

        if (end == at || (*end != '\0' && !isspace((unsigned char)*end))
            || id < 0 || id >= vocab)
            return err_set(err, ERR_INVALID,
                           "line %" PRId32 ": ids from 0 to %" PRId32
                           " expected",
                           number, vocab - 1);
        token[n++] = (int32_t)id;
        for (at = end; isspace((unsigned char)*at); at++)
            ;
    }
    if (n < 2)
        return err_set(err, ERR_INVALID,
                       "line %" PRId32 ": two ids at least expected", number);
    return n;
}

static int read_input(const char *path, int32_t vocab, struct input *in,
                      struct err *err)
{
    struct buf text = BUF_INIT;
    char *rest, *line;
    int64_t used = 0, n = 0;

    if (file_read(path, TOKENS_BYTES_MAX, &text, err) < 0)
        return -1;
    in->s = xcalloc(text.len + 1, sizeof *in->s);
    in->token = xcalloc(text.len + 1, sizeof *in->token);
    rest = text.data;
    while (n >= 0 && (line = strsep(&rest, "\n")) != NULL) {
        if (*line == '\0' && rest == NULL)
            break;
        n = read_line(line, in->n + 1, vocab, in->token + used, err);
        if (n < 0)
            break;
        in->s[in->n++] =
            (struct load_sequence){(int32_t)n - 1, in->token + used};
        used += n;
    }
    buf_free(&text);
    if (n >= 0 && in->n == 0)
        n = err_set(err, ERR_INVALID, "no sequences");
    return n < 0 ? err_wrap(err, "%s", path) : 0;
}

static int print_scores(const struct input *in, const struct load *l,
                        struct err *err)
{
    const struct score_out *out = l->out;

    for (int32_t i = 0; i < in->n; i++)
        for (int32_t t = 0; t < in->s[i].n; t++, out++)
            printf("%.9g%c", (double)out->logprob,
                   t + 1 < in->s[i].n ? ' ' : '\n');
    if (fflush(stdout) != 0 || ferror(stdout))
        return err_set(err, ERR_IO, "cannot write to standard output");
    return 0;
}

static struct backend *open_backend(const struct options *o,
                                    const struct weights *w, int32_t sequences,
                                    struct err *err)
{
    const struct backend_limits limits = {.slots = sequences,
                                          .tokens_per_step = (int32_t)o->rows};
    const bool cuda = strcmp(o->backend, "cuda") == 0;
    struct buf text = BUF_INIT;
    struct backend *b;

    if (cuda)
        buf_addf(&text, "compute=%s", o->compute);
    if (o->option != NULL)
        buf_addf(&text, "%s%s", cuda ? "," : "", o->option);
    b = backend_create(cuda ? &backend_cuda : &backend_cpu, w, &limits,
                       text.data, err);
    buf_free(&text);
    return b;
}

static int run(const struct options *o, const struct weights *w,
               struct err *err)
{
    struct input in = {0};
    struct backend *b = NULL;
    struct load l;
    int rc = read_input(o->tokens, w->V, &in, err);

    if (rc == 0) {
        b = open_backend(o, w, in.n, err);
        rc = b == NULL ? -1 : 0;
    }
    if (rc == 0) {
        load_init(&l, in.s, in.n, 0, (int32_t)o->rows, in.n);
        rc = load_run(&l, b, 1, err);
        if (rc == 0)
            rc = print_scores(&in, &l, err);
        load_finish(&l);
    }
    if (b != NULL)
        backend_destroy(b);
    input_finish(&in);
    return rc;
}

int bench_logprobs(int argc, char **argv, struct err *err)
{
    struct options o = {.backend = "cuda", .compute = "fp16", .rows = 8192};
    const struct bench_option option[] = {
        {.key = "--backend", .word = &o.backend},
        {.key = "--compute", .word = &o.compute},
        {.key = "--option", .word = &o.option},
        {.key = "--rows", .number = &o.rows},
        {.word = &o.model},
        {.word = &o.tokens},
        {0},
    };
    struct weights *w;
    int rc;

    if (bench_options(argc, argv, option, err) < 0)
        return -1;
    if (o.tokens == NULL || o.rows < 1 || o.rows > 1 << 20
        || (strcmp(o.backend, "cpu") != 0 && strcmp(o.backend, "cuda") != 0))
        return err_set(err, ERR_USAGE,
                       "logprobs: MODEL and TOKENS expected, --backend cpu or"
                       " cuda, --rows 1 to 1048576");
    w = weights_open(o.model, err);
    rc = w == NULL ? -1 : run(&o, w, err);
    weights_close(w);
    return rc;
}
