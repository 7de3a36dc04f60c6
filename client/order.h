/* client/order.h - one order, sent to each job that a command line names
 *
 * cancel, hold, release and so on: what they share is here, what differs is in
 * a struct order.
 */
#ifndef CLIENT_ORDER_H
#define CLIENT_ORDER_H

#include "client/cmd.h"

struct order {
    const char *done; /* "cancelled", for "job 12 is cancelled" */
    const char
        *hint; /* what may come next, to be followed by the id; or NULL */
    /* Does it make sense for this job? Jobs it does not are passed over unless
     * they were named by number: then the coordinator says why not. NULL: for
     * all.
     */
    bool (*applies)(const Skein__JobInfo *job);
    /* Send it. 0 and *reply, a WIRE_JOBS with the job as it is now; 1: done,
     * and there is no such job any more; -1.
     */
    int (*send)(struct rpc *r, const Skein__JobInfo *job, const void *options,
                struct wire_msg *reply, struct err *err);
};

/* Options of commands that give orders: first in their struct. */
struct order_options {
    struct job_options jobs;
    bool dry_run;
    bool wait; /* only where ORDER_WAIT_ROW is */
};

#define ORDER_ROWS                                                   \
    CMD_FILTER_ROW('f'),                                             \
    {                                                                \
        .name = "dry-run", .type = OPTION_FLAG,                      \
        .offset = offsetof(struct order_options, dry_run),           \
        .help = "show the jobs this would be about, and do nothing", \
    }

/* For orders after which jobs run. */
#define ORDER_WAIT_ROW                                                \
    {                                                                 \
        .name = "wait", .letter = 'w', .type = OPTION_FLAG,           \
        .offset = offsetof(struct order_options, wait),               \
        .help = "then wait as skein wait does, with its exit status", \
    }

/* Give the order to each job; all of them are tried. The exit status, or -1
 * with the first error.
 */
int order_run(const struct order *order, const void *options, char *const *arg,
              int n_arg, struct err *err);

#endif /* CLIENT_ORDER_H */
