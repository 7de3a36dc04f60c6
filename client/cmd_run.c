/* run: everything on this machine, for one file */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/embed.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/output.h"
#include "client/plan.h"
#include "client/results.h"
#include "common/clock.h"
#include "common/file.h"
#include "proto/limits.h"

#define FETCH_SHARDS 64 /* between two looks at the job */
#define STUCK_MS 2000   /* without a lease: is there a worker that fits? */

static const struct option_row rows[] = {
    CMD_INPUT_ROW(struct run_options),
    {.name = "model",
     .letter = 'm',
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, model),
     .value = "PATH",
     .help = "checkpoint (.safetensors, .pth) or its directory; "
             "'null': no model, deterministic nonsense",
     .offer = OFFER_FILES,
     .required = true,
     .setting = true},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, output),
     .value = "FILE",
     .help = "answers, in input order",
     .offer = OFFER_FILES,
     .required = true},
    {.name = "errors",
     .letter = 'e',
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, errors),
     .value = "FILE",
     .help =
         "failed lines. The default file exists only when there are any (an "
         "old one is removed); one that is named here is always written.",
     .offer = OFFER_FILES,
     .fallback = "OUT.errors.jsonl"},
    {.name = "tokenizer",
     .letter = 't',
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, tokenizer),
     .value = "FILE",
     .help = "World vocabulary or tokenizer.json",
     .offer = OFFER_FILES,
     .fallback = "the one beside the model",
     .setting = true},
    {.name = "devices",
     .letter = 'd',
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, devices),
     .value = "LIST",
     .help = "one process each: cpu,cpu or cuda:0,cuda:1 or null",
     .fallback = "auto",
     .setting = true},
    {.name = "bos",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct run_options, bos),
     .value = "POLICY",
     .choice = cmd_bos_choices,
     .help = "start token before text: always, if-empty or never. "
             "Given token ids are used exactly as they are.",
     .fallback = "always",
     .setting = true},
    {.name = "seed",
     .type = OPTION_INT,
     .offset = offsetof(struct run_options, seed),
     .value = "N",
     .min = 0,
     .max = INT64_MAX,
     .help = "of sampling, for lines without a seed of their own",
     .fallback = "0"},
    {.name = "lenient",
     .type = OPTION_FLAG,
     .offset = offsetof(struct run_options, lenient),
     .help = "unknown keys in lines are warnings instead of errors"},
    {.name = "created",
     .type = OPTION_INT,
     .offset = offsetof(struct run_options, created),
     .value = "N",
     .min = 0,
     .max = INT64_MAX / 1000,
     .help = "Unix seconds to record as the time of submission",
     .fallback = "SOURCE_DATE_EPOCH, else now"},
    {.name = "tokens-per-step",
     .type = OPTION_INT,
     .offset = offsetof(struct run_options, tokens_per_step),
     .value = "N",
     .min = 1,
     .max = 65536,
     .help = "rows of one model step; speed and memory, never results",
     .fallback = "chosen by the worker"},
    {.name = "backend-options",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, backend_options),
     .value = "TEXT",
     .help = "passed to the backend (faults of 'null', for tests)"},
    {.name = "fresh",
     .type = OPTION_FLAG,
     .offset = offsetof(struct run_options, fresh),
     .help = "start over instead of resuming; needed when the input, the "
             "model, the tokenizer, --bos, --seed or --lenient changed"},
    {.name = "keep",
     .type = OPTION_FLAG,
     .offset = offsetof(struct run_options, keep),
     .help = "leave OUT.skein (spool, logs) in place on success"},
    {.name = NULL},
};

struct run {
    struct plan plan;
    int lock;
    struct embed *embed;
    struct rpc *rpc;
    struct output out;
    struct output errors;
    uint32_t fetched; /* shards [0, fetched) have been written */
    struct progress_screen screen;
    struct submit_result job;
    int64_t start_ms;       /* when the job was accepted */
    uint64_t tokens_before; /* of earlier runs, at that time */
    uint64_t answered;
    int64_t leased_ms; /* when some shard was last seen leased */
    uint64_t moved;    /* answered records when they last grew, ... */
    int64_t moved_ms;  /* ... or the last look at the coordinator's health */
    bool said_full;
};

