/* Questions and orders of clients. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core_impl.h"

/* A reply stays below the frame's limit: items are added while their encoded
 * size, plus tag and length of each, fits.
 */
#define REPLY_BYTES_MAX (FRAME_BYTES_MAX - (64u << 10))
#define ITEM_OVERHEAD_BYTES 8

struct job_list {
    Skein__JobInfo info[JOBS_PER_REPLY_MAX];
    Skein__JobInfo *ptr[JOBS_PER_REPLY_MAX];
    size_t n;
    size_t bytes;
    size_t limit;
};

/* false when the list is full. */
static bool list_job(const struct core *c, struct job_list *list,
                     const struct core_job *j)
{
    Skein__JobInfo *info = &list->info[list->n];
    size_t bytes;

    if (list->n == list->limit)
        return false;
    core_job_info(c, j, info);
    bytes = skein__job_info__get_packed_size(info) + ITEM_OVERHEAD_BYTES;
    if (list->bytes + bytes > REPLY_BYTES_MAX)
        return false;
    list->bytes += bytes;
    list->ptr[list->n++] = info;
    return true;
}

static void send_jobs(struct core *c, uint64_t peer, uint64_t seq,
                      struct job_list *list, bool more)
{
    Skein__Jobs reply = SKEIN__JOBS__INIT;

    reply.job = list->ptr;
    reply.n_job = list->n;
    reply.more = more;
    core_send(c, peer, WIRE_JOBS, seq, &reply.base);
}

void core_client_job(struct core *c, const struct core_job *j, uint64_t peer,
                     uint64_t seq)
{
    struct job_list *list = xcalloc(1, sizeof *list);

    list->limit = 1;
    if (j != NULL)
        list_job(c, list, j);
    send_jobs(c, peer, seq, list, false);
    free(list);
}

static int compare_ids(const void *a, const void *b)
{
    const struct core_job *x = *(const struct core_job *const *)a;
    const struct core_job *y = *(const struct core_job *const *)b;

    return x->image->id < y->image->id ? -1 : x->image->id > y->image->id;
}

/* The jobs the query means, by ascending id, malloc'ed into *out. */
static size_t select_jobs(const struct core *c, const Skein__JobsQuery *q,
                          struct core_job ***out)
{
    size_t cap = q->n_job > 0 ? q->n_job : HASH_CNT(hh_id, c->by_id);
    struct core_job **found = xcalloc(cap + 1, sizeof *found);
    struct core_job *j;
    size_t n = 0;

    if (q->n_job > 0) {
        for (size_t i = 0; i < q->n_job; i++) {
            j = core_job_find(c, q->job[i]);
            if (j != NULL && q->job[i] > q->after)
                found[n++] = j;
        }
    } else {
        for (j = c->by_id; j != NULL; j = j->hh_id.next) {
            if (j->image->id > q->after && (j->live || q->finished))
                found[n++] = j;
        }
    }
    qsort(found, n, sizeof *found, compare_ids);
    *out = found;
    return n;
}

void core_client_jobs(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    const Skein__JobsQuery *q = m->jobs_query;
    struct job_list *list = xcalloc(1, sizeof *list);
    struct core_job **found;
    size_t n = select_jobs(c, q, &found);
    size_t i = 0;

    list->limit = q->limit == 0 || q->limit > JOBS_PER_REPLY_MAX
                      ? JOBS_PER_REPLY_MAX
                      : q->limit;
    while (i < n && list_job(c, list, found[i]))
        i++;
    send_jobs(c, peer, m->seq, list, i < n);
    free(found);
    free(list);
}

void core_client_cancel(struct core *c, uint64_t peer, const struct wire_msg *m)
{
    const Skein__Cancel *q = m->cancel;
    struct core_job *j = core_job_find(c, q->job);
    struct err err;

    if (j == NULL)
        err_set(&err, ERR_NOT_FOUND, "there is no job %" PRIu64, q->job);
    else if (j->live
             && (!j->ending || j->target == SKEIN__JOB_STATE__JOB_CANCELLED)) {
        core_job_end(c, j, SKEIN__JOB_STATE__JOB_CANCELLED, q->reason, peer,
                     m->seq);
        return;
    } else {
        err_set(&err, ERR_CONFLICT, "job %" PRIu64 " has ended already",
                q->job);
    }
    core_send_error(c, peer, m->seq, 0, &err);
}

/* ---- workers ------------------------------------------------------------- */

struct worker_info {
    Skein__WorkerInfo info;
    Skein__Model model[MODELS_MAX];
    Skein__Model *model_ptr[MODELS_MAX];
    Skein__Device device[DEVICES_MAX];
    Skein__Device *device_ptr[DEVICES_MAX];
};

static void describe_models(struct core_worker *w, struct worker_info *out)
{
    for (size_t i = 0; i < w->n_model && i < MODELS_MAX; i++) {
        skein__model__init(&out->model[i]);
        out->model[i].name = w->model[i].name;
        out->model[i].fingerprint.data = w->model[i].fingerprint;
        out->model[i].fingerprint.len = HASH_BYTES;
        out->model[i].vocab = w->model[i].vocab;
        out->model_ptr[out->info.n_model++] = &out->model[i];
    }
    out->info.model = out->model_ptr;
}

static void describe_devices(struct core_worker *w, struct worker_info *out)
{
    for (size_t i = 0; i < w->n_device && i < DEVICES_MAX; i++) {
        skein__device__init(&out->device[i]);
        out->device[i].name = w->device[i].name;
        out->device[i].state = w->device[i].state;
        out->device[i].model = w->device[i].model;
        out->device[i].tokens = w->device[i].tokens;
        out->device[i].tokens_per_s = w->device[i].tokens_per_s;
        out->device[i].memory_used = w->device[i].memory_used;
        out->device[i].memory_total = w->device[i].memory_total;
        out->device[i].utilisation = w->device[i].utilisation;
        out->device_ptr[out->info.n_device++] = &out->device[i];
    }
    out->info.device = out->device_ptr;
}

static void describe(const struct core *c, struct core_worker *w,
                     struct worker_info *out)
{
    skein__worker_info__init(&out->info);
    out->info.name = w->name;
    out->info.host = w->host;
    out->info.pid = w->pid;
    out->info.version = w->version;
    out->info.state = core_worker_state_name(core_worker_state(c, w));
    out->info.shards = w->n_leases;
    out->info.records_done = w->records_done;
    out->info.tokens_done = w->tokens_done;
    out->info.last_beat_ms = (uint32_t)(c->now_ms - w->heard_ms);
    describe_models(w, out);
    describe_devices(w, out);
}

void core_client_workers(struct core *c, uint64_t peer,
                         const struct wire_msg *m)
{
    Skein__Workers reply = SKEIN__WORKERS__INIT;
    struct worker_info *info = xcalloc(c->n_worker + 1, sizeof *info);
    Skein__WorkerInfo **ptr = xcalloc(c->n_worker + 1, sizeof(void *));
    size_t total = 0;

    for (uint32_t i = 0; i < c->n_worker; i++) {
        size_t bytes;

        describe(c, c->worker[i], &info[i]);
        bytes = skein__worker_info__get_packed_size(&info[i].info)
                + ITEM_OVERHEAD_BYTES;
        if (total + bytes > REPLY_BYTES_MAX)
            break;
        total += bytes;
        ptr[reply.n_worker++] = &info[i].info;
    }
    reply.worker = ptr;
    core_send(c, peer, WIRE_WORKERS, m->seq, &reply.base);
    free(ptr);
    free(info);
}
