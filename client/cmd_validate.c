/* validate: what is wrong with a file, without a coordinator */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cmd.h"
#include "client/json_out.h"
#include "client/lint.h"

#define SHOWN_DEFAULT 10

struct validate_options {
    struct common_options common;
    const char *model;
    const char *tokenizer;
    struct option_int max_errors;
    bool lenient;
};

static const struct option_row rows[] = {
    {.name = "max-errors",
     .type = OPTION_INT,
     .offset = offsetof(struct validate_options, max_errors),
     .value = "N",
     .min = 0,
     .max = LINT_SHOWN_MAX,
     .help = "bad lines of each file to show; all are counted",
     .fallback = "10"},
    {.name = "lenient",
     .type = OPTION_FLAG,
     .offset = offsetof(struct validate_options, lenient),
     .help = "unknown keys are warnings"},
    {.name = "model",
     .letter = 'm',
     .type = OPTION_TEXT,
     .offset = offsetof(struct validate_options, model),
     .value = "PATH",
     .help = "checkpoint, file or directory: count tokens with the tokenizer "
             "beside it",
     .fallback = "tokens are not counted",
     .offer = OFFER_FILES},
    {.name = "tokenizer",
     .type = OPTION_TEXT,
     .offset = offsetof(struct validate_options, tokenizer),
     .value = "FILE",
     .help = "vocabulary (World, or tokenizer.json) to count tokens with",
     .fallback = "that of --model",
     .offer = OFFER_FILES,
     .setting = true},
    {.name = NULL},
};

/* The tokenizer the options name, or NULL in *out. */
static int open_tokenizer(const struct validate_options *o,
                          struct tokenizer **out, struct err *err)
{
    char *found = NULL;
    const char *path = o->tokenizer;

    *out = NULL;
    if (path == NULL && o->model != NULL) {
        found = tokenizer_find(o->model, err);
        if (found == NULL)
            goto fail;
        path = found;
    }
    if (path == NULL)
        return 0;
    *out = tokenizer_open(path, err);
    free(found);
    if (*out != NULL)
        return 0;
fail:
    err->code = ERR_CONFIG;
    return err_wrap(err, "tokenizer");
}

/* ---- for people --------------------------------------------------------- */

static void print_findings(const char *name, const struct lint *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct lint_finding *f = &l->finding[i];

        printf("%s:%llu: ", name, (unsigned long long)f->line);
        if (f->id != NULL)
            printf("%s %s: ", f->id_key, f->id);
        printf("%s%s\n", f->warning ? "warning: " : "", f->why.message);
    }
}

static void say_counts(const char *name, const struct lint *l, bool tokens)
{
    fprintf(stderr, "%s: %llu records in %llu lines", name,
            (unsigned long long)l->records, (unsigned long long)l->lines);
    if (l->bad > 0)
        fprintf(stderr, ", %llu bad", (unsigned long long)l->bad);
    if (l->warned > 0)
        fprintf(stderr, ", %llu with warnings", (unsigned long long)l->warned);
    if (l->bad + l->warned > l->n)
        fprintf(stderr, " (the first %zu are shown)", l->n);
    if (tokens)
        fprintf(stderr,
                "; %llu tokens, at most %llu in line %llu; up to %llu "
                "generated",
                (unsigned long long)l->tokens, (unsigned long long)l->longest,
                (unsigned long long)l->longest_line,
                (unsigned long long)l->tokens_out_max);
    fputc('\n', stderr);
}

/* ---- for programs ------------------------------------------------------- */

