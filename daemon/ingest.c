#include "daemon/ingest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/extsort.h"
#include "common/idset.h"
#include "daemon/ingest_batch.h"
#include "daemon/restage.h"
#include "proto/limits.h"
#include "proto/lineset.h"
#include "proto/record.h"

/* A shard's rejected lines are bounded like its records. */
#define SHARD_REJECTED_MAX SHARD_RECORDS_MAX

/* OP_RESTAGEs under way of one submission: 16 KiB of lines each. */
#define RESTAGES_MAX 16

struct ingest_pool {
    struct ingest_config config;
    int event_fd;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t staged;
    struct batch *first; /* under lock */
    struct batch **last;
    bool stopping;
    int n_threads;
    pthread_t thread[INGEST_THREADS_MAX];
};

/* The shard being filled. */
struct shard {
    struct lineset_writer input;
    struct lineset_writer rejected;
    size_t input_bytes;
    size_t rejected_bytes;
    uint64_t first_line;
    uint64_t raw_bytes;
    uint64_t cost;
    bool generates;
};

struct ingest {
    struct ingest_pool *pool;
    uint64_t job;
    uint8_t key[16]; /* of the id hashes: nobody can choose ids that collide */
    struct record_job settings;
    char *model; /* of the settings */

    /* the calling thread's */
    struct batch *filling;
    size_t line_start; /* in `filling`, of the line that is not complete yet */
    uint64_t next_line;
    uint64_t next_batch;
    uint64_t received;
    struct hash_ctx *hash;
    bool accepted;

    /* under pool->lock */
    struct batch *ready;  /* validated, by seq */
    uint64_t next_ready;  /* seq to be finished next */
    bool finishing;       /* a thread is at it */
    uint64_t n_batches;   /* with the threads or in `ready` */
    uint64_t fed_bytes;   /* of batches ever handed to the threads */
    uint64_t done_bytes;  /* of those, of finished ones */
    uint64_t staged_sent; /* OP_STAGEs and OP_RESTAGEs ever submitted */
    uint64_t bytes_sent;  /* their raw_bytes */
    uint64_t n_staged;    /* of them, those that came back */
    uint64_t staged_bytes;
    bool ended;
    bool flushed; /* the last of them was submitted */
    bool aborted;
    struct err err;      /* code ERR_NONE: fine so far */
    uint64_t last_batch; /* number of batches, once `ended` */

    /* the finishing thread's */
    struct idset *ids;
    struct shard shard;
    struct job_image *image; /* from `flushed` on the calling thread's */
    uint64_t *first_line;    /* [image->n_shards] */
    uint32_t shards_cap;     /* of both */
    struct warnings warnings;
};

static void signal_progress(struct ingest_pool *p)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the reader is awake. */
    if (write(p->event_fd, &one, sizeof one) < 0)
        return;
}

/* ---- finishing, in input order ------------------------------------------- */

static void shard_begin(struct shard *s, uint64_t first_line)
{
    lineset_writer_init(&s->input);
    lineset_writer_init(&s->rejected);
    s->input_bytes = s->rejected_bytes = 0;
    s->first_line = first_line;
    s->raw_bytes = s->cost = 0;
    s->generates = false;
}

static void add_shard_image(struct ingest *i, const struct op_stage *stage)
{
    struct job_image *image = i->image;
    struct shard_image *s;

    if (image->n_shards == i->shards_cap) {
        i->shards_cap = i->shards_cap == 0 ? 64 : 2 * i->shards_cap;
        image->shard =
            xrealloc(image->shard, i->shards_cap * sizeof *image->shard);
        i->first_line =
            xrealloc(i->first_line, i->shards_cap * sizeof *i->first_line);
    }
    i->first_line[image->n_shards] = stage->first_line;
    s = &image->shard[image->n_shards++];
    *s = (struct shard_image){
        .n_records = stage->n_records,
        .cost = stage->cost,
        .state = stage->n_records == 0 ? SHARD_DONE : SHARD_PENDING,
    };
    image->records += stage->n_records;
    image->rejected += stage->n_rejected;
    image->cost += stage->cost;
}

static void send_stage(struct ingest *i, struct op *op)
{
    pthread_mutex_lock(&i->pool->lock);
    i->staged_sent++;
    i->bytes_sent += op->stage.raw_bytes;
    pthread_mutex_unlock(&i->pool->lock);
    i->pool->config.submit(i->pool->config.arg, op);
}

