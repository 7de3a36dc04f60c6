/* client/select.h - the jobs that words of a command line mean
 *
 *     12            one job                      last        the newest
 *     12,15-18      several                      all         every one there is
 *     lambada       all of that name             name:12     the same, if the
 *                                                name looks like something else
 *
 * Whatever is selected still has to pass the filter, and 'last' is the newest
 * that does.
 */
#ifndef CLIENT_SELECT_H
#define CLIENT_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/fields.h"
#include "client/rpc.h"
#include "common/err.h"

#define SELECT_TERMS_MAX 256 /* parts of all words together */

enum select_kind {
    SELECT_RANGE, /* ids first..last; some of them must exist */
    SELECT_ID,    /* id `first`, which must exist */
    SELECT_LAST,
    SELECT_ALL,
    SELECT_NAME,
};

struct select_term {
    enum select_kind kind;
    uint64_t first, last;
    char *name; /* malloc'ed */
};

/* What was asked for. */
struct select {
    struct select_term term[SELECT_TERMS_MAX];
    size_t n; /* 0: no word was given: live jobs are meant */
    struct fields_filter filter;
};

/* What there is: by ascending id. */
struct select_jobs {
    const Skein__JobInfo **job;
    size_t n, cap;
    bool one; /* asked for by a single id, or 'last': one object, not a list */
    struct wire_msg *page; /* these own the jobs */
    size_t pages;
};

/* Read the words and the filter. ERR_USAGE. Free with select_free() in any
 * case.
 */
int select_parse(char *const *word, int n, const struct option_list *filter,
                 struct select *out, struct err *err);
void select_free(struct select *s);

/* Is this job meant? Only for SELECT_LAST is the answer up to others: no. */
bool select_term_match(const struct select_term *t, const Skein__JobInfo *job);

/* Ask the coordinator. `finished`: without words, finished jobs are meant, too.
 * ERR_NOT_FOUND when an id does not exist, or when words were given and nothing
 * is left. Free with select_jobs_free() in any case.
 */
int select_fetch(struct rpc *r, const struct select *s, bool finished,
                 struct select_jobs *out, struct err *err);
void select_jobs_free(struct select_jobs *jobs);

/* Ask about `n` jobs by ascending ids, without doubles; those that are gone are
 * left out. Free `out` in any case.
 */
int select_fetch_present(struct rpc *r, const uint64_t *id, size_t n,
                         struct select_jobs *out, struct err *err);

/* The same, but one that is gone is ERR_NOT_FOUND. */
int select_fetch_ids(struct rpc *r, const uint64_t *id, size_t n,
                     struct select_jobs *out, struct err *err);

/* Was this job asked for by its own number? */
bool select_names_id(const struct select *s, uint64_t id);

/* Append ids as a word that select_parse() reads: "12,15-18". */
void select_words(const uint64_t *id, size_t n, struct buf *out);

#endif /* CLIENT_SELECT_H */
