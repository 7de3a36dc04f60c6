/* worker/rank.h - records to answers on one backend
 *
 * Holds the records given to this rank, hands out state slots, packs pieces of
 * many sequences into steps, and writes an answer for each record exactly once.
 * No I/O of its own: the process around it is rank_main.c.
 *
 *   waiting -> [slot: prefix -> forked branches | single sequence] -> answer
 *
 * A record with several branches (choices) takes two slots: one keeps the state
 * after the prefix, the other runs its branches one after another; more run at
 * a time when slots are free, and the last branch continues in the prefix's own
 * slot. Since the second slot is reserved with the first, every record that was
 * admitted can finish.
 */
#ifndef WORKER_RANK_H
#define WORKER_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "model/backend.h"
#include "text/tokenizer.h"

#define RANK_SLOTS_MIN 2
#define RANK_SLOTS_MAX 4096

struct rank;

/* `b` and `t` are borrowed; `t` may be NULL: then nothing is generated. */
struct rank *rank_create(struct backend *b, const struct tokenizer *t);
void rank_destroy(struct rank *r);

/* Take one request (work.h), copied; not between rank_plan() and rank_step().
 * 0, or -1: ERR_INTERNAL, malformed.
 */
int rank_add(struct rank *r, const void *request, size_t len, struct err *err);

/* Fill free slots and plan the next step. Returns its rows, 0 when there is
 * nothing to do, or -1: the backend failed.
 */
int32_t rank_plan(struct rank *r, struct err *err);

/* The records of the planned step, a record once per branch: *id[n]. */
uint32_t rank_in_flight(const struct rank *r, const uint64_t **id);

/* Run the planned step. 0, or -1: the backend failed and the rank is lost. */
int rank_step(struct rank *r, struct err *err);

/* Answers not yet taken; the caller consumes bytes from its front. */
struct buf *rank_answers(struct rank *r);

struct rank_counts {
    uint64_t steps;
    uint64_t fed;     /* tokens */
    uint64_t sampled; /* tokens */
    uint64_t records; /* answered */
    uint64_t cost;    /* of answered records */
};

const struct rank_counts *rank_counts(const struct rank *r);

#endif /* WORKER_RANK_H */
