#include "worker/faults.h"

bool faults_add(struct faults *f, int64_t now_ms)
{
    if (f->n > 0 && now_ms - f->last_ms > FAULTS_WINDOW_MS)
        f->n = 0;
    f->n++;
    f->last_ms = now_ms;
    return f->n >= FAULTS_MAX;
}

void faults_forgive(struct faults *f)
{
    if (f->n > 0)
        f->n--;
}
