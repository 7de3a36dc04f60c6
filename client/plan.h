/* client/plan.h - what `skein run` is going to do, checked before anything
 * starts
 *
 * Turns options into paths, finds the tokenizer, hashes the input. Whatever can
 * be wrong with files is told here, at once, instead of by a worker's log.
 */
#ifndef CLIENT_PLAN_H
#define CLIENT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cmd.h"
#include "client/runstate.h"
#include "client/input.h"

struct run_options {
    struct common_options common;
    const char *input;
    const char *model;
    const char *output;
    const char *errors;
    const char *tokenizer;
    const char *devices;
    const char *backend_options;
    const char *bos;
    struct option_int seed;
    struct option_int created;
    struct option_int tokens_per_step;
    bool lenient;
    bool fresh;
    bool keep;
};

struct plan {
    const struct run_options *options;
    const char *input_path;
    struct input input; /* its size is known */
    char *output;       /* links resolved: the spool stands beside the file */
    char *errors;       /* path of the error file */
    bool errors_given;  /* named with -e: written even when it is empty */
    char *dir;          /* OUT.skein */
    char *model_name;   /* as the job asks for it */
    char *model_arg;    /* NAME=PATH of the worker */
    char *tokenizer;    /* path, or NULL */
    const char *devices;
    bool null_backend;
    struct runstate state; /* request_id is not filled */
};

/* ERR_USAGE; ERR_INVALID for the input, ERR_CONFIG for model and tokenizer,
 * ERR_IO, ERR_CANCELLED. On failure `p` is freed.
 */
int plan_make(const struct run_options *o, const char *input, struct plan *p,
              struct err *err);
void plan_free(struct plan *p);

/* "dir/out.jsonl" -> "dir/out": what OUT stands for in file names. malloc'ed */
char *plan_stem(const char *output);

#endif /* CLIENT_PLAN_H */
