#include "bench/stopwatch.h"

#include <stdlib.h>

#include "bench/bench.h"
#include "cuda/cu.h"

#define BATCHES 5
#define CALLS_MAX 1000

int stopwatch_init(struct stopwatch *w, cudaStream_t stream, struct err *err)
{
    *w = (struct stopwatch){.stream = stream};
    if (CU(cudaEventCreate(&w->begin), err) < 0)
        return -1;
    return CU(cudaEventCreate(&w->end), err);
}

void stopwatch_finish(struct stopwatch *w)
{
    if (w->begin != NULL)
        (void)cudaEventDestroy(w->begin);
    if (w->end != NULL)
        (void)cudaEventDestroy(w->end);
}

static int enqueue_all(int (*enqueue)(void *, struct err *), void *context,
                       int calls, struct err *err)
{
    for (int i = 0; i < calls; i++)
        if (enqueue(context, err) < 0)
            return -1;
    return 0;
}

/* `calls` calls as one graph: the host's speed does not count. */
static int record(struct stopwatch *w, int (*enqueue)(void *, struct err *),
                  void *context, int calls, cudaGraphExec_t *out,
                  struct err *err)
{
    cudaGraph_t graph = NULL;
    int rc;

    if (CU(cudaStreamBeginCapture(w->stream, cudaStreamCaptureModeThreadLocal),
           err)
        < 0)
        return -1;
    rc = enqueue_all(enqueue, context, calls, err);
    if (CU(cudaStreamEndCapture(w->stream, &graph), rc < 0 ? NULL : err) < 0)
        rc = -1;
    if (rc == 0)
        rc = CU(cudaGraphInstantiate(out, graph, 0), err);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return rc;
}

static int time_graph(struct stopwatch *w, cudaGraphExec_t graph,
                      double *seconds, struct err *err)
{
    float ms;

    if (CU(cudaEventRecord(w->begin, w->stream), err) < 0
        || CU(cudaGraphLaunch(graph, w->stream), err) < 0
        || CU(cudaEventRecord(w->end, w->stream), err) < 0
        || CU(cudaEventSynchronize(w->end), err) < 0
        || CU(cudaEventElapsedTime(&ms, w->begin, w->end), err) < 0)
        return -1;
    *seconds = (double)ms * 1e-3;
    return 0;
}

/* Of one call, roughly. */
static int estimate(struct stopwatch *w, int (*enqueue)(void *, struct err *),
                    void *context, double *seconds, struct err *err)
{
    float ms;

    if (enqueue_all(enqueue, context, 2, err) < 0
        || CU(cudaStreamSynchronize(w->stream), err) < 0
        || CU(cudaEventRecord(w->begin, w->stream), err) < 0
        || enqueue_all(enqueue, context, 1, err) < 0
        || CU(cudaEventRecord(w->end, w->stream), err) < 0
        || CU(cudaEventSynchronize(w->end), err) < 0
        || CU(cudaEventElapsedTime(&ms, w->begin, w->end), err) < 0)
        return -1;
    *seconds = (double)ms * 1e-3;
    return 0;
}

int stopwatch_time(struct stopwatch *w, int (*enqueue)(void *, struct err *),
                   void *context, double budget, double *seconds,
                   struct err *err)
{
    double one, each[BATCHES];
    cudaGraphExec_t graph = NULL;
    int calls, rc;

    if (estimate(w, enqueue, context, &one, err) < 0)
        return -1;
    calls = (int)(budget / BATCHES / (one > 1e-7 ? one : 1e-7));
    calls = calls < 4 ? 4 : calls > CALLS_MAX ? CALLS_MAX : calls;
    if (budget / one < BATCHES)
        calls = 1;
    rc = record(w, enqueue, context, calls, &graph, err);
    for (int i = 0; i < BATCHES && rc == 0; i++) {
        rc = time_graph(w, graph, &each[i], err);
        each[i] /= calls;
    }
    if (rc == 0)
        *seconds = bench_median(each, BATCHES);
    if (graph != NULL)
        (void)cudaGraphExecDestroy(graph);
    return rc;
}
