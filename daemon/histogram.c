#include "daemon/histogram.h"

const double histogram_sync_s[HISTOGRAM_BOUNDS] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5,
};

const double histogram_job_s[HISTOGRAM_BOUNDS] = {
    0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 604800,
};

void histogram_add(struct histogram *h, const double *bound_s, double seconds)
{
    int i = 0;

    if (!(seconds > 0))
        seconds = 0;
    while (i < HISTOGRAM_BOUNDS && seconds > bound_s[i])
        i++;
    h->count[i]++;
    h->sum_s += seconds;
}

void histogram_merge(struct histogram *h, const struct histogram *from)
{
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
        h->count[i] += from->count[i];
    h->sum_s += from->sum_s;
}