/* Is this the continuation of an earlier run? Its request id and time are kept,
 * so that the coordinator finds the job again.
 */
static int adopt_state(struct run *r, struct err *err)
{
    struct runstate *now = &r->plan.state;
    struct runstate before;
    int got = runstate_read(r->plan.dir, &before, err);

    if (got < 0)
        return -1;
    if (got == 0) {
        hash_random(now->request_id, sizeof now->request_id);
        return runstate_write(r->plan.dir, now, err);
    }
    got = runstate_compare(&before, now, err);
    if (got == 0) {
        memcpy(now->request_id, before.request_id, sizeof now->request_id);
        now->created_s = before.created_s;
        if (!r->plan.options->common.quiet)
            fprintf(stderr, "resuming the run in %s\n", r->plan.dir);
    }
    runstate_free(&before);
    return got;
}

/* Our lock on the spool is a lock on the outputs, too. */
static int open_outputs(struct run *r, struct err *err)
{
    if (output_open(&r->out, r->plan.output, true, err) < 0)
        return -1;
    return output_open(&r->errors, r->plan.errors, true, err);
}

static int start_processes(struct run *r, struct err *err)
{
    const struct run_options *o = r->plan.options;
    struct embed_config config = {
        .dir = r->plan.dir,
        .model = r->plan.model_arg,
        .tokenizer = r->plan.tokenizer,
        .devices = r->plan.devices,
        .backend_options = o->backend_options,
        .tokens_per_step = o->tokens_per_step.value,
    };

    progress_note(&r->screen, "starting ...");
    r->embed = embed_start(&config, err);
    if (r->embed == NULL)
        return -1;
    r->rpc = rpc_open(embed_endpoint(r->embed), err);
    if (r->rpc == NULL)
        return -1;
    rpc_set_patience(r->rpc, RPC_RESTART_MS); /* embed_watch() knows better */
    rpc_set_watch(r->rpc, embed_watch, r->embed);
    return 0;
}

static void show_sending(void *ctx, uint64_t sent, uint64_t size)
{
    struct run *r = ctx;
    char text[64];

    /* plan.h has read it to its end, so that its size is known */
    snprintf(text, sizeof text, "reading the input: %.0f%%",
             size > 0 ? 100.0 * (double)sent / (double)size : 100.0);
    progress_note(&r->screen, text);
}

static int submit(struct run *r, struct err *err)
{
    Skein__JobSpec spec = SKEIN__JOB_SPEC__INIT;
    Skein__Submit what = SKEIN__SUBMIT__INIT;
    char *name = cmd_job_name(r->plan.input_path);
    int ret;

    spec.name = name;
    spec.model = r->plan.model_name;
    spec.bos = (Skein__Bos)cmd_bos(r->plan.state.bos);
    spec.seed = r->plan.state.seed;
    spec.created_s = r->plan.state.created_s;
    spec.lenient = r->plan.state.lenient;
    what.request_id.data = r->plan.state.request_id;
    what.request_id.len = SUBMIT_ID_BYTES;
    what.spec = &spec;
    ret = submit_send(r->rpc, &r->plan.input, &what, show_sending, r, &r->job,
                      err);
    free(name);
    r->start_ms = clock_now_ms();
    if (ret < 0 || r->plan.options->common.quiet)
        return ret;
    progress_clear(&r->screen);
    submit_say_warnings(r->plan.input_path, &r->job);
    return 0;
}

static int write_result(void *ctx, const struct lineset_item *item,
                        struct err *err)
{
    struct run *r = ctx;

    return output_line(&r->out, item->text, item->len, err);
}

static int write_error(void *ctx, const struct lineset_item *item,
                       struct err *err)
{
    struct run *r = ctx;

