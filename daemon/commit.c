#include "daemon/commit.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/blob_cache.h"
#include "daemon/restage.h"
#include "daemon/retry.h"
#include "proto/limits.h"
#include "proto/lineset.h"

#define FILES_PER_THREAD (COMMIT_FILES_MAX / COMMIT_THREADS)
#define IDLE_ROUND_MS 5000 /* an idle thread shows that it lives */

struct op_list {
    struct op *first;
    struct op **last;
};

struct open_file {
    uint64_t job; /* 0: free */
    uint64_t used;
    bool staged;
    struct store_job *db;
};

struct owner {
    struct commit *commit;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct op_list queue; /* under lock, like the next three */
    bool stopping;
    int64_t alive_ms;
    struct histogram sync_s;
    /* the thread's own */
    struct open_file file[FILES_PER_THREAD];
    uint64_t clock;
    struct blob_cache blobs;
};

struct commit {
    struct store *store;
    int event_fd;
    pthread_mutex_t lock;
    struct op_list done; /* under lock */
    int n_started;
    struct owner owner[COMMIT_THREADS];
};

static void list_init(struct op_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_push(struct op_list *l, struct op *op)
{
    op->next = NULL;
    *l->last = op;
    l->last = &op->next;
}

static struct op *list_take(struct op_list *l)
{
    struct op *first = l->first;

    list_init(l);
    return first;
}

static void complete(struct commit *c, struct op *op)
{
    uint64_t one = 1;

    pthread_mutex_lock(&c->lock);
    list_push(&c->done, op);
    pthread_mutex_unlock(&c->lock);
    /* Fails only when the counter is full, and then the reader is awake. */
    if (write(c->event_fd, &one, sizeof one) < 0)
        return;
}

/* A transaction was begun at `from_us` and has reached the disk. */
static void count_sync(struct owner *o, int64_t from_us)
{
    double seconds = (double)(clock_now_us() - from_us) / 1e6;

    pthread_mutex_lock(&o->lock);
    histogram_add(&o->sync_s, histogram_sync_s, seconds);
    pthread_mutex_unlock(&o->lock);
}

/* ---- open files ---------------------------------------------------------- */

static void file_forget(struct open_file *f)
{
    *f = (struct open_file){0};
}

static struct open_file *file_find(struct owner *o, uint64_t job)
{
    for (int i = 0; i < FILES_PER_THREAD; i++) {
        if (o->file[i].job == job) {
            o->file[i].used = ++o->clock;
            return &o->file[i];
        }
    }
    return NULL;
}

/* A free place; closes the least recently used live file if there is none. A
 * staged file must stay open, so NULL when all are staged.
 */
static struct open_file *file_place(struct owner *o)
{
    struct open_file *oldest = NULL;

    for (int i = 0; i < FILES_PER_THREAD; i++) {
        struct open_file *f = &o->file[i];

        if (f->job == 0)
            return f;
        if (!f->staged && (oldest == NULL || f->used < oldest->used))
            oldest = f;
    }
    if (oldest != NULL) {
        store_job_close(oldest->db);
        file_forget(oldest);
    }
    return oldest;
}

static struct open_file *file_open(struct owner *o, uint64_t job, bool stage,
                                   struct err *err)
{
    struct open_file *f = file_find(o, job);
    struct store_job *db;

    if (f != NULL)
        return f;
    f = file_place(o);
    if (f == NULL) {
        err_set(err, ERR_AGAIN, "too many submissions at a time");
        return NULL;
    }
    db = stage ? store_stage(o->commit->store, job, err)
               : store_job_open(o->commit->store, job, err);
    if (db == NULL)
        return NULL;
    *f = (struct open_file){job, ++o->clock, stage, db};
    return f;
}

/* ---- operations ---------------------------------------------------------- */

/* Operations of one class and job may share a transaction. */
enum op_class {
    CLASS_WRITE,
    CLASS_STAGE,
    CLASS_ALONE,
};

static enum op_class class_of(const struct op *op)
{
    switch (op->kind) {
    case OP_GRANT:
    case OP_RELEASE:
    case OP_RESULT:
    case OP_STATE:
    case OP_CHANGE:
        return CLASS_WRITE;
    case OP_STAGE:
        return CLASS_STAGE;
    default:
        return CLASS_ALONE;
    }
}

static void fail(struct op *op, const struct err *err)
{
    op->status = OP_FAILED;
    op->err = *err;
}

/* Does the result answer exactly the lines the worker was given? */
static int check_answers(struct owner *o, struct store_job *db, struct op *op,
                         Skein__BlobKind kind, struct err *err)
{
    struct op_result *r = &op->result;
    const struct blob_cache_entry *input =
        blob_cache_get(&o->blobs, db, op->job, r->token.shard, kind, err);
    struct lineset in = {0}, out = {0};
    int ret = 0;

    if (input == NULL
        || lineset_unpack(input->data.data, input->data.len, &in, err) < 0)
        return -1;
    if (lineset_unpack(r->blob.data, r->blob.len, &out, err) < 0
        || lineset_match(&in, &out, err) < 0) {
        err->code = ERR_INVALID;
        ret = -1;
    } else {
        r->n_errors = out.n_error;
        for (uint32_t i = 0; i < out.n; i++)
            r->answers[in.item[i].kind][out.item[i].error]++;
    }
    lineset_free(&in);
    lineset_free(&out);
    return ret;
}

/* The result is of lines that are tried again: put it together with the answers
 * that were kept.
 */
static int merge_answers(struct store_job *db, struct op *op, struct err *err)
{
    struct op_result *r = &op->result;
    struct buf kept = BUF_INIT, whole = BUF_INIT;
    uint8_t hash[HASH_BYTES];
    int ret = store_job_blob(db, r->token.shard, SKEIN__BLOB_KIND__BLOB_RESULT,
                             &kept, hash, err);

    if (ret == 0 && retry_merge(&kept, &r->blob, &whole, &r->n_errors, err) < 0)
        ret = -1;
    buf_free(&kept);
    if (ret < 0)
        return -1;
    buf_free(&r->blob);
    r->blob = whole;
    r->merged = true;
    hash_bytes(whole.data, whole.len, r->hash);
    return 0;
}

/* Leaves the operation pending if the result may be stored. One that is stored
 * already is OP_OK, whatever the shard's input is by now.
 */
static void check_result(struct owner *o, struct store_job *db, struct op *op)
{
    struct op_result *r = &op->result;
    uint8_t hash[HASH_BYTES];
    struct err err;
    int kind, ret;

    hash_bytes(r->blob.data, r->blob.len, hash);
    if (memcmp(hash, r->hash, HASH_BYTES) != 0) {
        err_set(&err, ERR_PROTOCOL, "the upload does not have its hash");
        fail(op, &err);
        return;
    }
    kind = store_job_input_kind(db, r->token.shard, &err);
    ret = kind < 0 ? -1 : check_answers(o, db, op, (Skein__BlobKind)kind, &err);
    if (ret == 0 && kind == SKEIN__BLOB_KIND__BLOB_RETRY)
        ret = merge_answers(db, op, &err);
    if (ret < 0 && store_job_won(db, &r->token, NULL) == 1)
        op->status = OP_OK;
    else if (ret < 0)
        fail(op, &err);
}

/* The file says no more what it said: nothing in it may be used. */
static void apply_corrupt(struct owner *o, struct op *op)
{
    struct err err;

    if (store_mark_corrupt(o->commit->store, op->job, op->state.message, &err)
        < 0)
        fail(op, &err);
    else
        op->status = OP_OK;
}

/* Some of it may be on disk, some not (M16). Nothing may be told to anyone
 * before recovery has looked.
 */
static void outcome_unknown(const struct err *err)
{
    log_error("commit-failed outcome=unknown error=\"%s\": stopping",
              err->text);
    _exit(ERR_IO);
}

static void run_writes(struct owner *o, struct op *const *op, size_t n)
{
    struct open_file *f;
    int64_t from_us;
    struct err err;

    for (size_t i = 0; i < n; i++) {
        if (op[i]->kind == OP_STATE
            && op[i]->state.state == SKEIN__JOB_STATE__JOB_CORRUPT)
            apply_corrupt(o, op[i]);
    }
    f = file_open(o, op[0]->job, false, &err);
    if (f == NULL) {
        for (size_t i = 0; i < n; i++) {
            if (op[i]->status == OP_PENDING)
                fail(op[i], &err);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (op[i]->kind == OP_RESULT)
            check_result(o, f->db, op[i]);
    }
    from_us = clock_now_us();
    if (store_job_apply(f->db, op, n, &err) < 0)
        outcome_unknown(&err);
    count_sync(o, from_us);
    for (size_t i = 0; i < n; i++) {
        if (op[i]->kind == OP_RESULT)
            blob_cache_forget(&o->blobs, op[i]->job, op[i]->result.token.shard);
    }
}

static void run_stage(struct owner *o, struct op *const *op, size_t n)
{
    struct err err;
    struct open_file *f = file_open(o, op[0]->job, true, &err);
    int ret = f == NULL ? -1 : store_stage_add(f->db, op, n, &err);

    for (size_t i = 0; i < n; i++) {
        if (ret < 0)
            fail(op[i], &err);
        else
            op[i]->status = OP_OK;
    }
}

static void run_restage(struct owner *o, struct op *op)
{
    struct op_stage *s = &op->stage;
    struct buf input = BUF_INIT, rejected = BUF_INIT;
    struct open_file *f = file_open(o, op->job, true, &op->err);
    uint8_t hash[HASH_BYTES];
    bool done =
        f != NULL
        && store_job_blob(f->db, s->shard, SKEIN__BLOB_KIND__BLOB_INPUT, &input,
                          hash, &op->err)
               == 0
        && store_job_blob(f->db, s->shard, SKEIN__BLOB_KIND__BLOB_REJECTED,
                          &rejected, hash, &op->err)
               == 0
        && restage(s, &input, &rejected, &op->err) == 0
        && store_stage_add(f->db, &op, 1, &op->err) == 0;

    op->status = done ? OP_OK : OP_FAILED;
    buf_free(&input);
    buf_free(&rejected);
}

static void run_accept(struct owner *o, struct op *op)
{
    struct open_file *f = file_open(o, op->job, true, &op->err);
    int64_t from_us = clock_now_us();

    op->status = OP_FAILED;
    if (f == NULL)
        return;
    if (store_stage_accept(f->db, op->accept.image, &op->err) == 0)
        op->status = OP_OK;
    else if (op->err.code == ERR_IO)
        outcome_unknown(&op->err);
    file_forget(f);
    count_sync(o, from_us);
}

static void run_discard(struct owner *o, struct op *op)
{
    struct open_file *f = file_find(o, op->job);

    if (f != NULL) {
        store_stage_discard(f->db);
        file_forget(f);
    }
    op->status = OP_OK;
}

static void run_read(struct owner *o, struct op *op)
{
    struct op_read *r = &op->read;
    const struct blob_cache_entry *e = NULL;
    struct open_file *f = file_open(o, op->job, false, &op->err);
    int kind = (int)r->kind;

    if (f != NULL && r->kind == SKEIN__BLOB_KIND__BLOB_INPUT)
        kind = store_job_input_kind(f->db, r->shard, &op->err);
    if (f != NULL && kind >= 0)
        e = blob_cache_get(&o->blobs, f->db, op->job, r->shard,
                           (Skein__BlobKind)kind, &op->err);
    if (e == NULL) {
        op->status = OP_FAILED;
        return;
    }
    r->size = e->data.len;
    memcpy(r->hash, e->hash, HASH_BYTES);
    if (r->offset < r->size) {
        uint64_t left = r->size - r->offset;

        buf_add(&r->data, e->data.data + r->offset,
                left < r->window ? (size_t)left : r->window);
    }
    op->status = OP_OK;
}

static void run_retry(struct owner *o, struct op *op)
{
    struct open_file *f = file_open(o, op->job, false, &op->err);

    op->status = OP_FAILED;
    if (f == NULL)
        return;
    op->retry.image = xcalloc(1, sizeof *op->retry.image);
    if (store_job_retry(f->db, op->retry.failed, op->retry.image, &op->err)
        == 0)
        op->status = OP_OK;
    else if (op->err.code == ERR_IO)
        outcome_unknown(&op->err);
}

static void run_remove(struct owner *o, struct op *op)
{
    struct open_file *f = file_find(o, op->job);

    if (f != NULL) {
        store_job_close(f->db);
        file_forget(f);
    }
    op->status = store_remove(o->commit->store, op->job, &op->err) == 0
                     ? OP_OK
                     : OP_FAILED;
}

static void run_usage(struct owner *o, struct op *op)
{
    store_usage(o->commit->store, &op->usage.used, &op->usage.avail);
    op->status = OP_OK;
}

static void run_alone(struct owner *o, struct op *op)
{
    switch (op->kind) {
    case OP_READ:
        run_read(o, op);
        break;
    case OP_ACCEPT:
        run_accept(o, op);
        break;
    case OP_DISCARD:
        run_discard(o, op);
        break;
    case OP_RETRY:
        run_retry(o, op);
        break;
    case OP_REMOVE:
        run_remove(o, op);
        break;
    case OP_RESTAGE:
        run_restage(o, op);
        break;
    case OP_USAGE:
        run_usage(o, op);
        break;
    default:
        assert(false && "an operation that shares its transaction");
    }
}

static void run_group(struct owner *o, struct op **op, size_t n)
{
    switch (class_of(op[0])) {
    case CLASS_WRITE:
        run_writes(o, op, n);
        break;
    case CLASS_STAGE:
        run_stage(o, op, n);
        break;
    case CLASS_ALONE:
        run_alone(o, op[0]);
        break;
    }
    for (size_t i = 0; i < n; i++)
        complete(o->commit, op[i]);
}

/* Take the first operation of *list and those that may share its transaction;
 * the order of one job's operations is kept. Returns their number.
 */
static size_t take_group(struct op **list, struct op *group[COMMIT_GROUP_MAX])
{
    struct op *head = *list;
    struct op **link = &head->next;
    size_t n = 0;

    group[n++] = head;
    while (*link != NULL && n < COMMIT_GROUP_MAX
           && class_of(head) != CLASS_ALONE) {
        struct op *op = *link;

        if (op->job != head->job) {
            link = &op->next;
            continue;
        }
        if (class_of(op) != class_of(head))
            break;
        *link = op->next;
        group[n++] = op;
    }
    *list = head->next;
    return n;
}

static struct op *wait_for_work(struct owner *o)
{
    struct op *list;

    pthread_mutex_lock(&o->lock);
    for (;;) {
        struct timespec until;

        o->alive_ms = clock_now_ms();
        if (o->queue.first != NULL || o->stopping)
            break;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += IDLE_ROUND_MS / 1000;
        pthread_cond_timedwait(&o->wake, &o->lock, &until);
    }
    list = list_take(&o->queue);
    pthread_mutex_unlock(&o->lock);
    return list;
}

static void *owner_run(void *arg)
{
    struct owner *o = arg;
    struct op *list;

    while ((list = wait_for_work(o)) != NULL) {
        while (list != NULL) {
            struct op *group[COMMIT_GROUP_MAX];
            size_t n = take_group(&list, group);

            run_group(o, group, n);
            pthread_mutex_lock(&o->lock);
            o->alive_ms = clock_now_ms();
            pthread_mutex_unlock(&o->lock);
        }
    }
    for (int i = 0; i < FILES_PER_THREAD; i++) {
        if (o->file[i].staged)
            store_stage_discard(o->file[i].db);
        else
            store_job_close(o->file[i].db);
    }
    blob_cache_clear(&o->blobs);
    return NULL;
}

/* ---- from outside -------------------------------------------------------- */

static int owner_start(struct owner *o, struct commit *c, struct err *err)
{
    pthread_condattr_t attr;
    int rc;

    o->commit = c;
    o->alive_ms = clock_now_ms();
    list_init(&o->queue);
    pthread_mutex_init(&o->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&o->wake, &attr);
    pthread_condattr_destroy(&attr);
    rc = pthread_create(&o->thread, NULL, owner_run, o);
    if (rc != 0)
        return err_set(err, ERR_OS, "cannot start a thread: %s", strerror(rc));
    return 0;
}

struct commit *commit_start(struct store *store, struct err *err)
{
    struct commit *c = xcalloc(1, sizeof *c);

    c->store = store;
    list_init(&c->done);
    pthread_mutex_init(&c->lock, NULL);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->event_fd < 0) {
        err_set(err, ERR_OS, "eventfd: %s", strerror(errno));
        commit_stop(c);
        return NULL;
    }
    for (; c->n_started < COMMIT_THREADS; c->n_started++) {
        if (owner_start(&c->owner[c->n_started], c, err) < 0) {
            commit_stop(c);
            return NULL;
        }
    }
    return c;
}

void commit_stop(struct commit *c)
{
    struct op *op;

    if (c == NULL)
        return;
    for (int i = 0; i < c->n_started; i++) {
        struct owner *o = &c->owner[i];

        pthread_mutex_lock(&o->lock);
        o->stopping = true;
        pthread_cond_signal(&o->wake);
        pthread_mutex_unlock(&o->lock);
        pthread_join(o->thread, NULL);
        pthread_cond_destroy(&o->wake);
        pthread_mutex_destroy(&o->lock);
    }
    op = list_take(&c->done);
    while (op != NULL) {
        struct op *next = op->next;

        op_free(op);
        op = next;
    }
    if (c->event_fd >= 0)
        close(c->event_fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void commit_submit(struct commit *c, struct op *op)
{
    struct owner *o = &c->owner[op->job % COMMIT_THREADS];

    pthread_mutex_lock(&o->lock);
    list_push(&o->queue, op);
    pthread_cond_signal(&o->wake);
    pthread_mutex_unlock(&o->lock);
}

int commit_fd(const struct commit *c)
{
    return c->event_fd;
}

struct op *commit_take(struct commit *c)
{
    uint64_t count;
    struct op *list;

    if (read(c->event_fd, &count, sizeof count) < 0)
        return NULL; /* EAGAIN: nothing has completed */
    pthread_mutex_lock(&c->lock);
    list = list_take(&c->done);
    pthread_mutex_unlock(&c->lock);
    return list;
}

void commit_sync_times(struct commit *c, struct histogram *out)
{
    *out = (struct histogram){0};
    for (int i = 0; i < COMMIT_THREADS; i++) {
        struct owner *o = &c->owner[i];

        pthread_mutex_lock(&o->lock);
        histogram_merge(out, &o->sync_s);
        pthread_mutex_unlock(&o->lock);
    }
}

int64_t commit_alive_ms(struct commit *c)
{
    int64_t oldest = INT64_MAX;

    for (int i = 0; i < COMMIT_THREADS; i++) {
        struct owner *o = &c->owner[i];

        pthread_mutex_lock(&o->lock);
        if (o->alive_ms < oldest)
            oldest = o->alive_ms;
        pthread_mutex_unlock(&o->lock);
    }
    return oldest;
}
