/* What is asked for goes into a queue in the order of the calls; the thread is
 * the only one to touch the inner backend while anything is in it. A failure is
 * told by the next wait().
 */
#include "tests/model/ahead.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

enum kind {
    SUBMIT,
    RESET,
    COPY,
    STOP,
};

struct order {
    enum kind kind;
    struct step step;  /* SUBMIT; its arrays are the caller's */
    int32_t slot, src; /* RESET, COPY */
    int32_t history;   /* COPY: the slot's from here on */
};

struct ahead {
    struct backend base;
    struct backend_ops ops;
    struct backend *inner;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ordered, done;
    struct order *order; /* [n] not begun, from `first` on; [cap] */
    size_t first, n, cap;
    bool busy;           /* with an order that is not in the queue any more */
    int64_t given, made; /* tickets; steps have them in order */
    bool failed;
    struct err err;
};

static struct ahead *ahead_of(struct backend *b)
{
    return (struct ahead *)b;
}

static int obey(struct ahead *a, const struct order *o, struct err *err)
{
    struct backend *b = a->inner;
    int64_t ticket;

    if (o->kind == RESET) {
        b->history[o->slot] = -1;
        return b->ops->reset(b, o->slot, err);
    }
    if (o->kind == COPY) {
        b->history[o->slot] = o->history;
        return b->ops->copy(b, o->slot, o->src, err);
    }
    ticket = b->ops->submit(b, &o->step, err);
    return ticket < 0 ? -1 : b->ops->wait(b, ticket, err);
}

static void *thread_main(void *arg)
{
    struct ahead *a = arg;

    pthread_mutex_lock(&a->mutex);
    for (;;) {
        struct order o;
        struct err err = {0};
        bool failed;

        while (a->n == 0)
            pthread_cond_wait(&a->ordered, &a->mutex);
        o = a->order[a->first++];
        a->n--;
        if (o.kind == STOP)
            break;
        a->busy = true;
        pthread_mutex_unlock(&a->mutex);
        failed = obey(a, &o, &err) < 0;
        pthread_mutex_lock(&a->mutex);
        a->busy = false;
        if (failed && !a->failed) {
            a->failed = true;
            a->err = err;
        }
        a->made += o.kind == SUBMIT;
        pthread_cond_signal(&a->done);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* Append, with the mutex held. */
static void put(struct ahead *a, const struct order *o)
{
    if (a->n == 0)
        a->first = 0;
    if (a->first > 0 && a->first + a->n == a->cap) {
        memmove(a->order, a->order + a->first, a->n * sizeof *a->order);
        a->first = 0;
    }
    if (a->n == a->cap) {
        a->cap = a->cap == 0 ? 64 : 2 * a->cap;
        a->order = xrealloc(a->order, a->cap * sizeof *a->order);
    }
    a->order[a->n++ + a->first] = *o;
    pthread_cond_signal(&a->ordered);
}

static void ask(struct ahead *a, const struct order *o)
{
    pthread_mutex_lock(&a->mutex);
    put(a, o);
    pthread_mutex_unlock(&a->mutex);
}

static int64_t ahead_submit(struct backend *b, const struct step *step,
                            struct err *err)
{
    struct ahead *a = ahead_of(b);

    (void)err;
    ask(a, &(struct order){.kind = SUBMIT, .step = *step});
    return ++a->given;
}

static int ahead_reset(struct backend *b, int32_t slot, struct err *err)
{
    (void)err;
    ask(ahead_of(b), &(struct order){.kind = RESET, .slot = slot});
    return 0;
}

static int ahead_copy(struct backend *b, int32_t dst, int32_t src,
                      struct err *err)
{
    const struct order o = {
        .kind = COPY, .slot = dst, .src = src, .history = b->history[dst]};

    (void)err;
    ask(ahead_of(b), &o);
    return 0;
}

/* The failure, if there was one; the mutex is held. */
static int outcome(const struct ahead *a, struct err *err)
{
    if (a->failed && err != NULL)
        *err = a->err;
    return a->failed ? -1 : 0;
}

static int ahead_wait(struct backend *b, int64_t ticket, struct err *err)
{
    struct ahead *a = ahead_of(b);
    int rc;

    pthread_mutex_lock(&a->mutex);
    while (a->made < ticket)
        pthread_cond_wait(&a->done, &a->mutex);
    rc = outcome(a, err);
    pthread_mutex_unlock(&a->mutex);
    return rc;
}

/* Until the inner backend is ours. */
static int settle(struct ahead *a, struct err *err)
{
    int rc;

    pthread_mutex_lock(&a->mutex);
    while (a->n > 0 || a->busy)
        pthread_cond_wait(&a->done, &a->mutex);
    rc = outcome(a, err);
    pthread_mutex_unlock(&a->mutex);
    return rc;
}

static int ahead_save(struct backend *b, int32_t slot, float *state,
                      struct err *err)
{
    struct ahead *a = ahead_of(b);

    if (settle(a, err) < 0)
        return -1;
    return a->inner->ops->save(a->inner, slot, state, err);
}

static int ahead_load(struct backend *b, int32_t slot, const float *state,
                      struct err *err)
{
    struct ahead *a = ahead_of(b);

    if (settle(a, err) < 0)
        return -1;
    a->inner->history[slot] = -1;
    return a->inner->ops->load(a->inner, slot, state, err);
}

static int ahead_remember(struct backend *b, int32_t slot,
                          const struct history *h, struct err *err)
{
    struct ahead *a = ahead_of(b);

    if (settle(a, err) < 0)
        return -1;
    a->inner->history[slot] = b->history[slot];
    return a->inner->ops->remember(a->inner, slot, h, err);
}

static void release(struct ahead *a)
{
    pthread_mutex_destroy(&a->mutex);
    pthread_cond_destroy(&a->ordered);
    pthread_cond_destroy(&a->done);
    free(a->order);
    free(a);
}

static void ahead_destroy(struct backend *b)
{
    struct ahead *a = ahead_of(b);

    ask(a, &(struct order){.kind = STOP});
    pthread_join(a->thread, NULL);
    free(a->inner->history);
    a->inner->ops->destroy(a->inner);
    release(a);
}

static const struct backend_ops ahead_ops = {
    .destroy = ahead_destroy,
    .submit = ahead_submit,
    .wait = ahead_wait,
    .reset = ahead_reset,
    .copy = ahead_copy,
    .save = ahead_save,
    .load = ahead_load,
    .remember = ahead_remember,
};

struct backend *backend_ahead(struct backend *b, struct err *err)
{
    struct ahead *a;
    int rc;

    if (b->async)
        return b;
    a = xcalloc(1, sizeof *a);
    a->ops = ahead_ops;
    a->ops.name = b->ops->name;
    if (b->ops->remember == NULL)
        a->ops.remember = NULL;
    a->base = *b; /* with the guard: arguments are checked once, outside */
    a->base.ops = &a->ops;
    a->base.async = true;
    a->inner = b;
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->ordered, NULL);
    pthread_cond_init(&a->done, NULL);
    rc = pthread_create(&a->thread, NULL, thread_main, a);
    if (rc != 0) {
        release(a);
        err_set(err, ERR_OS, "pthread_create: %s", strerror(rc));
        return NULL;
    }
    /* What outside is so already, is not yet so for the thread. */
    b->guard = NULL;
    b->history = xcalloc((size_t)b->limits.slots, sizeof *b->history);
    memcpy(b->history, a->base.history,
           (size_t)b->limits.slots * sizeof *b->history);
    return &a->base;
}
