#include "common/extsort.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/hash.h"

#define LEVELS_MAX 64 /* fan >= 2 and fewer than 2^64 runs */
#define BUFFER_MIN 1024

/* Consecutive blocks of the file; only the last may be short. */
struct run {
    uint64_t offset; /* bytes */
    uint64_t n_items;
    uint64_t *hash; /* [blocks of n_items] */
};

struct level {
    struct run *run; /* [fan] */
    unsigned n;
};

/* Where a merge has got to in one run. */
struct cursor {
    const struct run *run;
    uint64_t next; /* item of the run to be read into `block` next */
    size_t at, n;  /* in `block` */
    struct extsort_item *block;
};

/* A heap of cursors, the least item on top. */
struct merge {
    struct cursor *cursor; /* [n_all], storage */
    struct cursor **heap;  /* [n] */
    size_t n, n_all;
};

/* A run being written. */
struct run_writer {
    struct run run;
    struct extsort_item *block; /* [n] not written yet */
    size_t n;
};

struct extsort {
    struct extsort_config config;
    int fd; /* -1: nothing was spilled */
    uint64_t file_end;
    uint64_t n_items;
    struct extsort_item *buffer; /* [cap] */
    size_t n, cap;
    struct level level[LEVELS_MAX];
    bool finished;
    size_t at; /* next of `buffer`, when nothing was spilled */
    struct merge merge;
};

static int compare(const struct extsort_item *a, const struct extsort_item *b)
{
    for (int i = 0; i < 3; i++) {
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i] ? -1 : 1;
    }
    return 0;
}

static int compare_void(const void *a, const void *b)
{
    return compare(a, b);
}

static size_t items_of_block(const struct run *r, uint64_t first)
{
    uint64_t left = r->n_items - first;

    return left < EXTSORT_BLOCK_ITEMS ? (size_t)left : EXTSORT_BLOCK_ITEMS;
}

struct extsort *extsort_create(const struct extsort_config *config)
{
    struct extsort *s = xcalloc(1, sizeof *s);

    assert(config->run_items >= 1);
    assert(config->fan >= 2);
    s->config = *config;
    s->fd = -1;
    return s;
}

uint64_t extsort_count(const struct extsort *s)
{
    return s->n_items;
}

/* ---- runs --------------------------------------------------------------- */

static int write_block(struct extsort *s, struct run_writer *w,
                       const struct extsort_item *item, size_t n,
                       struct err *err)
{
    uint64_t block = w->run.n_items / EXTSORT_BLOCK_ITEMS;
    uint64_t at = w->run.offset + w->run.n_items * sizeof *item;

    if (file_write_at(s->fd, item, n * sizeof *item, at, err) < 0)
        return err_wrap(err, "%s: sorting", s->config.dir);
    if ((block & (block - 1)) == 0)
        w->run.hash = xrealloc(w->run.hash, (block == 0 ? 1 : 2 * block)
                                                * sizeof *w->run.hash);
    w->run.hash[block] = hash_xxh3(item, n * sizeof *item);
    w->run.n_items += n;
    return 0;
}

static void run_free(struct run *r)
{
    free(r->hash);
    *r = (struct run){0};
}

static int read_block(struct extsort *s, struct cursor *c, struct err *err)
{
    const struct run *r = c->run;
    size_t n = items_of_block(r, c->next);
    size_t len = n * sizeof *c->block;

    if (file_read_at(s->fd, c->block, len,
                     r->offset + c->next * sizeof *c->block, err)
        < 0)
        return err_wrap(err, "%s: sorting", s->config.dir);
    if (hash_xxh3(c->block, len) != r->hash[c->next / EXTSORT_BLOCK_ITEMS])
        return err_set(err, ERR_CORRUPT,
                       "%s: a block written for sorting came back different",
                       s->config.dir);
    c->next += n;
    c->at = 0;
    c->n = n;
    return 0;
}

/* ---- merging ------------------------------------------------------------ */

static const struct extsort_item *front(const struct cursor *c)
{
    return &c->block[c->at];
}

static void sift_down(struct merge *m, size_t i)
{
    for (;;) {
        size_t least = i;
        struct cursor *c = m->heap[i];

        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < m->n; k++) {
            if (compare(front(m->heap[k]), front(m->heap[least])) < 0)
                least = k;
        }
        if (least == i)
            return;
        m->heap[i] = m->heap[least];
        m->heap[least] = c;
        i = least;
    }
}

static void merge_free(struct merge *m)
{
    for (size_t i = 0; i < m->n_all; i++)
        free(m->cursor[i].block);
    free(m->cursor);
    free(m->heap);
    *m = (struct merge){0};
}

static void merge_add(struct merge *m, const struct run *r)
{
    struct cursor *c = &m->cursor[m->n_all];

    c->run = r;
    c->block = xcalloc(EXTSORT_BLOCK_ITEMS, sizeof *c->block);
    m->heap[m->n_all++] = c;
}

/* Begin to merge every run of levels first..last. */
static int merge_begin(struct extsort *s, struct merge *m, int first, int last,
                       struct err *err)
{
    size_t n = 0;

    for (int l = first; l <= last; l++)
        n += s->level[l].n;
    *m = (struct merge){0};
    m->cursor = xcalloc(n + 1, sizeof *m->cursor);
    m->heap = xcalloc(n + 1, sizeof *m->heap);
    for (int l = first; l <= last; l++) {
        for (unsigned i = 0; i < s->level[l].n; i++)
            merge_add(m, &s->level[l].run[i]);
    }
    m->n = m->n_all;
    for (size_t i = 0; i < m->n; i++) {
        if (read_block(s, m->heap[i], err) < 0)
            return -1;
    }
    for (size_t i = m->n / 2; i-- > 0;)
        sift_down(m, i);
    return 0;
}

