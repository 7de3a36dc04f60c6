#include "worker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

/* Between fork and exec of a process with threads: async-signal-safe calls
 * only. Does not return.
 */
static void become_rank(char *const argv[], int fd, const int *keep, size_t n,
                        pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent
        || setpgid(0, 0) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0
        || fcntl(fd, F_SETFD, 0) < 0)
        _exit(127);
    for (size_t i = 0; i < n; i++) {
        if (fcntl(keep[i], F_SETFD, 0) < 0)
            _exit(127);
    }
    execve("/proc/self/exe", argv, environ);
    _exit(127);
}

pid_t spawn_rank(size_t rank, int fd, const int *keep, size_t n,
                 struct err *err)
{
    char rank_text[24], fd_text[24];
    char *argv[] = {(char *)"skein-worker", (char *)"--rank", rank_text,
                    (char *)"--fd",         fd_text,          NULL};
    pid_t parent = getpid(), pid;

    snprintf(rank_text, sizeof rank_text, "%zu", rank);
    snprintf(fd_text, sizeof fd_text, "%d", fd);
    pid = fork();
    if (pid == 0)
        become_rank(argv, fd, keep, n, parent);
    if (pid < 0)
        return err_set(err, ERR_OS, "fork: %s", strerror(errno));
    return pid;
}
