#include "common/idset.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/extsort.h"

#define STOP_ITEMS 65536u /* between questions to `stop`: a few ms */

struct idset {
    struct extsort *ids;        /* hash, line */
    struct extsort *duplicates; /* line, first line */
};

struct idset *idset_create(const char *dir, size_t run_items)
{
    struct idset *s = xcalloc(1, sizeof *s);
    struct extsort_config config = {
        .dir = dir,
        .run_items = run_items,
        .fan = EXTSORT_FAN,
    };

    s->ids = extsort_create(&config);
    s->duplicates = extsort_create(&config);
    return s;
}

void idset_destroy(struct idset *s)
{
    if (s == NULL)
        return;
    extsort_destroy(s->ids);
    extsort_destroy(s->duplicates);
    free(s);
}

int idset_add(struct idset *s, const uint8_t hash[16], uint64_t line,
              struct err *err)
{
    struct extsort_item item;

    memcpy(item.key, hash, 16);
    item.key[2] = line;
    return extsort_add(s->ids, &item, err);
}

uint64_t idset_count(const struct idset *s)
{
    return extsort_count(s->ids);
}

/* One item in the order of the hashes; *first is the first of its id. */
static int look(struct idset *s, const struct extsort_item *item,
                struct extsort_item *first, struct err *err)
{
    struct extsort_item duplicate;

    if (item->key[0] != first->key[0] || item->key[1] != first->key[1]
        || first->key[2] == 0) {
        *first = *item;
        return 0;
    }
    duplicate.key[0] = item->key[2];
    duplicate.key[1] = first->key[2];
    duplicate.key[2] = 0;
    return extsort_add(s->duplicates, &duplicate, err);
}

int idset_finish(struct idset *s, int (*stop)(void *arg), void *arg,
                 struct err *err)
{
    struct extsort_item item, first = {{0, 0, 0}};
    uint64_t n = 0;
    int got;

    if (extsort_finish(s->ids, err) < 0)
        return -1;
    while ((got = extsort_next(s->ids, &item, err)) > 0) {
        if (++n % STOP_ITEMS == 0 && stop != NULL && stop(arg))
            return err_set(err, ERR_CONFLICT, "stopped");
        if (look(s, &item, &first, err) < 0)
            return -1;
    }
    if (got < 0)
        return -1;
    extsort_destroy(s->ids); /* its memory and its place on the disk */
    s->ids = NULL;
    return extsort_finish(s->duplicates, err);
}

int idset_next(struct idset *s, struct idset_duplicate *out, struct err *err)
{
    struct extsort_item item;
    int got = extsort_next(s->duplicates, &item, err);

    if (got > 0)
        *out = (struct idset_duplicate){item.key[0], item.key[1]};
    return got;
}