static int merge_next(struct extsort *s, struct merge *m,
                      struct extsort_item *item, struct err *err)
{
    struct cursor *c;

    if (m->n == 0)
        return 0;
    c = m->heap[0];
    *item = *front(c);
    c->at++;
    if (c->at == c->n && c->next < c->run->n_items) {
        if (read_block(s, c, err) < 0)
            return -1;
    } else if (c->at == c->n) {
        m->heap[0] = m->heap[--m->n];
    }
    if (m->n > 0)
        sift_down(m, 0);
    return 1;
}

/* ---- levels ------------------------------------------------------------- */

static void level_add(struct extsort *s, int level, const struct run *r)
{
    struct level *l = &s->level[level];

    assert(level < LEVELS_MAX);
    if (l->run == NULL)
        l->run = xcalloc(s->config.fan, sizeof *l->run);
    l->run[l->n++] = *r;
}

static void level_clear(struct level *l)
{
    for (unsigned i = 0; i < l->n; i++)
        run_free(&l->run[i]);
    l->n = 0;
}

static int merge_write(struct extsort *s, struct merge *m, struct run_writer *w,
                       struct err *err)
{
    int got;

    do {
        got = merge_next(s, m, &w->block[w->n], err);
        w->n += got > 0;
        if (w->n == EXTSORT_BLOCK_ITEMS || (got == 0 && w->n > 0)) {
            if (write_block(s, w, w->block, w->n, err) < 0)
                return -1;
            w->n = 0;
        }
    } while (got > 0);
    return got;
}

/* The runs of a full level become one run of the next. Their place in the file
 * is given back where the file system can do that.
 */
static int merge_level(struct extsort *s, int level, struct err *err)
{
    struct level *l = &s->level[level];
    struct run_writer w = {.run.offset = s->file_end};
    struct merge m;
    int ret = merge_begin(s, &m, level, level, err);

    w.block = xcalloc(EXTSORT_BLOCK_ITEMS, sizeof *w.block);
    if (ret == 0)
        ret = merge_write(s, &m, &w, err);
    merge_free(&m);
    free(w.block);
    if (ret < 0) {
        run_free(&w.run);
        return -1;
    }
    s->file_end += w.run.n_items * sizeof(struct extsort_item);
    for (unsigned i = 0; i < l->n; i++)
        file_punch(s->fd, l->run[i].offset,
                   l->run[i].n_items * sizeof(struct extsort_item));
    level_clear(l);
    level_add(s, level + 1, &w.run);
    return 0;
}

/* Write the sorted memory as a run of level 0. */
static int spill(struct extsort *s, struct err *err)
{
    struct run_writer w = {.run.offset = s->file_end};
    int level = 0;

    if (s->fd < 0)
        s->fd = file_scratch(s->config.dir, err);
    if (s->fd < 0)
        return -1;
    qsort(s->buffer, s->n, sizeof *s->buffer, compare_void);
    for (size_t at = 0; at < s->n; at += EXTSORT_BLOCK_ITEMS) {
        size_t n = s->n - at;

        if (n > EXTSORT_BLOCK_ITEMS)
            n = EXTSORT_BLOCK_ITEMS;
        if (write_block(s, &w, s->buffer + at, n, err) < 0) {
            run_free(&w.run);
            return -1;
        }
    }
    s->file_end += w.run.n_items * sizeof(struct extsort_item);
    s->n = 0;
    level_add(s, 0, &w.run);
    for (; s->level[level].n == s->config.fan; level++) {
        if (merge_level(s, level, err) < 0)
            return -1;
    }
    return 0;
}

static void grow(struct extsort *s)
{
    size_t cap = s->cap == 0 ? BUFFER_MIN : 2 * s->cap;

    if (cap > s->config.run_items)
        cap = s->config.run_items;
    s->buffer = xrealloc(s->buffer, cap * sizeof *s->buffer);
    s->cap = cap;
}

int extsort_add(struct extsort *s, const struct extsort_item *item,
                struct err *err)
{
    assert(!s->finished);
    if (s->n == s->config.run_items && spill(s, err) < 0)
        return -1;
    if (s->n == s->cap)
        grow(s);
    s->buffer[s->n++] = *item;
    s->n_items++;
    return 0;
}

int extsort_finish(struct extsort *s, struct err *err)
{
    assert(!s->finished);
    s->finished = true;
    if (s->fd < 0) {
        if (s->n > 0)
            qsort(s->buffer, s->n, sizeof *s->buffer, compare_void);
        return 0;
    }
    if (s->n > 0 && spill(s, err) < 0)
        return -1;
    free(s->buffer);
    s->buffer = NULL;
    s->cap = 0;
    return merge_begin(s, &s->merge, 0, LEVELS_MAX - 1, err);
}

int extsort_next(struct extsort *s, struct extsort_item *item, struct err *err)
{
    assert(s->finished);
    if (s->fd >= 0)
        return merge_next(s, &s->merge, item, err);
    if (s->at == s->n)
        return 0;
    *item = s->buffer[s->at++];
    return 1;
}

void extsort_destroy(struct extsort *s)
{
    if (s == NULL)
        return;
    merge_free(&s->merge);
    for (int i = 0; i < LEVELS_MAX; i++) {
        level_clear(&s->level[i]);
        free(s->level[i].run);
    }
    if (s->fd >= 0)
        close(s->fd);
    free(s->buffer);
    free(s);
}