    return output_line(&r->errors, item->text, item->len, err);
}

/* Fetch what has become ready, a few shards at a time. */
static int fetch_some(struct run *r, const Skein__JobInfo *job, struct err *err)
{
    const struct results_sink sink = {
        .result = write_result, .error = write_error, .ctx = r};
    uint32_t end = job->prefix;

    if (end - r->fetched > FETCH_SHARDS)
        end = r->fetched + FETCH_SHARDS;
    if (results_fetch(r->rpc, job, r->fetched, end, &sink, err) < 0)
        return -1;
    r->fetched = end;
    return 0;
}

/* A shard was computed with other weights than the model has now: no worker
 * will ever be granted the rest. Say so instead of waiting.
 */
static int check_fingerprint(struct run *r, const Skein__JobInfo *job,
                             struct err *err)
{
    Skein__WorkersQuery q = SKEIN__WORKERS_QUERY__INIT;
    int64_t now = clock_now_ms();
    struct wire_msg m;
    bool other = false, same = false;

    if (job->shards_leased > 0 || r->leased_ms == 0)
        r->leased_ms = now;
    if (job->fingerprint.len == 0 || now - r->leased_ms < STUCK_MS)
        return 0;
    r->leased_ms = now;
    if (rpc_call(r->rpc, WIRE_WORKERS_QUERY, &q.base, WIRE_WORKERS, &m, err)
        < 0)
        return -1;
    for (size_t i = 0; i < m.workers->n_worker; i++) {
        const Skein__WorkerInfo *w = m.workers->worker[i];

        for (size_t k = 0; k < w->n_model; k++) {
            const ProtobufCBinaryData *f = &w->model[k]->fingerprint;
            bool equal = f->len == job->fingerprint.len
                         && memcmp(f->data, job->fingerprint.data, f->len) == 0;

            same = same || equal;
            other = other || !equal;
        }
    }
    wire_free(&m);
    if (same || !other)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "the model's weights, tokenizer or "
                   "arithmetic changed since this run began; --fresh starts "
                   "over");
}

/* When nothing moves, the disk may be full: the coordinator goes on by itself
 * as soon as there is room, but somebody has to make it.
 */
static int check_health(struct run *r, const Skein__JobInfo *job,
                        struct err *err)
{
    Skein__ServerQuery q = SKEIN__SERVER_QUERY__INIT;
    int64_t now = clock_now_ms();
    struct wire_msg m;
    bool full;

    if (job->answered != r->moved || r->moved_ms == 0) {
        r->moved = job->answered;
        r->moved_ms = now;
    }
    if (now - r->moved_ms < STUCK_MS)
        return 0;
    r->moved_ms = now;
    if (rpc_call(r->rpc, WIRE_SERVER_QUERY, &q.base, WIRE_SERVER, &m, err) < 0)
        return -1;
    full = strcmp(m.server->health, "ok") != 0;
    wire_free(&m);
    if (full == r->said_full)
        return 0;
    r->said_full = full;
    progress_clear(&r->screen);
    if (full)
        fprintf(stderr,
                "%s cannot be written, its disk is probably full: "
                "waiting for room (Ctrl-C keeps what is done)\n",
                r->plan.dir);
    else
        fputs("there is room again: going on\n", stderr);
    return 0;
}

/* Until the job is over and everything is fetched: the last state of the job,
 * owned by `reply`.
 */
static const Skein__JobInfo *follow(struct run *r, struct wire_msg *reply,
                                    struct err *err)
{
    int64_t pause = JOBS_POLL_FIRST_MS / 2;
    bool first = true;

