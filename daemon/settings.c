#include "daemon/settings.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "daemon/http.h"
#include "daemon/ingest.h"
#include "proto/limits.h"

/* Shards are counted in 32 bits, and one has at least one record. */
#define MAX_RECORDS_MAX (INT64_C(1) << 32)

const char settings_help[] =
    "Usage: skeind --spool DIR --listen ENDPOINT [options]\n"
    "       skeind --config FILE [options]\n"
    "\n"
    "The coordinator of Skein: accepts jobs, keeps them durably in the spool,\n"
    "leases their shards to workers and stores the results. It needs no GPU "
    "and\n"
    "no model. Stop it with SIGTERM; nothing is lost whenever it stops.\n"
    "\n"
    "  --config FILE       read settings from FILE (conf/skeind.yaml lists "
    "all)\n"
    "  --spool DIR         where jobs are kept; created when missing\n"
    "  --listen ENDPOINT   ipc:///path or tcp://127.0.0.1:PORT; may be "
    "repeated\n"
    "  --http ADDRESS      serve /metrics and /healthz there, for example on\n"
    "                      127.0.0.1:7448; loopback only (default: nowhere)\n"
    "  --log-level LEVEL   error, warn, info or debug (default: info)\n"
    "  --check-config      say whether the settings are right, and exit\n"
    "  --die-with-parent   stop when the starting process ends\n"
    "  --help, --version\n"
    "\n"
    "Examples:\n"
    "  skeind --spool ~/skein --listen ipc:///tmp/skein.sock\n"
    "  skeind --config /etc/skein/skeind.yaml\n"
    "\n"
    "Then:  skein-worker --connect ipc:///tmp/skein.sock --model demo=MODEL\n"
    "       skein submit in.jsonl -m demo -s ipc:///tmp/skein.sock\n"
    "\n"
    "Exit status: 0 stopped by a signal, 2 usage, 69 an endpoint cannot be "
    "bound,\n"
    "74 the spool cannot be written, 75 another coordinator has the spool,\n"
    "78 configuration, 83 the registry is corrupt.\n";

static const struct conf_key keys[] = {
    {.name = "spool",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, spool)},
    {.name = "listen",
     .type = CONF_STRING_LIST,
     .offset = offsetof(struct settings, listen)},
    {.name = "log_level",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, log_level)},
    {.name = "ingest_threads",
     .type = CONF_INT,
     .offset = offsetof(struct settings, ingest_threads),
     .min = 1,
     .max = INGEST_THREADS_MAX},
    {.name = "max_records",
     .type = CONF_INT,
     .offset = offsetof(struct settings, max_records),
     .min = 1,
     .max = MAX_RECORDS_MAX},
    {.name = "http",
     .type = CONF_STRING,
     .offset = offsetof(struct settings, http)},
    {.name = "beat_ms",
     .type = CONF_INT,
     .offset = offsetof(struct settings, beat_ms),
     .min = 50,
     .max = 60000},
    {.name = "lease_ms",
     .type = CONF_INT,
     .offset = offsetof(struct settings, lease_ms),
     .min = 200,
     .max = 600000},
    {.name = "lease_worker_ms",
     .type = CONF_INT,
     .offset = offsetof(struct settings, lease_worker_ms),
     .min = 100,
     .max = 600000},
    {.name = "lease_disconnected_ms",
     .type = CONF_INT,
     .offset = offsetof(struct settings, lease_disconnected_ms),
     .min = 0,
     .max = 600000},
    {.name = "restart_grace_ms",
     .type = CONF_INT,
     .offset = offsetof(struct settings, restart_grace_ms),
     .min = 0,
     .max = 3600000},
    {.name = NULL},
};

static void set_defaults(struct settings *s)
{
    *s = (struct settings){
        .log_level = xstrdup("info"),
        .http = xstrdup(""),
        .ingest_threads = 2,
        .max_records = MAX_RECORDS_MAX,
        .beat_ms = BEAT_MS,
        .lease_ms = LEASE_COORDINATOR_MS,
        .lease_worker_ms = LEASE_WORKER_MS,
        .lease_disconnected_ms = LEASE_DISCONNECTED_MS,
        .restart_grace_ms = RESTART_GRACE_MS,
    };
}

void settings_free(struct settings *s)
{
    conf_free(keys, s);
}

