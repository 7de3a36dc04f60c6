#include "model/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "model/draw.h"
#include "model/philox.h"

struct candidate {
    float logit;
    int32_t id;
    uint64_t weight;
};

struct sampler {
    const struct cpu_kernels *k;
    int32_t vocab;
    float *p;                    /* [cpu_pad(V)] */
    struct candidate *candidate; /* [V] */
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

/* The beginning of the order that a cut keeps. */
struct kept {
    struct candidate last;
    uint64_t weight;
    int32_t n;
};

/* All tokens with a logit of at least `least`, in s->candidate. */
static struct kept gather(struct sampler *s, const struct sample_row *how,
                          const float *logits, float least)
{
    struct kept all = {0};

    for (int32_t i = 0; i < s->vocab; i++) {
        uint64_t weight;

        if (logits[i] < least)
            continue;
        weight = draw_weight(s->p[i], how->min_p);
        s->candidate[all.n++] = (struct candidate){logits[i], i, weight};
        all.weight += weight;
    }
    return all;
}

/* Split c[n], n >= 2, around one of them: all of the first part, whose size and
 * weight are returned, come before all of the second, and neither is empty.
 */
static struct kept split(struct candidate *c, int32_t n)
{
    const struct candidate pivot = c[(n - 1) / 2];
    struct kept first = {0};
    int32_t i = -1, j = n;

    for (;;) {
        do
            i++;
        while (before(&c[i], &pivot));
        do
            j--;
        while (before(&pivot, &c[j]));
        if (i >= j)
            break;
        struct candidate swap = c[i];

        c[i] = c[j];
        c[j] = swap;
    }
    first.n = j + 1;
    for (i = 0; i < first.n; i++)
        first.weight += c[i].weight;
    return first;
}

/* The shortest beginning of c[n], in order, that has `most` tokens or weighs
 * `enough`; all of them if none does. It comes to lie in front.
 */
static struct kept cut(struct candidate *c, int32_t n, int32_t most,
                       uint64_t enough)
{
    struct kept kept = {0};

    for (int32_t end = n; end - kept.n > 1;) {
        struct kept more = split(c + kept.n, end - kept.n);

        if (kept.n + more.n >= most || kept.weight + more.weight >= enough) {
            end = kept.n + more.n;
        } else {
            kept.n += more.n;
            kept.weight += more.weight;
        }
    }
    kept.last = c[kept.n++];
    kept.weight += kept.last.weight;
    return kept;
}

static struct kept keep_all(const struct sampler *s,
                            const struct sample_row *how)
{
    struct kept all = {.last = {.logit = -FLT_MAX, .id = INT32_MAX}};

    for (int32_t i = 0; i < s->vocab; i++)
        all.weight += draw_weight(s->p[i], how->min_p);
    return all;
}

/* Few tokens are usually enough, so those near the largest are tried first: they
 * come first in the order whatever is left out.
 */
static struct kept gather_enough(struct sampler *s,
                                 const struct sample_row *how,
                                 const float *logits, float largest,
                                 int32_t most, uint64_t enough)
{
    for (float reach = 2; reach <= 256; reach *= 2) {
        struct kept near =
            gather(s, how, logits, largest - reach * how->temperature);

        if (near.n >= most || near.weight >= enough)
            return near;
    }
    return gather(s, how, logits, -FLT_MAX);
}

static struct kept cut_row(struct sampler *s, const struct sample_row *how,
                           const float *logits, float largest)
{
    const bool by_k = how->top_k > 0 && how->top_k < s->vocab;
    const bool by_p = how->top_p < 1;
    const int32_t most = by_k ? how->top_k : s->vocab;
    uint64_t enough = UINT64_MAX;
    struct kept kept;

    if (!by_k) {
        kept = keep_all(s, how);
        enough = draw_enough(how->top_p, kept.weight);
    }
    if (by_k || by_p) {
        kept = gather_enough(s, how, logits, largest, most, enough);
        kept = cut(s->candidate, kept.n, most, enough);
    }
    if (by_k && by_p) {
        enough = draw_enough(how->top_p, kept.weight);
        kept = cut(s->candidate, kept.n, most, enough);
    }
    return kept;
}

static int32_t draw(const struct sampler *s, const struct sample_row *how,
                    const float *logits, const struct kept *kept)
{
    const uint64_t random =
        philox_bits(how->key, how->sample, how->position, 0);
    const uint64_t aim = draw_aim(random, kept->weight);
    uint64_t sum = 0;

    for (int32_t i = 0; i < s->vocab; i++) {
        struct candidate c = {.logit = logits[i], .id = i};

        if (before(&kept->last, &c))
            continue;
        sum += draw_weight(s->p[i], how->min_p);
        if (sum > aim)
            return i;
    }
    return kept->last.id; /* out of reach: aim is below the sum */
}

int32_t sampler_draw(struct sampler *s, const struct sample_row *how,
                     const float *logits, int32_t largest)
{
    struct kept kept;

    if (how->temperature == 0)
        return largest;
    s->k->exp(cpu_pad((size_t)s->vocab), logits, logits[largest],
              draw_scale(how->temperature), s->p);
    kept = cut_row(s, how, logits, logits[largest]);
    return draw(s, how, logits, &kept);
}
