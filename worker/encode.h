/* worker/encode.h - a record's text into the tokens to be fed and scored
 *
 * Pure; the only place that knows the start token policy (DESIGN 8.3):
 *
 *   policy     text, empty   text, not empty   given ids
 *   always     [0]           [0] + text        the ids
 *   if-empty   [0]           text              the ids
 *   never      -             text              the ids
 *
 * for the context of score and choice, the prompt of generate. The text of
 * rolling has no context, so there "if-empty" means always. What ends up empty
 * ("-", or empty ids) is an error, except for rolling, whose first token is then
 * not scored. A target is encoded by itself, never together with its context.
 */
#ifndef WORKER_ENCODE_H
#define WORKER_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/record.h"
#include "proto/skein.pb-c.h"
#include "text/tokenizer.h"

/* What encoding depends on besides the record. */
struct encode_rules {
    const struct tokenizer *tokenizer; /* NULL: token ids only */
    int32_t vocab;                     /* ids are 0..vocab-1 */
    Skein__Bos bos;
    uint64_t job_seed;
    struct record_job job;
};

/* What the answer will need to know. */
struct encoded {
    uint64_t cost;       /* tokens fed and at most generated */
    uint32_t n_scored;   /* score, rolling */
    bool first_unscored; /* rolling without a start token */
};

/* Tokens that an answer may tell, alternatives included: 32 MiB of payload. */
#define ENCODE_DETAIL_MAX (4u << 20)

/* Reusable memory; zero-initialise, encode_scratch_free(). */
struct encode_scratch {
    struct ids context, token;
    int32_t len[RECORD_SAMPLES_MAX]; /* of the branches */
    struct buf bias;                 /* struct logit_bias */
    struct buf stop;
};

void encode_scratch_free(struct encode_scratch *s);

/* Append the request (work.h) of a record to `out`. 0, or -1 with *why: codes
 * token_out_of_range, nothing_to_condition_on, no_tokenizer, no_template,
 * too_large, invalid_value.
 */
int encode_record(const struct encode_rules *rules, const struct record *r,
                  uint64_t id, struct encode_scratch *s, struct buf *out,
                  struct encoded *e, struct record_error *why);

#endif /* WORKER_ENCODE_H */
