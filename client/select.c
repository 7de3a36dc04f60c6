#include "client/select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/job_fields.h"
#include "client/jobs.h"
#include "common/buf.h"
#include "common/conf.h"

/* ---- words -------------------------------------------------------------- */

static bool all_digits(const char *text, size_t len)
{
    return len > 0 && strspn(text, "0123456789") >= len;
}

static int read_id(const char *text, uint64_t *out, struct err *err)
{
    unsigned long long n;

    errno = 0;
    n = strtoull(text, NULL, 10);
    if (errno != 0 || n == 0)
        return err_set(err, ERR_USAGE, "'%.60s': jobs are numbered from 1",
                       text);
    *out = n;
    return 0;
}

/* "15-18" */
static int read_range(const char *text, const char *dash, struct select_term *t,
                      struct err *err)
{
    t->kind = SELECT_RANGE;
    if (read_id(text, &t->first, err) < 0
        || read_id(dash + 1, &t->last, err) < 0)
        return -1;
    if (t->first > t->last)
        return err_set(err, ERR_USAGE,
                       "'%.60s' runs backwards; did you mean %" PRIu64
                       "-%" PRIu64 "?",
                       text, t->last, t->first);
    return 0;
}

static int read_term(const char *text, struct select_term *t, struct err *err)
{
    const char *dash = strchr(text, '-');

    *t = (struct select_term){.kind = SELECT_NAME};
    if (text[0] == '\0')
        return err_set(err, ERR_USAGE,
                       "a job is missing: expected 12, 12,15-18, last, all or "
                       "a name");
    if (all_digits(text, strlen(text))) {
        t->kind = SELECT_ID;
        return read_id(text, &t->first, err);
    }
    if (dash != NULL && all_digits(text, (size_t)(dash - text))
        && all_digits(dash + 1, strlen(dash + 1)))
        return read_range(text, dash, t, err);
    if (strcmp(text, "last") == 0)
        t->kind = SELECT_LAST;
    else if (strcmp(text, "all") == 0)
        t->kind = SELECT_ALL;
    else
        t->name = xstrdup(text);
    return 0;
}

static struct select_term *next_term(struct select *s, struct err *err)
{
    if (s->n < SELECT_TERMS_MAX)
        return &s->term[s->n++];
    err_set(err, ERR_USAGE, "more than %d jobs are named one by one",
            SELECT_TERMS_MAX);
    return NULL;
}

static int read_word(const char *word, struct select *s, struct err *err)
{
    static const char prefix[] = "name:";
    struct select_term *t;

    if (strncmp(word, prefix, strlen(prefix)) == 0) { /* commas and all */
        t = next_term(s, err);
        if (t == NULL)
            return -1;
        *t = (struct select_term){.kind = SELECT_NAME,
                                  .name = xstrdup(word + strlen(prefix))};
        return 0;
    }
    for (;;) {
        size_t len = strcspn(word, ",");
        char *text = xstrndup(word, len);
        int ret = -1;

        t = next_term(s, err);
        if (t != NULL)
            ret = read_term(text, t, err);
        free(text);
        if (ret < 0)
            return -1;
        if (word[len] == '\0')
            return 0;
        word += len + 1;
    }
}

int select_parse(char *const *word, int n, const struct option_list *filter,
                 struct select *out, struct err *err)
{
    out->n = 0;
    if (fields_filter_parse(job_fields, filter, &out->filter, err) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        if (read_word(word[i], out, err) < 0)
            return -1;
    }
    return 0;
}

void select_free(struct select *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->term[i].name);
    s->n = 0;
    fields_filter_free(&s->filter);
}

/* ---- jobs --------------------------------------------------------------- */

bool select_term_match(const struct select_term *t, const Skein__JobInfo *job)
{
    switch (t->kind) {
    case SELECT_ID:
        return job->job == t->first;
    case SELECT_RANGE:
        return job->job >= t->first && job->job <= t->last;
    case SELECT_ALL:
        return true;
    case SELECT_NAME:
        return job->spec != NULL && strcmp(job->spec->name, t->name) == 0;
    case SELECT_LAST:
        break;
    }
    return false;
}

/* One pass over the pages. */
struct sieve {
    const struct select *s;
    struct select_jobs *out;
    bool met[SELECT_TERMS_MAX]; /* by some job, filtered out or not */
    const Skein__JobInfo *last;
    bool last_taken;
};

static void take(struct select_jobs *out, const Skein__JobInfo *job)
{
    if (out->n == out->cap) {
        out->cap = out->cap > 0 ? 2 * out->cap : 64;
        out->job = xrealloc(out->job, out->cap * sizeof *out->job);
    }
    out->job[out->n++] = job;
}

static void sift(struct sieve *v, const Skein__JobInfo *job)
{
    bool passes = fields_filter_match(&v->s->filter, job);
    bool meant = v->s->n == 0;

    for (size_t i = 0; i < v->s->n; i++) {
        bool hit = select_term_match(&v->s->term[i], job);

        v->met[i] = v->met[i] || hit;
        meant = meant || hit;
    }
    if (!passes)
        return;
    v->last = job;
    v->last_taken = meant;
    if (meant)
        take(v->out, job);
}

static int no_such(const struct sieve *v, const struct select_term *t,
                   struct err *err)
{
    const char **known;
    const char *nearest;
    size_t n = 0, total = 0;

