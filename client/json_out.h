/* client/json_out.h - what --json prints
 *
 * One object for one thing, an array for a list. Names follow OpenAI's batch
 * object where it has one. Times are ISO 8601 UTC, durations seconds, sizes
 * bytes; a key whose value is unknown is absent. "schema" is raised whenever a
 * key changes its meaning or goes away. Errors: {"error":{"code","message"}}.
 */
#ifndef CLIENT_JSON_OUT_H
#define CLIENT_JSON_OUT_H

#include <jansson.h>

#include "client/select.h"
#include "common/err.h"
#include "proto/skein.pb-c.h"

#define JSON_SCHEMA 1

/* New references. */
json_t *json_job(const Skein__JobInfo *job);
json_t *json_worker(const Skein__WorkerInfo *worker);
json_t *json_server(const Skein__ServerInfo *server, const char *endpoint);
json_t *json_error_of(const struct err *err);

/* A string, whatever its bytes: names come from other people's files, and one
 * that is not UTF-8 must not cost the whole answer.
 */
json_t *json_text(const char *s);

/* An object that holds only "schema". */
json_t *json_begin(void);

/* One line on standard output; takes the reference. ERR_IO. */
int json_print(json_t *value, struct err *err);

/* A selection: an object if one job was asked for, else an array. ERR_IO. */
int json_print_jobs(const struct select_jobs *jobs, struct err *err);

/* "queued", "running", ...: also what tables show. Static. */
extern const char *const job_state_names[]; /* ends with NULL */
const char *job_state_name(Skein__JobState state);
const char *bos_name(Skein__Bos bos);

#endif /* CLIENT_JSON_OUT_H */
