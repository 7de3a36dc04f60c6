/* model/cpu_head.h - the output head of the CPU backend
 *
 * Rows whose logits somebody wants are collected during a step and multiplied
 * with the head in blocks of HEAD_ROWS. Their logits come HEAD_COLS columns at
 * a time and are reduced at once, while in cache: only rows that are sampled at
 * a temperature, or asked for raw, are ever written out whole.
 *
 * Log-softmax: columns in chunks of HEAD_COLS from 0; in each the largest logit
 * and the sum of exp(logit - largest) in fp32 (sixteen lanes, then a tree); the
 * chunks' sums are joined in ascending order in fp64. logprob = (logit -
 * largest) - log(sum) in fp32.
 */
#ifndef MODEL_CPU_HEAD_H
#define MODEL_CPU_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "model/backend.h"
#include "model/cpu_kernels.h"
#include "model/cpu_model.h"
#include "model/history.h"
#include "model/sampler.h"

#define HEAD_ROWS 96
#define HEAD_COLS 512

struct cpu_head;

/* For rows of steps within `limits`. `last` [S] receives sampled tokens, and the
 * slot's history, if any, counts them. The model, the kernels, `last` and the
 * histories outlive the head. NULL: ERR_NOMEM.
 */
struct cpu_head *cpu_head_create(const struct cpu_model *m,
                                 const struct cpu_kernels *k,
                                 const struct backend_limits *limits,
                                 int32_t *last, struct histories *histories,
                                 struct err *err);
void cpu_head_destroy(struct cpu_head *h); /* NULL is allowed */

/* Begin a step, whose score, sample and logit rows are wanted; history_of [S] is
 * that of struct backend.
 */
void cpu_head_begin(struct cpu_head *h, const struct step *step,
                    const int32_t *history_of);

/* Rows row.. of the step in order, before ln_out. Wanted ones are taken. */
void cpu_head_take(struct cpu_head *h, int32_t row, size_t n,
                   struct cpu_rows x);

/* End the step: all outputs are written. */
void cpu_head_end(struct cpu_head *h);

#endif /* MODEL_CPU_HEAD_H */
