/* For LD_PRELOAD: the first look at the CPUs starts a thread that sleeps for
 * ever, as a GPU driver's first call does.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void *sleep_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void start(void)
{
    pthread_t thread;

    (void)pthread_create(&thread, NULL, sleep_for_ever, NULL);
}

int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    int (*next)(pid_t, size_t, cpu_set_t *);

    *(void **)&next = dlsym(RTLD_NEXT, "sched_getaffinity");
    (void)pthread_once(&once, start);
    return next(pid, size, set);
}
