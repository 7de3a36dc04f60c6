#include "client/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/job_fields.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/table.h"

#define BAR_CELLS 20
#define BAR_FROM_COLUMNS 100 /* of a terminal: narrower tables have no bar */

/* ---- rows --------------------------------------------------------------- */

/* How long it has run, or ran. */
static int64_t elapsed_ms(const Skein__JobInfo *job, int64_t unix_ms)
{
    int64_t end = job->finished_unix_ms > 0 ? job->finished_unix_ms : unix_ms;

    if (job->started_unix_ms == 0 || end < job->started_unix_ms)
        return 0; /* clocks differ between hosts */
    return end - job->started_unix_ms;
}

void watch_update(struct watch *w, const struct select_jobs *jobs,
                  int64_t now_ms, int64_t unix_ms)
{
    struct watched *row = xcalloc(jobs->n > 0 ? jobs->n : 1, sizeof *row);
    size_t old = 0;

    for (size_t i = 0; i < jobs->n; i++) {
        const Skein__JobInfo *job = jobs->job[i];

        while (old < w->n && w->row[old].id < job->job)
            old++;
        if (old < w->n && w->row[old].id == job->job)
            row[i] = w->row[old];
        else
            row[i] = (struct watched){.id = job->job, .last_state = -1};
        row[i].job = job;
        progress_update(&row[i].meter, job, now_ms, &row[i].view);
        row[i].view.elapsed_ms = elapsed_ms(job, unix_ms);
    }
    free(w->row);
    w->row = row;
    w->n = jobs->n;
}

void watch_free(struct watch *w)
{
    free(w->row);
    *w = (struct watch){.n = 0};
}

/* ---- page --------------------------------------------------------------- */

/* Running jobs first, then those that may run, then the others; each by id. */
static int rank_of(const Skein__JobInfo *job)
{
    switch (job->state) {
    case SKEIN__JOB_STATE__JOB_RUNNING:
        return 0;
    case SKEIN__JOB_STATE__JOB_QUEUED:
        return 1;
    case SKEIN__JOB_STATE__JOB_HELD:
        return 2;
    default:
        return 3;
    }
}

static int compare_rows(const void *a, const void *b)
{
    const struct watched *x = *(const struct watched *const *)a;
    const struct watched *y = *(const struct watched *const *)b;
    int rank = rank_of(x->job) - rank_of(y->job);

    if (rank != 0)
        return rank;
    return x->id < y->id ? -1 : x->id > y->id;
}

static double rate_of(const struct watched *row)
{
    bool running = row->job->state == SKEIN__JOB_STATE__JOB_RUNNING;

    return running ? row->view.tokens_per_s : -1;
}

static void rate_text(double rate, char out[24])
{
    char count[16];

    progress_count(rate, count);
    snprintf(out, 24, "%s", rate < 0 ? "-" : count);
}

static void headline(const struct watch *w, const Skein__ServerInfo *server,
                     struct buf *out)
{
    char text[24];
    double rate = 0;
    bool known = false;

    for (size_t i = 0; i < w->n; i++) {
        if (rate_of(&w->row[i]) < 0)
            continue;
        rate += w->row[i].view.tokens_per_s;
        known = true;
    }
    rate_text(known ? rate : -1, text);
    if (server == NULL)
        return;
    buf_addf(out, "%u running, %u queued | %u worker%s | %s tok/s",
             server->jobs_running, server->jobs_queued, server->workers,
             server->workers == 1 ? "" : "s", text);
    if (strcmp(server->health, "ok") != 0) {
        buf_adds(out, " | health: ");
        table_clean(server->health, out);
    }
    buf_addc(out, '\n');
}

static void count_cell(struct table *t, uint64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    table_add(t, text);
}

static void add_row(const struct watched *row, bool bar, bool color,
                    struct table *t)
{
    const struct progress_view *v = &row->view;
    const char *paint = color ? job_state_paint(row->job->state) : NULL;
    char text[64];
    struct buf cells = BUF_INIT;

    count_cell(t, row->id);
    table_add(t, job_state_name(row->job->state));
    table_paint(t, paint);
    if (bar) {
        progress_cells(v->done, BAR_CELLS, false, &cells);
        table_add(t, cells.data);
        table_paint(t, paint);
        buf_free(&cells);
    }
    snprintf(text, sizeof text, "%.1f%%", 100 * v->done);
    table_add(t, text);
    snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)v->answered,
             (unsigned long long)v->total);
    table_add(t, text);
    count_cell(t, v->failed);
    if (color && v->failed > 0)
        table_paint(t, "31");
    progress_count((double)v->tokens, text);
    table_add(t, text);
    rate_text(rate_of(row), text);
    table_add(t, text);
    progress_duration(rate_of(row) < 0 ? -1 : v->eta_ms, text);
    table_add(t, rate_of(row) < 0 ? "-" : text);
    table_add(t, v->name);
}

