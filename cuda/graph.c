#include "cuda/graph.h"

#include <stdint.h>
#include <stdlib.h>

#include "cuda/cu.h"

struct entry {
    struct graph_key key;
    cudaGraphExec_t exec; /* NULL: free */
    uint64_t used;
};

struct graphs {
    cudaStream_t stream;
    uint64_t clock;
    struct entry entry[GRAPHS_MAX];
};

struct graphs *graphs_create(cudaStream_t stream, struct err *err)
{
    struct graphs *g = calloc(1, sizeof *g);

    if (g == NULL) {
        err_set(err, ERR_NOMEM, "no memory for the table of graphs");
        return NULL;
    }
    g->stream = stream;
    return g;
}

static void forget(struct entry *e)
{
    if (e->exec != NULL)
        (void)cudaGraphExecDestroy(e->exec);
    *e = (struct entry){.exec = NULL};
}

void graphs_clear(struct graphs *g)
{
    (void)cudaStreamSynchronize(g->stream); /* none may be running */
    for (int i = 0; i < GRAPHS_MAX; i++)
        forget(&g->entry[i]);
}

void graphs_destroy(struct graphs *g)
{
    if (g == NULL)
        return;
    graphs_clear(g);
    free(g);
}

static bool same(const struct graph_key *a, const struct graph_key *b)
{
    return a->rows == b->rows && a->pieces == b->pieces
           && a->long_pieces == b->long_pieces;
}

/* The key's entry, else a free one, else the one that was used longest ago. */
static struct entry *find(struct graphs *g, const struct graph_key *key)
{
    struct entry *oldest = &g->entry[0];

    for (int i = 0; i < GRAPHS_MAX; i++) {
        struct entry *e = &g->entry[i];

        if (e->exec != NULL && same(&e->key, key))
            return e;
        if (e->used < oldest->used) /* free ones were never used */
            oldest = e;
    }
    return oldest;
}

static int record(struct graphs *g, int (*launch)(void *arg, struct err *err),
                  void *arg, cudaGraphExec_t *exec, struct err *err)
{
    cudaGraph_t graph = NULL;
    int rc;

    if (CU(cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeThreadLocal),
           err)
        < 0)
        return -1;
    rc = launch(arg, err);
    if (rc < 0) { /* the first cause is kept */
        (void)cudaStreamEndCapture(g->stream, &graph);
        (void)cudaGetLastError();
    } else {
        rc = CU(cudaStreamEndCapture(g->stream, &graph), err);
    }
    if (rc == 0)
        rc = CU(cudaGraphInstantiate(exec, graph, 0), err);
    if (graph != NULL)
        (void)cudaGraphDestroy(graph);
    return rc;
}

int graphs_run(struct graphs *g, const struct graph_key *key,
               int (*launch)(void *arg, struct err *err), void *arg,
               struct err *err)
{
    struct entry *e = find(g, key);

    if (e->exec == NULL || !same(&e->key, key)) {
        cudaGraphExec_t exec = NULL;

        if (record(g, launch, arg, &exec, err) < 0)
            return -1;
        if (e->exec != NULL && CU(cudaStreamSynchronize(g->stream), err) < 0) {
            (void)cudaGraphExecDestroy(exec);
            return -1;
        }
        forget(e);
        *e = (struct entry){.key = *key, .exec = exec};
    }
    e->used = ++g->clock;
    return CU(cudaGraphLaunch(e->exec, g->stream), err);
}
