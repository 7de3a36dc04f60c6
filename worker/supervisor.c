#include "worker/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "worker/leases.h"
#include "worker/pool.h"
#include "worker/ranks.h"
#include "worker/session.h"
#include "worker/vocab.h"

#define WAIT_MS_MAX 1000
#define FAREWELL_MS 1000 /* for the last beat to be acknowledged */

enum phase {
    SERVING,
    DRAINING, /* finishing what is begun, until drain_end_ms */
    FAREWELL, /* nothing is held; the coordinator is being told */
    FINISHED,
};

struct supervisor {
    const struct config *config;
    const struct devices *devices;
    char *name, *tokenizer_path;
    char host[256];
    struct tokenizer *tokenizer;
    struct pool *pool;
    struct ranks *ranks;
    struct gauges *gauges;
    struct leases *leases;   /* NULL until the ranks were ready once */
    struct session *session; /* likewise */
    uint8_t fingerprint[HASH_BYTES];
    int signal_fd;
    bool child_died;
    int64_t now_ms;
    int64_t began_ms;
    enum phase phase;
    int64_t phase_end_ms;
    int64_t watchdog_ms; /* 0: none */
    int64_t watchdog_due_ms;
    struct err err; /* of a callback */
};

/* ---- what the parts call -------------------------------------------------- */

static void on_report(void *arg, struct session_report *out)
{
    struct supervisor *s = arg;

    leases_report(s->leases, s->now_ms, out);
}

static void on_welcome(void *arg)
{
    struct supervisor *s = arg;

    leases_welcome(s->leases);
    (void)sd_notify(0, "READY=1");
}

static void on_grant(void *arg, const Skein__Grant *grant)
{
    struct supervisor *s = arg;

    leases_grant(s->leases, grant);
}

static void on_over(void *arg, const Skein__Token *token, const char *how)
{
    struct supervisor *s = arg;

    leases_over(s->leases, token, how);
}

static void on_transfer(void *arg, const struct wire_msg *msg)
{
    struct supervisor *s = arg;

    leases_transfer(s->leases, msg, s->now_ms);
}

static void on_answer(void *arg, const struct answer_head *head,
                      const void *payload)
{
    struct supervisor *s = arg;

    leases_answer(s->leases, head, payload);
}

static void on_lost(void *arg, const uint64_t *suspect, size_t n)
{
    struct supervisor *s = arg;

    if (s->leases != NULL)
        leases_lost(s->leases, suspect, n);
}

/* The first time: now we know what we can offer. */
static void introduce(struct supervisor *s, int32_t vocab)
{
    const struct config_model *model = s->config->models.item;
    const struct leases_config leases = {
        .model = model->name,
        .fingerprint = s->fingerprint,
        .rules = {.tokenizer = s->tokenizer,
                  .vocab = vocab,
                  .job = {.fingerprint = s->fingerprint}},
        .ranks = s->ranks,
        .gauges = s->gauges,
        .devices = s->devices,
        .pool = s->pool,
        .n_rank = s->devices->n,
        .slots = s->devices->slots,
    };
    const struct session_identity identity = {
        .endpoint = s->config->connect,
        .name = s->name,
        .host = s->host,
        .model = model->name,
        .fingerprint = s->fingerprint,
        .vocab = vocab,
    };
    const struct session_handler handler = {
        .arg = s,
        .report = on_report,
        .welcome = on_welcome,
        .grant = on_grant,
        .over = on_over,
        .transfer = on_transfer,
    };

    s->leases = leases_create(&leases);
    s->session = session_create(&identity, &handler, &s->err);
    if (s->session != NULL)
        leases_attach(s->leases, s->session);
}

static void on_ready(void *arg, const uint8_t fingerprint[HASH_BYTES],
                     int32_t vocab)
{
    struct supervisor *s = arg;
    char hex[2 * HASH_BYTES + 1];

    memcpy(s->fingerprint, fingerprint, HASH_BYTES);
    hash_hex(fingerprint, HASH_BYTES, hex);
    log_info("ready: ranks=%zu vocab=%" PRId32 " fingerprint=%.16s ms=%" PRId64,
             s->devices->n, vocab, hex, s->now_ms - s->began_ms);
    if (s->leases == NULL)
        introduce(s, vocab);
}