    if (t->kind == SELECT_ID)
        return err_set(err, ERR_NOT_FOUND, "no such job: %" PRIu64, t->first);
    if (t->kind == SELECT_RANGE)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no job from %" PRIu64 " to %" PRIu64, t->first,
                       t->last);
    for (size_t p = 0; p < v->out->pages; p++)
        total += v->out->page[p].jobs->n_job;
    known = xcalloc(total + 1, sizeof *known);
    for (size_t p = 0; p < v->out->pages; p++) {
        for (size_t i = 0; i < v->out->page[p].jobs->n_job; i++) {
            const Skein__JobInfo *job = v->out->page[p].jobs->job[i];

            if (job->spec != NULL)
                known[n++] = job->spec->name;
        }
    }
    nearest = conf_nearest(t->name, known);
    if (nearest != NULL)
        err_set(err, ERR_NOT_FOUND,
                "no job has the name '%.60s'; did you mean '%.128s'?", t->name,
                nearest);
    else
        err_set(err, ERR_NOT_FOUND,
                "no job has the name '%.60s'; skein ls --all lists them",
                t->name);
    free(known);
    return -1;
}

/* Is every term met, and something left? */
static int judge(struct sieve *v, struct err *err)
{
    const struct select *s = v->s;

    for (size_t i = 0; i < s->n; i++) {
        const struct select_term *t = &s->term[i];

        if (t->kind == SELECT_LAST && v->last != NULL && !v->last_taken) {
            take(v->out, v->last); /* above all others: the order stays */
            v->last_taken = true;
        }
        if ((t->kind == SELECT_ID || t->kind == SELECT_RANGE
             || t->kind == SELECT_NAME)
            && !v->met[i])
            return no_such(v, t, err);
    }
    if (s->n == 0 || v->out->n > 0)
        return 0;
    if (s->filter.n > 0)
        return err_set(err, ERR_NOT_FOUND, "no job passes the filter");
    return err_set(err, ERR_NOT_FOUND, "there is no job yet");
}

/* Ids alone are asked for by id; anything else takes the whole list. */
static size_t only_ids(const struct select *s, uint64_t *id)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        size_t k = 0;

        if (s->term[i].kind != SELECT_ID)
            return 0;
        while (k < n && id[k] != s->term[i].first)
            k++;
        id[k] = s->term[i].first;
        n += k == n;
    }
    return n;
}

static int fetch_pages(struct rpc *r, Skein__JobsQuery *q,
                       struct select_jobs *out, struct err *err)
{
    bool more = true;

    while (more) {
        struct wire_msg *m;

        out->page = xrealloc(out->page, (out->pages + 1) * sizeof *out->page);
        m = &out->page[out->pages];
        if (rpc_call(r, WIRE_JOBS_QUERY, &q->base, WIRE_JOBS, m, err) < 0)
            return -1;
        out->pages++;
        more = m->jobs->more && m->jobs->n_job > 0;
        for (size_t i = 0; i < m->jobs->n_job; i++) {
            /* Pages that do not advance would never end. */
            if (m->jobs->job[i]->job <= q->after)
                return err_set(err, ERR_PROTOCOL, "jobs are not in order");
            q->after = m->jobs->job[i]->job;
        }
    }
    return 0;
}

int select_fetch_present(struct rpc *r, const uint64_t *id, size_t n,
                         struct select_jobs *out, struct err *err)
{
    Skein__JobsQuery q = SKEIN__JOBS_QUERY__INIT;

    *out = (struct select_jobs){.n = 0};
    if (n == 0) /* the coordinator would take that for all jobs */
        return 0;
    q.finished = true;
    q.n_job = n;
    q.job = (uint64_t *)(uintptr_t)id;
    if (fetch_pages(r, &q, out, err) < 0)
        return -1;
    for (size_t p = 0; p < out->pages; p++) {
        for (size_t i = 0; i < out->page[p].jobs->n_job; i++)
            take(out, out->page[p].jobs->job[i]);
    }
    return 0;
}

int select_fetch_ids(struct rpc *r, const uint64_t *id, size_t n,
                     struct select_jobs *out, struct err *err)
{
    if (select_fetch_present(r, id, n, out, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (i >= out->n || out->job[i]->job != id[i])
            return err_set(err, ERR_NOT_FOUND, "no such job: %" PRIu64, id[i]);
    }
    return 0;
}

bool select_names_id(const struct select *s, uint64_t id)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->term[i].kind == SELECT_ID && s->term[i].first == id)
            return true;
    }
    return false;
}

void select_words(const uint64_t *id, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t end = i;

        while (end + 1 < n && id[end + 1] == id[end] + 1)
            end++;
        buf_addf(out, "%s%" PRIu64, i > 0 ? "," : "", id[i]);
        if (end > i)
            buf_addf(out, "%c%" PRIu64, end > i + 1 ? '-' : ',', id[end]);
        i = end;
    }
}

int select_fetch(struct rpc *r, const struct select *s, bool finished,
                 struct select_jobs *out, struct err *err)
{
    Skein__JobsQuery q = SKEIN__JOBS_QUERY__INIT;
    struct sieve v = {.s = s, .out = out};
    uint64_t id[SELECT_TERMS_MAX];

    *out = (struct select_jobs){.n = 0};
    out->one =
        s->n == 1
        && (s->term[0].kind == SELECT_ID || s->term[0].kind == SELECT_LAST);
    q.finished = finished || s->n > 0;
    q.n_job = only_ids(s, id);
    q.job = id;
    if (fetch_pages(r, &q, out, err) < 0)
        return -1;
    for (size_t p = 0; p < out->pages; p++) {
        for (size_t i = 0; i < out->page[p].jobs->n_job; i++)
            sift(&v, out->page[p].jobs->job[i]);
    }
    return judge(&v, err);
}

void select_jobs_free(struct select_jobs *jobs)
{
    for (size_t p = 0; p < jobs->pages; p++)
        wire_free(&jobs->page[p]);
    free(jobs->page);
    free(jobs->job);
    *jobs = (struct select_jobs){.n = 0};
}
