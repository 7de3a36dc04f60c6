/* submit: queue a file as a job */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pwd.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/json_out.h"
#include "client/submit.h"
#include "common/hash.h"
#include "proto/limits.h"
#include "text/utf8.h"

struct submit_options {
    struct common_options common;
    const char *model;
    const char *name;
    const char *bos;
    struct option_int seed;
    struct option_int created;
    struct option_int priority;
    bool lenient;
    bool wait;
};

static const struct option_row rows[] = {
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
    {.name = "wait",
     .letter = 'w',
     .type = OPTION_FLAG,
     .offset = offsetof(struct submit_options, wait),
     .help = "then wait as skein wait does, with its exit status"},
    {.name = NULL},
};

static const char *user_name(void)
{
    const struct passwd *p = getpwuid(geteuid());

    return p != NULL && strlen(p->pw_name) <= 64 ? p->pw_name : "";
}

/* A name for the job, malloc'ed: what was given, else that of the file. */
static int job_name(const struct submit_options *o, const char *path,
                    char **out, struct err *err)
{
    const char *given = o->name;

    if (given == NULL) {
        *out = cmd_job_name(strcmp(path, "-") == 0 ? "stdin" : path);
        return 0;
    }
    if (strlen(given) > JOB_NAME_BYTES_MAX || !utf8_valid(given, strlen(given)))
        return err_set(err, ERR_USAGE,
                       "option --name: at most %d bytes of UTF-8",
                       JOB_NAME_BYTES_MAX);
    *out = xstrdup(given);
    return 0;
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

static void say_submitted(const struct submit_options *o,
                          const struct submit_result *s)
{
    unsigned long long id = s->job;

    if (o->common.quiet)
        return;
    fprintf(stderr, "%llu records, %llu rejected, %llu lines\n",
            (unsigned long long)s->records, (unsigned long long)s->rejected,
            (unsigned long long)s->lines);
    if (s->rejected > 0)
        fprintf(stderr, "  skein errors %llu     shows the rejected lines\n",
                id);
    if (!o->wait)
        fprintf(stderr,
                "  skein wait %llu       waits for it\n"
                "  skein results %llu    prints what is there\n",
                id, id);
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

static int send_job(struct rpc *r, const struct submit_options *o,
                    struct input *in, char *name, struct submit_result *out,
                    struct err *err)
{
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
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
    return submit_send(r, in, request_id, &spec, NULL, NULL, out, err);
}

static int run_submit(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    const struct submit_options *o = options;
    struct select_jobs ended = {.n = 0};
    struct input in = INPUT_INIT;
    struct submit_result done;
    struct rpc *r = NULL;
    char *name = NULL;
    int status = -1;

    (void)n_arg;
    if (check_model(o->model, err) < 0)
        return -1;
    if (job_name(o, arg[0], &name, err) < 0
        || (o->wait && interrupt_catch(err) < 0)
        || input_open(arg[0], &in, err) < 0)
        goto out;
    r = cmd_connect(&o->common, err);
    if (r == NULL || send_job(r, o, &in, name, &done, err) < 0
        || print_submitted(&done, o->common.json, err) < 0)
        goto out;
    if (!o->common.quiet)
        submit_say_warnings(arg[0], &done);
    say_submitted(o, &done);
    status =
        o->wait ? cmd_wait_for(r, &o->common, &done.job, 1, &ended, err) : 0;
out:
    select_jobs_free(&ended);
    input_close(&in);
    free(name);
    rpc_close(r);
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
            .args_min = 1,
            .args_max = 1,
            .offer = OFFER_FILES,
        },
    .options_size = sizeof(struct submit_options),
    .run = run_submit,
};
