/* client/runstate.h - what `skein run` keeps beside its output, so that the
 * same command resumes
 *
 *     OUT.skein/run.json     the settings that shape the results
 *     OUT.skein/spool/       the private coordinator's store
 *     OUT.skein/skeind.log, worker.log, endpoint
 *
 * The directory is locked while a run uses it (flock).
 */
#ifndef CLIENT_RUNSTATE_H
#define CLIENT_RUNSTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/submit.h"
#include "common/err.h"
#include "common/hash.h"

/* Everything a result may depend on, and the identity of the run. Devices and
 * packing are not here: a run may resume with others. If they compute other
 * bits, the fingerprint tells.
 */
struct runstate {
    char *input; /* path as given, for the message */
    uint64_t input_bytes;
    uint8_t input_hash[HASH_BYTES];
    char *model;          /* resolved path, or "null" */
    uint64_t model_bytes; /* of its files; a cheap look before the exact
                               * one, the worker's fingerprint */
    char *tokenizer;      /* resolved path, or "" */
    uint8_t tokenizer_hash[HASH_BYTES];
    char *bos;
    bool lenient;
    uint64_t seed;
    int64_t created_s;
    bool created_given; /* else a resumed run keeps the recorded second */
    uint8_t request_id[SUBMIT_ID_BYTES];
};

void runstate_free(struct runstate *s);

/* Lock `dir`, which is made when it is missing. With `fresh` its content is
 * removed first. Returns the descriptor that holds the lock; closing it unlocks.
 * -1: ERR_CONFLICT when another run has it.
 */
int runstate_lock(const char *dir, bool fresh, struct err *err);

/* Read dir/run.json. 1: *out is filled; 0: there is none; -1. */
int runstate_read(const char *dir, struct runstate *out, struct err *err);

int runstate_write(const char *dir, const struct runstate *s, struct err *err);

/* Is `now` the same run as `before`? If not: ERR_CONFLICT naming everything
 * that changed.
 */
int runstate_compare(const struct runstate *before, const struct runstate *now,
                     struct err *err);

#endif /* CLIENT_RUNSTATE_H */
