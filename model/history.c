#include "model/history.h"

#include <stdlib.h>
#include <string.h>

#include "model/draw.h"

struct histories {
    size_t vocab;
    uint32_t *seen; /* [n][V] */
    struct biases {
        int32_t n;
        struct logit_bias at[BACKEND_BIAS_MAX];
    } * biases; /* [n] */
};

struct histories *histories_create(int32_t vocab, int32_t n, struct err *err)
{
    struct histories *h = calloc(1, sizeof *h);
    size_t count = n > 0 ? (size_t)n : 1;

    if (h == NULL)
        goto fail;
    h->vocab = (size_t)vocab;
    h->seen = calloc(count * h->vocab, sizeof *h->seen);
    h->biases = calloc(count, sizeof *h->biases);
    if (h->seen != NULL && h->biases != NULL)
        return h;
fail:
    histories_destroy(h);
    err_set(err, ERR_NOMEM, "no memory for %d histories of %d tokens", n,
            vocab);
    return NULL;
}

void histories_destroy(struct histories *h)
{
    if (h == NULL)
        return;
    free(h->seen);
    free(h->biases);
    free(h);
}

static uint32_t *seen_of(const struct histories *h, int32_t index)
{
    return h->seen + (size_t)index * h->vocab;
}

void history_set(struct histories *h, int32_t index, const struct history *to)
{
    uint32_t *seen = seen_of(h, index);
    struct biases *b = &h->biases[index];

    memset(seen, 0, h->vocab * sizeof *seen);
    for (int32_t i = 0; i < to->n_prompt; i++)
        seen[to->prompt[i]] |= DRAW_IN_PROMPT;
    for (int32_t i = 0; i < to->n_bias; i++) {
        seen[to->bias[i].token] |= DRAW_HAS_BIAS;
        b->at[i] = to->bias[i];
    }
    b->n = to->n_bias;
    for (int32_t i = 0; i < to->n_generated; i++)
        history_count(h, index, to->generated[i]);
}

void history_copy(struct histories *h, int32_t dst, int32_t src)
{
    memcpy(seen_of(h, dst), seen_of(h, src), h->vocab * sizeof *h->seen);
    h->biases[dst] = h->biases[src];
}

void history_count(struct histories *h, int32_t index, int32_t token)
{
    uint32_t *seen = &seen_of(h, index)[token];

    if ((*seen & DRAW_TIMES) < DRAW_TIMES)
        ++*seen;
}

bool history_matters(const struct histories *h, int32_t index,
                     const struct sample_row *how)
{
    return index >= 0
           && (h->biases[index].n > 0 || draw_penalizes(draw_penalty_of(how)));
}

int32_t history_apply(const struct histories *h, int32_t index,
                      const struct sample_row *how, const float *from,
                      float *to)
{
    const uint32_t *seen = seen_of(h, index);
    const struct logit_bias *bias = h->biases[index].at;
    const struct draw_penalty p = draw_penalty_of(how);
    int32_t best = 0;

    for (size_t i = 0; i < h->vocab; i++) {
        bool biased = (seen[i] & DRAW_HAS_BIAS) != 0;

        to[i] = seen[i] == 0 ? from[i]
                             : draw_penalize(from[i], seen[i],
                                             biased ? bias->bias : 0.0f, p);
        bias += biased;
        if (to[i] > to[best])
            best = (int32_t)i;
    }
    return best;
}
