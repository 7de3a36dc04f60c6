#include "worker/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/buf.h"

struct list {
    struct pool_job *first, **last;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list todo, done;
    bool closing;
    int fd;
    size_t n_thread;
    pthread_t thread[];
};

static void list_add(struct list *l, struct pool_job *job)
{
    job->next = NULL;
    *l->last = job;
    l->last = &job->next;
}

static struct pool_job *list_take(struct list *l)
{
    struct pool_job *job = l->first;

    if (job == NULL)
        return NULL;
    l->first = job->next;
    if (l->first == NULL)
        l->last = &l->first;
    return job;
}

static void *work(void *arg)
{
    struct pool *p = arg;
    struct pool_job *job;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while ((job = list_take(&p->todo)) == NULL && !p->closing)
            pthread_cond_wait(&p->more, &p->lock);
        if (job == NULL)
            break;
        pthread_mutex_unlock(&p->lock);
        job->run(job);
        pthread_mutex_lock(&p->lock);
        list_add(&p->done, job);
        (void)eventfd_write(p->fd, 1);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_create(size_t threads, struct err *err)
{
    struct pool *p = xcalloc(1, sizeof *p + threads * sizeof *p->thread);
    int rc = 0;

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->todo.last = &p->todo.first;
    p->done.last = &p->done.first;
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (p->fd < 0)
        rc = errno;
    while (rc == 0 && p->n_thread < threads) {
        rc = pthread_create(&p->thread[p->n_thread], NULL, work, p);
        if (rc == 0)
            p->n_thread++;
    }
    if (rc != 0) {
        err_set(err, ERR_OS, "encoding threads: %s", strerror(rc));
        pool_destroy(p);
        return NULL;
    }
    return p;
}

void pool_destroy(struct pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_thread; i++)
        pthread_join(p->thread[i], NULL);
    if (p->fd >= 0)
        close(p->fd);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int pool_fd(const struct pool *p)
{
    return p->fd;
}

void pool_submit(struct pool *p, struct pool_job *job)
{
    pthread_mutex_lock(&p->lock);
    list_add(&p->todo, job);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

struct pool_job *pool_done(struct pool *p)
{
    struct pool_job *job;
    eventfd_t count;

    pthread_mutex_lock(&p->lock);
    (void)eventfd_read(p->fd, &count); /* EAGAIN: nothing new */
    job = list_take(&p->done);
    if (p->done.first != NULL)
        (void)eventfd_write(p->fd, 1);
    pthread_mutex_unlock(&p->lock);
    return job;
}
