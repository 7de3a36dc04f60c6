#include "worker/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/record.h"
#include "text/decoder.h"

static struct decoder *make_decoder(const struct work *w)
{
    const char *stop[RECORD_STOPS_MAX];
    size_t len[RECORD_STOPS_MAX];

    for (uint32_t i = 0; i < w->head.n_stop; i++) {
        if (!work_stop(w, i, &stop[i], &len[i]))
            return NULL;
    }
    return decoder_create(stop, len, w->head.n_stop);
}

/* Is it a request that rank.c can run? */
static bool plausible(const struct work *w, const struct tokenizer *t)
{
    uint64_t n = w->head.n_prefix;

    for (uint32_t i = 0; i < w->head.n_branch; i++)
        n += (uint64_t)w->branch_len[i];
    if (n > INT32_MAX || w->head.n_branch < 1)
        return false;
    if (w->head.kind == WORK_SCORE)
        return true;
    return w->head.kind == WORK_GENERATE && w->head.n_branch == 1
           && w->branch_len[0] == 1 && w->head.max_tokens >= 1
           && w->head.n_stop <= RECORD_STOPS_MAX && t != NULL;
}

struct task *task_create(const void *request, size_t len,
                         const struct tokenizer *t)
{
    struct task *task = xcalloc(1, sizeof *task + len);

    memcpy(task->bytes, request, len);
    if (work_read(task->bytes, len, &task->work) < 0
        || !plausible(&task->work, t))
        goto malformed;
    task->prefix_slot = -1;
    task->greedy = true;
    task->branch_at = task->work.token + task->work.head.n_prefix;
    task->logprob = xcalloc(task->work.head.n_branch, sizeof *task->logprob);
    if (task_generates(task)) {
        task->decoder = make_decoder(&task->work);
        if (task->decoder == NULL)
            goto malformed;
    }
    return task;
malformed:
    task_free(task);
    return NULL;
}

void task_free(struct task *t)
{
    if (t == NULL)
        return;
    decoder_destroy(t->decoder);
    free(t->logprob);
    free(t);
}

bool task_generates(const struct task *t)
{
    return t->work.head.kind == WORK_GENERATE;
}

int32_t task_first_tokens(const struct task *t)
{
    const struct work *w = &t->work;
    int32_t n = (int32_t)w->head.n_prefix;

    return w->head.n_branch == 1 ? n + w->branch_len[0] : n;
}

uint32_t task_next_branch(struct task *t, const int32_t **token, int32_t *n)
{
    uint32_t branch = t->n_started++;

    assert(branch < t->work.head.n_branch);
    *token = t->branch_at;
    *n = t->work.branch_len[branch];
    t->branch_at += *n;
    return branch;
}

bool task_sampled(struct task *t, const struct tokenizer *tokenizer,
                  int32_t token)
{
    const char *bytes;
    size_t len = 0;

    t->finish = ANSWER_STOP;
    if (token == TOKENIZER_END)
        return true;
    t->sampled++;
    bytes = tokenizer_bytes(tokenizer, token, &len);
    /* Ids above the tokenizer's last one pad the vocabulary: no bytes. */
    if (bytes != NULL && decoder_feed(t->decoder, bytes, len))
        return true;
    t->finish = ANSWER_LENGTH;
    return t->sampled >= t->work.head.max_tokens;
}

void task_answer(struct task *t, struct buf *out)
{
    struct answer_head head = {
        .status = (uint16_t)t->status,
        .greedy = t->greedy,
        .finish = (uint8_t)t->finish,
        .id = t->work.head.id,
        .fed = t->fed,
        .sampled = (uint64_t)t->sampled,
    };
    const void *payload = NULL;
    size_t len = 0;

    if (t->status == ANSWER_OK && task_generates(t)) {
        decoder_finish(t->decoder);
        payload = decoder_text(t->decoder, &len);
    } else if (t->status == ANSWER_OK) {
        payload = t->logprob;
        len = t->work.head.n_branch * sizeof *t->logprob;
    }
    head.payload_bytes = len;
    answer_write(out, &head, payload);
}
