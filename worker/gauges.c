#include "worker/gauges.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "cuda/nvml.h"

#define SAMPLE_MS 1000
#define PROCESS_MS 1000 /* shortest time that a process is measured over */

/* A rank's process, when last looked at. */
struct process {
    pid_t pid;
    uint64_t ticks; /* of CPU time */
    int64_t at_ms;
    uint32_t utilisation;
};

/* What the thread knows; it is left behind when it hangs in the driver, so it
 * owns this together with whoever closes.
 */
struct gpus {
    pthread_mutex_t mutex;
    bool closing;
    int owners;
    size_t n;
    char (*pci)[CUDA_PCI_BYTES];
    struct gauge *gauge; /* [n] */
};

struct gauges {
    struct gpus *gpus; /* NULL: none, or no NVML */
    struct process *process;
};

/* Unlocks and, when nobody else is left, frees. */
static void disown(struct gpus *g)
{
    bool last = --g->owners == 0;

    pthread_mutex_unlock(&g->mutex);
    if (!last)
        return;
    pthread_mutex_destroy(&g->mutex);
    free(g->pci);
    free(g->gauge);
    free(g);
}

/* One look at every GPU. False: closed. */
static bool sample(struct gpus *g, void **device)
{
    const struct timespec t = {.tv_sec = SAMPLE_MS / 1000};

    for (size_t i = 0; i < g->n; i++) {
        struct nvml_reading r = {0};

        if (device[i] != NULL)
            (void)nvml_read(device[i], &r);
        pthread_mutex_lock(&g->mutex);
        if (g->closing)
            return false;
        g->gauge[i] = (struct gauge){
            .memory_used = r.memory_used,
            .memory_total = r.memory_total,
            .utilisation = r.utilisation,
        };
        pthread_mutex_unlock(&g->mutex);
    }
    nanosleep(&t, NULL);
    return true;
}

static void *gpus_main(void *arg)
{
    struct gpus *g = arg;
    void **device = xcalloc(g->n, sizeof *device);
    struct err err = {0};

    if (nvml_open(&err) < 0) {
        log_info("gauges: %s", err.text);
        pthread_mutex_lock(&g->mutex);
    } else {
        for (size_t i = 0; i < g->n; i++)
            device[i] = g->pci[i][0] != '\0' ? nvml_device(g->pci[i]) : NULL;
        while (sample(g, device))
            ;
    }
    free(device);
    disown(g); /* with the mutex held */
    return NULL;
}

static struct gpus *gpus_open(const struct devices *d)
{
    struct gpus *g;
    pthread_t thread;

    if (strncmp(d->engine[0], "cuda", 4) != 0)
        return NULL;
    g = xcalloc(1, sizeof *g);
    pthread_mutex_init(&g->mutex, NULL);
    g->owners = 2;
    g->n = d->n;
    g->pci = xcalloc(d->n, sizeof *g->pci);
    g->gauge = xcalloc(d->n, sizeof *g->gauge);
    for (size_t i = 0; i < d->n; i++)
        memcpy(g->pci[i], d->gpu[i].pci, sizeof g->pci[i]);
    if (pthread_create(&thread, NULL, gpus_main, g) != 0) {
        pthread_mutex_lock(&g->mutex);
        g->owners--;
        disown(g);
        return NULL;
    }
    (void)pthread_detach(thread);
    return g;
}

struct gauges *gauges_open(const struct devices *d)
{
    struct gauges *g = xcalloc(1, sizeof *g);

    g->process = xcalloc(d->n, sizeof *g->process);
    g->gpus = gpus_open(d);
    return g;
}

void gauges_close(struct gauges *g)
{
    if (g == NULL)
        return;
    if (g->gpus != NULL) {
        pthread_mutex_lock(&g->gpus->mutex);
        g->gpus->closing = true;
        disown(g->gpus);
    }
    free(g->process);
    free(g);
}

/* CPU time so far, in clock ticks, and resident pages. */
static bool look(pid_t pid, uint64_t *ticks, uint64_t *pages)
{
    uint64_t user = 0, system = 0;
    char path[64], text[1024];
    const char *at;
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    at = strrchr(text, ')'); /* the name may hold anything */
    if (at == NULL
        || sscanf(at + 1,
                  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
                  " %" SCNu64 " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
                  &user, &system, pages)
               != 3)
        return false;
    *ticks = user + system;
    return true;
}

static void read_process(struct process *p, pid_t pid, int64_t now_ms,
                         struct gauge *out)
{
    const double hz = (double)sysconf(_SC_CLK_TCK);
    uint64_t ticks, pages;

    if (pid <= 0 || !look(pid, &ticks, &pages))
        return;
    if (p->pid != pid) {
        *p = (struct process){.pid = pid, .ticks = ticks, .at_ms = now_ms};
    } else if (now_ms - p->at_ms >= PROCESS_MS) {
        double seconds = (double)(ticks - p->ticks) / hz;
        double percent = seconds * 1e5 / (double)(now_ms - p->at_ms);

        p->utilisation = percent < 100 ? (uint32_t)(percent + 0.5) : 100;
        p->ticks = ticks;
        p->at_ms = now_ms;
    }
    out->memory_used = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    out->utilisation = p->utilisation;
}

void gauges_read(struct gauges *g, size_t i, pid_t pid, int64_t now_ms,
                 struct gauge *out)
{
    *out = (struct gauge){0};
    if (g->gpus == NULL) {
        read_process(&g->process[i], pid, now_ms, out);
        return;
    }
    /* Never held while the driver is asked. */
    pthread_mutex_lock(&g->gpus->mutex);
    *out = g->gpus->gauge[i];
    pthread_mutex_unlock(&g->gpus->mutex);
}
