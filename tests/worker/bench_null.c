/* How many records a second one worker does with the null backend.
 *
 * Usage: bench_null [RECORDS [DEVICES [BYTES [LATENCY_US]]]]
 * Score records of about BYTES (200) bytes; the coordinator is this process.
 * With LATENCY_US a step takes the device that long, and how busy that kept it
 * is printed: the time of its steps, were all of them full, over the time taken.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "coordinator.h"

#define PER_SHARD 1024
#define ROWS 8192 /* tokens_per_step */
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)

static void add_shards(struct coordinator *c, size_t records, size_t bytes)
{
    static char line[PER_SHARD][4096];
    static const char *at[PER_SHARD];

    for (size_t i = 0; i < records; i += PER_SHARD) {
        for (size_t k = 0; k < PER_SHARD; k++) {
            int n = snprintf(line[k], 256, "{\"id\":\"r%zu\",\"context\":\"",
                             i + k);

            for (size_t b = (size_t)n; b < bytes - 24; b++)
                line[k][n++] = (char)('a' + (i + k + b * b) % 26);
            snprintf(line[k] + n, 64, "\",\"target\":\" abcd\"}");
            at[k] = line[k];
        }
        coordinator_add(c, i + 1, at, PER_SHARD);
    }
}

/* Time that full steps of the measured shards take. */
static double device_seconds(const struct coordinator *c,
                             unsigned long latency_us)
{
    double tokens = 0;

    for (size_t i = 1; i < c->n_plan; i++)
        tokens += (double)c->plan[i].tokens_in;
    return tokens / ROWS * (double)latency_us / 1e6;
}

int main(int argc, char **argv)
{
    size_t records = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    const char *devices = argc > 2 ? argv[2] : "null";
    size_t bytes = argc > 3 ? strtoul(argv[3], NULL, 10) : 200;
    unsigned long latency_us = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    struct coordinator *c = coordinator_open();
    char options[64];
    const char *args[] = {"--model",
                          "m=null",
                          "--devices",
                          devices,
                          "--slots",
                          "256",
                          "--tokens-per-step",
                          TEXT_OF(ROWS),
                          "--backend-options",
                          options,
                          NULL};
    struct plan *first;
    int64_t start;
    double seconds;
    struct rusage use;

    snprintf(options, sizeof options, "latency_us=%lu", latency_us);
    add_shards(c, PER_SHARD, bytes);
    coordinator_start(c, args);
    /* The first shard waits for loading; the rest is measured. */
    if (!coordinator_serve(c, 60000, all_committed))
        return 1;
    first = &c->plan[0];
    add_shards(c, records, bytes);
    start = clock_now_us();
    if (!coordinator_serve(c, 600000, all_committed))
        return 1;
    seconds = (double)(clock_now_us() - start) / 1e6;
    printf("%zu records of %zu bytes, devices %s: %.3f s, %.0f records/s, at"
           " most %zu shards held, first shard of %u\n",
           (c->n_plan - 1) * PER_SHARD, bytes, devices, seconds,
           (double)((c->n_plan - 1) * PER_SHARD) / seconds, c->leased_max,
           first->n);
    if (latency_us > 0)
        printf("device busy: %.1f %% (steps of %lu us)\n",
               100 * device_seconds(c, latency_us) / seconds, latency_us);
    kill(c->worker, SIGTERM);
    if (coordinator_wait(c, 10000) != 0)
        return 1;
    getrusage(RUSAGE_CHILDREN, &use);
    printf("worker and ranks: %.3f s user, %.3f s system, largest %ld MiB"
           " resident\n",
           (double)use.ru_utime.tv_sec + (double)use.ru_utime.tv_usec / 1e6,
           (double)use.ru_stime.tv_sec + (double)use.ru_stime.tv_usec / 1e6,
           use.ru_maxrss / 1024);
    coordinator_close(c);
    return 0;
}
