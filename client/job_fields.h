/* client/job_fields.h - the fields of a job, for lists and filters */
#ifndef CLIENT_JOB_FIELDS_H
#define CLIENT_JOB_FIELDS_H

#include "client/fields.h"
#include "proto/skein.pb-c.h"

extern const struct field job_fields[];

#define JOB_FIELDS_DEFAULT "id,state,done,lines,failed,model,name"
/* All of them, for helps; a check compares. */
#define JOB_FIELDS_NAMES                                                   \
    "id, state, done, lines, records, rejected, answered, failed, model, " \
    "name, user, priority, bos, seed, tokens_in, tokens_out, shards, "     \
    "workers, submitted, started, finished, fingerprint, message"

/* A colour for a state, for table_paint(); NULL: none. */
const char *job_state_paint(Skein__JobState state);

/* Share of the job that is done, 0..1: by estimated tokens, since a line may be
 * a word or a book; 1 only when every line has ended.
 */
double job_share(const Skein__JobInfo *job);

#endif /* CLIENT_JOB_FIELDS_H */
