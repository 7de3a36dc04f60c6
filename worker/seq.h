/* worker/seq.h - one sequence in one state slot, from its first token to its
 * last
 *
 * Pure: a list of tokens to feed, which of the rows are scored against the
 * token that follows, and the sum of what came back, in order, in double.
 */
#ifndef WORKER_SEQ_H
#define WORKER_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "model/backend.h"

struct seq {
    const int32_t *token; /* [n_token], borrowed */
    int32_t n_token;
    int32_t n_feed;   /* the first n_feed tokens are fed */
    int32_t score_at; /* row i >= score_at is scored against token[i + 1], as
                       * long as there is one */
    int32_t fed;      /* to steps, read or not */
    double logprob;   /* sum over scored rows so far */
    bool greedy;      /* all of them were the argmax */
    bool finite;      /* all of them were finite */
};

/* A text whose tokens after the first `n_unscored` are scored given all before
 * them. Its last token is not fed. n_unscored >= 1.
 */
void seq_score(struct seq *s, const int32_t *token, int32_t n,
               int32_t n_unscored);

/* The same, but it is fed to its end: something continues it. */
void seq_echo(struct seq *s, const int32_t *token, int32_t n,
              int32_t n_unscored);

/* A text fed completely, without scores: a prefix, or a prompt. */
void seq_read(struct seq *s, const int32_t *token, int32_t n);

int32_t seq_left(const struct seq *s); /* tokens not fed yet */

/* The next `take` tokens become rows row.. of a step: their score rows. Returns
 * how many; `out` has room for `take`.
 */
int32_t seq_feed(struct seq *s, int32_t take, int32_t row,
                 struct score_row *out);

/* A step's results came back, in order of the steps: out[n]. */
void seq_scored(struct seq *s, const struct score_out *out, int32_t n);

#endif /* WORKER_SEQ_H */
