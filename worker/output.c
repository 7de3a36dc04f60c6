#include "worker/output.h"

#include <string.h>

#include "text/utf8.h"

/* Text of a rolling record: its bytes and words; ids have neither. */
static void write_rolling(const struct shard_item *item, double logprob,
                          struct buf *out)
{
    const struct record_text *text = &item->record->context;
    size_t words = text->is_ids ? 0 : utf8_words(text->text, text->len);

    record_write_rolling(item->record, logprob, item->encoded.n_scored,
                         text->is_ids ? 0 : text->len, words,
                         item->encoded.first_unscored, out);
}

void output_write(const struct shard_item *item, const char *payload,
                  struct buf *out)
{
    const struct record *r = item->record;
    double logprob[RECORD_CHOICES_MAX];

    if (r->kind == RECORD_GENERATE) {
        record_write_generate(r, payload, item->answer_len,
                              item->finish == ANSWER_STOP ? "stop" : "length",
                              (size_t)item->sampled, out);
        return;
    }
    memcpy(logprob, payload, item->answer_len);
    if (r->kind == RECORD_CHOICE)
        record_write_choice(r, logprob, out);
    else if (r->kind == RECORD_ROLLING)
        write_rolling(item, logprob[0], out);
    else
        record_write_score(r, logprob[0], item->greedy != 0,
                           item->encoded.n_scored, out);
}
