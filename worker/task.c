#include "worker/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"
#include "text/decoder.h"

static struct decoder *make_decoder(const struct work *w)
{
    const char *stop[DECODER_STOPS_MAX];
    size_t len[DECODER_STOPS_MAX];

    for (uint32_t i = 0; i < w->head.n_stop; i++) {
        if (!work_stop(w, i, &stop[i], &len[i]))
            return NULL;
    }
    return decoder_create(stop, len, w->head.n_stop);
}

/* Is it a request that rank.c can run? */
static bool plausible(const struct work *w, const struct tokenizer *t)
{
    const struct work_head *h = &w->head;
    uint64_t n = h->n_prefix;

    for (uint32_t i = 0; i < h->n_branch; i++) {
        n += (uint64_t)w->branch_len[i];
        if (h->max_tokens > 0 && w->branch_len[i] < 1)
            return false;
    }
    return h->kind == WORK_RECORD && n <= INT32_MAX && h->n_branch >= 1
           && h->max_tokens >= 0 && h->top_logprobs <= BACKEND_TOPK_MAX
           && h->n_stop <= DECODER_STOPS_MAX && h->n_bias <= BACKEND_BIAS_MAX
           && (h->max_tokens == 0 || t != NULL);
}

bool task_generates(const struct task *t)
{
    return t->work.head.max_tokens > 0;
}

bool task_remembers(const struct task *t)
{
    const struct work_head *h = &t->work.head;

    return task_generates(t)
           && (h->n_bias > 0 || h->presence_penalty != 0
               || h->frequency_penalty != 0 || h->repetition_penalty != 1);
}

static bool make_branches(struct task *t)
{
    uint32_t n = t->work.head.n_branch;

    t->branch = xcalloc(n, sizeof *t->branch);
    for (uint32_t i = 0; i < n; i++) {
        t->branch[i].greedy = true;
        t->branch[i].finish = ANSWER_LENGTH;
        if (!task_generates(t))
            continue;
        t->branch[i].decoder = make_decoder(&t->work);
        if (t->branch[i].decoder == NULL)
            return false;
    }
    return true;
}

struct task *task_create(const void *request, size_t len,
                         const struct tokenizer *t)
{
    struct task *task = xcalloc(1, sizeof *task + len);

    memcpy(task->bytes, request, len);
    if (work_read(task->bytes, len, &task->work) < 0
        || !plausible(&task->work, t) || !make_branches(task)) {
        task_free(task);
        return NULL;
    }
    task->prefix_slot = -1;
    task->branch_at = task->work.token + task->work.head.n_prefix;
    return task;
}

void task_free(struct task *t)
{
    if (t == NULL)
        return;
    for (uint32_t i = 0; t->branch != NULL && i < t->work.head.n_branch; i++) {
        decoder_destroy(t->branch[i].decoder);
        buf_free(&t->branch[i].detail);
    }
    free(t->branch);
    free(t);
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

bool task_next_trivial(const struct task *t)
{
    return !task_generates(t)
           && (!t->work.head.scored || t->work.branch_len[t->n_started] <= 1);
}

void task_tell(struct task *t, uint32_t branch, int32_t token, float logprob,
               const int32_t *top_id, const float *top_logprob)
{
    struct token_logprob one = {token, logprob};
    struct buf *out = &t->branch[branch].detail;

    if (!t->work.head.detail)
        return;
    buf_add(out, &one, sizeof one);
    for (uint32_t k = 0; k < t->work.head.top_logprobs; k++) {
        one = (struct token_logprob){top_id[k], top_logprob[k]};
        buf_add(out, &one, sizeof one);
    }
}

bool task_sampled(struct task *t, uint32_t branch,
                  const struct tokenizer *tokenizer, int32_t token)
{
    struct task_branch *b = &t->branch[branch];
    const char *bytes;
    size_t len = 0;

    b->finish = ANSWER_STOP;
    b->ended = token == TOKENIZER_END;
    if (b->ended)
        return true;
    b->sampled++;
    bytes = tokenizer_bytes(tokenizer, token, &len);
    /* Ids above the tokenizer's last one pad the vocabulary: no bytes. */
    if (bytes != NULL && decoder_feed(b->decoder, bytes, len))
        return true;
    b->finish = ANSWER_LENGTH;
    return b->sampled >= t->work.head.max_tokens;
}

static void add_branch(const struct task *t, const struct task_branch *b,
                       struct buf *out)
{
    const uint32_t k = t->work.head.top_logprobs;
    struct answer_branch a = {
        .logprob = b->logprob,
        .n_detail = (uint32_t)(b->detail.len
                               / ((k + 1) * sizeof(struct token_logprob))),
        .sampled = (uint32_t)b->sampled,
        .greedy = b->greedy,
        .finish = (uint8_t)b->finish,
        .ended = b->ended,
    };
    const char *text = NULL;
    size_t len = 0;

    if (b->decoder != NULL) {
        decoder_finish(b->decoder);
        text = decoder_text(b->decoder, &len);
    }
    a.text_bytes = (uint32_t)len;
    answer_add_branch(out, &a, (const void *)b->detail.data, k, text);
}

void task_answer(struct task *t, struct buf *out)
{
    struct answer_head head = {
        .status = (uint32_t)t->status,
        .id = t->work.head.id,
        .fed = t->fed,
    };
    struct buf payload = BUF_INIT;

    for (uint32_t i = 0; i < t->work.head.n_branch; i++) {
        head.sampled += (uint64_t)t->branch[i].sampled;
        if (t->status == ANSWER_OK)
            add_branch(t, &t->branch[i], &payload);
    }
    head.payload_bytes = payload.len;
    answer_write(out, &head, payload.data);
    buf_free(&payload);
}
