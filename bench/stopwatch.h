/* bench/stopwatch.h - how long work on a stream takes */
#ifndef BENCH_STOPWATCH_H
#define BENCH_STOPWATCH_H

#include <cuda_runtime_api.h>

#include "common/err.h"

struct stopwatch {
    cudaStream_t stream;
    cudaEvent_t begin, end;
};

int stopwatch_init(struct stopwatch *w, cudaStream_t stream, struct err *err);
void stopwatch_finish(struct stopwatch *w);

/* Seconds of one call of `enqueue`, by device time: some to warm up, then
 * batches of calls back to back, as one graph each, that together take about
 * `budget` seconds; the median of the batches. `enqueue` only enqueues on the
 * stream. 0, or -1: what `enqueue` or the device said.
 */
int stopwatch_time(struct stopwatch *w, int (*enqueue)(void *, struct err *),
                   void *context, double budget, double *seconds,
                   struct err *err);

#endif /* BENCH_STOPWATCH_H */
