#include "client/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static int pipe_fd[2] = {-1, -1};

static void on_signal(int signal)
{
    int saved = errno;
    ssize_t put;

    if (came != 0)
        _exit(128 + signal);
    came = signal;
    put = write(pipe_fd[1], "", 1);
    (void)put; /* the pipe is only a wake-up; `came` is the state */
    errno = saved;
}

int interrupt_catch(struct err *err)
{
    /* No SA_RESTART: a write() that blocks on a full pipe must return. */
    struct sigaction action = {.sa_handler = on_signal};

    if (pipe_fd[0] >= 0)
        return 0;
    if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_set(err, ERR_OS, "pipe: %s", strerror(errno));
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, &action, NULL) < 0
        || sigaction(SIGTERM, &action, NULL) < 0)
        return err_set(err, ERR_OS, "sigaction: %s", strerror(errno));
    return 0;
}

int interrupt_fd(void)
{
    return pipe_fd[0];
}

int interrupt_signal(void)
{
    return (int)came;
}
