/* proto/members.h - the members of a JSON object, sorted by a table of keys
 *
 * Private to proto/: what native lines and OpenAI lines share in reading. Every
 * function that can fail returns 0, or -1 with *m->e filled.
 */
#ifndef PROTO_MEMBERS_H
#define PROTO_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/json_read.h"
#include "proto/record.h"

#define MEMBERS_MAX 64

/* `name` is a NULL-ended list; the index of a name is its key. */
struct members {
    const char *const *name;
    bool lenient;     /* what is unknown is ignored with a warning */
    struct record *r; /* takes the warnings */
    struct record_error *e;
    const struct json_value *value[MEMBERS_MAX]; /* NULL: absent */
};

/* Sort all members of `object`, also when one of them is not listed. */
int members_sort(struct members *m, const struct json_value *object);

/* The key is known, but not `where`, "in a line with ..". When lenient it is
 * absent from now on.
 */
int members_misplaced(struct members *m, int key, const char *where);

/* A string, or with `integers` an integer, as the record's id. */
int members_id(struct members *m, int key, bool integers, struct record *r);

/* "KEY" what */
int members_fail(struct members *m, int key, const char *code,
                 const char *what);

/* "KEY"[nth] must be ...; nth < 0: the value itself, not an element. */
int members_fail_type(struct members *m, int key, long nth, const char *wanted,
                      const struct json_value *got);

/* Absent keys leave *out alone. */
int members_int(struct members *m, int key, int64_t min, int64_t max,
                int64_t *out);
/* `above`: min itself is not allowed. */
int members_real(struct members *m, int key, double min, bool above, double max,
                 double *out);
int members_bool(struct members *m, int key, bool *out);

/* A string and a list of token ids; `nth` as in members_fail_type(). */
int members_text(struct members *m, int key, long nth,
                 const struct json_value *v, struct record_text *out);
int members_ids(struct members *m, int key, long nth,
                const struct json_value *v, struct record_text *out);

/* Whichever of the two it is. */
int members_either(struct members *m, int key, long nth,
                   const struct json_value *v, struct record_text *out);

/* A string or an array of 1..RECORD_STOPS_MAX strings of
 * 1..RECORD_STOP_BYTES_MAX bytes.
 */
int members_stops(struct members *m, int key, struct record *r);

/* min_p, presence_penalty, frequency_penalty, repetition_penalty, logit_bias:
 * the five keys from `first` on, in this order.
 */
int members_penalties(struct members *m, int first, struct record *r);

/* A copy with '\0' behind. */
char *members_copy(const struct json_value *string);

#endif /* PROTO_MEMBERS_H */
