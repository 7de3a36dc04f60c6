#include "client/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/job_fields.h"
#include "client/table.h"

#define REDRAW_MS 100 /* of the rewritten line */
#define BAR_MAX 30    /* cells; longer ones say no more */
#define BAR_MIN 8     /* a shorter bar says nothing */
#define COLUMNS_DEFAULT 80
#define ECHO_COLUMNS 2   /* left free: a terminal echoes "^C" there */
#define RATE_MIN_MS 1000 /* rates over less jump about */

/* ---- meter ------------------------------------------------------------- */

static const struct progress_sample *oldest(const struct progress_meter *m)
{
    return &m->sample[m->head];
}

/* Keep samples at least 1/64 of the window apart, drop those that left it. */
static void add_sample(struct progress_meter *m, struct progress_sample s)
{
    unsigned last = (m->head + m->count - 1) % PROGRESS_SAMPLES;

    if (m->count > 1
        && s.at_ms - m->sample[last].at_ms
               < PROGRESS_WINDOW_MS / PROGRESS_SAMPLES) {
        return;
    }
    while (m->count > 1
           && (m->count == PROGRESS_SAMPLES
               || s.at_ms - oldest(m)->at_ms > PROGRESS_WINDOW_MS)) {
        m->head = (m->head + 1) % PROGRESS_SAMPLES;
        m->count--;
    }
    m->sample[(m->head + m->count) % PROGRESS_SAMPLES] = s;
    m->count++;
}

void progress_update(struct progress_meter *m, const Skein__JobInfo *job,
                     int64_t now_ms, struct progress_view *out)
{
    uint64_t tokens = job->tokens_in + job->tokens_out;
    struct progress_sample now = {now_ms, tokens, job->cost_done};
    int64_t span;

    if (m->count == 0)
        m->start_ms = now_ms;
    add_sample(m, now);
    *out = (struct progress_view){
        .name = job->spec != NULL ? job->spec->name : "",
        .answered = job->answered + job->rejected,
        .total = job->records + job->rejected,
        .tokens = tokens,
        .failed = job->failed + job->rejected,
        .tokens_per_s = -1,
        .elapsed_ms = now_ms - m->start_ms,
        .eta_ms = -1,
    };
    out->done = job_share(job);
    span = now_ms - oldest(m)->at_ms;
    /* A coordinator that restarted may count less than before. */
    if (span < RATE_MIN_MS || now.tokens < oldest(m)->tokens
        || now.cost < oldest(m)->cost)
        return;
    out->tokens_per_s =
        (double)(now.tokens - oldest(m)->tokens) * 1000.0 / (double)span;
    if (job->cost > now.cost && now.cost > oldest(m)->cost)
        out->eta_ms = (int64_t)((double)(job->cost - now.cost) * (double)span
                                / (double)(now.cost - oldest(m)->cost));
}

/* ---- pure formatting ---------------------------------------------------- */

void progress_count(double x, char out[16])
{
    static const char unit[] = {'k', 'M', 'G', 'T'};
    size_t i = 0;

    if (x < 999.5) {
        snprintf(out, 16, "%.0f", x);
        return;
    }
    x /= 1000;
    while (x >= 999.95 && i + 1 < sizeof unit) {
        x /= 1000;
        i++;
    }
    snprintf(out, 16, "%.1f%c", x > 99999 ? 99999.0 : x, unit[i]);
}

