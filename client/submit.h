/* client/submit.h - send an input file to the coordinator as a job
 *
 * The sending side of a transfer (docs/protocol.md). The coordinator says from
 * which offset it wants bytes and how many; a lost message or connection ends
 * in a repeated BEGIN, whose answer says where to go on, or that the job exists
 * already. The request id makes any repetition the same job.
 */
#ifndef CLIENT_SUBMIT_H
#define CLIENT_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/input.h"
#include "client/rpc.h"
#include "common/err.h"
#include "proto/limits.h"

#define SUBMIT_ID_BYTES 16

struct submit_warning {
    uint64_t line;
    char text[ERR_TEXT_MAX];
};

struct submit_result {
    uint64_t job;
    uint64_t lines;
    uint64_t records;
    uint64_t rejected;
    bool existing; /* the request id had been accepted before */
    /* Of a lenient job, when it is accepted: how many, and the first lines'. */
    uint64_t warnings;
    size_t n_warning;
    struct submit_warning warning[WARNINGS_MAX];
};

/* Called now and then with the bytes sent of `size`, which may be
 * INPUT_SIZE_UNKNOWN.
 */
typedef void submit_progress_fn(void *ctx, uint64_t sent, uint64_t size);

/* Send everything and wait until the job is durable. `progress` may be NULL. */
int submit_send(struct rpc *r, struct input *in, Skein__Submit *what,
                submit_progress_fn *progress, void *ctx,
                struct submit_result *out, struct err *err);

/* "FILE:LINE: warning: ...", and how many more, to stderr. */
void submit_say_warnings(const char *path, const struct submit_result *s);

#endif /* CLIENT_SUBMIT_H */
