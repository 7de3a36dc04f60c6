#include "daemon/settings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "daemon/http.h"
#include "daemon/ingest.h"
#include "daemon/usage.h"
#include "proto/limits.h"

/* Shards are counted in 32 bits, and one has at least one record. */
#define MAX_RECORDS_MAX (INT64_C(1) << 32)

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

static void replace(char **to, const char *from)
{
    if (from == NULL)
        return;
    free(*to);
    *to = xstrdup(from);
}

/* Endpoints that are given stand instead of the file's. */
static void take_listen(struct settings *s, const struct option_list *given)
{
    if (given->n == 0)
        return;
    for (size_t i = 0; i < s->listen.n; i++)
        free(s->listen.item[i]);
    free(s->listen.item);
    s->listen.n = given->n;
    s->listen.item = xcalloc(given->n, sizeof *s->listen.item);
    for (size_t i = 0; i < given->n; i++)
        s->listen.item[i] = xstrdup(given->item[i]);
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
    struct usage u = {.help = false};
    int first;

    set_defaults(s);
    if (options_parse(&usage_skeind, argc, argv, &u, &first, err) < 0)
        return -1;
    s->help = u.help;
    s->version = u.version;
    s->check_config = u.check_config;
    s->die_with_parent = u.die_with_parent;
    if (u.help || u.version)
        return 0;
    if (u.config != NULL && conf_load(u.config, keys, s, err) < 0) {
        err->code = ERR_CONFIG; /* also when there is no such file */
        return -1;
    }
    replace(&s->spool, u.spool);
    replace(&s->http, u.http);
    replace(&s->log_level, u.log_level);
    take_listen(s, &u.listen);
    return check(s, err);
}