/* Close the shard at the line before `next_line` and hand it to the store. */
static void cut_shard(struct ingest *i, uint64_t next_line)
{
    struct shard *s = &i->shard;
    struct op *op = op_create(OP_STAGE, i->job);
    struct op_stage *stage = &op->stage;

    stage->ingest = i;
    stage->shard = i->image->n_shards;
    stage->first_line = s->first_line;
    stage->n_lines = next_line - s->first_line;
    stage->cost = s->cost;
    stage->raw_bytes = s->raw_bytes;
    restage_pack(&s->input, &s->rejected, stage);
    lineset_writer_free(&s->input);
    lineset_writer_free(&s->rejected);
    add_shard_image(i, stage);
    shard_begin(s, next_line);
    send_stage(i, op);
}

static void add_rejected(struct ingest *i, uint64_t line, const char *text,
                         size_t len)
{
    struct shard *s = &i->shard;

    if (s->rejected.n >= SHARD_REJECTED_MAX
        || (s->rejected.n > 0 && s->rejected_bytes + len > SHARD_BYTES_MAX))
        cut_shard(i, line);
    lineset_add(&s->rejected, line, text, len, true);
    s->rejected_bytes += len;
    s->raw_bytes += len;
}

static void add_record(struct ingest *i, const struct batch *b,
                       const struct batch_item *item)
{
    struct shard *s = &i->shard;
    uint32_t max = s->generates || item->generates ? SHARD_RECORDS_GENERATE_MAX
                                                   : SHARD_RECORDS_MAX;

    if (s->input.n >= max
        || (s->input.n > 0 && s->input_bytes + item->weight > SHARD_BYTES_MAX))
        cut_shard(i, item->line);
    lineset_add_record(&s->input, item->line, b->text.data + item->start,
                       item->len, item->kind);
    s->input_bytes += item->weight;
    s->raw_bytes += item->len;
    s->cost += item->cost;
    s->generates |= item->generates;
}

static int finish_batch(struct ingest *i, struct batch *b, struct err *err)
{
    for (size_t k = 0; k < b->n; k++) {
        const struct batch_item *item = &b->item[k];

        if (item->rejected) {
            add_rejected(i, item->line, b->errors.data + item->start,
                         item->len);
            continue;
        }
        if (idset_count(i->ids) == i->pool->config.max_records)
            return err_set(err, ERR_LIMIT,
                           "line %" PRIu64 ": a job has at most %" PRIu64
                           " records (max_records of the coordinator)",
                           item->line, i->pool->config.max_records);
        if (idset_add(i->ids, item->id_hash, item->line, err) < 0)
            return -1;
        add_record(i, b, item);
    }
    i->image->lines += b->n_lines;
    warnings_join(&i->warnings, &b->warnings);
    return 0;
}

/* ---- duplicates, once every line is known -------------------------------- */

static int must_stop(void *arg)
{
    struct ingest *i = arg;
    bool stop;

    pthread_mutex_lock(&i->pool->lock);
    stop = i->aborted || i->err.code != ERR_NONE;
    pthread_mutex_unlock(&i->pool->lock);
    return stop;
}

/* Only so many at a time: they would all be in memory. */
static void send_restage(struct ingest *i, struct op *op)
{
    struct ingest_pool *p = i->pool;

    pthread_mutex_lock(&p->lock);
    while (i->staged_sent - i->n_staged >= RESTAGES_MAX)
        pthread_cond_wait(&p->staged, &p->lock);
    pthread_mutex_unlock(&p->lock);
    send_stage(i, op);
}

/* The line after the shard's last. */
static uint64_t end_line(const struct ingest *i, uint32_t shard)
{
    return shard + 1 < i->image->n_shards ? i->first_line[shard + 1]
                                          : i->image->lines + 1;
}

static struct op *restage_create(struct ingest *i, uint32_t shard)
{
    const struct shard_image *image = &i->image->shard[shard];
    struct op *op = op_create(OP_RESTAGE, i->job);
    struct op_stage *s = &op->stage;

    s->ingest = i;
    s->shard = shard;
    s->first_line = i->first_line[shard];
    s->n_lines = end_line(i, shard) - s->first_line;
    s->cost = image->cost;
    s->duplicate = xcalloc(image->n_records, sizeof *s->duplicate);
    return op;
}

