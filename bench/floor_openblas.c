#include "bench/floor.h"

#include <stdio.h>

#include <cblas.h>

const char *floor_name(void)
{
    static char name[64];

    openblas_set_num_threads(1);
    snprintf(name, sizeof name, "OpenBLAS %s", openblas_get_corename());
    return name;
}

void floor_sgemm(size_t m, size_t n, size_t k, const float *x, const float *w,
                 float *y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n,
                (blasint)k, 1.0f, x, (blasint)k, w, (blasint)k, 0.0f, y,
                (blasint)n);
}
