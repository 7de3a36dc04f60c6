/* submit: queue a file as a job */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pwd.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/json_out.h"
#include "client/lint.h"
#include "client/submit.h"
#include "common/hash.h"
#include "proto/limits.h"
#include "text/utf8.h"

struct submit_options {
    struct common_options common;
    const char *input;
    const char *model;
    const char *name;
    const char *bos;
    struct option_int seed;
    struct option_int created;
    struct option_int priority;
    bool lenient;
    bool hold;
    bool wait;
    bool parsable;
    bool dry_run;
};

static const struct option_row rows[] = {
    CMD_INPUT_ROW(struct submit_options),
    {.name = "model",
     .letter = 'm',
     .type = OPTION_TEXT,
     .offset = offsetof(struct submit_options, model),
     .value = "MODEL",
     .help = "name of the model, as workers announce it (skein worker ls); "
             "NAME@HEX also pins its fingerprint",
     .offer = OFFER_MODELS,
     .required = true,
     .setting = true},
    {.name = "name",
     .letter = 'n',
     .type = OPTION_TEXT,
     .offset = offsetof(struct submit_options, name),
     .value = "NAME",
     .help = "name of the job, for people",
     .fallback = "the name of the file"},
    {.name = "bos",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct submit_options, bos),
     .value = "POLICY",
     .choice = cmd_bos_choices,
     .help = "start token before text: always, if-empty or never. "
             "Given token ids are used exactly as they are.",
     .fallback = "always",
     .setting = true},
    {.name = "seed",
     .type = OPTION_INT,
     .offset = offsetof(struct submit_options, seed),
     .value = "N",
     .min = 0,
     .max = INT64_MAX,
     .help = "of sampling, for lines without a seed of their own",
     .fallback = "0"},
    {.name = "lenient",
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, lenient),
     .help = "unknown keys in lines are warnings instead of errors"},
    {.name = "created",
     .type = OPTION_INT,
     .offset = offsetof(struct submit_options, created),
     .value = "N",
     .min = 0,
     .max = INT64_MAX / 1000,
     .help = "Unix seconds to record as the time of submission",
     .fallback = "SOURCE_DATE_EPOCH, else now"},
    {.name = "priority",
     .letter = 'p',
     .type = OPTION_INT,
     .offset = offsetof(struct submit_options, priority),
     .value = "N",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .help = "higher first (unlike nice)",
     .fallback = "0",
     .setting = true},
    {.name = "hold",
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, hold),
     .help = "queue it held: nothing is computed before skein release"},
    {.name = "wait",
     .letter = 'w',
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, wait),
     .help = "then wait as skein wait does, with its exit status"},
    {.name = "parsable",
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, parsable),
     .help = "print the id and nothing else; progress of --wait neither"},
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, dry_run),
     .help = "check the file as skein validate does and whether a worker has "
             "the model, and queue nothing; exit status 65 when a line is bad"},
    {.name = NULL},
};

static const char *user_name(void)
{
    const struct passwd *p = getpwuid(geteuid());

    return p != NULL && strlen(p->pw_name) <= 64 ? p->pw_name : "";
}

static int check_name(const char *name, struct err *err)
{
    if (name != NULL
        && (strlen(name) > JOB_NAME_BYTES_MAX
            || !utf8_valid(name, strlen(name))))
        return err_set(err, ERR_USAGE,
                       "option --name: at most %d bytes of UTF-8",
                       JOB_NAME_BYTES_MAX);
    return 0;
}

/* What was given, else the name of the file, malloc'ed. */
static char *job_name(const struct submit_options *o, const char *path)
{
    if (o->name != NULL)
        return xstrdup(o->name);
    return cmd_job_name(strcmp(path, "-") == 0 ? "stdin" : path);
}

/* "name" or "name@fingerprint", of which a beginning in hex suffices. */
static int check_model(const char *model, struct err *err)
{
    const char *at = strrchr(model, '@');

    if (strlen(model) > MODEL_NAME_BYTES_MAX || at == model
        || !utf8_valid(model, strlen(model)))
        return err_set(err, ERR_USAGE, "option --model: 1 to %d bytes of UTF-8",
                       MODEL_NAME_BYTES_MAX);
    if (at != NULL
        && (at[1] == '\0' || strlen(at + 1) > 2 * HASH_BYTES
            || strspn(at + 1, "0123456789abcdef") != strlen(at + 1)))
        return err_set(err, ERR_USAGE,
                       "option --model: after '@' a fingerprint "
                       "is expected, up to %d digits of lower-case hex",
                       2 * HASH_BYTES);
    return 0;
}

