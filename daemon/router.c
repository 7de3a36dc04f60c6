#include "daemon/router.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "daemon/commit.h"
#include "daemon/core.h"
#include "daemon/endpoint.h"
#include "daemon/ingest.h"
#include "daemon/monitor.h"
#include "daemon/spool.h"
#include "daemon/store.h"
#include "daemon/xfer.h"
#include "proto/limits.h"
#include "proto/sock.h"

#define MESSAGES_PER_ROUND 256 /* then the other sources get their turn */
#define GONE_MAX 64            /* closed connections noticed in one round */
#define STATUS_MS 5000         /* between status lines and watchdog pings */
#define POLL_MS 1000
#define DROPPED_MS 1000 /* between lines about malformed messages */

struct router {
    const struct router_config *config;
    struct spool *spool;
    struct store *store;
    struct commit *commit;
    struct ingest_pool *pool;
    struct core *core;
    struct xfers *xfers;
    struct sock *sock;
    struct monitor *monitor;
    int signal_fd;
    uint64_t epoch;
    int64_t started_ms;
    int64_t status_ms;  /* next */
    uint64_t n_dropped; /* malformed messages since the last line about them */
    int64_t dropped_ms; /* no further such line before */
    uint64_t gone[GONE_MAX];
    size_t n_gone;
    bool stopping;
};

static uint64_t random_nonce(void *arg)
{
    uint64_t nonce;

    (void)arg;
    hash_random(&nonce, sizeof nonce);
    return nonce;
}

/* ---- what the core and the transfers can do ------------------------------ */

static void note_gone(struct router *r, uint64_t peer)
{
    for (size_t i = 0; i < r->n_gone; i++) {
        if (r->gone[i] == peer)
            return;
    }
    if (r->n_gone < GONE_MAX) /* the next probe finds the others */
        r->gone[r->n_gone++] = peer;
}

static void do_send(void *arg, uint64_t peer, enum wire_type type, uint64_t seq,
                    const ProtobufCMessage *msg)
{
    struct router *r = arg;
    struct err err;

    if (sock_send(r->sock, peer, type, seq, msg, &err) == 0)
        return;
    if (err.code == ERR_UNREACHABLE)
        note_gone(r, peer);
    else if (err.code == ERR_AGAIN) /* state is repeated */
        log_debug("send-skipped type=%s why=\"%s\"", wire_type_name(type),
                  err.text);
    else
        log_error("send-failed type=%s error=\"%s\"", wire_type_name(type),
                  err.text);
}

static void do_store(void *arg, struct op *op)
{
    commit_submit(((struct router *)arg)->commit, op);
}

static void do_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    log_write(level, "%s", line);
}

static void step(void *arg, const struct core_event *event)
{
    struct router *r = arg;
    struct core_event e = *event;
    const struct core_actions actions = {
        .arg = r,
        .send = do_send,
        .store = do_store,
        .log = do_log,
    };

    e.unix_ms = clock_unix_ms();
    core_step(r->core, &e, clock_now_ms(), &actions);
}

static void submit_from_ingest(void *arg, struct op *op)
{
    commit_submit(arg, op);
}

/* ---- events -------------------------------------------------------------- */

static void ask_usage(struct router *r, uint64_t peer, uint64_t seq)
{
    struct op *op = op_create(OP_USAGE, 0);

    op->peer = peer;
    op->seq = seq;
    commit_submit(r->commit, op);
}

static void answer_server(struct router *r, const struct op *op)
{
    Skein__ServerInfo info = SKEIN__SERVER_INFO__INIT;
    char version[] = SKEIN_VERSION;
    char health[16], spool[4096];
    struct core_counts n;

    core_count(r->core, &n);
    snprintf(health, sizeof health, "%s", core_health(r->core));
    snprintf(spool, sizeof spool, "%s", r->config->spool);
    info.version = version;
    info.epoch = r->epoch;
    info.pid = (uint32_t)getpid();
    info.uptime_ms = (uint64_t)(clock_now_ms() - r->started_ms);
    info.health = health;
    info.jobs_queued = n.jobs_queued;
    info.jobs_running = n.jobs_running;
    info.jobs_finished = n.jobs_finished;
    info.workers = n.workers;
    info.shards_pending = n.shards_pending;
    info.shards_leased = n.shards_leased;
    info.spool_bytes = op->usage.used;
    info.spool_free_bytes = op->usage.avail;
    info.spool = spool;
    do_send(r, op->peer, WIRE_SERVER, op->seq, &info.base);
}

static void on_message(struct router *r, uint64_t peer,
                       const struct wire_msg *m)
{
    struct core_event event = {
        .kind = CORE_MESSAGE,
        .peer = peer,
        .msg = m,
    };

    switch (m->type) {
    case WIRE_XFER_BEGIN:
    case WIRE_XFER_GO:
    case WIRE_XFER_CHUNK:
    case WIRE_XFER_ACK:
    case WIRE_XFER_END:
    case WIRE_FETCH:
        xfers_message(r->xfers, peer, m, clock_now_ms(), clock_unix_ms());
        break;
    case WIRE_SERVER_QUERY:
        ask_usage(r, peer, m->seq);
        break;
    case WIRE_ERROR:
        log_debug("peer-error message=\"%s\"", m->error->message);
        break;
    default:
        step(r, &event);
    }
}