/* ---- start and end -------------------------------------------------------- */

static sigset_t our_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    return set;
}

int supervisor_signals(struct err *err)
{
    const sigset_t set = our_signals();

    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(err, ERR_OS, "sigprocmask: %s", strerror(errno));
    return 0;
}

static int open_signals(struct supervisor *s, struct err *err)
{
    const sigset_t set = our_signals();

    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0)
        return err_set(err, ERR_OS, "signalfd: %s", strerror(errno));
    return 0;
}

/* Which tokenizer serves the model: the configured one, the one beside the
 * checkpoint, or none.
 */
static int open_tokenizer(struct supervisor *s, struct err *err)
{
    const struct config_model *model = s->config->models.item;
    const char *engine = s->devices->engine[0];

    if (model->tokenizer != NULL) {
        s->tokenizer_path = xstrdup(model->tokenizer);
    } else if (strcmp(engine, "null") != 0) {
        s->tokenizer_path = tokenizer_find(model->path, err);
        if (s->tokenizer_path == NULL && err->code != ERR_NOT_FOUND)
            return -1;
        if (s->tokenizer_path == NULL)
            log_warn("tokenizer: none (%s); only token ids can be served",
                     err->text);
    }
    if (s->tokenizer_path == NULL)
        s->tokenizer_path = xstrdup("");
    return vocab_open(engine, s->tokenizer_path, &s->tokenizer, err);
}

static void name_worker(struct supervisor *s)
{
    if (gethostname(s->host, sizeof s->host) < 0 || s->host[0] == '\0')
        memcpy(s->host, "localhost", sizeof "localhost");
    s->host[sizeof s->host - 1] = '\0';
    s->name = xstrdup(s->config->name != NULL ? s->config->name : s->host);
}

static void create_ranks(struct supervisor *s)
{
    const struct config *c = s->config;
    const struct config_model *model = c->models.item;
    const struct ranks_config config = {
        .engine = s->devices->engine,
        .n = s->devices->n,
        .model = model->path != NULL ? model->path : "",
        .tokenizer = s->tokenizer_path,
        .options = c->backend_options != NULL ? c->backend_options : "",
        .comm = s->devices->comm,
        .tokens_per_step = s->devices->tokens_per_step,
        .slots = s->devices->slots,
        .stall_ms = s->devices->stall_ms,
        .start_ms = c->start_s * 1000,
        .gather_ms = c->gather_ms,
        .log_level = log_level_parse(c->log_level),
    };
    const struct ranks_handler handler = {
        .arg = s,
        .ready = on_ready,
        .answer = on_answer,
        .lost = on_lost,
    };

    s->ranks = ranks_create(&config, &handler);
}

static void open_watchdog(struct supervisor *s)
{
    uint64_t us;

    if (sd_watchdog_enabled(0, &us) > 0)
        s->watchdog_ms = (int64_t)(us / 1000 / 3);
}

static int begin(struct supervisor *s, struct err *err)
{
    s->signal_fd = -1;
    s->began_ms = s->now_ms = clock_now_ms();
    name_worker(s);
    if (open_signals(s, err) < 0 || open_tokenizer(s, err) < 0)
        return -1;
    s->pool = pool_create((size_t)s->config->encode_threads, err);
    if (s->pool == NULL)
        return -1;
    create_ranks(s);
    s->gauges = gauges_open(s->devices);
    open_watchdog(s);
    log_info("loading: model=%s ranks=%zu engine=%s tokens_per_step=%" PRId32
             " slots=%" PRId32,
             ((const struct config_model *)s->config->models.item)->name,
             s->devices->n, s->devices->engine[0], s->devices->tokens_per_step,
             s->devices->slots);
    return 0;
}

static void finish(struct supervisor *s)
{
    (void)sd_notify(0, "STOPPING=1");
    ranks_destroy(s->ranks);
    pool_destroy(s->pool);
    leases_destroy(s->leases);
    gauges_close(s->gauges);
    session_destroy(s->session);
    tokenizer_close(s->tokenizer);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    free(s->tokenizer_path);
    free(s->name);
}

