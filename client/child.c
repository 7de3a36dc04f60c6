#include "client/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"

#define TAIL_BYTES 4096
#define RESTART_MS 200 /* before the first restart; doubles */

extern char **environ;

void child_init(struct child *c, const char *program, const char *log)
{
    struct stat st;

    *c = (struct child){.program = program, .log = xstrdup(log)};
    if (stat(log, &st) == 0)
        c->log_start = st.st_size;
    child_arg(c, program);
}

void child_arg(struct child *c, const char *arg)
{
    assert(c->n_arg + 1 < CHILD_ARGS_MAX);
    c->arg[c->n_arg++] = xstrdup(arg);
}

void child_free(struct child *c)
{
    for (int i = 0; i < c->n_arg; i++)
        free(c->arg[i]);
    free(c->log);
    *c = (struct child){.pid = 0};
}

/* The program beside our own binary, malloc'ed; its bare name when there is
 * none, for a search along PATH.
 */
static char *find_program(const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *path;

    if (n <= 0)
        return xstrdup(name);
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return xstrdup(name);
    *slash = '\0';
    path = file_join(self, name);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return xstrdup(name);
}

/* posix_spawn() with the log as output, nothing as input, an own process group
 * and the signal state of a fresh program. Returns 0 or an errno.
 */
static int spawn(struct child *c, const char *path, int log)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t defaults;
    int ret;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    ret = posix_spawnp(&c->pid, path, &files, &attr, c->arg, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return ret;
}

int child_start(struct child *c, struct err *err)
{
    int log = open(c->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char *path;
    int ret;

    if (log < 0)
        return err_set(err, ERR_IO, "%s: cannot open: %s", c->log,
                       strerror(errno));
    path = find_program(c->program);
    ret = spawn(c, path, log);
    free(path);
    close(log);
    if (ret == 0)
        return 0;
    c->pid = 0;
    return err_set(err, ERR_CONFIG,
                   "cannot start %s, neither beside skein nor "
                   "along PATH: %s",
                   c->program, strerror(ret));
}

void child_log_tail(const char *path, int64_t start, int lines, struct buf *out)
{
    char text[TAIL_BYTES + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ssize_t n = 0;
    char *p;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size > start) {
        if (st.st_size - start > TAIL_BYTES)
            start = st.st_size - TAIL_BYTES;
        n = pread(fd, text, TAIL_BYTES, start);
    }
    close(fd);
    if (n <= 0)
        return;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    for (p = text + n; p > text; p--) {
        if (p[-1] == '\n' && --lines == 0)
            break;
    }
    while (p != NULL && *p != '\0') {
        char *end = strchr(p, '\n');

        buf_addf(out, "  %.*s\n", end ? (int)(end - p) : (int)strlen(p), p);
        p = end ? end + 1 : NULL;
    }
}

/* Statuses that the same command line would end with again. */
static bool hopeless(int status)
{
    if (!WIFEXITED(status))
        return false;
    switch (WEXITSTATUS(status)) {
    case ERR_USAGE:
    case ERR_NOT_FOUND:
    case ERR_INVALID:
    case ERR_DENIED:
    case ERR_CONFIG:
    case ERR_NOMEM:
    case ERR_CORRUPT:
        return true;
    default:
        return false;
    }
}

static int give_up(const struct child *c, int status, struct err *err)
{
    enum err_code code = ERR_INTERNAL;
    char how[64];

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
    if (hopeless(status))
        code = (enum err_code)WEXITSTATUS(status);
    /* Of its files and options; here these codes would mean ours. */
    if (code == ERR_USAGE || code == ERR_NOT_FOUND || code == ERR_INVALID)
        code = ERR_CONFIG;
    return err_set(err, code, "%s %s%s; see %s", c->program, how,
                   hopeless(status) ? "" : " too often", c->log);
}

int child_watch(struct child *c, int64_t now_ms, struct err *err)
{
    int status;

    if (c->pid == 0) {
        if (now_ms < c->restart_at_ms)
            return 0;
        return child_start(c, err);
    }
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        return 0;
    c->pid = 0;
    if (hopeless(status) || c->restarts == CHILD_RESTARTS_MAX)
        return give_up(c, status, err);
    c->restart_at_ms = now_ms + ((int64_t)RESTART_MS << c->restarts);
    c->restarts++;
    return 0;
}

void child_stop(struct child *c, int64_t grace_ms)
{
    int64_t end = clock_now_ms() + grace_ms, again = end - grace_ms / 2;

    if (c->pid == 0)
        return;
    kill(c->pid, SIGTERM);
    while (waitpid(c->pid, NULL, WNOHANG) == 0) {
        struct timespec pause = {.tv_nsec = 5000000};

        if (clock_now_ms() >= end) {
            kill(c->pid, SIGKILL);
            waitpid(c->pid, NULL, 0);
            break;
        }
        if (clock_now_ms() >= again) {
            kill(c->pid, SIGTERM);
            again = end;
        }
        nanosleep(&pause, NULL);
    }
    c->pid = 0;
}
