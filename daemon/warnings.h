/* daemon/warnings.h - what a lenient submission let pass: how much, and the
 * first few lines
 */
#ifndef DAEMON_WARNINGS_H
#define DAEMON_WARNINGS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h"

/* Zero-initialise; warnings_clear(). */
struct warnings {
    uint64_t n; /* in all lines */
    size_t n_kept;
    struct {
        uint64_t line;
        char *text;
    } kept[WARNINGS_MAX]; /* the first of each of the first lines */
};

/* A line with `n` warnings, the first of which is `text`. In order of lines. */
void warnings_add(struct warnings *w, uint64_t line, uint64_t n,
                  const char *text);

/* Move those of later lines behind. `from` is empty then. */
void warnings_join(struct warnings *w, struct warnings *from);

void warnings_clear(struct warnings *w);

#endif /* DAEMON_WARNINGS_H */