/* Whoever reaches the socket may send rubbish; it must not fill the log. */
static void note_dropped(struct router *r, const struct err *err)
{
    int64_t now_ms = clock_now_ms();

    r->n_dropped++;
    if (now_ms < r->dropped_ms)
        return;
    r->dropped_ms = now_ms + DROPPED_MS;
    log_warn("messages-dropped n=%" PRIu64 " last=\"%s\"", r->n_dropped,
             err->text);
    r->n_dropped = 0;
}

static void receive(struct router *r)
{
    for (int i = 0; i < MESSAGES_PER_ROUND; i++) {
        struct wire_msg m;
        uint64_t peer = 0;
        struct err err;
        int got = sock_recv(r->sock, &peer, &m, &err);

        if (got == 0)
            return;
        if (got < 0) {
            note_dropped(r, &err);
            continue;
        }
        on_message(r, peer, &m);
        wire_free(&m);
    }
}

static void on_stored(struct router *r, struct op *op)
{
    struct core_event event = {.kind = CORE_STORED, .op = op};
    int64_t unix_ms = clock_unix_ms();

    switch (op->kind) {
    case OP_GRANT:
    case OP_RELEASE:
    case OP_STATE:
    case OP_CHANGE:
    case OP_RETRY:
    case OP_REMOVE:
        step(r, &event);
        break;
    case OP_RESULT:
    case OP_ACCEPT:
        step(r, &event);
        xfers_stored(r->xfers, op, unix_ms);
        break;
    case OP_READ:
    case OP_STAGE:
    case OP_RESTAGE:
        if (op->status == OP_FAILED)
            step(r, &event);
        xfers_stored(r->xfers, op, unix_ms);
        break;
    case OP_USAGE:
        monitor_usage(r->monitor, &op->usage);
        if (op->peer != 0)
            answer_server(r, op);
        break;
    case OP_DISCARD:
        break;
    }
}

static void take_stored(struct router *r)
{
    struct op *op = commit_take(r->commit);

    while (op != NULL) {
        struct op *next = op->next;

        on_stored(r, op);
        op_free(op);
        op = next;
    }
}

static void report_gone(struct router *r)
{
    /* Telling the core may send, and so find more. */
    while (r->n_gone > 0) {
        struct core_event event = {
            .kind = CORE_SEND_FAILED,
            .peer = r->gone[--r->n_gone],
        };

        xfers_gone(r->xfers, event.peer);
        step(r, &event);
    }
}