    for (;;) {
        const Skein__JobInfo *job = jobs_get(r->rpc, r->job.job, reply, err);
        uint32_t before = r->fetched;

        if (job == NULL)
            return NULL;
        if (first && r->job.existing)
            r->tokens_before = job->tokens_in + job->tokens_out;
        first = false;
        r->answered = job->answered;
        if (fetch_some(r, job, err) < 0)
            goto fail;
        if (jobs_over(job) && r->fetched == job->prefix)
            return job;
        if (job->state == SKEIN__JOB_STATE__JOB_QUEUED)
            progress_note(&r->screen, "loading the model ...");
        else
            progress_show(&r->screen, job, clock_now_ms());
        if (check_fingerprint(r, job, err) < 0 || check_health(r, job, err) < 0)
            goto fail;
        wire_free(reply);
        pause = r->fetched > before ? JOBS_POLL_FIRST_MS / 2 : pause * 3 / 2;
        if (pause > JOBS_POLL_MAX_MS / 2)
            pause = JOBS_POLL_MAX_MS / 2;
        if (rpc_pause(r->rpc, pause, err) < 0)
            return NULL;
    }
fail:
    wire_free(reply);
    return NULL;
}

static int write_outputs(struct run *r, struct err *err)
{
    if (output_commit(&r->out, err) < 0)
        return -1;
    if (r->errors.lines > 0 || r->plan.errors_given)
        return output_commit(&r->errors, err);
    /* Errors of an earlier run must not be taken for this one's. */
    if (unlink(r->plan.errors) < 0 && file_exists(r->plan.errors))
        return err_set(err, ERR_IO,
                       "%s: cannot remove the errors of an earlier "
                       "run",
                       r->plan.errors);
    return 0;
}

static int print_json(const struct run *r, const Skein__JobInfo *job,
                      struct err *err)
{
    json_t *o = json_job(job);

    json_object_del(o, "id"); /* of a coordinator that is gone */
    json_object_set_new(o, "output", json_string(r->plan.output));
    if (r->errors.lines > 0 || r->plan.errors_given)
        json_object_set_new(o, "errors", json_string(r->plan.errors));
    return json_print(o, err);
}

static void say_summary(const struct run *r, const Skein__JobInfo *job)
{
    uint64_t tokens = job->tokens_in + job->tokens_out;
    double seconds = (double)(clock_now_ms() - r->start_ms) / 1000;
    char count[16], rate[16];

    progress_count((double)tokens, count);
    fprintf(stderr, "%llu records answered, %llu error%s, %s tokens",
            (unsigned long long)r->out.lines,
            (unsigned long long)r->errors.lines,
            r->errors.lines == 1 ? "" : "s", count);
    if (tokens > r->tokens_before) { /* a resumed run may find all of it done */
        progress_count((double)(tokens - r->tokens_before)
                           / (seconds > 0.001 ? seconds : 0.001),
                       rate);
        fprintf(stderr, ", %s tok/s", rate);
    }
    fprintf(stderr, ": %s", r->plan.output);
    if (r->errors.lines > 0)
        fprintf(stderr, ", errors in %s", r->plan.errors);
    fputc('\n', stderr);
}

/* The job is over: write, tell, and leave nothing behind. */
static int conclude(struct run *r, const Skein__JobInfo *job, struct err *err)
{
    const struct run_options *o = r->plan.options;

    if (job->state != SKEIN__JOB_STATE__JOB_DONE) {
        err_set(err, (enum err_code)jobs_exit_status(job),
                "the job ended as %s: %s. "
                "Nothing was written; %s has the logs, --fresh starts over",
                job_state_name(job->state),
                job->message[0] != '\0' ? job->message : "no reason given",
                r->plan.dir);
        return -1;
    }
    if (write_outputs(r, err) < 0)
        return -1;
    progress_clear(&r->screen);
    if (!o->common.quiet)
        say_summary(r, job);
    if (o->common.json && print_json(r, job, err) < 0)
        return -1;
    return jobs_exit_status(job);
}

static int run_all(struct run *r, struct err *err)
{
    const Skein__JobInfo *job;
    struct wire_msg reply;
    int status;

    if (adopt_state(r, err) < 0 || open_outputs(r, err) < 0
        || start_processes(r, err) < 0 || submit(r, err) < 0)
        return -1;
    progress_note(&r->screen, "loading the model ...");
    job = follow(r, &reply, err);
    if (job == NULL)
        return -1;
    status = conclude(r, job, err);
    wire_free(&reply);
    return status;
}

