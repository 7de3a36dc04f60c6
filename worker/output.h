/* worker/output.h - an item's answer as its output line. Pure. */
#ifndef WORKER_OUTPUT_H
#define WORKER_OUTPUT_H

#include "common/buf.h"
#include "worker/shard.h"

/* What an output line is made of. */
struct output {
    const struct encode_rules *rules;
    const struct shard_item *item;
    const struct record *record;
    struct work work;               /* the request */
    const struct answer_view *view; /* [work.head.n_branch] */
};

/* Append the line (no newline) of an item answered without error. `request` and
 * `payload` are what went to the rank and came back.
 */
void output_write(const struct encode_rules *rules,
                  const struct shard_item *item, const char *request,
                  const char *payload, struct buf *out);

/* output_openai.c: the same for a line of an OpenAI batch. */
void output_openai(const struct output *o, struct buf *out);

/* Bytes and words of a text; token ids have neither. */
size_t output_bytes(const struct record_text *t);
size_t output_words(const struct record_text *t);

const char *output_finish(const struct answer_branch *b); /* finish_reason */

#endif /* WORKER_OUTPUT_H */