static bool is_quiet(const struct submit_options *o)
{
    return o->common.quiet || o->parsable;
}

static void say_submitted(const struct submit_options *o,
                          const struct submit_result *s)
{
    unsigned long long id = s->job;

    if (is_quiet(o))
        return;
    fprintf(stderr, "%llu records, %llu rejected, %llu lines\n",
            (unsigned long long)s->records, (unsigned long long)s->rejected,
            (unsigned long long)s->lines);
    if (s->rejected > 0)
        fprintf(stderr, "  skein errors %llu     shows the rejected lines\n",
                id);
    if (!o->wait)
        fprintf(stderr,
                "  skein watch %llu      shows how it goes\n"
                "  skein wait %llu       waits for it\n"
                "  skein results %llu    prints what is there\n",
                id, id, id);
}

static int print_submitted(const struct submit_result *s, bool json,
                           struct err *err)
{
    json_t *o;

    if (!json) {
        printf("%llu\n", (unsigned long long)s->job);
        return fflush(stdout) == 0
                   ? 0
                   : err_set(err, ERR_IO, "standard output: cannot write");
    }
    o = json_begin();
    json_object_set_new(o, "id", json_integer((json_int_t)s->job));
    json_object_set_new(o, "lines", json_integer((json_int_t)s->lines));
    json_object_set_new(o, "records", json_integer((json_int_t)s->records));
    json_object_set_new(o, "rejected", json_integer((json_int_t)s->rejected));
    json_object_set_new(o, "warnings", json_integer((json_int_t)s->warnings));
    return json_print(o, err);
}

/* ---- --dry-run ---------------------------------------------------------- */

/* Workers that announce the model, whatever its fingerprint. */
static int count_workers(struct rpc *r, const char *model, unsigned *out,
                         struct err *err)
{
    Skein__WorkersQuery q = SKEIN__WORKERS_QUERY__INIT;
    size_t len = strcspn(model, "@");
    struct wire_msg m;

    *out = 0;
    if (rpc_call(r, WIRE_WORKERS_QUERY, &q.base, WIRE_WORKERS, &m, err) < 0)
        return -1;
    for (size_t i = 0; i < m.workers->n_worker; i++) {
        const Skein__WorkerInfo *w = m.workers->worker[i];
        bool has = false;

        for (size_t k = 0; k < w->n_model; k++)
            has = has
                  || (strlen(w->model[k]->name) == len
                      && strncmp(w->model[k]->name, model, len) == 0);
        *out += has;
    }
    wire_free(&m);
    return 0;
}

static int print_dry_run(const struct submit_options *o, const struct lint *l,
                         unsigned workers, struct err *err)
{
    json_t *object;

    if (o->common.json) {
        object = json_begin();
        json_object_set_new(object, "dry_run", json_true());
        json_object_set_new(object, "lines",
                            json_integer((json_int_t)l->lines));
        json_object_set_new(object, "records",
                            json_integer((json_int_t)l->records));
        json_object_set_new(object, "rejected",
                            json_integer((json_int_t)l->bad));
        json_object_set_new(object, "warnings",
                            json_integer((json_int_t)l->warned));
        json_object_set_new(object, "workers", json_integer(workers));
        return json_print(object, err);
    }
    if (is_quiet(o))
        return 0;
    fprintf(stderr,
            "a dry run: nothing is queued\n%llu records, %llu rejected, %llu "
            "lines\n",
            (unsigned long long)l->records, (unsigned long long)l->bad,
            (unsigned long long)l->lines);
    if (l->bad > 0)
        fprintf(stderr, "  skein validate    shows the rejected lines\n");
    if (workers > 0)
        fprintf(stderr, "%u worker%s with the model %s\n", workers,
                workers == 1 ? "" : "s", o->model);
    else
        fprintf(stderr, "no worker has the model %s: the job would wait\n",
                o->model);
    return 0;
}