void progress_duration(int64_t ms, char out[24])
{
    long long s = (long long)((ms + 500) / 1000);

    if (ms < 0)
        snprintf(out, 24, "-:--");
    else if (s < 3600)
        snprintf(out, 24, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(out, 24, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

static void rate_text(const struct progress_view *v, char out[24])
{
    char count[16];

    if (v->tokens_per_s < 0) {
        snprintf(out, 24, "- tok/s");
        return;
    }
    progress_count(v->tokens_per_s, count);
    snprintf(out, 24, "%s tok/s", count);
}

void progress_plain(const struct progress_view *v, struct buf *out)
{
    char tokens[16], rate[24], elapsed[24], eta[24];

    progress_count((double)v->tokens, tokens);
    rate_text(v, rate);
    progress_duration(v->elapsed_ms, elapsed);
    progress_duration(v->eta_ms, eta);
    table_clean(v->name, out);
    buf_addf(out,
             ": %.1f%% | %llu/%llu req | %s tok | %s | elapsed %s | "
             "eta %s | failed %llu",
             v->done * 100, (unsigned long long)v->answered,
             (unsigned long long)v->total, tokens, rate, elapsed, eta,
             (unsigned long long)v->failed);
}

/* The parts of the terminal line after the bar, the least important last. */
enum part {
    PART_ETA,
    PART_COUNT,
    PART_FAILED,
    PART_RATE,
    PART_TOKENS,
    PARTS
};

/* Exact as long as that is no longer than the short form. */
static void request_count(uint64_t n, char out[16])
{
    if (n < 100000)
        snprintf(out, 16, "%u", (unsigned)n);
    else
        progress_count((double)n, out);
}

static void part_texts(const struct progress_view *v, char text[PARTS][48])
{
    char a[24], b[24];

    progress_duration(v->eta_ms, a);
    snprintf(text[PART_ETA], 48, "eta %s", a);
    request_count(v->answered, a);
    request_count(v->total, b);
    snprintf(text[PART_COUNT], 48, "%s/%s", a, b);
    text[PART_FAILED][0] = '\0';
    if (v->failed > 0) {
        progress_count((double)v->failed, a);
        snprintf(text[PART_FAILED], 48, "failed %s", a);
    }
    rate_text(v, text[PART_RATE]);
    progress_count((double)v->tokens, a);
    snprintf(text[PART_TOKENS], 48, "%s tok", a);
}

void progress_cells(double done, int cells, bool color, struct buf *out)
{
    int full = (int)(done * cells);

    buf_addc(out, '[');
    if (color)
        buf_adds(out, "\033[32m");
    for (int i = 0; i < cells; i++) {
        if (color && i == full)
            buf_adds(out, "\033[2m");
        buf_addc(out, i < full ? '#' : '-');
    }
    if (color)
        buf_adds(out, "\033[0m");
    buf_addc(out, ']');
}

void progress_bar(const struct progress_view *v, int columns, bool color,
                  struct buf *out)
{
    static const enum part order[PARTS] = {PART_COUNT, PART_TOKENS, PART_RATE,
                                           PART_ETA, PART_FAILED};
    char text[PARTS][48], percent[16];
    bool use[PARTS] = {false};
    int left = columns - 1; /* the last cell would wrap on some terminals */
    int cells;

    part_texts(v, text);
    left -= snprintf(percent, sizeof percent, "%3.0f%%",
                     v->done < 1 && v->done > 0.99 ? 99.0 : v->done * 100);
    for (int i = 0; i < PARTS; i++) {
        int width = (int)strlen(text[i]);

        use[i] = width > 0 && width + 2 <= left;
        left -= use[i] ? width + 2 : 0;
    }
    cells = left - 3; /* brackets and a space */
    if (cells > BAR_MAX)
        cells = BAR_MAX;
    if (cells >= BAR_MIN) {
        progress_cells(v->done, cells, color, out);
        buf_addc(out, ' ');
    }
    buf_adds(out, percent);
    for (int i = 0; i < PARTS; i++) {
        bool red = color && order[i] == PART_FAILED;

        if (use[order[i]])
            buf_addf(out, "  %s%s%s", red ? "\033[31m" : "", text[order[i]],
                     red ? "\033[0m" : "");
    }
}

int64_t progress_plain_pause_ms(int64_t elapsed_ms)
{
    return elapsed_ms < 60000 ? 5000 : 30000;
}

/* ---- standard error ----------------------------------------------------- */

static bool is_set(const char *variable)
{
    const char *v = getenv(variable);

    return v != NULL && v[0] != '\0';
}

bool progress_color(const char *mode, bool terminal)
{
    const char *term = getenv("TERM");

    if (mode != NULL && strcmp(mode, "auto") != 0)
        return strcmp(mode, "always") == 0;
    if (is_set("NO_COLOR"))
        return false;
    if (is_set("CLICOLOR_FORCE") || is_set("FORCE_COLOR"))
        return true;
    return terminal && (term == NULL || strcmp(term, "dumb") != 0);
}

void progress_open(struct progress_screen *s, bool quiet,
                   const char *color_mode)
{
    const char *term = getenv("TERM");
    bool terminal =
        isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);

    *s = (struct progress_screen){
        .shown = !quiet,
        .terminal = terminal,
        .color = progress_color(color_mode, terminal),
    };
}

static int columns(void)
{
    struct winsize w;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
        return COLUMNS_DEFAULT;
    return w.ws_col;
}

/* One write, so that nothing else on the terminal comes between. */
static void draw(struct progress_screen *s, const struct buf *line)
{
    struct buf b = BUF_INIT;

    buf_adds(&b, "\r");
    buf_add(&b, line->data, line->len);
    buf_adds(&b, "\033[K");
    fwrite(b.data, 1, b.len, stderr);
    fflush(stderr);
    buf_free(&b);
    s->drawn = true;
}

void progress_show(struct progress_screen *s, const Skein__JobInfo *job,
                   int64_t now_ms)
{
    struct buf line = BUF_INIT;
    struct progress_view v;

    if (!s->shown)
        return;
    progress_update(&s->meter, job, now_ms, &v);
    if (s->next_ms == 0 && !s->terminal)
        s->next_ms = now_ms + progress_plain_pause_ms(0);
    if (now_ms < s->next_ms)
        return;
    if (s->terminal) {
        progress_bar(&v, columns() - ECHO_COLUMNS, s->color, &line);
        draw(s, &line);
        s->next_ms = now_ms + REDRAW_MS;
    } else {
        progress_plain(&v, &line);
        fprintf(stderr, "%s\n", line.data);
        s->next_ms = now_ms + progress_plain_pause_ms(v.elapsed_ms);
    }
    buf_free(&line);
}

void progress_note(struct progress_screen *s, const char *text)
{
    struct buf line = BUF_INIT;

    if (!s->shown || !s->terminal)
        return;
    buf_addf(&line, "%.*s", columns() - 1, text);
    draw(s, &line);
    buf_free(&line);
}

void progress_clear(struct progress_screen *s)
{
    if (!s->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    s->drawn = false;
}
