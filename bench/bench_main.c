/* skein-bench: speed claims, each made by a command. Not installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, struct err *err);
    const char *help;
} commands[] = {
    {"cpu", bench_cpu,
     "cpu [--rows N] [--reps N] [MODEL]\n"
     "    Score on one core, the head on every row, beside the time that a "
     "BLAS\n"
     "    needs for the same products. Without MODEL: examples/model and a\n"
     "    random model of the 0.1B shape.\n"},
    {"engine", bench_engine,
     "engine [--shape 0.1B,1.5B,...] [--case LIST] [--compute fp16|bf16|fp32]\n"
     "       [--device K] [--rows N] [--option KEY=VALUE] [MODEL]\n"
     "    Score and decode on a GPU, beside what bounds it. Without MODEL: "
     "random\n"
     "    models of the shapes 0.1B, 0.4B, 1.5B, 2.9B and 7.2B, or of those "
     "named.\n"
     "    Cases, all but draw:512 by default: score:SEQUENCESxLENGTH,\n"
     "    target:SEQUENCESxLENGTH (the last two tokens scored), score:mix and\n"
     "    target:mix (lengths like lambada's), decode:SEQUENCES,\n"
     "    draw:SEQUENCES (sampled, not greedy).\n"},
    {"kernels", bench_kernels,
     "kernels [--shape 1.5B] [--compute fp16|bf16|fp32] [--device K]\n"
     "        [--only wkv7|rows|score|products]\n"
     "    Every kernel of the GPU: its values against a twin on the CPU, then "
     "its\n"
     "    time beside what memory or arithmetic allow.\n"},
    {"logprobs", bench_logprobs,
     "logprobs [--compute fp16|bf16|fp32] [--backend cpu|cuda] [--rows N]\n"
     "         MODEL TOKENS\n"
     "    TOKENS has a sequence of ids per line; prints the logprob of each id "
     "but\n"
     "    the first, a line per sequence.\n"},
    {"make-model", bench_make_model,
     "make-model --shape 1.5B [--seed N] [--device K] OUT\n"
     "    Write a random model as safetensors: matrices bf16, vectors fp32. "
     "The\n"
     "    same one that engine makes; it takes as much memory as it has "
     "bytes.\n"},
    {"null", bench_null,
     "null\n"
     "    Score rows per second of the null backend.\n"},
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

double bench_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return x[n / 2];
}

static void usage(FILE *to)
{
    fprintf(to, "usage: skein-bench COMMAND\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %s\n", commands[i].help);
}

int main(int argc, char **argv)
{
    struct err err = {0};

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (commands[i].run(argc - 1, argv + 1, &err) == 0)
            return 0;
        fprintf(stderr, "skein-bench: %s\n", err.text);
        return (int)err.code;
    }
    usage(stderr);
    return ERR_USAGE;
}