static int dry_run(const struct submit_options *o, struct input *in,
                   struct err *err)
{
    struct lint_rules rules = {.lenient = o->lenient, .dir = lint_dir()};
    struct rpc *r = cmd_connect(&o->common, err);
    unsigned workers;
    struct lint l;
    int status = -1;

    if (r != NULL && count_workers(r, o->model, &workers, err) == 0) {
        if (lint_run(in, &rules, &l, err) == 0
            && print_dry_run(o, &l, workers, err) == 0)
            status = l.bad > 0 ? ERR_INVALID : 0;
        lint_free(&l);
    }
    rpc_close(r);
    return status;
}

/* ---- the command -------------------------------------------------------- */

static int send_job(struct rpc *r, const struct submit_options *o,
                    struct input *in, char *name, struct submit_result *out,
                    struct err *err)
{
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    Skein__Submit what = SKEIN__SUBMIT__INIT;
    uint8_t request_id[SUBMIT_ID_BYTES];

    spec.name = name;
    spec.model = (char *)(uintptr_t)o->model;
    spec.user = (char *)(uintptr_t)user_name();
    spec.bos = (Skein__Bos)cmd_bos(o->bos);
    spec.seed = (uint64_t)o->seed.value;
    spec.lenient = o->lenient;
    spec.priority = (int32_t)o->priority.value;
    if (cmd_created(&o->created, &spec.created_s, err) < 0)
        return -1;
    hash_random(request_id, sizeof request_id);
    what.request_id.data = request_id;
    what.request_id.len = sizeof request_id;
    what.spec = &spec;
    what.held = o->hold;
    return submit_send(r, in, &what, NULL, NULL, out, err);
}

static int submit(const struct submit_options *o, const char *path,
                  struct input *in, struct err *err)
{
    struct common_options common = o->common;
    struct select_jobs ended = {.n = 0};
    struct rpc *r = cmd_connect(&common, err);
    struct submit_result done;
    char *name = job_name(o, path);
    int status = -1;

    common.quiet = is_quiet(o);
    if (r == NULL || send_job(r, o, in, name, &done, err) < 0
        || print_submitted(&done, common.json, err) < 0)
        goto out;
    if (!common.quiet)
        submit_say_warnings(path, &done);
    say_submitted(o, &done);
    status = o->wait ? cmd_wait_for(r, &common, &done.job, 1, &ended, err) : 0;
out:
    select_jobs_free(&ended);
    free(name);
    rpc_close(r);
    return status;
}

static int run_submit(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    const struct submit_options *o = options;
    struct input in = INPUT_INIT;
    const char *path;
    int status = -1;

    if (o->dry_run && o->wait)
        return err_set(err, ERR_USAGE,
                       "--dry-run queues nothing to --wait for");
    if (cmd_input(o->input, arg, n_arg, &path, err) < 0
        || check_model(o->model, err) < 0 || check_name(o->name, err) < 0
        || (o->wait && interrupt_catch(err) < 0)
        || input_open(path, &in, err) < 0)
        return -1;
    status = o->dry_run ? dry_run(o, &in, err) : submit(o, path, &in, err);
    input_close(&in);
    return status;
}

const struct command cmd_submit = {
    .spec =
        {
            .command = "submit",
            .synopsis = "[OPTIONS] FILE -m MODEL",
            .purpose = "queue a file of records as a job",
            .about = "FILE holds one JSON object per line, packed with gzip or "
                     "zstd or not ('-' is standard "
                     "input):\n" CMD_ABOUT_RECORDS
                     "The job's number, alone on standard output, is printed "
                     "when the job is safe on the coordinator's disk. Lines "
                     "that are wrong become errors of the job (skein errors "
                     "JOB); they never stop it.",
            .examples = "  skein submit lambada.jsonl -m rwkv7-1.5b\n"
                        "  id=$(skein submit - -m rwkv7-1.5b < in.jsonl)",
            .rows = rows,
            .common = common_rows,
            .args_max = 1,
            .offer = OFFER_FILES,
        },
    .options_size = sizeof(struct submit_options),
    .run = run_submit,
};
