/* watch: jobs as they go on */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/interrupt.h"
#include "client/jobs.h"
#include "client/json_out.h"
#include "client/table.h"
#include "client/watch.h"
#include "common/clock.h"

#define INTERVAL_MS 1000

struct watch_options {
    struct job_options jobs;
    struct option_int interval;
};

static const struct option_row rows[] = {
    CMD_FILTER_ROW('f'),
    {.name = "interval",
     .letter = 'i',
     .type = OPTION_TIME,
     .offset = offsetof(struct watch_options, interval),
     .value = "TIME",
     .min = 100,
     .max = 86400000,
     .help = "between two looks: 2, 500ms, 1m",
     .fallback = "1 s; where standard output is no terminal, progress is "
                 "printed every 5 s, after a minute every 30 s"},
    {.name = NULL},
};

struct session {
    const struct watch_options *o;
    struct cmd_jobs jobs; /* found: the last look */
    struct watch watch;
    Skein__ServerInfo *server; /* of `reply`; NULL: not asked */
    struct wire_msg reply;
    uint64_t *id; /* [n] that are watched, ascending */
    size_t n;
    size_t drawn; /* lines of the page on the terminal */
    bool page;    /* a terminal: one page, rewritten */
    bool color;
    int64_t plain_ms; /* when the next progress lines are due */
    int64_t start_ms;
};

/* Everything that was watched stays so, and what has come is added. */
static void add_found(struct session *s)
{
    const struct select_jobs *found = &s->jobs.found;
    uint64_t *id = xcalloc(s->n + found->n + 1, sizeof *id);
    size_t a = 0, b = 0, n = 0;

    while (a < s->n || b < found->n) {
        uint64_t x = a < s->n ? s->id[a] : UINT64_MAX;
        uint64_t y = b < found->n ? found->job[b]->job : UINT64_MAX;

        id[n++] = x < y ? x : y;
        a += x <= y;
        b += y <= x;
    }
    free(s->id);
    s->id = id;
    s->n = n;
}

/* Without words new jobs join, and those that end stay. Jobs that somebody
 * removes go.
 */
static int look(struct session *s, struct err *err)
{
    struct select_jobs *found = &s->jobs.found;
    Skein__ServerQuery q = SKEIN__SERVER_QUERY__INIT;

    select_jobs_free(found);
    if (s->jobs.select.n == 0) {
        if (select_fetch(s->jobs.rpc, &s->jobs.select, false, found, err) < 0)
            return -1;
        add_found(s);
        select_jobs_free(found);
    }
    if (select_fetch_present(s->jobs.rpc, s->id, s->n, found, err) < 0)
        return -1;
    if (s->reply.type != 0)
        wire_free(&s->reply);
    s->reply = (struct wire_msg){.type = 0};
    s->server = NULL;
    if (rpc_call(s->jobs.rpc, WIRE_SERVER_QUERY, &q.base, WIRE_SERVER,
                 &s->reply, err)
        < 0)
        return -1;
    s->server = s->reply.server;
    return 0;
}

/* ---- showing ------------------------------------------------------------ */

/* Over what was drawn last, in one write. */
static void draw_page(struct session *s)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct buf page = BUF_INIT, out = BUF_INIT;
    size_t lines = 0;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0
        || size.ws_row < 4)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    watch_page(&s->watch, s->server, size.ws_row - 1u, size.ws_col - 1u,
               s->color, &page);
    if (s->drawn > 0)
        buf_addf(&out, "\033[%zuA\r", s->drawn);
    for (const char *p = page.data; *p != '\0'; lines++) {
        size_t len = strcspn(p, "\n");

        buf_add(&out, p, len);
        buf_adds(&out, "\033[K\n");
        p += len + 1;
    }
    buf_adds(&out, "\033[J");
    s->drawn = lines;
    fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    buf_free(&page);
    buf_free(&out);
}

