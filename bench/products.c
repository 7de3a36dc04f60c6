#include "bench/products.h"

#include <stdbool.h>

size_t products_list(const struct weights *w, struct product *p)
{
    const struct weights_layer *l = &w->layer[w->L - 1];
    const struct {
        const char *name;
        const struct weight *weight;
    } matrix[] = {
        {"receptance", &l->receptance},
        {"key", &l->key},
        {"value", &l->value},
        {"output", &l->output},
        {"w1", &l->w1},
        {"w2", &l->w2},
        {"a1", &l->a1},
        {"a2", &l->a2},
        {"v1", &l->v1},
        {"v2", &l->v2},
        {"g1", &l->g1},
        {"g2", &l->g2},
        {"ffn.key", &l->ffn_key},
        {"ffn.value", &l->ffn_value},
    };
    size_t n = 0, layers = (size_t)w->L;

    for (size_t i = 0; i < sizeof matrix / sizeof *matrix; i++) {
        const struct weight *m = matrix[i].weight;
        bool later = m == &l->v1 || m == &l->v2;

        p[n++] = (struct product){matrix[i].name, (size_t)m->rows,
                                  (size_t)m->cols, layers - later};
    }
    p[n++] = (struct product){"head", (size_t)w->V, (size_t)w->C, 1};
    return n;
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
