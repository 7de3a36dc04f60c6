#include "cuda/history.h"

#include <stdlib.h>
#include <string.h>

#include "cuda/cu.h"

#define PIECE 4096 /* tokens that travel together */
#define PIECES 64  /* of them on their way */

union staged {
    int32_t token[PIECE];
    struct draw_bias bias;
};

/* A ring of pinned pieces, which kernels read where they are. */
struct history_stage {
    union staged *piece;      /* [PIECES] */
    cudaEvent_t read[PIECES]; /* the device has read the piece */
    unsigned next;
};

int cuda_histories_init(struct cuda_histories *h, int vocab, int n,
                        struct err *err)
{
    void *pinned;

    *h = (struct cuda_histories){.vocab = vocab, .n = n};
    if (n == 0)
        return 0;
    h->n_bias = calloc((size_t)n, sizeof *h->n_bias);
    h->stage = calloc(1, sizeof *h->stage);
    if (h->n_bias == NULL || h->stage == NULL)
        return err_set(err, ERR_NOMEM, "no memory for %d histories", n);
    if (CU(cudaHostAlloc(&pinned, PIECES * sizeof(union staged), 0), err) < 0)
        return -1;
    h->stage->piece = pinned;
    for (int i = 0; i < PIECES; i++)
        if (CU(cudaEventCreateWithFlags(&h->stage->read[i],
                                        cudaEventDisableTiming),
               err)
            < 0)
            return -1;
    return 0;
}

void cuda_histories_place(struct cuda_histories *h, struct arena *arena)
{
    const size_t n = (size_t)h->n;

    h->seen = arena_take(arena, n * (size_t)h->vocab * sizeof *h->seen);
    h->bias = arena_take(arena, n * sizeof *h->bias);
}

void cuda_histories_finish(struct cuda_histories *h)
{
    for (int i = 0; h->stage != NULL && i < PIECES; i++)
        if (h->stage->read[i] != NULL)
            (void)cudaEventDestroy(h->stage->read[i]);
    if (h->stage != NULL)
        (void)cudaFreeHost(h->stage->piece);
    free(h->stage);
    free(h->n_bias);
    *h = (struct cuda_histories){0};
}

/* The next piece, once the device has read what it held. */
static union staged *stage_begin(struct history_stage *s, struct err *err)
{
    if (CU(cudaEventSynchronize(s->read[s->next]), err) < 0)
        return NULL;
    return &s->piece[s->next];
}

static int stage_end(struct history_stage *s, cudaStream_t stream,
                     struct err *err)
{
    int rc = CU(cudaEventRecord(s->read[s->next], stream), err);

    s->next = (s->next + 1) % PIECES;
    return rc;
}

static uint32_t *seen_of(const struct cuda_histories *h, int32_t index)
{
    return h->seen + (size_t)index * (size_t)h->vocab;
}

static int mark(struct cuda_histories *h, int32_t index, const int32_t *token,
                int32_t n, uint32_t flag, cudaStream_t s, struct err *err)
{
    for (int32_t done = 0; done < n;) {
        const int32_t some = n - done < PIECE ? n - done : PIECE;
        union staged *p = stage_begin(h->stage, err);

        if (p == NULL)
            return -1;
        memcpy(p->token, token + done, (size_t)some * sizeof *token);
        if (CU(kernel_remember(some, p->token, flag, seen_of(h, index), s), err)
                < 0
            || stage_end(h->stage, s, err) < 0)
            return -1;
        done += some;
    }
    return 0;
}

static int set_bias(struct cuda_histories *h, int32_t index,
                    const struct history *to, cudaStream_t s, struct err *err)
{
    int32_t token[BACKEND_BIAS_MAX];
    union staged *p;

    h->n_bias[index] = to->n_bias;
    if (to->n_bias == 0)
        return 0;
    p = stage_begin(h->stage, err);
    if (p == NULL)
        return -1;
    p->bias.n = to->n_bias;
    memcpy(p->bias.at, to->bias, (size_t)to->n_bias * sizeof *to->bias);
    for (int32_t i = 0; i < to->n_bias; i++)
        token[i] = to->bias[i].token;
    if (CU(cudaMemcpyAsync(&h->bias[index], &p->bias, sizeof p->bias,
                           cudaMemcpyHostToDevice, s),
           err)
            < 0
        || stage_end(h->stage, s, err) < 0)
        return -1;
    return mark(h, index, token, to->n_bias, DRAW_HAS_BIAS, s, err);
}

int cuda_history_set(struct cuda_histories *h, int32_t index,
                     const struct history *to, cudaStream_t s, struct err *err)
{
    if (CU(cudaMemsetAsync(seen_of(h, index), 0,
                           (size_t)h->vocab * sizeof *h->seen, s),
           err)
            < 0
        || mark(h, index, to->prompt, to->n_prompt, DRAW_IN_PROMPT, s, err) < 0
        || mark(h, index, to->generated, to->n_generated, 0, s, err) < 0)
        return -1;
    return set_bias(h, index, to, s, err);
}

int cuda_history_copy(struct cuda_histories *h, int32_t dst, int32_t src,
                      cudaStream_t s, struct err *err)
{
    h->n_bias[dst] = h->n_bias[src];
    if (CU(cudaMemcpyAsync(seen_of(h, dst), seen_of(h, src),
                           (size_t)h->vocab * sizeof *h->seen,
                           cudaMemcpyDeviceToDevice, s),
           err)
        < 0)
        return -1;
    return CU(cudaMemcpyAsync(&h->bias[dst], &h->bias[src], sizeof *h->bias,
                              cudaMemcpyDeviceToDevice, s),
              err);
}

bool cuda_history_matters(const struct cuda_histories *h, int32_t index,
                          const struct sample_row *how)
{
    return index >= 0
           && (h->n_bias[index] > 0 || draw_penalizes(draw_penalty_of(how)));
}
