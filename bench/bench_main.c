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
     "engine [--compute fp16|bf16|fp32] [--shape 0.1B|1.5B] [MODEL]\n"
     "    Score and decode on a GPU. Without MODEL: random models of both "
     "shapes.\n"},
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