static void many(const struct watch *w, size_t rows, size_t columns, bool color,
                 struct buf *out)
{
    static const struct table_column wide[] = {
        {"ID", true},    {"STATE", false}, {"PROGRESS", false}, {"DONE", true},
        {"LINES", true}, {"FAILED", true}, {"TOKENS", true},    {"TOK/S", true},
        {"ETA", true},   {"NAME", false},  {NULL, false},
    };
    static const struct table_column narrow[] = {
        {"ID", true},     {"STATE", false}, {"DONE", true},  {"LINES", true},
        {"FAILED", true}, {"TOKENS", true}, {"TOK/S", true}, {"ETA", true},
        {"NAME", false},  {NULL, false},
    };
    bool bar = columns >= BAR_FROM_COLUMNS;
    const struct watched **order = xcalloc(w->n, sizeof *order);
    size_t shown = w->n;
    struct table t;

    for (size_t i = 0; i < w->n; i++)
        order[i] = &w->row[i];
    qsort(order, w->n, sizeof *order, compare_rows);
    if (shown + 1 > rows) /* titles, and a line for the rest */
        shown = rows > 2 ? rows - 2 : 0;
    table_init(&t, bar ? wide : narrow);
    for (size_t i = 0; i < shown; i++)
        add_row(order[i], bar, color, &t);
    table_write(&t, columns, out);
    table_free(&t);
    if (shown < w->n)
        buf_addf(out, "... and %zu more\n", w->n - shown);
    free(order);
}

static void item(const char *what, struct buf *out)
{
    buf_addf(out, "  %-9s ", what);
}

static void one_counts(const struct watched *row, bool color, struct buf *out)
{
    const struct progress_view *v = &row->view;
    const Skein__JobInfo *job = row->job;
    bool red = color && v->failed > 0;
    char in[16], generated[16], rate[24];

    item("requests", out);
    buf_addf(out, "%llu of %llu, %s%llu failed%s\n",
             (unsigned long long)v->answered, (unsigned long long)v->total,
             red ? "\033[31m" : "", (unsigned long long)v->failed,
             red ? "\033[0m" : "");
    progress_count((double)job->tokens_in, in);
    progress_count((double)job->tokens_out, generated);
    rate_text(rate_of(row), rate);
    item("tokens", out);
    buf_addf(out, "%s fed, %s generated, %s tok/s\n", in, generated, rate);
    item("shards", out);
    buf_addf(out, "%u of %u done, %u leased to %u worker%s\n", job->shards_done,
             job->shards, job->shards_leased, job->workers,
             job->workers == 1 ? "" : "s");
}

static void one(const struct watched *row, size_t columns, bool color,
                struct buf *out)
{
    const struct progress_view *v = &row->view;
    const Skein__JobInfo *job = row->job;
    const char *paint = color ? job_state_paint(job->state) : NULL;
    char text[24];

    buf_addf(out, "job %llu  ", (unsigned long long)row->id);
    table_clean(v->name, out);
    if (job->spec != NULL) {
        buf_adds(out, "  (");
        table_clean(job->spec->model, out);
        buf_addc(out, ')');
    }
    buf_addc(out, '\n');
    item("state", out);
    buf_addf(out, "%s%s%s%s%s\n", paint != NULL ? "\033[" : "",
             paint != NULL ? paint : "", paint != NULL ? "m" : "",
             job_state_name(job->state), paint != NULL ? "\033[0m" : "");
    if (job->message[0] != '\0') {
        item("message", out);
        table_clean(job->message, out);
        buf_addc(out, '\n');
    }
    item("progress", out);
    progress_cells(v->done, columns >= BAR_FROM_COLUMNS ? 50 : 30, color, out);
    buf_addf(out, " %.1f%%\n", 100 * v->done);
    one_counts(row, color, out);
    item("time", out);
    progress_duration(v->elapsed_ms, text);
    buf_addf(out, "%s elapsed", text);
    progress_duration(v->eta_ms, text);
    if (rate_of(row) >= 0)
        buf_addf(out, ", eta %s", text);
    buf_addc(out, '\n');
}

void watch_page(const struct watch *w, const Skein__ServerInfo *server,
                size_t rows, size_t columns, bool color, struct buf *out)
{
    struct buf page = BUF_INIT;
    const char *line;

    headline(w, server, &page);
    if (w->n == 0)
        buf_adds(&page, "no live jobs\n");
    else if (w->n == 1)
        one(&w->row[0], columns, color, &page);
    else
        many(w, rows - 1, columns, color, &page);
    line = page.data;
    for (size_t i = 0; i < rows && *line != '\0'; i++) {
        size_t len = strcspn(line, "\n");

        table_clip(line, len, columns, out);
        buf_addc(out, '\n');
        line += len + 1;
    }
    buf_free(&page);
}

/* ---- lines -------------------------------------------------------------- */

void watch_lines(struct watch *w, bool progress, struct buf *out)
{
    for (size_t i = 0; i < w->n; i++) {
        struct watched *row = &w->row[i];
        bool running = row->job->state == SKEIN__JOB_STATE__JOB_RUNNING;
        bool told = row->last_state == (int)row->job->state;

        if (told && !(running && progress))
            continue;
        buf_addf(out, "job %llu ", (unsigned long long)row->id);
        if (!told)
            buf_addf(out, "%s | ", job_state_name(row->job->state));
        progress_plain(&row->view, out);
        buf_addc(out, '\n');
        row->last_state = (int)row->job->state;
    }
}
