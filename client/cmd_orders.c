/* hold, release, set, retry, rm: ORDERs of docs/protocol.md */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cmd.h"
#include "client/jobs.h"
#include "client/order.h"

static const struct option_row order_rows[] = {ORDER_ROWS, {.name = NULL}};

static int send_order(struct rpc *r, Skein__Order *q, const Skein__JobInfo *job,
                      struct wire_msg *reply, struct err *err)
{
    q->job = job->job;
    return rpc_call(r, WIRE_ORDER, &q->base, WIRE_JOBS, reply, err);
}

static bool is_held(const Skein__JobInfo *job)
{
    return job->state == SKEIN__JOB_STATE__JOB_HELD;
}

static bool is_live(const Skein__JobInfo *job)
{
    return !jobs_over(job);
}

/* ---- hold and release --------------------------------------------------- */

static bool can_hold(const Skein__JobInfo *job)
{
    return is_live(job) && !is_held(job);
}

static int send_hold(struct rpc *r, const Skein__JobInfo *job,
                     const void *options, struct wire_msg *reply,
                     struct err *err)
{
    Skein__Order q = SKEIN__ORDER__INIT;

    (void)options;
    q.kind = SKEIN__ORDER_KIND__ORDER_HOLD;
    return send_order(r, &q, job, reply, err);
}

static int run_hold(const void *options, char *const *arg, int n_arg,
                    struct err *err)
{
    static const struct order hold = {
        .done = "held",
        .hint = "it goes on after: skein release",
        .applies = can_hold,
        .send = send_hold,
    };

    return order_run(&hold, options, arg, n_arg, err);
}

const struct command cmd_hold = {
    .spec =
        {
            .command = "hold",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "give no more work of these jobs to workers",
            .about = "What workers have of them already is finished, and "
                     "results stay readable. A held job stays held when the "
                     "coordinator starts again.\n" CMD_ABOUT_JOBS,
            .examples = "  skein hold 12\n"
                        "  skein hold all --filter user=$USER",
            .rows = order_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct order_options),
    .run = run_hold,
};

static const struct option_row release_rows[] = {
    ORDER_WAIT_ROW, ORDER_ROWS, {.name = NULL}};

static int send_release(struct rpc *r, const Skein__JobInfo *job,
                        const void *options, struct wire_msg *reply,
                        struct err *err)
{
    Skein__Order q = SKEIN__ORDER__INIT;

    (void)options;
    q.kind = SKEIN__ORDER_KIND__ORDER_RELEASE;
    return send_order(r, &q, job, reply, err);
}

static int run_release(const void *options, char *const *arg, int n_arg,
                       struct err *err)
{
    static const struct order release = {
        .done = "released",
        .applies = is_held,
        .send = send_release,
    };

    return order_run(&release, options, arg, n_arg, err);
}

const struct command cmd_release = {
    .spec =
        {
            .command = "release",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "let held jobs go on",
            .about = CMD_ABOUT_JOBS,
            .examples = "  skein release 12\n"
                        "  skein release all",
            .rows = release_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct order_options),
    .run = run_release,
};

/* ---- set ---------------------------------------------------------------- */

struct set_options {
    struct order_options order;
    struct option_int priority;
};

static const struct option_row set_rows[] = {
    {.name = "priority",
     .letter = 'p',
     .type = OPTION_INT,
     .offset = offsetof(struct set_options, priority),
     .value = "N",
     .min = INT32_MIN,
     .max = INT32_MAX,
     .help = "higher first (unlike nice)",
     .required = true},
    ORDER_ROWS,
    {.name = NULL},
};

static int send_priority(struct rpc *r, const Skein__JobInfo *job,
                         const void *options, struct wire_msg *reply,
                         struct err *err)
{
    const struct set_options *o = options;
    Skein__Order q = SKEIN__ORDER__INIT;

    q.kind = SKEIN__ORDER_KIND__ORDER_PRIORITY;
    q.priority = (int32_t)o->priority.value;
    return send_order(r, &q, job, reply, err);
}

static int run_set(const void *options, char *const *arg, int n_arg,
                   struct err *err)
{
    const struct set_options *o = options;
    char done[32];
    const struct order set = {
        .done = done,
        .applies = is_live,
        .send = send_priority,
    };

    snprintf(done, sizeof done, "at priority %d", (int)o->priority.value);
    return order_run(&set, o, arg, n_arg, err);
}

const struct command cmd_set = {
    .spec =
        {
            .command = "set",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "change jobs that are not over yet",
            .about = "What has been given to workers already stays with "
                     "them.\n" CMD_ABOUT_JOBS,
            .examples = "  skein set 12 --priority 10\n"
                        "  skein set lambada -p -1",
            .rows = set_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct set_options),
    .run = run_set,
};

