#include "worker/work.h"

#include <assert.h>
#include <string.h>

static size_t round8(size_t n)
{
    return (n + 7) / 8 * 8;
}

static size_t tokens_of(const struct work_head *head, const int32_t *branch_len)
{
    size_t n = head->n_prefix;

    for (uint32_t i = 0; i < head->n_branch; i++)
        n += (size_t)branch_len[i];
    return n;
}

void work_write(struct buf *out, const struct work_head *head,
                const int32_t *branch_len, const int32_t *token,
                const struct logit_bias *bias, const char *stop)
{
    struct work_head h = *head;
    size_t n_token = tokens_of(head, branch_len);
    size_t biases = h.n_bias * sizeof *bias;
    size_t used =
        sizeof h + 4 * ((size_t)h.n_branch + n_token) + biases + h.stop_bytes;
    char *to = buf_reserve(out, round8(used));

    assert(round8(used) <= UINT32_MAX);
    h.bytes = (uint32_t)round8(used);
    memset(to + used, 0, round8(used) - used);
    memcpy(to, &h, sizeof h);
    to += sizeof h;
    if (h.n_branch > 0)
        memcpy(to, branch_len, 4 * (size_t)h.n_branch);
    to += 4 * (size_t)h.n_branch;
    if (n_token > 0)
        memcpy(to, token, 4 * n_token);
    to += 4 * n_token;
    if (biases > 0)
        memcpy(to, bias, biases);
    if (h.stop_bytes > 0)
        memcpy(to + biases, stop, h.stop_bytes);
    out->len += h.bytes;
}

/* Both kinds of message begin with their length. */
static size_t message_size(const void *data, size_t len, size_t least)
{
    uint32_t bytes;

    if (len < least)
        return 0;
    memcpy(&bytes, data, sizeof bytes);
    return bytes <= len ? bytes : 0;
}

size_t work_size(const void *data, size_t len)
{
    return message_size(data, len, sizeof(struct work_head));
}

int work_read(const void *data, size_t len, struct work *out)
{
    const char *at = data;
    size_t n_token, biases, left;

    if (len < sizeof out->head)
        return -1;
    memcpy(&out->head, data, sizeof out->head);
    left = len - sizeof out->head;
    at += sizeof out->head;
    if (out->head.bytes != len || left / 4 < out->head.n_branch)
        return -1;
    out->branch_len = (const int32_t *)(const void *)at;
    left -= 4 * (size_t)out->head.n_branch;
    at += 4 * (size_t)out->head.n_branch;
    for (uint32_t i = 0; i < out->head.n_branch; i++) {
        if (out->branch_len[i] < 0)
            return -1;
    }
    n_token = tokens_of(&out->head, out->branch_len);
    if (left / 4 < n_token)
        return -1;
    out->token = (const int32_t *)(const void *)at;
    left -= 4 * n_token;
    at += 4 * n_token;
    biases = out->head.n_bias * sizeof *out->bias;
    if (left < biases || left - biases < out->head.stop_bytes)
        return -1;
    out->bias = (const struct logit_bias *)(const void *)at;
    out->stop = at + biases;
    return 0;
}

bool work_stop(const struct work *w, uint32_t i, const char **text, size_t *len)
{
    size_t at = 0;
    uint32_t bytes = 0;

    for (uint32_t k = 0; k <= i; k++) {
        at += k > 0 ? bytes : 0;
        if (w->head.stop_bytes < at + sizeof bytes)
            return false;
        memcpy(&bytes, w->stop + at, sizeof bytes);
        at += sizeof bytes;
        if (w->head.stop_bytes - at < bytes)
            return false;
    }
    *text = w->stop + at;
    *len = bytes;
    return true;
}

void answer_write(struct buf *out, const struct answer_head *head,
                  const void *payload)
{
    struct answer_head h = *head;
    size_t used = sizeof h + (size_t)h.payload_bytes;
    char *to = buf_reserve(out, round8(used));

    assert(round8(used) <= UINT32_MAX);
    h.bytes = (uint32_t)round8(used);
    memset(to + used, 0, round8(used) - used);
    memcpy(to, &h, sizeof h);
    if (h.payload_bytes > 0)
        memcpy(to + sizeof h, payload, (size_t)h.payload_bytes);
    out->len += h.bytes;
}

static size_t detail_bytes(uint32_t n, uint32_t k)
{
    return (size_t)n * (k + 1) * sizeof(struct token_logprob);
}

void answer_add_branch(struct buf *out, const struct answer_branch *branch,
                       const struct token_logprob *detail, uint32_t k,
                       const char *text)
{
    static const char zero[8];
    size_t told = detail_bytes(branch->n_detail, k);
    size_t padding = round8(branch->text_bytes) - branch->text_bytes;

    buf_add(out, branch, sizeof *branch);
    if (told > 0)
        buf_add(out, detail, told);
    if (branch->text_bytes > 0)
        buf_add(out, text, branch->text_bytes);
    buf_add(out, zero, padding);
}

int answer_next_branch(const void *payload, size_t len, size_t *at, uint32_t k,
                       struct answer_view *out)
{
    const char *from = (const char *)payload + *at;
    size_t left = len - *at, told, text;

    if (left < sizeof out->branch)
        return -1;
    memcpy(&out->branch, from, sizeof out->branch);
    told = detail_bytes(out->branch.n_detail, k);
    text = round8(out->branch.text_bytes);
    left -= sizeof out->branch;
    from += sizeof out->branch;
    if (left < told || left - told < text)
        return -1;
    out->detail =
        (struct record_detail){(const struct token_logprob *)(const void *)from,
                               out->branch.n_detail, k};
    out->text = from + told;
    *at += sizeof out->branch + told + text;
    return 0;
}

size_t answer_size(const void *data, size_t len)
{
    return message_size(data, len, sizeof(struct answer_head));
}

int answer_read(const void *data, size_t len, struct answer_head *head,
                const void **payload)
{
    if (len < sizeof *head)
        return -1;
    memcpy(head, data, sizeof *head);
    if (head->bytes != len || len - sizeof *head < head->payload_bytes)
        return -1;
    *payload = (const char *)data + sizeof *head;
    return 0;
}