/* ---- the loop ------------------------------------------------------------- */

/* The first SIGTERM drains, the second gives back. */
static void on_terminate(struct supervisor *s)
{
    if (s->phase != SERVING || s->session == NULL) {
        log_info("stopping: at once");
        if (s->session != NULL)
            leases_give_back(s->leases);
        s->phase = FINISHED;
        return;
    }
    log_info("draining: shards=%zu", leases_count(s->leases));
    leases_drain(s->leases);
    session_beat_soon(s->session);
    s->phase = DRAINING;
    s->phase_end_ms = s->now_ms + s->config->drain_s * 1000;
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            s->child_died = true;
        else
            on_terminate(s);
    }
}

/* DRAINING -> FAREWELL -> FINISHED. */
static void drain(struct supervisor *s)
{
    if (s->phase == DRAINING && s->now_ms >= s->phase_end_ms) {
        log_warn("draining: giving back %zu shards after %" PRId64 " s",
                 leases_count(s->leases), s->config->drain_s);
        leases_give_back(s->leases);
    }
    if (s->phase == DRAINING
        && (leases_count(s->leases) == 0 || s->now_ms >= s->phase_end_ms)) {
        session_beat_soon(s->session);
        session_step(s->session, s->now_ms);
        s->phase = FAREWELL;
        s->phase_end_ms = s->now_ms + FAREWELL_MS;
    }
    /* A coordinator that is not there cannot be told. */
    if (s->phase >= DRAINING && !session_live(s->session))
        s->phase = FINISHED;
    if (s->phase == FAREWELL
        && (session_settled(s->session) || s->now_ms >= s->phase_end_ms))
        s->phase = FINISHED;
}

static void feed_watchdog(struct supervisor *s)
{
    if (s->watchdog_ms == 0 || s->now_ms < s->watchdog_due_ms)
        return;
    (void)sd_notify(0, "WATCHDOG=1");
    s->watchdog_due_ms = s->now_ms + s->watchdog_ms;
}

/* Wait for whatever comes first. */
static int wait_for_events(struct supervisor *s, struct err *err)
{
    int64_t at = s->now_ms + WAIT_MS_MAX, due;
    const int fd[] = {s->signal_fd, ranks_fd(s->ranks), pool_fd(s->pool)};
    struct pollfd set[3];

    due = ranks_deadline(s->ranks, s->now_ms);
    at = due < at ? due : at;
    if (s->watchdog_ms > 0 && s->watchdog_due_ms < at)
        at = s->watchdog_due_ms;
    if (s->session != NULL) {
        due = session_deadline(s->session);
        at = due < at ? due : at;
        due = leases_deadline(s->leases, s->now_ms);
        at = due < at ? due : at;
        at = at > s->now_ms ? at - s->now_ms : 0;
        return session_wait(s->session, fd, 3, at, err) < 0 ? -1 : 0;
    }
    for (int i = 0; i < 3; i++)
        set[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
    at = at > s->now_ms ? at - s->now_ms : 0;
    (void)poll(set, 3, (int)at);
    return 0;
}

static int turn(struct supervisor *s, struct err *err)
{
    bool died;

    s->now_ms = clock_now_ms();
    take_signals(s);
    died = s->child_died;
    s->child_died = false;
    if (ranks_poll(s->ranks, died, s->now_ms, err) < 0)
        return -1;
    if (s->err.code != ERR_NONE) {
        *err = s->err;
        return -1;
    }
    if (s->session != NULL && s->phase != FINISHED) {
        leases_expire(s->leases, s->now_ms);
        session_step(s->session, s->now_ms);
        leases_step(s->leases, s->now_ms);
        drain(s);
    }
    feed_watchdog(s);
    return s->phase == FINISHED ? 0 : wait_for_events(s, err);
}

int supervisor_run(const struct config *config, const struct devices *devices,
                   struct err *err)
{
    struct supervisor s = {.config = config, .devices = devices};
    int rc = begin(&s, err);

    while (rc == 0 && s.phase != FINISHED)
        rc = turn(&s, err);
    finish(&s);
    return rc;
}
