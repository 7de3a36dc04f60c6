#include "client/embed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/child.h"
#include "common/clock.h"
#include "common/file.h"

#define SOCKET_NAME "/skeind.sock"
#define SOCKET_PATH_MAX 107 /* sizeof sockaddr_un.sun_path - 1 */
#define DIR_TEMPLATE "/skein-run-XXXXXX"
#define LOG_LINES 8
#define RECLAIM_MS 10000 /* a worker reconnects within 5 s (docs/protocol.md) */
#define STOP_MS 3000 /* the worker may finish what it computes for half of it */

struct embed {
    struct child server;
    struct child worker;
    char *socket_dir;
    char *endpoint;
    char *endpoint_file;
    char *server_config;
    bool regrace;               /* server_config holds the time for a restart */
    const struct child *failed; /* the one that was given up */
};

/* The directory of an endpoint that a run which was killed left in `file`: only
 * names that this file makes are touched.
 */
static void remove_stale(const char *file)
{
    const char *prefix = "ipc://";
    struct buf b = BUF_INIT;
    char *end;

    if (file_exists(file) && file_read(file, 4096, &b, NULL) == 0
        && strncmp(b.data, prefix, strlen(prefix)) == 0) {
        end = strstr(b.data, SOCKET_NAME);
        if (end != NULL && strstr(b.data, "/skein-run-") != NULL) {
            end[strlen(SOCKET_NAME)] = '\0';
            unlink(b.data + strlen(prefix));
            *end = '\0';
            rmdir(b.data + strlen(prefix));
        }
    }
    buf_free(&b);
}

static char *make_dir(const char *base)
{
    struct buf b = BUF_INIT;

    if (base == NULL || base[0] != '/'
        || strlen(base) + strlen(DIR_TEMPLATE SOCKET_NAME) > SOCKET_PATH_MAX)
        return NULL;
    buf_adds(&b, base);
    buf_adds(&b, DIR_TEMPLATE);
    if (mkdtemp(b.data) != NULL) /* mode 0700 */
        return b.data;
    buf_free(&b);
    return NULL;
}

static int make_endpoint(struct embed *e, const char *dir, struct err *err)
{
    struct buf b = BUF_INIT;

    e->endpoint_file = file_join(dir, "endpoint");
    remove_stale(e->endpoint_file);
    e->socket_dir = make_dir(getenv("XDG_RUNTIME_DIR"));
    if (e->socket_dir == NULL)
        e->socket_dir = make_dir("/tmp");
    if (e->socket_dir == NULL)
        return err_set(err, ERR_OS,
                       "cannot make a directory for a socket under "
                       "$XDG_RUNTIME_DIR or /tmp: %s",
                       strerror(errno));
    buf_addf(&b, "ipc://%s" SOCKET_NAME, e->socket_dir);
    e->endpoint = b.data;
    return file_replace(e->endpoint_file, e->endpoint, strlen(e->endpoint),
                        err);
}

/* How long the coordinator keeps the leases it finds at its start. When the run
 * begins nobody is left to claim them: a resumed run goes on at once. When it
 * restarts in the middle, our worker claims them.
 */
static int write_config(struct embed *e, int grace_ms, struct err *err)
{
    char text[64];
    int len = snprintf(text, sizeof text, "restart_grace_ms: %d\n", grace_ms);

    return file_replace(e->server_config, text, (size_t)len, err);
}

static void server_line(struct embed *e, const char *dir)
{
    char *log = file_join(dir, "skeind.log");
    char *spool = file_join(dir, "spool");

    child_init(&e->server, "skeind", log);
    child_arg(&e->server, "--config");
    child_arg(&e->server, e->server_config);
    child_arg(&e->server, "--spool");
    child_arg(&e->server, spool);
    child_arg(&e->server, "--listen");
    child_arg(&e->server, e->endpoint);
    child_arg(&e->server, "--die-with-parent");
    free(spool);
    free(log);
}

static void add_option(struct child *c, const char *name, const char *value)
{
    if (value == NULL)
        return;
    child_arg(c, name);
    child_arg(c, value);
}

static void worker_line(struct embed *e, const struct embed_config *config)
{
    char *log = file_join(config->dir, "worker.log");
    char number[32];

    child_init(&e->worker, "skein-worker", log);
    add_option(&e->worker, "--connect", e->endpoint);
    add_option(&e->worker, "--name", "run");
    add_option(&e->worker, "--model", config->model);
    add_option(&e->worker, "--tokenizer", config->tokenizer);
    add_option(&e->worker, "--devices", config->devices);
    add_option(&e->worker, "--backend-options", config->backend_options);
    if (config->tokens_per_step > 0) {
        snprintf(number, sizeof number, "%lld",
                 (long long)config->tokens_per_step);
        add_option(&e->worker, "--tokens-per-step", number);
    }
    child_arg(&e->worker, "--die-with-parent");
    free(log);
}

struct embed *embed_start(const struct embed_config *config, struct err *err)
{
    struct embed *e = xcalloc(1, sizeof *e);

    e->server_config = file_join(config->dir, "skeind.yaml");
    if (make_endpoint(e, config->dir, err) < 0 || write_config(e, 0, err) < 0)
        goto fail;
    server_line(e, config->dir);
    worker_line(e, config);
    if (child_start(&e->server, err) < 0 || child_start(&e->worker, err) < 0)
        goto fail;
    return e;
fail:
    embed_stop(e);
    return NULL;
}

const char *embed_endpoint(const struct embed *e)
{
    return e->endpoint;
}

/* The coordinator ended and will be started again after a pause. */
static int expect_claims(struct embed *e, struct err *err)
{
    if (e->server.restarts == 0 || e->regrace)
        return 0;
    e->regrace = true;
    return write_config(e, RECLAIM_MS, err);
}

int embed_watch(void *ctx, struct err *err)
{
    struct embed *e = ctx;
    int64_t now = clock_now_ms();

    e->failed = NULL;
    if (child_watch(&e->server, now, err) < 0)
        e->failed = &e->server;
    else if (expect_claims(e, err) < 0)
        return -1;
    else if (child_watch(&e->worker, now, err) < 0)
        e->failed = &e->worker;
    return e->failed == NULL ? 0 : -1;
}

void embed_failure(const struct embed *e, struct buf *out)
{
    if (e->failed == NULL)
        return;
    buf_addf(out, "the last lines of %s:\n", e->failed->log);
    child_log_tail(e->failed->log, e->failed->log_start, LOG_LINES, out);
}

void embed_stop(struct embed *e)
{
    if (e == NULL)
        return;
    child_stop(&e->worker, STOP_MS);
    child_stop(&e->server, STOP_MS);
    if (e->endpoint != NULL)
        unlink(e->endpoint + strlen("ipc://"));
    if (e->socket_dir != NULL)
        rmdir(e->socket_dir);
    if (e->endpoint_file != NULL)
        unlink(e->endpoint_file);
    child_free(&e->server);
    child_free(&e->worker);
    free(e->socket_dir);
    free(e->endpoint);
    free(e->endpoint_file);
    free(e->server_config);
    free(e);
}
