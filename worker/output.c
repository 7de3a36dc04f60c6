#include "worker/output.h"

#include <assert.h>
#include <stdlib.h>

#include "text/utf8.h"

size_t output_bytes(const struct record_text *t)
{
    return t->is_ids ? 0 : t->len;
}

size_t output_words(const struct record_text *t)
{
    return t->is_ids ? 0 : utf8_words(t->text, t->len);
}

const char *output_finish(const struct answer_branch *b)
{
    return b->finish == ANSWER_STOP ? "stop" : "length";
}

static void write_choice(const struct output *o, struct buf *out)
{
    struct record_detail detail[RECORD_CHOICES_MAX];
    double logprob[RECORD_CHOICES_MAX];

    for (uint32_t i = 0; i < o->work.head.n_branch; i++) {
        logprob[i] = o->view[i].branch.logprob;
        detail[i] = o->view[i].detail;
    }
    record_write_choice(o->record, logprob, detail, out);
}

static void write_generate(const struct output *o, struct buf *out)
{
    const struct answer_branch *b = &o->view->branch;
    struct record_detail detail = o->view->detail;

    if (detail.n > b->sampled)
        detail.n = b->sampled; /* without the end token */
    record_write_generate(o->record, o->view->text, b->text_bytes,
                          output_finish(b), b->sampled, &detail, out);
}

static void write_native(const struct output *o, struct buf *out)
{
    const struct record *r = o->record;
    const struct answer_branch *b = &o->view->branch;
    const struct encoded *e = &o->item->encoded;

    switch (r->kind) {
    case RECORD_SCORE:
        record_write_score(r, b->logprob, b->greedy != 0, e->n_scored,
                           &o->view->detail, out);
        break;
    case RECORD_CHOICE:
        write_choice(o, out);
        break;
    case RECORD_ROLLING:
        record_write_rolling(r, b->logprob, e->n_scored,
                             output_bytes(&r->context),
                             output_words(&r->context), e->first_unscored,
                             &o->view->detail, out);
        break;
    case RECORD_GENERATE:
        write_generate(o, out);
        break;
    }
}

void output_write(const struct encode_rules *rules,
                  const struct shard_item *item, const char *request,
                  const char *payload, struct buf *out)
{
    struct output o = {.rules = rules, .item = item, .record = item->record};
    struct answer_view *view;
    size_t at = 0;
    int rc = work_read(request, item->request_len, &o.work);

    assert(rc == 0);
    view = xcalloc(o.work.head.n_branch, sizeof *view);
    for (uint32_t i = 0; i < o.work.head.n_branch; i++) {
        rc = answer_next_branch(payload, item->answer_len, &at,
                                o.work.head.top_logprobs, &view[i]);
        assert(rc == 0); /* shard_answer() has looked */
    }
    (void)rc;
    o.view = view;
    if (o.record->form == RECORD_OPENAI)
        output_openai(&o, out);
    else
        write_native(&o, out);
    free(view);
}