static void take_signal(struct router *r)
{
    struct signalfd_siginfo info;

    if (read(r->signal_fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP)
        return; /* nothing to reopen: the log is stderr */
    log_info("stopping signal=%s", strsignal((int)info.ssi_signo));
    r->stopping = true;
}

/* For systemd: what is going on, and that every part still is. */
static void show_status(struct router *r, int64_t now_ms)
{
    struct core_counts n;

    if (now_ms < r->status_ms)
        return;
    r->status_ms = now_ms + STATUS_MS;
    core_count(r->core, &n);
    sd_notifyf(0,
               "STATUS=%" PRIu32 " jobs queued, %" PRIu32 " running, %" PRIu32
               " shards leased, %" PRIu32 " workers, store %s",
               n.jobs_queued, n.jobs_running, n.shards_leased, n.workers,
               core_health(r->core));
    if (now_ms - commit_alive_ms(r->commit) < MONITOR_STUCK_MS)
        sd_notify(0, "WATCHDOG=1");
}

/* Returns 0, or -1 when the loop cannot go on. */
static int round_once(struct router *r, struct err *err)
{
    int fds[] = {commit_fd(r->commit), ingest_pool_fd(r->pool), r->signal_fd,
                 monitor_fd(r->monitor)};
    size_t n_fds = sizeof fds / sizeof fds[0] - (monitor_fd(r->monitor) < 0);
    struct core_event tick = {.kind = CORE_TICK};
    int64_t now_ms = clock_now_ms();
    int64_t wait_ms = core_deadline(r->core) - now_ms;
    int ready;

    if (wait_ms > POLL_MS)
        wait_ms = POLL_MS;
    if (wait_ms > monitor_wait_ms(r->monitor))
        wait_ms = monitor_wait_ms(r->monitor);
    ready = sock_poll(r->sock, fds, n_fds, wait_ms < 0 ? 0 : wait_ms, err);
    if (ready < 0)
        return -1;
    if (ready & 1)
        receive(r);
    if (ready & 2)
        take_stored(r);
    if (ready & 4) {
        ingest_pool_clear(r->pool);
        xfers_progress(r->xfers, clock_unix_ms());
    }
    if (ready & 8)
        take_signal(r);
    if ((ready & 16) != 0 || monitor_wait_ms(r->monitor) <= 0)
        monitor_run(r->monitor);
    now_ms = clock_now_ms();
    if (now_ms >= core_deadline(r->core))
        step(r, &tick);
    xfers_tick(r->xfers, now_ms);
    report_gone(r);
    if (monitor_wants_usage(r->monitor, now_ms))
        ask_usage(r, 0, 0);
    show_status(r, now_ms);
    return 0;
}

/* ---- start and stop ------------------------------------------------------ */

struct recovery {
    struct core *core;
    uint32_t n_jobs;
    uint32_t n_corrupt;
};

static void recovered(void *arg, struct job_image *image)
{
    struct recovery *rec = arg;

    rec->n_jobs++;
    if (image->state == SKEIN__JOB_STATE__JOB_CORRUPT) {
        rec->n_corrupt++;
        log_error("job-corrupt job=%" PRIu64 " why=\"%s\"", image->id,
                  image->message);
    }
    core_load(rec->core, image, clock_now_ms());
}

static int recover(struct router *r, struct err *err)
{
    const struct router_config *c = r->config;
    struct core_config config = {
        .epoch = r->epoch,
        .last_job = store_last_removed(r->store),
        .beat_ms = c->beat_ms,
        .lease_ms = c->lease_ms,
        .lease_worker_ms = c->lease_worker_ms,
        .lease_disconnected_ms = c->lease_disconnected_ms,
        .restart_grace_ms = c->restart_grace_ms,
        .probe_ms = PROBE_MS,
        .nonce = random_nonce,
    };
    struct recovery rec = {0};

    rec.core = r->core = core_create(&config);
    if (store_recover(r->store, recovered, &rec, err) < 0)
        return -1;
    log_info("recovered jobs=%" PRIu32 " corrupt=%" PRIu32 " epoch=%" PRIu64,
             rec.n_jobs, rec.n_corrupt, r->epoch);
    return 0;
}

static int open_signals(struct router *r, struct err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (r->signal_fd < 0)
        return err_set(err, ERR_OS, "signalfd: %s", strerror(errno));
    return 0;
}

static int start_threads(struct router *r, struct err *err)
{
    struct ingest_config ingest = {
        .threads = r->config->ingest_threads,
        .max_records = r->config->max_records,
        .scratch = spool_staging(r->spool),
        .submit = submit_from_ingest,
    };
    struct xfer_config xfer = {
        .core = r->core,
        .arg = r,
        .send = do_send,
        .submit = do_store,
        .step = step,
    };

    r->commit = commit_start(r->store, err);
    if (r->commit == NULL)
        return -1;
    ingest.arg = r->commit;
    r->pool = ingest_pool_start(&ingest, err);
    if (r->pool == NULL)
        return -1;
    xfer.pool = r->pool;
    r->xfers = xfers_create(&xfer);
    return 0;
}

static int start(struct router *r, struct err *err)
{
    struct monitor_config monitor = {.address = r->config->http};

    r->spool = spool_open(r->config->spool, err);
    if (r->spool == NULL)
        return -1;
    r->store = store_open(r->spool, &r->epoch, err);
    if (r->store == NULL || recover(r, err) < 0 || open_signals(r, err) < 0
        || start_threads(r, err) < 0)
        return -1;
    for (size_t i = 0; i < r->config->n_listen; i++) {
        if (endpoint_prepare(r->config->listen[i], err) < 0)
            return -1;
    }
    r->sock = sock_router(r->config->listen, r->config->n_listen, err);
    if (r->sock == NULL)
        return -1;
    for (size_t i = 0; i < r->config->n_listen; i++)
        log_info("listening endpoint=%s", r->config->listen[i]);
    monitor.core = r->core;
    monitor.commit = r->commit;
    r->monitor = monitor_start(&monitor, err);
    return r->monitor == NULL ? -1 : 0;
}

/* Submissions that nobody was promised anything about are given up; everything
 * handed to the store is finished.
 */
static void stop(struct router *r)
{
    if (r->xfers != NULL) {
        xfers_abort(r->xfers);
        while (!xfers_idle(r->xfers)) {
            take_stored(r);
            xfers_progress(r->xfers, clock_unix_ms());
            usleep(1000);
        }
    }
    monitor_stop(r->monitor);
    r->monitor = NULL;
    ingest_pool_stop(r->pool);
    commit_stop(r->commit);
    xfers_destroy(r->xfers);
    if (r->sock != NULL) {
        sock_close(r->sock);
        for (size_t i = 0; i < r->config->n_listen; i++)
            endpoint_remove(r->config->listen[i]);
    }
    core_destroy(r->core);
    store_close(r->store);
    spool_close(r->spool);
    if (r->signal_fd >= 0)
        close(r->signal_fd);
}

int router_run(const struct router_config *config, struct err *err)
{
    struct router r = {
        .config = config,
        .signal_fd = -1,
        .started_ms = clock_now_ms(),
    };
    int ret = start(&r, err);

    if (ret == 0) {
        sd_notify(0, "READY=1");
        log_info("ready version=%s spool=%s", SKEIN_VERSION, config->spool);
    }
    while (ret == 0 && !r.stopping)
        ret = round_once(&r, err);
    sd_notify(0, "STOPPING=1");
    stop(&r);
    return ret;
}
