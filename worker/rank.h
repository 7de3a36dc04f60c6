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
 *
 * Up to RANK_UNWAITED_MAX steps are submitted before the first is read: step
 * n + 1 is planned and handed over while the device computes n. A sequence that
 * generates is fed its sampled token on the device, so it may be stepped once
 * past a stop that the host has not read yet; what that step gave is dropped.
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
#define RANK_UNWAITED_MAX 2 /* as many as backend_submit() takes */

struct rank;

/* `b` and `t` are borrowed; `t` may be NULL: then nothing is generated. */
struct rank *rank_create(struct backend *b, const struct tokenizer *t);

/* Waits for the steps that are unwaited. NULL is allowed. */
void rank_destroy(struct rank *r);

/* Take one request (work.h), copied; not between rank_plan() and
 * rank_submit(). 0, or -1: ERR_INTERNAL, malformed.
 */
int rank_add(struct rank *r, const void *request, size_t len, struct err *err);

/* Steps submitted and not finished: 0..RANK_UNWAITED_MAX. */
int rank_unwaited(const struct rank *r);

/* Fill free slots and plan the next step, when fewer than RANK_UNWAITED_MAX are
 * unwaited. Returns its rows, 0 when there is nothing to feed (perhaps until an
 * unwaited step is finished), or -1: the backend failed. A step with rows must
 * be submitted.
 */
int32_t rank_plan(struct rank *r, struct err *err);

/* The records of the planned step, a record once per branch: *id[n]. */
uint32_t rank_planned(struct rank *r, const uint64_t **id);

/* Start the planned step. 0, or -1: the backend failed and the rank is lost. */
int rank_submit(struct rank *r, struct err *err);

/* Wait for the oldest unwaited step and write the answers it completes. 0, or
 * -1: the backend failed and the rank is lost.
 */
int rank_finish(struct rank *r, struct err *err);

/* Answers not yet taken; the caller consumes bytes from its front. */
struct buf *rank_answers(struct rank *r);

struct rank_counts {
    uint64_t steps;
    uint64_t fed;     /* tokens, of records not ended before */
    uint64_t sampled; /* tokens, likewise */
    uint64_t records; /* answered */
    uint64_t cost;    /* of answered records */
};

const struct rank_counts *rank_counts(const struct rank *r);

#endif /* WORKER_RANK_H */
