#include "bench/floor.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The standard C interface of BLAS, as far as it is needed. */
enum {
    ROW_MAJOR = 101,
    NO_TRANS = 111,
    TRANS = 112,
};
typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k,
                      float alpha, const float *a, int lda, const float *b,
                      int ldb, float beta, float *c, int ldc);
typedef void set_threads_fn(int n);
typedef char *corename_fn(void);

static sgemm_fn *sgemm;

/* dlsym() returns an object pointer; POSIX lets it hold a function. */
static void find(void *library, const char *name, void *function)
{
    void *at = dlsym(library, name);

    memcpy(function, &at, sizeof at);
}

const char *floor_name(void)
{
    static char name[64];
    set_threads_fn *set_threads;
    corename_fn *corename;
    void *library;

    if (sgemm != NULL)
        return name;
    library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return NULL;
    find(library, "openblas_set_num_threads", &set_threads);
    find(library, "openblas_get_corename", &corename);
    find(library, "cblas_sgemm", &sgemm);
    if (set_threads == NULL || corename == NULL || sgemm == NULL) {
        sgemm = NULL;
        return NULL;
    }
    set_threads(1);
    snprintf(name, sizeof name, "OpenBLAS %s", corename());
    return name;
}

void floor_sgemm(size_t m, size_t n, size_t k, const float *x, const float *w,
                 float *y)
{
    sgemm(ROW_MAJOR, NO_TRANS, TRANS, (int)m, (int)n, (int)k, 1.0f, x, (int)k,
          w, (int)k, 0.0f, y, (int)n);
}
