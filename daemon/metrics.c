#include "daemon/metrics.h"

#include <inttypes.h>

/* Indexed by enum record_kind + 1. */
static const char *const kinds[LINESET_KIND_MAX + 1] = {
    "unknown", "score", "choice", "rolling", "generate",
};

static void head(struct buf *out, const char *name, const char *type,
                 const char *help)
{
    buf_addf(out, "# HELP skein_%s %s\n# TYPE skein_%s %s\n", name, help, name,
             type);
}

/* A label's value: backslash, quote and newline are escaped. */
static void add_value(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    for (; *s != '\0'; s++) {
        if (*s == '\\' || *s == '"')
            buf_addc(out, '\\');
        if (*s == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *s);
    }
    buf_addc(out, '"');
}

static void labelled(struct buf *out, const char *name, const char *label,
                     const char *value, uint64_t n)
{
    buf_addf(out, "skein_%s{%s=", name, label);
    add_value(out, value);
    buf_addf(out, "} %" PRIu64 "\n", n);
}

/* One number without labels. */
static void single(struct buf *out, const char *name, const char *type,
                   const char *help, uint64_t n)
{
    head(out, name, type, help);
    buf_addf(out, "skein_%s %" PRIu64 "\n", name, n);
}

static void histogram(struct buf *out, const char *name, const char *help,
                      const struct histogram *h, const double *bound_s)
{
    uint64_t n = 0;

    head(out, name, "histogram", help);
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        n += h->count[i];
        buf_addf(out, "skein_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                 bound_s[i], n);
    }
    n += h->count[HISTOGRAM_BOUNDS];
    buf_addf(out,
             "skein_%s_bucket{le=\"+Inf\"} %" PRIu64 "\nskein_%s_sum %.6f\n"
             "skein_%s_count %" PRIu64 "\n",
             name, n, name, h->sum_s, name, n);
}

static void write_jobs(const struct metrics *m, struct buf *out)
{
    const struct core_stats *s = m->stats;
    uint64_t live = 0, ended = 0;

    head(out, "jobs", "gauge", "Jobs by state.");
    for (int i = 0; i < CORE_JOB_STATES; i++)
        labelled(out, "jobs", "state", job_state_name((Skein__JobState)i),
                 m->now.jobs[i]);
    head(out, "jobs_finished_total", "counter",
         "Jobs that ended since the start, by how.");
    for (int i = 0; i < CORE_JOB_STATES; i++) {
        if (job_state_final((Skein__JobState)i))
            labelled(out, "jobs_finished_total", "result",
                     job_state_name((Skein__JobState)i), s->jobs_ended[i]);
    }
    histogram(out, "job_queue_wait_seconds",
              "From submission to the first lease.", &s->queue_wait_s,
              histogram_job_s);
    histogram(out, "job_duration_seconds", "From submission to the end.",
              &s->duration_s, histogram_job_s);
    for (int i = 0; i < CORE_JOB_STATES; i++) {
        if (!job_state_final((Skein__JobState)i))
            live += s->jobs_found[i];
        else if (i != SKEIN__JOB_STATE__JOB_CORRUPT)
            ended += s->jobs_found[i];
    }
    head(out, "startup_recovered_jobs_total", "counter",
         "Jobs found in the spool at start, by what became of them.");
    labelled(out, "startup_recovered_jobs_total", "action", "resumed", live);
    labelled(out, "startup_recovered_jobs_total", "action", "kept", ended);
    labelled(out, "startup_recovered_jobs_total", "action", "corrupt",
             s->jobs_found[SKEIN__JOB_STATE__JOB_CORRUPT]);
}

static void write_requests(const struct metrics *m, struct buf *out)
{
    static const char *const results[] = {"ok", "error"};
    const struct core_stats *s = m->stats;

    head(out, "requests_total", "counter",
         "Lines answered since the start, by kind and result; rejected ones "
         "were no request.");
    for (unsigned k = 0; k <= LINESET_KIND_MAX && kinds[k] != NULL; k++) {
        for (int e = 0; e < 2; e++)
            buf_addf(out,
                     "skein_requests_total{kind=\"%s\",result=\"%s\"} %" PRIu64
                     "\n",
                     kinds[k], results[e], s->answers[k][e]);
    }
    buf_addf(out,
             "skein_requests_total{kind=\"unknown\",result=\"rejected\"} "
             "%" PRIu64 "\n",
             s->rejected);
    single(out, "requests_inflight", "gauge", "Lines leased to workers.",
           m->now.records_leased);
    single(out, "requests_requeued_total", "counter",
           "Lines whose lease ended without a result.", s->requeued);
    single(out, "duplicate_results_total", "counter",
           "Results of leases that were over, dropped.", s->results_stale);
    head(out, "prompt_tokens_total", "counter",
         "Tokens read since the start, by model.");
    for (uint32_t i = 0; i < s->n_model; i++)
        labelled(out, "prompt_tokens_total", "model", s->model[i].name,
                 s->model[i].tokens_in);
    head(out, "generation_tokens_total", "counter",
         "Tokens generated since the start, by model.");
    for (uint32_t i = 0; i < s->n_model; i++)
        labelled(out, "generation_tokens_total", "model", s->model[i].name,
                 s->model[i].tokens_out);
}

static void write_workers(const struct metrics *m, struct buf *out)
{
    head(out, "workers", "gauge", "Workers by state.");
    for (int i = 0; i < CORE_WORKER_STATES; i++)
        labelled(out, "workers", "state",
                 core_worker_state_name((enum core_worker_state)i),
                 m->now.workers_by_state[i]);
    single(out, "worker_lost_total", "counter",
           "Workers that went without having drained.", m->stats->workers_lost);
    head(out, "shards", "gauge", "Shards of jobs that have not ended.");
    labelled(out, "shards", "state", "pending", m->now.shards_pending);
    labelled(out, "shards", "state", "leased", m->now.shards_leased);
}

static void write_process(const struct metrics *m, struct buf *out)
{
    buf_addf(out,
             "# HELP process_start_time_seconds Start of the process, Unix "
             "time.\n"
             "# TYPE process_start_time_seconds gauge\n"
             "process_start_time_seconds %.3f\n"
             "# HELP process_resident_memory_bytes Resident memory.\n"
             "# TYPE process_resident_memory_bytes gauge\n"
             "process_resident_memory_bytes %" PRIu64 "\n"
             "# HELP process_open_fds Open file descriptors.\n"
             "# TYPE process_open_fds gauge\n"
             "process_open_fds %" PRIu64 "\n",
             m->start_time_s, m->resident_bytes, m->open_fds);
}

void metrics_write(const struct metrics *m, struct buf *out)
{
    head(out, "build_info", "gauge", "Always 1; the labels say what runs.");
    buf_adds(out, "skein_build_info{version=");
    add_value(out, m->version);
    buf_adds(out, ",commit=");
    add_value(out, m->commit);
    buf_adds(out, "} 1\n");
    single(out, "healthy", "gauge",
           "1 while the spool can be written; what /healthz says.", m->healthy);
    write_jobs(m, out);
    write_requests(m, out);
    write_workers(m, out);
    histogram(out, "journal_sync_seconds",
              "Transactions, until they had reached the disk.", &m->sync_s,
              histogram_sync_s);
    single(out, "spool_bytes", "gauge", "Size of the job files.",
           m->spool_bytes);
    single(out, "spool_free_bytes", "gauge",
           "Free space of the spool's file system.", m->spool_free_bytes);
    write_process(m, out);
}
