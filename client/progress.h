/* client/progress.h - how far a job is, as a line of text
 *
 * The meter turns snapshots of a job into rates and an ETA; the formatting is
 * pure. The ETA comes from the job's estimated tokens, not from its lines: a
 * line may be a word or a book. On a terminal one line is rewritten; elsewhere
 * a plain line every 5 s in the first minute, then every 30 s.
 */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "proto/skein.pb-c.h"

#define PROGRESS_SAMPLES 64      /* of the window rates are taken over */
#define PROGRESS_WINDOW_MS 30000 /* its length */

/* One moment of a job. */
struct progress_view {
    const char *name;
    uint64_t answered; /* lines: records answered and lines rejected */
    uint64_t total;
    uint64_t tokens;     /* fed and generated */
    uint64_t failed;     /* lines */
    double done;         /* 0..1, by cost */
    double tokens_per_s; /* < 0: not known yet */
    int64_t elapsed_ms;
    int64_t eta_ms; /* < 0: not known yet */
};

struct progress_sample {
    int64_t at_ms;
    uint64_t tokens;
    uint64_t cost;
};

/* Zero-initialise. */
struct progress_meter {
    struct progress_sample sample[PROGRESS_SAMPLES]; /* ring */
    unsigned head, count;
    int64_t start_ms; /* of the first snapshot */
};

/* Take a snapshot at `now_ms` (any clock that never goes back) and compute
 * *out, whose name points into `job`.
 */
void progress_update(struct progress_meter *m, const Skein__JobInfo *job,
                     int64_t now_ms, struct progress_view *out);

/* "name: 12.5% | 6250/50000 req | 3.1M tok | 41.2k tok/s | elapsed 1:15 | eta
 * 8:45 | failed 3", appended without newline.
 */
void progress_plain(const struct progress_view *v, struct buf *out);

/* The line of a terminal: at most `columns` wide; what matters least goes
 * first when it is narrow. `color`: with escape sequences.
 */
void progress_bar(const struct progress_view *v, int columns, bool color,
                  struct buf *out);

/* "[###---]" with that many cells between the brackets. */
void progress_cells(double done, int cells, bool color, struct buf *out);

/* 999, 1.0k, 41.2k, 3.1M, 2.0G: at most 5 characters below 10^12. */
void progress_count(double x, char out[16]);

/* 0:07, 12:34, 1:02:03; "-:--" when negative. */
void progress_duration(int64_t ms, char out[24]);

/* When is the next plain line due, `elapsed_ms` after the start? */
int64_t progress_plain_pause_ms(int64_t elapsed_ms);

/* Where progress is shown: standard error, or nowhere. */
struct progress_screen {
    bool shown;    /* false: quiet */
    bool terminal; /* rewrite one line */
    bool color;
    bool drawn;      /* a line stands on the terminal */
    int64_t next_ms; /* nothing is drawn before */
    struct progress_meter meter;
};

/* color_mode: "auto", "always", "never" or NULL for auto; the environment's
 * NO_COLOR, CLICOLOR_FORCE and FORCE_COLOR count for auto.
 */
void progress_open(struct progress_screen *s, bool quiet,
                   const char *color_mode);

/* Show a snapshot, if it is time. */
void progress_show(struct progress_screen *s, const Skein__JobInfo *job,
                   int64_t now_ms);

/* Show a phrase instead ("loading the model"), on a terminal only. */
void progress_note(struct progress_screen *s, const char *text);

/* Remove the rewritten line, so that other text can follow. */
void progress_clear(struct progress_screen *s);

/* Are escape sequences for colour wanted on this stream? */
bool progress_color(const char *color_mode, bool terminal);

#endif /* CLIENT_PROGRESS_H */