static void print_lines(struct session *s, int64_t now_ms)
{
    struct buf out = BUF_INIT;
    bool due = now_ms >= s->plain_ms;

    buf_adds(&out, "");
    watch_lines(&s->watch, due, &out);
    if (due && s->o->interval.given)
        s->plain_ms = now_ms + s->o->interval.value;
    else if (due)
        s->plain_ms = now_ms + progress_plain_pause_ms(now_ms - s->start_ms);
    fputs(out.data, stdout);
    fflush(stdout);
    buf_free(&out);
}

static int show(struct session *s, struct err *err)
{
    int64_t now_ms = clock_now_ms();

    watch_update(&s->watch, &s->jobs.found, now_ms, clock_unix_ms());
    if (s->o->jobs.common.json)
        return json_print_jobs(&s->jobs.found, err);
    if (s->page)
        draw_page(s);
    else
        print_lines(s, now_ms);
    return ferror(stdout)
               ? err_set(err, ERR_IO, "standard output: cannot write")
               : 0;
}

/* ---- the loop ----------------------------------------------------------- */

static bool all_over(const struct select_jobs *jobs)
{
    for (size_t i = 0; i < jobs->n; i++) {
        if (!jobs_over(jobs->job[i]))
            return false;
    }
    return true;
}

/* Until the jobs that were named are over: the worst exit status. */
static int follow(struct session *s, struct err *err)
{
    int64_t pause = s->o->interval.given ? s->o->interval.value : INTERVAL_MS;
    int status = 0;

    for (;;) {
        if (look(s, err) < 0 || show(s, err) < 0)
            return -1;
        if (s->jobs.select.n > 0 && all_over(&s->jobs.found))
            break;
        if (rpc_pause(s->jobs.rpc, pause, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < s->jobs.found.n; i++)
        status =
            jobs_worse_status(status, jobs_exit_status(s->jobs.found.job[i]));
    return status;
}

static int run_watch(const void *options, char *const *arg, int n_arg,
                     struct err *err)
{
    const struct common_options *common = options;
    bool terminal = isatty(STDOUT_FILENO);
    struct session s = {.o = options,
                        .page = terminal && !common->json,
                        .color = cmd_color(common)};
    int status = -1;

    s.start_ms = clock_now_ms();
    s.plain_ms = s.start_ms + progress_plain_pause_ms(0);
    if (interrupt_catch(err) < 0
        || cmd_jobs_open(&s.o->jobs, arg, n_arg, false, &s.jobs, err) < 0)
        goto out;
    add_found(&s);
    status = follow(&s, err);
    if (status < 0 && interrupt_signal() != 0)
        cmd_say_interrupted("watch", s.id, s.jobs.select.n > 0 ? s.n : 0);
out:
    if (s.reply.type != 0)
        wire_free(&s.reply);
    watch_free(&s.watch);
    free(s.id);
    cmd_jobs_close(&s.jobs);
    return status;
}

const struct command cmd_watch = {
    .spec =
        {
            .command = "watch",
            .synopsis = "[OPTIONS] [JOBS]",
            .purpose = "watch jobs as they go on",
            .about =
                "A page that is rewritten on a terminal; elsewhere a line when "
                "a job's state changes, and progress lines. With --json, one "
                "line for each look: what skein ls --json would print. Without "
                "JOBS it is about live jobs, new ones too, until Ctrl-C; with "
                "JOBS it ends when they are over, and its exit status is that "
                "of skein wait. The ETA is estimated from tokens, since a line "
                "may be a word or a book.\n" CMD_ABOUT_JOBS,
            .examples = "  skein watch\n"
                        "  skein watch last\n"
                        "  skein watch 12,15 --interval 1m >> log",
            .rows = rows,
            .common = common_rows,
            .args_max = INT_MAX,
            .offer = OFFER_JOBS,
        },
    .options_size = sizeof(struct watch_options),
    .run = run_watch,
};
