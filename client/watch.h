/* client/watch.h - jobs as a page of a terminal, or as lines elsewhere
 *
 * Keeps a meter for each job, so that rates and ETAs are those of the watching;
 * the rest is formatting. Pure: time and the terminal's size are arguments.
 */
#ifndef CLIENT_WATCH_H
#define CLIENT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/progress.h"
#include "client/select.h"
#include "common/buf.h"
#include "proto/skein.pb-c.h"

struct watched {
    const Skein__JobInfo *job; /* of the last look; owned by the caller */
    struct progress_meter meter;
    struct progress_view view;
    uint64_t id;
    int last_state; /* that watch_lines() told; -1: none yet */
};

/* Zero-initialise. */
struct watch {
    struct watched *row; /* [n], by ascending id */
    size_t n;
};

/* Take what was seen at `now_ms` (monotonic) and `unix_ms` (the wall clock, for
 * how long a job has run): rows of jobs that are not in it go, new ones come.
 * `jobs` must live until the next update.
 */
void watch_update(struct watch *w, const struct select_jobs *jobs,
                  int64_t now_ms, int64_t unix_ms);
void watch_free(struct watch *w);

/* Append a page of at most `rows` lines, each at most `columns` wide and ended
 * by a newline: a headline about the coordinator, then one job in detail if
 * there is only one, else a table, running jobs first. `server` may be NULL.
 */
void watch_page(const struct watch *w, const Skein__ServerInfo *server,
                size_t rows, size_t columns, bool color, struct buf *out);

/* Append a line for each job whose state is another than the one told last,
 * and, if `progress`, a progress line for each running one.
 */
void watch_lines(struct watch *w, bool progress, struct buf *out);

#endif /* CLIENT_WATCH_H */