enum option_id {
    OPT_CONFIG = 1000,
    OPT_SPOOL,
    OPT_LISTEN,
    OPT_HTTP,
    OPT_LOG_LEVEL,
    OPT_CHECK_CONFIG,
    OPT_DIE_WITH_PARENT,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"spool", required_argument, NULL, OPT_SPOOL},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"http", required_argument, NULL, OPT_HTTP},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
    {"die-with-parent", no_argument, NULL, OPT_DIE_WITH_PARENT},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int usage_error(const char *arg, struct err *err)
{
    static const char *const names[] = {
        "--config",          "--spool",
        "--listen",          "--http",
        "--log-level",       "--check-config",
        "--die-with-parent", "--help",
        "--version",         NULL,
    };
    const char *near = conf_nearest(arg, names);

    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(arg, names[i]) == 0)
            return err_set(err, ERR_USAGE, "%s needs a value", arg);
    }
    if (near != NULL)
        return err_set(err, ERR_USAGE, "unknown option %s: did you mean %s?",
                       arg, near);
    return err_set(err, ERR_USAGE, "unknown option %s: see skeind --help", arg);
}

static void replace(char **to, const char *from)
{
    free(*to);
    *to = xstrdup(from);
}

static void clear_listen(struct settings *s)
{
    for (size_t i = 0; i < s->listen.n; i++)
        free(s->listen.item[i]);
    free(s->listen.item);
    s->listen = (struct conf_strings){0};
}

static void add_listen(struct settings *s, const char *endpoint)
{
    s->listen.item =
        xrealloc(s->listen.item, (s->listen.n + 1) * sizeof *s->listen.item);
    s->listen.item[s->listen.n++] = xstrdup(endpoint);
}

static void take_option(int opt, struct settings *s, bool *listen_given)
{
    switch (opt) {
    case OPT_SPOOL:
        replace(&s->spool, optarg);
        break;
    case OPT_LISTEN:
        if (!*listen_given)
            clear_listen(s); /* instead of the file's */
        *listen_given = true;
        add_listen(s, optarg);
        break;
    case OPT_HTTP:
        replace(&s->http, optarg);
        break;
    case OPT_LOG_LEVEL:
        replace(&s->log_level, optarg);
        break;
    case OPT_CHECK_CONFIG:
        s->check_config = true;
        break;
    case OPT_DIE_WITH_PARENT:
        s->die_with_parent = true;
        break;
    case OPT_HELP:
        s->help = true;
        break;
    case OPT_VERSION:
        s->version = true;
        break;
    default:
        break; /* OPT_CONFIG: in the first pass */
    }
}

/* The file is read before the options are applied, wherever --config stands. */
static int load_file(int argc, char **argv, struct settings *s, struct err *err)
{
    int opt;

    optind = 1;
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (opt == '?' || opt == ':')
            return usage_error(argv[optind - 1], err);
        if (opt == OPT_CONFIG && conf_load(optarg, keys, s, err) < 0) {
            err->code = ERR_CONFIG; /* also when there is no such file */
            return -1;
        }
    }
    if (optind < argc)
        return err_set(err, ERR_USAGE,
                       "unexpected argument %s: see "
                       "skeind --help",
                       argv[optind]);
    return 0;
}

static int check(struct settings *s, struct err *err)
{
    int level = log_level_parse(s->log_level);

    if (level < 0)
        return err_set(err, ERR_CONFIG,
                       "log_level is error, warn, info or debug, not \"%s\"",
                       s->log_level);
    s->level = (enum log_level)level;
    if (s->spool == NULL || s->spool[0] == '\0')
        return err_set(err, ERR_CONFIG,
                       "no spool: give --spool DIR, or spool: in the file "
                       "named by --config");
    if (s->listen.n == 0)
        return err_set(err, ERR_CONFIG,
                       "nothing to listen on: give --listen ENDPOINT, or "
                       "listen: in the file named by --config");
    if (s->http[0] != '\0' && http_check(s->http, err) < 0)
        return -1;
    if (s->lease_worker_ms >= s->lease_ms)
        return err_set(err, ERR_CONFIG,
                       "lease_worker_ms (%" PRId64 ") must be below lease_ms "
                       "(%" PRId64 "): the worker has to stop first",
                       s->lease_worker_ms, s->lease_ms);
    if (2 * s->beat_ms > s->lease_worker_ms)
        return err_set(err, ERR_CONFIG,
                       "beat_ms (%" PRId64 ") must be at most half of "
                       "lease_worker_ms (%" PRId64 "): one lost beat must not "
                       "end a lease",
                       s->beat_ms, s->lease_worker_ms);
    return 0;
}

int settings_load(int argc, char **argv, struct settings *s, struct err *err)
{
    bool listen_given = false;
    int opt;

    set_defaults(s);
    if (load_file(argc, argv, s, err) < 0)
        return -1;
    optind = 1;
    while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1)
        take_option(opt, s, &listen_given);
    return s->help || s->version ? 0 : check(s, err);
}