/* Stop the processes and decide what stays: everything after an interruption,
 * since the same command goes on from it; only the logs after a failure before
 * the first answer, since the next try will be with other settings; nothing
 * after success.
 */
static int clean_up(struct run *r, int status, struct err *err)
{
    struct buf log = BUF_INIT;
    bool interrupted = interrupt_signal() != 0;

    progress_clear(&r->screen);
    if (interrupted && r->embed != NULL)
        fputs("stopping; interrupt again to stop at once\n", stderr);
    if (status < 0 && r->embed != NULL && !interrupted)
        embed_failure(r->embed, &log);
    if (log.len > 0)
        fputs(log.data, stderr);
    buf_free(&log);
    rpc_close(r->rpc);
    embed_stop(r->embed);
    output_close(&r->out);
    output_close(&r->errors);
    if (status >= 0 && !r->plan.options->keep)
        return file_remove_tree(r->plan.dir, err) < 0 ? -1 : status;
    if (status < 0 && !interrupted && r->answered == 0
        && err->code != ERR_CONFLICT && err->code != ERR_CORRUPT) {
        char *record = file_join(r->plan.dir, "run.json");
        char *spool = file_join(r->plan.dir, "spool");

        unlink(record);
        file_remove_tree(spool, NULL);
        free(spool);
        free(record);
    }
    if (status < 0 && !interrupted && r->answered > 0
        && err->code != ERR_CONFLICT)
        fprintf(stderr,
                "%llu records are answered and kept in %s; the same command "
                "resumes\n",
                (unsigned long long)r->answered, r->plan.dir);
    if (interrupted)
        fprintf(stderr,
                "interrupted; the same command resumes (%llu records "
                "are answered, kept in %s)\n",
                (unsigned long long)r->answered, r->plan.dir);
    return status;
}

static int run_run(const void *options, char *const *arg, int n_arg,
                   struct err *err)
{
    const struct run_options *o = options;
    struct run r = {.lock = -1, .out = {.fd = -1}, .errors = {.fd = -1}};
    const char *input;
    int status = -1;

    if (cmd_input(o->input, arg, n_arg, &input, err) < 0
        || interrupt_catch(err) < 0 || plan_make(o, input, &r.plan, err) < 0)
        return -1;
    progress_open(&r.screen, o->common.quiet, o->common.color);
    r.lock = runstate_lock(r.plan.dir, o->fresh, err);
    if (r.lock >= 0) {
        status = run_all(&r, err);
        status = clean_up(&r, status, err);
        close(r.lock);
    }
    plan_free(&r.plan);
    return status;
}

const struct command cmd_run = {
    .spec =
        {
            .command = "run",
            .synopsis = "[OPTIONS] FILE -m MODEL -o OUT.jsonl",
            .purpose = "score or generate on this machine, without a server",
            .about = "FILE holds one JSON object per line, packed with gzip or "
                     "zstd or not:\n" CMD_ABOUT_RECORDS
                     "A private coordinator and worker do the work; nothing "
                     "keeps running. What is finished is kept in OUT.skein, so "
                     "after Ctrl-C, a crash or a power cut the same command "
                     "goes on where it was. The output appears when it is "
                     "complete, and is the same bytes whatever happened. Exit "
                     "status: 0 every line was answered, 1 some lines failed, "
                     "3 all of them or the job did, 130 interrupted.",
            .examples = "  skein run in.jsonl -m rwkv7-0.1b.pth -o out.jsonl\n"
                        "  skein run in.jsonl -m examples/model -o out.jsonl "
                        "--devices cpu,cpu",
            .rows = rows,
            .common = cmd_local_rows,
            .args_max = 1,
            .offer = OFFER_FILES,
        },
    .options_size = sizeof(struct run_options),
    .run = run_run,
};
