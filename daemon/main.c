/* skeind: the coordinator. Options and files: daemon/settings.h; the loop:
 * daemon/router.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "daemon/router.h"
#include "daemon/settings.h"
#include "daemon/usage.h"

/* Threads inherit the mask, so the loop's signalfd gets every signal. */
static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The parent may have ended before the kernel was asked to tell. */
static int follow_parent(pid_t parent, struct err *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return err_set(err, ERR_OS, "prctl: %s", strerror(errno));
    if (getppid() != parent)
        return err_set(err, ERR_OS, "the starting process has ended");
    return 0;
}

/* Connections and job files are descriptors: use what we may. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(const struct settings *s, struct err *err)
{
    struct router_config config = {
        .spool = s->spool,
        .listen = (const char *const *)s->listen.item,
        .n_listen = s->listen.n,
        .ingest_threads = (int)s->ingest_threads,
        .max_records = (uint64_t)s->max_records,
        .http = s->http,
        .beat_ms = s->beat_ms,
        .lease_ms = s->lease_ms,
        .lease_worker_ms = s->lease_worker_ms,
        .lease_disconnected_ms = s->lease_disconnected_ms,
        .restart_grace_ms = s->restart_grace_ms,
    };

    raise_file_limit();
    return router_run(&config, err);
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    struct settings s;
    struct err err;
    int ret;

    log_init("skeind", LOG_LEVEL_INFO);
    ret = settings_load(argc, argv, &s, &err);
    if (ret == 0 && s.help) {
        options_print_help(&usage_skeind);
    } else if (ret == 0 && s.version) {
        printf("skeind %s\n", SKEIN_VERSION);
    } else if (ret == 0 && s.check_config) {
        puts("configuration is fine");
    } else if (ret == 0) {
        log_init("skeind", s.level);
        block_signals();
        ret = hash_init(&err);
        if (ret == 0 && s.die_with_parent)
            ret = follow_parent(parent, &err);
        if (ret == 0)
            ret = serve(&s, &err);
    }
    settings_free(&s);
    if (ret == 0)
        return fflush(stdout) == 0 ? 0 : ERR_IO;
    if (err.code == ERR_USAGE)
        options_report(&usage_skeind, &err);
    else
        log_error("fatal code=%s error=\"%s\"", err_name(err.code), err.text);
    return (int)err.code;
}
