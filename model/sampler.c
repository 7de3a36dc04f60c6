#include "model/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "model/philox.h"

struct candidate {
    float logit;
    float p;
    int32_t id;
};

struct sampler {
    const struct cpu_kernels *k;
    int32_t vocab;
    float *p;                    /* [cpu_pad(V)] */
    struct candidate *candidate; /* [V] a heap, then kept ones at the end */
};

struct sampler *sampler_create(int32_t vocab, const struct cpu_kernels *k,
                               struct err *err)
{
    struct sampler *s = calloc(1, sizeof *s);
    size_t v = (size_t)vocab;

    if (s == NULL)
        goto fail;
    s->k = k;
    s->vocab = vocab;
    s->p = calloc(cpu_pad(v), sizeof *s->p);
    s->candidate = calloc(v, sizeof *s->candidate);
    if (s->p == NULL || s->candidate == NULL)
        goto fail;
    return s;
fail:
    sampler_destroy(s);
    err_set(err, ERR_NOMEM, "no memory to sample from %d tokens", vocab);
    return NULL;
}

void sampler_destroy(struct sampler *s)
{
    if (s == NULL)
        return;
    free(s->p);
    free(s->candidate);
    free(s);
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sift_down(struct candidate *heap, int32_t n, int32_t i)
{
    struct candidate moved = heap[i];

    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (before(&moved, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

/* Take the first candidate off the heap; it moves behind the others. */
static const struct candidate *pop(struct candidate *heap, int32_t *n)
{
    struct candidate first = heap[0];

    heap[0] = heap[--*n];
    sift_down(heap, *n, 0);
    heap[*n] = first;
    return &heap[*n];
}

/* The heap of all tokens with a logit of at least `least`. */
static int32_t gather(struct sampler *s, const float *logits, float least)
{
    int32_t n = 0;

    for (int32_t i = 0; i < s->vocab; i++) {
        if (logits[i] >= least)
            s->candidate[n++] = (struct candidate){logits[i], s->p[i], i};
    }
    for (int32_t i = n / 2; i-- > 0;)
        sift_down(s->candidate, n, i);
    return n;
}

static double sum_all(const struct sampler *s)
{
    double sum = 0;

    for (int32_t i = 0; i < s->vocab; i++)
        sum += (double)s->p[i];
    return sum;
}

static int32_t draw_uncut(const struct sampler *s, double u, int32_t largest)
{
    double aim = u * sum_all(s), sum = 0;

    for (int32_t i = 0; i < s->vocab; i++) {
        sum += (double)s->p[i];
        if (sum > aim)
            return i;
    }
    return largest; /* out of reach: the last sum is sum_all() > aim */
}

/* The n kept candidates lie in reverse order, the first at `first`. */
static int32_t draw_kept(const struct candidate *first, int32_t n, double sum,
                         double u)
{
    double aim = u * sum, running = 0;

    for (int32_t i = 0; i < n; i++) {
        running += (double)first[-i].p;
        if (running > aim)
            return first[-i].id;
    }
    return first->id; /* out of reach, as above */
}

struct kept {
    int32_t n;
    double sum;
    bool enough;
};

/* Pop until the rules are met or the heap is empty. */
static struct kept cut(struct candidate *heap, int32_t n, int32_t top_k,
                       double enough)
{
    struct kept kept = {0};

    while (n > 0 && !kept.enough) {
        kept.sum += (double)pop(heap, &n)->p;
        kept.n++;
        kept.enough = kept.n == top_k || kept.sum >= enough;
    }
    return kept;
}

/* How much of `kept` has `enough` of its sum. */
static struct kept cut_again(const struct candidate *first, struct kept kept,
                             double enough)
{
    struct kept less = {0};

    while (less.n < kept.n) {
        less.sum += (double)first[-less.n].p;
        less.n++;
        if (less.sum >= enough)
            break;
    }
    return less;
}

static int32_t draw_cut(struct sampler *s, const struct sample_row *how,
                        const float *logits, float largest, double u)
{
    const double top_p = (double)how->top_p;
    bool by_k = how->top_k > 0 && how->top_k < s->vocab;
    double enough = by_k ? INFINITY : top_p * sum_all(s);
    int32_t top_k = by_k ? how->top_k : s->vocab;
    struct kept kept = {0};
    bool all = false;
    int32_t n = 0;

    /* Few tokens are usually enough, so the heap starts with those near the
     * largest; what it holds comes first in the order whatever it leaves out.
     */
    for (float reach = 4; !kept.enough && !all; reach *= 8) {
        all = reach > 256;
        n = gather(s, logits,
                   all ? -FLT_MAX : largest - reach * how->temperature);
        kept = cut(s->candidate, n, top_k, enough);
    }
    if (by_k && top_p < 1)
        kept = cut_again(&s->candidate[n - 1], kept, top_p * kept.sum);
    return draw_kept(&s->candidate[n - 1], kept.n, kept.sum, u);
}

int32_t sampler_draw(struct sampler *s, const struct sample_row *how,
                     const float *logits, int32_t largest)
{
    const float scale = fminf(1.0f / how->temperature, FLT_MAX);
    double u;

    if (how->temperature == 0)
        return largest;
    s->k->exp(cpu_pad((size_t)s->vocab), logits, logits[largest], scale, s->p);
    u = philox_uniform(how->key, how->sample, how->position, 0);
    if ((how->top_k == 0 || how->top_k >= s->vocab) && how->top_p >= 1)
        return draw_uncut(s, u, largest);
    return draw_cut(s, how, logits, logits[largest], u);
}
