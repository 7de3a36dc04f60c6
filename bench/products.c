#include "bench/products.h"

#include <string.h>

size_t products_list(const struct weights *w, struct product *p)
{
    const size_t c = (size_t)w->C, f = (size_t)w->F;
    const size_t rw = (size_t)w->rank_w, ra = (size_t)w->rank_a;
    const size_t rv = (size_t)w->rank_v, rg = (size_t)w->rank_g;
    const size_t layers = (size_t)w->L, later = layers - 1;
    const struct product all[PRODUCTS_MAX] = {
        {"receptance", c, c, layers}, {"key", c, c, layers},
        {"value", c, c, layers},      {"output", c, c, layers},
        {"w1", rw, c, layers},        {"w2", c, rw, layers},
        {"a1", ra, c, layers},        {"a2", c, ra, layers},
        {"v1", rv, c, later},         {"v2", c, rv, later},
        {"g1", rg, c, layers},        {"g2", c, rg, layers},
        {"ffn.key", f, c, layers},    {"ffn.value", c, f, layers},
        {"head", (size_t)w->V, c, 1},
    };

    memcpy(p, all, sizeof all);
    return PRODUCTS_MAX;
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
