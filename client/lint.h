/* client/lint.h - what is wrong with a file of records, told before it is
 * submitted
 *
 * Every line goes through the parser that the coordinator uses, and through the
 * tokenizer if there is one; ids given twice are found as the coordinator finds
 * them. Memory does not grow with the file.
 */
#ifndef CLIENT_LINT_H
#define CLIENT_LINT_H

#include <stdint.h>

#include "client/input.h"
#include "common/err.h"
#include "proto/record.h"
#include "text/tokenizer.h"

#define LINT_SHOWN_MAX 1000000 /* findings that can be kept */
#define LINT_KINDS (RECORD_GENERATE + 1)

struct lint_rules {
    bool lenient;                      /* unknown keys are warnings */
    const struct tokenizer *tokenizer; /* NULL: tokens are not counted */
    size_t shown_max;                  /* findings to keep */
    const char *dir;                   /* for ids that memory does not hold */
};

struct lint_finding {
    uint64_t line;
    bool warning;       /* the line is a record all the same */
    const char *id_key; /* "id" or "custom_id" */
    char *id;           /* as JSON, or NULL when the line has none */
    struct record_error why;
};

struct lint {
    uint64_t lines;
    uint64_t blank;
    uint64_t records;
    uint64_t bad;
    uint64_t warned;           /* records with a warning */
    uint64_t kind[LINT_KINDS]; /* of the records */
    /* With a tokenizer, of all lines that are records but for their ids; start
     * tokens are not among them.
     */
    uint64_t tokens;
    uint64_t tokens_out_max;
    uint64_t longest; /* tokens */
    uint64_t longest_line;
    struct lint_finding *finding; /* [n] by line: the first of them */
    size_t n;
};

/* Where ids go that memory does not hold, unless somebody knows better: TMPDIR,
 * else /var/tmp.
 */
const char *lint_dir(void);

/* "score", "choice", "rolling", "generate": static. */
const char *lint_kind_name(enum record_kind kind);

/* ERR_INVALID when the file cannot be read to its end, ERR_IO, ERR_AGAIN (no
 * room in `dir`). Free `out` in any case.
 */
int lint_run(struct input *in, const struct lint_rules *rules, struct lint *out,
             struct err *err);
void lint_free(struct lint *l);

#endif /* CLIENT_LINT_H */