static int reject_duplicates(struct ingest *i, struct err *err)
{
    struct op *op = NULL;
    struct idset_duplicate d;
    uint32_t shard = 0;
    int got;

    if (idset_finish(i->ids, must_stop, i, err) < 0)
        return -1;
    while ((got = idset_next(i->ids, &d, err)) > 0 && !must_stop(i)) {
        if (op != NULL && d.line >= end_line(i, shard)) {
            send_restage(i, op);
            op = NULL;
        }
        while (d.line >= end_line(i, shard))
            shard++;
        if (op == NULL)
            op = restage_create(i, shard);
        op->stage.duplicate[op->stage.n_duplicates++] = d;
    }
    if (got == 0 && op != NULL)
        send_restage(i, op);
    else
        op_free(op);
    return got < 0 ? -1 : 0;
}

/* A shard lost its duplicates. */
static void restaged(struct ingest *i, const struct op_stage *stage)
{
    struct job_image *image = i->image;
    struct shard_image *s = &image->shard[stage->shard];

    image->records -= stage->n_duplicates;
    image->rejected += stage->n_duplicates;
    image->cost -= s->cost - stage->cost;
    s->n_records = stage->n_records;
    s->cost = stage->cost;
    s->state = stage->n_records == 0 ? SHARD_DONE : SHARD_PENDING;
}

/* After the last batch: what is left of it all. */
static int finish_all(struct ingest *i, struct err *err)
{
    int ret;

    if (i->shard.input.n > 0 || i->shard.rejected.n > 0)
        cut_shard(i, i->image->lines + 1);
    ret = reject_duplicates(i, err);
    idset_destroy(i->ids);
    i->ids = NULL;
    return ret;
}

/* Finish every batch whose turn it is. Called and returns with the lock held;
 * only one thread at a time is in here for a submission.
 */
static void finish_ready(struct ingest *i)
{
    struct ingest_pool *p = i->pool;

    i->finishing = true;
    for (;;) {
        struct batch *b = i->ready;
        bool skip = i->aborted || i->err.code != ERR_NONE;
        struct err err = {.code = ERR_NONE};

        if (b == NULL || b->seq != i->next_ready)
            break;
        i->ready = b->next;
        pthread_mutex_unlock(&p->lock);
        if (!skip)
            finish_batch(i, b, &err);
        pthread_mutex_lock(&p->lock);
        if (err.code != ERR_NONE)
            i->err = err;
        i->next_ready++;
        i->n_batches--;
        i->done_bytes += b->text.len;
        batch_free(b);
    }
    if (i->ended && !i->flushed && i->next_ready == i->last_batch && !i->aborted
        && i->err.code == ERR_NONE) {
        struct err err = {.code = ERR_NONE};

        pthread_mutex_unlock(&p->lock);
        finish_all(i, &err);
        pthread_mutex_lock(&p->lock);
        if (err.code != ERR_NONE)
            i->err = err;
        i->flushed = true;
    }
    i->finishing = false;
}

/* Put a validated batch in its place and go on finishing if nobody is. */
static void batch_ready(struct batch *b)
{
    struct ingest *i = b->ingest;
    struct batch **at = &i->ready;

    while (*at != NULL && (*at)->seq < b->seq)
        at = &(*at)->next;
    b->next = *at;
    *at = b;
    if (!i->finishing)
        finish_ready(i);
}

/* ---- the threads --------------------------------------------------------- */

static void *validate_run(void *arg)
{
    struct ingest_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct batch *b = p->first;
        bool skip;

        if (b == NULL) {
            if (p->stopping)
                break;
            pthread_cond_wait(&p->wake, &p->lock);
            continue;
        }
        p->first = b->next;
        if (p->first == NULL)
            p->last = &p->first;
        skip = b->ingest->aborted;
        pthread_mutex_unlock(&p->lock);
        if (!skip)
            batch_validate(b, &b->ingest->settings, b->ingest->key);
        pthread_mutex_lock(&p->lock);
        batch_ready(b);
        signal_progress(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct ingest_pool *ingest_pool_start(const struct ingest_config *config,
                                      struct err *err)
{
    struct ingest_pool *p = xcalloc(1, sizeof *p);

    assert(config->threads >= 1 && config->threads <= INGEST_THREADS_MAX);
    p->config = *config;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->staged, NULL);
    if (p->config.id_run == 0)
        p->config.id_run = EXTSORT_RUN_ITEMS;
    p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->event_fd < 0) {
        err_set(err, ERR_OS, "eventfd: %s", strerror(errno));
        ingest_pool_stop(p);
        return NULL;
    }
    for (; p->n_threads < config->threads; p->n_threads++) {
        int rc =
            pthread_create(&p->thread[p->n_threads], NULL, validate_run, p);

        if (rc != 0) {
            err_set(err, ERR_OS, "cannot start a thread: %s", strerror(rc));
            ingest_pool_stop(p);
            return NULL;
        }
    }
    return p;
}