static void set_count(json_t *o, const char *key, uint64_t n)
{
    json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *json_finding(const struct lint_finding *f)
{
    json_t *o = json_object();

    set_count(o, "line", f->line);
    if (f->id != NULL)
        json_object_set_new(o, f->id_key,
                            json_loads(f->id, JSON_DECODE_ANY, NULL));
    json_object_set_new(o, "severity",
                        json_string(f->warning ? "warning" : "error"));
    json_object_set_new(o, "code", json_string(f->why.code));
    json_object_set_new(o, "message", json_string(f->why.message));
    if (f->why.field[0] != '\0')
        json_object_set_new(o, "field", json_string(f->why.field));
    return o;
}

static json_t *json_lint(const char *name, const struct lint *l, bool tokens)
{
    json_t *o = json_begin(), *kinds = json_object(), *errors = json_array();

    json_object_set_new(o, "file", json_string(name));
    set_count(o, "lines", l->lines);
    set_count(o, "blank", l->blank);
    set_count(o, "records", l->records);
    set_count(o, "bad", l->bad);
    set_count(o, "warned", l->warned);
    for (int k = 0; k < LINT_KINDS; k++)
        set_count(kinds, lint_kind_name((enum record_kind)k), l->kind[k]);
    json_object_set_new(o, "kinds", kinds);
    if (tokens) {
        set_count(o, "tokens", l->tokens);
        set_count(o, "max_output_tokens", l->tokens_out_max);
        set_count(o, "longest_line", l->longest_line);
        set_count(o, "longest_line_tokens", l->longest);
    }
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(errors, json_finding(&l->finding[i]));
    json_object_set_new(o, "errors", errors);
    return o;
}

/* ---- the command -------------------------------------------------------- */

/* One file: its counts go out, *bad is raised; or -1. */
static int validate_file(const struct validate_options *o, const char *path,
                         const struct lint_rules *rules, json_t *list,
                         uint64_t *bad, struct err *err)
{
    bool tokens = rules->tokenizer != NULL;
    struct input in;
    struct lint l;
    int ret;

    if (input_open(path, &in, err) < 0)
        return -1;
    ret = lint_run(&in, rules, &l, err);
    *bad += l.bad;
    if (ret == 0 && list != NULL)
        json_array_append_new(list, json_lint(in.name, &l, tokens));
    else if (list == NULL)
        print_findings(in.name, &l);
    if (ret == 0 && !o->common.quiet)
        say_counts(in.name, &l, tokens);
    lint_free(&l);
    input_close(&in);
    return ret;
}

/* One object for one file, else the list. */
static int print_list(json_t *list, struct err *err)
{
    json_t *one = json_array_size(list) == 1 ? json_array_get(list, 0) : list;

    json_incref(one);
    return json_print(one, err);
}

static int run_validate(const void *options, char *const *arg, int n_arg,
                        struct err *err)
{
    const struct validate_options *o = options;
    struct lint_rules rules = {
        .lenient = o->lenient,
        .shown_max =
            o->max_errors.given ? (size_t)o->max_errors.value : SHOWN_DEFAULT,
        .dir = lint_dir(),
    };
    struct tokenizer *tokenizer;
    json_t *list = NULL;
    uint64_t bad = 0;
    int ret = 0;

    if (open_tokenizer(o, &tokenizer, err) < 0)
        return -1;
    rules.tokenizer = tokenizer;
    if (o->common.json)
        list = json_array();
    for (int i = 0; i < n_arg && ret == 0; i++)
        ret = validate_file(o, arg[i], &rules, list, &bad, err);
    if (ret == 0 && list != NULL)
        ret = print_list(list, err);
    json_decref(list);
    tokenizer_close(tokenizer);
    if (ret < 0)
        return -1;
    return bad > 0 ? ERR_INVALID : 0;
}

const struct command cmd_validate = {
    .spec =
        {
            .command = "validate",
            .synopsis = "[OPTIONS] FILE...",
            .purpose = "check files of records without submitting them",
            .about =
                "Finds what the coordinator would refuse: lines that are no "
                "records, unknown keys, wrong values, ids given twice. One "
                "message a line, FILE:LINE: what is wrong, on standard output; "
                "counts on standard error. FILE may be packed with gzip or "
                "zstd; '-' is standard input. Exit status 65 when a line is "
                "bad or a file cannot be read.",
            .examples = "  skein validate in.jsonl\n"
                        "  skein validate -m rwkv7-1.5b.pth *.jsonl.zst\n"
                        "  skein validate in.jsonl --json | jq .bad",
            .rows = rows,
            .common = cmd_local_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_FILES,
        },
    .options_size = sizeof(struct validate_options),
    .run = run_validate,
};
