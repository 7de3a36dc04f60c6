/* cuda/graph.h - a stream's work recorded once and launched again
 *
 * Small steps cost the host more to launch than the device to compute. What a
 * step launches depends on a few numbers alone (the key); everything else is
 * read from device memory. So the launches of a key are recorded as a CUDA
 * graph the first time, and one launch replays them.
 */
#ifndef CUDA_GRAPH_H
#define CUDA_GRAPH_H

#include <cuda_runtime_api.h>
#include <stdbool.h>

#include "common/err.h"

/* A graph of a 1.5B step holds some 250 launches: about 1 MB of host memory. */
#define GRAPHS_MAX 64

struct graph_key {
    int rows, pieces;
    bool long_pieces;
};

struct graphs;

struct graphs *graphs_create(cudaStream_t stream, struct err *err);
void graphs_destroy(struct graphs *g); /* NULL is allowed */

/* Forget all: what a key launches has changed. */
void graphs_clear(struct graphs *g);

/* Enqueue what `launch` enqueues for this key. 0, or -1: ERR_CUDA, or as
 * `launch`.
 */
int graphs_run(struct graphs *g, const struct graph_key *key,
               int (*launch)(void *arg, struct err *err), void *arg,
               struct err *err);

#endif /* CUDA_GRAPH_H */
