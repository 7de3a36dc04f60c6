/* bench/products.h - the matrix products of a model */
#ifndef BENCH_PRODUCTS_H
#define BENCH_PRODUCTS_H

#include <stddef.h>

#include "model/weights.h"

struct product {
    const char *name; /* "ffn.key" */
    size_t n, k;      /* outputs, inputs */
    size_t times;     /* in the model */
};

#define PRODUCTS_MAX 15

/* What is multiplied for each row (layer 0 has no value residual), with the
 * largest ranks of all layers; the head comes last.
 */
size_t products_list(const struct weights *w, struct product *p);

double products_flops(const struct product *p, size_t n); /* per row */
double products_weights(const struct product *p, size_t n);

#endif /* BENCH_PRODUCTS_H */