/* ---- retry -------------------------------------------------------------- */

struct retry_options {
    struct order_options order;
    bool failed;
};

static const struct option_row retry_rows[] = {
    {.name = "failed",
     .type = OPTION_FLAG,
     .offset = offsetof(struct retry_options, failed),
     .help = "also the records that ended as an error"},
    ORDER_WAIT_ROW,
    ORDER_ROWS,
    {.name = NULL},
};

static bool has_unanswered(const Skein__JobInfo *job)
{
    return jobs_over(job) && job->state != SKEIN__JOB_STATE__JOB_CORRUPT
           && job->answered < job->records;
}

static bool has_failed(const Skein__JobInfo *job)
{
    return has_unanswered(job)
           || (jobs_over(job) && job->state != SKEIN__JOB_STATE__JOB_CORRUPT
               && job->failed > 0);
}

static int send_retry(struct rpc *r, const Skein__JobInfo *job,
                      const void *options, struct wire_msg *reply,
                      struct err *err)
{
    const struct retry_options *o = options;
    Skein__Order q = SKEIN__ORDER__INIT;
    unsigned long long id = job->job;
    int ret;

    q.kind = SKEIN__ORDER_KIND__ORDER_RETRY;
    q.failed = o->failed;
    q.finished_unix_ms = job->finished_unix_ms;
    ret = send_order(r, &q, job, reply, err);
    if (ret < 0 && err->code == ERR_NOT_FOUND && !o->failed && job->failed > 0)
        return err_set(err, ERR_NOT_FOUND,
                       "job %llu: every record was answered; to try its %llu "
                       "failed lines again: skein retry --failed %llu",
                       id, (unsigned long long)job->failed, id);
    if (ret < 0 && err->code == ERR_NOT_FOUND)
        return err_wrap(err, "job %llu", id);
    return ret;
}

static int run_retry(const void *options, char *const *arg, int n_arg,
                     struct err *err)
{
    const struct retry_options *o = options;
    const struct order retry = {
        .done = "queued again",
        .hint = "skein wait",
        .applies = o->failed ? has_failed : has_unanswered,
        .send = send_retry,
    };

    return order_run(&retry, o, arg, n_arg, err);
}

const struct command cmd_retry = {
    .spec =
        {
            .command = "retry",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "run what an ended job has no answer to",
            .about =
                "For jobs that failed or were cancelled: the records without "
                "an answer are queued again, under the same number. With "
                "--failed the records that ended as an error are tried again, "
                "too. Answers that are there stay, so the output still has "
                "exactly one line for each line of the input. Lines refused "
                "when the job was submitted are not tried "
                "again.\n" CMD_ABOUT_JOBS,
            .examples = "  skein retry --failed 12 --wait\n"
                        "  skein retry all --filter state=cancelled",
            .rows = retry_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct retry_options),
    .run = run_retry,
};

/* ---- rm ----------------------------------------------------------------- */

static int send_remove(struct rpc *r, const Skein__JobInfo *job,
                       const void *options, struct wire_msg *reply,
                       struct err *err)
{
    Skein__Order q = SKEIN__ORDER__INIT;
    struct err cause = {.code = ERR_NONE};

    (void)options;
    q.kind = SKEIN__ORDER_KIND__ORDER_REMOVE;
    if (send_order(r, &q, job, reply, &cause) == 0) {
        wire_free(reply);
        return 1;
    }
    if (cause.code == ERR_NOT_FOUND) /* it was there: the answer got lost */
        return 1;
    err_set(err, cause.code, "%s", cause.text);
    if (cause.code == ERR_CONFLICT)
        err_set(err, cause.code, "%s: skein cancel %llu", cause.text,
                (unsigned long long)job->job);
    return -1;
}

static int run_remove(const void *options, char *const *arg, int n_arg,
                      struct err *err)
{
    static const struct order remove = {
        .done = "removed",
        .applies = jobs_over,
        .send = send_remove,
    };

    return order_run(&remove, options, arg, n_arg, err);
}

const struct command cmd_rm = {
    .spec =
        {
            .command = "rm",
            .synopsis = "[OPTIONS] JOBS",
            .purpose = "forget jobs that are over, results and all",
            .about = "Their files are deleted, and their numbers never used "
                     "again. A job that is not over is refused (status 81): "
                     "cancel it first.\n" CMD_ABOUT_JOBS,
            .examples = "  skein rm 12,15-18\n"
                        "  skein rm all --filter state=cancelled --dry-run",
            .rows = order_rows,
            .common = common_rows,
            .args_min = 1,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .alias = {"forget"},
    .options_size = sizeof(struct order_options),
    .run = run_remove,
};
