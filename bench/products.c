#include "bench/products.h"

#include <string.h>

size_t products_of(const struct weights_shape *s, struct product *p)
{
    const size_t c = (size_t)s->H * (size_t)s->N, f = (size_t)s->F;
    const size_t w = (size_t)s->rank_w, a = (size_t)s->rank_a;
    const size_t v = (size_t)s->rank_v, g = (size_t)s->rank_g;
    const size_t layers = (size_t)s->L, later = layers - 1;
    const struct product all[PRODUCTS_MAX] = {
        {"receptance", c, c, layers}, {"key", c, c, layers},
        {"value", c, c, layers},      {"output", c, c, layers},
        {"w1", w, c, layers},         {"w2", c, w, layers},
        {"a1", a, c, layers},         {"a2", c, a, layers},
        {"v1", v, c, later},          {"v2", c, v, later},
        {"g1", g, c, layers},         {"g2", c, g, layers},
        {"ffn.key", f, c, layers},    {"ffn.value", c, f, layers},
        {"head", (size_t)s->V, c, 1},
    };

    memcpy(p, all, sizeof all);
    return PRODUCTS_MAX;
}

size_t products_list(const struct weights *w, struct product *p)
{
    const struct weights_shape s = {.L = w->L,
                                    .H = w->H,
                                    .N = w->N,
                                    .F = w->F,
                                    .V = w->V,
                                    .rank_w = w->rank_w,
                                    .rank_a = w->rank_a,
                                    .rank_v = w->rank_v,
                                    .rank_g = w->rank_g};

    return products_of(&s, p);
}

double products_flops(const struct product *p, size_t n)
{
    return 2 * products_weights(p, n);
}

double products_weights(const struct product *p, size_t n)
{
    double weights = 0;

    for (size_t i = 0; i < n; i++)
        weights += (double)(p[i].n * p[i].k * p[i].times);
    return weights;
}
