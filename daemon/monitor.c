#include "daemon/monitor.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/build_commit.h"
#include "daemon/http.h"
#include "daemon/metrics.h"

/* Somebody may ask in a loop; counting looks at every job. */
#define FRESH_MS 200

struct monitor {
    struct monitor_config config;
    struct http *http; /* NULL: nothing is served */
    double start_time_s;
    bool used;        /* `usage` was shown */
    int64_t usage_ms; /* not asked for again before */
    struct op_usage usage;
    struct buf text; /* of /metrics, as it was at... */
    int64_t text_ms;
};

/* "ok", or why not. */
static const char *health(const struct monitor *m)
{
    if (clock_now_ms() - commit_alive_ms(m->config.commit) >= MONITOR_STUCK_MS)
        return "stuck";
    return core_health(m->config.core);
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long size, resident = 0;

    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;

    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n < 3 ? 0 : n - 3; /* ".", ".." and the directory itself */
}

static void render(struct monitor *m)
{
    struct metrics out = {
        .version = SKEIN_VERSION,
        .commit = SKEIN_COMMIT,
        .healthy = strcmp(health(m), "ok") == 0,
        .stats = core_stats(m->config.core),
        .spool_bytes = m->usage.used,
        .spool_free_bytes = m->usage.avail,
        .start_time_s = m->start_time_s,
        .resident_bytes = resident_bytes(),
        .open_fds = open_fds(),
    };

    core_count(m->config.core, &out.now);
    commit_sync_times(m->config.commit, &out.sync_s);
    buf_clear(&m->text);
    metrics_write(&out, &m->text);
    m->used = true;
}

static void get_metrics(struct monitor *m, struct http_answer *out)
{
    int64_t now_ms = clock_now_ms();

    if (m->text.len == 0 || now_ms - m->text_ms >= FRESH_MS) {
        render(m);
        m->text_ms = now_ms;
    }
    out->status = 200;
    out->content_type = "text/plain; version=0.0.4; charset=utf-8";
    buf_add(&out->body, m->text.data, m->text.len);
}

static void get(void *arg, const char *path, struct http_answer *out)
{
    struct monitor *m = arg;
    const char *state;

    if (strcmp(path, "/metrics") == 0) {
        get_metrics(m, out);
    } else if (strcmp(path, "/healthz") == 0) {
        state = health(m);
        out->status = strcmp(state, "ok") == 0 ? 200 : 503;
        buf_addf(&out->body, "%s\n", state);
    }
}

struct monitor *monitor_start(const struct monitor_config *config,
                              struct err *err)
{
    struct monitor *m = xcalloc(1, sizeof *m);
    struct http_config http = {
        .address = config->address, .get = get, .arg = m};

    m->config = *config;
    m->start_time_s = (double)clock_unix_ms() / 1000;
    if (config->address == NULL || config->address[0] == '\0')
        return m;
    m->http = http_start(&http, err);
    if (m->http == NULL) {
        monitor_stop(m);
        return NULL;
    }
    m->used = true; /* the first look is to show something, too */
    log_info("http-listening address=%s port=%u", config->address,
             http_port(m->http));
    return m;
}

void monitor_stop(struct monitor *m)
{
    if (m == NULL)
        return;
    http_stop(m->http);
    buf_free(&m->text);
    free(m);
}

uint16_t monitor_port(const struct monitor *m)
{
    return http_port(m->http);
}

int monitor_fd(const struct monitor *m)
{
    return m->http == NULL ? -1 : http_fd(m->http);
}

int64_t monitor_wait_ms(const struct monitor *m)
{
    return m->http == NULL ? INT64_MAX : http_wait_ms(m->http);
}

void monitor_run(struct monitor *m)
{
    if (m->http != NULL)
        http_run(m->http);
}

bool monitor_wants_usage(struct monitor *m, int64_t now_ms)
{
    if (!m->used || now_ms < m->usage_ms)
        return false;
    m->used = false;
    m->usage_ms = now_ms + MONITOR_USAGE_MS;
    return true;
}

void monitor_usage(struct monitor *m, const struct op_usage *usage)
{
    m->usage = *usage;
}