void ingest_pool_stop(struct ingest_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int k = 0; k < p->n_threads; k++)
        pthread_join(p->thread[k], NULL);
    if (p->event_fd >= 0)
        close(p->event_fd);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->staged);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int ingest_pool_fd(const struct ingest_pool *p)
{
    return p->event_fd;
}

void ingest_pool_clear(struct ingest_pool *p)
{
    uint64_t count;

    if (read(p->event_fd, &count, sizeof count) < 0)
        return; /* EAGAIN: it was clear */
}

/* ---- feeding ------------------------------------------------------------- */

/* What validation needs to know of the job. */
static void read_spec(struct ingest *i, const void *spec, size_t len)
{
    Skein__JobSpec *s = skein__job_spec__unpack(NULL, len, spec);

    assert(s != NULL); /* the caller packed it */
    i->model = xstrdup(s->model);
    i->settings = (struct record_job){
        .model = i->model, .lenient = s->lenient, .created_s = s->created_s};
    skein__job_spec__free_unpacked(s, NULL);
}

struct ingest *ingest_begin(struct ingest_pool *p, uint64_t job,
                            const uint8_t request_id[REQUEST_ID_BYTES],
                            const void *spec, size_t spec_len)
{
    struct ingest *i = xcalloc(1, sizeof *i);

    i->pool = p;
    i->job = job;
    i->next_line = 1;
    i->hash = hash_begin();
    hash_random(i->key, sizeof i->key);
    i->ids = idset_create(p->config.scratch, p->config.id_run);
    read_spec(i, spec, spec_len);
    shard_begin(&i->shard, 1);
    i->image = xcalloc(1, sizeof *i->image);
    i->image->id = job;
    i->image->state = SKEIN__JOB_STATE__JOB_QUEUED;
    memcpy(i->image->request_id, request_id, REQUEST_ID_BYTES);
    buf_add(&i->image->spec, spec, spec_len);
    return i;
}

