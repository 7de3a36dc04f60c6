/* skein-worker: the supervisor, or, started by it again, one rank */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "cuda/comm_nccl.h"
#include "worker/config.h"
#include "worker/devices.h"
#include "worker/rank_main.h"
#include "worker/supervisor.h"
#include "worker/usage.h"

static int fail(const struct err *err)
{
    options_report(&usage_worker, err);
    return (int)err->code;
}

static int die_with_parent(struct err *err)
{
    pid_t parent = getppid();

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_set(err, ERR_OS, "prctl: %s", strerror(errno));
    if (getppid() != parent)
        return err_set(err, ERR_CANCELLED, "the starting process has ended");
    return 0;
}

static int run(const struct config *c)
{
    struct devices devices;
    struct err err = {0};

    log_init("worker", (enum log_level)log_level_parse(c->log_level));
    if (c->die_with_parent && die_with_parent(&err) < 0)
        return fail(&err);
    if (supervisor_signals(&err) < 0 || hash_init(&err) < 0
        || devices_resolve(c, &devices, &err) < 0)
        return fail(&err);
    if (c->check) {
        printf("configuration is good: %zu %s rank%s\n", devices.n,
               devices.engine[0], devices.n == 1 ? "" : "s");
        return 0;
    }
    if (supervisor_run(c, &devices, &err) < 0) {
        log_error("exit: %s", err.text);
        return (int)err.code;
    }
    log_info("exit: done");
    return 0;
}

int main(int argc, char **argv)
{
    enum config_action action;
    struct config c;
    struct err err = {0};
    int status = 0;

    /* How spawn.c starts a rank; not for people. */
    if (argc == 5 && strcmp(argv[1], "--rank") == 0
        && strcmp(argv[3], "--fd") == 0)
        return rank_main(atoi(argv[4]));
    comm_nccl_environment();
    if (config_read(argc, argv, &c, &action, &err) < 0)
        status = fail(&err);
    else if (action == CONFIG_RUN)
        status = run(&c);
    config_free(&c);
    return status;
}