/* Hand the batch being filled to the threads. */
static void send_batch(struct ingest *i)
{
    struct ingest_pool *p = i->pool;
    struct batch *b = i->filling;

    b->seq = i->next_batch++;
    i->filling = NULL;
    i->line_start = 0;
    pthread_mutex_lock(&p->lock);
    i->n_batches++;
    i->fed_bytes += b->text.len;
    *p->last = b;
    p->last = &b->next;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void need_batch(struct ingest *i)
{
    if (i->filling != NULL)
        return;
    i->filling = batch_create(i);
    i->filling->first_line = i->next_line;
    i->line_start = 0;
}

/* The batch is large enough: send its whole lines, keep the begun one. */
static void cut_batch(struct ingest *i)
{
    struct batch *b = i->filling;
    struct buf rest = BUF_INIT;

    buf_add(&rest, b->text.data + i->line_start, b->text.len - i->line_start);
    b->text.len = i->line_start;
    b->text.data[b->text.len] = '\0';
    send_batch(i);
    need_batch(i);
    i->filling->text = rest;
}

/* Add a piece of the current line. A line beyond the limit keeps its first
 * RECORD_BYTES_MAX + 1 bytes: enough to be told that it is too long.
 */
static void add_piece(struct ingest *i, const char *s, size_t len)
{
    size_t have = i->filling->text.len - i->line_start;
    size_t room = have > RECORD_BYTES_MAX ? 0 : RECORD_BYTES_MAX + 1 - have;

    buf_add(&i->filling->text, s, len < room ? len : room);
}

void ingest_feed(struct ingest *i, const void *data, size_t len)
{
    const char *s = data;
    const char *end = s + len;

    assert(!i->ended);
    i->received += len;
    hash_update(i->hash, data, len);
    while (s < end) {
        const char *newline = memchr(s, '\n', (size_t)(end - s));

        need_batch(i);
        if (newline == NULL) {
            add_piece(i, s, (size_t)(end - s));
            break;
        }
        add_piece(i, s, (size_t)(newline - s));
        buf_addc(&i->filling->text, '\n');
        s = newline + 1;
        i->line_start = i->filling->text.len;
        i->filling->n_lines++;
        i->next_line++;
        if (i->filling->text.len >= INGEST_BATCH_BYTES)
            cut_batch(i);
    }
}

uint64_t ingest_received(const struct ingest *i)
{
    return i->received;
}

uint32_t ingest_window(struct ingest *i)
{
    uint64_t busy;

    pthread_mutex_lock(&i->pool->lock);
    busy = i->fed_bytes - i->done_bytes + i->bytes_sent - i->staged_bytes;
    pthread_mutex_unlock(&i->pool->lock);
    return busy >= XFER_WINDOW_BYTES ? 0 : XFER_WINDOW_BYTES - (uint32_t)busy;
}

int ingest_end(struct ingest *i, const uint8_t hash[HASH_BYTES],
               struct err *err)
{
    uint8_t mine[HASH_BYTES];

    assert(!i->ended);
    hash_end(i->hash, mine);
    i->hash = NULL;
    if (memcmp(mine, hash, HASH_BYTES) != 0)
        return err_set(err, ERR_PROTOCOL,
                       "the submitted lines do not have their hash");
    /* There is a last batch, be it empty: the threads finish, which may take
     * seconds, not the caller. */
    need_batch(i);
    if (i->filling->text.len > i->line_start) {
        i->filling->n_lines++; /* the last line lacks its newline */
        i->next_line++;
    }
    pthread_mutex_lock(&i->pool->lock);
    i->ended = true;
    i->last_batch = i->next_batch + 1;
    pthread_mutex_unlock(&i->pool->lock);
    send_batch(i);
    return 0;
}

/* ---- the outcome --------------------------------------------------------- */

void ingest_staged(struct ingest *i, const struct op *op)
{
    pthread_mutex_lock(&i->pool->lock);
    i->n_staged++;
    i->staged_bytes += op->stage.raw_bytes;
    if (op->status == OP_FAILED && i->err.code == ERR_NONE)
        i->err = op->err;
    else if (op->status == OP_OK && op->kind == OP_RESTAGE)
        restaged(i, &op->stage);
    pthread_cond_broadcast(&i->pool->staged);
    pthread_mutex_unlock(&i->pool->lock);
}

enum ingest_progress ingest_poll(struct ingest *i, struct err *err)
{
    enum ingest_progress progress = INGEST_BUSY;

    pthread_mutex_lock(&i->pool->lock);
    if (i->err.code != ERR_NONE) {
        *err = i->err;
        progress = INGEST_FAILED;
    } else if (i->flushed && !i->accepted && i->n_staged == i->staged_sent) {
        progress = INGEST_READY;
    }
    pthread_mutex_unlock(&i->pool->lock);
    return progress;
}

struct op *ingest_accept(struct ingest *i, int64_t now_unix_ms)
{
    struct op *op = op_create(OP_ACCEPT, i->job);

    assert(!i->accepted);
    i->accepted = true;
    i->image->submitted_unix_ms = now_unix_ms;
    job_image_count(i->image);
    op->accept.image = i->image;
    op->accept.ingest = i;
    i->image = NULL;
    op->accept.warnings = i->warnings;
    i->warnings = (struct warnings){0};
    return op;
}

void ingest_abort(struct ingest *i)
{
    pthread_mutex_lock(&i->pool->lock);
    i->aborted = true;
    pthread_mutex_unlock(&i->pool->lock);
}

bool ingest_idle(struct ingest *i)
{
    bool idle;

    pthread_mutex_lock(&i->pool->lock);
    idle = i->n_batches == 0 && !i->finishing && i->n_staged == i->staged_sent;
    pthread_mutex_unlock(&i->pool->lock);
    return idle;
}

void ingest_free(struct ingest *i)
{
    if (i == NULL)
        return;
    if (i->hash != NULL)
        hash_end(i->hash, NULL);
    batch_free(i->filling);
    lineset_writer_free(&i->shard.input);
    lineset_writer_free(&i->shard.rejected);
    idset_destroy(i->ids);
    job_image_free(i->image);
    free(i->first_line);
    warnings_clear(&i->warnings);
    free(i->model);
    free(i);
}
